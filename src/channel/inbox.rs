//! The receiving handle of a channel.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use crate::driver::shared::Handle;
use crate::id::MessageId;
use crate::protocol::machine::{InboxEnd, Machine};
use crate::protocol::types::{ChannelKey, Delivered};

/// What the sender is told when the inbox is dropped.
const DROPPED: &str = "the receiver closed this channel";

/// Receives on one channel of a session.
///
/// Dropping it refuses the channel: what was not taken, and what still comes, is rejected with the reason "the receiver
/// closed this channel".
pub struct Inbox {
    handle: Arc<Handle>,
    key: ChannelKey,
    label: Box<str>,
}

/// How to take the next message from the machine.
type Take = fn(&mut Machine, ChannelKey, Instant) -> Option<Delivered>;

impl Inbox {
    pub(crate) fn new(handle: Arc<Handle>, key: ChannelKey, label: &str) -> Self {
        Self { handle, key, label: label.into() }
    }

    /// The label under which both sides meet.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Waits for the next message, which is acknowledged as handled when it is handed over: at most once, if this process
    /// should crash (rule R2); with a store once more, under the same id, if it crashes before the store has it. `None` when nothing will come any more; [`end`](Self::end) says why.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, no message was taken.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_take(cx, Machine::recv)).await.map(Message)
    }

    /// The next message if there is one now, as [`recv`](Self::recv) gives it.
    pub fn try_recv(&mut self) -> Option<Message> {
        self.take(Machine::recv).map(Message)
    }

    /// Waits for the next message, which is handled only when it is [acknowledged](Unacked::ack): at least once (rule
    /// R2). One that is dropped instead comes again, before any that was not delivered yet; after `max_attempts` it
    /// ends as rejected. `None` when nothing will come any more; [`end`](Self::end) says why.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, no message was taken.
    pub async fn recv_unacked(&mut self) -> Option<Unacked> {
        let delivered = poll_fn(|cx| self.poll_take(cx, Machine::recv_unacked)).await?;
        Some(Unacked { handle: self.handle.clone(), key: self.key, delivered, decided: false })
    }

    /// Why nothing will come any more, once that is so.
    pub fn end(&self) -> Option<InboxEnd> {
        self.handle.look().machine.inbox_end(self.key)
    }

    fn take(&self, take: Take) -> Option<Delivered> {
        self.handle.feed(|state, now| take(&mut state.machine, self.key, now))
    }

    fn poll_take(&self, cx: &Context<'_>, take: Take) -> Poll<Option<Delivered>> {
        self.handle.feed(|state, now| {
            if let Some(delivered) = take(&mut state.machine, self.key, now) {
                return Poll::Ready(Some(delivered));
            }
            if state.machine.inbox_end(self.key).is_some() {
                return Poll::Ready(None);
            }
            state.waiting.receivers.insert(self.key, cx.waker().clone());
            Poll::Pending
        })
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("label", &self.label).finish_non_exhaustive()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.handle.feed(|state, now| {
            state.waiting.receivers.remove(&self.key);
            if state.machine.inbox_end(self.key).is_none() {
                state.machine.refuse(self.key, DROPPED, now);
            }
        });
    }
}

/// A message that was handed over and is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(Delivered);

impl Message {
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

    /// Tells the sender that it is handled.
    pub fn ack(mut self) {
        self.decided = true;
        let MessageId { epoch, sequence, .. } = self.delivered.id;
        self.handle.feed(|state, now| state.machine.ack(self.key, epoch, sequence, now));
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
