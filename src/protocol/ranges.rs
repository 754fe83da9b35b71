//! A set of sequences: everything below a mark, and ranges above it.
//!
//! This is how acknowledgements and dedup are exact in little memory: numbers come almost in order, so the set
//! is almost always its mark alone. The number of ranges is bounded by the flow-control window of the channel that the
//! numbers belong to, because a sequence beyond the window is never inserted.

use std::collections::BTreeMap;

use crate::id::Sequence;
use crate::wire::Why;

/// A set of sequences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    below: Sequence,
    /// Half-open, ascending, not touching each other or `below`.
    above: Vec<(Sequence, Sequence)>,
}

impl RangeSet {
    /// The set of everything below `below`.
    pub fn all_below(below: Sequence) -> Self {
        Self { below, above: Vec::new() }
    }

    /// Everything below this is in the set, and this is not.
    pub fn below(&self) -> Sequence {
        self.below
    }

    /// The ranges above the mark, half-open and ascending.
    pub fn above(&self) -> &[(Sequence, Sequence)] {
        &self.above
    }

    /// Whether `sequence` is in the set.
    pub fn contains(&self, sequence: Sequence) -> bool {
        sequence < self.below || {
            let after = self.above.partition_point(|&(start, _)| start <= sequence);
            after.checked_sub(1).and_then(|i| self.above.get(i)).is_some_and(|&(_, end)| sequence < end)
        }
    }

    /// The lowest sequence from `sequence` on that is not in the set.
    pub fn first_missing(&self, sequence: Sequence) -> Sequence {
        let sequence = sequence.max(self.below);
        let after = self.above.partition_point(|&(start, _)| start <= sequence);
        let before = after.checked_sub(1).and_then(|i| self.above.get(i));
        before.map_or(sequence, |&(_, end)| sequence.max(end))
    }

    /// Whether everything in the set is below its mark.
    pub fn is_whole(&self) -> bool {
        self.above.is_empty()
    }

    /// The parts of `start..end` that are not in the set, in order.
    pub fn missing(&self, start: Sequence, end: Sequence) -> Vec<(Sequence, Sequence)> {
        let mut missing = Vec::new();
        let mut at = start.max(self.below);
        let first = self.above.partition_point(|&(_, range_end)| range_end <= at);
        for &(range_start, range_end) in self.above.get(first..).unwrap_or_default() {
            if range_start >= end {
                break;
            }
            if at < range_start {
                missing.push((at, range_start));
            }
            at = at.max(range_end);
        }
        if at < end {
            missing.push((at, end));
        }
        missing
    }

    /// Adds one sequence; `false` if it was in the set.
    pub fn insert(&mut self, sequence: Sequence) -> bool {
        if sequence == self.below {
            self.below += 1;
            self.absorb();
            return true;
        }
        if self.contains(sequence) {
            return false;
        }
        self.insert_range(sequence, sequence.saturating_add(1));
        true
    }

    /// Adds everything from `start` up to, not including, `end`.
    pub fn insert_range(&mut self, start: Sequence, end: Sequence) {
        if start >= end || end <= self.below {
            return;
        }
        if start <= self.below {
            self.below = end;
            self.absorb();
            return;
        }
        // All ranges that overlap or touch the new one become part of it.
        let first = self.above.partition_point(|&(_, e)| e < start);
        let last = self.above.partition_point(|&(s, _)| s <= end);
        let (mut low, mut high) = (start, end);
        for &(s, e) in self.above.get(first..last).unwrap_or_default() {
            low = low.min(s);
            high = high.max(e);
        }
        self.above.splice(first..last, [(low, high)]);
    }

    /// Raises the mark over ranges that it now touches or covers.
    fn absorb(&mut self) {
        let mut covered = 0;
        for &(start, end) in &self.above {
            if start > self.below {
                break;
            }
            self.below = self.below.max(end);
            covered += 1;
        }
        self.above.drain(..covered);
    }
}

/// Messages that were not handled, as ranges: start to (end, why).
pub type Passed = BTreeMap<Sequence, (Sequence, Why)>;

/// Adds `start..end`; it joins what is before it for the same reason.
pub fn insert_passed(passed: &mut Passed, start: Sequence, end: Sequence, why: Why) {
    match passed.range_mut(..start).next_back() {
        Some((_, (before, same))) if *before == start && *same == why => *before = end,
        _ => {
            passed.insert(start, (end, why));
        }
    }
}

/// Drops what is below `floor`.
pub fn raise_passed(passed: &mut Passed, floor: Sequence) {
    while let Some(entry) = passed.first_entry().filter(|entry| *entry.key() < floor) {
        let (end, why) = entry.remove();
        if end > floor {
            passed.insert(floor, (end, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn means_the_same_as_a_plain_set(inserts in prop::collection::vec((0u64..60, 0u64..8), 0..60)) {
            let mut ranges = RangeSet::default();
            let mut plain = BTreeSet::new();
            for (start, length) in inserts {
                if length == 0 {
                    prop_assert_eq!(ranges.insert(start), plain.insert(start));
                } else {
                    ranges.insert_range(start, start + length);
                    plain.extend(start..start + length);
                }
                let missing = ranges.missing(5, 70);
                let listed: BTreeSet<u64> = missing.iter().flat_map(|&(start, end)| start..end).collect();
                prop_assert_eq!(listed, (5..70).filter(|s| !plain.contains(s)).collect());
                for sequence in 0..80 {
                    let first_missing = (sequence..).find(|s| !plain.contains(s));
                    prop_assert_eq!(Some(ranges.first_missing(sequence)), first_missing);
                    prop_assert_eq!(ranges.contains(sequence), plain.contains(&sequence), "at {}", sequence);
                }
                let mut last_end = ranges.below();
                for &(start, end) in ranges.above() {
                    prop_assert!(last_end < start && start < end);
                    last_end = end;
                }
            }
        }
    }

    #[test]
    fn in_order_numbers_need_no_ranges() {
        let mut ranges = RangeSet::default();
        for sequence in 0..1000 {
            assert!(ranges.insert(sequence));
        }
        assert_eq!((ranges.below(), ranges.above().len()), (1000, 0));
        assert!(!ranges.insert(999));
    }
}
