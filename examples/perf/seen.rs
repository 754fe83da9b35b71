//! Which numbers have been seen: exact, however they come.

use std::collections::VecDeque;

/// Numbers beyond the first missing one that are told apart: 32 MiB of bits.
const SPAN_MAX: u64 = 1 << 28;

/// A set of numbers that mostly come in order, each once.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// All below are in the set.
    floor: u64,
    /// From the floor on, a bit each. The last word is not zero.
    words: VecDeque<u64>,
    /// One more than the highest.
    next: u64,
}

/// What a number is to the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The highest so far.
    Newer,
    /// New, and lower than the highest.
    Older,
    /// It is in the set already.
    Again,
    /// So far beyond all others that nobody can have counted up to it.
    Absurd,
}

impl Seen {
    /// One more than the highest number.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Adds a number.
    pub(crate) fn insert(&mut self, number: u64) -> Found {
        let Some(place) = number.checked_sub(self.floor) else { return Found::Again };
        if place >= SPAN_MAX {
            return Found::Absurd;
        }
        if place == 0 && self.words.is_empty() {
            self.floor += 1;
        } else if !self.mark(place) {
            return Found::Again;
        }
        if number < self.next {
            return Found::Older;
        }
        self.next = number + 1;
        Found::Newer
    }

    /// Sets a bit beyond the floor. Whether it was clear.
    fn mark(&mut self, place: u64) -> bool {
        let (index, bit) = ((place / 64) as usize, 1 << (place % 64));
        if index >= self.words.len() {
            self.words.resize(index + 1, 0);
        }
        let word = &mut self.words[index];
        if *word & bit != 0 {
            return false;
        }
        *word |= bit;
        while self.words.front() == Some(&u64::MAX) {
            self.words.pop_front();
            self.floor += 64;
        }
        // Without a gap the floor says it all.
        if let Some(&word) = self.words.front()
            && self.words.len() == 1
            && word & (word + 1) == 0
        {
            self.words.clear();
            self.floor += u64::from(word.trailing_ones());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn in_order_nothing_is_kept_but_the_floor() {
        let mut seen = Seen::default();
        for number in 0..1000 {
            assert_eq!(seen.insert(number), Found::Newer);
        }
        assert_eq!((seen.floor, seen.words.len(), seen.next()), (1000, 0, 1000));
        assert_eq!(seen.insert(999), Found::Again);
    }

    #[test]
    fn a_gap_that_is_filled_is_forgotten() {
        let mut seen = Seen::default();
        for number in (1..=300).rev() {
            assert_eq!(seen.insert(number), if number == 300 { Found::Newer } else { Found::Older });
        }
        assert_eq!(seen.floor, 0);
        assert_eq!(seen.insert(0), Found::Older);
        assert_eq!((seen.floor, seen.words.len(), seen.next()), (301, 0, 301));
    }

    #[test]
    fn what_nobody_can_have_counted_to_takes_no_memory() {
        let mut seen = Seen::default();
        assert_eq!(seen.insert(1 << 39), Found::Absurd);
        assert_eq!((seen.words.len(), seen.next()), (0, 0));
    }

    #[test]
    fn it_is_a_set() {
        let (mut seen, mut model) = (Seen::default(), BTreeSet::new());
        let mut dice = 1_u64;
        for _ in 0..20_000 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = (dice >> 33) % 4096;
            let newest = model.last().is_none_or(|highest| number > *highest);
            let expected = match model.insert(number) {
                false => Found::Again,
                true if newest => Found::Newer,
                true => Found::Older,
            };
            assert_eq!(seen.insert(number), expected, "{number}");
        }
    }
}
