//! What former epochs of the sender left to be handed over. Nobody is told what becomes of it.

use std::collections::VecDeque;
use std::time::Instant;

use crate::protocol::types::Delivered;

/// Messages in the order in which they are handed over.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    messages: VecDeque<Delivered>,
    /// None expires before this. It may be too early, never too late.
    deadline: Option<Instant>,
}

impl Leftover {
    pub(super) fn push(&mut self, message: Delivered) {
        self.deadline = [self.deadline, message.deadline].into_iter().flatten().min();
        self.messages.push_back(message);
    }

    pub(super) fn pop(&mut self) -> Option<Delivered> {
        self.messages.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Takes out what has expired. Where order counts, the next one of the same epoch tells that it is missing.
    pub(super) fn expire(&mut self, now: Instant, ordered: bool) -> Vec<Delivered> {
        let mut expired = Vec::new();
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return expired;
        }
        let (mut epoch, mut missing) = (None, 0);
        for mut message in std::mem::take(&mut self.messages) {
            if epoch.replace(message.id.epoch) != Some(message.id.epoch) {
                missing = 0;
            }
            if message.deadline.is_some_and(|deadline| deadline <= now) {
                missing += message.skipped + 1;
                expired.push(message);
                continue;
            }
            if ordered {
                message.skipped += std::mem::take(&mut missing);
            }
            self.messages.push_back(message);
        }
        self.deadline = self.messages.iter().filter_map(|message| message.deadline).min();
        expired
    }
}
