//! A store that lasts as long as its process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{Appending, Store};
use crate::id::SessionId;
use crate::protocol::journal::{Batch, Snapshot};

/// Keeps the snapshot of each session in memory: for tests, and for sessions that shall outlive their endpoint but not
/// their process. Costs what the sessions' outboxes and inboxes hold.
#[derive(Debug, Default)]
pub struct MemoryStore {
    sessions: Mutex<BTreeMap<SessionId, Snapshot>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known of a session.
    pub fn snapshot(&self, session: SessionId) -> Option<Snapshot> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(&session).cloned()
    }

    /// Drops what is known of a session.
    pub fn forget(&self, session: SessionId) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
    }
}

impl Store for MemoryStore {
    fn append(&self, batch: Batch) -> Appending<'_> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.entry(batch.session).or_default().apply(&batch);
        Box::pin(std::future::ready(Ok(())))
    }

    fn is_durable(&self) -> bool {
        false
    }
}
