//! How long the NATs of a network remember a silent dialer, and the interval between beats that follows (rule H6).
//!
//! ```text
//!           lived 30 s                    nothing longer is worth a probe
//!   Boot ─────────────────────> Probe ─────────────────────────────────────> Stable ──── a week ────> Recheck
//!    ^                          ^   │                                          │ ^                       │
//!    │                          │   └── probes come to nothing ──> Fixed       │ └────── confirmed ──────┤
//!    │                          ├───────────────── a day ───────────┘          │                         │
//!    └── another network        └── two mappings lost within an hour ──────────┴── not true any more ────┘
//! ```
//!
//! A *probe* is a connection of its own: it is silent for some time, and then its peer speaks. If that comes through, the
//! NAT remembers such a silence; one success proves it. If it does not, and another connection is answered at once, the
//! NAT has probably forgotten, and after the second such failure that counts as known. So a lost packet costs a probe and
//! nothing else, and nothing is ever tried out on the connection that carries the session.
//!
//! The interval keeps well below what was survived. Where only something too long was found, and shorter probes told nothing, it is a
//! guess below that, which lost mappings shorten. Silences are tried in steps; between the last two, only those
//! that would allow a longer interval of the table.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::config::Power;
use crate::protocol::types::{Finding, HeartbeatReason, HeartbeatState, HeartbeatStats, Lifetime, NetworkId};
use crate::wire::heartbeat::{INTERVALS_S, index_at_most, interval};

/// The silences to try. A longer interval would need a silence of 360 s, which RFC 4787 asks of no NAT.
const STEPS: [Duration; 13] = seconds([3, 5, 8, 12, 15, 20, 30, 45, 60, 90, 120, 180, 240]);
/// The first of them.
const FIRST: Duration = Duration::from_secs(30);

/// The interval where nothing is known.
const BOOT: Duration = Duration::from_secs(10);
/// The interval where nothing can be learned.
const FIXED: Duration = Duration::from_secs(15);
/// No interval is shorter.
const FLOOR: Duration = Duration::from_secs(2);

/// How long a link has lived before its first probe: short sessions cost none.
const SETTLED: Duration = Duration::from_secs(30);
/// What was learned holds for so long.
const RECHECK_AFTER: Duration = Duration::from_secs(7 * 86_400);
/// What could not be learned is tried again after so long.
const RETRY_AFTER: Duration = Duration::from_secs(86_400);

/// Probes at once.
const AT_ONCE: usize = 4;
/// Failures of a silence, or of shorter ones, before it counts as forgotten.
const STRIKES: u32 = 2;
/// Probes in a row that say nothing before no more are made, and the first wait between two, which doubles.
const FAILURES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(30);
/// When to look again whether another session has come to an end with its probes.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// Two lost mappings within this time are no accident.
const LOSSES_WITHIN: Duration = Duration::from_secs(3600);

const fn seconds<const N: usize>(values: [u64; N]) -> [Duration; N] {
    let mut all = [Duration::ZERO; N];
    let mut at = 0;
    while at < N {
        all[at] = Duration::from_secs(values[at]);
        at += 1;
    }
    all
}

/// What a dialer with an adaptive heartbeat knows of its network, and wants to know.
#[derive(Debug)]
pub struct Learner {
    power: Power,
    longest: Duration,
    phase: Phase,
    why: HeartbeatReason,
    network: Option<NetworkId>,
    known: Lifetime,
    /// What was survived before, and is put to the test before anything else.
    unconfirmed: Option<Duration>,
    /// The interval as long as no silence is known to be survived.
    careful: Duration,
    trials: Vec<Trial>,
    /// How often a silence that is not known to be survived has failed.
    strikes: BTreeMap<Duration, u32>,
    /// Probes in a row that said nothing.
    failures: u32,
    /// When the next probe may begin; `None` before the first attach.
    next: Option<Instant>,
    /// A mapping was lost, for the first time in a while.
    lost: Option<Instant>,
    wants: VecDeque<Want>,
    ended: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Boot,
    Probe,
    Recheck,
    Stable { until: Instant },
    Fixed { until: Instant },
}

/// A probe under way.
#[derive(Debug)]
struct Trial {
    silence: Duration,
    /// The path was in doubt meanwhile: a failure says nothing.
    disturbed: bool,
}

/// What a learner wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Begin a probe with this silence in this network.
    Probe(NetworkId, Duration),
    /// Drop the probes with this silence and longer ones.
    Drop(Duration),
    /// Remember this of the network, or forget what was remembered.
    Remember(NetworkId, Option<Lifetime>),
}

impl Learner {
    /// One that knows nothing.
    pub fn new(power: Power, longest: Duration) -> Self {
        Self {
            power,
            longest,
            phase: Phase::Boot,
            why: HeartbeatReason::NewNetwork,
            network: None,
            known: Lifetime::default(),
            unconfirmed: None,
            careful: BOOT,
            trials: Vec::new(),
            strikes: BTreeMap::new(),
            failures: 0,
            next: None,
            lost: None,
            wants: VecDeque::new(),
            ended: 0,
        }
    }

    /// A link was attached in this network, of which this is remembered.
    pub fn enter(&mut self, network: NetworkId, remembered: Option<Lifetime>, now: Instant) {
        let settled = now + SETTLED;
        if self.network != Some(network) {
            self.leave();
            self.network = Some(network);
            if let Some(remembered) = remembered {
                (self.known, self.why) = (remembered, HeartbeatReason::Remembered);
                self.unconfirmed = remembered.survived;
            }
        }
        self.next = Some(self.next.map_or(settled, |next| next.max(settled)));
    }

    /// The network is another one, not known yet.
    pub fn leave(&mut self) {
        if !self.trials.is_empty() {
            self.wants.push_back(Want::Drop(Duration::ZERO));
        }
        let (wants, ended) = (std::mem::take(&mut self.wants), self.ended);
        *self = Self { wants, ended, ..Self::new(self.power, self.longest) };
    }

    /// The path is in doubt: if probes fail now, that may be why.
    pub fn disturb(&mut self) {
        self.trials.iter_mut().for_each(|trial| trial.disturbed = true);
    }

    /// Whether more probes may follow from what is known now.
    pub fn is_learning(&self) -> bool {
        matches!(self.phase, Phase::Probe | Phase::Recheck)
    }

    /// Whether it acts only when something leaves or arrives anyway.
    pub fn waits_for_traffic(&self) -> bool {
        self.power == Power::Battery
    }

    /// Whether `poll` would want something if a probe may begin.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| now >= next) && self.deadline().is_some_and(|at| now >= at)
    }

    /// When `poll` may want something at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let next = self.next?;
        let is_due = match self.phase {
            Phase::Stable { until } | Phase::Fixed { until } => return Some(next.max(until)),
            Phase::Boot => true,
            Phase::Probe | Phase::Recheck if self.candidate().is_some() => self.has_room(),
            Phase::Probe | Phase::Recheck => !self.is_waiting(),
        };
        is_due.then_some(next)
    }

    /// The next thing to be done. Call until there is none, after everything that was told, and at the `deadline`. A probe
    /// begins only if it may.
    pub fn poll(&mut self, now: Instant, may_begin: bool) -> Option<Want> {
        if let Some(want) = self.wants.pop_front() {
            return Some(want);
        }
        let network = self.network.filter(|_| may_begin && self.next.is_some_and(|next| now >= next))?;
        match self.phase {
            Phase::Boot => self.phase = Phase::Probe,
            Phase::Fixed { until } if now >= until => {
                (self.phase, self.why, self.failures) = (Phase::Probe, HeartbeatReason::NewNetwork, 0);
            }
            Phase::Stable { until } if now >= until => self.recheck(),
            Phase::Stable { .. } | Phase::Fixed { .. } => return None,
            Phase::Probe | Phase::Recheck => {}
        }
        match self.candidate() {
            Some(silence) if self.has_room() => {
                self.trials.push(Trial { silence, disturbed: false });
                Some(Want::Probe(network, silence))
            }
            None if !self.is_waiting() => {
                self.settle(HeartbeatReason::Learned, now + RECHECK_AFTER);
                self.wants.push_back(Want::Remember(network, Some(self.known)));
                self.wants.pop_front()
            }
            _ => None,
        }
    }

    fn has_room(&self) -> bool {
        let most = match self.power {
            Power::Mains => AT_ONCE,
            Power::Battery => 1,
        };
        self.trials.len() < most
    }

    /// Whether a probe is under way that may still teach something.
    fn is_waiting(&self) -> bool {
        match self.known.survived.filter(|_| self.unconfirmed.is_none()) {
            Some(survived) => self.trials.iter().any(|trial| self.is_worth(trial.silence, survived)),
            None => !self.trials.is_empty() || self.unconfirmed.is_some(),
        }
    }

    /// Whether a silence, if it was survived, would allow a longer interval than this shorter one.
    fn is_worth(&self, silence: Duration, than: Duration) -> bool {
        silence > than && self.allowed(silence) > self.allowed(than)
    }

    /// The steps above a silence that would allow longer and longer intervals.
    fn steps_above(&self, survived: Duration) -> impl Iterator<Item = Duration> {
        let mut before = survived;
        STEPS.iter().copied().filter(move |step| {
            let is_worth = self.is_worth(*step, before);
            if is_worth {
                before = *step;
            }
            is_worth
        })
    }

    /// The next silence to try, if one is worth it.
    fn candidate(&self) -> Option<Duration> {
        let free = |silence: &Duration| self.trials.iter().all(|trial| trial.silence != *silence);
        if self.unconfirmed.is_some() {
            return self.unconfirmed.filter(|_| self.trials.is_empty());
        }
        let Lifetime { survived, forgotten } = self.known;
        let below = |silence: &Duration| forgotten.is_none_or(|forgotten| *silence < forgotten);
        let Some(survived) = survived else {
            let mut up = std::iter::once(FIRST).chain(self.steps_above(FIRST));
            let mut down = STEPS.iter().copied().rev().filter(below);
            return if forgotten.is_none() { up.find(free) } else { down.find(free) };
        };
        let step = self.steps_above(survived).filter(below).find(free);
        if step.is_some() || forgotten.is_none() || self.is_waiting() || self.power == Power::Battery {
            return step;
        }
        let longer = |silence: &Duration| below(silence) && self.is_worth(*silence, survived);
        let between: Vec<_> =
            INTERVALS_S.iter().map(|wanted| needed((*wanted).into())).filter(longer).collect();
        between.get(between.len() / 2).copied()
    }

    /// What came of the probe with this silence.
    pub fn handle_finding(&mut self, silence: Duration, finding: Finding, now: Instant) {
        let Some(index) = self.trials.iter().position(|trial| trial.silence == silence) else { return };
        let trial = self.trials.swap_remove(index);
        self.ended += 1;
        match finding {
            Finding::Alive => self.survives(silence, now),
            Finding::Dead if !trial.disturbed => self.fails(silence, now),
            Finding::Dead | Finding::Unclear => self.says_nothing(HeartbeatReason::ProbesUnclear, now),
            Finding::Refused => self.says_nothing(HeartbeatReason::ProbesRefused, now),
        }
    }

    /// Another session makes the probes in this network, and has found this just now, if it has come to an end.
    pub fn handle_found_elsewhere(&mut self, silence: Duration, found: Option<Lifetime>, now: Instant) {
        let Some(index) = self.trials.iter().position(|trial| trial.silence == silence) else { return };
        self.trials.swap_remove(index);
        self.next = Some(now + ASK_AGAIN);
        if let Some(found) = found {
            (self.known, self.unconfirmed) = (found, None);
            self.settle(HeartbeatReason::Learned, now + RECHECK_AFTER);
        }
    }

    fn survives(&mut self, silence: Duration, now: Instant) {
        (self.failures, self.next, self.why) = (0, Some(now), HeartbeatReason::Learned);
        if self.unconfirmed.take().is_some() && self.phase == Phase::Recheck {
            // Whether more than before is survived is open again.
            self.known.forgotten = None;
        }
        let known = &mut self.known;
        known.survived = known.survived.max(Some(silence));
        known.forgotten = known.forgotten.filter(|forgotten| *forgotten > silence);
        self.strikes.retain(|failed, _| *failed > silence);
    }

    fn fails(&mut self, silence: Duration, now: Instant) {
        (self.failures, self.next) = (0, Some(now));
        if self.unconfirmed.is_none() && self.known.survived.is_some_and(|survived| survived >= silence) {
            return;
        }
        *self.strikes.entry(silence).or_default() += 1;
        // What is forgotten after some time is forgotten after a longer one too.
        let mut failures = 0;
        let forgotten = self.strikes.iter().find_map(|(silence, strikes)| {
            failures += strikes;
            (failures >= STRIKES).then_some(*silence)
        });
        let Some(forgotten) = forgotten else { return };
        if self.unconfirmed.take().is_some() {
            // It is not true any more, or was not of this network.
            (self.known, self.phase) = (Lifetime::default(), Phase::Probe);
            (self.careful, self.why) = (BOOT, HeartbeatReason::Learned);
        }
        self.known.forgotten = Some(self.known.forgotten.map_or(forgotten, |known| known.min(forgotten)));
        self.drop_from(forgotten);
    }

    fn drop_from(&mut self, silence: Duration) {
        let before = self.trials.len();
        self.trials.retain(|trial| trial.silence < silence);
        if self.trials.len() < before {
            self.wants.push_back(Want::Drop(silence));
        }
    }

    fn says_nothing(&mut self, why: HeartbeatReason, now: Instant) {
        self.failures += 1;
        self.next = Some(now + PAUSE * (1 << self.failures.min(FAILURES)));
        if self.failures >= FAILURES {
            if self.phase == Phase::Recheck {
                // What held for so long does not become wrong because it cannot be tried.
                self.unconfirmed = None;
            }
            self.settle(why, now + RETRY_AFTER);
        }
    }

    /// Nothing more is tried until then.
    fn settle(&mut self, why: HeartbeatReason, until: Instant) {
        self.drop_from(Duration::ZERO);
        self.strikes.clear();
        let learned = self.unconfirmed.is_none() && self.known != Lifetime::default();
        (self.phase, self.why) = match learned {
            true => (Phase::Stable { until }, why),
            false => (Phase::Fixed { until }, why),
        };
    }

    fn recheck(&mut self) {
        (self.phase, self.failures) = (Phase::Recheck, 0);
        self.unconfirmed = self.known.survived;
        if self.unconfirmed.is_none() {
            (self.careful, self.known) = (self.interval(), Lifetime::default());
        }
    }

    /// The acceptor has seen another address of this side, which has not moved, after a rest: a NAT has forgotten it. Once may
    /// be a NAT that was restarted.
    pub fn mapping_lost(&mut self, now: Instant) {
        let before = self.lost.replace(now);
        if before.is_none_or(|before| now >= before + LOSSES_WITHIN) {
            return;
        }
        let careful = (self.interval() / 2).clamp(FLOOR, BOOT);
        let (network, next) = (self.network, Some(now + SETTLED));
        self.leave();
        (self.network, self.next, self.careful) = (network, next, careful);
        (self.phase, self.why) = (Phase::Probe, HeartbeatReason::MappingsLost);
        self.wants.extend(network.map(|network| Want::Remember(network, None)));
    }

    /// The interval between beats, one of the table.
    pub fn interval(&self) -> Duration {
        let wanted = match (self.phase, self.known) {
            (Phase::Fixed { .. }, _) => FIXED,
            (_, Lifetime { survived: Some(survived), .. }) => match self.is_hearsay() {
                true => safe(survived) * 9 / 10,
                false => safe(survived),
            },
            (_, Lifetime { forgotten: Some(forgotten), .. }) => {
                let below = STEPS.iter().rev().find(|step| **step < forgotten);
                below.map_or(FLOOR, |below| safe(*below)).min(self.careful)
            }
            _ => self.careful,
        };
        in_table(wanted.min(self.longest))
    }

    /// Whether what is known was remembered, and not confirmed by this session.
    fn is_hearsay(&self) -> bool {
        self.unconfirmed.is_some() && self.phase != Phase::Recheck
    }

    /// The interval that a silence which is survived would allow.
    fn allowed(&self, silence: Duration) -> Duration {
        in_table(safe(silence).min(self.longest))
    }

    /// A snapshot; how many mappings were lost is not known here.
    pub fn stats(&self) -> HeartbeatStats {
        HeartbeatStats {
            interval: self.interval(),
            state: match self.phase {
                Phase::Boot => HeartbeatState::Boot,
                Phase::Probe => HeartbeatState::Probe,
                Phase::Recheck => HeartbeatState::Recheck,
                Phase::Stable { .. } => HeartbeatState::Stable,
                Phase::Fixed { .. } => HeartbeatState::Fixed,
            },
            why: self.why,
            survived: self.known.survived,
            forgotten: self.known.forgotten,
            probing: self.trials.len(),
            probes: self.ended,
            mappings_lost: 0,
        }
    }
}

/// The interval that keeps well below a silence that is survived: beats are late by a round trip, and may be lost.
fn safe(survived: Duration) -> Duration {
    let safe = match survived < Duration::from_secs(20) {
        true => survived * 3 / 5,
        false => (survived * 3 / 4).min(survived.saturating_sub(Duration::from_secs(5))),
    };
    safe.max(FLOOR)
}

/// The shortest silence, in whole seconds, that allows an interval of so many seconds.
fn needed(interval_s: u64) -> Duration {
    let short = (interval_s * 5).div_ceil(3);
    let needed = if short < 20 { short } else { 20.max((interval_s * 4).div_ceil(3)).max(interval_s + 5) };
    Duration::from_secs(needed)
}

fn in_table(wanted: Duration) -> Duration {
    interval(index_at_most(wanted))
}

#[cfg(test)]
mod tests;
