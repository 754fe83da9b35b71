//! What a session must remember to survive its process: records, written in batches, folded into a snapshot.
//!
//! The machine emits [`Output::Journal`](super::types::Output::Journal); whoever drives it makes the batch
//! durable and reports back with its number. A store may keep the records as they are, or apply them to a
//! [`Snapshot`] and keep that: both mean the same, and a machine is restored from the snapshot.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::id::{ChannelId, Epoch, Sequence, SessionId};

/// Records that become durable together. Numbers grow by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The session it belongs to.
    pub session: SessionId,
    /// Its number, to report back.
    pub number: u64,
    /// The records, in order.
    pub records: Vec<Record>,
}

/// One thing to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// placeholder for the contract; replaced by the core
    Placeholder(ChannelId, Epoch, Sequence, Bytes),
}

/// A session as its records tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// placeholder
    pub x: BTreeMap<u32, u32>,
}

impl Snapshot {
    /// Folds the records of a batch into the snapshot.
    pub fn apply(&mut self, _batch: &Batch) {
        unimplemented!()
    }
}
