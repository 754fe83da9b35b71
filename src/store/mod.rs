//! Where sessions keep what must outlive a connection or a process: the journal.
//!
//! The protocol's machine emits batches of records and waits until they are durable (rule R4). A [`Store`] makes them
//! so; it may keep the records, or fold them into a [`Snapshot`](crate::protocol::journal::Snapshot) each.

mod memory;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

pub use memory::MemoryStore;

use crate::protocol::journal::Batch;

/// What [`Store::append`] returns.
pub type Appending<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

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
    fn append(&self, batch: Batch) -> Appending<'_>;

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
