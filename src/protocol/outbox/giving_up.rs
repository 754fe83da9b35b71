//! Messages that are worth nothing any more: deadlines, withdrawal, newer ones (rules T1 and R1).

use std::time::Instant;

use super::{Outbox, State};
use crate::config::{Delivery, LARGE};
use crate::error::{ExtendError, Outcome};
use crate::id::Sequence;
use crate::protocol::types::Progress;

impl Outbox {
    /// When the next deadline passes.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Deals with the deadlines that have passed. Returns whether any had.
    pub fn expire(&mut self, now: Instant) -> bool {
        let mut passed = false;
        while let Some(&(deadline, sequence)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            passed = true;
            self.deadlines.pop_first();
            let Some(entry) = self.entries.get_mut(sequence) else { continue };
            let begun_body = entry.size as usize > LARGE;
            match entry.state {
                State::Open if !entry.written || begun_body => self.give_up(sequence, Outcome::Expired),
                // It is on its way or at the peer, which knows the deadline. It is not written again.
                State::Open | State::Received => self.held.free(&mut entry.payload),
                State::GivenUp | State::Resolved => {}
            }
        }
        passed
    }

    /// The message is not to be written (again). If nothing of it ever was it ends in `outcome`, else the peer decides.
    pub(super) fn give_up(&mut self, sequence: Sequence, outcome: Outcome) {
        let floor = self.floor();
        let Some(entry) = self.entries.get_mut(sequence) else { return };
        if entry.state != State::Open {
            return;
        }
        let written = entry.written;
        if written {
            entry.state = State::GivenUp;
            self.held.free(&mut entry.payload);
            if self.bodies.get(&sequence).is_some_and(|transit| transit.begun) {
                self.abandoned.push(sequence);
            }
            self.again.remove(&sequence);
            self.wanted.insert(sequence, outcome);
        } else {
            self.resolve(sequence, sequence + 1, &outcome);
        }
        if !self.mode.is_reliable() {
            return;
        }
        // A newer state speaks for the older ones. Where there is none, the peer has to be told of them as well.
        let first = if self.mode == Delivery::ReliableLatest { floor } else { sequence };
        self.skipped.insert_range(first.max(self.floor()), sequence + 1);
        self.gave_up = true;
    }

    /// Perhaps the newest state is over, and never was whole at the peer: then it has not taken the place of those before
    /// it there.
    pub fn newest_is_over(&mut self) {
        if self.next.checked_sub(1).is_some_and(|newest| self.resolved.contains(newest)) {
            self.make_way(self.next);
        }
    }

    /// A state has no room at the peer, or will never get there: those before it that the peer is not done with are not
    /// wanted any more.
    pub(super) fn make_way(&mut self, sequence: Sequence) {
        let floor = self.floor();
        if self.mode == Delivery::ReliableLatest && self.skipped.all().first_missing(floor) < sequence {
            self.skipped.insert_range(floor, sequence);
            self.gave_up = true;
        }
    }

    /// A newer state is about to be sent: the one before it is not written (again).
    pub(super) fn supersede(&mut self) {
        let Some(entry) = self.entries.last_mut().filter(|entry| entry.state == State::Open) else { return };
        let sequence = entry.sequence;
        if !entry.written {
            self.resolve(sequence, sequence + 1, &Outcome::Superseded);
            return;
        }
        // The peer drops it when the newer one comes, and says so.
        entry.state = State::GivenUp;
        self.held.free(&mut entry.payload);
        if self.bodies.get(&sequence).is_some_and(|transit| transit.begun) {
            self.abandoned.push(sequence);
        }
        self.wanted.insert(sequence, Outcome::Superseded);
    }

    /// The outbox is full: the oldest messages of which no link had anything make room for one of `size` bytes. Whether
    /// that was enough.
    pub fn drop_oldest(&mut self, size: usize) -> bool {
        while !self.has_room(size) {
            let unwritten = |entry: &&super::Entry| entry.state == State::Open && !entry.written;
            let oldest = self.entries.range(self.floor(), self.next).find(unwritten);
            let Some(sequence) = oldest.map(|entry| entry.sequence) else { return false };
            self.resolve(sequence, sequence + 1, &Outcome::Dropped);
        }
        true
    }

    /// The application withdraws a message. Whether that can still have an effect.
    pub fn cancel(&mut self, sequence: Sequence) -> bool {
        match self.entries.get(sequence).map(|entry| entry.state) {
            Some(State::Open) => self.give_up(sequence, Outcome::Cancelled),
            Some(State::Received) => {
                self.wanted.insert(sequence, Outcome::Cancelled);
                self.skipped.insert(sequence);
            }
            Some(State::GivenUp | State::Resolved) | None => return false,
        }
        true
    }

    /// Gives a message another deadline; `None`: none.
    pub fn extend(
        &mut self,
        sequence: Sequence,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<(), ExtendError> {
        if let Progress::Resolved(outcome) = self.progress(sequence) {
            return Err(ExtendError::Over(outcome));
        }
        let Some(entry) = self.entries.get_mut(sequence) else { return Err(ExtendError::TooLate) };
        let passed = entry.deadline.is_some_and(|deadline| deadline <= now);
        if entry.state == State::GivenUp || passed {
            return Err(ExtendError::TooLate);
        }
        if let Some(before) = entry.deadline {
            self.deadlines.remove(&(before, sequence));
        }
        entry.deadline = deadline;
        self.deadlines.extend(deadline.map(|deadline| (deadline, sequence)));
        if entry.written {
            self.extended.insert(sequence);
            self.extended_news.insert(sequence);
        }
        Ok(())
    }

    /// Ends those of `start..end` that the peer passed over because it was told that they do not come.
    pub(super) fn resolve_skipped(&mut self, start: Sequence, end: Sequence) -> u64 {
        let open = self.entries.range(start, end).filter(|entry| entry.state != State::Resolved);
        let open: Vec<Sequence> = open.map(|entry| entry.sequence).collect();
        let mut resolved = 0;
        for sequence in open {
            let outcome = self.wanted.get(&sequence).cloned().unwrap_or_else(|| self.why_skipped(sequence));
            resolved += self.resolve(sequence, sequence + 1, &outcome);
        }
        resolved
    }

    /// Why a message was skipped of which that is not remembered: it was at the peer when a newer one took its place, or
    /// an earlier process of this side gave it up.
    fn why_skipped(&self, sequence: Sequence) -> Outcome {
        let deadline = self.entries.get(sequence).and_then(|entry| entry.deadline);
        match deadline {
            _ if self.mode == Delivery::ReliableLatest && sequence + 1 < self.next => Outcome::Superseded,
            Some(deadline) if !self.deadlines.contains(&(deadline, sequence)) => Outcome::Expired,
            _ => Outcome::Cancelled,
        }
    }

    // ---- what the peer is to be told ----

    /// Whether the peer is to be told of messages that do not come. Of those beyond its window it is told later.
    pub fn has_skips_to_tell(&self, window: u64) -> bool {
        let limit = self.acknowledged.saturating_add(window);
        self.skipped.has_news_within(self.floor(), limit)
    }

    /// Whether the peer is to be told of other deadlines.
    pub fn has_extensions_to_tell(&self) -> bool {
        !self.extended_news.is_empty()
    }

    /// At most `limit` ranges of messages that do not come (again), within the peer's window.
    pub fn tell_skipped(&mut self, window: u64, limit: usize) -> Vec<(Sequence, Sequence)> {
        let floor = self.floor();
        self.skipped.tell_within(floor, self.acknowledged.saturating_add(window), limit)
    }

    /// At most `limit` messages that have another deadline, with it.
    pub fn tell_extended(&mut self, limit: usize) -> Vec<(Sequence, Option<Instant>)> {
        let mut told = Vec::new();
        while told.len() < limit {
            let Some(sequence) = self.extended_news.pop_first() else { break };
            told.extend(self.entries.get(sequence).map(|entry| (sequence, entry.deadline)));
        }
        told
    }

    /// Large messages whose streams are to be reset.
    pub fn take_abandoned(&mut self) -> Vec<Sequence> {
        std::mem::take(&mut self.abandoned)
    }
}
