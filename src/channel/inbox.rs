//! The receiving handle of a channel.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use super::message::{Message, Unacked};
use super::transfers::TransferChanged;
use crate::driver::shared::Handle;
use crate::id::MessageId;
use crate::protocol::machine::{InboxEnd, Machine};
use crate::protocol::types::{ChannelKey, Delivered, Transfer};

/// What the sender is told when the inbox is dropped.
const DROPPED: &str = "the receiver closed this channel";

/// Most messages taken at once: others want the session too.
const BATCH_MAX: usize = 1024;

/// Receives on one channel of a session.
///
/// Dropping it refuses the channel: what was not taken, and what still comes, is rejected with the reason "the receiver
/// closed this channel".
pub struct Inbox {
    handle: Arc<Handle>,
    key: ChannelKey,
    label: Box<str>,
    /// The version of the transfers that the application has seen.
    seen: AtomicU64,
}

/// How to take the next message from the machine.
type Take = fn(&mut Machine, ChannelKey, Instant) -> Option<Delivered>;

impl Inbox {
    pub(crate) fn new(handle: Arc<Handle>, key: ChannelKey, label: &str) -> Self {
        handle.look().waiting.transfers.entry(key).or_default();
        Self { handle, key, label: label.into(), seen: AtomicU64::new(0) }
    }

    /// The label under which both sides meet.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Waits for the next message, which is acknowledged as handled when it is handed over: at most once, if this process
    /// should crash (rule R2); with a store once more, under the same id, if it crashes before the store has it. `None` when
    /// nothing will come any more; [`end`](Self::end) says why.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, no message was taken.
    pub async fn recv(&mut self) -> Option<Message> {
        self.next(Machine::recv).await.map(Message::new)
    }

    /// The next message if there is one now, as [`recv`](Self::recv) gives it.
    pub fn try_recv(&mut self) -> Option<Message> {
        self.take(Machine::recv).map(Message::new)
    }

    /// Waits until there is at least one message and appends all that there are to `buffer`, as [`recv`](Self::recv) gives
    /// them, but at most `limit`, and at most 1,024. Says how many: 0 when nothing will come any more, or if `limit` is 0.
    /// Costs less than taking them one by one.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, no message was taken.
    pub async fn recv_many(&mut self, buffer: &mut Vec<Message>, limit: usize) -> usize {
        let mut keep = |delivered| buffer.push(Message::new(delivered));
        poll_fn(|cx| self.poll_take(cx, Machine::recv, limit, &mut keep)).await
    }

    /// Waits for the next message, which is handled only when it is [acknowledged](Unacked::ack): at least once (rule
    /// R2). One that is dropped instead comes again, before any that was not delivered yet; after `max_attempts` it
    /// ends as rejected. `None` when nothing will come any more; [`end`](Self::end) says why.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, no message was taken.
    pub async fn recv_unacked(&mut self) -> Option<Unacked> {
        self.next(Machine::recv_unacked).await.map(|delivered| self.unacked(delivered))
    }

    /// The next message if there is one now, as [`recv_unacked`](Self::recv_unacked) gives it.
    pub fn try_recv_unacked(&mut self) -> Option<Unacked> {
        self.take(Machine::recv_unacked).map(|delivered| self.unacked(delivered))
    }

    /// Waits until there is at least one message and appends all that there are to `buffer`, as
    /// [`recv_unacked`](Self::recv_unacked) gives them, but at most `limit`, and at most 1,024. Says how many: 0 when
    /// nothing will come any more, or if `limit` is 0. [`Unacked::ack_all`] acknowledges them together.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, no message was taken.
    pub async fn recv_unacked_many(&mut self, buffer: &mut Vec<Unacked>, limit: usize) -> usize {
        let mut keep = |delivered| buffer.push(self.unacked(delivered));
        poll_fn(|cx| self.poll_take(cx, Machine::recv_unacked, limit, &mut keep)).await
    }

    /// The large messages (of more than 64 KiB) that are here in part, in the order of their numbers.
    pub fn transfers(&self) -> Vec<Transfer> {
        let state = self.handle.look();
        let version = state.waiting.transfers.get(&self.key).map_or(0, |transfers| transfers.version);
        self.seen.store(version, Ordering::Relaxed);
        state.machine.transfers(self.key)
    }

    /// Waits until [`transfers`](Self::transfers) has something new to say since it was called last: more of a large
    /// message has come, it is complete, or it will not come any more. `false` when nothing will come any more.
    ///
    /// It borrows nothing, so that one can wait for messages and for their progress at the same time:
    ///
    /// ```no_run
    /// # async fn example(mut inbox: bowline::Inbox) {
    /// loop {
    ///     tokio::select! {
    ///         true = inbox.transfer_changed() => {
    ///             for transfer in inbox.transfers() {
    ///                 println!("{}: {} of {} bytes", transfer.id, transfer.received, transfer.size);
    ///             }
    ///         }
    ///         message = inbox.recv() => match message {
    ///             Some(message) => println!("{} bytes", message.payload().len()),
    ///             None => break,
    ///         },
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Safe: this only looks.
    pub fn transfer_changed(&self) -> TransferChanged {
        TransferChanged::new(self.handle.clone(), self.key, self.seen.load(Ordering::Relaxed))
    }

    /// Refuses the rest of a large message that is here in part: its sender stops and is told why, in at most 256 bytes. Whether
    /// it was here in part; without effect if not.
    pub fn reject_transfer(&self, id: MessageId, reason: &str) -> bool {
        self.handle.feed(|state, now| {
            // Of an id of another channel only the numbers may be the same.
            let is_known = state.machine.transfers(self.key).iter().any(|transfer| transfer.id == id);
            is_known && state.machine.reject_transfer(self.key, id.epoch, id.sequence, reason, now)
        })
    }

    /// Why nothing will come any more, once that is so.
    pub fn end(&self) -> Option<InboxEnd> {
        self.handle.look().machine.inbox_end(self.key)
    }

    fn unacked(&self, delivered: Delivered) -> Unacked {
        Unacked::new(self.handle.clone(), self.key, delivered)
    }

    fn take(&self, take: Take) -> Option<Delivered> {
        let taken = self.handle.feed(|state, now| take(&mut state.machine, self.key, now));
        taken.inspect(|delivered| self.tell_skipped(delivered))
    }

    /// What an order leaves out is told where it shows.
    fn tell_skipped(&self, delivered: &Delivered) {
        if delivered.skipped > 0 {
            let (label, id, skipped) = (&self.label, delivered.id, delivered.skipped);
            tracing::debug!(channel = ?label, message = %id, skipped, "skipped before this one");
        }
    }

    async fn next(&self, take: Take) -> Option<Delivered> {
        let mut taken = None;
        poll_fn(|cx| self.poll_take(cx, take, 1, &mut |delivered| taken = Some(delivered))).await;
        taken
    }

    /// Takes as many as there are, but at most `limit`. Ready with none when nothing will come any more.
    fn poll_take(
        &self,
        cx: &Context<'_>,
        take: Take,
        limit: usize,
        keep: &mut dyn FnMut(Delivered),
    ) -> Poll<usize> {
        self.handle.feed(|state, now| {
            let mut taken = 0;
            while taken < limit.min(BATCH_MAX)
                && let Some(delivered) = take(&mut state.machine, self.key, now)
            {
                self.tell_skipped(&delivered);
                keep(delivered);
                taken += 1;
            }
            if taken > 0 || limit == 0 || state.machine.inbox_end(self.key).is_some() {
                return Poll::Ready(taken);
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
        let transfers = self.handle.feed(|state, now| {
            state.waiting.receivers.remove(&self.key);
            if state.machine.inbox_end(self.key).is_none() {
                state.machine.refuse(self.key, DROPPED, now);
            }
            state.waiting.transfers.remove(&self.key)
        });
        for waiting in transfers.iter().flat_map(|transfers| transfers.all()) {
            waiting.wake_by_ref();
        }
    }
}
