//! The handle of a session: channels, events, state, end.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::channel::{Channel, Inbox, TypedChannel, TypedInbox};
use crate::config::{ChannelConfig, Delivery};
use crate::driver::shared::Handle;
use crate::driver::waiting::Ticket;
use crate::error::{CloseCode, CloseReason, OpenError};
use crate::id::SessionId;
use crate::protocol::types::{Event, SessionState, SessionStats};
use crate::tls::PeerIdentity;
use crate::wire::Health;

/// How long [`Session::close`] lets what was accepted be delivered.
const DRAIN: Duration = Duration::from_secs(10);

/// The durable conversation between two peers. It outlives its connections: when one is lost, the dialing side makes
/// another, and both go on where they were.
///
/// Cheap to clone. The session lives as long as any handle of it: `Session`, [`Channel`], [`Inbox`],
/// [`Receipt`](crate::receipt::Receipt), [`Unacked`](crate::channel::Unacked), their typed counterparts,
/// [`TransferChanged`](crate::channel::TransferChanged) or [`IncomingChannels`]. When the last one is dropped without
/// [`close`](Self::close), it ends at once with [`CloseCode::Dropped`], and what is on its way ends as unknown.
#[derive(Clone, Debug)]
pub struct Session(Arc<Handle>);

impl Session {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self(handle)
    }

    /// The session's name, the same at both ends.
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// Who the peer has proved to be. `None` for a dialer that showed no key.
    pub fn peer(&self) -> Option<PeerIdentity> {
        self.0.look().peer.clone()
    }

    /// Opens the channel of this label on this side. The peer does the same when it likes: until then up to 64 KiB
    /// of what is sent travels ahead, and the rest waits in the outbox.
    ///
    /// Keep both halves, or bind the one that is not used to a name like `_inbox`: dropping the [`Channel`] finishes
    /// it, dropping the [`Inbox`] refuses what the peer sends, and `_` drops at once. The label can be opened again
    /// when both directions are over at both ends.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. Nothing was opened.
    ///
    /// # Cancel safety
    ///
    /// Safe: it resolves when it is first polled.
    pub async fn open(&self, label: &str, config: ChannelConfig) -> Result<(Channel, Inbox), OpenError> {
        let key = self.0.feed(|state, now| state.machine.open(label, config.clone(), now))?;
        Ok((Channel::new(self.0.clone(), key, label, &config), Inbox::new(self.0.clone(), key, label)))
    }

    /// [`open`](Self::open) for protobuf messages: this side sends `Out` and receives `In`, see
    /// [`channel::typed`](crate::channel::typed). On the wire it is a channel like any other, and the peer may open it as one of bytes.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. Nothing was opened.
    ///
    /// # Cancel safety
    ///
    /// Safe: it resolves when it is first polled.
    pub async fn open_typed<Out, In>(
        &self,
        label: &str,
        config: ChannelConfig,
    ) -> Result<(TypedChannel<Out>, TypedInbox<In>), OpenError>
    where
        Out: prost::Message,
        In: prost::Message + Default,
    {
        let (channel, inbox) = self.open(label, config).await?;
        Ok((TypedChannel::new(channel), TypedInbox::new(inbox)))
    }

    /// The labels that the peer has opened and this side has not, those included that it opened before this call.
    /// Each label is given once, to one of those who ask.
    pub fn incoming_channels(&self) -> IncomingChannels {
        IncomingChannels { handle: self.0.clone() }
    }

    /// What happens to the session from now on. Holds up to 256 events for a slow subscriber; then the oldest
    /// make way, and [`Event::Lagged`] says how many. Does not keep the session alive.
    pub fn events(&self) -> Events {
        Events { receiver: self.0.subscribe() }
    }

    /// The state now.
    pub fn state(&self) -> SessionState {
        self.0.look().machine.state()
    }

    /// Figures of the session.
    pub fn stats(&self) -> SessionStats {
        let now = self.0.env.now();
        let machine = &self.0.look().machine;
        SessionStats { total: machine.total(now), ..machine.stats() }
    }

    /// Tries to reach the peer now, whatever the reconnect policy says, for instance when a session has given up.
    /// Without effect while connected, in the background, and on the accepting side, which cannot dial.
    pub fn reconnect(&self) {
        self.0.feed(|state, now| state.machine.reconnect(now));
    }

    /// Tells the session that the network is another one, as the operating system or the user may know before
    /// anything is missed: the connection is probed, and a new one is made at once and takes over. Nothing is lost if
    /// the old one was still good. In the background it waits for [`resumed`](Self::resumed). Without effect on the accepting
    /// side, which cannot dial.
    pub fn network_changed(&self) {
        self.0.network_changed();
    }

    /// Tells the session that this process is about to be stopped by its system, as phones do with what is in the
    /// background. The peer is told: to it this side is offline from now on, and it holds its messages. No beat is sent, and
    /// nothing is dialed, until [`resumed`](Self::resumed). What this side sends still leaves while there is a connection.
    ///
    /// The word takes half a round trip; if it does not get through, the peer misses a beat instead. The peer keeps the
    /// session for [`session_expiry`](crate::Config::session_expiry) from now on. A process that goes on running in the background
    /// and wants its messages does not call this. Without effect on the accepting side.
    pub fn going_to_background(&self) {
        self.0.going_to_background();
    }

    /// Tells the session that this process runs again: the peer is told, and the connection is proved at once. If nothing has
    /// kept a NAT's mapping open for longer than a heartbeat, it goes on from a new socket; without a connection, it
    /// dials. Without effect unless [`going_to_background`](Self::going_to_background) was called before.
    pub fn resumed(&self) {
        self.0.resumed();
    }

    /// Tells the peer at once how this application is. [`Health::Stalled`] is found out without being told, when messages have
    /// waited for `recv` for five seconds.
    pub fn set_health(&self, health: Health) {
        self.0.feed(|state, now| state.machine.set_health(health, now));
    }

    /// Ends the session in an orderly way: nothing new is accepted, what was accepted is still delivered, for at most
    /// 10 s, then the peer is told. Yields how it ended, which is otherwise if the session was ended before.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the session is closing whether this resolves or not.
    pub async fn close(&self) -> CloseReason {
        self.close_with("", DRAIN).await
    }

    /// [`close`](Self::close), telling the peer why, in at most 256 bytes, and with another limit for the delivery
    /// of what was accepted. Zero does not wait: what is on its way ends as unknown, and on a connection that is believed to be
    /// dead nobody is waited for either.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the session is closing whether this resolves or not.
    pub async fn close_with(&self, reason: &str, drain: Duration) -> CloseReason {
        self.0.close(CloseCode::Normal, reason, drain);
        self.0.ended().await
    }

    /// Waits until the session is over, for whatever reason.
    ///
    /// # Cancel safety
    ///
    /// Safe: this only looks.
    pub async fn closed(&self) -> CloseReason {
        self.0.ended().await
    }
}

/// The labels that a peer opens, see [`Session::incoming_channels`].
#[derive(Debug)]
pub struct IncomingChannels {
    handle: Arc<Handle>,
}

/// A label that the peer opened and this side has not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncomingChannel {
    /// What to [`open`](Session::open) to meet the peer.
    pub label: String,
    /// The mode in which the peer sends.
    pub delivery: Delivery,
}

impl IncomingChannels {
    /// Waits for the next label. `None` when the session is over.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, no label was taken.
    pub async fn next(&mut self) -> Option<IncomingChannel> {
        let mut place = Place { handle: &self.handle, ticket: None };
        poll_fn(|cx| {
            let mut state = place.handle.look();
            if let Some((label, delivery)) = state.machine.next_incoming() {
                return Poll::Ready(Some(IncomingChannel { label, delivery }));
            }
            if state.closed().is_some() {
                return Poll::Ready(None);
            }
            state.waiting.incoming.wait(&mut place.ticket, cx.waker());
            Poll::Pending
        })
        .await
    }
}

/// A place among those who wait for labels.
struct Place<'a> {
    handle: &'a Handle,
    ticket: Option<Ticket>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            // All of them are woken for each label, so nobody needs to be told.
            drop(self.handle.look().waiting.incoming.leave(self.ticket));
        }
    }
}

/// What happens to a session, see [`Session::events`].
#[derive(Debug)]
pub struct Events {
    receiver: Option<broadcast::Receiver<Event>>,
}

impl Events {
    /// Waits for the next event. `None` when the session is over and its last event, [`Event::Closed`], was given.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, no event was taken.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.as_mut()?.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(Event::Lagged { missed }),
            Err(RecvError::Closed) => {
                self.receiver = None;
                None
            }
        }
    }
}
