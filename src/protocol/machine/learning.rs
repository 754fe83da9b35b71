//! The interval between beats: the one that the configuration names, or the one that the NATs of the network allow
//! (rules H6 and H7).
//!
//! A dialer with an adaptive heartbeat has a [`Learner`]. It is told of attaches, of doubts about the path and of lost
//! mappings; its probes are the driver's to make, on connections that this machine knows nothing of.

use std::time::{Duration, Instant};

use super::Machine;
use crate::config::HeartbeatPolicy;
use crate::protocol::lifetime::{Learner, Want};
use crate::protocol::types::{
    Finding, HeartbeatStats, Lifetime, LinkId, NetworkId, Output, PathLiveness, Role,
};
use crate::wire::heartbeat::{index_at_most, interval};
use crate::wire::{AddressSeen, Control};

/// How the interval is chosen.
#[derive(Debug)]
pub(super) struct Rhythm {
    /// The interval of a fixed policy, and of a side that does not beat.
    fixed: Duration,
    learner: Option<Learner>,
    mappings_lost: u64,
    /// What was last said in the log.
    logged: HeartbeatStats,
}

impl Rhythm {
    pub(super) fn new(policy: HeartbeatPolicy, role: Role) -> Self {
        let (fixed, learner) = match policy {
            HeartbeatPolicy::Fixed(interval) => (interval, None),
            HeartbeatPolicy::Adaptive { power, longest } => (longest, Some(Learner::new(power, longest))),
        };
        let fixed = interval(index_at_most(fixed));
        let (learner, logged) = (learner.filter(|_| role == Role::Dialer), HeartbeatStats::default());
        Self { fixed, learner, mappings_lost: 0, logged }
    }

    /// The interval that is wanted.
    pub(super) fn interval(&self) -> Duration {
        self.learner.as_ref().map_or(self.fixed, Learner::interval)
    }

    /// The path is in doubt.
    pub(super) fn disturb(&mut self) {
        self.learner.iter_mut().for_each(Learner::disturb);
    }
}

impl Machine {
    // ---- from the driver ----

    /// A link was attached in this network, of which this is remembered (dialer).
    pub fn enter_network(&mut self, network: NetworkId, remembered: Option<Lifetime>, now: Instant) {
        if let Some(learner) = self.rhythm.learner.as_mut() {
            learner.enter(network, remembered, now);
            self.learn(now);
        }
    }

    /// What came of [`Output::Measure`].
    pub fn handle_finding(&mut self, silence: Duration, finding: Finding, now: Instant) {
        if let Some(learner) = self.rhythm.learner.as_mut() {
            tracing::debug!(?silence, ?finding, "a lifetime probe has ended");
            learner.handle_finding(silence, finding, now);
            self.learn(now);
        }
    }

    /// The same, if another session makes the probes in this network: what it has found just now, if it has come to an end.
    pub fn handle_found_elsewhere(&mut self, silence: Duration, found: Option<Lifetime>, now: Instant) {
        if let Some(learner) = self.rhythm.learner.as_mut() {
            learner.handle_found_elsewhere(silence, found, now);
            self.learn(now);
        }
    }

    /// Whether more probes may follow from what is known of this network now.
    pub fn is_learning(&self) -> bool {
        self.rhythm.learner.as_ref().is_some_and(Learner::is_learning)
    }

    // ---- from the peer ----

    pub(super) fn handle_address_seen(&mut self, link: LinkId, seen: AddressSeen, now: Instant) {
        if self.role == Role::Acceptor {
            return self.violation(link, "news of an address from the dialer (rule H7)", now);
        }
        let Some(attached) = self.attached.as_mut() else { return };
        let changes = seen.changes.saturating_sub(attached.address_changes);
        attached.address_changes += changes;
        let own = changes.min(attached.moves);
        attached.moves -= own;
        if changes == own {
            return;
        }
        // However many there were: they were told together, and are one piece of news.
        self.rhythm.mappings_lost += 1;
        let has_rested = attached.heart.as_ref().is_some_and(|heart| heart.has_rested(now));
        if let Some(learner) = self.rhythm.learner.as_mut().filter(|_| has_rested) {
            learner.mapping_lost(now);
            self.learn(now);
        }
    }

    pub(super) fn beat_answered(&mut self, parity: bool, now: Instant) {
        let heart = self.attached.as_mut().and_then(|attached| attached.heart.as_mut());
        if heart.is_some_and(|heart| heart.answered(parity, now)) {
            self.recovered(now);
        }
    }

    /// Something has arrived, so the radio is awake.
    pub(super) fn awake(&mut self, now: Instant) {
        let waiting = self.rhythm.learner.as_ref().filter(|learner| learner.waits_for_traffic());
        if waiting.is_some_and(|learner| learner.is_due(now)) && self.may_probe() {
            self.learn_more(true, now);
        }
    }

    // ---- from time and the application ----

    pub(super) fn learning_deadline(&self) -> Option<Instant> {
        let learner = self.rhythm.learner.as_ref().filter(|learner| !learner.waits_for_traffic())?;
        learner.deadline().filter(|_| self.may_probe())
    }

    pub(super) fn learning_timeout(&mut self, now: Instant) {
        if self.learning_deadline().is_some_and(|at| now >= at) {
            self.learn(now);
        }
    }

    /// The acceptor will see another address, because this side takes another socket.
    pub(super) fn rebinds(&mut self) {
        self.attached.iter_mut().for_each(|attached| attached.moves += 1);
    }

    /// The network is another one.
    pub(super) fn leave_network(&mut self, now: Instant) {
        if let Some(learner) = self.rhythm.learner.as_mut() {
            learner.leave();
            self.learn(now);
        }
    }

    fn may_probe(&self) -> bool {
        self.confirmed
            && self.closing.is_none()
            && self.background.is_none()
            && self.path() == PathLiveness::Alive
    }

    /// Does what the learner wants. On battery no probe begins now, but beside the next beat or message.
    fn learn(&mut self, now: Instant) {
        let waits = self.rhythm.learner.as_ref().is_some_and(Learner::waits_for_traffic);
        self.learn_more(self.may_probe() && !waits, now);
    }

    fn learn_more(&mut self, may_begin: bool, now: Instant) {
        let Some(learner) = self.rhythm.learner.as_mut() else { return };
        while let Some(want) = learner.poll(now, may_begin) {
            self.out.push_back(match want {
                Want::Probe(network, silence) => Output::Measure { network, silence },
                Want::Drop(from) => Output::StopMeasuring { from },
                Want::Remember(network, lifetime) => Output::Learned(network, lifetime),
            });
        }
        let (now_is, before) = (learner.stats(), self.rhythm.logged);
        if (now_is.state, now_is.why, now_is.interval) != (before.state, before.why, before.interval) {
            let HeartbeatStats { interval, state, why, survived, forgotten, .. } = now_is;
            tracing::info!(?interval, ?state, %why, ?survived, ?forgotten, "heartbeat");
            self.rhythm.logged = now_is;
        }
        let wanted = now_is.interval;
        if let Some(heart) = self.attached.as_mut().and_then(|attached| attached.heart.as_mut()) {
            heart.set_interval(wanted, now);
        }
    }

    // ---- what is told ----

    /// The peer's address on the attached link is another one: an acceptor tells its dialer, once that has its Welcome.
    pub(super) fn note_address_change(&mut self) {
        let Some(attached) = self.attached.as_mut().filter(|_| self.role == Role::Acceptor) else { return };
        attached.address_changes += 1;
        if attached.welcome.is_none() {
            self.tell_address_changes();
        }
    }

    /// Tells how often that was, if it was.
    pub(super) fn tell_address_changes(&mut self) {
        let Some(attached) = self.attached.as_ref().filter(|attached| attached.address_changes > 0) else {
            return;
        };
        let (link, changes) = (attached.link, attached.address_changes);
        self.transmit(link, Control::AddressSeen(AddressSeen { changes }));
    }

    /// The lease that a beat promises.
    pub(super) fn promise(&self) -> u8 {
        let heart = self.attached.as_ref().and_then(|attached| attached.heart.as_ref());
        index_at_most(heart.map_or(self.rhythm.fixed, |heart| heart.promise()))
    }

    pub(super) fn heartbeat_stats(&self) -> HeartbeatStats {
        let heart = self.attached.as_ref().and_then(|attached| attached.heart.as_ref());
        HeartbeatStats {
            interval: heart.map_or_else(|| self.rhythm.interval(), |heart| heart.interval()),
            mappings_lost: self.rhythm.mappings_lost,
            ..self.rhythm.learner.as_ref().map(Learner::stats).unwrap_or_default()
        }
    }
}
