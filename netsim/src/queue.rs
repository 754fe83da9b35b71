//! What is due when: a heap ordered by (nanosecond, sequence).

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::time::Time;

/// Items with the moment each is due. Items due at the same nanosecond come out in the order they went in.
#[derive(Clone, Debug)]
pub(crate) struct EventHeap<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    sequence: u64,
}

impl<T> EventHeap<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0 }
    }

    pub(crate) fn push(&mut self, due: Time, item: T) {
        self.sequence += 1;
        self.heap.push(Reverse(Entry { due, sequence: self.sequence, item }));
    }

    /// The item that is due first, with its moment, if that moment has come.
    pub(crate) fn pop(&mut self, now: Time) -> Option<(Time, T)> {
        if self.next_due()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| (entry.due, entry.item))
    }

    pub(crate) fn next_due(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(entry)| entry.due)
    }
}

#[derive(Clone, Debug)]
struct Entry<T> {
    due: Time,
    sequence: u64,
    item: T,
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_ties_keep_their_order() {
        let mut heap = EventHeap::new();
        for (due, item) in [(5, 'c'), (3, 'a'), (5, 'd'), (3, 'b'), (9, 'e')] {
            heap.push(Time::from_nanos(due), item);
        }
        assert_eq!(heap.next_due(), Some(Time::from_nanos(3)));
        let out: String =
            std::iter::from_fn(|| heap.pop(Time::from_nanos(8))).map(|(_, item)| item).collect();
        assert_eq!(out, "abcd");
        assert_eq!(heap.next_due(), Some(Time::from_nanos(9)));
    }
}
