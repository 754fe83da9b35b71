//! Exact dedup: which sequences of one sender's epoch have arrived, and which may (guarantee G3, rule N1).
//!
//! Neither a time window nor an LRU: the set is complete above the floor, and the flow-control window bounds it. Unreliable
//! channels have no floor and no window; for them [`Recent`] knows the latest 1,024 sequences, and takes what is older for
//! too late (rule N2).

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

    /// What is missing from `start` to `end` will not come any more, or is not wanted.
    pub fn insert_range(&mut self, start: Sequence, end: Sequence) {
        self.seen.insert_range(start, end);
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

/// How many sequences back an unreliable message may be late.
const RECENT: u64 = 1024;
const WORDS: usize = RECENT as usize / 64;

/// Which of the latest sequences of an unreliable channel have arrived.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// One past the highest sequence that has arrived; `None` before the first.
    next: Option<Sequence>,
    /// The bit of a sequence is its number modulo [`RECENT`].
    seen: [u64; WORDS],
    missing: u64,
}

/// What an unreliable message that arrives is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recency {
    /// Newer than all before.
    Newest,
    /// New, but not newer than all before.
    Late,
    /// It has arrived before.
    Duplicate,
    /// So late that nobody knows.
    TooLate,
}

impl Recent {
    /// Judges `sequence` and remembers it if it is new.
    pub fn admit(&mut self, sequence: Sequence) -> Recency {
        let Some(next) = self.next else {
            // What was sent before is nobody's loss.
            self.seen = [u64::MAX; WORDS];
            self.next = Some(sequence + 1);
            return Recency::Newest;
        };
        if sequence < next {
            if next - sequence > RECENT {
                return Recency::TooLate;
            }
            return if self.set(sequence) { Recency::Late } else { Recency::Duplicate };
        }
        // Each sequence that comes into the window pushes one out of it.
        let pushed = (sequence - next).min(RECENT);
        for new in sequence - pushed..sequence {
            self.missing += u64::from(!self.clear(new));
        }
        self.missing += sequence - next - pushed;
        self.missing += u64::from(!self.clear(sequence));
        self.set(sequence);
        self.next = Some(sequence + 1);
        Recency::Newest
    }

    /// Whether nothing has arrived yet.
    pub fn is_fresh(&self) -> bool {
        self.next.is_none()
    }

    /// Messages that did not come while they could still have been taken.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Whether the bit was not set.
    fn set(&mut self, sequence: Sequence) -> bool {
        let (word, bit) = place(sequence);
        let Some(word) = self.seen.get_mut(word) else { return false };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Whether the bit was set.
    fn clear(&mut self, sequence: Sequence) -> bool {
        let (word, bit) = place(sequence);
        let Some(word) = self.seen.get_mut(word) else { return true };
        let was = *word & bit != 0;
        *word &= !bit;
        was
    }
}

fn place(sequence: Sequence) -> (usize, u64) {
    let index = (sequence % RECENT) as usize;
    (index / 64, 1 << (index % 64))
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

    #[test]
    fn a_recent_sequence_is_new_once() {
        let mut recent = Recent::default();
        let judged: Vec<_> = [10, 12, 11, 12, 11, 9, 13].into_iter().map(|s| recent.admit(s)).collect();
        use Recency::{Duplicate, Late, Newest};
        // What came before the first is taken for seen: nobody can tell.
        assert_eq!(judged, [Newest, Newest, Late, Duplicate, Duplicate, Duplicate, Newest]);
    }

    /// In small steps, and in some that are as long as the window or longer, forwards and back.
    #[test]
    fn recent_sequences_are_judged_and_missed_as_a_plain_set_would() {
        let (mut recent, mut came) = (Recent::default(), std::collections::BTreeSet::from([5000]));
        assert_eq!(recent.admit(5000), Recency::Newest);
        let (mut next, mut missing, mut step) = (5001, 0, 7_u64);
        for _ in 0..3000 {
            step = step * 1_103_515_245 % 2_147_483_647;
            let sequence = match step % 100 {
                0..60 => next + step / 100 % 4,
                60..95 => next - 1 - step / 100 % 30,
                95..98 => next - 1020 - step / 100 % 10,
                _ => next + 1015 + step / 100 % 20,
            };
            let expected = match sequence {
                _ if sequence >= next => Recency::Newest,
                _ if next - sequence > 1024 => Recency::TooLate,
                _ if sequence < 5000 || came.contains(&sequence) => Recency::Duplicate,
                _ => Recency::Late,
            };
            assert_eq!(recent.admit(sequence), expected, "{sequence} before {next}");
            if matches!(expected, Recency::Newest | Recency::Late) {
                came.insert(sequence);
            }
            let out = next - 1024..next.max(sequence + 1) - 1024;
            missing += out.filter(|out| *out > 5000 && !came.contains(out)).count() as u64;
            next = next.max(sequence + 1);
            assert_eq!(recent.missing(), missing);
        }
    }

    #[test]
    fn what_is_more_than_1024_late_is_too_late_and_was_counted_as_missing() {
        let mut recent = Recent::default();
        recent.admit(0);
        recent.admit(2);
        for sequence in 3..=1025 {
            assert_eq!(recent.admit(sequence), Recency::Newest);
        }
        assert_eq!((recent.missing(), recent.clone().admit(1)), (1, Recency::TooLate));
        let mut recent = Recent::default();
        recent.admit(0);
        recent.admit(5000);
        assert_eq!(recent.missing(), 4999 - 1023);
        assert_eq!(recent.admit(4999), Recency::Late);
        assert_eq!(recent.admit(3977), Recency::Late);
        assert_eq!(recent.admit(3976), Recency::TooLate);
    }
}
