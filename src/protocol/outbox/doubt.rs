//! What is left of the messages under way when the peer has forgotten some of what it knew (rule S3).

use super::{Outbox, State};
use crate::config::Delivery;
use crate::error::Outcome;
use crate::id::Sequence;
use crate::protocol::ranges::RangeSet;

/// A receiver tells at least this many ranges at once, if there are so many.
const COMPLETE: usize = 100;

/// What a reset did to the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResetCount {
    /// Messages that ended unknown.
    pub unknown: u64,
    /// Messages to be sent again as redelivered.
    pub redelivered: u64,
}

impl Outbox {
    /// The peer forgot everything: what was written may or may not have been handled. What was not goes on as if
    /// nothing had happened.
    pub fn on_reset(&mut self, redeliver: bool) -> ResetCount {
        let mut count = ResetCount::default();
        self.doubt(self.floor(), self.written_below, redeliver, &mut count);
        self.received = RangeSet::all_below(self.floor());
        self.acknowledged = self.floor();
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
        let gaps = starts.zip(ends).map(|(start, end)| start..end);
        let gaps: Vec<_> = gaps.filter(|gap| !gap.is_empty()).collect();
        gaps.iter().for_each(|gap| self.note_missing(gap.start, gap.end));
        self.acknowledged = self.acknowledged.min(handled_below);
        if !gaps.iter().any(|gap| self.has_received_in(gap.start, gap.end)) {
            return count;
        }
        for gap in gaps {
            self.doubt(gap.start, gap.end.min(self.written_below), redeliver, &mut count);
        }
        self.received = RangeSet::all_below(self.received.below().min(below).max(self.floor()));
        self.rewind();
        count
    }

    fn has_received_in(&self, start: Sequence, end: Sequence) -> bool {
        self.entries.range(start, end).any(|entry| entry.state == State::Received)
    }

    /// The peer has nothing from `start` to `end`. What is over there it may have handled and forgotten: it is to hear that
    /// it does not come again.
    fn note_missing(&mut self, start: Sequence, end: Sequence) {
        let over = self.resolved.above().iter().copied().chain([(0, self.resolved.below())]);
        let missing = over.filter(|&(first, after)| first < end && after > start);
        let last = missing.map(|(_, after)| after.min(end)).max();
        self.exception_below = self.exception_below.max(last.unwrap_or(0));
    }

    /// Of the unresolved messages from `start` to `end` that were written nothing is known any more.
    fn doubt(&mut self, start: Sequence, end: Sequence, redeliver: bool, count: &mut ResetCount) {
        self.note_missing(start, end);
        let mut unknown = Vec::new();
        let current = if self.mode == Delivery::ReliableLatest { self.next.saturating_sub(1) } else { 0 };
        for entry in self.entries.range_mut(start, end).filter(|entry| entry.written) {
            let freed = entry.payload.len() != entry.size as usize;
            match entry.state {
                State::Resolved => {}
                // Of what was given up, or freed on the word of a durable peer that has now lost it, nothing is left to send;
                // and what was withdrawn, or is an outdated state, is not to be sent.
                State::GivenUp => unknown.push(entry.sequence),
                State::Open | State::Received
                    if !redeliver
                        || freed
                        || entry.sequence < current
                        || self.wanted.contains_key(&entry.sequence) =>
                {
                    unknown.push(entry.sequence);
                }
                State::Open | State::Received => {
                    entry.state = State::Open;
                    entry.redelivered = true;
                    self.changes.note_doubted(entry.sequence);
                    super::note_progress(&mut self.progressed, entry.sequence, entry.sequence + 1);
                    count.redelivered += 1;
                }
            }
        }
        for sequence in unknown {
            count.unknown += self.resolve(sequence, sequence + 1, &Outcome::Unknown);
        }
    }
}
