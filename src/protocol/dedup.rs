//! Exact dedup: which sequences of one sender's epoch have arrived, and which may (guarantee G3, rule N1).
//!
//! Neither a time window nor an LRU: the set is complete above the floor, and the flow-control window bounds it.

use super::ranges::RangeSet;
use crate::id::Sequence;

/// What has arrived of one channel.
#[derive(Clone, Debug, Default)]
pub struct Dedup {
    seen: RangeSet,
}

/// What to do with an arriving sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is new.
    New,
    /// It has arrived before, or its sender has given it up.
    Duplicate,
    /// Its sender was not allowed to send it.
    BeyondWindow,
}

impl Dedup {
    /// With these having arrived in an earlier process.
    pub fn restore(seen: RangeSet) -> Self {
        Self { seen }
    }

    /// Judges `sequence` and remembers it if it is new. `resolved_below` is the lowest sequence whose end the
    /// receiver does not know; the sender may go `window` messages above it.
    pub fn admit(&mut self, sequence: Sequence, resolved_below: Sequence, window: u64) -> Admission {
        if sequence >= resolved_below.saturating_add(window) {
            return Admission::BeyondWindow;
        }
        if self.seen.insert(sequence) { Admission::New } else { Admission::Duplicate }
    }

    /// The sender has resolved everything below `floor`; what is missing there will not come any more.
    pub fn raise_floor(&mut self, floor: Sequence) {
        self.seen.insert_range(0, floor);
    }

    /// What has arrived or was given up.
    pub fn seen(&self) -> &RangeSet {
        &self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sequence_is_new_once_in_any_order() {
        let mut dedup = Dedup::default();
        for sequence in [3, 0, 1, 7, 2] {
            assert_eq!(dedup.admit(sequence, 0, 8), Admission::New);
        }
        for sequence in [0, 1, 2, 3, 7] {
            assert_eq!(dedup.admit(sequence, 0, 8), Admission::Duplicate);
        }
    }

    #[test]
    fn the_window_starts_at_the_lowest_unresolved_sequence() {
        let mut dedup = Dedup::default();
        assert_eq!(dedup.admit(8, 0, 8), Admission::BeyondWindow);
        assert_eq!(dedup.admit(8, 1, 8), Admission::New);
        assert_eq!(dedup.admit(Sequence::MAX, Sequence::MAX - 1, 8), Admission::BeyondWindow);
    }

    #[test]
    fn what_is_below_the_floor_never_comes_again() {
        let mut dedup = Dedup::default();
        dedup.raise_floor(5);
        assert_eq!(dedup.admit(4, 5, 8), Admission::Duplicate);
        assert_eq!(dedup.admit(5, 5, 8), Admission::New);
    }
}
