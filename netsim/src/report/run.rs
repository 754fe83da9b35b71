//! The page of one run.

use std::time::Duration;

use askama::Template;

use super::sequence::{Sequence, around};
use super::{plots, short, timeline, undrawn};
use crate::coverage::Fired;
use crate::link::LinkCounts;
use crate::packet::Fate;
use crate::quic::{Summary, Workload};
use crate::scenario::Scenario;
use crate::time::Time;
use crate::values::BadValue;

/// So many moments are looked at closely.
const MOMENTS_MAX: usize = 4;

#[derive(Template)]
#[template(path = "run.html")]
struct Page<'a> {
    summary: &'a Summary,
    about: &'a str,
    source: &'a str,
    workload: String,
    facts: Vec<(&'static str, String)>,
    steps: Vec<(String, String)>,
    main_title: &'static str,
    main: String,
    distribution: Option<String>,
    sequences: Vec<Sequence>,
    figures: Vec<[String; 3]>,
    coverage: Vec<[String; 2]>,
    faults: Vec<(&'static str, u64)>,
}

/// A run as one page of HTML: latency over time with the faults drawn on it, the distribution of latencies, who
/// sent what around each fault, what was configured and what was achieved. The run must have kept its events.
pub fn run_html(scenario: &Scenario, summary: &Summary, workload: Workload) -> Result<String, BadValue> {
    let seconds = summary.at.since_start().as_secs_f64().max(1e-3);
    let marks = timeline::marks(scenario, summary.seed, seconds);
    let has_latency = !summary.latencies.is_empty();
    let (main_title, main) = match workload {
        Workload::Bulk => ("Throughput over time", plots::throughput(&summary.samples, seconds, &marks)?),
        _ => ("Latency over time", plots::latency(&summary.samples, seconds, &marks)?),
    };
    let page = Page {
        summary,
        about: scenario.summary_line(),
        source: scenario.source_line(),
        workload: format!("{workload:?}").to_lowercase(),
        facts: facts(summary, workload),
        steps: scenario.timeline(),
        main_title,
        main,
        distribution: has_latency.then(|| plots::distribution(&summary.latencies)).transpose()?,
        sequences: sequences(scenario, summary),
        figures: figures(&summary.up, &summary.down, Duration::from_secs_f64(seconds)),
        coverage: summary
            .coverage
            .faults
            .iter()
            .map(|fault| {
                let verdict = match fault.verdict() {
                    Fired::Yes => "fired",
                    Fired::Never => "never fired",
                    Fired::TooFewPackets => "too few packets to tell",
                };
                [fault.to_string(), verdict.to_owned()]
            })
            .collect(),
        faults: summary.faults().into_iter().collect(),
    };
    page.render().map_err(undrawn)
}

fn facts(summary: &Summary, workload: Workload) -> Vec<(&'static str, String)> {
    let latency = |share| summary.latency(share).map_or("none".to_owned(), short);
    let mut facts =
        vec![("lasted", summary.at.to_string()), ("connections", summary.connections.to_string())];
    match workload {
        Workload::Bulk => {
            let rate = summary.arrived as f64 * 8e-6 / summary.at.since_start().as_secs_f64().max(1e-9);
            facts.push(("arrived", format!("{} bytes, {rate:.2} Mbit/s", summary.arrived)));
        }
        _ => {
            facts.push(("sent and arrived", format!("{} and {}", summary.sent, summary.arrived)));
            facts.push(("median latency", latency(0.5)));
            facts.push(("99 % latency", latency(0.99)));
            facts.push(("worst latency", latency(1.0)));
        }
    }
    facts.push(("longest gap", short(summary.longest_gap)));
    facts.push(("packets", summary.packets().to_string()));
    facts
}

/// The first round of each step, as it begins and as it ends; without steps the first packet that was lost.
fn sequences(scenario: &Scenario, summary: &Summary) -> Vec<Sequence> {
    let mut moments = Vec::new();
    let mut seen = None;
    for occurrence in scenario.occurrences(summary.seed, "client") {
        if seen.replace(occurrence.step) == Some(occurrence.step) {
            continue;
        }
        let step = occurrence.step;
        moments.push((Time::from(occurrence.at), format!("step {step} begins")));
        let end = occurrence.until.or(occurrence.arrival);
        moments.extend(end.map(|end| (Time::from(end), format!("step {step} ends"))));
    }
    if moments.is_empty() {
        let lost = |fate| matches!(fate, Fate::Lost | Fate::Blocked | Fate::TooBig | Fate::QueueFull);
        let lost = summary.trace.events().iter().find(|event| lost(event.fate));
        moments.extend(lost.map(|event| (event.at, format!("the first packet that is {}", event.fate))));
    }
    let moments = moments.into_iter().filter(|(at, _)| *at <= summary.at).take(MOMENTS_MAX);
    moments.filter_map(|(at, what)| around(summary.trace.events(), at, format!("{what}, at {at}"))).collect()
}

/// What the client's links achieved: name, up, down.
fn figures(up: &LinkCounts, down: &LinkCounts, time: Duration) -> Vec<[String; 3]> {
    let seconds = time.as_secs_f64().max(1e-9);
    let row =
        |name: &str, figure: &dyn Fn(&LinkCounts) -> String| [name.to_owned(), figure(up), figure(down)];
    vec![
        row("packets offered", &|it| it.offered.to_string()),
        row("packets delivered", &|it| it.delivered.to_string()),
        row("rate offered", &|it| format!("{:.3} Mbit/s", it.offered_bytes as f64 * 8e-6 / seconds)),
        row("rate delivered", &|it| format!("{:.3} Mbit/s", it.delivered_bytes as f64 * 8e-6 / seconds)),
        row("lost", &|it| format!("{} ({:.2} %)", it.lost, it.loss_percent())),
        row("mean burst of loss", &|it| match it.loss_bursts {
            0 => "none".to_owned(),
            _ => format!("{:.2} packets", it.burst_mean()),
        }),
        row("blocked", &|it| it.blocked.to_string()),
        row("larger than the MTU", &|it| it.too_big.to_string()),
        row("found the queue full", &|it| it.queue_full.to_string()),
        row("out of order", &|it| it.reordered.to_string()),
        row("duplicated", &|it| it.duplicated.to_string()),
        row("corrupted", &|it| it.corrupted.to_string()),
        row("most in the queue", &|it| format!("{} bytes", it.queue_bytes_max)),
    ]
}
