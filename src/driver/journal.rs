//! The way of a session's records to its store: in order, one batch at a time, beside everything else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::environment::BoxFuture;
use crate::protocol::journal::Batch;
use crate::store::{Store, StoreError};

/// See the module.
pub(super) struct Journal {
    store: Arc<dyn Store>,
    /// Batches that wait for the one under way. What they hold is in the outbox, whose limits bound them.
    queue: VecDeque<Batch>,
    under_way: Option<(u64, BoxFuture<Result<(), StoreError>>)>,
    failed: bool,
}

impl Journal {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, queue: VecDeque::new(), under_way: None, failed: false }
    }

    pub(super) fn push(&mut self, batch: Batch) {
        if !self.failed {
            self.queue.push_back(batch);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.under_way.is_none()
    }

    /// The number of the last batch that has become durable, or why none will any more: told once.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64, StoreError>> {
        let mut durable = None;
        loop {
            if self.under_way.is_none()
                && let Some(batch) = self.queue.pop_front()
            {
                let store = self.store.clone();
                let number = batch.number;
                self.under_way = Some((number, Box::pin(async move { store.append(batch).await })));
            }
            match &mut self.under_way {
                None => break,
                Some((number, appending)) => match appending.as_mut().poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(())) => durable = Some(*number),
                    Poll::Ready(Err(error)) => {
                        self.failed = true;
                        self.queue.clear();
                        self.under_way = None;
                        return Poll::Ready(Err(error));
                    }
                },
            }
            self.under_way = None;
        }
        durable.map_or(Poll::Pending, |number| Poll::Ready(Ok(number)))
    }
}
