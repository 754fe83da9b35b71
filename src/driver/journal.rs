//! The way of a session's records to its store: in order, one batch at a time, beside everything else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::environment::BoxFuture;
use crate::id::SessionId;
use crate::protocol::journal::Batch;
use crate::store::{Store, StoreError};

/// See the module.
pub(super) struct Journal {
    store: Arc<dyn Store>,
    /// Batches that wait for the one under way. What they hold is in the outbox, whose limits bound them.
    queue: VecDeque<Job>,
    /// With the number of the batch, if it is one.
    under_way: Option<(Option<u64>, Storing)>,
    failed: bool,
}

type Storing = BoxFuture<Result<(), StoreError>>;

enum Job {
    Append(Batch),
    Forget(SessionId),
}

impl Journal {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, queue: VecDeque::new(), under_way: None, failed: false }
    }

    pub(super) fn push(&mut self, batch: Batch) {
        if !self.failed {
            self.queue.push_back(Job::Append(batch));
        }
    }

    /// The session is over: after all that was pushed, forget it.
    pub(super) fn forget(&mut self, session: SessionId) {
        if !self.failed {
            self.queue.push_back(Job::Forget(session));
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.under_way.is_none()
    }

    fn start(&self, job: Job) -> (Option<u64>, Storing) {
        let store = self.store.clone();
        match job {
            Job::Append(batch) => (Some(batch.number), Box::pin(async move { store.append(batch).await })),
            Job::Forget(session) => (None, Box::pin(async move { store.forget(session).await })),
        }
    }

    /// The number of the last batch that has become durable, or why none will any more: told once.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64, StoreError>> {
        let mut durable = None;
        loop {
            if self.under_way.is_none()
                && let Some(job) = self.queue.pop_front()
            {
                self.under_way = Some(self.start(job));
            }
            match &mut self.under_way {
                None => break,
                Some((number, appending)) => match appending.as_mut().poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(())) => durable = number.or(durable),
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
