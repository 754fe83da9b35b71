//! Order: what arrived early waits for what is missing before it (guarantee G4). Without an order nothing waits.
//!
//! ```text
//!  insert ──> early ──(the gap closes, or is passed over)──> ready ──> pop
//! ```

use std::collections::{BTreeMap, VecDeque};

use super::ranges::RangeSet;
use crate::id::Sequence;

/// Items of one channel on their way to being handed over.
#[derive(Debug)]
pub struct Reorder<T> {
    ordered: bool,
    /// The lowest sequence that is not ready yet.
    next: Sequence,
    early: BTreeMap<Sequence, T>,
    /// Nothing will come with these: the row goes on over them.
    passed: RangeSet,
    ready: VecDeque<(Sequence, T)>,
}

impl<T> Reorder<T> {
    /// Nothing has arrived yet. If not `ordered`, everything is ready at once.
    pub fn new(ordered: bool) -> Self {
        Self { ordered, next: 0, early: BTreeMap::new(), passed: RangeSet::default(), ready: VecDeque::new() }
    }

    /// Takes an item that has not been inserted before (the caller dedups).
    pub fn insert(&mut self, sequence: Sequence, item: T) {
        if !self.ordered {
            self.ready.push_back((sequence, item));
        } else if sequence == self.next {
            self.ready.push_back((sequence, item));
            self.next += 1;
            self.advance();
        } else {
            self.early.insert(sequence, item);
        }
    }

    /// What has not been inserted from `start` to `end` will never come, or is done already: go on without it.
    pub fn pass(&mut self, start: Sequence, end: Sequence) {
        if self.ordered {
            self.passed.insert_range(start, end);
            self.advance();
        }
    }

    /// What is missing below `floor` will never come.
    pub fn raise_floor(&mut self, floor: Sequence) {
        self.pass(0, floor);
    }

    fn advance(&mut self) {
        if self.early.is_empty() && self.passed.is_whole() && self.passed.below() <= self.next {
            return;
        }
        loop {
            if let Some(item) = self.early.remove(&self.next) {
                self.ready.push_back((self.next, item));
                self.next += 1;
                continue;
            }
            // Items before the end of what is passed still stand in the row.
            let end = self.passed.first_missing(self.next);
            let item = self.early.range(self.next..end).next().map(|(&sequence, _)| sequence);
            let on = item.unwrap_or(end);
            if on == self.next {
                break;
            }
            self.next = on;
        }
        self.passed.insert_range(0, self.next);
    }

    /// The next item.
    pub fn pop(&mut self) -> Option<(Sequence, T)> {
        self.ready.pop_front()
    }

    /// Takes out the item with this sequence; the row goes on over it.
    pub fn remove(&mut self, sequence: Sequence) -> Option<T> {
        if let Some(item) = self.early.remove(&sequence) {
            self.pass(sequence, sequence + 1);
            return Some(item);
        }
        let index = match self.ordered {
            true => self.ready.binary_search_by_key(&sequence, |&(sequence, _)| sequence).ok(),
            false => self.ready.iter().position(|&(found, _)| found == sequence),
        };
        index.and_then(|index| self.ready.remove(index)).map(|(_, item)| item)
    }

    /// The item with this sequence.
    pub fn get_mut(&mut self, sequence: Sequence) -> Option<&mut T> {
        if self.early.contains_key(&sequence) {
            return self.early.get_mut(&sequence);
        }
        self.ready.iter_mut().find(|(found, _)| *found == sequence).map(|(_, item)| item)
    }

    /// Every item, early ones too.
    pub fn iter(&self) -> impl Iterator<Item = (Sequence, &T)> {
        let early = self.early.iter().map(|(&sequence, item)| (sequence, item));
        self.ready.iter().map(|(sequence, item)| (*sequence, item)).chain(early)
    }

    /// Whether `pop` has something.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Removes every item, in order, early ones too.
    pub fn drain(&mut self) -> impl Iterator<Item = (Sequence, T)> + use<T> {
        let ready = std::mem::take(&mut self.ready);
        let early = std::mem::take(&mut self.early);
        ready.into_iter().chain(early)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn popped(reorder: &mut Reorder<()>) -> Vec<Sequence> {
        std::iter::from_fn(|| reorder.pop().map(|(sequence, ())| sequence)).collect()
    }

    #[test]
    fn early_items_wait_for_the_gap() {
        let mut reorder = Reorder::new(true);
        for sequence in [2, 1, 4] {
            reorder.insert(sequence, ());
        }
        assert_eq!(popped(&mut reorder), []);
        reorder.insert(0, ());
        assert_eq!(popped(&mut reorder), [0, 1, 2]);
        reorder.insert(3, ());
        assert_eq!(popped(&mut reorder), [3, 4]);
    }

    #[test]
    fn the_floor_skips_only_what_is_missing() {
        let mut reorder = Reorder::new(true);
        for sequence in [1, 3, 6] {
            reorder.insert(sequence, ());
        }
        reorder.raise_floor(5);
        assert_eq!(popped(&mut reorder), [1, 3]);
        reorder.insert(5, ());
        assert_eq!(popped(&mut reorder), [5, 6]);
        reorder.raise_floor(2);
        reorder.insert(7, ());
        assert_eq!(popped(&mut reorder), [7], "a floor never falls");
    }

    #[test]
    fn what_is_done_already_is_passed_over() {
        let mut reorder = Reorder::new(true);
        reorder.pass(1, 2);
        reorder.insert(2, ());
        assert_eq!(popped(&mut reorder), []);
        reorder.insert(0, ());
        assert_eq!(popped(&mut reorder), [0, 2]);
    }

    #[test]
    fn what_is_passed_over_does_not_take_what_has_arrived_with_it() {
        let mut reorder = Reorder::new(true);
        [3, 6, 9].into_iter().for_each(|sequence| reorder.insert(sequence, ()));
        reorder.pass(0, 8);
        assert_eq!(popped(&mut reorder), [3, 6]);
        assert!(reorder.remove(9).is_some() && reorder.remove(9).is_none());
        reorder.insert(8, ());
        reorder.insert(10, ());
        assert_eq!(popped(&mut reorder), [8, 10], "the row goes on over what was taken out");
    }

    #[test]
    fn without_an_order_nothing_waits() {
        let mut reorder = Reorder::new(false);
        [7, 2, 5].into_iter().for_each(|sequence| reorder.insert(sequence, ()));
        assert!(reorder.remove(2).is_some());
        reorder.raise_floor(6);
        assert_eq!(popped(&mut reorder), [7, 5]);
    }
}
