//! What one side sees of what the other sends: counts, latencies, gaps.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

use crate::clock::now_ns;
use crate::control::Received;
use crate::payload::{Checked, Label, check};
use crate::plan::Plan;
use crate::seen::{Found, Seen};

/// A meter that the tasks of all lanes share.
#[derive(Clone, Debug)]
pub(crate) struct SharedMeter(Arc<Mutex<Meter>>);

impl SharedMeter {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self(Arc::new(Mutex::new(Meter::new(plan))))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Meter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures one part of a run: the warm-up, then the measured run.
#[derive(Debug)]
pub(crate) struct Meter {
    size: usize,
    lanes: usize,
    sample_every: u64,
    /// Messages of the other part are checked, and not counted.
    measured: bool,
    /// Numbers that were seen, by the generation of their sender and by lane.
    books: Vec<(u32, Vec<Seen>)>,
    counts: Received,
    /// Nanoseconds.
    latencies: Histogram<u64>,
}

impl Meter {
    fn new(plan: &Plan) -> Self {
        Self {
            size: plan.size(),
            lanes: plan.channels as usize,
            sample_every: plan.sample_every(),
            measured: false,
            books: Vec::new(),
            counts: Received::default(),
            latencies: histogram(),
        }
    }

    /// Starts from nothing.
    pub(crate) fn begin(&mut self, measured: bool) {
        self.measured = measured;
        self.books.clear();
        self.counts = Received { began_ns: now_ns(), ..Received::default() };
        self.latencies.reset();
    }

    /// Takes a message that the application was handed. Yields what it says, if it is intact.
    ///
    /// The clock is read for the first of `batch`, and for each whose latency is taken: between messages that were all
    /// there already is no gap.
    pub(crate) fn take(&mut self, payload: &[u8], lane: u32, batch: &mut Batch) -> Option<Checked> {
        let checked = check(payload, self.size).filter(|checked| checked.label.lane == lane);
        let Some(checked) = checked else {
            self.counts.corrupted += 1;
            return None;
        };
        if checked.label.measured != self.measured {
            return Some(checked);
        }
        match self.seen(checked.label) {
            Some(Found::Newer) => {}
            Some(Found::Older) => self.counts.out_of_order += 1,
            Some(Found::Again) => {
                self.counts.duplicated += 1;
                return Some(checked);
            }
            Some(Found::Absurd) | None => {
                self.counts.corrupted += 1;
                return None;
            }
        }
        self.counts.delivered += 1;
        let is_sample = checked.label.number.is_multiple_of(self.sample_every);
        if is_sample || !batch.begun {
            batch.begun = true;
            let now = now_ns();
            self.arrived(now);
            if is_sample {
                // Clocks of two machines may differ by more than a message takes.
                self.latencies.saturating_record(now.saturating_sub(checked.sent_ns));
            }
        }
        Some(checked)
    }

    /// Nothing more is there for now.
    pub(crate) fn pause(&mut self, batch: Batch) {
        if batch.begun && self.sample_every > 1 {
            self.arrived(now_ns());
        }
    }

    fn arrived(&mut self, now: u64) {
        let counts = &mut self.counts;
        if counts.first_ns == 0 {
            counts.first_ns = now;
        } else {
            counts.gap(counts.last_ns, now);
        }
        counts.last_ns = now;
    }

    fn seen(&mut self, label: Label) -> Option<Found> {
        let index = match self.books.iter().rposition(|(generation, _)| *generation == label.generation) {
            Some(index) => index,
            None => {
                let lanes = std::iter::repeat_with(Seen::default).take(self.lanes).collect();
                self.books.push((label.generation, lanes));
                self.books.len() - 1
            }
        };
        let (_, lanes) = self.books.get_mut(index)?;
        Some(lanes.get_mut(label.lane as usize)?.insert(label.number))
    }

    /// First deliveries so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.counts.delivered
    }

    /// What the numbers of one generation prove to have been sent.
    pub(crate) fn proved(&self, generation: u32) -> u64 {
        let of = self.books.iter().filter(|(book, _)| *book == generation);
        of.flat_map(|(_, lanes)| lanes).map(Seen::next).sum()
    }

    /// All of it, to be told; the latencies, which cost more than the rest together, only in `full`.
    pub(crate) fn received(&self, full: bool) -> Received {
        let proved = self.books.iter().map(|(generation, _)| self.proved(*generation)).sum();
        let pairs = full.then(|| self.latencies.iter_recorded()).into_iter().flatten();
        let latencies = pairs.flat_map(|it| [it.value_iterated_to(), it.count_at_value()]).collect();
        Received { proved, latencies, ..self.counts.clone() }
    }
}

/// Messages that were there together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    begun: bool,
}

/// Latencies in nanoseconds to three digits, up to an hour.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(3_600_000_000_000, 3).expect("the bounds are constant and in order")
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::payload::{Filler, Writer};
    use crate::plan::Pattern;

    fn plan() -> Plan {
        Plan { pattern: Pattern::Flow as i32, size: 64, channels: 2, ..Plan::default() }
    }

    fn writer(generation: u32, lane: u32) -> Writer {
        let first = Label { measured: true, answer: false, generation, lane, number: 0 };
        Writer::new(Filler::new(64), first)
    }

    fn meter() -> Meter {
        let mut meter = Meter::new(&plan());
        meter.begin(true);
        meter
    }

    #[test]
    fn lanes_and_generations_have_numbers_of_their_own() {
        let mut meter = meter();
        for (generation, lane) in [(0, 0), (0, 1), (1, 0)] {
            let mut writer = writer(generation, lane);
            for _ in 0..3 {
                assert!(
                    meter
                        .take(&writer.next(&mut BytesMut::new(), now_ns()), lane, &mut Batch::default())
                        .is_some()
                );
            }
        }
        let counts = meter.received(true);
        assert_eq!((counts.delivered, counts.duplicated, counts.out_of_order), (9, 0, 0));
        assert_eq!((meter.proved(0), meter.proved(1), counts.proved), (6, 3, 9));
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let mut meter = meter();
        let mut writer = writer(0, 0);
        let messages: Vec<_> = (0..4).map(|_| writer.next(&mut BytesMut::new(), now_ns())).collect();
        for index in [0, 2, 1, 2] {
            meter.take(&messages[index], 0, &mut Batch::default());
        }
        meter.take(&messages[3], 1, &mut Batch::default());
        meter.take(&messages[3][..60], 0, &mut Batch::default());
        let counts = meter.received(true);
        assert_eq!((counts.delivered, counts.duplicated), (3, 1));
        assert_eq!((counts.out_of_order, counts.corrupted), (1, 2));
    }

    #[test]
    fn what_belongs_to_the_warm_up_is_not_counted() {
        let mut meter = meter();
        let first = Label { measured: false, answer: false, generation: 0, lane: 0, number: 0 };
        let message = Writer::new(Filler::new(64), first).next(&mut BytesMut::new(), 1);
        assert!(meter.take(&message, 0, &mut Batch::default()).is_some());
        assert_eq!(meter.received(true).delivered, 0);
    }

    #[test]
    fn the_longest_gap_has_its_place() {
        let mut meter = meter();
        for now in [100, 110, 150, 155] {
            meter.arrived(now);
        }
        let counts = meter.received(true);
        assert_eq!(counts.longest_gap(), (110, 40));
        assert_eq!((counts.first_ns, counts.last_ns), (100, 155));
    }
}
