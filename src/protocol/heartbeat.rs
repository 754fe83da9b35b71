//! The dialer's heart: when to send a beat, and what its silence means (rules H1, H2, H3).
//!
//! ```text
//!            due                    unanswered               4 more unanswered
//!   Resting ─────> Waiting ───────────────────> Suspect ───────────────────────> Dead
//!      ^              │                            │                               │
//!      └──────────────┴── answer, or evidence ─────┴───────────────────────────────┘
//! ```
//!
//! A beat is due one interval after the last *evidence* that something this side sent has arrived: an answer, an
//! acknowledgement by the peer's session, or a moved count of received QUIC ACK frames. So acknowledged traffic
//! replaces beats, and inbound traffic alone never does, because it neither proves nor refreshes a NAT's mapping.
//! The first beat follows an attach at once, since only a beat tells the peer the interval (the lease).

use std::time::{Duration, Instant};

/// Beats sent while suspect before the path counts as dead.
const PROBES: u32 = 4;
/// Bounds of the time that a beat's answer may take; between them three probe timeouts.
const ANSWER_MIN: Duration = Duration::from_millis(500);
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// The probe timeout is at least this, so that a path of microseconds is not suspected by a scheduler's delay.
const PTO_MIN: Duration = Duration::from_millis(50);

/// The beating side of one link.
#[derive(Debug)]
pub struct Heart {
    interval: Duration,
    state: State,
    parity: bool,
    /// The first beat was sent. Until then evidence does not replace it: only a beat tells the peer the interval.
    begun: bool,
    /// When something we sent was last known to have arrived; `None` before the first time.
    evidence: Option<Instant>,
    /// Shortens this interval by up to 10 %, so that many clients do not beat together.
    jitter: u8,
    last_sample: Option<(Instant, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Resting {
        due: Instant,
    },
    /// `unanswered` beats were sent; the last one's answer is overdue at `overdue`.
    Waiting {
        unanswered: u32,
        overdue: Instant,
    },
    Dead,
}

/// What a heart wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Send a beat with this parity.
    Beat {
        /// The parity bit.
        parity: bool,
        /// With this beat a suspicion begins.
        suspect: bool,
    },
    /// Nothing has come back for too long. Said once.
    Dead,
}

impl Heart {
    /// A heart for a link attached at `now`; its first beat is due at once.
    pub fn new(interval: Duration, now: Instant) -> Self {
        let state = State::Resting { due: now };
        Self { interval, state, parity: false, begun: false, evidence: None, jitter: 0, last_sample: None }
    }

    /// Whether beats are unanswered beyond their time.
    pub fn is_suspect(&self) -> bool {
        matches!(self.state, State::Waiting { unanswered: 2.., .. } | State::Dead)
    }

    /// The next time that `poll` may want something.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Resting { due } => Some(due),
            State::Waiting { overdue, .. } => Some(overdue),
            State::Dead => None,
        }
    }

    /// When the transport's counters are next worth sampling.
    pub fn sample_deadline(&self) -> Option<Instant> {
        self.last_sample.map(|(at, _)| at + self.interval / 4)
    }

    /// The transport has received `acks` ACK frames so far. If that moved since the last sample, something arrived, at the
    /// latest sample's time at the earliest. Returns whether a suspicion ended.
    pub fn sample(&mut self, acks: u64, now: Instant) -> bool {
        let moved = self.last_sample.is_some_and(|(_, before)| acks > before);
        let since = self.last_sample.map_or(now, |(at, _)| at);
        self.last_sample = Some((now, acks));
        moved && self.proved(since.max(self.evidence.unwrap_or(since)))
    }

    /// The peer answered a beat, this one or an older, or acknowledged something, at `now`. Returns whether a suspicion
    /// ended.
    pub fn evidence(&mut self, now: Instant) -> bool {
        self.proved(now)
    }

    fn proved(&mut self, at: Instant) -> bool {
        let suspect = self.is_suspect();
        self.evidence = Some(at);
        if !self.begun {
            return suspect;
        }
        let shorter = self.interval * u32::from(self.jitter) / (10 * 255);
        self.state = State::Resting { due: at + self.interval - shorter };
        suspect
    }

    /// Something else says that the path may be gone: it is suspect, and probed by the next `poll`. Returns whether that
    /// is news.
    pub fn doubt(&mut self, now: Instant) -> bool {
        let news = !self.is_suspect();
        if self.state != State::Dead {
            self.state = State::Waiting { unanswered: 2, overdue: now };
            // What came before this proves nothing.
            self.last_sample = None;
        }
        news
    }

    /// What to do now, given the smoothed round-trip time. `jitter` (0 to 255) is used for the next interval.
    pub fn poll(&mut self, now: Instant, rtt: Duration, jitter: u8) -> Option<Pulse> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        self.jitter = jitter;
        let unanswered = match self.state {
            State::Resting { .. } => 0,
            State::Waiting { unanswered, .. } => unanswered,
            State::Dead => return None,
        };
        if unanswered > PROBES {
            self.state = State::Dead;
            return Some(Pulse::Dead);
        }
        self.parity = !self.parity;
        self.begun = true;
        self.state = State::Waiting { unanswered: unanswered + 1, overdue: now + answer_time(rtt) };
        Some(Pulse::Beat { parity: self.parity, suspect: unanswered == 1 })
    }

    /// The process was stopped for a while: what looks overdue gets its time anew.
    pub fn forgive(&mut self, now: Instant, rtt: Duration) {
        if let State::Waiting { unanswered, .. } = self.state {
            self.state = State::Waiting { unanswered, overdue: now + answer_time(rtt) };
        }
    }
}

/// How long an answer may take: three probe timeouts (RFC 9002 §6.2: about 3 × RTT), clamped.
fn answer_time(rtt: Duration) -> Duration {
    (3 * probe_timeout(rtt)).clamp(ANSWER_MIN, ANSWER_MAX)
}

/// RFC 9002 §6.2.1 with the variation at its initial half of the RTT: smoothed RTT + 4 × RTT/2.
fn probe_timeout(rtt: Duration) -> Duration {
    (3 * rtt).max(PTO_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);
    const RTT: Duration = Duration::from_millis(40);

    fn started() -> (Heart, Instant) {
        let now = Instant::now();
        (Heart::new(INTERVAL, now), now)
    }

    #[test]
    fn the_first_beat_is_due_at_once_and_the_next_an_interval_after_the_answer() {
        let (mut heart, now) = started();
        assert_eq!(heart.poll(now, RTT, 0), Some(Pulse::Beat { parity: true, suspect: false }));
        assert_eq!(heart.poll(now, RTT, 0), None);
        assert!(!heart.evidence(now + RTT));
        assert_eq!(heart.deadline(), Some(now + RTT + INTERVAL));
        assert_eq!(
            heart.poll(now + RTT + INTERVAL, RTT, 0),
            Some(Pulse::Beat { parity: false, suspect: false })
        );
    }

    #[test]
    fn what_was_acknowledged_before_a_doubt_does_not_end_it() {
        let (mut heart, now) = started();
        let at = |ms| now + Duration::from_millis(ms);
        heart.poll(now, RTT, 0);
        heart.sample(10, now);
        assert!(heart.doubt(at(100)));
        assert!(!heart.sample(15, at(100)), "these came before");
        assert_eq!(heart.poll(at(100), RTT, 0), Some(Pulse::Beat { parity: false, suspect: false }));
        assert!(heart.is_suspect());
        assert!(heart.sample(16, at(200)), "this one came after");
    }

    #[test]
    fn silence_is_suspected_at_the_second_beat_and_dead_after_four_more() {
        let (mut heart, _) = started();
        let mut pulses = Vec::new();
        while let Some(at) = heart.deadline() {
            pulses.extend(heart.poll(at, RTT, 0));
            assert_eq!(heart.is_suspect(), pulses.len() > 1);
        }
        let suspicions: Vec<bool> =
            pulses.iter().map(|p| matches!(p, Pulse::Beat { suspect: true, .. })).collect();
        assert_eq!(suspicions, [false, true, false, false, false, false]);
        assert_eq!(pulses.last(), Some(&Pulse::Dead));
    }

    #[test]
    fn acknowledged_traffic_replaces_beats() {
        let (mut heart, now) = started();
        heart.poll(now, RTT, 0);
        heart.evidence(now);
        for second in 1..=60 {
            let at = now + Duration::from_secs(second);
            heart.sample(second, at);
            assert_eq!(heart.poll(at, RTT, 0), None, "at {second} s");
        }
        assert!(heart.poll(now + Duration::from_secs(60) + INTERVAL, RTT, 0).is_some());
    }

    #[test]
    fn the_first_beat_is_sent_even_if_something_else_has_arrived_before() {
        let (mut heart, now) = started();
        heart.evidence(now);
        heart.sample(1, now);
        heart.sample(2, now);
        assert!(heart.poll(now, RTT, 0).is_some());
        heart.evidence(now + RTT);
        assert_eq!(heart.deadline(), Some(now + RTT + INTERVAL));
    }

    #[test]
    fn a_counter_that_stands_still_is_no_evidence() {
        let (mut heart, now) = started();
        heart.poll(now, RTT, 0);
        heart.evidence(now);
        for second in 0..15 {
            heart.sample(7, now + Duration::from_secs(second));
        }
        assert_eq!(heart.deadline(), Some(now + INTERVAL));
    }

    #[test]
    fn an_answer_ends_a_suspicion_and_says_so() {
        let (mut heart, _) = started();
        for _ in 0..2 {
            heart.poll(heart.deadline().unwrap(), RTT, 0);
        }
        let now = heart.deadline().unwrap();
        assert!(heart.evidence(now));
        assert!(!heart.is_suspect());
        assert!(!heart.evidence(now));
    }

    #[test]
    fn a_path_in_doubt_is_suspect_and_probed_at_once() {
        let (mut heart, now) = started();
        heart.poll(now, RTT, 0);
        heart.evidence(now);
        assert!(heart.doubt(now) && heart.is_suspect());
        assert!(!heart.doubt(now), "it is suspect already");
        assert_eq!(heart.poll(now, RTT, 0), Some(Pulse::Beat { parity: false, suspect: false }));
        assert!(heart.evidence(now + RTT));
    }

    #[test]
    fn jitter_only_shortens_and_by_a_tenth_at_most() {
        let (mut heart, now) = started();
        heart.poll(now, RTT, 255);
        heart.evidence(now);
        assert_eq!(heart.deadline(), Some(now + INTERVAL * 9 / 10));
    }
}
