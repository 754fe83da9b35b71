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
//! The first beat follows an attach at once, since only a beat tells the peer the interval (the lease). The interval may
//! change: a shorter one holds at once, a longer one when the peer has answered the beat that promises it.
//!
//! Many dialers may attach in the same moment, when a server has come back. So every interval is shortened by up to a
//! tenth at random, and the first four by up to a half: after them the dialers beat at any time alike.
//!
//! What ends a suspicion is an answer alone. Acknowledgements may have been under way for long, or be sent again by a peer that
//! has heard nothing new; so they only have the path asked again.
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

/// What the peer has seen of a beat is told within this.
const NEWS_WITHIN: Duration = Duration::from_secs(2);

/// By how many tenths so many first intervals are shortened at most.
const SPREADING: (u8, u32) = (4, 5);

/// The beating side of one link.
#[derive(Debug)]
pub struct Heart {
    interval: Duration,
    /// A longer interval, which holds as soon as the peer has been told of it.
    longer: Option<Duration>,
    /// The last beat told the interval that is wanted.
    told: bool,
    state: State,
    parity: bool,
    /// Beats that were due and sent, as far as that matters. Until the first, evidence does not replace it.
    beats: u8,
    /// When something we sent was last known to have arrived; `None` before the first time.
    evidence: Option<Instant>,
    /// When that came after a long rest.
    woke: Option<Instant>,
    /// Shortens this interval at random, so that many dialers do not beat together.
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
        Self {
            interval,
            longer: None,
            told: true,
            state,
            parity: false,
            beats: 0,
            evidence: None,
            woke: None,
            jitter: 0,
            last_sample: None,
        }
    }

    /// The interval in force.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// What a beat that leaves now promises.
    pub fn promise(&self) -> Duration {
        self.longer.unwrap_or(self.interval)
    }

    /// Another interval is wanted from `now` on. A beat says so at once, unless one is under way.
    pub fn set_interval(&mut self, interval: Duration, now: Instant) {
        if self.promise() == interval {
            return;
        }
        (self.longer, self.told) = (None, false);
        if interval > self.interval {
            self.longer = Some(interval);
        } else {
            self.interval = interval;
        }
        self.poke(now);
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
    /// latest sample's time at the earliest.
    pub fn sample(&mut self, acks: u64, now: Instant) {
        let moved = self.last_sample.is_some_and(|(_, before)| acks > before);
        let since = self.last_sample.map_or(now, |(at, _)| at);
        self.last_sample = Some((now, acks));
        match self.is_suspect() {
            _ if !moved => {}
            true => self.ask_again(now),
            false => drop(self.proved(since.max(self.evidence.unwrap_or(since)))),
        }
    }

    /// The peer acknowledged something, at `now`.
    pub fn evidence(&mut self, now: Instant) {
        match self.is_suspect() {
            true => self.ask_again(now),
            false => drop(self.proved(now)),
        }
    }

    /// The peer answered a beat of this parity at `now`. Returns whether a suspicion ended.
    pub fn answered(&mut self, parity: bool, now: Instant) -> bool {
        if self.told
            && parity == self.parity
            && let Some(longer) = self.longer.take()
        {
            self.interval = longer;
        }
        self.proved(now)
    }

    /// A path that is suspect, or dead, may live after all.
    fn ask_again(&mut self, now: Instant) {
        match &mut self.state {
            State::Suspect { probes, .. } => *probes = 1.min(*probes),
            _ => self.state = State::Suspect { probes: 0, due: now, left: 0 },
        }
    }

    fn proved(&mut self, at: Instant) -> bool {
        let suspect = self.is_suspect();
        let before = self.evidence.replace(at);
        if before.is_some_and(|before| at.saturating_duration_since(before) >= self.interval / 2) {
            self.woke = Some(at);
        }
        if self.beats == 0 {
            return suspect;
        }
        let (first, most) = SPREADING;
        let tenths = if self.beats <= first { most } else { 1 };
        let shorter = self.interval * tenths * u32::from(self.jitter) / (10 * 255);
        let due = if self.told { at + self.interval - shorter } else { at };
        self.state = State::Resting { due };
        suspect
    }

    /// Whether what the peer tells now of this side's address follows from a rest of at least half an interval. If not,
    /// something else than time has made the NAT forget.
    pub fn has_rested(&self, now: Instant) -> bool {
        let is_after = |since: &Instant| now.saturating_duration_since(*since) <= NEWS_WITHIN;
        let rests = |evidence: Instant| now.saturating_duration_since(evidence) >= self.interval / 2;
        self.woke.as_ref().is_some_and(is_after) || self.evidence.is_some_and(rests)
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
                self.beats = self.beats.saturating_add(1);
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
        self.beats = self.beats.max(1);
        self.state = State::Suspect { probes: probes + 1, due: now + probe_timeout(rtt), left };
        Some(Pulse::Probe { parity: self.turn(), first, rebind: probes == PROBES })
    }

    fn turn(&mut self) -> bool {
        self.told = true;
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
        assert!(!heart.answered(true, now + RTT));
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
        heart.sample(15, at(100));
        let probe = Pulse::Probe { parity: false, first: false, rebind: false };
        assert_eq!(heart.poll(at(100), RTT, 0, 0), Some(probe));
        heart.sample(16, at(200));
        heart.evidence(at(200));
        assert!(heart.is_suspect(), "who knows how long these were under way");
        assert!(heart.answered(true, at(201)) && !heart.is_suspect());
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
        assert!(heart.answered(true, now));
        assert!(!heart.is_suspect());
        assert!(!heart.answered(true, now));
    }

    #[test]
    fn an_acknowledgement_has_a_dead_path_asked_again() {
        let (mut heart, _) = started();
        let mut left = 0;
        while let Some(at) = heart.deadline() {
            left += 1;
            heart.poll(at, RTT, left, 0);
        }
        let now = Instant::now() + INTERVAL;
        heart.evidence(now);
        let Some(Pulse::Probe { first: false, rebind: false, .. }) = heart.poll(now, RTT, left + 1, 0) else {
            panic!("nobody asks");
        };
        assert!(heart.is_suspect());
        // One that comes while it is asked does not have it asked faster.
        heart.sample(1, now);
        heart.sample(2, now);
        assert_eq!(heart.poll(now, RTT, left + 2, 0), None);
        assert!(heart.answered(true, now + RTT));
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
            assert!(heart.answered(true, now + RTT));
        }
    }

    #[test]
    fn jitter_only_shortens_and_by_a_tenth_at_most_once_dialers_are_spread() {
        let (mut heart, _) = started();
        for tenths in [5, 5, 5, 5, 9, 9] {
            let now = heart.deadline().unwrap();
            heart.poll(now, RTT, 0, 255);
            heart.evidence(now);
            assert_eq!(heart.deadline(), Some(now + INTERVAL * tenths / 10));
        }
    }

    #[test]
    fn a_longer_interval_holds_when_the_peer_has_been_told() {
        let (mut heart, now) = started();
        let at = |s| now + Duration::from_secs(s);
        heart.poll(now, RTT, 0, 0);
        // The beat under way promises the old one, so its answer is no news of the new one.
        heart.set_interval(2 * INTERVAL, now);
        heart.answered(true, now);
        assert_eq!(
            (heart.interval(), heart.promise(), heart.deadline()),
            (INTERVAL, 2 * INTERVAL, Some(now))
        );
        assert_eq!(heart.poll(now, RTT, 1, 0), Some(Pulse::Beat { parity: false }));
        // Other evidence says nothing of the beat, and the next one tells it again.
        heart.evidence(at(1));
        assert_eq!((heart.interval(), heart.deadline()), (INTERVAL, Some(at(1) + INTERVAL)));
        heart.answered(true, at(2));
        assert_eq!(heart.interval(), INTERVAL, "an answer to an older beat");
        heart.answered(false, at(3));
        assert_eq!((heart.interval(), heart.deadline()), (2 * INTERVAL, Some(at(3) + 2 * INTERVAL)));
    }

    #[test]
    fn a_beat_after_a_rest_is_told_from_traffic() {
        let (mut heart, now) = started();
        heart.poll(now, RTT, 0, 0);
        heart.answered(true, now);
        for second in 1..=60 {
            let at = now + Duration::from_secs(second);
            heart.evidence(at);
            assert!(!heart.has_rested(at), "at {second} s");
        }
        let later = now + Duration::from_secs(60) + INTERVAL / 2;
        assert!(!heart.has_rested(later - RTT) && heart.has_rested(later), "nothing has come back for long");
        heart.evidence(later);
        heart.evidence(later + RTT);
        assert!(heart.has_rested(later + RTT), "that was the beat");
        assert!(!heart.has_rested(later + NEWS_WITHIN + RTT));
    }

    #[test]
    fn a_shorter_interval_holds_at_once() {
        let (mut heart, now) = started();
        let later = now + INTERVAL / 3;
        heart.poll(now, RTT, 0, 0);
        heart.answered(true, now);
        heart.set_interval(INTERVAL, later);
        assert_eq!(heart.deadline(), Some(now + INTERVAL), "it is the same");
        heart.set_interval(INTERVAL / 2, later);
        assert_eq!((heart.interval(), heart.promise()), (INTERVAL / 2, INTERVAL / 2));
        assert_eq!(heart.poll(later, RTT, 1, 0), Some(Pulse::Beat { parity: false }));
        heart.evidence(later);
        assert_eq!(heart.deadline(), Some(later + INTERVAL / 2));
        // A wish that was taken back before the peer heard of it.
        heart.set_interval(INTERVAL, later);
        heart.set_interval(INTERVAL / 2, later);
        assert_eq!(heart.promise(), INTERVAL / 2);
    }
}
