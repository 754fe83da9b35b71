//! A growing set of sequences of which the other side is told: each part once on a link, and all of it again on the next,
//! because a link loses nothing while it lives, and everything when it dies.

use std::collections::VecDeque;

use super::ranges::RangeSet;
use crate::id::Sequence;

/// A growing set, and its part not yet told on this link.
#[derive(Debug, Default)]
pub struct Told {
    all: RangeSet,
    news: VecDeque<(Sequence, Sequence)>,
}

impl Told {
    /// A set that an earlier process left. Nothing of it is news until `retell`.
    pub fn restore(all: RangeSet) -> Self {
        Self { all, news: VecDeque::new() }
    }

    /// The set.
    pub fn all(&self) -> &RangeSet {
        &self.all
    }

    /// Adds one sequence.
    pub fn insert(&mut self, sequence: Sequence) {
        if self.all.insert(sequence) {
            self.note(sequence, sequence.saturating_add(1));
        }
    }

    /// Adds everything from `start` up to, not including, `end`.
    pub fn insert_range(&mut self, start: Sequence, end: Sequence) {
        for (start, end) in self.all.missing(start, end) {
            self.note(start, end);
        }
        self.all.insert_range(start, end);
    }

    fn note(&mut self, start: Sequence, end: Sequence) {
        match self.news.back_mut() {
            Some((_, last)) if *last == start => *last = end,
            _ => self.news.push_back((start, end)),
        }
    }

    /// Adds everything below `floor`. The mark itself is news, in the place of all below it: a window may count from what was
    /// told.
    pub fn raise(&mut self, floor: Sequence) {
        if floor > self.all.below() {
            self.forget_below(floor);
            self.news.push_back((floor - 1, floor));
        }
    }

    /// Adds everything below `floor`, of which nobody needs to be told any more.
    pub fn forget_below(&mut self, floor: Sequence) {
        self.all.insert_range(0, floor);
        if !self.news.is_empty() {
            self.news.retain(|&(_, end)| end > floor);
        }
    }

    /// A new link: all of it is news.
    pub fn retell(&mut self) {
        self.news = self.all.above().iter().copied().collect();
        if self.all.below() > 0 {
            self.news.push_front((0, self.all.below()));
        }
    }

    /// Whether something was not told yet on this link.
    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// Whether something from `floor` to `limit` was not told yet on this link.
    pub fn has_news_within(&self, floor: Sequence, limit: Sequence) -> bool {
        self.news.iter().any(|&(start, end)| start < limit && end > floor)
    }

    /// At most `count` ranges of news from `floor` to `limit`, ascending and not touching. What lies beyond stays news.
    pub fn tell_within(
        &mut self,
        floor: Sequence,
        limit: Sequence,
        count: usize,
    ) -> Vec<(Sequence, Sequence)> {
        let (mut ranges, mut later) = (Vec::new(), VecDeque::new());
        while let Some((start, end)) = self.news.pop_front() {
            let start = start.max(floor);
            if start >= end {
            } else if start >= limit || ranges.len() >= count {
                later.push_back((start, end));
            } else {
                ranges.push((start, end.min(limit)));
                if end > limit {
                    later.push_back((limit, end));
                }
            }
        }
        self.news = later;
        normalised(ranges)
    }

    /// What to tell now: the mark, and at most `limit` ranges of news above it, ascending and not touching.
    pub fn tell(&mut self, limit: usize) -> (Sequence, Vec<(Sequence, Sequence)>) {
        let below = self.all.below();
        let mut ranges = Vec::new();
        while ranges.len() < limit {
            match self.news.pop_front() {
                None => break,
                Some((_, end)) if end <= below => {}
                Some((start, end)) => ranges.push((start.max(below), end)),
            }
        }
        (below, normalised(ranges))
    }
}

/// Sorted and merged, so that the ranges ascend without touching each other.
fn normalised(mut ranges: Vec<(Sequence, Sequence)>) -> Vec<(Sequence, Sequence)> {
    ranges.sort_unstable();
    let mut merged: Vec<(Sequence, Sequence)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match merged.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ => merged.push((start, end)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_told_once_a_link_and_all_of_it_on_the_next() {
        let mut told = Told::default();
        [0, 1, 5].into_iter().for_each(|sequence| told.insert(sequence));
        told.insert_range(3, 6);
        assert_eq!(told.tell(9), (2, vec![(3, 6)]));
        assert!(!told.has_news());
        told.insert_range(4, 8);
        assert_eq!(told.tell(9), (2, vec![(6, 8)]));
        told.insert(2);
        assert_eq!(told.tell(9), (8, vec![]));
        told.retell();
        assert!(told.has_news());
        assert_eq!(told.tell(9), (8, vec![]));
        assert!(!told.has_news());
    }

    #[test]
    fn a_floor_that_rises_while_nothing_can_be_told_leaves_one_mark() {
        let mut told = Told::default();
        for floor in 1..1000 {
            told.insert(2 * floor + 1);
            told.raise(2 * floor);
            assert!(told.news.len() <= 2, "G10: {:?}", told.news);
        }
        assert_eq!(told.tell(9), (1998, vec![(1999, 2000)]));
        assert!(!told.has_news());
    }

    #[test]
    fn what_touches_the_floor_is_told_again_as_a_whole() {
        let mut told = Told::default();
        told.forget_below(2);
        told.insert_range(2, 5);
        assert_eq!(told.tell_within(2, 100, 9), [(2, 5)]);
        told.retell();
        assert_eq!(told.tell_within(2, 100, 9), [(2, 5)]);
    }
}
