//! Large messages on their way to an inbox.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::driver::shared::Handle;
use crate::driver::waiting::Ticket;
use crate::protocol::types::ChannelKey;

/// Resolves when the large messages on their way have changed: see [`Inbox::transfer_changed`](super::Inbox::transfer_changed).
///
/// # Cancel safety
///
/// Safe: this only looks.
#[must_use = "futures do nothing unless awaited"]
pub struct TransferChanged {
    handle: Arc<Handle>,
    key: ChannelKey,
    /// The version of which the application knows.
    seen: u64,
    ticket: Option<Ticket>,
}

impl TransferChanged {
    pub(super) fn new(handle: Arc<Handle>, key: ChannelKey, seen: u64) -> Self {
        Self { handle, key, seen, ticket: None }
    }
}

impl Future for TransferChanged {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let this = &mut *self;
        let mut state = this.handle.look();
        let ended = state.machine.inbox_end(this.key).is_some();
        // Without an entry there is no inbox any more.
        let Some(transfers) = state.waiting.transfers.get_mut(&this.key) else { return Poll::Ready(false) };
        if transfers.version != this.seen {
            return Poll::Ready(true);
        }
        if ended {
            return Poll::Ready(false);
        }
        transfers.wait(&mut this.ticket, cx.waker());
        Poll::Pending
    }
}

impl fmt::Debug for TransferChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferChanged").finish_non_exhaustive()
    }
}

impl Drop for TransferChanged {
    fn drop(&mut self) {
        if self.ticket.is_some()
            && let Some(transfers) = self.handle.look().waiting.transfers.get_mut(&self.key)
        {
            transfers.leave(self.ticket);
        }
    }
}
