//! The sending handle of a channel. Its receiving counterpart is the [`Inbox`].

mod inbox;
mod message;
mod sending;
mod transfers;
pub mod typed;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use inbox::Inbox;
pub use message::{Message, Unacked};
pub use transfers::TransferChanged;
pub use typed::{TypedChannel, TypedInbox, TypedMessage, TypedUnacked};

use crate::config::{ChannelConfig, Delivery, Lifetime, SendOptions, WhenFull};
use crate::driver::shared::Handle;
use crate::error::SendError;
use crate::id::MessageId;
use crate::protocol::types::{ChannelKey, ChannelStats, Undelivered};
use crate::receipt::Receipt;

/// Sends on one channel of a session. Cheap to clone; all clones send on the same channel.
///
/// Dropping the last clone [finishes](Self::finish) the channel: what was accepted is still delivered.
#[derive(Clone)]
pub struct Channel(Arc<Sender>);

struct Sender {
    handle: Arc<Handle>,
    key: ChannelKey,
    label: Box<str>,
    when_full: WhenFull,
    /// There is always room: newer messages take that of older ones.
    never_waits: bool,
    /// How long a message is worth anything that comes without an own deadline.
    lifetime: Option<Duration>,
}

impl Channel {
    pub(crate) fn new(handle: Arc<Handle>, key: ChannelKey, label: &str, config: &ChannelConfig) -> Self {
        let (when_full, lifetime) = (config.when_full, config.deadline);
        let never_waits = config.delivery == Delivery::ReliableLatest || when_full == WhenFull::DropOldest;
        Self(Arc::new(Sender { handle, key, label: label.into(), when_full, never_waits, lifetime }))
    }

    /// The label under which both sides meet.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// Sends a message with what the channel's configuration says: see [`send_with`](Self::send_with).
    ///
    /// # Errors
    ///
    /// Those of [`send_with`](Self::send_with). Nothing was queued.
    ///
    /// # Cancel safety
    ///
    /// That of [`send_with`](Self::send_with).
    pub async fn send(&self, payload: impl Into<Bytes>) -> Result<Receipt, SendError> {
        self.send_with(payload, SendOptions::default()).await
    }

    /// Sends a message: numbers it and takes room for it in the outbox. With a store it resolves when the
    /// message is durable, or of an unreliable one the number.
    ///
    /// When there is no room, the channel's [`when_full`](crate::ChannelConfig::when_full) decides: by default this
    /// waits for room, behind those who wait already; on an unreliable channel it never waits, because older messages
    /// make room.
    ///
    /// The message is then on its way whatever happens to the connection; the [`Receipt`] tells what becomes of it. Its
    /// deadline counts from when this is first polled, so that waiting for room is part of its life.
    ///
    /// # Errors
    ///
    /// - [`SendError::TooLarge`], or on an unreliable channel [`SendError::TooLargeUnreliable`] above 64 KiB.
    /// - [`SendError::DeadlinePassed`], also when there was no room until then.
    /// - [`SendError::Full`], only with [`WhenFull::Error`].
    /// - [`SendError::Finished`], [`SendError::Refused`] or [`SendError::Closed`].
    ///
    /// Nothing was queued, except that with a store [`SendError::Closed`] may come while the message, already numbered, was
    /// being made durable: its fate is then unknown, like that of all messages under way.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, nothing was queued, only a place in the line for room is lost. With a store there
    /// is a second wait, for the store, and a message dropped during that is sent all the same.
    pub async fn send_with(
        &self,
        payload: impl Into<Bytes>,
        options: SendOptions,
    ) -> Result<Receipt, SendError> {
        if self.0.never_waits {
            // Nothing else would ever let the session's task have the thread.
            tokio::task::coop::consume_budget().await;
        }
        let accepted = self.0.accept(payload.into(), options)?.await?;
        if accepted.batch > 0 {
            self.0.handle.durable(accepted.batch).await.map_err(SendError::Closed)?;
        }
        Ok(self.receipt(accepted.id))
    }

    /// [`try_send_with`](Self::try_send_with), with what the channel's configuration says.
    ///
    /// # Errors
    ///
    /// Those of [`try_send_with`](Self::try_send_with). Nothing was queued.
    pub fn try_send(&self, payload: impl Into<Bytes>) -> Result<Receipt, SendError> {
        self.try_send_with(payload, SendOptions::default())
    }

    /// Sends a message if there is room for it now and nobody waits for room. With a store it does not wait until the
    /// message is durable; nothing leaves before that.
    ///
    /// # Errors
    ///
    /// Those of [`send_with`](Self::send_with), and [`SendError::Full`] unless older messages make room
    /// ([`WhenFull::DropOldest`]). Nothing was queued.
    pub fn try_send_with(
        &self,
        payload: impl Into<Bytes>,
        options: SendOptions,
    ) -> Result<Receipt, SendError> {
        let accepted = self.0.try_accept(payload.into(), options)?;
        Ok(self.receipt(accepted.id))
    }

    /// What was accepted and has no outcome yet, in the order of the numbers, and where it is. Messages that were given up
    /// are left out: withdrawn ones, expired ones, states that a newer one has superseded.
    ///
    /// A snapshot: a message that is [`Whereabouts::Kept`](crate::Whereabouts::Kept) now may be under way when this returns. To hand messages over to
    /// something else use [`take_back`](Self::take_back).
    pub fn undelivered(&self) -> Vec<Undelivered> {
        self.0.handle.look().machine.undelivered(self.0.key)
    }

    /// Takes back all messages of which no connection ever had anything, in the order of their numbers: they are not sent
    /// any more, nor after a restart, and their receipts end as [`Outcome::Cancelled`](crate::Outcome::Cancelled).
    ///
    /// So a server hands what waits for a client that is offline ([`Event::PeerOffline`](crate::Event::PeerOffline)) over to a
    /// push service, and nothing arrives twice. What is in doubt or at the peer stays: the client has it, or gets it when it is
    /// there again. A push without content can call it.
    ///
    /// ```no_run
    /// # async fn example(session: bowline::Session, chat: bowline::Channel) {
    /// # fn push(_payload: bytes::Bytes) {}
    /// # fn push_wake_up() {}
    /// let mut events = session.events();
    /// while let Some(event) = events.next().await {
    ///     if let bowline::Event::PeerOffline { .. } = event {
    ///         for message in chat.take_back().await {
    ///             push(message.payload);
    ///         }
    ///         if !chat.undelivered().is_empty() {
    ///             push_wake_up();
    ///         }
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// With a store it resolves when that is durable.
    ///
    /// # Cancel safety
    ///
    /// Without a store safe: it resolves when it is first polled. With one, not: the messages are withdrawn when this is
    /// first polled, whether it resolves or not.
    pub async fn take_back(&self) -> Vec<Undelivered> {
        let (taken, batch) = self.0.handle.feed(|state, now| state.machine.take_back(self.0.key, now));
        if !taken.is_empty() && batch > 0 {
            // If the session ends meanwhile, nothing of it comes again either.
            let _ = self.0.handle.durable(batch).await;
        }
        taken
    }

    /// Sends no more on this channel. What was accepted is still delivered, then the peer's inbox ends.
    pub fn finish(&self) {
        self.0.finish();
    }

    /// Figures of the channel, both directions.
    pub fn stats(&self) -> ChannelStats {
        let now = self.0.handle.env.now();
        self.0.handle.look().machine.channel_stats(self.0.key, now).unwrap_or_default()
    }

    fn receipt(&self, id: MessageId) -> Receipt {
        Receipt::new(self.0.handle.clone(), self.0.key, id)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("label", &self.0.label).finish_non_exhaustive()
    }
}

impl Sender {
    fn finish(&self) {
        self.handle.feed(|state, _| state.machine.finish(self.key));
    }

    /// Until when a message is worth anything that is sent now; `None`: for ever.
    fn deadline(&self, options: SendOptions) -> Result<Option<Instant>, SendError> {
        let lifetime = match options.lifetime {
            Some(Lifetime::Ever) => return Ok(None),
            Some(Lifetime::Until(deadline)) => {
                return if deadline > self.handle.env.now() {
                    Ok(Some(deadline))
                } else {
                    Err(SendError::DeadlinePassed)
                };
            }
            Some(Lifetime::For(lifetime)) => Some(lifetime),
            None => self.lifetime,
        };
        match lifetime {
            Some(Duration::ZERO) => Err(SendError::DeadlinePassed),
            Some(lifetime) => Ok(self.handle.env.now().checked_add(lifetime)),
            None => Ok(None),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.finish();
    }
}
