//! Events as JSON lines.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::quic::Summary;
use crate::trace::Event;
use crate::world::{Change, Direction, Happening};

/// Writes what happened to packets and to the network, one JSON object a line, in order of time.
///
/// | event | fields besides `event` and `at_ns` (nanoseconds since the start) |
/// |---|---|
/// | `packet` | `packet` (its number; copies share it), `from`, `to`, `length` (bytes of payload), `fate` (its [name](crate::Fate::name)) |
/// | `link` | `direction` (`up`, `down`), `conditions` (what changed, as a scenario file says it) |
/// | `interface` | `up` |
/// | `nat` | `what`, `mappings` (how many it took away) |
pub fn write_events(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    let mut changes = summary.happenings.iter().peekable();
    for event in summary.trace.events() {
        while let Some(happening) = changes.next_if(|happening| happening.at <= event.at) {
            writeln!(out, "{}", change(happening))?;
        }
        writeln!(out, "{}", packet(event))?;
    }
    changes.try_for_each(|happening| writeln!(out, "{}", change(happening)))
}

/// Writes what happened to the network alone, in the same words.
pub fn write_changes(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    summary.happenings.iter().try_for_each(|happening| writeln!(out, "{}", change(happening)))
}

fn packet(event: &Event) -> Value {
    let Event { at, from, to, length, fate, packet } = event;
    let (at_ns, from, to) = (at.as_nanos(), from.to_string(), to.to_string());
    let fate = fate.name();
    json!({
        "event": "packet",
        "at_ns": at_ns,
        "packet": packet,
        "from": from,
        "to": to,
        "length": length,
        "fate": fate,
    })
}

fn change(happening: &Happening) -> Value {
    let at_ns = happening.at.as_nanos();
    match &happening.change {
        Change::Link(_, direction, conditions) => {
            let direction = if *direction == Direction::Up { "up" } else { "down" };
            json!({ "event": "link", "at_ns": at_ns, "direction": direction, "conditions": conditions })
        }
        Change::Interface(_, _, up) => json!({ "event": "interface", "at_ns": at_ns, "up": up }),
        Change::Nat(_, what) => {
            let mappings = happening.mappings;
            json!({ "event": "nat", "at_ns": at_ns, "what": what.to_string(), "mappings": mappings })
        }
    }
}
