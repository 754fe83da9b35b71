//! The sending handle of a channel. Its receiving counterpart is the [`Inbox`].

mod inbox;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

pub use inbox::{Inbox, Message, Unacked};

use crate::config::SendOptions;
use crate::driver::shared::Handle;
use crate::driver::waiting::Ticket;
use crate::error::SendError;
use crate::id::MessageId;
use crate::protocol::machine::Accepted;
use crate::protocol::types::{ChannelKey, ChannelStats};
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
}

impl Channel {
    pub(crate) fn new(handle: Arc<Handle>, key: ChannelKey, label: &str) -> Self {
        Self(Arc::new(Sender { handle, key, label: label.into() }))
    }

    /// The label under which both sides meet.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// Sends a message: numbers it and takes room for it in the outbox. Waits for room while there is none, behind
    /// those who wait already. With a store it resolves when the message is durable.
    ///
    /// The message is then on its way whatever happens to the connection; the [`Receipt`] tells what becomes of it.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLarge`], [`SendError::Finished`], [`SendError::Refused`] or [`SendError::Closed`]. Nothing was
    /// queued, except that with a store [`SendError::Closed`] may come while the message, already numbered, was being
    /// made durable: its fate is then unknown, like that of all messages under way.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, nothing was queued, only a place in the line for room is lost. With a store there
    /// is a second wait, for the store, and a message dropped during that is sent all the same.
    pub async fn send(&self, payload: impl Into<Bytes>) -> Result<Receipt, SendError> {
        let sender = &*self.0;
        let accepted = Sending { sender, payload: payload.into(), ticket: None }.await?;
        if accepted.batch > 0 {
            sender.handle.durable(accepted.batch).await.map_err(SendError::Closed)?;
        }
        Ok(self.receipt(accepted.id))
    }

    /// Sends a message if there is room for it now and nobody waits for room. With a store it does not wait until the
    /// message is durable; nothing leaves before that.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send), and [`SendError::Full`]. Nothing was queued.
    pub fn try_send(&self, payload: impl Into<Bytes>) -> Result<Receipt, SendError> {
        let Sender { handle, key, .. } = &*self.0;
        let payload = payload.into();
        let accepted = handle.feed(|state, now| {
            if state.waiting.senders.get(key).is_some_and(|queue| !queue.is_empty()) {
                let stats = state.machine.channel_stats(*key, now).unwrap_or_default();
                return Err(SendError::Full { messages: stats.outbox_messages, bytes: stats.outbox_bytes });
            }
            state.machine.send(*key, payload, SendOptions::default(), now)
        })?;
        Ok(self.receipt(accepted.id))
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
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Waits for room, in line, and sends.
struct Sending<'a> {
    sender: &'a Sender,
    payload: Bytes,
    /// The place in the line, once there is one.
    ticket: Option<Ticket>,
}

impl Future for Sending<'_> {
    type Output = Result<Accepted, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Sender { handle, key, .. } = this.sender;
        let (result, next) = handle.feed(|state, now| {
            let line = state.waiting.senders.get(key);
            if line.is_none_or(|line| line.is_turn_of(this.ticket)) {
                match state.machine.send(*key, this.payload.clone(), SendOptions::default(), now) {
                    Err(SendError::Full { .. }) => {}
                    result => return (Poll::Ready(result), state.waiting.leave_line(*key, &mut this.ticket)),
                }
            }
            let line = state.waiting.senders.entry(*key).or_default();
            line.wait(&mut this.ticket, cx.waker());
            (Poll::Pending, None)
        });
        if let Some(next) = next {
            next.wake();
        }
        result
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            let Sender { handle, key, .. } = self.sender;
            let next = handle.look().waiting.leave_line(*key, &mut self.ticket);
            if let Some(next) = next {
                next.wake();
            }
        }
    }
}
