//! What a recorder of the facade `metrics` is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

use crate::support::{line, pair, text, until, within};

/// Remembers everything under the figure's name and its labels.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    described: BTreeMap<String, Option<Unit>>,
    /// Sums of counters and gauges, numbers of samples of histograms.
    values: BTreeMap<String, f64>,
}

impl Ledger {
    fn value(&self, figure: &str) -> f64 {
        self.0.lock().unwrap().values.get(figure).copied().unwrap_or_default()
    }

    fn entry(&self, key: &Key) -> Arc<Entry> {
        let labels: Vec<_> = key.labels().map(|it| format!("{}={}", it.key(), it.value())).collect();
        let figure =
            if labels.is_empty() { key.name().to_owned() } else { format!("{}{labels:?}", key.name()) };
        Arc::new(Entry { ledger: self.clone(), figure })
    }

    fn describe(&self, name: &KeyName, unit: Option<Unit>) {
        self.0.lock().unwrap().described.insert(name.as_str().to_owned(), unit);
    }
}

struct Entry {
    ledger: Ledger,
    figure: String,
}

impl Entry {
    fn add(&self, value: f64) {
        *self.ledger.0.lock().unwrap().values.entry(self.figure.clone()).or_default() += value;
    }
}

impl CounterFn for Entry {
    fn increment(&self, value: u64) {
        self.add(f64::from(u32::try_from(value).unwrap()));
    }

    fn absolute(&self, _: u64) {
        panic!("only differences can be summed over sessions");
    }
}

impl GaugeFn for Entry {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, _: f64) {
        panic!("only differences can be summed over sessions");
    }
}

impl HistogramFn for Entry {
    fn record(&self, value: f64) {
        assert!(value > 0.0 && value < 60.0, "{} is {value} s", self.figure);
        self.add(1.0);
    }
}

impl Recorder for Ledger {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.entry(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.entry(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.entry(key))
    }
}

#[tokio::test]
async fn figures_are_published_while_a_session_lives_and_sum_up_to_what_happened() {
    let ledger = Ledger::default();
    // All tasks of this test run on this thread.
    let _guard = metrics::set_default_local_recorder(&ledger);
    let pair = pair().await;
    let mut jobs = line(&pair.dialed, &pair.accepted, "jobs").await;
    let of_jobs = |name: &str| ledger.value(&format!("{name}[\"channel=jobs\"]"));
    for number in 0..10 {
        drop(jobs.out.send(number.to_string()).await.unwrap());
    }
    for number in 0..6 {
        assert_eq!(text(&mut jobs.peer).await, number.to_string());
    }
    within("a message", jobs.peer.recv_unacked()).await.unwrap().reject("no");
    until("what was handled", || of_jobs("bowline_messages_handled_total") == 6.0).await;
    until("what was rejected", || of_jobs("bowline_messages_rejected_total") == 1.0).await;
    until("what waits", || of_jobs("bowline_inbox_messages") == 3.0).await;
    assert_eq!(of_jobs("bowline_messages_accepted_total"), 10.0);
    assert_eq!(of_jobs("bowline_messages_received_total"), 10.0);
    assert_eq!((of_jobs("bowline_outbox_messages"), of_jobs("bowline_outbox_bytes")), (3.0, 3.0));
    assert_eq!((ledger.value("bowline_sessions"), ledger.value("bowline_sessions_attached")), (2.0, 2.0));
    assert_eq!(ledger.value("bowline_attaches_total"), 2.0);
    until("a round trip was measured", || ledger.value("bowline_rtt_seconds") > 0.0).await;

    // What happens between the last second and the end counts too, and a channel that is gone has counted.
    let mut short = line(&pair.dialed, &pair.accepted, "short").await;
    let receipt = short.out.send("a").await.unwrap();
    assert_eq!(text(&mut short.peer).await, "a");
    within("handled", receipt).await.unwrap();
    short.out.finish();
    short.peer_out.finish();
    until("no such channel", || pair.dialed.stats().channels + pair.accepted.stats().channels == 2).await;
    assert_eq!((short.out.stats().handled, short.peer_out.stats().delivered), (1, 1));
    for _ in 0..3 {
        within("the rest", jobs.peer.recv()).await.unwrap();
    }
    within("the close", pair.dialed.close()).await;
    within("its other end", pair.accepted.closed()).await;
    assert_eq!(of_jobs("bowline_messages_handled_total"), 9.0);
    assert_eq!(of_jobs("bowline_messages_delivered_total"), 10.0);
    let of_short = |name: &str| ledger.value(&format!("{name}[\"channel=short\"]"));
    assert_eq!(
        (of_short("bowline_messages_handled_total"), of_short("bowline_messages_received_total")),
        (1.0, 1.0)
    );

    // Nothing is left of what is over, and everything was described.
    let book = ledger.0.lock().unwrap();
    for (figure, value) in &book.values {
        let name = figure.split('[').next().unwrap();
        assert!(name.starts_with("bowline_") && book.described.contains_key(name), "{figure}");
        let is_gauge = !name.ends_with("_total") && !name.ends_with("_seconds");
        assert!(!is_gauge || *value == 0.0, "{figure} stays at {value}");
    }
    assert_eq!(book.described["bowline_outbox_bytes"], Some(Unit::Bytes));
    assert_eq!(book.described["bowline_rtt_seconds"], Some(Unit::Seconds));
}
