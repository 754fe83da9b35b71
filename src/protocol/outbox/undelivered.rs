//! What has no outcome yet, and what of it can be taken back without asking anybody.

use bytes::Bytes;

use super::{Entry, Outbox, State};
use crate::error::Outcome;
use crate::id::Sequence;
use crate::protocol::types::Whereabouts;

impl Outbox {
    /// Messages that have no outcome and were not given up: number, payload, size and where they are.
    pub fn undelivered(&self) -> impl Iterator<Item = (Sequence, Bytes, u64, Whereabouts)> {
        self.entries.iter().filter_map(|entry| {
            let whereabouts = entry.whereabouts()?;
            Some((entry.sequence, entry.payload.clone(), u64::from(entry.size), whereabouts))
        })
    }

    /// Withdraws all messages of which no link ever had anything, and gives them back.
    pub fn take_back(&mut self) -> Vec<(Sequence, Bytes)> {
        let kept = |entry: &&Entry| entry.whereabouts() == Some(Whereabouts::Kept);
        let taken = self.entries.iter().filter(kept).map(|entry| (entry.sequence, entry.payload.clone()));
        let taken: Vec<(Sequence, Bytes)> = taken.collect();
        for &(sequence, _) in &taken {
            self.give_up(sequence, Outcome::Cancelled);
        }
        taken
    }
}

impl Entry {
    fn whereabouts(&self) -> Option<Whereabouts> {
        match self.state {
            State::Open if !self.written => Some(Whereabouts::Kept),
            State::Open => Some(Whereabouts::InDoubt),
            State::Received => Some(Whereabouts::AtPeer),
            State::GivenUp | State::Resolved => None,
        }
    }
}
