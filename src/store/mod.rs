//! Where sessions keep what must outlive a connection or a process: the journal.
//!
//! The protocol's machine emits batches of records and waits until they are durable (rule R4). A [`Store`] makes them
//! so; it may keep the records, or fold them into a [`Snapshot`] each. After a restart it gives the snapshots back, and
//! [`Endpoint::restore`](crate::Endpoint::restore) makes sessions of them again.

mod memory;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub use memory::MemoryStore;

use crate::id::SessionId;
use crate::protocol::journal::{Batch, Snapshot};

/// What the methods of a [`Store`] return.
pub type Storing<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Makes the records of sessions durable.
///
/// One store serves all sessions of an endpoint, from many tasks at once. Of one session only one batch is under way
/// at a time, in the order of their numbers; batches of different sessions may be made durable together.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Makes a batch durable.
    ///
    /// # Errors
    ///
    /// After an error nothing more can be promised: the session is closed with
    /// [`CloseCode::StoreFailed`](crate::error::CloseCode::StoreFailed).
    ///
    /// # Cancel safety
    ///
    /// The future is dropped only when the session is over; the batch may then be stored or not.
    fn append(&self, batch: Batch) -> Storing<'_, ()>;

    /// Forgets a session: it is over. It may have been forgotten, or never known.
    ///
    /// # Errors
    ///
    /// They are logged; the session is over all the same, and is given back by `load` until it expires there.
    ///
    /// # Cancel safety
    ///
    /// As for `append`.
    fn forget(&self, session: SessionId) -> Storing<'_, ()>;

    /// All sessions that were appended to and not forgotten.
    ///
    /// # Errors
    ///
    /// What was stored cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe: it changes nothing.
    fn load(&self) -> Storing<'_, Vec<(SessionId, Snapshot)>>;

    /// Whether what was appended is still there after a restart of the process. If so, the peer may forget a message
    /// as soon as this side has received it, instead of when the application has handled it (rule R3).
    fn is_durable(&self) -> bool;
}

/// A store cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store failed: {reason}")]
pub struct StoreError {
    /// What failed, for people.
    pub reason: String,
}
