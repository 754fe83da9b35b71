//! Runs and sweeps for people: HTML in one file, plots as SVG inside it, nothing from the network.
//!
//! | file | what it draws |
//! |---|---|
//! | `run` | the page of one run |
//! | `sweep` | the page of many runs |
//! | `plots` | latency and throughput over time, with the faults; the distribution of latencies |
//! | `sequence` | who sent what to whom around a fault |
//! | `timeline` | when what happens in a scenario |
//!
//! Colours are given as classes or as fixed values that the style sheet replaces, so that a page is readable on
//! light and on dark ground.

mod plots;
mod run;
mod sequence;
mod sweep;
#[cfg(test)]
mod tests;
mod timeline;

use std::time::Duration;

pub use run::run_html;
pub use sweep::{Point, sweep_html};
pub use timeline::timeline_svg;

use crate::values::BadValue;

/// A template or a plot that cannot be drawn.
fn undrawn(error: impl std::fmt::Display) -> BadValue {
    BadValue::new("the report", format!("cannot be drawn: {error}"))
}

/// A length of time for people.
fn short(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    match millis {
        0.0 => "0 ms".into(),
        millis if millis < 10.0 => format!("{millis:.2} ms"),
        millis if millis < 1_000.0 => format!("{millis:.0} ms"),
        millis => format!("{:.2} s", millis / 1e3),
    }
}
