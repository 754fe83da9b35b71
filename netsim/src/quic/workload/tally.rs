//! What the programs write down while they run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::summary::Sample;
use crate::time::Time;

/// What both sides write down together.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<Total>>);

#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    pub(super) connections: u64,
    pub(super) sent: u64,
    pub(super) arrived: u64,
    pub(super) samples: Vec<Sample>,
}

impl Tally {
    pub(super) fn lock(&self) -> MutexGuard<'_, Total> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sent(&self, count: u64) {
        self.lock().sent += count;
    }

    /// This much arrived, that long after it was sent, if that is known.
    pub(super) fn arrived(&self, at: Time, amount: u64, latency: Option<Duration>) {
        let mut total = self.lock();
        total.arrived += amount;
        total.samples.push(Sample { at, amount, latency });
    }
}

/// How long a client waits for something to arrive.
#[derive(Clone, Debug, Default)]
pub(super) struct Gap(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    since: Option<Time>,
    longest: Duration,
}

impl Gap {
    /// From now on it waits, if it did not before.
    pub(super) fn waits(&self, now: Time) {
        self.lock().since.get_or_insert(now);
    }

    /// Something arrived.
    pub(super) fn ends(&self, now: Time) {
        let mut waiting = self.lock();
        if let Some(since) = waiting.since.take() {
            waiting.longest = waiting.longest.max(now - since);
        }
    }

    /// The longest time, also if it still waits at the end.
    pub(super) fn longest(&self, end: Time) -> Duration {
        let waiting = self.lock();
        waiting.longest.max(waiting.since.map_or(Duration::ZERO, |since| end - since))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
