//! Channels of protobuf messages instead of bytes.
//!
//! The types are [prost](https://docs.rs/prost)'s, version 0.14, which this crate re-exports as [`bowline::prost`](crate::prost): made from
//! a schema by `prost-build`, or derived by hand.
//!
//! ```no_run
//! # mod chat {
//! #[derive(Clone, PartialEq, bowline::prost::Message)]
//! # #[prost(prost_path = "bowline::prost")]
//! pub struct Text {
//!     #[prost(string, tag = "1")]
//!     pub body: String,
//! }
//! # }
//! # use chat::Text;
//! # async fn example(session: bowline::Session) -> Result<(), Box<dyn std::error::Error>> {
//! use bowline::{ChannelConfig, Delivery};
//!
//! let config = ChannelConfig::new(Delivery::ReliableOrdered);
//! let (chat, mut inbox) = session.open_typed::<Text, Text>("chat", config).await?;
//! chat.send(&Text { body: "hello".to_owned() }).await?.await?;
//! while let Some(message) = inbox.recv().await {
//!     println!("{}", message.value().body);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What a peer sends need not be what was agreed. A payload that does not decode is rejected, which its sender is told with
//! the problem unless the channel is unreliable, and the next message follows. Protobuf cannot tell every message of another
//! type: one whose fields happen to fit decodes, and unknown fields are skipped. A decoded message may take several times the
//! memory of its bytes, for instance one of many empty parts; [`max_message_size`](crate::Config::max_message_size) bounds those.

use std::fmt;
use std::marker::PhantomData;

use prost::Message as Protobuf;

use super::{Channel, Inbox, Unacked};
use crate::config::SendOptions;
use crate::error::SendError;
use crate::id::MessageId;
use crate::protocol::machine::InboxEnd;
use crate::protocol::types::ChannelStats;
use crate::receipt::Receipt;

/// Sends protobuf messages on one channel of a session: a [`Channel`] that encodes. Cheap to clone.
///
/// Dropping the last clone finishes the channel: what was accepted is still delivered.
pub struct TypedChannel<Out> {
    channel: Channel,
    message: PhantomData<fn(&Out)>,
}

impl<Out: Protobuf> TypedChannel<Out> {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel, message: PhantomData }
    }

    /// The label under which both sides meet.
    pub fn label(&self) -> &str {
        self.channel.label()
    }

    /// Encodes and sends, as [`Channel::send`].
    ///
    /// # Errors
    ///
    /// Those of [`Channel::send`]. Nothing was queued.
    ///
    /// # Cancel safety
    ///
    /// That of [`Channel::send`].
    pub async fn send(&self, message: &Out) -> Result<Receipt, SendError> {
        self.channel.send(message.encode_to_vec()).await
    }

    /// Encodes and sends, as [`Channel::send_with`].
    ///
    /// # Errors
    ///
    /// Those of [`Channel::send_with`]. Nothing was queued.
    ///
    /// # Cancel safety
    ///
    /// That of [`Channel::send_with`].
    pub async fn send_with(&self, message: &Out, options: SendOptions) -> Result<Receipt, SendError> {
        self.channel.send_with(message.encode_to_vec(), options).await
    }

    /// Encodes and sends, as [`Channel::try_send`].
    ///
    /// # Errors
    ///
    /// Those of [`Channel::try_send`]. Nothing was queued.
    pub fn try_send(&self, message: &Out) -> Result<Receipt, SendError> {
        self.channel.try_send(message.encode_to_vec())
    }

    /// Encodes and sends, as [`Channel::try_send_with`].
    ///
    /// # Errors
    ///
    /// Those of [`Channel::try_send_with`]. Nothing was queued.
    pub fn try_send_with(&self, message: &Out, options: SendOptions) -> Result<Receipt, SendError> {
        self.channel.try_send_with(message.encode_to_vec(), options)
    }

    /// Sends no more on this channel. What was accepted is still delivered, then the peer's inbox ends.
    pub fn finish(&self) {
        self.channel.finish();
    }

    /// Figures of the channel, both directions.
    pub fn stats(&self) -> ChannelStats {
        self.channel.stats()
    }

    /// The channel of bytes below.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The channel of bytes below.
    pub fn into_inner(self) -> Channel {
        self.channel
    }
}

impl<Out> Clone for TypedChannel<Out> {
    fn clone(&self) -> Self {
        Self { channel: self.channel.clone(), message: PhantomData }
    }
}

impl<Out> fmt::Debug for TypedChannel<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.channel.fmt(f)
    }
}

/// Receives protobuf messages on one channel of a session: an [`Inbox`] that decodes.
///
/// What does not decode never reaches the application: it is rejected with a reason like "cannot decode Text: invalid wire
/// type …", [counted](Self::undecodable) and logged without its bytes, at WARN for the first, second, fourth, eighth … of an
/// inbox and at DEBUG for the others, so that a peer cannot fill a log.
///
/// Dropping it refuses the channel, as with an [`Inbox`].
pub struct TypedInbox<In> {
    inbox: Inbox,
    undecodable: u64,
    message: PhantomData<fn() -> In>,
}

impl<In: Protobuf + Default> TypedInbox<In> {
    pub(crate) fn new(inbox: Inbox) -> Self {
        Self { inbox, undecodable: 0, message: PhantomData }
    }

    /// The label under which both sides meet.
    pub fn label(&self) -> &str {
        self.inbox.label()
    }

    /// Waits for the next message that decodes, and acknowledges it as handled, as [`Inbox::recv`]. `None` when nothing will
    /// come any more; [`end`](Self::end) says why.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, no message was taken, but what did not decode until then is rejected.
    pub async fn recv(&mut self) -> Option<TypedMessage<In>> {
        self.recv_unacked().await.map(TypedUnacked::handled)
    }

    /// The next message that decodes if there is one now, as [`recv`](Self::recv) gives it.
    pub fn try_recv(&mut self) -> Option<TypedMessage<In>> {
        self.try_recv_unacked().map(TypedUnacked::handled)
    }

    /// Waits for the next message that decodes, which is handled only when it is [acknowledged](TypedUnacked::ack), as
    /// [`Inbox::recv_unacked`]. `None` when nothing will come any more; [`end`](Self::end) says why.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, no message was taken, but what did not decode until then is rejected.
    pub async fn recv_unacked(&mut self) -> Option<TypedUnacked<In>> {
        loop {
            let unacked = self.inbox.recv_unacked().await?;
            if let Some(decoded) = self.decode(unacked) {
                return Some(decoded);
            }
        }
    }

    /// The next message that decodes if there is one now, as [`recv_unacked`](Self::recv_unacked) gives it.
    pub fn try_recv_unacked(&mut self) -> Option<TypedUnacked<In>> {
        loop {
            let unacked = self.inbox.try_recv_unacked()?;
            if let Some(decoded) = self.decode(unacked) {
                return Some(decoded);
            }
        }
    }

    /// Messages that were rejected because they did not decode.
    pub fn undecodable(&self) -> u64 {
        self.undecodable
    }

    /// Why nothing will come any more, once that is so.
    pub fn end(&self) -> Option<InboxEnd> {
        self.inbox.end()
    }

    /// The inbox of bytes below: to look at large messages on their way, for instance.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// The inbox of bytes below.
    pub fn into_inner(self) -> Inbox {
        self.inbox
    }

    /// Decodes a message, or rejects it.
    fn decode(&mut self, unacked: Unacked) -> Option<TypedUnacked<In>> {
        // A copy of the handle, not of the bytes: what the message keeps of them it may share.
        let error = match In::decode(unacked.payload().clone()) {
            Ok(value) => return Some(TypedUnacked { unacked, value }),
            Err(error) => error.to_string(),
        };
        let problem = error.strip_prefix("failed to decode Protobuf message: ").unwrap_or(&error);
        self.undecodable += 1;
        let (channel, count) = (self.inbox.label(), self.undecodable);
        if count.is_power_of_two() {
            tracing::warn!(?channel, message = %unacked.id(), problem, count, "rejected what does not decode");
        } else {
            tracing::debug!(?channel, message = %unacked.id(), problem, count, "rejected what does not decode");
        }
        unacked.reject(&format!("cannot decode {}: {problem}", name_of::<In>()));
        None
    }
}

impl<In> fmt::Debug for TypedInbox<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inbox.fmt(f)
    }
}

/// The type's own name, without the path to it.
fn name_of<T>() -> &'static str {
    let path = std::any::type_name::<T>();
    let (path, _parameters) = path.split_once('<').unwrap_or((path, ""));
    path.rsplit("::").next().unwrap_or(path)
}

/// A decoded message that was handed over and is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedMessage<In> {
    value: In,
    id: MessageId,
    redelivered: bool,
    skipped: u64,
}

impl<In> TypedMessage<In> {
    /// Its name, the same at both ends and for ever.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// What was sent.
    pub fn value(&self) -> &In {
        &self.value
    }

    /// What was sent, to keep.
    pub fn into_value(self) -> In {
        self.value
    }

    /// As [`Message::redelivered`](super::Message::redelivered).
    pub fn redelivered(&self) -> bool {
        self.redelivered
    }

    /// As [`Message::skipped`](super::Message::skipped). What did not decode is not counted: it was rejected.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// A decoded message that was handed over and is yet to be acknowledged. Dropped without that it comes again.
#[derive(Debug)]
#[must_use = "a message that is dropped unacknowledged comes again"]
pub struct TypedUnacked<In> {
    unacked: Unacked,
    value: In,
}

impl<In> TypedUnacked<In> {
    /// Its name, the same at both ends and for ever.
    pub fn id(&self) -> MessageId {
        self.unacked.id()
    }

    /// What was sent.
    pub fn value(&self) -> &In {
        &self.value
    }

    /// From 1: how often it was handed over.
    pub fn attempt(&self) -> u32 {
        self.unacked.attempt()
    }

    /// As [`Unacked::redelivered`].
    pub fn redelivered(&self) -> bool {
        self.unacked.redelivered()
    }

    /// As [`Message::skipped`](super::Message::skipped). What did not decode is not counted: it was rejected.
    pub fn skipped(&self) -> u64 {
        self.unacked.skipped()
    }

    /// Tells the sender that it is handled.
    pub fn ack(self) {
        self.unacked.ack();
    }

    /// Tells the sender that it will not be handled, and why, in at most 256 bytes.
    pub fn reject(self, reason: &str) {
        self.unacked.reject(reason);
    }

    /// The message below, still to be acknowledged, and what it says.
    pub fn into_inner(self) -> (Unacked, In) {
        (self.unacked, self.value)
    }

    fn handled(self) -> TypedMessage<In> {
        let (id, redelivered, skipped) = (self.id(), self.redelivered(), self.skipped());
        self.unacked.ack();
        TypedMessage { value: self.value, id, redelivered, skipped }
    }
}

#[cfg(test)]
mod tests {
    use super::name_of;

    struct Plain;
    struct Of<T>(T);

    #[test]
    fn a_type_is_called_by_its_own_name() {
        assert_eq!(name_of::<Plain>(), "Plain");
        assert_eq!(name_of::<Of<Of<Plain>>>(), "Of");
        assert_eq!(name_of::<()>(), "()");
    }
}
