//! What a receiver has to tell the sender of one channel: what it holds, what is over, and why it was not handled (rule
//! G5).
//!
//! Everything told is state, not events: sets grow, and telling twice is harmless. On one link each change is told
//! once, because the control stream loses nothing; a new link is told everything again. With a journal, a change
//! may be told only when its record is durable (rule R4): until then it waits in `unsettled`.

use std::collections::VecDeque;

use super::ranges::{Passed, RangeSet, insert_passed, raise_passed};
use super::told::Told;
use crate::id::Sequence;
use crate::wire::Why;

/// Most ranges of one kind in one [`Report`], so that it travels in one piece.
const MAX_RANGES: usize = 100;
/// Most verdicts in one [`Report`].
const MAX_VERDICTS: usize = 64;

/// What the sender of one channel has been, and is to be, told.
#[derive(Debug, Default)]
pub struct Ledger {
    received: Told,
    handled: Told,
    verdicts: Verdicts,
    /// Notes whose journal batch is not durable yet.
    unsettled: VecDeque<(u64, Note)>,
}

/// Why messages were not handled.
#[derive(Debug, Default)]
struct Verdicts {
    all: Passed,
    /// Where those begin that were not told yet on this link, as they were then.
    news: VecDeque<(Sequence, Sequence)>,
}

#[derive(Debug)]
enum Note {
    Received(Sequence),
    Handled(Sequence),
    Passed(Sequence, Sequence, Why),
}

/// Something to tell. Ranges are half-open and lie above their `below`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// All below is held.
    pub received_below: Sequence,
    /// Held above that, as far as it is news.
    pub received: Vec<(Sequence, Sequence)>,
    /// All below is over.
    pub handled_below: Sequence,
    /// Over above that, as far as it is news.
    pub handled: Vec<(Sequence, Sequence)>,
    /// Over and not handled, as far as it is news: start, end, why.
    pub verdicts: Vec<(Sequence, Sequence, Why)>,
}

impl Ledger {
    /// As an earlier process left it. Nothing is news until `retell`.
    pub fn restore(received: RangeSet, handled: RangeSet, verdicts: Passed) -> Self {
        Self {
            received: Told::restore(received),
            handled: Told::restore(handled),
            verdicts: Verdicts { all: verdicts, news: VecDeque::new() },
            unsettled: VecDeque::new(),
        }
    }

    /// `sequence` is held; durable with journal batch `batch`.
    pub fn note_received(&mut self, sequence: Sequence, batch: u64, durable: u64) {
        self.note(Note::Received(sequence), batch, durable);
    }

    /// `sequence` is handled.
    pub fn note_handled(&mut self, sequence: Sequence, batch: u64, durable: u64) {
        self.note(Note::Handled(sequence), batch, durable);
    }

    /// `start..end` is over, and was not handled. None of it was noted before.
    pub fn note_passed(&mut self, start: Sequence, end: Sequence, why: Why, batch: u64, durable: u64) {
        self.note(Note::Passed(start, end, why), batch, durable);
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
            Note::Handled(sequence) => self.handled.insert(sequence),
            Note::Passed(start, end, why) => {
                // While it waited the sender may have said that it needs no verdict.
                let start = start.max(self.handled.all().below());
                if start >= end {
                    return;
                }
                self.received.insert_range(start, end);
                self.handled.insert_range(start, end);
                self.verdicts.insert(start, end, why);
            }
        }
    }

    /// The sender has resolved everything below `floor`, and needs no verdict there any more.
    pub fn raise_floor(&mut self, floor: Sequence) {
        self.received.raise(floor);
        self.handled.raise(floor);
        self.verdicts.raise(floor);
    }

    /// A new link: everything is to be told again.
    pub fn retell(&mut self) {
        self.received.retell();
        self.handled.retell();
        self.verdicts.news = self.verdicts.all.iter().map(|(&start, &(end, _))| (start, end)).collect();
    }

    /// Whether there is a message that was not handled of which the sender has not confirmed that it knows.
    pub fn has_verdicts(&self) -> bool {
        !self.verdicts.all.is_empty()
    }

    /// Whether something was not told yet on this link.
    pub fn has_news(&self) -> bool {
        self.received.has_news() || self.handled.has_news() || !self.verdicts.news.is_empty()
    }

    /// Everything below is over, as far as it may be told.
    pub fn handled_below(&self) -> Sequence {
        self.handled.all().below()
    }

    /// A part of the news that fits one control message; ask again until `has_news` is false.
    pub fn report(&mut self) -> Report {
        let mut report = Report { verdicts: self.verdicts.tell(), ..Report::default() };
        (report.received_below, report.received) = self.received.tell(MAX_RANGES);
        // The sender takes what is over without a verdict for handled: verdicts come first.
        if self.verdicts.news.is_empty() {
            (report.handled_below, report.handled) = self.handled.tell(MAX_RANGES);
        }
        report
    }
}

impl Verdicts {
    fn insert(&mut self, start: Sequence, end: Sequence, why: Why) {
        insert_passed(&mut self.all, start, end, why);
        match self.news.back_mut() {
            Some((_, last)) if *last == start => *last = end,
            _ => self.news.push_back((start, end)),
        }
    }

    fn raise(&mut self, floor: Sequence) {
        raise_passed(&mut self.all, floor);
        self.news.retain(|&(_, end)| end > floor);
    }

    fn tell(&mut self) -> Vec<(Sequence, Sequence, Why)> {
        let mut told = Vec::new();
        while told.len() < MAX_VERDICTS {
            let Some((start, end)) = self.news.pop_front() else { break };
            let first = self.all.range(..=start).next_back().map_or(start, |(&first, _)| first);
            for (&from, (until, why)) in self.all.range(first..end) {
                let (from, until) = (from.max(start), (*until).min(end));
                if told.len() >= MAX_VERDICTS {
                    self.news.push_front((from, end));
                    break;
                }
                told.push((from, until, why.clone()));
            }
        }
        told
    }
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
        (0..2000).for_each(|n| ledger.note_handled(2 * n + 1, 0, 0));
        assert!(ledger.report().handled.len() <= MAX_RANGES);
        ledger.retell();
        let told = told_handled(&mut ledger);
        assert!((0..2000).all(|n| told.contains(2 * n + 1) && !told.contains(2 * n)));
    }

    #[test]
    fn no_message_with_a_verdict_is_told_as_handled_before_its_verdict() {
        let mut ledger = Ledger::default();
        let no = |sequence: u64| Why::Rejected(format!("no {sequence}"));
        (0..200).for_each(|sequence| ledger.note_passed(sequence, sequence + 1, no(sequence), 0, 0));
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
        ledger.note_passed(0, 1, Why::Rejected("no".into()), 0, 0);
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

    #[test]
    fn a_verdict_that_the_floor_passed_while_it_waited_is_not_kept() {
        let mut ledger = Ledger::default();
        ledger.note_passed(2, 4, Why::Skipped, 1, 0);
        ledger.note_passed(6, 8, Why::Skipped, 1, 0);
        ledger.raise_floor(4);
        ledger.settle(1);
        assert_eq!(ledger.report().verdicts, [(6, 8, Why::Skipped)]);
        ledger.raise_floor(8);
        assert!(!ledger.has_verdicts());
    }

    #[test]
    fn verdicts_for_one_reason_travel_as_one_range() {
        let mut ledger = Ledger::default();
        (10..1000).for_each(|sequence| ledger.note_passed(sequence, sequence + 1, Why::Superseded, 0, 0));
        ledger.note_passed(1000, 2000, Why::Expired, 0, 0);
        let told = vec![(10, 1000, Why::Superseded), (1000, 2000, Why::Expired)];
        assert_eq!(ledger.report().verdicts, told);
        assert!(!ledger.has_news());
        ledger.retell();
        assert_eq!(ledger.report().verdicts, told);
        ledger.raise_floor(1500);
        ledger.retell();
        assert_eq!(ledger.report().verdicts, [(1500, 2000, Why::Expired)]);
    }
}
