//! The peer's clock, as far as deadlines need it (rule T1).
//!
//! What comes from the peer says when it was written, on a clock that counts from wherever it likes. The difference to the
//! time at which it arrives is the difference of the clocks and the time that it took. The smallest difference seen on a
//! link is the best: it is wrong by no more than the shortest one-way delay. So nothing is taken for late that is not,
//! and nothing is handed over later than that delay after its deadline.

use std::time::{Duration, Instant};

use crate::wire::Deadline;

/// See the module.
#[derive(Debug)]
pub struct PeerClock {
    /// What this side's clock counts from.
    origin: Instant,
    /// Our milliseconds less the peer's, at their smallest.
    difference_ms: Option<i128>,
}

impl PeerClock {
    /// This side's clock counts from `origin`.
    pub fn new(origin: Instant) -> Self {
        Self { origin, difference_ms: None }
    }

    /// What this side's clock shows.
    pub fn own_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }

    /// When this side's clock shows `own_ms`; `None` beyond its end.
    pub fn at(&self, own_ms: u64) -> Option<Instant> {
        self.origin.checked_add(Duration::from_millis(own_ms))
    }

    /// Something has come that was written when the peer's clock showed `sent_ms`.
    pub fn heard(&mut self, sent_ms: u64, now: Instant) {
        let difference = i128::from(self.own_ms(now)) - i128::from(sent_ms);
        self.difference_ms = Some(self.difference_ms.map_or(difference, |least| least.min(difference)));
    }

    /// When the deadline of what comes now is, on this side's clock; `None` if that is beyond its end.
    pub fn deadline(&mut self, deadline: Deadline, now: Instant) -> Option<Instant> {
        self.heard(deadline.sent_ms, now);
        let difference = self.difference_ms.unwrap_or_default();
        let at = i128::from(deadline.sent_ms) + i128::from(deadline.left_ms) + difference;
        self.at(u64::try_from(at.max(0)).ok()?)
    }

    /// A new link: the peer may have been restarted, and its clock with it.
    pub fn forget(&mut self) {
        self.difference_ms = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_message_so_far_tells_the_difference_of_the_clocks() {
        let origin = Instant::now();
        let at = |ms| origin + Duration::from_millis(ms);
        let mut clock = PeerClock::new(origin);
        let sent = |sent_ms, left_ms| Deadline { sent_ms, left_ms };
        // The peer's clock is 1,000,000 ms ahead; messages take 50 ms, then 20, then 80.
        assert_eq!(clock.deadline(sent(1_000_000, 100), at(50)), Some(at(150)));
        assert_eq!(clock.deadline(sent(1_000_100, 100), at(120)), Some(at(220)));
        assert_eq!(clock.deadline(sent(1_000_200, 100), at(280)), Some(at(320)));
        clock.forget();
        assert_eq!(clock.deadline(sent(5, 0), at(400)), Some(at(400)));
    }

    #[test]
    fn no_number_is_too_large() {
        let origin = Instant::now();
        let mut clock = PeerClock::new(origin);
        let huge = (1 << 62) - 1;
        clock.deadline(Deadline { sent_ms: huge, left_ms: huge }, origin);
        clock.deadline(Deadline { sent_ms: 0, left_ms: huge }, origin);
        clock.deadline(Deadline { sent_ms: huge, left_ms: 0 }, origin);
    }
}
