//! Messages that are over without having been handed over: expired, superseded, skipped by their sender.

use std::time::Instant;

use super::{Delivery, Inbox};
use crate::id::{Epoch, Sequence};
use crate::protocol::types::Delivered;
use crate::wire::Why;

/// Messages that are over, as a half-open range, and are not yet noted as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Gone {
    pub(in super::super) start: Sequence,
    pub(in super::super) end: Sequence,
    pub(in super::super) why: Why,
}

impl Inbox {
    /// When the next message here expires.
    pub(in super::super) fn deadline(&self) -> Option<Instant> {
        let message = self.deadlines.first().map(|&(deadline, _)| deadline);
        let others = [self.fragments.deadline(), self.handover.deadline(), self.leftover.deadline()];
        others.into_iter().flatten().chain(message).min()
    }

    /// Takes out what has expired.
    pub(in super::super) fn expire(&mut self, now: Instant) -> Vec<Gone> {
        let mut gone = Vec::new();
        self.fragments.expire(now);
        for message in self.leftover.expire(now, self.mode.is_ordered()) {
            self.counts.late += 1;
            self.leftover_held.remove(message.payload.len());
        }
        while let Some(&(deadline, sequence)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            self.counts.late += 1;
            self.remove(sequence);
            self.close(sequence, sequence + 1, Why::Expired, &mut gone);
        }
        gone
    }

    /// Takes out a message given back by the application that has expired meanwhile.
    pub(in super::super) fn expire_returned(&mut self, now: Instant) -> Vec<Delivered> {
        let expired = self.handover.take_expired(now);
        self.counts.late += expired.len() as u64;
        expired
    }

    /// A state came: it takes the place of all before it that the application does not have.
    pub(in super::super) fn supersede(&mut self, newest: Sequence, epoch: Epoch) -> Vec<Gone> {
        let mut gone = Vec::new();
        if self.mode == Delivery::ReliableLatest {
            let why = Why::Superseded;
            self.pass(self.floor, newest, epoch, &why, &mut gone);
            self.counts.stale += gone.iter().map(|gone| gone.end - gone.start).sum::<u64>();
        }
        gone
    }

    /// The sender does not send these (again), and does not want them handed over any more.
    pub(in super::super) fn skip(&mut self, start: Sequence, end: Sequence, epoch: Epoch) -> Vec<Gone> {
        let mut gone = Vec::new();
        if self.mode.is_reliable() {
            self.pass(start, end, epoch, &Why::Skipped, &mut gone);
        }
        gone
    }

    /// Whether the sender may skip up to `end`: as far as its window goes (rule N1).
    pub(in super::super) fn may_skip(&self, end: Sequence) -> bool {
        end <= self.floor.max(self.ledger.handled_below()).saturating_add(self.granted.messages)
    }

    /// The message has another deadline. It may not have come yet.
    pub(in super::super) fn extend(&mut self, epoch: Epoch, sequence: Sequence, deadline: Option<Instant>) {
        if self.handover.extend(epoch, sequence, deadline) {
            return;
        }
        let before = if let Some(message) = self.row.get_mut(sequence) {
            std::mem::replace(&mut message.deadline, deadline)
        } else if let Some(part) = self.bodies.get_mut(sequence) {
            std::mem::replace(&mut part.deadline, deadline)
        } else {
            let ahead = self.floor.max(self.ledger.handled_below()).saturating_add(self.granted.messages);
            if !self.knows(sequence) && sequence < ahead {
                self.extensions.insert(sequence, deadline);
            }
            return;
        };
        if let Some(before) = before {
            self.deadlines.remove(&(before, sequence));
        }
        self.deadlines.extend(deadline.map(|deadline| (deadline, sequence)));
    }

    /// The application does not want the rest of a large message. Whether there was a part of it.
    pub(in super::super) fn reject_part(&mut self, sequence: Sequence, reason: &str) -> Vec<Gone> {
        let mut gone = Vec::new();
        if self.bodies.contains(sequence) {
            self.remove(sequence);
            self.close(sequence, sequence + 1, Why::Rejected(reason.to_owned()), &mut gone);
        }
        gone
    }

    /// The application wants nothing of this channel any more: the parts that are here.
    pub(in super::super) fn reject_parts(&mut self, reason: &str) -> Vec<Gone> {
        let parts: Vec<Sequence> = self.bodies.iter().map(|(sequence, ..)| sequence).collect();
        parts.into_iter().flat_map(|sequence| self.reject_part(sequence, reason)).collect()
    }

    /// Ends what is not over from `start` to `end`, except what the application has in its hands.
    fn pass(&mut self, start: Sequence, end: Sequence, epoch: Epoch, why: &Why, gone: &mut Vec<Gone>) {
        let taken: Vec<Sequence> = self.handover.taken_of(epoch, start, end).collect();
        for (start, end) in self.over.missing(start, end) {
            let here = self.row.iter().map(|(sequence, _)| sequence);
            let here = here.chain(self.bodies.iter().map(|(sequence, ..)| sequence));
            let here: Vec<Sequence> = here.filter(|sequence| (start..end).contains(sequence)).collect();
            here.into_iter().for_each(|sequence| self.remove(sequence));
            let mut from = start;
            for &sequence in taken.iter().filter(|sequence| (start..end).contains(sequence)) {
                self.close(from, sequence, why.clone(), gone);
                from = sequence + 1;
            }
            self.close(from, end, why.clone(), gone);
        }
    }

    /// Takes a message out, whole or in part.
    fn remove(&mut self, sequence: Sequence) {
        if let Some(message) = self.row.remove(sequence) {
            // Below the floor it counts in no window any more.
            let held = if sequence < self.floor { &mut self.leftover_held } else { &mut self.held };
            held.remove(message.payload.len());
            if let Some(deadline) = message.deadline {
                self.deadlines.remove(&(deadline, sequence));
            }
        }
        if let Some(deadline) = self.bodies.remove(sequence).and_then(|part| part.deadline) {
            self.deadlines.remove(&(deadline, sequence));
        }
    }

    fn close(&mut self, start: Sequence, end: Sequence, why: Why, gone: &mut Vec<Gone>) {
        if start >= end || !self.mode.is_reliable() {
            return;
        }
        self.dedup.insert_range(start, end);
        self.over.insert_range(start, end);
        self.row.pass(start, end);
        gone.push(Gone { start, end, why });
    }
}
