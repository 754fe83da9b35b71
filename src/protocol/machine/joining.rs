//! The dialer's side of an attach: a Hello, and what is said to it (rules S1, S4, S5, T5).
//!
//! ```text
//!  dialing ── connection ──> joining: Hello ── Welcome ─────────────────> attached
//!     ^                         │ no Welcome for a while
//!     └─────────────────────────┤ dialing beside it ── connection ──> joining anew, the former link is let go
//!                               └ nothing in time: the attempt has failed
//! ```
//!
//! A Hello, or what completes the handshake before it, may be lost; QUIC sends it again after a time that has grown with every
//! packet that was lost before it, and that no answer resets. A connection made anew has no such past.

use std::time::{Duration, Instant};

use super::Machine;
use crate::error::{CloseCode, CloseReason, Side};
use crate::protocol::journal::Record;
use crate::protocol::proof;
use crate::protocol::types::{LinkId, LinkInfo, Output};
use crate::wire::varint;
use crate::wire::{Confirm, Control, Frame, Hello, Refuse, Retry, VERSION, Welcome};

/// Hellos that one link may say before one is accepted.
const MAX_HELLOS: u32 = 4;
/// How long a Welcome may be missing before another connection is made beside the one that waits for it (rule T5): at least this,
/// and so many round trips of the former link.
const WELCOME_MIN: Duration = Duration::from_millis(250);
const WELCOME_RTTS: u32 = 3;

/// Dialer: a link whose Hello is not answered yet.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) link: LinkId,
    info: LinkInfo,
    counter: u64,
    /// The Hello leaves when this batch is durable.
    hold: u64,
    hello_sent: bool,
    /// The acceptor does not know the session.
    forgotten: bool,
    retries: u32,
    pub(super) deadline: Instant,
    /// How long a connection gets.
    timeout: Duration,
    /// No connection was made beside it yet.
    alone: bool,
    /// When one is.
    again: Option<Instant>,
}

impl Machine {
    pub(super) fn join(&mut self, link: LinkId, info: LinkInfo, now: Instant) {
        let Some(timeout) = self.redial.dialing.take() else {
            return self.close_link(link, CloseCode::Reattach, "this connection is not needed any more");
        };
        if self.peer.binding.as_ref().is_some_and(|known| *known != info.binding) {
            self.close_link(link, CloseCode::WrongProof, "the peer has another identity than before");
            return self.dial_failed(now);
        }
        let former = self.joining.take();
        // A session that nobody has heard of is missed by nobody.
        let alone = former.is_none() && self.confirmed;
        if let Some(former) = former {
            self.close_link(former.link, CloseCode::Reattach, "a newer link says Hello");
        }
        let (counter, hold) = self.next_counter();
        let deadline = now + timeout;
        let (hello_sent, forgotten, retries, again) = (false, false, 0, None);
        self.joining = Some(Joining {
            link,
            info,
            counter,
            hold,
            hello_sent,
            forgotten,
            retries,
            deadline,
            timeout,
            alone,
            again,
        });
    }

    /// When something is to be done about a Hello that nobody answers.
    pub(super) fn joining_deadline(&self) -> Option<Instant> {
        let joining = self.joining.as_ref()?;
        Some(joining.again.map_or(joining.deadline, |again| again.min(joining.deadline)))
    }

    pub(super) fn joining_timeout(&mut self, now: Instant) {
        if let Some(joining) = self.joining.take_if(|joining| now >= joining.deadline) {
            self.close_link(joining.link, CloseCode::Reattach, "no Welcome in time");
            return self.dial_failed(now);
        }
        let Some(joining) = self.joining.as_mut() else { return };
        if joining.again.take_if(|again| now >= *again).is_some() && self.background.is_none() {
            joining.alone = false;
            self.redial.dialing = Some(joining.timeout);
            let attempt = self.redial.backoff.attempts().max(1);
            self.out.push_back(Output::Dial { attempt, timeout: joining.timeout });
        }
    }

    fn next_counter(&mut self) -> (u64, u64) {
        self.counter = self.counter.saturating_add(1);
        let counter = self.counter;
        (counter, self.journal.record(|| Record::Counter(counter)).batch)
    }

    /// The Hello to be written now, if any.
    pub(super) fn next_hello(&mut self, now: Instant) -> Option<(LinkId, Frame)> {
        if !self.has_hello() {
            return None;
        }
        let peer_epoch = self.peer.epoch;
        let patience = WELCOME_MIN.max(WELCOME_RTTS * self.redial.rtt);
        let joining = self.joining.as_mut()?;
        joining.hello_sent = true;
        joining.again = joining.alone.then(|| now + patience);
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            session: self.session,
            secret: (peer_epoch.is_none() || joining.forgotten).then(|| self.secret.clone()),
            epoch: self.epoch,
            peer_epoch,
            counter: joining.counter,
            proof: proof::prove(&self.secret, &joining.info.exporter, joining.counter),
            limits: self.limits,
            credentials: joining.info.credentials.clone(),
        };
        Some((joining.link, Frame::Control(Control::Hello(Box::new(hello)))))
    }

    pub(super) fn has_hello(&self) -> bool {
        self.joining.as_ref().is_some_and(|join| !join.hello_sent && join.hold <= self.journal.durable())
    }

    pub(super) fn handle_answer(&mut self, link: LinkId, frame: Frame, now: Instant) {
        match frame {
            Frame::Control(Control::Welcome(welcome)) => self.handle_welcome(link, welcome, now),
            Frame::Control(Control::Retry(retry)) => self.handle_retry(link, retry, now),
            Frame::Control(Control::Refuse(refuse)) => self.handle_refuse(link, refuse, now),
            Frame::Heartbeat(_) => {}
            Frame::Control(_) | Frame::Data(_) | Frame::Body(_) => {
                self.violation(link, "a frame before the Welcome (rule S1)", now);
            }
        }
    }

    fn handle_welcome(&mut self, link: LinkId, welcome: Welcome, now: Instant) {
        let answers = |joining: &mut Joining| {
            joining.hello_sent && welcome.counter == joining.counter && welcome.version == VERSION
        };
        let Some(joining) = self.joining.take_if(answers) else {
            return self.violation(link, "a Welcome that answers no Hello of this link (rule S1)", now);
        };
        if self.peer.epoch != Some(welcome.epoch) && self.is_overfull() {
            self.close_link(link, CloseCode::Busy, "messages of former epochs are still untaken");
            return self.dial_failed(now);
        }
        let binding = joining.info.binding;
        self.journal.record(|| Record::Binding(binding.clone()));
        self.peer.binding = Some(binding);
        self.peer.limits = Some(welcome.limits);
        self.peer.durable = welcome.durable;
        let confirm = Confirm { counter: welcome.counter, durable: self.durable };
        self.transmit(link, Control::Confirm(confirm));
        self.confirmed = true;
        self.attach(link, welcome.epoch, None, now);
    }

    fn handle_retry(&mut self, link: LinkId, retry: Retry, now: Instant) {
        if matches!(retry, Retry::Stale(last) if last >= varint::MAX) {
            return self.violation(link, "a Stale that leaves no counter to use (rule W2)", now);
        }
        let exhausted = match self.joining.as_mut() {
            Some(joining) => {
                joining.retries += 1;
                joining.forgotten |= retry == Retry::Forgotten;
                joining.retries >= MAX_HELLOS
            }
            None => return,
        };
        if exhausted {
            self.joining = None;
            self.close_link(link, CloseCode::ProtocolViolation, "too many retries asked for (rule S4)");
            return self.dial_failed(now);
        }
        if let Retry::Stale(last) = retry {
            self.counter = self.counter.max(last);
        }
        let (counter, hold) = self.next_counter();
        if let Some(joining) = self.joining.as_mut() {
            (joining.counter, joining.hold, joining.hello_sent) = (counter, hold, false);
        }
    }

    fn handle_refuse(&mut self, link: LinkId, refuse: Refuse, now: Instant) {
        self.joining = None;
        let code = CloseCode::from_value(refuse.code);
        self.close_link(link, CloseCode::Reattach, "refused");
        if refuse.retry && (self.confirmed || self.closing.is_some()) {
            return self.dial_failed(now);
        }
        self.refused(code, refuse.reason, refuse.retry, now);
    }

    pub(super) fn refused(&mut self, code: CloseCode, reason: String, retry: bool, now: Instant) {
        // An acceptor that has ended the session already remembers its end: that is as good as telling it.
        let told = self.closing.as_ref().is_some_and(|closing| closing.code == code);
        let side = if told { Side::Local } else { Side::Remote };
        let clean = told && self.unresolved() == 0;
        self.end(CloseReason { code, side, clean, retry, reason }, now);
    }
}
