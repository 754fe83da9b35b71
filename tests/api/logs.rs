//! What is logged of messages that nobody gets, and at which level.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use bowline::error::Outcome;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::support::{line, ordered, pair, until, within};

/// Keeps the lines, each with its level first.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn lines_with(&self, words: &[&str]) -> usize {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn what_is_not_delivered_is_told_once_and_never_with_what_it_said() {
    let log = Log::default();
    // As long as there are two subscribers, tracing asks them and not the thread that logs a line first.
    let _second = tracing::Dispatch::new(Log::default());
    // This runtime has one thread, so all that its tasks log is caught.
    let _guard = tracing::subscriber::set_default(log.clone());
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "jobs").await;
    let receipt = line.out.send("attack at dawn").await.unwrap();
    within("a job", line.peer.recv_unacked()).await.unwrap().reject("no");
    assert!(matches!(within("a verdict", receipt.outcome()).await, Outcome::Rejected { .. }));
    let told = ["DEBUG", "not delivered", "channel=\"jobs\"", "messages=1", "why=\"rejected by the peer\""];
    until("it is told", || log.lines_with(&told) == 1).await;
    let handled = line.out.send("attack at noon").await.unwrap();
    within("a job", line.peer.recv()).await.unwrap();
    within("handled", handled).await.unwrap();

    // What does not decode calls for a person, but not every time.
    let (bytes, _back) = pair.dialed.open("typed", ordered()).await.unwrap();
    let (_out, mut typed) = pair.accepted.open_typed::<String, String>("typed", ordered()).await.unwrap();
    for _ in 0..9 {
        drop(bytes.send(&b"\x0a\x7fattack at dawn"[..]).await.unwrap());
    }
    bytes.finish();
    assert!(within("the end", typed.recv()).await.is_none());
    let told = ["rejected what does not decode", "channel=\"typed\"", "problem="];
    assert_eq!([log.lines_with(&told), log.lines_with(&["WARN", told[0]])], [9, 4]);
    within("the close", pair.dialed.close()).await;
    assert_eq!([log.lines_with(&["not delivered", "jobs"]), log.lines_with(&["attack at"])], [1, 0]);
    assert_eq!([log.lines_with(&["WARN"]), log.lines_with(&["ERROR"])], [4, 0]);
}
