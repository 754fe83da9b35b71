//! What Bowline logs: read by a test, or shown while one seed is replayed.

use std::fmt::{Debug, Write};
use std::sync::OnceLock;

use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Reads what is logged on a thread.
pub(crate) struct Reader {
    pub(crate) wanted: fn(&Metadata<'_>) -> bool,
    pub(crate) read: fn(&Event<'_>),
}

impl Subscriber for Reader {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        (self.wanted)(metadata)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        (self.read)(event);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Shows everything, with the virtual time.
pub(crate) fn shown() -> Reader {
    Reader { wanted: |metadata| metadata.target().starts_with("bowline"), read: show }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

fn show(event: &Event<'_>) {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    let since = now - *FIRST.get_or_init(|| now);
    let mut line = Line(format!("log {:.3} {}", since.as_secs_f64(), event.metadata().target()));
    event.record(&mut line);
    println!("{}", line.0);
}
