//! What the peer says of messages: it holds them, or a part of them, or has ended them.

use super::{Outbox, State, note_progress, used_by};
use crate::error::Outcome;
use crate::id::Sequence;
use crate::wire::Why;

impl Outbox {
    /// Whether the peer cannot have `start..end`, because of some of it nothing was ever written to a link.
    pub fn never_wrote(&self, start: Sequence, end: Sequence) -> bool {
        let unwritten = |entry: &super::Entry| entry.state != State::Resolved && !entry.written;
        let news = self.received.missing(start.max(self.floor()), end.min(self.next));
        news.into_iter().any(|(start, end)| self.entries.range(start, end).any(unwritten))
    }

    /// The peer's session holds `start..end`. With a durable peer the payloads are freed (rule R3).
    pub fn on_received(&mut self, start: Sequence, end: Sequence, durable: bool) {
        let (floor, end) = (self.floor(), end.min(self.next));
        for (start, end) in self.received.missing(start.max(floor), end) {
            note_progress(&mut self.progressed, start, end);
            for entry in self.entries.range_mut(start, end).filter(|entry| entry.state != State::Resolved) {
                // It takes the peer's room, wanted or not.
                if !std::mem::replace(&mut entry.counted, true) {
                    *used_by(entry.size, &mut self.used, &mut self.used_large) += u64::from(entry.size);
                }
                if entry.state != State::Open {
                    continue;
                }
                entry.state = State::Received;
                if durable {
                    self.held.free(&mut entry.payload);
                }
            }
        }
        self.flights.arrived(start, end);
        self.received.insert_range(0, floor);
        self.received.insert_range(start, end);
    }

    /// The peer has the first `bytes` of a large message. Whether that is news.
    pub fn on_partial(&mut self, sequence: Sequence, bytes: u64) -> bool {
        let size = self.entries.get(sequence).map_or(0, |entry| u64::from(entry.size));
        let Some(transit) = self.bodies.get_mut(&sequence).filter(|_| bytes < size) else { return false };
        let news = bytes > transit.at_peer;
        transit.at_peer = transit.at_peer.max(bytes);
        note_progress(&mut self.progressed, sequence, sequence + 1);
        news
    }

    /// The peer knows that everything below `below` is resolved.
    pub fn on_acknowledged(&mut self, below: Sequence) {
        self.acknowledged = self.acknowledged.max(below.min(self.floor()));
    }

    /// Ends `start..end`, as far as still unresolved, as the peer's word says. Returns how many that were.
    pub fn on_verdict(&mut self, start: Sequence, end: Sequence, why: &Why) -> u64 {
        let doubted = match why {
            Why::Rejected(_) => 0,
            Why::Expired | Why::Superseded | Why::Skipped => self.resolve_doubted(start, end),
        };
        doubted + self.end_as(start, end, why)
    }

    fn end_as(&mut self, start: Sequence, end: Sequence, why: &Why) -> u64 {
        let outcome = match why {
            Why::Rejected(reason) => Outcome::Rejected { reason: reason.clone() },
            Why::Expired => Outcome::Expired,
            Why::Superseded => Outcome::Superseded,
            Why::Skipped => return self.resolve_skipped(start, end),
        };
        self.resolve(start, end, &outcome)
    }

    /// That the peer has not handled a message says nothing of what it did before it lost its memory.
    fn resolve_doubted(&mut self, start: Sequence, end: Sequence) -> u64 {
        let doubted = |entry: &&super::Entry| entry.redelivered && entry.state != State::Resolved;
        let doubted: Vec<Sequence> =
            self.entries.range(start, end).filter(doubted).map(|entry| entry.sequence).collect();
        doubted.into_iter().map(|sequence| self.resolve(sequence, sequence + 1, &Outcome::Unknown)).sum()
    }
}
