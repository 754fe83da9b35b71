//! The store of a process, which outlives it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use bowline::id::Epoch;
use bowline::protocol::journal::{Batch, Record, Snapshot};

/// A store: batches become durable late and in order.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) snapshot: Snapshot,
    pub(crate) history: Vec<Batch>,
    pub(crate) queue: VecDeque<(Instant, Batch)>,
    /// The highest number durable of the machine that runs now.
    pub(crate) durable: u64,
}

impl Store {
    pub(crate) fn put(&mut self, at: Instant, batch: Batch) {
        let at = self.queue.back().map_or(at, |(last, _)| at.max(*last));
        self.queue.push_back((at, batch));
    }

    /// What a process that starts now finds; with `lost`, without the last batches.
    pub(crate) fn reopen(&mut self, lost: usize) -> Snapshot {
        self.queue.clear();
        self.durable = 0;
        self.history.truncate(self.history.len().saturating_sub(lost));
        self.snapshot = Snapshot::default();
        self.history.iter().for_each(|batch| self.snapshot.apply(batch));
        self.snapshot.clone()
    }

    /// Epochs of the peer that were over when the process ended: nobody sends again under them.
    pub(crate) fn former_epochs(&self) -> BTreeSet<Epoch> {
        let begun = |record: &Record| match record {
            Record::PeerEpoch(epoch) => Some(*epoch),
            _ => None,
        };
        let records = self.history.iter().flat_map(|batch| &batch.records);
        records.filter_map(begun).filter(|&epoch| self.snapshot.peer_epoch != Some(epoch)).collect()
    }
}
