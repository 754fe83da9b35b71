//! How much an outbox holds and may hold, and how messages ended.

use bytes::Bytes;

use crate::config::LARGE;
use crate::error::Outcome;

/// Most that an outbox holds of what is unresolved.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages.
    pub messages: usize,
    /// Payload bytes, those of large messages not counted.
    pub bytes: usize,
    /// Payload bytes of large messages.
    pub large: usize,
}

impl Limits {
    /// None.
    pub const UNLIMITED: Self = Self { messages: usize::MAX, bytes: usize::MAX, large: usize::MAX };
}

/// What an outbox holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Unresolved messages.
    pub messages: usize,
    /// Payload bytes of those that are not large.
    pub bytes: usize,
    /// Payload bytes of those that are.
    pub large: usize,
}

/// How many messages ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as the outcomes are")]
pub struct Ended {
    pub handled: u64,
    pub rejected: u64,
    pub expired: u64,
    pub superseded: u64,
    pub cancelled: u64,
    pub dropped: u64,
    pub unknown: u64,
}

/// Which of the peer's windows a message of `size` bytes counts in.
pub(super) fn used_by<'a>(size: u32, small: &'a mut u64, large: &'a mut u64) -> &'a mut u64 {
    if size as usize > LARGE { large } else { small }
}

impl Held {
    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        *self.of(bytes) += bytes;
    }

    /// The payload is not needed any more.
    pub(super) fn free(&mut self, payload: &mut Bytes) {
        let bytes = payload.len();
        *self.of(bytes) -= bytes;
        *payload = Bytes::new();
    }

    fn of(&mut self, bytes: usize) -> &mut usize {
        if bytes > LARGE { &mut self.large } else { &mut self.bytes }
    }
}

impl Ended {
    pub(super) fn add(&mut self, outcome: &Outcome, count: u64) {
        *match outcome {
            Outcome::Handled => &mut self.handled,
            Outcome::Rejected { .. } => &mut self.rejected,
            Outcome::Expired => &mut self.expired,
            Outcome::Superseded => &mut self.superseded,
            Outcome::Cancelled => &mut self.cancelled,
            Outcome::Dropped => &mut self.dropped,
            Outcome::Unknown => &mut self.unknown,
        } += count;
    }
}
