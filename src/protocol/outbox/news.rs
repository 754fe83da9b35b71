//! Which messages have come further since somebody asked: for receipts, so that only those are looked at again.

use super::Outbox;
use crate::id::Sequence;

/// Ranges that are kept apart until somebody asks.
const MAX_RANGES: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct News {
    ranges: Vec<(Sequence, Sequence)>,
}

impl News {
    /// The messages from `start` to `end` have come further.
    pub(super) fn note(&mut self, start: Sequence, end: Sequence) {
        super::note(&mut self.ranges, start, end);
        if self.ranges.len() > MAX_RANGES {
            let lowest = self.ranges.iter().map(|&(start, _)| start).min().unwrap_or(start);
            let highest = self.ranges.iter().map(|&(_, end)| end).max().unwrap_or(end);
            self.ranges = vec![(lowest, highest)];
        }
    }
}

impl Outbox {
    /// The messages whose [`progress`](Self::progress) has changed since this was asked last, half-open and in no order.
    /// When nobody has asked for long, those between them as well.
    pub fn take_progressed(&mut self) -> Vec<(Sequence, Sequence)> {
        std::mem::take(&mut self.news.ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_stays_small_and_loses_nothing() {
        let mut news = News::default();
        for sequence in 0..10_000 {
            news.note(2 * sequence + 7, 2 * sequence + 8);
        }
        assert!(news.ranges.len() <= MAX_RANGES);
        for sequence in 0..10_000 {
            let sequence = 2 * sequence + 7;
            assert!(news.ranges.iter().any(|&(start, end)| (start..end).contains(&sequence)), "{sequence}");
        }
    }
}
