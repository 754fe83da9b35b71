//! What silence means on the accepting side (the lease), and whether a service behind a living peer takes its
//! messages (rule H8).

use std::time::{Duration, Instant};

/// A peer that beats every `interval` is missed after one and a half of them.
const LEASE: (u32, u32) = (3, 2);

/// Delivered messages may stay untaken this long before their service counts as stalled.
pub const STALL_AFTER: Duration = Duration::from_secs(5);

/// The promise of a dialer to be heard again in time.
#[derive(Debug)]
pub struct Lease {
    interval: Duration,
    heard: Instant,
    missed: bool,
}

impl Lease {
    /// Until a beat names the interval, `interval` is assumed.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, heard: now, missed: false }
    }

    /// Something came from the peer. Returns whether it had been missed.
    pub fn heard(&mut self, now: Instant) -> bool {
        self.heard = now;
        std::mem::take(&mut self.missed)
    }

    /// A beat promises the next one after `interval`.
    pub fn promise(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// When the peer will be missed.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.missed).then(|| self.heard + self.interval * LEASE.0 / LEASE.1)
    }

    /// Whether the peer is missed from now on. Said once per silence.
    pub fn poll(&mut self, now: Instant) -> bool {
        let missed = self.deadline().is_some_and(|deadline| now >= deadline);
        self.missed |= missed;
        missed
    }

    /// Whether the peer is being missed.
    pub fn is_missed(&self) -> bool {
        self.missed
    }
}

/// Watches a queue that somebody should be emptying.
#[derive(Debug, Default)]
pub struct StallWatch {
    waiting_since: Option<Instant>,
    stalled: bool,
}

impl StallWatch {
    /// The queue made progress, or became empty (`waiting` false), or was filled (`waiting` true). Returns
    /// whether a stall ended.
    pub fn progress(&mut self, waiting: bool, now: Instant) -> bool {
        self.waiting_since = waiting.then_some(now);
        std::mem::take(&mut self.stalled)
    }

    /// Something was put into the queue: the wait begins, unless it has begun.
    pub fn filled(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// When the queue will count as stalled.
    pub fn deadline(&self) -> Option<Instant> {
        if self.stalled { None } else { self.waiting_since.map(|since| since + STALL_AFTER) }
    }

    /// Whether it counts as stalled from now on. Said once per stall.
    pub fn poll(&mut self, now: Instant) -> bool {
        let stalled = self.deadline().is_some_and(|deadline| now >= deadline);
        self.stalled |= stalled;
        stalled
    }

    /// Whether it is stalled.
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// The process was stopped: the wait begins anew.
    pub fn forgive(&mut self, now: Instant) {
        if self.waiting_since.is_some() {
            self.waiting_since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_missed_once_after_one_and_a_half_intervals() {
        let now = Instant::now();
        let mut lease = Lease::new(Duration::from_secs(100), now);
        lease.promise(Duration::from_secs(10));
        assert!(!lease.poll(now + Duration::from_millis(14_999)));
        assert!(lease.poll(now + Duration::from_secs(15)));
        assert!(!lease.poll(now + Duration::from_secs(16)), "it was said already");
        assert!(lease.heard(now + Duration::from_secs(17)));
        assert!(!lease.heard(now + Duration::from_secs(17)));
        assert_eq!(lease.deadline(), Some(now + Duration::from_secs(32)));
    }

    #[test]
    fn a_queue_stalls_five_seconds_after_its_last_progress() {
        let now = Instant::now();
        let at = |s| now + Duration::from_secs(s);
        let mut watch = StallWatch::default();
        assert_eq!(watch.deadline(), None);
        watch.filled(now);
        watch.filled(at(3));
        assert!(!watch.poll(at(4)));
        watch.progress(true, at(4));
        assert!(!watch.poll(at(8)));
        assert!(watch.poll(at(9)));
        assert!(!watch.poll(at(10)), "it was said already");
        assert!(watch.progress(false, at(11)));
        assert_eq!(watch.deadline(), None);
    }
}
