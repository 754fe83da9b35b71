//! The sending half of a channel: numbers messages, keeps them until they are resolved, and says which to write next.
//!
//! ```text
//!            floor                  cursor                      next
//!   resolved   | written, some received | not yet written on this link |
//!  ------------+------------------------+------------------------------+---> sequence
//! ```
//!
//! The *floor* is the lowest unresolved sequence; everything below has its outcome. The *cursor* is what the attached
//! link gets next; a new link rewinds it to the floor, and what the peer says it has received is then passed
//! over. The peer's window counts from what it has acknowledged as resolved, which may lag behind the floor. An entry is
//! freed when it is resolved (rule R3): at `handled`, or the payload alone at `received` when the peer's store is
//! durable.

use std::collections::VecDeque;

use bytes::Bytes;

use super::outcomes::Outcomes;
use super::ranges::RangeSet;
use super::types::{Progress, Window};
use crate::error::Outcome;
use crate::id::Sequence;

/// Exceptional outcomes kept for receipts, as ranges, per channel, and when the channel is gone.
const MAX_OUTCOMES: usize = 4096;
const MAX_OUTCOMES_RETIRED: usize = 64;

/// Ranges of messages that have come further, kept apart until somebody asks.
const MAX_PROGRESSED: usize = 1024;

/// A receiver tells at least this many ranges at once, if there are so many.
const COMPLETE: usize = 100;

/// The sending half of a channel.
#[derive(Debug)]
pub struct Outbox {
    floor: Sequence,
    cursor: Sequence,
    entries: VecDeque<Entry>,
    outcomes: Outcomes,
    /// What the peer's session is known to hold, or to need no more.
    received: RangeSet,
    /// What is resolved: a peer that says so twice costs no second look at each message.
    resolved: RangeSet,
    /// Unresolved messages that the peer's session holds.
    at_peer: usize,
    /// Unresolved messages, and their bytes.
    messages: usize,
    bytes: usize,
    /// Bytes of unresolved messages that the peer holds or this link was given: what counts in the peer's window.
    window_used: u64,
    max_messages: usize,
    max_bytes: usize,
    /// Everything below is resolved as far as the peer has told: its window starts here.
    acknowledged: Sequence,
    /// One past the last sequence ever written to a link.
    written_below: Sequence,
    /// One past the highest sequence that was resolved otherwise than handled.
    exception_below: Sequence,
    changes: Changes,
    /// What has come further since somebody asked, as half-open ranges.
    progressed: Vec<(Sequence, Sequence)>,
}

/// What a journal is to remember, as half-open ranges.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Messages that have their outcome.
    pub resolved: Vec<(Sequence, Sequence)>,
    /// Messages that are sent again as redelivered.
    pub doubted: Vec<(Sequence, Sequence)>,
}

#[derive(Debug)]
struct Entry {
    payload: Bytes,
    /// Bytes of the payload, kept after it was freed.
    size: u32,
    state: State,
    redelivered: bool,
    /// Durable once this journal batch is.
    batch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The peer is not known to have it.
    Open,
    /// The peer's session holds it.
    Received,
    /// Over; stays in the queue only until the floor passes.
    Resolved,
}

/// A message to write now.
#[derive(Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number.
    pub sequence: Sequence,
    /// See [`Data::redelivered`](crate::wire::Data::redelivered).
    pub redelivered: bool,
    /// It was written to an earlier link already.
    pub again: bool,
    /// Its bytes.
    pub payload: Bytes,
}

/// What a reset did to the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResetCount {
    /// Messages that ended unknown.
    pub unknown: u64,
    /// Messages to be sent again as redelivered.
    pub redelivered: u64,
}

impl Outbox {
    /// An empty outbox with room for this much.
    pub fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self {
            floor: 0,
            cursor: 0,
            entries: VecDeque::new(),
            outcomes: Outcomes::new(MAX_OUTCOMES),
            received: RangeSet::default(),
            resolved: RangeSet::default(),
            at_peer: 0,
            messages: 0,
            bytes: 0,
            window_used: 0,
            max_messages,
            max_bytes,
            acknowledged: 0,
            written_below: 0,
            exception_below: 0,
            changes: Changes::default(),
            progressed: Vec::new(),
        }
    }

    /// An outbox whose sequences below `next` were given by an earlier process; `open` are those unresolved, `doubted` those
    /// that go as redelivered. All count as written: nobody knows better.
    pub fn restore(
        next: Sequence,
        open: impl IntoIterator<Item = (Sequence, Bytes)>,
        doubted: &RangeSet,
    ) -> Self {
        let mut outbox = Self::new(usize::MAX, usize::MAX);
        let mut open = open.into_iter().peekable();
        outbox.floor = open.peek().map_or(next, |&(first, _)| first);
        outbox.cursor = outbox.floor;
        outbox.acknowledged = outbox.floor;
        outbox.resolved = RangeSet::all_below(outbox.floor);
        for (sequence, payload) in open {
            outbox.pass_until(sequence);
            outbox.push(payload, 0);
            if let Some(entry) = outbox.entries.back_mut() {
                entry.redelivered = doubted.contains(sequence);
            }
        }
        outbox.pass_until(next);
        outbox.written_below = next;
        // How the others ended is not remembered: perhaps the peer still waits for one.
        outbox.exception_below = next;
        outbox
    }

    /// Everything up to `sequence` is resolved already.
    fn pass_until(&mut self, sequence: Sequence) {
        self.resolved.insert_range(self.next(), sequence);
        while self.next() < sequence {
            self.entries.push_back(Entry::resolved());
        }
    }

    /// Nothing will be sent any more: only receipts may still ask how messages ended.
    pub fn retire(&mut self) {
        self.outcomes.limit_to(MAX_OUTCOMES_RETIRED);
        self.entries.shrink_to_fit();
    }

    /// An empty outbox with the same limits.
    pub fn renewed(&self) -> Self {
        Self::new(self.max_messages, self.max_bytes)
    }

    /// Sets the limits, for instance of a restored outbox.
    pub fn set_limits(&mut self, max_messages: usize, max_bytes: usize) {
        (self.max_messages, self.max_bytes) = (max_messages, max_bytes);
    }

    /// Whether a message of `size` bytes has room.
    pub fn has_room(&self, size: usize) -> bool {
        self.messages < self.max_messages && self.bytes.saturating_add(size) <= self.max_bytes
    }

    /// Numbers and keeps a message; the caller has asked `has_room`.
    pub fn push(&mut self, payload: Bytes, batch: u64) -> Sequence {
        let sequence = self.next();
        self.messages += 1;
        self.bytes += payload.len();
        let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.entries.push_back(Entry { payload, size, state: State::Open, redelivered: false, batch });
        sequence
    }

    /// The next sequence to be given.
    pub fn next(&self) -> Sequence {
        self.floor + self.entries.len() as u64
    }

    /// Everything below is resolved.
    pub fn floor(&self) -> Sequence {
        self.floor
    }

    /// Unresolved messages, and their bytes.
    pub fn held(&self) -> (usize, usize) {
        (self.messages, self.bytes)
    }

    /// Whether any message was ever written to a link.
    pub fn ever_written(&self) -> bool {
        self.written_below > 0
    }

    /// Whether the peer, last told `told`, is to be told the floor: it has passed messages that the peer does not know
    /// to be resolved, or keeps verdicts of.
    pub fn owes_floor(&self, told: Sequence) -> bool {
        self.floor > told && self.exception_below > told
    }

    /// Every message below is held by the peer's session, or resolved.
    pub fn received_below(&self) -> Sequence {
        self.received.below().max(self.floor)
    }

    /// Whether the peer's session holds messages that its application has not resolved.
    pub fn has_received(&self) -> bool {
        self.at_peer > 0
    }

    /// A new link: everything the peer does not have is to be written again.
    pub fn rewind(&mut self) {
        self.cursor = self.floor;
        let held = self.entries.iter().filter(|entry| entry.state == State::Received);
        self.window_used = held.map(|entry| u64::from(entry.size)).sum();
    }

    /// Messages written to earlier links that the cursor has still to pass and the peer is not known to have.
    pub fn to_replay(&self) -> u64 {
        let written = self.written_below.saturating_sub(self.floor);
        let passed = self.cursor - self.floor;
        let open = |entry: &&Entry| entry.state == State::Open;
        self.entries.iter().take(written as usize).skip(passed as usize).filter(open).count() as u64
    }

    /// The next message to write within the peer's window, if it is durable up to `durable`. The cursor passes it.
    pub fn next_outgoing(&mut self, window: Window, durable: u64) -> Option<Outgoing> {
        loop {
            let sequence = self.cursor;
            let entry = self.entries.get((sequence - self.floor) as usize)?;
            if entry.state != State::Open {
                self.cursor += 1;
                continue;
            }
            let used = self.window_used.saturating_add(u64::from(entry.size));
            if sequence - self.acknowledged >= window.messages || used > window.bytes || entry.batch > durable
            {
                return None;
            }
            self.window_used = used;
            self.cursor += 1;
            let again = sequence < self.written_below;
            self.written_below = self.written_below.max(self.cursor);
            return Some(Outgoing {
                sequence,
                redelivered: entry.redelivered,
                again,
                payload: entry.payload.clone(),
            });
        }
    }

    /// The peer's session holds `start..end`. With a durable peer the payloads are freed (rule R3).
    pub fn on_received(&mut self, start: Sequence, end: Sequence, durable: bool) {
        let end = end.min(self.next());
        for sequence in self.received.missing(start.max(self.floor), end).into_iter().flat_map(|(s, e)| s..e)
        {
            let Some(entry) = self.entries.get_mut((sequence - self.floor) as usize) else { break };
            if entry.state == State::Open {
                entry.state = State::Received;
                note_progress(&mut self.progressed, sequence);
                self.at_peer += 1;
                if sequence >= self.cursor {
                    self.window_used += u64::from(entry.size);
                }
                if durable {
                    self.bytes -= entry.payload.len();
                    entry.payload = Bytes::new();
                }
            }
        }
        self.received.insert_range(0, self.floor);
        self.received.insert_range(start, end);
    }

    /// The peer knows that everything below `below` is resolved.
    pub fn on_acknowledged(&mut self, below: Sequence) {
        self.acknowledged = self.acknowledged.max(below.min(self.floor));
    }

    /// Ends `start..end`, as far as still unresolved, with `outcome`. Returns how many that were.
    pub fn resolve(&mut self, start: Sequence, end: Sequence, outcome: &Outcome) -> u64 {
        let end = end.min(self.next());
        let mut resolved = 0;
        for sequence in self.resolved.missing(start, end).into_iter().flat_map(|(s, e)| s..e) {
            let Some(entry) = self.entries.get_mut((sequence - self.floor) as usize) else { break };
            let held = entry.state == State::Received;
            self.at_peer -= usize::from(held);
            entry.state = State::Resolved;
            self.messages -= 1;
            self.bytes -= entry.payload.len();
            entry.payload = Bytes::new();
            if held || sequence < self.cursor {
                self.window_used -= u64::from(entry.size);
            }
            if *outcome != Outcome::Handled {
                self.exception_below = self.exception_below.max(sequence + 1);
            }
            self.outcomes.record(sequence, outcome.clone());
            note(&mut self.changes.resolved, sequence);
            note_progress(&mut self.progressed, sequence);
            resolved += 1;
        }
        self.resolved.insert_range(start, end);
        let passed = self.resolved.below() - self.floor;
        self.entries.drain(..(passed as usize).min(self.entries.len()));
        self.floor += passed;
        self.cursor = self.cursor.max(self.floor);
        resolved
    }

    /// Ends every message of which nothing was ever written: the sender alone knows that they were not delivered.
    pub fn resolve_unwritten(&mut self, outcome: &Outcome) -> u64 {
        self.resolve(self.written_below.max(self.floor), self.next(), outcome)
    }

    /// Ends each message above `limit` bytes that the peer is not known to have: with `outcome` if it was never written;
    /// one that was, in doubt or to a peer that allowed more, is unknown. Returns how many of each.
    pub fn resolve_too_large(&mut self, limit: u64, outcome: &Outcome) -> (u64, u64) {
        let large =
            |(_, entry): &(Sequence, &Entry)| entry.state == State::Open && u64::from(entry.size) > limit;
        let large = (self.floor..).zip(&self.entries).filter(large);
        let large: Vec<Sequence> = large.map(|(sequence, _)| sequence).collect();
        let (mut unwritten, mut written) = (0, 0);
        for sequence in large {
            if sequence < self.written_below {
                written += self.resolve(sequence, sequence + 1, &Outcome::Unknown);
            } else {
                unwritten += self.resolve(sequence, sequence + 1, outcome);
            }
        }
        (unwritten, written)
    }

    /// The peer forgot everything: what was written may or may not have been handled. What was not goes on as if
    /// nothing had happened.
    pub fn on_reset(&mut self, redeliver: bool) -> ResetCount {
        let mut count = ResetCount::default();
        self.doubt(self.floor, self.written_below, redeliver, &mut count);
        self.received = RangeSet::all_below(self.floor);
        self.acknowledged = self.floor;
        self.rewind();
        count
    }

    /// On a new link the peer says that it holds everything below `below`, and `ranges`. If that is less than it once
    /// said, its store has lost its tail, and what it may have handled since is in doubt as after a reset.
    pub fn on_peer_holds(
        &mut self,
        below: Sequence,
        ranges: &[(Sequence, Sequence)],
        handled_below: Sequence,
        redeliver: bool,
    ) -> ResetCount {
        let mut count = ResetCount::default();
        // Of what lies beyond many ranges nothing is said yet: there may be more to come.
        let told = ranges.last().filter(|_| ranges.len() >= COMPLETE).map(|&(_, end)| end);
        let end = told.unwrap_or(self.written_below);
        let starts = std::iter::once(below).chain(ranges.iter().map(|&(_, end)| end));
        let ends = ranges.iter().map(|&(start, _)| start).chain([end]);
        let gaps: Vec<_> = starts.zip(ends).filter(|(start, end)| start < end).collect();
        if !gaps.iter().any(|&(start, end)| self.has_received_in(start, end)) {
            return count;
        }
        for (start, end) in gaps {
            self.doubt(start, end.min(self.written_below), redeliver, &mut count);
        }
        self.received = RangeSet::all_below(self.received.below().min(below).max(self.floor));
        self.acknowledged = self.acknowledged.min(handled_below);
        self.rewind();
        count
    }

    fn has_received_in(&self, start: Sequence, end: Sequence) -> bool {
        let entries = (self.floor..).zip(&self.entries);
        entries
            .skip(start.saturating_sub(self.floor) as usize)
            .take_while(|&(sequence, _)| sequence < end)
            .any(|(_, entry)| entry.state == State::Received)
    }

    /// Of the unresolved messages from `start` to `end` nothing is known any more.
    fn doubt(&mut self, start: Sequence, end: Sequence, redeliver: bool, count: &mut ResetCount) {
        // What was handled between them the peer may have forgotten too: it is to hear that it does not come again.
        let resolved = (self.floor..).zip(&self.entries).filter(|(_, entry)| entry.state == State::Resolved);
        let last = resolved.map(|(sequence, _)| sequence + 1).take_while(|&after| after <= end).last();
        self.exception_below = self.exception_below.max(last.unwrap_or(0));
        if !redeliver {
            count.unknown += self.resolve(start, end, &Outcome::Unknown);
            return;
        }
        for sequence in start.max(self.floor)..end {
            let Some(offset) = sequence.checked_sub(self.floor) else { continue };
            let Some(entry) = self.entries.get_mut(offset as usize) else { break };
            match entry.state {
                State::Resolved => {}
                // The payload was freed on the word of a durable peer that has now lost it.
                State::Received if entry.payload.len() != entry.size as usize => {
                    count.unknown += self.resolve(sequence, sequence + 1, &Outcome::Unknown);
                }
                State::Open | State::Received => {
                    if entry.state == State::Received && sequence >= self.cursor {
                        self.window_used -= u64::from(entry.size);
                    }
                    self.at_peer -= usize::from(entry.state == State::Received);
                    entry.state = State::Open;
                    entry.redelivered = true;
                    note(&mut self.changes.doubted, sequence);
                    note_progress(&mut self.progressed, sequence);
                    count.redelivered += 1;
                }
            }
        }
    }

    /// What has changed since this was asked last.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// The messages whose [`progress`](Self::progress) has changed since this was asked last, half-open and in no order.
    /// When nobody asks for long, messages between them as well.
    pub fn take_progressed(&mut self) -> Vec<(Sequence, Sequence)> {
        std::mem::take(&mut self.progressed)
    }

    /// How far `sequence` has come.
    pub fn progress(&self, sequence: Sequence) -> Progress {
        let entry = sequence.checked_sub(self.floor).map(|offset| self.entries.get(offset as usize));
        match entry.map(|entry| entry.map(|entry| entry.state)) {
            None | Some(Some(State::Resolved)) => Progress::Resolved(self.outcomes.of(sequence)),
            Some(Some(State::Received)) => Progress::Received,
            Some(Some(State::Open) | None) => Progress::Accepted,
        }
    }
}

fn note(ranges: &mut Vec<(Sequence, Sequence)>, sequence: Sequence) {
    match ranges.last_mut() {
        Some((_, end)) if *end == sequence => *end += 1,
        _ => ranges.push((sequence, sequence + 1)),
    }
}

/// The same, in bounded memory.
fn note_progress(ranges: &mut Vec<(Sequence, Sequence)>, sequence: Sequence) {
    note(ranges, sequence);
    if ranges.len() > MAX_PROGRESSED {
        let start = ranges.iter().map(|&(start, _)| start).min().unwrap_or(sequence);
        let end = ranges.iter().map(|&(_, end)| end).max().unwrap_or(sequence);
        *ranges = vec![(start, end)];
    }
}

impl Entry {
    fn resolved() -> Self {
        Self { payload: Bytes::new(), size: 0, state: State::Resolved, redelivered: false, batch: 0 }
    }
}

#[cfg(test)]
mod tests;
