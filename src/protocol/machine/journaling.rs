//! Records on their way to the store, in batches of one at a time (rule R4). While one batch is being made durable, the
//! next gathers: the slower the store, the larger the batches.

use crate::id::{ChannelId, Epoch, MessageId, SessionId};
use crate::protocol::journal::{Batch, Record};
use crate::protocol::outbox::Changes;
use crate::wire::Why;

/// The journal as the machine sees it. Without a store it takes nothing, and everything counts as durable.
#[derive(Debug)]
pub(super) struct Journal {
    enabled: bool,
    pending: Vec<Record>,
    /// Number of the batch that `pending` will be.
    next: u64,
    durable: u64,
}

/// From which batch on a change is durable, and how far the store has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) batch: u64,
    pub(super) durable: u64,
}

impl Journal {
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled, pending: Vec::new(), next: 1, durable: if enabled { 0 } else { u64::MAX } }
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Remembers a record, made only if it is wanted.
    pub(super) fn record(&mut self, record: impl FnOnce() -> Record) -> Mark {
        if !self.enabled {
            return Mark { batch: 0, durable: u64::MAX };
        }
        self.pending.push(record());
        Mark { batch: self.next, durable: self.durable }
    }

    /// Remembers that a received message is over, if it is of the sender's `current` epoch: the numbers of another one
    /// mean other messages.
    pub(super) fn resolved(&mut self, id: MessageId, current: Option<Epoch>, verdict: Option<&Why>) -> Mark {
        if Some(id.epoch) != current {
            return self.mark();
        }
        let (channel, sequence) = (id.channel, id.sequence);
        self.record(|| match verdict {
            None => Record::Handled { channel, sequence },
            Some(why) => Record::Passed { channel, start: sequence, end: sequence + 1, why: why.clone() },
        })
    }

    /// Remembers what has changed in the outbox of a channel.
    pub(super) fn changes(&mut self, channel: ChannelId, changes: Changes) -> Option<Mark> {
        let mut mark = None;
        for (start, end) in changes.resolved {
            mark = Some(self.record(|| Record::Resolved { channel, start, end }));
        }
        for (start, end) in changes.doubted {
            mark = Some(self.record(|| Record::Doubted { channel, start, end }));
        }
        mark
    }

    /// The mark of a change that needs no record of its own.
    pub(super) fn mark(&self) -> Mark {
        Mark { batch: self.last_batch(), durable: self.durable }
    }

    /// The batch that everything recorded so far is, or will be, in.
    pub(super) fn last_batch(&self) -> u64 {
        match (self.enabled, self.pending.is_empty()) {
            (false, _) => 0,
            (true, true) => self.next - 1,
            (true, false) => self.next,
        }
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// The next batch to store, when the one before is durable.
    pub(super) fn next_batch(&mut self, session: SessionId) -> Option<Batch> {
        if !self.has_batch() {
            return None;
        }
        let number = self.next;
        self.next += 1;
        Some(Batch { session, number, records: std::mem::take(&mut self.pending) })
    }

    pub(super) fn has_batch(&self) -> bool {
        !self.pending.is_empty() && self.durable + 1 == self.next
    }

    pub(super) fn handle_journaled(&mut self, number: u64) {
        if self.enabled && number < self.next {
            self.durable = self.durable.max(number);
        }
    }
}
