//! The messages of an outbox, by number. Most of the time the numbers are dense, and a message is found by counting; where
//! messages in the middle are over before those around them, it is found by search.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::id::Sequence;

/// Resolved entries are swept out when there are more than this, and more of them than of others.
const SWEEP_MIN: usize = 64;

/// A message of an outbox.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sequence: Sequence,
    pub(super) payload: Bytes,
    /// Bytes of the payload, kept after it was freed.
    pub(super) size: u32,
    pub(super) state: State,
    pub(super) redelivered: bool,
    /// Some of it was written to a link, this one or another.
    pub(super) written: bool,
    /// It counts in the peer's window.
    pub(super) counted: bool,
    pub(super) deadline: Option<Instant>,
    /// When the application gave it.
    pub(super) accepted: Instant,
    /// Durable once this journal batch is.
    pub(super) batch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The peer is not known to have it.
    Open,
    /// The peer's session holds it.
    Received,
    /// It will not be written any more; the peer's verdict is awaited.
    GivenUp,
    /// Over; stays in the queue only until it is swept out.
    Resolved,
}

/// Entries in ascending order of their sequences.
#[derive(Debug, Default)]
pub(super) struct Entries {
    queue: VecDeque<Entry>,
    resolved: usize,
}

impl Entries {
    pub(super) fn push(&mut self, entry: Entry) {
        self.queue.push_back(entry);
    }

    /// The index of the first entry at or after `sequence`.
    pub(super) fn index(&self, sequence: Sequence) -> usize {
        let Some(first) = self.queue.front() else { return 0 };
        let guess = usize::try_from(sequence.saturating_sub(first.sequence)).unwrap_or(usize::MAX);
        match self.queue.get(guess) {
            Some(entry) if entry.sequence == sequence => guess,
            _ => self.queue.partition_point(|entry| entry.sequence < sequence),
        }
    }

    pub(super) fn at(&self, index: usize) -> Option<&Entry> {
        self.queue.get(index)
    }

    pub(super) fn get(&self, sequence: Sequence) -> Option<&Entry> {
        self.queue.get(self.index(sequence)).filter(|entry| entry.sequence == sequence)
    }

    pub(super) fn get_mut(&mut self, sequence: Sequence) -> Option<&mut Entry> {
        let index = self.index(sequence);
        self.queue.get_mut(index).filter(|entry| entry.sequence == sequence)
    }

    /// The entries with these sequences.
    pub(super) fn range(&self, start: Sequence, end: Sequence) -> impl Iterator<Item = &Entry> {
        self.queue.range(self.index(start)..).take_while(move |entry| entry.sequence < end)
    }

    pub(super) fn range_mut(&mut self, start: Sequence, end: Sequence) -> impl Iterator<Item = &mut Entry> {
        let first = self.index(start);
        self.queue.range_mut(first..).take_while(move |entry| entry.sequence < end)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.queue.iter()
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Entry> {
        self.queue.back_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.queue.iter_mut()
    }

    /// This many more are resolved, and all below `floor` are.
    pub(super) fn sweep(&mut self, resolved: usize, floor: Sequence) {
        self.resolved += resolved;
        while self.queue.front().is_some_and(|entry| entry.sequence < floor) {
            self.queue.pop_front();
            self.resolved = self.resolved.saturating_sub(1);
        }
        if self.resolved > SWEEP_MIN && 2 * self.resolved > self.queue.len() {
            self.queue.retain(|entry| entry.state != State::Resolved);
            self.resolved = 0;
        }
    }
}
