//! Messages in the application's hands (rule R2).
//!
//! ```text
//!   take ──> taken ──ack / reject──> over
//!    ^         │ release (dropped without a word)
//!    │         v
//!    └──── returned, before anything not yet delivered ──(attempts used up)──> over
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::id::{Epoch, Sequence};

use super::types::Delivered;

/// Messages that were handed over to be acknowledged later.
#[derive(Debug, Default)]
pub struct Handover {
    taken: BTreeMap<(Epoch, Sequence), Delivered>,
    returned: BTreeMap<(Epoch, Sequence), Delivered>,
    /// When those are worth nothing any more that were given back.
    deadlines: BTreeSet<(Instant, Epoch, Sequence)>,
}

/// What becomes of a released message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// It comes again.
    Again,
    /// It was handed over often enough: it is to be rejected.
    Exhausted,
    /// It was not in the application's hands.
    NotTaken,
}

impl Handover {
    /// Puts a message into the application's hands.
    pub fn take(&mut self, message: Delivered) {
        self.taken.insert((message.id.epoch, message.id.sequence), message);
    }

    /// The application is done with a message; it, if it had it.
    pub fn end(&mut self, epoch: Epoch, sequence: Sequence) -> Option<Delivered> {
        self.taken.remove(&(epoch, sequence))
    }

    /// The application gave a message back.
    pub fn release(&mut self, epoch: Epoch, sequence: Sequence, max_attempts: u32) -> Released {
        let key = (epoch, sequence);
        match self.taken.get(&key) {
            None => Released::NotTaken,
            Some(message) if message.attempt >= max_attempts => Released::Exhausted,
            Some(_) => {
                if let Some(message) = self.taken.remove(&key) {
                    self.deadlines.extend(message.deadline.map(|at| (at, epoch, sequence)));
                    self.returned.insert(key, message);
                }
                Released::Again
            }
        }
    }

    /// The first message that comes again, its attempt counted.
    pub fn next_returned(&mut self) -> Option<Delivered> {
        let (&(epoch, sequence), _) = self.returned.first_key_value()?;
        let mut message = self.remove_returned(epoch, sequence)?;
        message.attempt += 1;
        Some(message)
    }

    /// When the next message that was given back expires.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, ..)| at)
    }

    /// Takes out those that were given back and have expired.
    pub fn take_expired(&mut self, now: Instant) -> Vec<Delivered> {
        let mut expired = Vec::new();
        while let Some(&(_, epoch, sequence)) = self.deadlines.first().filter(|(at, ..)| *at <= now) {
            expired.extend(self.remove_returned(epoch, sequence));
        }
        expired
    }

    /// The message has another deadline. Whether it is here.
    pub fn extend(&mut self, epoch: Epoch, sequence: Sequence, deadline: Option<Instant>) -> bool {
        let key = (epoch, sequence);
        if let Some(message) = self.taken.get_mut(&key) {
            message.deadline = deadline;
            return true;
        }
        let Some(message) = self.returned.get_mut(&key) else { return false };
        if let Some(before) = std::mem::replace(&mut message.deadline, deadline) {
            self.deadlines.remove(&(before, epoch, sequence));
        }
        self.deadlines.extend(deadline.map(|at| (at, epoch, sequence)));
        true
    }

    fn remove_returned(&mut self, epoch: Epoch, sequence: Sequence) -> Option<Delivered> {
        let message = self.returned.remove(&(epoch, sequence))?;
        if let Some(at) = message.deadline {
            self.deadlines.remove(&(at, epoch, sequence));
        }
        Some(message)
    }

    /// The messages from `start` to `end` that are in the application's hands, or were and come again.
    pub fn taken_of(&self, epoch: Epoch, start: Sequence, end: Sequence) -> impl Iterator<Item = Sequence> {
        let range = (epoch, start)..(epoch, end);
        let taken = self.taken.range(range.clone()).chain(self.returned.range(range));
        let mut sequences: Vec<Sequence> = taken.map(|(&(_, sequence), _)| sequence).collect();
        sequences.sort_unstable();
        sequences.into_iter()
    }

    /// Whether `next_returned` has something.
    pub fn has_returned(&self) -> bool {
        !self.returned.is_empty()
    }

    /// Every message here, in the application's hands or given back.
    pub fn iter(&self) -> impl Iterator<Item = &Delivered> {
        self.taken.values().chain(self.returned.values())
    }

    /// Messages in the application's hands.
    pub fn taken_len(&self) -> usize {
        self.taken.len()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::id::{ChannelId, MessageId, SessionId};

    fn message(sequence: Sequence) -> Delivered {
        let (session, epoch) = (SessionId::from_bytes([0; 16]), Epoch::new(1).unwrap());
        let id = MessageId { session, epoch, channel: ChannelId(0), sequence };
        Delivered { id, payload: Bytes::new(), redelivered: false, attempt: 1, skipped: 0, deadline: None }
    }

    #[test]
    fn a_released_message_comes_again_lowest_first_with_its_attempt_counted() {
        let epoch = Epoch::new(1).unwrap();
        let mut handover = Handover::default();
        for sequence in [0, 1, 2] {
            handover.take(message(sequence));
        }
        assert_eq!(handover.release(epoch, 2, 5), Released::Again);
        assert_eq!(handover.release(epoch, 1, 5), Released::Again);
        let again = handover.next_returned().unwrap();
        assert_eq!((again.id.sequence, again.attempt), (1, 2));
        handover.take(again);
        assert_eq!(handover.release(epoch, 1, 2), Released::Exhausted);
        assert!(handover.end(epoch, 1).is_some());
        assert!(handover.end(epoch, 1).is_none());
        assert_eq!(handover.release(epoch, 1, 5), Released::NotTaken);
        assert_eq!(handover.release(epoch, 2, 5), Released::NotTaken, "it is returned, not taken");
    }

    #[test]
    fn what_was_given_back_expires_and_may_be_given_more_time() {
        let now = Instant::now();
        let at = |ms| now + std::time::Duration::from_millis(ms);
        let epoch = Epoch::new(1).unwrap();
        let mut handover = Handover::default();
        for (sequence, ms) in [(1, 10), (2, 20), (3, 30), (4, 40)] {
            handover.take(Delivered { deadline: Some(at(ms)), ..message(sequence) });
        }
        assert!(handover.extend(epoch, 4, Some(at(5))), "in the application's hands");
        assert_eq!(handover.deadline(), None, "that is its own affair");
        for sequence in 1..=4 {
            assert_eq!(handover.release(epoch, sequence, 9), Released::Again);
        }
        assert!(handover.extend(epoch, 2, None) && !handover.extend(epoch, 5, None));
        assert_eq!(handover.deadline(), Some(at(5)));
        let expired = |handover: &mut Handover, ms| -> Vec<_> {
            handover.take_expired(at(ms)).into_iter().map(|message| message.id.sequence).collect()
        };
        assert_eq!(expired(&mut handover, 29), [4, 1]);
        assert_eq!(handover.next_returned().map(|message| message.id.sequence), Some(2));
        assert_eq!(handover.deadline(), Some(at(30)));
        assert_eq!(expired(&mut handover, 30), [3]);
        assert_eq!((handover.deadline(), handover.has_returned()), (None, false));
    }
}
