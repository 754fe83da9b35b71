//! What Bowline logs while one seed is replayed, with the virtual time.

use std::fmt::{Debug, Write};
use std::sync::OnceLock;

use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes every event as a line.
pub(crate) struct Lines;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("bowline")
    }

    fn event(&self, event: &Event<'_>) {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        let now = Instant::now();
        let mut line = Line(String::new());
        event.record(&mut line);
        println!(
            "log {:.3} {}{}",
            (now - *FIRST.get_or_init(|| now)).as_secs_f64(),
            event.metadata().target(),
            line.0
        );
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
