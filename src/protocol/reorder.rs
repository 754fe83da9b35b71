//! Order: what arrived early waits for what is missing before it (guarantee G4).
//!
//! ```text
//!  insert ──> early ──(the gap closes, or the floor passes it)──> ready ──> pop
//! ```

use std::collections::{BTreeMap, VecDeque};

use crate::id::Sequence;

/// Items of one channel on their way to being handed over in order.
#[derive(Debug)]
pub struct Reorder<T> {
    /// The lowest sequence that is not ready yet.
    next: Sequence,
    /// `None` for a sequence that is done already, and only stands in the row.
    early: BTreeMap<Sequence, Option<T>>,
    ready: VecDeque<(Sequence, T)>,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Self { next: 0, early: BTreeMap::new(), ready: VecDeque::new() }
    }
}

impl<T> Reorder<T> {
    /// Takes an item that has not been inserted before (the caller dedups).
    pub fn insert(&mut self, sequence: Sequence, item: T) {
        if sequence == self.next {
            self.ready.push_back((sequence, item));
            self.next += 1;
            self.advance();
        } else {
            self.early.insert(sequence, Some(item));
        }
    }

    /// `sequence` is done already: the row goes on over it.
    pub fn pass(&mut self, sequence: Sequence) {
        if sequence >= self.next {
            self.early.insert(sequence, None);
            self.advance();
        }
    }

    /// What is missing below `floor` will never come: go on without it.
    pub fn raise_floor(&mut self, floor: Sequence) {
        while self.next < floor {
            match self.early.first_entry() {
                Some(entry) if *entry.key() < floor => {
                    let (sequence, item) = entry.remove_entry();
                    self.ready.extend(item.map(|item| (sequence, item)));
                    self.next = sequence + 1;
                }
                _ => self.next = floor,
            }
        }
        self.advance();
    }

    fn advance(&mut self) {
        while let Some(entry) = self.early.first_entry() {
            if *entry.key() != self.next {
                break;
            }
            let (sequence, item) = entry.remove_entry();
            self.ready.extend(item.map(|item| (sequence, item)));
            self.next += 1;
        }
    }

    /// The next item in order.
    pub fn pop(&mut self) -> Option<(Sequence, T)> {
        self.ready.pop_front()
    }

    /// Every item, early ones too.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.ready.iter().map(|(_, item)| item).chain(self.early.values().flatten())
    }

    /// Whether `pop` has something.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Removes every item, in order, early ones too.
    pub fn drain(&mut self) -> impl Iterator<Item = (Sequence, T)> + use<T> {
        let ready = std::mem::take(&mut self.ready);
        let early = std::mem::take(&mut self.early);
        ready.into_iter().chain(early.into_iter().filter_map(|(sequence, item)| Some((sequence, item?))))
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
        let mut reorder = Reorder::default();
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
        let mut reorder = Reorder::default();
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
        let mut reorder = Reorder::default();
        reorder.pass(1);
        reorder.insert(2, ());
        assert_eq!(popped(&mut reorder), []);
        reorder.insert(0, ());
        assert_eq!(popped(&mut reorder), [0, 2]);
    }
}
