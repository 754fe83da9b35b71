//! A conversation with one peer: what this program would be without a terminal.
//!
//! Two channels, so that neither disturbs the other. `chat` carries what must arrive, in order: first who we are,
//! then what we say, at last that we leave. On an ordered channel the name is thus known before the first word,
//! and nobody is seen leaving before the last one. `typing` carries what is worthless when late: it takes no place in
//! the conversation, is not sent while there is no connection, and nobody asks what became of it.
//!
//! Everything comes out of [`Conversation::next`], one [`Notice`] after the other. A peer's message is acknowledged
//! when the one after it is asked for: by then it has been shown, so that two ticks mean what they promise.
//! What is said goes into the library's outbox and is not waited for; [`Receipts`] tells later what became of it.
//! While the connection is lost the outbox goes on accepting, and what it holds is delivered after the reconnect.

use std::collections::VecDeque;
use std::time::Duration;

use bowline::config::{ChannelConfig, Delivery};
use bowline::error::{CloseReason, OpenError, SendError};
use bowline::{Channel, Event, Events, Inbox, Receipt, Session, Unacked};
use bytes::Bytes;
use tokio::time::Instant;

use crate::envelope::{self, Said};
use crate::notice::{Notice, Presence, short};
use crate::receipts::Receipts;
use crate::text;

/// How long leaving may wait for outcomes.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// Messages that may wait here for room in the outbox, which holds many more.
pub(crate) const WAITING: usize = 1024;

/// A conversation with one peer, over one session.
pub(crate) struct Conversation {
    session: Session,
    events: Events,
    chat: Channel,
    heard: Inbox,
    typing: Channel,
    typing_heard: Inbox,
    receipts: Receipts,
    me: String,
    fingerprint: String,
    /// What the peer calls itself; until it has told, the beginning of its fingerprint.
    peer: String,
    connected: bool,
    /// What the outbox had no room for yet.
    waiting: VecDeque<Outgoing>,
    /// What is to be told by `next`.
    ready: VecDeque<Notice>,
    /// The message told last, to be acknowledged once it is shown.
    shown: Option<Unacked>,
    leaving: Leaving,
    ending: Ending,
}

struct Outgoing {
    payload: Bytes,
    /// The text, if it is a message: presence gets no ticks.
    text: Option<String>,
}

/// Whether this side wants to go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// Goodbye is said; what waits for room in the outbox may still get it until then.
    By(Instant),
    /// The session drains.
    Closing,
}

/// How much is left to tell. The session's end comes last, although it may be known before the rest.
#[derive(Default)]
struct Ending {
    heard_all: bool,
    told_all: bool,
    reason: Option<CloseReason>,
    over: bool,
}

impl Conversation {
    /// Begins to talk over a new session with the peer that proved `fingerprint`.
    pub(crate) async fn start(session: Session, me: &str, fingerprint: String) -> Result<Self, OpenError> {
        let events = session.events();
        let config = ChannelConfig::new(Delivery::ReliableOrdered);
        let (chat, heard) = session.open("chat", config.clone()).await?;
        let (typing, typing_heard) = session.open("typing", config).await?;
        let mut conversation = Self {
            session,
            events,
            chat,
            heard,
            typing,
            typing_heard,
            receipts: Receipts::default(),
            me: me.to_owned(),
            peer: short(&fingerprint).to_owned(),
            fingerprint,
            connected: false,
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            shown: None,
            leaving: Leaving::No,
            ending: Ending::default(),
        };
        conversation.waiting.push_back(conversation.presence(Presence::Available));
        conversation.on_connected(false);
        Ok(conversation)
    }

    /// Says a line. Whether it was accepted is told by [`next`](Self::next).
    pub(crate) fn say(&mut self, text: &str) {
        let refused = if self.leaving != Leaving::No || self.ending.reason.is_some() {
            "the conversation is ending"
        } else if !self.has_room() {
            "too much is waiting already"
        } else {
            let payload = envelope::text(text);
            self.waiting.push_back(Outgoing { payload, text: Some(text::clean(text)) });
            return;
        };
        self.ready.push_back(Notice::Problem(format!("not sent, {refused}: {}", text::clean(text))));
    }

    /// Whether [`say`](Self::say) takes more now.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING
    }

    /// Lets the peer know that this side writes, or has stopped, if it can know now.
    pub(crate) fn typing(&self, active: bool) {
        if self.connected {
            // A full outbox is no reason to wait: by then it would not be true any more.
            let _ = self.typing.try_send(envelope::typing(active));
        }
    }

    /// Dials again now, whatever the policy says.
    pub(crate) fn reconnect(&self) {
        self.session.reconnect();
    }

    /// Says goodbye, and closes when everything said has its outcome, or after [`DRAIN`].
    pub(crate) fn leave(&mut self) {
        if self.leaving == Leaving::No {
            self.waiting.push_back(self.presence(Presence::Leaving));
            self.leaving = Leaving::By(Instant::now() + DRAIN);
        }
    }

    /// What happens next; `None` after [`Notice::Closed`]. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Notice> {
        loop {
            if let Some(notice) = self.ready.pop_front() {
                return Some(notice);
            }
            // Whoever asks again has shown what there was.
            if let Some(shown) = self.shown.take() {
                shown.ack();
            }
            if self.ending.over {
                return None;
            }
            if self.ending.heard_all && self.ending.told_all && self.ending.reason.is_some() {
                self.end();
            } else {
                self.step().await;
            }
        }
    }

    /// Waits for one thing to happen, and makes notices of it.
    async fn step(&mut self) {
        let leave_by = match self.leaving {
            Leaving::By(deadline) if !self.waiting.is_empty() => Some(deadline),
            Leaving::By(deadline) => {
                self.close(deadline);
                None
            }
            Leaving::No | Leaving::Closing => None,
        };
        let is_on = self.ending.reason.is_none();
        let next = self.waiting.front().filter(|_| is_on).map(|outgoing| outgoing.payload.clone());
        tokio::select! {
            unacked = self.heard.recv_unacked(), if !self.ending.heard_all => match unacked {
                Some(unacked) => self.on_heard(unacked),
                None => self.ending.heard_all = true,
            },
            told = self.receipts.next(), if !self.ending.told_all => match told {
                Some(notice) => self.ready.push_back(notice),
                None => self.ending.told_all = true,
            },
            Some(message) = self.typing_heard.recv(), if is_on => {
                if let Ok(Said::Typing(active)) = envelope::decode(message.into_payload()) {
                    self.ready.push_back(Notice::Typing { active });
                }
            }
            event = self.events.next(), if is_on => match event {
                Some(Event::Closed(reason)) => self.on_closed(reason),
                Some(event) => self.on_event(event),
                None => self.on_closed(self.session.closed().await),
            },
            accepted = send(&self.chat, next) => self.on_accepted(accepted),
            () = until(leave_by) => self.give_up_waiting(),
        }
    }

    fn on_heard(&mut self, unacked: Unacked) {
        match envelope::decode(unacked.payload().clone()) {
            Ok(Said::Text(text)) => {
                self.ready.push_back(Notice::Message { id: unacked.id(), from: self.peer.clone(), text });
                self.shown = Some(unacked);
            }
            Ok(Said::Presence { name, presence }) => {
                if let Some(name) = name {
                    self.peer = name;
                }
                self.ready.push_back(Notice::Presence { name: self.peer.clone(), presence });
                unacked.ack();
            }
            Ok(Said::Typing(_) | Said::Unknown) => unacked.ack(),
            Err(reason) => {
                unacked.reject(&reason);
                let problem = format!("a message of {} was rejected: {}", self.peer, text::clean(&reason));
                self.ready.push_back(Notice::Problem(problem));
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Resumed { .. } => self.on_connected(true),
            Event::Reset { undelivered, .. } => {
                self.ready.push_back(Notice::Reset { undelivered });
                self.on_connected(false);
                // Whoever is there now has never heard of us.
                self.waiting.push_front(self.presence(Presence::Available));
            }
            Event::Reconnecting { attempt, after } => {
                self.on_disconnected(Notice::Reconnecting { attempt, after });
            }
            Event::PeerOffline { pending } => self.on_disconnected(Notice::Offline { pending }),
            Event::GaveUp => self.on_disconnected(Notice::GaveUp),
            Event::Service(health) => self.ready.push_back(Notice::Service(health)),
            Event::Suspect => self.ready.push_back(Notice::Suspect),
            Event::Recovered => self.ready.push_back(Notice::Recovered),
            Event::PathChanged { remote, .. } => self.ready.push_back(Notice::PathChanged { remote }),
            // `start` has told of the first connection, and the rest changes nothing for people who chat.
            _ => {}
        }
    }

    fn on_connected(&mut self, resumed: bool) {
        self.connected = true;
        self.ready.push_back(Notice::Connected { peer: self.fingerprint.clone(), resumed });
    }

    fn on_disconnected(&mut self, notice: Notice) {
        self.connected = false;
        self.ready.push_back(notice);
    }

    fn on_accepted(&mut self, accepted: Result<Receipt, SendError>) {
        let Some(outgoing) = self.waiting.pop_front() else { return };
        match (accepted, outgoing.text) {
            (Ok(receipt), Some(text)) => {
                self.ready.push_back(Notice::Accepted { id: receipt.id(), text });
                self.receipts.push(receipt);
            }
            (Ok(_), None) => {}
            (Err(error), _) => {
                self.ready
                    .push_back(Notice::Problem(format!("not sent: {}", text::clean(&error.to_string()))));
            }
        }
    }

    /// The session is over. What it still holds is told before.
    fn on_closed(&mut self, reason: CloseReason) {
        self.connected = false;
        self.receipts.finish();
        self.ending.reason = Some(CloseReason { reason: text::clean(&reason.reason), ..reason });
    }

    /// Everything is told but the end.
    fn end(&mut self) {
        self.give_up_waiting();
        self.ready.extend(self.ending.reason.take().map(Notice::Closed));
        self.ending.over = true;
    }

    /// Closes the session, in a task: meanwhile what the peer still says is shown and acknowledged here.
    fn close(&mut self, deadline: Instant) {
        self.leaving = Leaving::Closing;
        let session = self.session.clone();
        let drain = deadline.saturating_duration_since(Instant::now());
        tokio::spawn(async move { session.close_with("", drain).await });
    }

    fn give_up_waiting(&mut self) {
        for text in self.waiting.drain(..).filter_map(|outgoing| outgoing.text) {
            self.ready.push_back(Notice::Problem(format!("not sent, the conversation is over: {text}")));
        }
    }

    fn presence(&self, presence: Presence) -> Outgoing {
        Outgoing { payload: envelope::presence(&self.me, presence), text: None }
    }
}

/// Waits for room in the outbox.
async fn send(channel: &Channel, payload: Option<Bytes>) -> Result<Receipt, SendError> {
    match payload {
        Some(payload) => channel.send(payload).await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
