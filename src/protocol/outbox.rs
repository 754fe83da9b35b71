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
//!
//! A message may be *given up*: its deadline passed, it was withdrawn, or a newer one took its place. If no link ever had
//! any of it that is its end. Else the peer is told that it comes no more, and decides: perhaps it has handled it (rule R1).
//!
//! | file | what it is about |
//! |---|---|
//! | `entries`, `figures` | the messages, by number, and how many they are |
//! | `hearing` | what the peer says of them |
//! | `writing` | what to write next, and how it travels |
//! | `giving_up` | deadlines, withdrawal, what is superseded |
//! | `undelivered` | what has no outcome, and what can be taken back |
//! | `doubt` | what is left when the peer forgot something |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Bytes;

use super::flights::Flights;
use super::outcomes::Outcomes;
use super::ranges::RangeSet;
use super::told::Told;
use super::types::Progress;
use crate::config::{Delivery, LARGE};
use crate::error::Outcome;
use crate::id::Sequence;

mod doubt;
mod entries;
mod figures;
mod giving_up;
mod hearing;
mod undelivered;
mod writing;

pub use doubt::ResetCount;
pub use figures::{Ended, Held, Limits};
pub use writing::{Outgoing, Piece, Writable};

use entries::{Entries, Entry, State};
use figures::used_by;

/// Exceptional outcomes kept for receipts, as ranges, per channel, and when the channel is gone.
const MAX_OUTCOMES: usize = 4096;
const MAX_OUTCOMES_RETIRED: usize = 64;

/// Ranges of messages that have come further, kept apart until somebody asks.
const MAX_PROGRESSED: usize = 1024;

/// The sending half of a channel.
#[derive(Debug)]
pub struct Outbox {
    mode: Delivery,
    limits: Limits,
    entries: Entries,
    /// The next sequence to be given.
    next: Sequence,
    cursor: Sequence,
    outcomes: Outcomes,
    /// How many messages ended in which way.
    ended: Ended,
    /// What the peer's session is known to hold, or to need no more.
    received: RangeSet,
    /// What is resolved: a peer that says so twice costs no second look at each message.
    resolved: RangeSet,
    /// What is unresolved.
    held: Held,
    /// Bytes of unresolved messages that the peer holds or this link was given: what counts in the peer's windows.
    used: u64,
    used_large: u64,
    /// Everything below is resolved as far as the peer has told: its window starts here.
    acknowledged: Sequence,
    /// One past the last sequence ever written to a link.
    written_below: Sequence,
    /// One past the highest sequence that was resolved otherwise than handled.
    exception_below: Sequence,
    deadlines: BTreeSet<(Instant, Sequence)>,
    /// Those with another deadline than they were written with, and those of them that the peer is to be told of.
    extended: BTreeSet<Sequence>,
    extended_news: BTreeSet<Sequence>,
    /// Given up: the peer is told that they do not come (again).
    skipped: Told,
    /// What those given up end in, if the peer did not have them.
    wanted: BTreeMap<Sequence, Outcome>,
    flights: Flights,
    /// Lost in a datagram, to be written again.
    again: BTreeSet<Sequence>,
    /// Large messages that are unresolved and that the cursor has passed or the peer has in part.
    bodies: BTreeMap<Sequence, Transit>,
    /// Those that were under way, and are given up.
    abandoned: Vec<Sequence>,
    /// The peer is to be told of messages that were given up.
    gave_up: bool,
    changes: Changes,
    /// What has come further since somebody asked, as half-open ranges.
    progressed: Vec<(Sequence, Sequence)>,
}

/// A large message on its way.
#[derive(Clone, Copy, Debug, Default)]
struct Transit {
    /// What of it comes next on this link.
    offset: u64,
    /// This link has a stream of it.
    begun: bool,
    /// How much of it the peer has.
    at_peer: u64,
    /// It is this link's turn to write it.
    queued: bool,
}

/// What a journal is to remember, as half-open ranges.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Messages that have their outcome.
    pub resolved: Vec<(Sequence, Sequence)>,
    /// Messages that are sent again as redelivered.
    pub doubted: Vec<(Sequence, Sequence)>,
}

impl Outbox {
    /// An empty outbox for messages that are sent in `mode`.
    pub fn new(mode: Delivery, limits: Limits) -> Self {
        Self {
            mode,
            limits,
            entries: Entries::default(),
            next: 0,
            cursor: 0,
            outcomes: Outcomes::new(MAX_OUTCOMES),
            ended: Ended::default(),
            received: RangeSet::default(),
            resolved: RangeSet::default(),
            held: Held::default(),
            used: 0,
            used_large: 0,
            acknowledged: 0,
            written_below: 0,
            exception_below: 0,
            deadlines: BTreeSet::new(),
            extended: BTreeSet::new(),
            extended_news: BTreeSet::new(),
            skipped: Told::default(),
            wanted: BTreeMap::new(),
            flights: Flights::default(),
            again: BTreeSet::new(),
            bodies: BTreeMap::new(),
            abandoned: Vec::new(),
            gave_up: false,
            changes: Changes::default(),
            progressed: Vec::new(),
        }
    }

    /// An outbox whose sequences below `next` were given by an earlier process; `open` are those unresolved, `doubted` those
    /// that go as redelivered. All count as written: nobody knows better.
    pub fn restore(
        mode: Delivery,
        next: Sequence,
        open: impl IntoIterator<Item = (Sequence, Bytes, Option<Instant>)>,
        doubted: &RangeSet,
        now: Instant,
    ) -> Self {
        let mut outbox = Self::new(mode, Limits::UNLIMITED);
        for (sequence, payload, deadline) in open {
            outbox.resolved.insert_range(outbox.next, sequence);
            outbox.next = sequence;
            outbox.push(payload, 0, deadline, now);
            if let Some(entry) = outbox.entries.get_mut(sequence) {
                (entry.redelivered, entry.written) = (doubted.contains(sequence), true);
            }
        }
        outbox.skip_to(next);
        outbox.cursor = outbox.floor();
        outbox.acknowledged = outbox.floor();
        outbox.written_below = outbox.next;
        // How the others ended is not remembered: perhaps the peer still waits for one.
        outbox.exception_below = outbox.next;
        outbox
    }

    /// The numbers up to `next` are given to nothing.
    pub fn skip_to(&mut self, next: Sequence) {
        self.resolved.insert_range(self.next, next);
        self.next = self.next.max(next);
    }

    /// Nothing will be sent any more, and everything is over: only receipts may still ask how messages ended.
    pub fn retire(&mut self) {
        self.outcomes.limit_to(MAX_OUTCOMES_RETIRED);
        self.entries = Entries::default();
    }

    /// An empty outbox with the same limits, that goes on counting how messages ended.
    pub fn renewed(&self) -> Self {
        Self { ended: self.ended, ..Self::new(self.mode, self.limits) }
    }

    /// Sets the limits, for instance of a restored outbox.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether a message of `size` bytes has room.
    pub fn has_room(&self, size: usize) -> bool {
        // Of states only the newest is kept.
        self.mode == Delivery::ReliableLatest
            || self.held.messages < self.limits.messages
                && if size > LARGE {
                    self.held.large.saturating_add(size) <= self.limits.large
                } else {
                    self.held.bytes.saturating_add(size) <= self.limits.bytes
                }
    }

    /// Numbers and keeps a message; the caller has asked `has_room`.
    pub fn push(&mut self, payload: Bytes, batch: u64, deadline: Option<Instant>, now: Instant) -> Sequence {
        if self.mode == Delivery::ReliableLatest {
            self.supersede();
        }
        let sequence = self.next;
        self.next += 1;
        self.held.add(payload.len());
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, sequence));
        }
        self.entries.push(Entry {
            sequence,
            size: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            payload,
            state: State::Open,
            redelivered: false,
            written: false,
            counted: false,
            deadline,
            accepted: now,
            batch,
        });
        sequence
    }

    /// How messages are sent.
    pub fn mode(&self) -> Delivery {
        self.mode
    }

    /// The next sequence to be given.
    pub fn next(&self) -> Sequence {
        self.next
    }

    /// Everything below is resolved.
    pub fn floor(&self) -> Sequence {
        self.resolved.below()
    }

    /// What is unresolved.
    pub fn held(&self) -> Held {
        self.held
    }

    /// How many messages ended in which way.
    pub fn ended(&self) -> Ended {
        self.ended
    }

    /// When the oldest message was accepted of which no link ever had anything.
    pub fn oldest_unwritten(&self) -> Option<Instant> {
        let unwritten = |entry: &&Entry| entry.state == State::Open && !entry.written;
        self.entries.range(self.cursor, self.next).find(unwritten).map(|entry| entry.accepted)
    }

    /// Whether any message was ever written to a link.
    pub fn ever_written(&self) -> bool {
        self.written_below > 0
    }

    /// Whether the peer, last told `told`, is to be told the floor: it has passed messages that the peer does not know
    /// to be resolved, or keeps verdicts of.
    pub fn owes_floor(&self, told: Sequence) -> bool {
        self.mode.is_reliable() && self.floor() > told && self.exception_below > told
    }

    /// Whether the peer, last told `told`, is to be told the floor at once: it waits for numbers that it will never see,
    /// with what follows them or, if the lane has `finished`, with its end; or its window is about to be used up by them.
    pub fn needs_floor(&self, told: Sequence, window: u64, finished: bool) -> bool {
        let waits = finished || self.mode == Delivery::ReliableOrdered;
        self.owes_floor(told) && (waits || self.next - self.acknowledged >= window / 2)
    }

    /// Every message below is held by the peer's session, or resolved.
    pub fn received_below(&self) -> Sequence {
        self.received.below().max(self.floor())
    }

    /// Ends `start..end`, as far as still unresolved, with `outcome`. Returns how many that were.
    pub fn resolve(&mut self, start: Sequence, end: Sequence, outcome: &Outcome) -> u64 {
        let end = end.min(self.next);
        let mut resolved = 0;
        for (start, end) in self.resolved.missing(start, end) {
            for entry in self.entries.range_mut(start, end) {
                let sequence = entry.sequence;
                entry.state = State::Resolved;
                self.held.messages -= 1;
                self.held.free(&mut entry.payload);
                if std::mem::take(&mut entry.counted) {
                    *used_by(entry.size, &mut self.used, &mut self.used_large) -= u64::from(entry.size);
                }
                if let Some(deadline) = entry.deadline {
                    self.deadlines.remove(&(deadline, sequence));
                    self.extended.remove(&sequence);
                    self.extended_news.remove(&sequence);
                }
                self.bodies.remove(&sequence);
                self.wanted.remove(&sequence);
                self.again.remove(&sequence);
                resolved += 1;
            }
            if *outcome != Outcome::Handled {
                self.exception_below = self.exception_below.max(end);
                self.outcomes.record_range(start, end, outcome);
            }
            self.changes.note_resolved(start, end);
            note_progress(&mut self.progressed, start, end);
        }
        self.ended.add(outcome, resolved);
        self.resolved.insert_range(start, end);
        let floor = self.floor();
        self.entries.sweep(usize::try_from(resolved).unwrap_or(usize::MAX), floor);
        self.skipped.forget_below(floor);
        self.cursor = self.cursor.max(floor);
        resolved
    }

    /// Ends every message of which nothing was ever written: the sender alone knows that they were not delivered.
    pub fn resolve_unwritten(&mut self, outcome: &Outcome) -> u64 {
        let unwritten = self.entries.range(self.floor(), self.next);
        let unwritten = unwritten.filter(|entry| entry.state == State::Open && !entry.written);
        let unwritten: Vec<Sequence> = unwritten.map(|entry| entry.sequence).collect();
        let resolved =
            unwritten.into_iter().map(|sequence| self.resolve(sequence, sequence + 1, outcome)).sum();
        self.newest_is_over();
        resolved
    }

    /// Ends each message above `limit` bytes that the peer is not known to have: with `outcome` if it was never written;
    /// one that was, in doubt or to a peer that allowed more, is unknown. Returns how many.
    pub fn resolve_too_large(&mut self, limit: u64, outcome: &Outcome) -> u64 {
        let large = |entry: &&Entry| {
            matches!(entry.state, State::Open | State::GivenUp) && u64::from(entry.size) > limit
        };
        let large = self.entries.iter().filter(large);
        let large: Vec<(Sequence, bool)> = large.map(|entry| (entry.sequence, entry.written)).collect();
        let mut resolved = 0;
        for (sequence, written) in large {
            resolved +=
                self.resolve(sequence, sequence + 1, if written { &Outcome::Unknown } else { outcome });
        }
        self.newest_is_over();
        resolved
    }

    /// Whether something has changed, or is to be done, since it was asked for last.
    pub fn has_changes(&self) -> bool {
        !self.changes.resolved.is_empty()
            || !self.changes.doubted.is_empty()
            || !self.abandoned.is_empty()
            || self.gave_up
    }

    /// What has changed since this was asked last.
    pub fn take_changes(&mut self) -> Changes {
        self.gave_up = false;
        std::mem::take(&mut self.changes)
    }

    /// The messages whose [`progress`](Self::progress) has changed since this was asked last, half-open and in no order.
    /// When nobody asks for long, messages between them as well.
    pub fn take_progressed(&mut self) -> Vec<(Sequence, Sequence)> {
        std::mem::take(&mut self.progressed)
    }

    /// How far `sequence` has come.
    pub fn progress(&self, sequence: Sequence) -> Progress {
        if self.resolved.contains(sequence) {
            return Progress::Resolved(self.outcomes.of(sequence));
        }
        let Some(entry) = self.entries.get(sequence) else { return Progress::Accepted };
        let partly = self.bodies.get(&sequence).map_or(0, |transit| transit.at_peer);
        match entry.state {
            State::Received => Progress::Received,
            _ if partly > 0 => Progress::Partly { received: partly, size: entry.size.into() },
            _ => Progress::Accepted,
        }
    }
}

impl Changes {
    fn note_resolved(&mut self, start: Sequence, end: Sequence) {
        note(&mut self.resolved, start, end);
    }

    fn note_doubted(&mut self, sequence: Sequence) {
        note(&mut self.doubted, sequence, sequence + 1);
    }
}

fn note(ranges: &mut Vec<(Sequence, Sequence)>, start: Sequence, end: Sequence) {
    match ranges.last_mut() {
        Some((_, last)) if *last == start => *last = end,
        _ => ranges.push((start, end)),
    }
}

/// The same, in bounded memory.
fn note_progress(ranges: &mut Vec<(Sequence, Sequence)>, start: Sequence, end: Sequence) {
    note(ranges, start, end);
    if ranges.len() > MAX_PROGRESSED {
        let start = ranges.iter().map(|&(start, _)| start).min().unwrap_or(start);
        let end = ranges.iter().map(|&(_, end)| end).max().unwrap_or(end);
        *ranges = vec![(start, end)];
    }
}

#[cfg(test)]
mod tests;
