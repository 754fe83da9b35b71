//! What comes: whole messages, and pieces.

use std::time::Instant;

use super::{Delivery, Inbox, LARGE, Mark};
use crate::id::{MessageId, Sequence};
use crate::protocol::bodies::BadPiece;
use crate::protocol::dedup::{Admission, Recency};
use crate::protocol::types::Delivered;
use crate::wire::{Body, Carrier};

/// What an arriving message was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Arrival {
    /// New; to be handed over, or to be rejected at once if the inbox is refused.
    New,
    /// A part of a message that is not whole yet.
    Part,
    /// Known.
    Duplicate,
    /// Not to be handed over: a newer one was faster, or it is too old to be known, or there is no room. Counted.
    Dropped,
    /// The sender may not do that.
    Violation(&'static str),
}

impl Inbox {
    /// A message arrived, whole.
    pub(in super::super) fn arrive(&mut self, message: Delivered, mark: Mark, now: Instant) -> Arrival {
        match self.mode.is_reliable() {
            true => self.arrive_reliable(message, mark, now),
            false => self.arrive_unreliable(message, now),
        }
    }

    fn arrive_reliable(&mut self, mut message: Delivered, mark: Mark, now: Instant) -> Arrival {
        let (sequence, size) = (message.id.sequence, message.payload.len());
        if !self.knows(sequence) && !self.has_window(sequence, size as u64) {
            return Arrival::Violation("more than the window allows (rule C2)");
        }
        match self.dedup.admit(sequence, self.resolved_below(), self.granted.messages) {
            Admission::BeyondWindow => Arrival::Violation("more than the window allows (rule C2)"),
            Admission::Duplicate if self.mode == Delivery::ReliableLatest => {
                self.counts.stale += 1;
                Arrival::Duplicate
            }
            Admission::Duplicate => {
                self.counts.duplicates += 1;
                Arrival::Duplicate
            }
            Admission::New => {
                self.counts.received += 1;
                self.ledger.note_received(sequence, mark.batch, mark.durable);
                if let Some(deadline) = self.extensions.remove(&sequence) {
                    message.deadline = deadline;
                }
                self.put(message);
                if self.row.has_ready() {
                    self.watch.filled(now);
                }
                Arrival::New
            }
        }
    }

    fn arrive_unreliable(&mut self, message: Delivered, now: Instant) -> Arrival {
        let sequence = message.id.sequence;
        if self.ended {
            self.counts.stale += 1;
            return Arrival::Dropped;
        }
        if self.recent.is_fresh() {
            self.handed = sequence;
        }
        match self.recent.admit(sequence) {
            Recency::Duplicate => {
                self.counts.duplicates += 1;
                return Arrival::Duplicate;
            }
            Recency::Newest => {}
            Recency::Late if self.mode == Delivery::Unreliable => {}
            Recency::Late | Recency::TooLate => {
                self.counts.stale += 1;
                return Arrival::Dropped;
            }
        }
        self.counts.received += 1;
        if self.mode == Delivery::UnreliableSequenced {
            self.fragments.drop_below(sequence);
        }
        if message.deadline.is_some_and(|deadline| deadline <= now) {
            self.counts.late += 1;
            return Arrival::Dropped;
        }
        let (messages, bytes) = (self.room.messages, self.room.bytes);
        let size = message.payload.len() as u64;
        while self.held.messages >= messages || self.held.bytes + size > bytes {
            let Some((oldest, dropped)) = self.row.pop() else {
                // The application has all of it in its hands.
                self.counts.overflowed += 1;
                return Arrival::Dropped;
            };
            self.counts.overflowed += 1;
            self.held.remove(dropped.payload.len());
            if let Some(deadline) = dropped.deadline {
                self.deadlines.remove(&(deadline, oldest));
            }
        }
        self.put(message);
        self.watch.filled(now);
        Arrival::New
    }

    /// A piece of a message arrived. Gives the whole message with the last of them.
    pub(in super::super) fn piece(
        &mut self,
        id: MessageId,
        body: Body,
        deadline: Option<Instant>,
    ) -> (Arrival, Option<Delivered>) {
        let (sequence, redelivered) = (body.sequence, body.redelivered);
        let whole = |payload, redelivered, deadline| {
            let message = Delivered { id, payload, redelivered, attempt: 1, skipped: 0, deadline };
            (Arrival::Part, Some(message))
        };
        if body.carrier == Carrier::Fragments || body.carrier == Carrier::Datagram {
            if self.mode.is_reliable() {
                return (Arrival::Violation("a fragment of a reliable message (rule C1)"), None);
            }
            if self.ended {
                self.counts.stale += 1;
                return (Arrival::Dropped, None);
            }
            let limit = usize::try_from(self.room.bytes).unwrap_or(usize::MAX);
            return match self.fragments.take(body, deadline, limit) {
                Ok(Some(payload)) => whole(payload, redelivered, deadline),
                Ok(None) => (Arrival::Part, None),
                Err(_) => (Arrival::Violation("fragments that overlap (rule N2)"), None),
            };
        }
        if !self.mode.is_reliable() {
            return (Arrival::Violation("an unreliable message on a stream of its own (rule C1)"), None);
        }
        if self.knows(sequence) {
            return (Arrival::Duplicate, None);
        }
        if !self.bodies.contains(sequence) && !self.has_window(sequence, body.size) {
            return (Arrival::Violation("more than the window for large messages allows (rule C2)"), None);
        }
        let deadline = self.extensions.remove(&sequence).unwrap_or(deadline);
        if !self.bodies.contains(sequence) {
            self.deadlines.extend(deadline.map(|deadline| (deadline, sequence)));
        }
        match self.bodies.take(&body, deadline) {
            Ok(None) => {
                self.partial_news = true;
                (Arrival::Part, None)
            }
            Ok(Some(part)) => {
                if let Some(deadline) = part.deadline {
                    self.deadlines.remove(&(deadline, sequence));
                }
                whole(part.bytes.into(), part.redelivered, part.deadline)
            }
            Err(BadPiece::Gap) => (Arrival::Violation("a gap in a large message (rule C2)"), None),
            Err(BadPiece::OtherSize) => {
                (Arrival::Violation("a large message that changes its size (rule C2)"), None)
            }
        }
    }

    /// Whether the sender may have this message on its way (rule C2).
    fn has_window(&self, sequence: Sequence, size: u64) -> bool {
        let fits = if size > LARGE as u64 {
            let promised = if self.bodies.contains(sequence) { 0 } else { size };
            self.held.large + self.bodies.sizes().0 + promised <= self.granted.large
        } else {
            self.held.bytes + size <= self.granted.bytes
        };
        fits && sequence < self.resolved_below().saturating_add(self.granted.messages)
    }

    fn resolved_below(&self) -> Sequence {
        self.floor.max(self.ledger.handled_below())
    }
}
