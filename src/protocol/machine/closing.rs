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
use crate::protocol::types::{Event, LinkId, Wake};
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
    /// When this stage ends.
    pub(super) deadline: Instant,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Draining,
    Telling {
        link: LinkId,
        /// Every message had its outcome when the end was told.
        complete: bool,
    },
}

impl Machine {
    /// Ends the session: flushes what was accepted for at most `drain`, then tells the peer. A second call can only
    /// shorten the drain.
    pub fn close(&mut self, code: CloseCode, reason: &str, drain: Duration, now: Instant) {
        if self.closed.is_some() {
            return;
        }
        let deadline = now + drain;
        match self.closing.as_mut() {
            Some(closing) if matches!(closing.stage, Stage::Draining) => {
                closing.deadline = closing.deadline.min(deadline);
            }
            Some(_) => {}
            None => {
                let reason =
                    reason.get(..super::transfer::floor_char_boundary(reason, MAX_REASON)).unwrap_or_default();
                let (reason, stage) = (reason.to_owned(), Stage::Draining);
                self.closing = Some(Closing { code, reason, deadline, stage });
                self.wakes.insert(Wake::State);
                self.wake_senders();
            }
        }
        self.check_drained(now);
        self.closing_timeout(now);
    }

    /// Whether the drain has come to its end: everything is resolved, or can no longer be.
    pub(super) fn check_drained(&mut self, now: Instant) {
        let draining = self.closing.as_ref().is_some_and(|closing| matches!(closing.stage, Stage::Draining));
        if !draining {
            return;
        }
        if self.unresolved() == 0 && self.attached.is_some() {
            self.tell_end(now);
        } else if self.redial.gave_up {
            self.end_untold(now);
        }
    }

    pub(super) fn closing_timeout(&mut self, now: Instant) {
        let Some(closing) = self.closing.as_ref().filter(|closing| now >= closing.deadline) else { return };
        match closing.stage {
            Stage::Draining if self.attached.is_some() => self.tell_end(now),
            Stage::Draining => self.end_untold(now),
            Stage::Telling { link, .. } => {
                let (code, reason) = (closing.code, closing.reason.clone());
                self.close_link(link, code, &reason);
                self.end_untold(now);
            }
        }
    }

    fn tell_end(&mut self, now: Instant) {
        let complete = self.unresolved() == 0;
        let (Some(attached), Some(closing)) = (self.attached.as_ref(), self.closing.as_mut()) else { return };
        let link = attached.link;
        closing.stage = Stage::Telling { link, complete };
        closing.deadline = now + TELL;
        let close = Close { code: closing.code.value(), reason: closing.reason.clone() };
        // Acknowledgements go first: the peer's receipts are to end truthfully.
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

    /// The link on which the end was being told is gone: it is told again on the next one.
    pub(super) fn untell(&mut self) {
        if let Some(closing) = self.closing.as_mut() {
            closing.stage = Stage::Draining;
        }
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
        let closing = self.closing.as_ref();
        let Some(Closing { code, reason, stage: Stage::Telling { complete, .. }, .. }) = closing else {
            return self.violation(link, "a CloseAck without a Close (rule T4)", now);
        };
        let (code, reason, clean) = (*code, reason.clone(), *complete);
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
        let end = crate::protocol::types::LinkEnd::Lost(why.to_owned());
        self.handle_link_down(link, end, now);
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
        if self.redial.dialing.take().is_some() {
            self.out.push_back(crate::protocol::types::Output::AbortDial);
        }
        (self.redial.planned, self.lease, self.ack_due, self.closing) = (None, None, None, None);
        self.detached_since = None;
        let mut keys = Vec::new();
        for (key, channel) in self.channels.iter_mut() {
            keys.push(key);
            if let Some(local) = channel.local.as_mut() {
                let (start, end) = (local.outbox.floor(), local.outbox.next());
                channel.stats.unknown += local.outbox.resolve(start, end, &Outcome::Unknown);
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
        use crate::protocol::journal::Record;
        self.epoch = self.random.epoch();
        let (dialer, secret, epoch) =
            (self.role == crate::protocol::types::Role::Dialer, self.secret.clone(), self.epoch);
        self.journal.record(|| Record::Epoch { dialer, secret, epoch });
        let (mut undelivered, mut keys) = (0, Vec::new());
        for (key, channel) in self.channels.iter_mut() {
            keys.push(key);
            if let Some(local) = channel.local.as_mut() {
                let count = local.restart();
                channel.stats.unknown += count;
                undelivered += count;
            }
        }
        self.record_channels();
        keys.into_iter().for_each(|key| self.wake_channel(key));
        self.emit(Event::Reset { undelivered, redelivered: 0 });
        self.drop_link(link, "this side's store lost its tail", now);
    }
}
