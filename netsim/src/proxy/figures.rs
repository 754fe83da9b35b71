//! What the proxy really did.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::event::millis;
use crate::link::{Conditions, LinkCounts};
use crate::packet::Fate;
use crate::time::Time;

/// What the proxy is doing, and what it did so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Time since it began.
    #[serde(rename = "uptime_ms", serialize_with = "in_millis")]
    pub uptime: Duration,
    /// The scenario, if there is one.
    pub scenario: Option<Playing>,
    /// The seed of all luck.
    pub seed: u64,
    /// Mappings that live now.
    pub mappings: usize,
    /// Mappings that were made.
    pub mappings_made: u64,
    /// Times that the NAT was rebound, by commands and by steps of the scenario.
    pub rebinds: u64,
    /// Mappings that expired or were forgotten.
    pub expiries: u64,
    /// Towards the server.
    pub up: Traffic,
    /// Towards the clients.
    pub down: Traffic,
}

/// A scenario that plays.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Playing {
    /// Its name.
    pub name: String,
    /// Time since it began; beyond its duration its conditions remain as they were.
    #[serde(rename = "at_ms", serialize_with = "in_millis")]
    pub at: Duration,
    /// How long it lasts.
    #[serde(rename = "duration_ms", serialize_with = "in_millis")]
    pub duration: Duration,
}

/// What the proxy did in one direction. `packets_in + duplicated` is what went out, what was dropped and what is
/// held, together.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Traffic {
    /// The conditions as they are.
    pub conditions: Conditions,
    /// Whether it is a black hole now.
    pub blocked: bool,
    /// Packets that came in.
    pub packets_in: u64,
    /// Packets that went out, copies included.
    pub packets_out: u64,
    /// Bytes of UDP payload that came in.
    pub bytes_in: u64,
    /// Bytes of UDP payload that went out, copies included.
    pub bytes_out: u64,
    /// Packets that did not get through, by cause.
    pub dropped: Dropped,
    /// Copies that were made.
    pub duplicated: u64,
    /// Packets with one bit flipped.
    pub corrupted: u64,
    /// Packets that came out after one that came in later.
    pub reordered: u64,
    /// Packets that are on their way now.
    pub held: u64,
    /// What the loss model took, in per cent of the packets that it saw.
    pub loss_percent: f64,
    /// The delay that the proxy added; nothing if no packet has gone out.
    pub delay_ms: Option<Delays>,
    /// Bytes of UDP payload that went out, as a rate between the first and the last of them.
    pub mbit_per_s: f64,
}

/// Packets that did not get through, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Dropped {
    /// The loss model took them.
    pub lost: u64,
    /// They met a black hole.
    pub blocked: u64,
    /// They were larger than the MTU.
    pub too_big: u64,
    /// The queue before the bottleneck was full.
    pub queue_full: u64,
    /// The NAT had no mapping for them: it had expired, or was rebound.
    pub nat_unmapped: u64,
    /// The NAT's filter did not let the server in.
    pub nat_filtered: u64,
    /// The NAT had no port left.
    pub nat_exhausted: u64,
    /// The clients were in no network, or in another one by then.
    pub network_gone: u64,
    /// There were as many mappings as the proxy may have.
    pub mappings_full: u64,
    /// As many bytes were under way as the proxy may hold.
    pub proxy_full: u64,
    /// The operating system did not take them.
    pub unsent: u64,
}

/// Delays in milliseconds, of all packets that went out, to three digits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Delays {
    /// The shortest.
    pub min: f64,
    /// Half of them were not longer.
    pub p50: f64,
    /// 99 of 100 were not longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Dropped {
    /// All of them, with their names.
    pub fn causes(&self) -> [(&'static str, u64); 11] {
        [
            ("lost", self.lost),
            ("blocked", self.blocked),
            ("too big", self.too_big),
            ("queue full", self.queue_full),
            ("NAT: no mapping", self.nat_unmapped),
            ("NAT: filtered", self.nat_filtered),
            ("NAT: no port", self.nat_exhausted),
            ("network gone", self.network_gone),
            ("mappings full", self.mappings_full),
            ("proxy full", self.proxy_full),
            ("unsent", self.unsent),
        ]
    }

    /// How many there are.
    pub fn sum(&self) -> u64 {
        self.causes().iter().map(|(_, count)| count).sum()
    }

    /// One more, that no link has counted.
    pub(super) fn count(&mut self, fate: Fate) {
        match fate {
            Fate::NatFiltered => self.nat_filtered += 1,
            Fate::NatExhausted => self.nat_exhausted += 1,
            _ => self.nat_unmapped += 1,
        }
    }
}

/// Measures one direction.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) packets_in: u64,
    pub(super) bytes_in: u64,
    /// What was dropped outside the link.
    pub(super) dropped: Dropped,
    packets_out: u64,
    bytes_out: u64,
    first_out: Option<Time>,
    last_out: Time,
    /// In microseconds.
    delays: Histogram<u64>,
}

/// Delays from a microsecond to a day are told apart.
const DELAY_MAX_US: u64 = 86_400_000_000;

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            packets_in: 0,
            bytes_in: 0,
            dropped: Dropped::default(),
            packets_out: 0,
            bytes_out: 0,
            first_out: None,
            last_out: Time::ZERO,
            delays: Histogram::new_with_bounds(1, DELAY_MAX_US, 3).expect("bounds that a histogram can have"),
        }
    }

    /// A packet that entered then has gone out now.
    pub(super) fn sent(&mut self, entered: Time, now: Time, bytes: usize) {
        self.packets_out += 1;
        self.bytes_out += bytes as u64;
        self.first_out.get_or_insert(now);
        self.last_out = now;
        self.delays.saturating_record(u64::try_from((now - entered).as_micros()).unwrap_or(u64::MAX));
    }

    /// All that there is to say about this direction.
    pub(super) fn traffic(
        &self,
        link: LinkCounts,
        conditions: Conditions,
        blocked: bool,
        held: u64,
    ) -> Traffic {
        let elapsed = self.first_out.map_or(Duration::ZERO, |first| self.last_out - first).as_secs_f64();
        let dropped = Dropped {
            lost: link.lost,
            blocked: link.blocked,
            too_big: link.too_big,
            queue_full: link.queue_full,
            ..self.dropped
        };
        Traffic {
            conditions,
            blocked,
            packets_in: self.packets_in,
            packets_out: self.packets_out,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            dropped,
            duplicated: link.duplicated,
            corrupted: link.corrupted,
            reordered: link.reordered,
            held,
            loss_percent: link.loss_percent(),
            delay_ms: self.delays(),
            mbit_per_s: if elapsed > 0.0 { self.bytes_out as f64 * 8e-6 / elapsed } else { 0.0 },
        }
    }

    fn delays(&self) -> Option<Delays> {
        let ms = |micros: u64| micros as f64 / 1000.0;
        (self.packets_out > 0).then(|| Delays {
            min: ms(self.delays.min()),
            p50: ms(self.delays.value_at_quantile(0.5)),
            p99: ms(self.delays.value_at_quantile(0.99)),
            max: ms(self.delays.max()),
        })
    }
}

fn in_millis<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(millis(*time))
}
