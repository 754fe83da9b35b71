//! The end of a session (rule T4).
//!
//! ```text
//!  Open ── close ──> Draining ── all resolved, or drain over ──> Telling ── CloseAck ──> Closed
//!    │                                                             └── no answer in time ──> Closed (not clean)
//!    └── the peer's Close, a violation, expiry, superseded ────────────────────────────────> Closed
//! ```
//!
//! The Close travels on the control stream behind the acknowledgements, because a CONNECTION_CLOSE can outrun them.

use std::time::{Duration, Instant};

use super::Machine;
use crate::error::{CloseCode, CloseReason, Outcome, Side};
use crate::protocol::journal::Record;
use crate::protocol::types::{Event, LinkEnd, LinkId, Role, Wake};
use crate::wire::{Close, Control, MAX_REASON};

/// How long a told end may stay unanswered.
const TELL: Duration = Duration::from_secs(3);
/// How long the side that was told leaves its answer time to arrive before it closes the connection itself.
const LINGER: Duration = Duration::from_secs(1);

/// This side's application has closed the session.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) code: CloseCode,
    reason: String,
    /// When the drain is over.
    drained: Instant,
    telling: Option<Telling>,
}

/// The Close was written, and is not answered yet.
#[derive(Debug)]
struct Telling {
    link: LinkId,
    /// Every message had its outcome by then.
    complete: bool,
    until: Instant,
}

impl Closing {
    /// When this stage ends.
    pub(super) fn deadline(&self) -> Instant {
        self.telling.as_ref().map_or(self.drained, |telling| telling.until)
    }

    /// The link on which the end was being told is gone: it is told again on the next one, if the drain allows.
    pub(super) fn untell(&mut self) {
        self.telling = None;
    }
}

impl Machine {
    /// Ends the session: flushes what was accepted for at most `drain`, then tells the peer. A second call can only
    /// shorten the drain.
    pub fn close(&mut self, code: CloseCode, reason: &str, drain: Duration, now: Instant) {
        if self.closed.is_some() {
            return;
        }
        if self.role == Role::Acceptor && !self.confirmed {
            // The dialer does not take part yet: there is nobody to say goodbye to.
            let (side, reason) = (Side::Local, reason.to_owned());
            return self.end(CloseReason { code, side, clean: false, retry: true, reason }, now);
        }
        let deadline = now + drain;
        match self.closing.as_mut() {
            Some(closing) => closing.drained = closing.drained.min(deadline),
            None => {
                let reason = reason
                    .get(..super::transfer::floor_char_boundary(reason, MAX_REASON))
                    .unwrap_or_default();
                let reason = reason.to_owned();
                self.closing = Some(Closing { code, reason, drained: deadline, telling: None });
                self.wakes.insert(Wake::State);
                self.wake_senders();
            }
        }
        self.check_drained(now);
        self.closing_timeout(now);
    }

    /// Whether the drain has come to its end: everything is resolved, or can no longer be.
    pub(super) fn check_drained(&mut self, now: Instant) {
        if self.closing.as_ref().is_none_or(|closing| closing.telling.is_some()) {
            return;
        }
        if self.unresolved() == 0 && self.may_speak() {
            self.tell_end(now);
        } else if self.redial.gave_up {
            self.end_untold(now);
        }
    }

    pub(super) fn closing_timeout(&mut self, now: Instant) {
        let Some(closing) = self.closing.as_ref().filter(|closing| now >= closing.deadline()) else { return };
        match &closing.telling {
            None if self.may_speak() => self.tell_end(now),
            _ => self.end_untold(now),
        }
    }

    /// Whether the attached link is open to anything else than its Welcome, and believed to lead somewhere.
    fn may_speak(&self) -> bool {
        self.may_write()
            && self.detached_since.is_none()
            && self.attached.as_ref().is_some_and(|attached| attached.welcome.is_none())
    }

    fn tell_end(&mut self, now: Instant) {
        let complete = self.unresolved() == 0;
        let (Some(attached), Some(closing)) = (self.attached.as_ref(), self.closing.as_mut()) else { return };
        let link = attached.link;
        closing.telling = Some(Telling { link, complete, until: now + TELL });
        let close = Close { code: closing.code.value(), reason: closing.reason.clone() };
        // Acknowledgements go first: the peer's receipts are to end truthfully.
        self.ack_due = None;
        while let Some(control) = self.next_receiving(now) {
            self.transmit(link, control);
        }
        self.transmit(link, Control::Close(close));
    }

    fn end_untold(&mut self, now: Instant) {
        let Some(closing) = self.closing.as_ref() else { return };
        let (code, reason) = (closing.code, closing.reason.clone());
        self.end(CloseReason { code, side: Side::Local, clean: false, retry: true, reason }, now);
    }

    pub(super) fn handle_close(&mut self, link: LinkId, close: Close, now: Instant) {
        self.transmit(link, Control::CloseAck);
        self.linger = Some((link, now + LINGER));
        self.attached = None;
        let code = CloseCode::from_value(close.code);
        let clean = self.unresolved() == 0;
        let retry = matches!(code, CloseCode::Busy | CloseCode::Expired | CloseCode::Dropped);
        self.end(CloseReason { code, side: Side::Remote, clean, retry, reason: close.reason }, now);
    }

    pub(super) fn handle_close_ack(&mut self, link: LinkId, now: Instant) {
        let told = self.closing.as_ref().and_then(|closing| Some((closing, closing.telling.as_ref()?)));
        let Some((closing, telling)) = told.filter(|(_, telling)| telling.link == link) else {
            return self.violation(link, "a CloseAck without a Close (rule T4)", now);
        };
        let (code, reason, clean) = (closing.code, closing.reason.clone(), telling.complete);
        self.close_link(link, code, &reason);
        self.attached = None;
        self.end(CloseReason { code, side: Side::Local, clean, retry: true, reason }, now);
    }

    pub(super) fn linger_timeout(&mut self, now: Instant) {
        if let Some((link, _)) = self.linger.take_if(|(_, until)| now >= *until) {
            self.close_link(link, CloseCode::Normal, "the session is over");
        }
    }

    /// Bytes on the link could not be parsed, or it broke the protocol: the session ends.
    pub fn handle_violation(&mut self, link: LinkId, what: &str, now: Instant) {
        self.violation(link, what, now);
    }

    pub(super) fn violation(&mut self, link: LinkId, what: &str, now: Instant) {
        let attached = self.attached.as_ref().is_some_and(|attached| attached.link == link);
        let joining = self.joining.as_ref().is_some_and(|joining| joining.link == link);
        self.close_link(link, CloseCode::ProtocolViolation, what);
        if attached || joining {
            let (code, side, reason) = (CloseCode::ProtocolViolation, Side::Local, what.to_owned());
            self.end(CloseReason { code, side, clean: false, retry: false, reason }, now);
        }
    }

    /// The link is given up; a new one repairs what was lost with it.
    pub(super) fn drop_link(&mut self, link: LinkId, why: &str, now: Instant) {
        self.close_link(link, CloseCode::Reattach, why);
        self.handle_link_down(link, LinkEnd::Lost(why.to_owned()), now);
    }

    /// The session is over: every receipt gets its outcome, every link is let go.
    pub(super) fn end(&mut self, reason: CloseReason, now: Instant) {
        let lingering = self.linger.map(|(link, _)| link);
        let attached = self.attached.take().map(|attached| attached.link);
        let joining = self.joining.take().map(|joining| joining.link);
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|(link, _)| link);
        let links: Vec<LinkId> = attached.into_iter().chain(joining).chain(waiting).collect();
        for link in links.into_iter().filter(|link| Some(*link) != lingering) {
            self.close_link(link, reason.code, &reason.reason);
        }
        self.abort_dial();
        (self.redial.planned, self.lease, self.ack_due, self.closing) = (None, None, None, None);
        self.detached_since = None;
        let mut keys = Vec::new();
        for (key, channel) in self.channels.iter_mut() {
            keys.push(key);
            if let Some(local) = channel.local.as_mut() {
                let (start, end) = (local.outbox.floor(), local.outbox.next());
                local.outbox.resolve(start, end, &Outcome::Unknown);
            }
        }
        keys.into_iter().for_each(|key| self.wake_channel(key));
        self.wakes.extend([Wake::State, Wake::Incoming]);
        tracing::debug!(%reason, ?now, "session over");
        self.emit(Event::Closed(reason.clone()));
        self.closed = Some(reason);
    }

    /// A store that lost its tail: numbers were given that are not remembered. A new epoch begins (rule S3).
    pub(super) fn lose_state(&mut self, link: LinkId, now: Instant) {
        let before = std::mem::replace(&mut self.epoch, self.random.epoch());
        let (dialer, secret, epoch) = (self.role == Role::Dialer, self.secret.clone(), self.epoch);
        self.journal.record(|| Record::Epoch { dialer, secret, epoch });
        let (mut undelivered, mut keys, mut retired) = (0, Vec::new(), Vec::new());
        for (key, channel) in self.channels.iter_mut() {
            keys.push(key);
            if let Some(local) = channel.local.as_mut() {
                let (outbox, count) = local.restart();
                undelivered += count;
                retired.push((key, outbox));
                let (channel, label, delivery) = (local.id, channel.label.clone(), local.outbox.mode());
                self.journal.record(|| Record::Opened { channel, label, delivery });
                if local.finished {
                    self.journal.record(|| Record::Finished { channel });
                }
            }
        }
        self.channels.retire(before, retired);
        keys.into_iter().for_each(|key| self.wake_channel(key));
        self.emit(Event::Reset { undelivered, redelivered: 0 });
        self.drop_link(link, "this side's store lost its tail", now);
    }
}
