//! What to write next, and how it travels.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Outbox, State, Transit, note_progress, used_by};
use crate::config::{Delivery, LARGE};
use crate::error::Outcome;
use crate::id::Sequence;
use crate::protocol::types::Window;
use crate::wire::Carrier;

/// The largest message of a reliable channel that travels in a datagram, in bytes. With its head it fits a QUIC packet of
/// 1,200 bytes (RFC 9000 section 14), the smallest that there is. Why datagrams, and why up to here: docs/decisions.md.
const DATAGRAM: usize = 1100;

/// How much of a large message is written at once, in bytes.
const PIECE: usize = 16 * 1024;

/// A message to write now.
#[derive(Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number.
    pub sequence: Sequence,
    /// See [`Data::redelivered`](crate::wire::Data::redelivered).
    pub redelivered: bool,
    /// It was written to an earlier link already.
    pub again: bool,
    /// It was written to this link already.
    pub retransmitted: bool,
    /// When it is worth nothing any more.
    pub deadline: Option<Instant>,
    /// How it travels.
    pub carrier: Carrier,
    /// Its bytes.
    pub payload: Bytes,
}

/// A piece of a large message to write now.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its number.
    pub sequence: Sequence,
    /// See [`Data::redelivered`](crate::wire::Data::redelivered).
    pub redelivered: bool,
    /// When the message is worth nothing any more.
    pub deadline: Option<Instant>,
    /// Bytes of the message.
    pub size: u64,
    /// Where in it these are.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// What there is to know of the link that is written to.
#[derive(Clone, Copy, Debug)]
pub struct Writable {
    /// What the peer grants.
    pub window: Window,
    /// Journal batches up to this one are durable.
    pub durable: u64,
    /// The peer has spoken of the channel on this link: its datagrams will not come too early.
    pub heard: bool,
}

impl Outbox {
    /// A new link: everything the peer does not have is to be written again.
    pub fn rewind(&mut self) {
        self.cursor = self.floor();
        (self.used, self.used_large) = (0, 0);
        for entry in self.entries.iter_mut() {
            entry.counted = match entry.state {
                State::Received => true,
                State::GivenUp => self.received.contains(entry.sequence),
                State::Open | State::Resolved => false,
            };
            if entry.counted {
                *used_by(entry.size, &mut self.used, &mut self.used_large) += u64::from(entry.size);
            }
        }
        self.flights.clear();
        self.again.clear();
        self.abandoned.clear();
        for transit in self.bodies.values_mut() {
            *transit = Transit { at_peer: transit.at_peer, ..Transit::default() };
        }
        self.skipped.retell();
        self.extended_news.clone_from(&self.extended);
    }

    /// On a new link the peer has said how much it has of large messages: each goes on from there. All of them count in its
    /// window, also one that was given up and of which it has not heard that.
    pub fn resume_bodies(&mut self, partial: &[(Sequence, u64)]) {
        for (&sequence, transit) in &mut self.bodies {
            if std::mem::take(&mut transit.at_peer) > 0 {
                note_progress(&mut self.progressed, sequence, sequence + 1);
            }
            transit.offset = 0;
        }
        for &(sequence, bytes) in partial {
            let begun = |entry: &&mut super::Entry| {
                entry.written && entry.size as usize > LARGE && bytes < u64::from(entry.size)
            };
            let Some(entry) = self.entries.get_mut(sequence).filter(begun) else { continue };
            if !matches!(entry.state, State::Open | State::GivenUp) {
                continue;
            }
            if !std::mem::replace(&mut entry.counted, true) {
                self.used_large += u64::from(entry.size);
            }
            let transit = self.bodies.entry(sequence).or_default();
            (transit.at_peer, transit.offset) = (bytes, bytes);
            note_progress(&mut self.progressed, sequence, sequence + 1);
        }
    }

    /// Messages written to earlier links that the cursor has still to pass and the peer is not known to have.
    pub fn to_replay(&self) -> u64 {
        let open = |entry: &&super::Entry| entry.state == State::Open && entry.written;
        self.entries.range(self.cursor, self.written_below).filter(open).count() as u64
    }

    /// The next message to write whole. The cursor passes it.
    pub fn next_record(&mut self, to: Writable, now: Instant) -> Option<Outgoing> {
        if let Some(lost) = self.next_lost(now) {
            return Some(lost);
        }
        loop {
            let entry = self.entries.at(self.entries.index(self.cursor))?;
            self.cursor = entry.sequence;
            if entry.state != State::Open {
                self.cursor += 1;
                continue;
            }
            if entry.deadline.is_some_and(|deadline| deadline <= now) {
                self.cursor += 1;
                self.give_up(self.cursor - 1, Outcome::Expired);
                continue;
            }
            let (size, batch) = (entry.size, entry.batch);
            if batch > to.durable {
                return None;
            }
            if !self.is_allowed(self.cursor, u64::from(size), to) {
                self.make_way(self.cursor);
                return None;
            }
            if size as usize <= LARGE {
                return self.write(to.heard, now);
            }
            self.bodies.entry(self.cursor).or_default().queued = true;
            self.cursor += 1;
        }
    }

    /// Whether a message may be written, or for a large one its place in the row be passed.
    fn is_allowed(&self, sequence: Sequence, size: u64, to: Writable) -> bool {
        if !self.mode.is_reliable() {
            return to.heard;
        }
        // Of states, nothing is kept but the newest: so what is on its way is bounded here.
        let latest_full = self.mode == Delivery::ReliableLatest && self.held.messages > self.limits.messages;
        let fits = size > LARGE as u64 || self.used.saturating_add(size) <= to.window.bytes;
        fits && !latest_full && sequence - self.acknowledged < to.window.messages
    }

    /// Writes the message at the cursor.
    fn write(&mut self, heard: bool, now: Instant) -> Option<Outgoing> {
        let sequence = self.cursor;
        let entry = self.entries.get_mut(sequence)?;
        let carrier = match self.mode {
            Delivery::ReliableOrdered => Carrier::Lane,
            Delivery::Unreliable | Delivery::UnreliableSequenced => Carrier::Fragments,
            Delivery::ReliableUnordered | Delivery::ReliableLatest
                if heard && entry.size as usize <= DATAGRAM =>
            {
                Carrier::Datagram
            }
            Delivery::ReliableUnordered | Delivery::ReliableLatest => Carrier::Stream,
        };
        let again = std::mem::replace(&mut entry.written, true);
        entry.counted = true;
        self.used += u64::from(entry.size);
        self.cursor += 1;
        self.written_below = self.written_below.max(self.cursor);
        let (redelivered, deadline, payload) = (entry.redelivered, entry.deadline, entry.payload.clone());
        match carrier {
            Carrier::Datagram => self.flights.sent(sequence, now),
            // No word of it will ever come back.
            Carrier::Fragments => drop(self.resolve(sequence, sequence + 1, &Outcome::Unknown)),
            Carrier::Lane | Carrier::Stream => {}
        }
        Some(Outgoing { sequence, redelivered, again, retransmitted: false, deadline, carrier, payload })
    }

    // ---- lost datagrams ----

    /// When the next datagram will count as lost.
    pub fn loss_deadline(&self, rtt: Duration) -> Option<Instant> {
        self.flights.deadline(rtt)
    }

    /// What is lost is to be written again. Returns whether there is any.
    pub fn detect_loss(&mut self, rtt: Duration, now: Instant) -> bool {
        self.received.insert_range(0, self.resolved.below());
        let lost = self.flights.take_lost(&self.received, rtt, now);
        for entry in lost.into_iter().flat_map(|(start, end)| self.entries.range(start, end)) {
            if entry.state == State::Open {
                self.again.insert(entry.sequence);
            }
        }
        !self.again.is_empty()
    }

    fn next_lost(&mut self, now: Instant) -> Option<Outgoing> {
        while let Some(sequence) = self.again.pop_first() {
            let Some(entry) = self.entries.get(sequence).filter(|entry| entry.state == State::Open) else {
                continue;
            };
            if entry.deadline.is_some_and(|deadline| deadline <= now) {
                self.give_up(sequence, Outcome::Expired);
                continue;
            }
            let (redelivered, deadline, payload) = (entry.redelivered, entry.deadline, entry.payload.clone());
            let (again, retransmitted, carrier) = (false, true, Carrier::Stream);
            return Some(Outgoing {
                sequence,
                redelivered,
                again,
                retransmitted,
                deadline,
                carrier,
                payload,
            });
        }
        None
    }

    // ---- large messages ----

    /// Whether there may be a piece to write.
    pub fn has_body(&self) -> bool {
        self.bodies.values().any(|transit| transit.queued)
    }

    /// The next piece of a large message: they are written one after the other, in the order of their numbers, each when
    /// the peer has room for all of it (rule C2).
    pub fn next_piece(&mut self, to: Writable, now: Instant) -> Option<Piece> {
        loop {
            let (&sequence, transit) = self.bodies.iter_mut().find(|(_, transit)| transit.queued)?;
            let entry = self.entries.get_mut(sequence).filter(|entry| entry.state == State::Open);
            let Some(entry) = entry.filter(|entry| !entry.payload.is_empty()) else {
                transit.queued = false;
                continue;
            };
            let size = u64::from(entry.size);
            if entry.deadline.is_some_and(|deadline| deadline <= now) {
                transit.queued = false;
                self.give_up(sequence, Outcome::Expired);
                continue;
            }
            if !entry.counted {
                if self.used_large.saturating_add(size) > to.window.large {
                    self.make_way(sequence);
                    return None;
                }
                (entry.counted, entry.written) = (true, true);
                self.used_large += size;
                self.written_below = self.written_below.max(sequence + 1);
            }
            let (offset, start) = (transit.offset, usize::try_from(transit.offset).unwrap_or(usize::MAX));
            let end = start.saturating_add(PIECE).min(entry.payload.len());
            let bytes = entry.payload.slice(start.min(end)..end);
            (transit.offset, transit.begun) = (end as u64, true);
            transit.queued = transit.offset < size;
            let (redelivered, deadline) = (entry.redelivered, entry.deadline);
            return Some(Piece { sequence, redelivered, deadline, size, offset, bytes });
        }
    }
}
