//! What silence means on the accepting side (the lease), and whether a service behind a living peer takes its
//! messages (rule H8).

use std::time::{Duration, Instant};

/// A peer that beats every `interval` is missed after one and a half of them.
const LEASE: (u32, u32) = (3, 2);

/// Delivered messages may stay untaken this long before their service counts as stalled.
pub const STALL_AFTER: Duration = Duration::from_secs(5);

/// The promise of a dialer to be heard again in time.
///
/// ```text
///             one and a half intervals of silence
///   Present ───────────────────────────────────────> Missed
///    ^   ^ └──── it says that it goes away ──> Away    │
///    │   └────── it says that it is back ───────┘      │
///    └─────────── anything is heard ───────────────────┘
/// ```
#[derive(Debug)]
pub struct Lease {
    interval: Duration,
    heard: Instant,
    belief: Belief,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Belief {
    Present,
    Missed,
    /// What still comes was under way, or is said by a process that is about to be stopped.
    Away,
}

impl Lease {
    /// Until a beat names the interval, `interval` is assumed.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, heard: now, belief: Belief::Present }
    }

    /// Something came from the peer. Returns whether it had been missed.
    pub fn heard(&mut self, now: Instant) -> bool {
        self.heard = now;
        self.turn(Belief::Missed, Belief::Present)
    }

    /// Something came, at an unknown time since then. It counts as half an interval's worth of life at least.
    pub fn heard_since(&mut self, since: Instant, now: Instant) -> bool {
        let least = now.checked_sub(self.interval).unwrap_or(since);
        self.heard = self.heard.max(since).max(least);
        self.turn(Belief::Missed, Belief::Present)
    }

    /// The peer says that it will not be heard for a while. Returns whether that is news.
    pub fn leave(&mut self) -> bool {
        self.turn(Belief::Present, Belief::Away)
    }

    /// The peer says that it is back. Returns whether it was away.
    pub fn come_back(&mut self, now: Instant) -> bool {
        self.heard = now;
        self.turn(Belief::Away, Belief::Present)
    }

    fn turn(&mut self, from: Belief, to: Belief) -> bool {
        let turns = self.belief == from;
        if turns {
            self.belief = to;
        }
        turns
    }

    /// A beat promises the next one after `interval`.
    pub fn promise(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// When the peer will be missed.
    pub fn deadline(&self) -> Option<Instant> {
        (self.belief == Belief::Present).then(|| self.heard + self.interval * LEASE.0 / LEASE.1)
    }

    /// Whether the peer is missed from now on. Said once per silence.
    pub fn poll(&mut self, now: Instant) -> bool {
        let missed = self.deadline().is_some_and(|deadline| now >= deadline);
        missed && self.turn(Belief::Present, Belief::Missed)
    }

    /// Whether nobody is believed to listen.
    pub fn is_dormant(&self) -> bool {
        self.belief != Belief::Present
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
    fn what_came_at_an_unknown_time_renews_the_lease_for_half_an_interval_at_least() {
        let now = Instant::now();
        let at = |s| now + Duration::from_secs(s);
        let mut lease = Lease::new(Duration::from_secs(10), now);
        assert!(!lease.heard_since(now, at(14)));
        assert_eq!(lease.deadline(), Some(at(19)));
        assert!(!lease.heard_since(at(14), at(18)));
        assert_eq!(lease.deadline(), Some(at(29)), "it cannot have come before this");
    }

    #[test]
    fn a_peer_that_is_away_is_not_missed_and_comes_back_by_its_own_word() {
        let now = Instant::now();
        let mut lease = Lease::new(Duration::from_secs(10), now);
        assert!(lease.leave() && lease.is_dormant());
        assert!(!lease.leave(), "it was said already");
        assert_eq!(lease.deadline(), None);
        assert!(!lease.heard(now) && lease.is_dormant(), "this was under way");
        let later = now + Duration::from_secs(100);
        assert!(lease.come_back(later) && !lease.is_dormant());
        assert!(!lease.come_back(later));
        assert_eq!(lease.deadline(), Some(later + Duration::from_secs(15)));
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
