//! What a receiver has to tell the sender of one channel: what it holds, what is handled, and why not (rule G5).
//!
//! Everything told is state, not events: sets grow, and telling twice is harmless. On one link each change is told
//! once, because the control stream loses nothing; a new link is told everything again. With a journal, a change
//! may be told only when its record is durable (rule R4): until then it waits in `unsettled`.

use std::collections::{BTreeMap, VecDeque};

use super::ranges::RangeSet;
use crate::id::Sequence;

/// Most ranges of one kind in one [`Report`], so that it travels in one piece.
const MAX_RANGES: usize = 100;
/// Most verdicts in one [`Report`].
const MAX_VERDICTS: usize = 8;

/// What the sender of one channel has been, and is to be, told.
#[derive(Debug, Default)]
pub struct Ledger {
    received: Told,
    handled: Told,
    verdicts: BTreeMap<Sequence, String>,
    /// Verdicts not yet told on this link.
    new_verdicts: VecDeque<Sequence>,
    /// Notes whose journal batch is not durable yet.
    unsettled: VecDeque<(u64, Note)>,
}

/// A growing set, and its part not yet told on this link.
#[derive(Debug, Default)]
struct Told {
    all: RangeSet,
    news: VecDeque<(Sequence, Sequence)>,
}

#[derive(Debug)]
enum Note {
    Received(Sequence),
    Handled(Sequence, Option<String>),
}

/// Something to tell. Ranges are half-open and lie above their `below`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// All below is held.
    pub received_below: Sequence,
    /// Held above that, as far as it is news.
    pub received: Vec<(Sequence, Sequence)>,
    /// All below is resolved.
    pub handled_below: Sequence,
    /// Resolved above that, as far as it is news.
    pub handled: Vec<(Sequence, Sequence)>,
    /// Resolved otherwise than handled, as far as it is news.
    pub verdicts: Vec<(Sequence, String)>,
}

impl Ledger {
    /// As an earlier process left it. Nothing is news until `retell`.
    pub fn restore(received: RangeSet, handled: RangeSet, verdicts: BTreeMap<Sequence, String>) -> Self {
        let told = |all| Told { all, news: VecDeque::new() };
        Self { received: told(received), handled: told(handled), verdicts, ..Self::default() }
    }

    /// `sequence` is held; durable with journal batch `batch`.
    pub fn note_received(&mut self, sequence: Sequence, batch: u64, durable: u64) {
        self.note(Note::Received(sequence), batch, durable);
    }

    /// `sequence` is resolved: handled, or with a verdict.
    pub fn note_handled(&mut self, sequence: Sequence, verdict: Option<String>, batch: u64, durable: u64) {
        self.note(Note::Handled(sequence, verdict), batch, durable);
    }

    fn note(&mut self, note: Note, batch: u64, durable: u64) {
        if batch <= durable && self.unsettled.is_empty() {
            self.apply(note);
        } else {
            self.unsettled.push_back((batch, note));
        }
    }

    /// Records up to `batch` are durable. Returns whether there is news to tell.
    pub fn settle(&mut self, batch: u64) -> bool {
        while self.unsettled.front().is_some_and(|&(needs, _)| needs <= batch) {
            if let Some((_, note)) = self.unsettled.pop_front() {
                self.apply(note);
            }
        }
        self.has_news()
    }

    fn apply(&mut self, note: Note) {
        match note {
            Note::Received(sequence) => self.received.insert(sequence),
            Note::Handled(sequence, verdict) => {
                self.handled.insert(sequence);
                if let Some(reason) = verdict {
                    self.verdicts.insert(sequence, reason);
                    self.new_verdicts.push_back(sequence);
                }
            }
        }
    }

    /// The sender has resolved everything below `floor`, and needs no verdict there any more.
    pub fn raise_floor(&mut self, floor: Sequence) {
        self.received.raise(floor);
        self.handled.raise(floor);
        self.verdicts = self.verdicts.split_off(&floor);
        self.new_verdicts.retain(|&sequence| sequence >= floor);
    }

    /// A new link: everything is to be told again.
    pub fn retell(&mut self) {
        self.received.retell();
        self.handled.retell();
        self.new_verdicts = self.verdicts.keys().copied().collect();
    }

    /// Whether there is a message resolved otherwise than handled of which the sender has not confirmed that it knows.
    pub fn has_verdicts(&self) -> bool {
        !self.verdicts.is_empty()
    }

    /// Whether something was not told yet on this link.
    pub fn has_news(&self) -> bool {
        !self.received.news.is_empty() || !self.handled.news.is_empty() || !self.new_verdicts.is_empty()
    }

    /// Everything below is resolved, as far as it may be told.
    pub fn handled_below(&self) -> Sequence {
        self.handled.all.below()
    }

    /// A part of the news that fits one control message; ask again until `has_news` is false.
    pub fn report(&mut self) -> Report {
        let mut report = Report::default();
        let (verdicts, new_verdicts) = (&self.verdicts, &mut self.new_verdicts);
        while report.verdicts.len() < MAX_VERDICTS {
            let Some(sequence) = new_verdicts.pop_front() else { break };
            report.verdicts.extend(verdicts.get(&sequence).map(|reason| (sequence, reason.clone())));
        }
        (report.received_below, report.received) = self.received.tell();
        // The sender takes what is handled without a verdict for handled: verdicts come first.
        if self.new_verdicts.is_empty() {
            (report.handled_below, report.handled) = self.handled.tell();
        }
        report
    }
}

impl Told {
    fn insert(&mut self, sequence: Sequence) {
        if !self.all.insert(sequence) {
            return;
        }
        match self.news.back_mut() {
            Some((_, end)) if *end == sequence => *end += 1,
            _ => self.news.push_back((sequence, sequence + 1)),
        }
    }

    /// The mark itself is news: the sender's window counts from what it was told.
    fn raise(&mut self, floor: Sequence) {
        if floor > self.all.below() {
            self.all.insert_range(0, floor);
            self.news.push_back((floor - 1, floor));
        }
    }

    fn retell(&mut self) {
        self.news = self.all.above().iter().copied().collect();
        if self.all.below() > 0 {
            self.news.push_front((self.all.below() - 1, self.all.below()));
        }
    }

    fn tell(&mut self) -> (Sequence, Vec<(Sequence, Sequence)>) {
        let below = self.all.below();
        let mut ranges = Vec::new();
        while ranges.len() < MAX_RANGES {
            match self.news.pop_front() {
                None => break,
                Some((_, end)) if end <= below => {}
                Some((start, end)) => ranges.push((start.max(below), end)),
            }
        }
        (below, normalised(ranges, below))
    }
}

/// Sorted and merged, so that the ranges ascend without touching each other or `below`.
fn normalised(mut ranges: Vec<(Sequence, Sequence)>, below: Sequence) -> Vec<(Sequence, Sequence)> {
    ranges.sort_unstable();
    let mut merged: Vec<(Sequence, Sequence)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match merged.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ => merged.push((start, end)),
        }
    }
    debug_assert!(merged.first().is_none_or(|&(start, _)| start > below));
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_handled(ledger: &mut Ledger) -> RangeSet {
        let mut set = RangeSet::default();
        while ledger.has_news() {
            let report = ledger.report();
            set.insert_range(0, report.handled_below);
            report.handled.iter().for_each(|&(start, end)| set.insert_range(start, end));
        }
        set
    }

    #[test]
    fn each_change_is_told_once_a_link_and_everything_on_the_next() {
        let mut ledger = Ledger::default();
        for sequence in [0, 1, 5, 3, 4] {
            ledger.note_received(sequence, 0, 0);
        }
        let report = ledger.report();
        assert_eq!((report.received_below, report.received), (2, vec![(3, 6)]));
        assert!(!ledger.has_news());
        ledger.note_received(2, 0, 0);
        let report = ledger.report();
        assert_eq!((report.received_below, report.received), (6, vec![]));
        ledger.retell();
        assert_eq!(ledger.report().received_below, 6);
        assert!(!ledger.has_news());
    }

    #[test]
    fn thousands_of_holes_are_told_in_parts_and_completely() {
        let mut ledger = Ledger::default();
        (0..2000).for_each(|n| ledger.note_handled(2 * n + 1, None, 0, 0));
        assert!(ledger.report().handled.len() <= MAX_RANGES);
        ledger.retell();
        let told = told_handled(&mut ledger);
        assert!((0..2000).all(|n| told.contains(2 * n + 1) && !told.contains(2 * n)));
    }

    #[test]
    fn no_message_with_a_verdict_is_told_as_handled_before_its_verdict() {
        let mut ledger = Ledger::default();
        (0..200).for_each(|sequence| ledger.note_handled(sequence, Some("no".into()), 0, 0));
        let mut verdicts = 0;
        while ledger.has_news() {
            let report = ledger.report();
            verdicts += report.verdicts.len() as u64;
            assert!(report.handled_below <= verdicts);
        }
        assert_eq!(verdicts, 200);
    }

    #[test]
    fn verdicts_are_repeated_until_the_floor_passes() {
        let mut ledger = Ledger::default();
        ledger.note_handled(0, Some("no".into()), 0, 0);
        assert_eq!(ledger.report().verdicts.len(), 1);
        ledger.retell();
        assert_eq!(ledger.report().verdicts.len(), 1);
        ledger.raise_floor(1);
        ledger.retell();
        assert_eq!(ledger.report().verdicts.len(), 0);
    }

    #[test]
    fn nothing_is_told_before_its_record_is_durable() {
        let mut ledger = Ledger::default();
        ledger.note_received(0, 1, 0);
        ledger.note_received(1, 2, 1);
        assert!(!ledger.has_news());
        assert!(ledger.settle(1));
        assert_eq!(ledger.report().received_below, 1);
        assert!(ledger.settle(2));
        assert_eq!(ledger.report().received_below, 2);
    }
}
