//! What is said on the way, and how long it takes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bowline_netsim::quic::Sim;
use bytes::Bytes;
use tokio::time::{Interval, MissedTickBehavior, interval};

pub(crate) const SIZE: usize = 200;

const EVERY: Duration = Duration::from_millis(50);

/// Nothing is said in the end, so that what was said can arrive.
const QUIET: Duration = Duration::from_secs(5);

/// How one subject fared.
#[derive(Debug, Default)]
pub(crate) struct Ride {
    pub(crate) sent: usize,
    /// When each message that arrived was sent, and how long it took.
    pub(crate) arrived: Vec<(Duration, Duration)>,
}

/// The ride as both sides see it.
#[derive(Clone)]
pub(crate) struct Seen {
    sim: Sim,
    until: Duration,
    ride: Arc<Mutex<Ride>>,
}

impl Seen {
    pub(crate) fn new(sim: Sim, duration: Duration, ride: Arc<Mutex<Ride>>) -> Self {
        Self { sim, until: duration.saturating_sub(QUIET), ride }
    }

    fn now(&self) -> Duration {
        self.sim.now().since_start()
    }

    /// When to say something.
    pub(crate) fn ticks() -> Interval {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        ticks
    }

    /// The next message, unless it is time to be quiet.
    pub(crate) fn say(&self) -> Option<Bytes> {
        let now = self.now();
        if now >= self.until {
            return None;
        }
        self.ride.lock().unwrap_or_else(PoisonError::into_inner).sent += 1;
        let mut message = (now.as_nanos() as u64).to_be_bytes().to_vec();
        message.resize(SIZE, 0);
        Some(message.into())
    }

    pub(crate) fn hear(&self, message: &[u8]) {
        if let Some(said) = message.first_chunk() {
            let said = Duration::from_nanos(u64::from_be_bytes(*said));
            let took = self.now().saturating_sub(said);
            self.ride.lock().unwrap_or_else(PoisonError::into_inner).arrived.push((said, took));
        }
    }
}
