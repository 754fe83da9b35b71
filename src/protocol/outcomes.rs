//! What became of messages that did not end as handled.
//!
//! A handled message needs no memory: it is below the floor and has no entry here. So a receipt costs nothing,
//! and only exceptions are kept, as ranges, for whoever still holds their receipts. Their number is bounded: when
//! it is reached the oldest are forgotten, and what lies below them is then answered with the truth that is left,
//! [`Outcome::Unknown`].

use std::collections::BTreeMap;

use crate::error::Outcome;
use crate::id::Sequence;

/// Ranges of sequences with an outcome other than handled.
#[derive(Debug)]
pub struct Outcomes {
    /// Start to (end, outcome). Ranges do not overlap.
    ranges: BTreeMap<Sequence, (Sequence, Outcome)>,
    /// Below this, exceptions may have been forgotten.
    horizon: Sequence,
    limit: usize,
}

impl Outcomes {
    /// Keeps at most `limit` ranges.
    pub fn new(limit: usize) -> Self {
        Self { ranges: BTreeMap::new(), horizon: 0, limit }
    }

    /// Remembers how `start..end` ended. The caller tells each sequence at most once.
    pub fn record_range(&mut self, start: Sequence, end: Sequence, outcome: &Outcome) {
        if *outcome == Outcome::Handled {
            return;
        }
        match self.ranges.range_mut(..start).next_back() {
            Some((_, (before, same))) if *before == start && same == outcome => *before = end,
            _ => {
                self.ranges.insert(start, (end, outcome.clone()));
            }
        }
        self.limit_to(self.limit);
    }

    /// Keeps at most `limit` ranges from now on.
    pub fn limit_to(&mut self, limit: usize) {
        self.limit = limit;
        while self.ranges.len() > limit {
            if let Some((_, (end, _))) = self.ranges.pop_first() {
                self.horizon = self.horizon.max(end);
            }
        }
    }

    /// How a resolved `sequence` ended.
    pub fn of(&self, sequence: Sequence) -> Outcome {
        match self.ranges.range(..=sequence).next_back() {
            Some((_, (end, outcome))) if sequence < *end => outcome.clone(),
            _ if sequence < self.horizon => Outcome::Unknown,
            _ => Outcome::Handled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected() -> Outcome {
        Outcome::Rejected { reason: "no".into() }
    }

    #[test]
    fn neighbours_with_one_outcome_share_a_range() {
        let mut outcomes = Outcomes::new(8);
        for sequence in 10..20_000 {
            outcomes.record_range(sequence, sequence + 1, &Outcome::Unknown);
        }
        outcomes.record_range(20_000, 20_001, &rejected());
        assert_eq!(outcomes.ranges.len(), 2);
        assert_eq!(outcomes.of(9), Outcome::Handled);
        assert_eq!(outcomes.of(10), Outcome::Unknown);
        assert_eq!(outcomes.of(19_999), Outcome::Unknown);
        assert_eq!(outcomes.of(20_000), rejected());
        assert_eq!(outcomes.of(20_001), Outcome::Handled);
    }

    #[test]
    fn beyond_the_limit_the_answer_is_unknown_and_never_handled() {
        let mut outcomes = Outcomes::new(2);
        for sequence in [1, 3, 5] {
            outcomes.record_range(sequence, sequence + 1, &rejected());
        }
        assert_eq!(outcomes.of(1), Outcome::Unknown);
        assert_eq!(outcomes.of(0), Outcome::Unknown);
        assert_eq!(outcomes.of(3), rejected());
        assert_eq!(outcomes.of(4), Outcome::Handled);
        outcomes.limit_to(1);
        assert_eq!((outcomes.of(3), outcomes.of(4)), (Outcome::Unknown, Outcome::Handled));
        assert_eq!((outcomes.of(5), outcomes.of(6)), (rejected(), Outcome::Handled));
    }
}
