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
//! replaces beats, and inbound traffic alone never does, because it neither proves nor refreshes a NAT's mapping. Messages
//! that the peer does not acknowledge in time bring a beat about, which asks why. The first beat follows an attach at once, since only a beat tells the peer the interval (the lease). The interval may
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

/// The longest time between two probes. Queues that were full a moment ago leave a round trip of seconds behind, and a path that is gone
/// is not to be asked for half a minute.
const PROBE_MAX: Duration = Duration::from_secs(1);

/// What the peer has seen of a beat is told within this.
const NEWS_WITHIN: Duration = Duration::from_secs(2);

/// A peer may take this long to acknowledge what it has received, beyond the time of a beat's answer: some of it is lost, or
/// waits for a busy process, and a beat for each would be too many.
const ACK_DELAY: Duration = Duration::from_millis(750);

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
    /// When something was written that the peer acknowledges, and until when that may take.
    asked: Option<(Instant, Instant)>,
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
            asked: None,
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
            State::Resting { due } => Some(self.asked.map_or(due, |(_, until)| due.min(until))),
            State::Suspect { due, .. } => Some(due),
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

    /// Something was written that the peer will acknowledge. If it does not in time, a beat asks why.
    pub fn ask(&mut self, rtt: Duration, now: Instant) {
        if matches!(self.state, State::Resting { .. }) {
            self.asked.get_or_insert((now, now + ACK_DELAY + answer_time(rtt)));
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
        self.asked = self.asked.filter(|(since, _)| *since > at);
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
                (self.beats, self.asked) = (self.beats.saturating_add(1), None);
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
        self.state = State::Suspect { probes: probes + 1, due: now + probe_spacing(rtt), left };
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
            State::Suspect { due, .. } => *due = now + probe_spacing(rtt),
            State::Resting { .. } => self.asked = None,
            State::Dead => {}
        }
    }
}

/// How long an answer may take: two probe timeouts, clamped.
fn answer_time(rtt: Duration) -> Duration {
    (2 * probe_timeout(rtt)).clamp(ANSWER_MIN, ANSWER_MAX)
}

/// The time between two probes.
fn probe_spacing(rtt: Duration) -> Duration {
    probe_timeout(rtt).min(PROBE_MAX)
}

/// RFC 9002 §6.2.1 with the variation at its initial half of the RTT: smoothed RTT + 4 × RTT/2.
pub fn probe_timeout(rtt: Duration) -> Duration {
    (3 * rtt).max(PTO_MIN)
}

#[cfg(test)]
mod tests;
