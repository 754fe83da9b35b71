//! The dialer's heart: when to send a beat, what its silence means, and what is tried then (rules H1 to H4).
//!
//! ```text
//!            due, poke             unanswered          one probe timeout each
//!   Resting ──────────> Waiting ─────────────> Suspect: probe x 4, rebind, probe ─────> Dead
//!      ^                   │                      │                                      │
//!      └───────────────────┴── answer, or evidence┴──────────────────────────────────────┘
//! ```
//!
//! A beat is due one interval after the last *evidence* that something this side sent has arrived: an answer, an
//! acknowledgement by the peer's session, or a moved count of received QUIC ACK frames. So acknowledged traffic
//! replaces beats, and inbound traffic alone never does, because it neither proves nor refreshes a NAT's mapping.
//! The first beat follows an attach at once, since only a beat tells the peer the interval (the lease).
//!
//! While suspect the heart probes: each time a beat, and beside it a padded datagram, so that a peer that sees a new address may
//! answer in full at once (RFC 9000 section 8.1). Then this side's socket may be the one that is lost: it is replaced. After
//! that only another connection helps: the path is dead. Probes that do not even leave, because QUIC's congestion window is
//! full (rule H3), are not waited for.

use std::time::{Duration, Instant};

/// Probes before the socket is replaced.
const PROBES: u32 = 4;
/// Bounds of the time that a beat's answer may take; between them two probe timeouts.
const ANSWER_MIN: Duration = Duration::from_millis(250);
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// The probe timeout is at least this, so that a path of microseconds is not suspected by a scheduler's delay.
const PTO_MIN: Duration = Duration::from_millis(100);

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
    /// A beat was sent; its answer is overdue at `overdue`.
    Waiting {
        overdue: Instant,
    },
    /// So many probes were sent, with the socket replaced before the last of them if it is one more than usual. What comes
    /// next is due at `due`.
    Suspect {
        probes: u32,
        due: Instant,
        /// How many datagrams had left by the last probe.
        left: u64,
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
    },
    /// Send a beat with this parity, and a padded datagram.
    Probe {
        /// The parity bit.
        parity: bool,
        /// With this a suspicion begins.
        first: bool,
        /// Replace this side's socket before.
        rebind: bool,
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
        matches!(self.state, State::Suspect { .. } | State::Dead)
    }

    /// The next time that `poll` may want something.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Resting { due } | State::Suspect { due, .. } => Some(due),
            State::Waiting { overdue } => Some(overdue),
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

    /// Something else says that the path may be gone: it is suspect, and probed by the next `poll`, at first from a new
    /// socket if `rebind`. Returns whether that is news.
    pub fn doubt(&mut self, rebind: bool, now: Instant) -> bool {
        let news = !self.is_suspect();
        if self.state != State::Dead {
            let probes = if rebind { PROBES } else { 0 };
            self.state = State::Suspect { probes, due: now, left: 0 };
            // What came before this proves nothing.
            self.last_sample = None;
        }
        news
    }

    /// What was flowing has stopped: a beat is due, if none is under way.
    pub fn poke(&mut self, now: Instant) {
        if let State::Resting { due } = &mut self.state {
            *due = now;
            // What came before this proves nothing.
            self.last_sample = None;
        }
    }

    /// What to do now, given the smoothed round-trip time and how many datagrams have left on this link. `jitter` (0 to
    /// 255) is used for the next interval.
    pub fn poll(&mut self, now: Instant, rtt: Duration, left: u64, jitter: u8) -> Option<Pulse> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        self.jitter = jitter;
        let (probes, mute, first) = match self.state {
            State::Resting { .. } => {
                self.begun = true;
                self.state = State::Waiting { overdue: now + answer_time(rtt) };
                return Some(Pulse::Beat { parity: self.turn() });
            }
            State::Waiting { .. } => (0, false, true),
            State::Suspect { probes, left: before, .. } => {
                (probes, probes > 0 && left > 0 && left == before, false)
            }
            State::Dead => return None,
        };
        if probes > PROBES || mute {
            self.state = State::Dead;
            return Some(Pulse::Dead);
        }
        self.begun = true;
        self.state = State::Suspect { probes: probes + 1, due: now + probe_timeout(rtt), left };
        Some(Pulse::Probe { parity: self.turn(), first, rebind: probes == PROBES })
    }

    fn turn(&mut self) -> bool {
        self.parity = !self.parity;
        self.parity
    }

    /// The process was stopped for a while: what looks overdue gets its time anew.
    pub fn forgive(&mut self, now: Instant, rtt: Duration) {
        match &mut self.state {
            State::Waiting { overdue } => *overdue = now + answer_time(rtt),
            State::Suspect { due, .. } => *due = now + probe_timeout(rtt),
            State::Resting { .. } | State::Dead => {}
        }
    }
}

/// How long an answer may take: two probe timeouts, clamped.
fn answer_time(rtt: Duration) -> Duration {
    (2 * probe_timeout(rtt)).clamp(ANSWER_MIN, ANSWER_MAX)
}

/// RFC 9002 §6.2.1 with the variation at its initial half of the RTT: smoothed RTT + 4 × RTT/2.
pub fn probe_timeout(rtt: Duration) -> Duration {
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
        assert_eq!(heart.poll(now, RTT, 1, 0), Some(Pulse::Beat { parity: true }));
        assert_eq!(heart.poll(now, RTT, 0, 0), None);
        assert!(!heart.evidence(now + RTT));
        assert_eq!(heart.deadline(), Some(now + RTT + INTERVAL));
        assert_eq!(heart.poll(now + RTT + INTERVAL, RTT, 2, 0), Some(Pulse::Beat { parity: false }));
    }

    #[test]
    fn what_was_acknowledged_before_a_doubt_does_not_end_it() {
        let (mut heart, now) = started();
        let at = |ms| now + Duration::from_millis(ms);
        heart.poll(now, RTT, 0, 0);
        heart.sample(10, now);
        assert!(heart.doubt(false, at(100)));
        assert!(!heart.sample(15, at(100)), "these came before");
        let probe = Pulse::Probe { parity: false, first: false, rebind: false };
        assert_eq!(heart.poll(at(100), RTT, 0, 0), Some(probe));
        assert!(heart.is_suspect());
        assert!(heart.sample(16, at(200)), "this one came after");
    }

    #[test]
    fn silence_is_probed_then_met_with_a_new_socket_and_then_dead() {
        let (mut heart, now) = started();
        let (mut pulses, mut left) = (Vec::new(), 0);
        while let Some(at) = heart.deadline() {
            left += 1;
            pulses.extend(heart.poll(at, RTT, left, 0).map(|pulse| ((at - now).as_millis(), pulse)));
            assert_eq!(heart.is_suspect(), pulses.len() > 1);
        }
        let probe = |parity, first, rebind| Pulse::Probe { parity, first, rebind };
        let wanted = [
            (0, Pulse::Beat { parity: true }),
            (250, probe(false, true, false)),
            (370, probe(true, false, false)),
            (490, probe(false, false, false)),
            (610, probe(true, false, false)),
            (730, probe(false, false, true)),
            (850, Pulse::Dead),
        ];
        assert_eq!(pulses, wanted);
    }

    #[test]
    fn probes_that_do_not_leave_are_not_waited_for() {
        let (mut heart, now) = started();
        heart.poll(now, RTT, 7, 0);
        let mut pulses = Vec::new();
        while let Some(at) = heart.deadline() {
            pulses.extend(heart.poll(at, RTT, 7, 0));
        }
        assert_eq!(pulses, [Pulse::Probe { parity: false, first: true, rebind: false }, Pulse::Dead]);
    }

    #[test]
    fn a_poke_brings_the_next_beat_forward_and_no_second_one() {
        let (mut heart, now) = started();
        heart.poll(now, RTT, 0, 0);
        heart.evidence(now + RTT);
        let later = now + Duration::from_secs(1);
        heart.poke(later);
        assert_eq!(heart.poll(later, RTT, 1, 0), Some(Pulse::Beat { parity: false }));
        heart.poke(later);
        assert_eq!(heart.poll(later, RTT, 1, 0), None);
    }

    #[test]
    fn acknowledged_traffic_replaces_beats() {
        let (mut heart, now) = started();
        heart.poll(now, RTT, 0, 0);
        heart.evidence(now);
        for second in 1..=60 {
            let at = now + Duration::from_secs(second);
            heart.sample(second, at);
            assert_eq!(heart.poll(at, RTT, 0, 0), None, "at {second} s");
        }
        assert!(heart.poll(now + Duration::from_secs(60) + INTERVAL, RTT, 0, 0).is_some());
    }

    #[test]
    fn the_first_beat_is_sent_even_if_something_else_has_arrived_before() {
        let (mut heart, now) = started();
        heart.evidence(now);
        heart.sample(1, now);
        heart.sample(2, now);
        assert!(heart.poll(now, RTT, 0, 0).is_some());
        heart.evidence(now + RTT);
        assert_eq!(heart.deadline(), Some(now + RTT + INTERVAL));
    }

    #[test]
    fn a_counter_that_stands_still_is_no_evidence() {
        let (mut heart, now) = started();
        heart.poll(now, RTT, 0, 0);
        heart.evidence(now);
        for second in 0..15 {
            heart.sample(7, now + Duration::from_secs(second));
        }
        assert_eq!(heart.deadline(), Some(now + INTERVAL));
    }

    #[test]
    fn an_answer_ends_a_suspicion_and_says_so() {
        let (mut heart, _) = started();
        for left in 0..2 {
            heart.poll(heart.deadline().unwrap(), RTT, left, 0);
        }
        let now = heart.deadline().unwrap();
        assert!(heart.evidence(now));
        assert!(!heart.is_suspect());
        assert!(!heart.evidence(now));
    }

    #[test]
    fn a_path_in_doubt_is_suspect_and_probed_at_once() {
        for rebind in [false, true] {
            let (mut heart, now) = started();
            heart.poll(now, RTT, 0, 0);
            heart.evidence(now);
            assert!(heart.doubt(rebind, now) && heart.is_suspect());
            assert!(!heart.doubt(rebind, now), "it is suspect already");
            let probe = Pulse::Probe { parity: false, first: false, rebind };
            assert_eq!(heart.poll(now, RTT, 0, 0), Some(probe));
            assert!(heart.evidence(now + RTT));
        }
    }

    #[test]
    fn jitter_only_shortens_and_by_a_tenth_at_most() {
        let (mut heart, now) = started();
        heart.poll(now, RTT, 0, 255);
        heart.evidence(now);
        assert_eq!(heart.deadline(), Some(now + INTERVAL * 9 / 10));
    }
}
