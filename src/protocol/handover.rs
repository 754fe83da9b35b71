//! Messages in the application's hands (rule R2).
//!
//! ```text
//!   take ──> taken ──ack / reject──> over
//!    ^         │ release (dropped without a word)
//!    │         v
//!    └──── returned, before anything not yet delivered ──(attempts used up)──> over
//! ```

use std::collections::BTreeMap;

use crate::id::{Epoch, Sequence};

use super::types::Delivered;

/// Messages that were handed over to be acknowledged later.
#[derive(Debug, Default)]
pub struct Handover {
    taken: BTreeMap<(Epoch, Sequence), Delivered>,
    returned: BTreeMap<(Epoch, Sequence), Delivered>,
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
                    self.returned.insert(key, message);
                }
                Released::Again
            }
        }
    }

    /// The first message that comes again, its attempt counted.
    pub fn next_returned(&mut self) -> Option<Delivered> {
        let (_, mut message) = self.returned.pop_first()?;
        message.attempt += 1;
        Some(message)
    }

    /// Takes out those that were given back and that this is true of.
    pub fn take_returned(&mut self, is: impl Fn(&Delivered) -> bool) -> Vec<Delivered> {
        let keys = self.returned.iter().filter(|(_, message)| is(message)).map(|(&key, _)| key);
        let keys: Vec<_> = keys.collect();
        keys.into_iter().filter_map(|key| self.returned.remove(&key)).collect()
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
}
