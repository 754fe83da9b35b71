//! The bottleneck of a link: a queue, and how fast packets leave it.

use std::collections::VecDeque;

use super::capacity::CapacityTrace;
use super::conditions::{Rate, Settings};
use crate::time::Time;

/// Bits are counted in billionths, so that rate × nanoseconds is exact.
const SCALE: u128 = 1_000_000_000;

/// A queue with one server. `T` is what waits in it.
#[derive(Debug)]
pub(crate) struct Shaper<T> {
    queue: VecDeque<(u64, T)>,
    queued_bytes: u64,
    /// Billionths of bits of the first packet that are not yet through.
    left: u128,
    /// Up to when `left` is worked out.
    since: Time,
    opportunity: Opportunity,
    rate: Rate,
    stalled: bool,
}

/// Where the replay of a trace stands.
#[derive(Clone, Copy, Debug)]
struct Opportunity {
    /// The next one that nobody used.
    next: u64,
    /// What is left of the one before it, for packets that were already waiting then.
    credit_bytes: u64,
}

impl<T> Shaper<T> {
    pub(crate) fn new() -> Self {
        let opportunity = Opportunity { next: 0, credit_bytes: 0 };
        Self {
            queue: VecDeque::new(),
            queued_bytes: 0,
            left: 0,
            since: Time::ZERO,
            opportunity,
            rate: Rate::Unlimited,
            stalled: false,
        }
    }

    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// Changes the rate from now on; what of the first packet is already through stays so.
    pub(crate) fn set(&mut self, now: Time, settings: &Settings) {
        self.serve(now);
        if self.rate != settings.rate {
            self.opportunity = Opportunity { next: 0, credit_bytes: 0 };
            self.rate = settings.rate.clone();
        }
        self.stalled = settings.stall;
    }

    pub(crate) fn push(&mut self, now: Time, bytes: u64, item: T) {
        if self.queue.is_empty() {
            self.start(now, bytes);
        }
        self.queued_bytes += bytes;
        self.queue.push_back((bytes, item));
    }

    fn start(&mut self, now: Time, bytes: u64) {
        if self.since < now {
            // Nobody was waiting: what was left of the last opportunity is gone.
            self.opportunity.credit_bytes = 0;
        }
        self.since = now;
        self.left = u128::from(bytes) * 8 * SCALE;
    }

    /// When the first packet will have left.
    pub(crate) fn next_departure(&self) -> Option<Time> {
        if self.queue.is_empty() || self.stalled {
            return None;
        }
        Some(match &self.rate {
            Rate::Unlimited => self.since,
            Rate::BitsPerSecond(bits) => {
                let nanos = self.left.div_ceil(u128::from(*bits));
                let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
                Time::from_nanos(self.since.as_nanos().saturating_add(nanos))
            }
            Rate::Trace(trace) => self.trace_departure(trace).0,
        })
    }

    fn trace_departure(&self, trace: &CapacityTrace) -> (Time, Opportunity) {
        let bytes = (self.left.div_ceil(8 * SCALE)) as u64;
        let Opportunity { next, credit_bytes } = self.opportunity;
        if bytes <= credit_bytes {
            return (self.since, Opportunity { next, credit_bytes: credit_bytes - bytes });
        }
        let missing = bytes - credit_bytes;
        let needed = missing.div_ceil(CapacityTrace::OPPORTUNITY_BYTES);
        let last = next.max(trace.first_at(self.since)) + needed - 1;
        let credit_bytes = needed * CapacityTrace::OPPORTUNITY_BYTES - missing;
        (trace.moment(last), Opportunity { next: last + 1, credit_bytes })
    }

    /// The first packet, if it has left by now.
    pub(crate) fn pop(&mut self, now: Time) -> Option<(Time, T)> {
        let at = self.next_departure().filter(|at| *at <= now)?;
        if let Rate::Trace(trace) = &self.rate {
            self.opportunity = self.trace_departure(trace).1;
        }
        let (bytes, item) = self.queue.pop_front()?;
        self.queued_bytes -= bytes;
        self.since = at;
        if let Some((bytes, _)) = self.queue.front() {
            self.left = u128::from(*bytes) * 8 * SCALE;
        }
        Some((at, item))
    }

    /// Works out how much of the first packet is through by now; it has not left yet.
    fn serve(&mut self, now: Time) {
        if self.queue.is_empty() || now <= self.since {
            return;
        }
        let done = match &self.rate {
            _ if self.stalled => 0,
            Rate::Unlimited => 0,
            Rate::BitsPerSecond(bits) => u128::from(*bits) * now.since(self.since).as_nanos(),
            Rate::Trace(trace) => {
                let first = self.opportunity.next.max(trace.first_at(self.since));
                let end = trace.first_at(now).max(first);
                let used = (end - first) * CapacityTrace::OPPORTUNITY_BYTES + self.opportunity.credit_bytes;
                self.opportunity = Opportunity { next: end, credit_bytes: 0 };
                u128::from(used) * 8 * SCALE
            }
        };
        self.left = self.left.saturating_sub(done);
        self.since = now;
    }
}
