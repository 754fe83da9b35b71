//! A store that lasts as long as its process.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Store, Storing};
use crate::id::SessionId;
use crate::protocol::journal::{Batch, Snapshot};

/// Keeps the snapshot of each session in memory: for tests, and for sessions that shall outlive their endpoint but not
/// their process. Costs what the sessions' outboxes and inboxes hold. Clones share one memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    sessions: Arc<Mutex<BTreeMap<SessionId, Snapshot>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known of a session.
    pub fn snapshot(&self, session: SessionId) -> Option<Snapshot> {
        self.sessions().get(&session).cloned()
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, Snapshot>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn append(&self, batch: Batch) -> Storing<'_, ()> {
        self.sessions().entry(batch.session).or_default().apply(&batch);
        Box::pin(ready(Ok(())))
    }

    fn forget(&self, session: SessionId) -> Storing<'_, ()> {
        self.sessions().remove(&session);
        Box::pin(ready(Ok(())))
    }

    fn load(&self) -> Storing<'_, Vec<(SessionId, Snapshot)>> {
        let all = self.sessions().iter().map(|(&session, snapshot)| (session, snapshot.clone())).collect();
        Box::pin(ready(Ok(all)))
    }

    fn is_durable(&self) -> bool {
        false
    }
}
