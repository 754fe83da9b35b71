//! Time: dialing again, heartbeat, expiry (rules H1, H3, T2, T3, T5).

use std::time::{Duration, Instant};

use super::attach::STEADY;
use super::{Attached, Machine};
use crate::error::{CloseCode, CloseReason, Side};
use crate::protocol::backoff::Attempt;
use crate::protocol::heartbeat::{Pulse, probe_timeout};
use crate::protocol::types::{
    ChannelKey, Event, LinkId, LinkSample, Output, PathLiveness, ProcessLiveness, Role,
};
use crate::wire::{BeatKind, Frame, Heartbeat};

/// When a timer comes this much later than promised, the process was stopped or the machine slept: nobody else is to blame, and
/// what looks overdue gets its time anew (rule T3).
const SUSPENDED: Duration = Duration::from_secs(3);

impl Machine {
    /// The time that `Output::Wait` named has come (calling it early is harmless).
    pub fn handle_timeout(&mut self, now: Instant) {
        let late = self.due.take().map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if late > SUSPENDED {
            self.forgive(late, now);
        }
        self.linger_timeout(now);
        if self.closed.is_some() {
            return;
        }
        self.closing_timeout(now);
        self.joining_timeout(now);
        self.redial_timeout(now);
        self.lease_timeout(now);
        self.heart_timeout(now);
        self.learning_timeout(now);
        self.service_timeout(now);
        self.channels_timeout(now);
        if self.closed.is_none() && self.expiry().is_some_and(|at| now >= at) {
            let (code, side) = (CloseCode::Expired, Side::Local);
            let reason = "no connection for longer than the session is kept".to_owned();
            self.end(CloseReason { code, side, clean: false, retry: true, reason }, now);
        }
    }

    /// When something is to be done at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let linger = self.linger.map(|(_, until)| until);
        if self.closed.is_some() {
            return linger;
        }
        let heart = self.beating().and_then(|attached| attached.heart.as_ref());
        [
            linger,
            self.closing.as_ref().map(|closing| closing.deadline()),
            self.joining_deadline(),
            self.redial.planned.map(|(at, _)| at),
            self.lease.as_ref().and_then(|lease| lease.deadline()),
            self.tell_deadline(),
            heart.and_then(|heart| heart.deadline()),
            heart.and_then(|heart| heart.sample_deadline()),
            self.learning_deadline(),
            self.beating()
                .filter(|attached| attached.heart.is_some())
                .and_then(|attached| attached.silence.deadline(probe_timeout(attached.sample.rtt))),
            self.ack_due.filter(|_| self.may_write() && !self.channels.tell_receiving.is_empty()),
            self.expiry(),
            self.channels.timer(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The link that is to be proved, unless this side is in the background.
    fn beating(&self) -> Option<&Attached> {
        self.attached.as_ref().filter(|_| self.background.is_none())
    }

    fn expiry(&self) -> Option<Instant> {
        self.detached_since.map(|since| since + self.session_expiry)
    }

    fn forgive(&mut self, late: Duration, now: Instant) {
        tracing::debug!(?late, "the process was stopped for a while");
        self.rhythm.disturb();
        if let Some(attached) = self.attached.as_mut()
            && let Some(heart) = attached.heart.as_mut()
        {
            heart.forgive(now, attached.sample.rtt);
        }
        if let Some(lease) = self.lease.as_mut().filter(|lease| !lease.is_dormant()) {
            lease.heard(now);
        }
        self.detached_since = self.detached_since.map(|since| since + late);
        // If the stop began long before the first timer that it missed, nobody can tell: the session gets its time anew.
        if self.expiry().is_some_and(|at| now >= at) {
            self.detached_since = Some(now);
        }
        if let Some(joining) = self.joining.as_mut() {
            joining.deadline += late;
        }
        for (_, channel) in self.channels.iter_mut() {
            channel.inbox.watch.forgive(now);
        }
    }

    /// Deadlines of messages, and datagrams that are lost.
    fn channels_timeout(&mut self, now: Instant) {
        let rtt = self.rtt();
        let keys: Vec<ChannelKey> = match self.channels.timer() {
            Some(timer) if timer <= now => self.channels.iter().map(|(key, _)| key).collect(),
            _ => return,
        };
        for key in keys {
            self.expire_inbox(key, now);
            let local = self.channels.get_mut(key).and_then(|channel| channel.local.as_mut());
            if let Some(local) = local {
                let id = local.id;
                let lost = local.outbox.detect_loss(rtt, now);
                if local.outbox.expire(now) || lost {
                    self.settle_sent(key, id, false);
                }
            }
        }
        self.channels.retime(rtt);
        self.check_drained(now);
    }

    // ---- dialing ----

    /// The dial asked for came to nothing.
    pub fn handle_dial_failed(&mut self, reason: &str, now: Instant) {
        if self.redial.dialing.take().is_none() || self.closed.is_some() {
            return;
        }
        tracing::debug!(reason, "dial failed");
        if self.joining.is_some() {
            // The connection beside which it was made may still be welcomed.
            return;
        }
        if !self.confirmed && self.counter == 0 {
            let (code, side, reason) = (CloseCode::Unreachable, Side::Local, reason.to_owned());
            return self.end(CloseReason { code, side, clean: false, retry: true, reason }, now);
        }
        self.dial_failed(now);
    }

    pub(super) fn dial_failed(&mut self, now: Instant) {
        self.redial.moving = false;
        if self.path() == PathLiveness::Alive {
            // The old link has proved in the meantime that it still leads somewhere; if it dies after all, its heart says so.
            return;
        }
        self.process = ProcessLiveness::Unreachable;
        self.plan_redial(now);
    }

    /// What is being dialed is not needed any more.
    pub(super) fn abort_dial(&mut self) {
        if self.redial.dialing.take().is_some() {
            self.out.push_back(Output::AbortDial);
        }
    }

    /// Plans the next attempt, unless one is under way, or the policy has given up.
    pub(super) fn plan_redial(&mut self, now: Instant) {
        let busy = self.redial.dialing.is_some() || self.redial.planned.is_some() || self.joining.is_some();
        let wanted = self.closed.is_none() && self.background.is_none() && !self.redial.gave_up;
        if self.role == Role::Acceptor || busy || !wanted {
            return;
        }
        let took = self.redial.dialed.take().map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        match self.redial.backoff.next_attempt(took, self.random.byte()) {
            Some(attempt) => {
                self.redial.planned = Some((now + attempt.after, attempt));
                self.emit(Event::Reconnecting { attempt: attempt.number, after: attempt.after });
                self.redial_timeout(now);
            }
            None => {
                self.redial.gave_up = true;
                if let Some(attached) = self.attached.take() {
                    self.close_link(attached.link, CloseCode::Reattach, "given up");
                    self.detach(now);
                }
                self.emit(Event::GaveUp);
                self.check_drained(now);
            }
        }
    }

    fn redial_timeout(&mut self, now: Instant) {
        if let Some((at, attempt)) = self.redial.planned
            && now >= at
        {
            self.dial(attempt, now);
        }
    }

    fn dial(&mut self, attempt: Attempt, now: Instant) {
        self.redial.planned = None;
        self.redial.dialed = Some(now);
        self.redial.dialing = Some(attempt.timeout);
        self.out.push_back(Output::Dial { attempt: attempt.number, timeout: attempt.timeout });
    }

    /// Tries to reach the peer now, whatever the policy says (dialer). Without effect while a healthy link is attached, or an
    /// attempt is under way.
    pub fn reconnect(&mut self, now: Instant) {
        let busy = self.redial.dialing.is_some() || self.joining.is_some();
        if self.role == Role::Acceptor || self.closed.is_some() || busy || self.path() == PathLiveness::Alive
        {
            return;
        }
        self.redial.gave_up = false;
        self.redial.planned = None;
        self.redial.backoff.reset();
        self.plan_redial(now);
    }

    /// The network under this side is another one (dialer): whatever is attached or being made is in doubt, and a new
    /// connection is made at once. The old link carries traffic until the new one is welcomed (rule S5).
    pub fn network_changed(&mut self, now: Instant) {
        if self.role == Role::Acceptor || self.closed.is_some() || !self.confirmed {
            return;
        }
        if let Some(background) = self.background.as_mut() {
            background.moved = true;
            return;
        }
        self.leave_network(now);
        let heart = self.attached.as_mut().and_then(|attached| attached.heart.as_mut());
        if heart.is_some_and(|heart| heart.doubt(true, now)) {
            self.process = ProcessLiveness::Unknown;
            self.emit(Event::Suspect);
        }
        if let Some(joining) = self.joining.take() {
            self.close_link(joining.link, CloseCode::Reattach, "the network has changed");
        }
        self.abort_dial();
        (self.redial.planned, self.redial.gave_up, self.redial.moving) = (None, false, true);
        self.redial.backoff.reset();
        self.plan_redial(now);
    }

    /// The old link lives: a connection that has not said Hello yet is not needed. One that has is never dropped in favour of
    /// the old one (rule S5).
    pub(super) fn recovered(&mut self, now: Instant) {
        self.emit(Event::Recovered);
        self.process = ProcessLiveness::Alive;
        self.detached_since = None;
        self.check_drained(now);
        if self.redial.moving {
            // What proves the old link may have been under way when the network changed.
            return;
        }
        self.redial.planned = None;
        self.redial.backoff.reset();
        self.abort_dial();
    }

    // ---- heartbeat ----

    /// Transport figures of a link; tell them of each attached link right before `handle_timeout`.
    pub fn handle_link_sample(&mut self, link: LinkId, sample: LinkSample, now: Instant) {
        let Some(attached) = self.attached.as_mut().filter(|attached| attached.link == link) else { return };
        let before = std::mem::replace(&mut attached.sample, sample);
        self.redial.rtt = sample.rtt;
        let since = std::mem::replace(&mut attached.sampled, now);
        if let Some(heart) = attached.heart.as_mut() {
            heart.sample(sample.acks_received, now);
        }
        if sample.datagrams_received > before.datagrams_received {
            self.heard_since(since, now);
        }
    }

    /// Something of this side has arrived at the peer.
    pub(super) fn evidence(&mut self, now: Instant) {
        if let Some(heart) = self.attached.as_mut().and_then(|attached| attached.heart.as_mut()) {
            heart.evidence(now);
        }
    }

    fn heart_timeout(&mut self, now: Instant) {
        let jitter = self.random.byte();
        let Some(attached) = self.attached.as_mut().filter(|_| self.background.is_none()) else { return };
        let (link, rtt, left) = (attached.link, attached.sample.rtt, attached.sample.datagrams_sent);
        let Some(heart) = attached.heart.as_mut() else { return };
        if attached.silence.deadline(probe_timeout(rtt)).is_some_and(|at| now >= at) {
            attached.silence.end();
            heart.poke(now);
        }
        let Some(pulse) = heart.poll(now, rtt, left, jitter) else { return };
        match pulse {
            Pulse::Beat { parity } => self.send_beat(link, BeatKind::Beat, parity),
            Pulse::Probe { parity, first, rebind } => {
                self.rhythm.disturb();
                if first {
                    self.process = ProcessLiveness::Unknown;
                    self.emit(Event::Suspect);
                }
                if rebind {
                    self.rebinds();
                    self.out.push_back(Output::Rebind { link });
                }
                self.out.push_back(Output::Probe { link });
                self.send_beat(link, BeatKind::Beat, parity);
            }
            // The old link stays, and may still come back to life, until a new one is welcomed (rule S5).
            Pulse::Dead => {
                if self.detached_since.is_none() && now >= attached.since + STEADY {
                    self.redial.backoff.reset();
                }
                self.detached_since.get_or_insert(now);
                self.plan_redial(now);
            }
        }
    }

    pub(super) fn send_beat(&mut self, link: LinkId, kind: BeatKind, parity: bool) {
        self.counts.beats_sent += 1;
        self.note_beat(kind, parity);
        let beat = Heartbeat { kind, parity, health: self.health(), interval: self.promise() };
        self.out.push_back(Output::Transmit { link, frame: Frame::Heartbeat(beat), priority: 0 });
    }
}
