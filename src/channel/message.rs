//! Messages that were handed over.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::driver::shared::Handle;
use crate::id::MessageId;
use crate::protocol::types::{ChannelKey, Delivered};

/// A message that was handed over and is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(Delivered);

impl Message {
    pub(super) fn new(delivered: Delivered) -> Self {
        Self(delivered)
    }

    /// Its name, the same at both ends and for ever.
    pub fn id(&self) -> MessageId {
        self.0.id
    }

    /// What was sent.
    pub fn payload(&self) -> &Bytes {
        &self.0.payload
    }

    /// What was sent, to keep.
    pub fn into_payload(self) -> Bytes {
        self.0.payload
    }

    /// Whether the sender could not exclude that a former incarnation of this side handled it already.
    pub fn redelivered(&self) -> bool {
        self.0.redelivered
    }

    /// How many messages between the one handed over before and this one will not come: expired, withdrawn or superseded; on an
    /// unreliable-sequenced channel also lost or late. What was over before this side got anything of the channel does not
    /// count, nor does what a peer sent before it forgot everything and began anew. Always zero on channels without an order.
    pub fn skipped(&self) -> u64 {
        self.0.skipped
    }
}

/// A message that was handed over and is yet to be acknowledged. Dropped without that it comes again.
#[must_use = "a message that is dropped unacknowledged comes again"]
pub struct Unacked {
    handle: Arc<Handle>,
    key: ChannelKey,
    delivered: Delivered,
    decided: bool,
}

impl Unacked {
    pub(super) fn new(handle: Arc<Handle>, key: ChannelKey, delivered: Delivered) -> Self {
        Self { handle, key, delivered, decided: false }
    }

    /// Its name, the same at both ends and for ever.
    pub fn id(&self) -> MessageId {
        self.delivered.id
    }

    /// What was sent.
    pub fn payload(&self) -> &Bytes {
        &self.delivered.payload
    }

    /// From 1: how often it was handed over.
    pub fn attempt(&self) -> u32 {
        self.delivered.attempt
    }

    /// Whether the sender could not exclude that a former incarnation of this side handled it already.
    pub fn redelivered(&self) -> bool {
        self.delivered.redelivered
    }

    /// As [`Message::skipped`].
    pub fn skipped(&self) -> u64 {
        self.delivered.skipped
    }

    /// Tells the sender that it is handled.
    pub fn ack(mut self) {
        self.decided = true;
        let MessageId { epoch, sequence, .. } = self.delivered.id;
        self.handle.feed(|state, now| state.machine.ack(self.key, epoch, sequence, now));
    }

    /// [`ack`](Self::ack) for many, which costs less than one by one.
    ///
    /// ```no_run
    /// # async fn example(mut inbox: bowline::Inbox) {
    /// use bowline::Unacked;
    ///
    /// let mut batch = Vec::new();
    /// while inbox.recv_unacked_many(&mut batch, 100).await > 0 {
    ///     // … one transaction for all of them …
    ///     Unacked::ack_all(batch.drain(..));
    /// }
    /// # }
    /// ```
    pub fn ack_all(messages: impl IntoIterator<Item = Self>) {
        // All of them are there before the lock is taken: the iterator is not ours.
        let mut messages: Vec<Self> = messages.into_iter().collect();
        for of_one_session in messages.chunk_by_mut(|a, b| Arc::ptr_eq(&a.handle, &b.handle)) {
            let Some(handle) = of_one_session.first().map(|message| message.handle.clone()) else { continue };
            handle.feed(|state, now| {
                for message in of_one_session {
                    message.decided = true;
                    let MessageId { epoch, sequence, .. } = message.delivered.id;
                    state.machine.ack(message.key, epoch, sequence, now);
                }
            });
        }
    }

    /// Tells the sender that it will not be handled, and why, in at most 256 bytes.
    pub fn reject(mut self, reason: &str) {
        self.decided = true;
        let MessageId { epoch, sequence, .. } = self.delivered.id;
        self.handle.feed(|state, now| state.machine.reject(self.key, epoch, sequence, reason, now));
    }
}

impl fmt::Debug for Unacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unacked")
            .field("id", &self.delivered.id)
            .field("attempt", &self.delivered.attempt)
            .finish_non_exhaustive()
    }
}

impl Drop for Unacked {
    fn drop(&mut self) {
        if !self.decided {
            let MessageId { epoch, sequence, .. } = self.delivered.id;
            self.handle.feed(|state, now| state.machine.release(self.key, epoch, sequence, now));
        }
    }
}
