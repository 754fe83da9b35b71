//! What a run came to.

use std::io::{self, Write};
use std::time::Duration;

use bowline_netsim::quic::{Summary, Workload};
use bowline_netsim::{Change, Direction, Exercise, Fired, Happening, Scenario};
use serde_json::{Value, json};

pub(super) fn text(
    scenario: &Scenario,
    summary: &Summary,
    workload: Workload,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{}, seed {}: {}", summary.scenario, summary.seed, scenario.summary_line())?;
    writeln!(out, "  lasted             {}", summary.at)?;
    writeln!(out, "  connections        {}", summary.connections)?;
    match workload {
        Workload::Echo => {
            writeln!(out, "  messages           {} sent, {} came back", summary.sent, summary.arrived)?
        }
        Workload::Flow => {
            writeln!(out, "  datagrams          {} sent, {} arrived", summary.sent, summary.arrived)?
        }
        Workload::Bulk => writeln!(
            out,
            "  download           {} bytes, {:.2} Mbit/s",
            summary.arrived,
            summary.arrived as f64 * 8e-6 / summary.at.since_start().as_secs_f64().max(1e-9)
        )?,
    }
    if let (Some(median), Some(p99), Some(most)) =
        (summary.latency(0.5), summary.latency(0.99), summary.latency(1.0))
    {
        let [median, p99, most] = [median, p99, most].map(millis);
        writeln!(out, "  latency            median {median} ms, 99 % {p99} ms, most {most} ms")?;
    }
    writeln!(out, "  longest gap        {} ms", millis(summary.longest_gap))?;
    writeln!(out, "  packets            {} sent", summary.packets())?;
    for (fault, count) in summary.faults() {
        writeln!(out, "    {fault:<24} {count}")?;
    }
    if summary.faults().is_empty() {
        writeln!(out, "    met no fault")?;
    }
    writeln!(out, "  coverage")?;
    for fault in &summary.coverage.faults {
        writeln!(out, "    {fault}")?;
    }
    if summary.coverage.faults.is_empty() {
        writeln!(out, "    the scenario has no fault")?;
    }
    writeln!(out, "  trace hash         {}", summary.trace.hash())
}

pub(super) fn json(summary: &Summary, workload: Workload, out: &mut dyn Write) -> io::Result<()> {
    for happening in &summary.happenings {
        writeln!(out, "{}", change(happening))?;
    }
    let latency = |share| summary.latency(share).map(millis);
    let links = summary.links();
    let line = json!({
        "event": "summary",
        "scenario": summary.scenario,
        "seed": summary.seed,
        "workload": format!("{workload:?}").to_lowercase(),
        "trace_hash": summary.trace.hash().to_string(),
        "virtual_ms": summary.at.as_nanos() / 1_000_000,
        "packets": summary.packets(),
        "faults": summary.faults(),
        "coverage": summary.coverage.faults.iter().map(exercise).collect::<Vec<_>>(),
        "loss_percent": links.loss_percent(),
        "connections": summary.connections,
        "sent": summary.sent,
        "arrived": summary.arrived,
        "latency_ms": { "p50": latency(0.5), "p99": latency(0.99), "max": latency(1.0) },
        "longest_gap_ms": millis(summary.longest_gap),
    });
    writeln!(out, "{line}")
}

fn exercise(fault: &Exercise) -> Value {
    let verdict = match fault.verdict() {
        Fired::Yes => "fired",
        Fired::Never => "never",
        Fired::TooFewPackets => "too-few-packets",
    };
    json!({
        "fault": fault.fault,
        "verdict": verdict,
        "hits": fault.hits,
        "expected": fault.expected,
        "rounds": { "planned": fault.planned, "came": fault.came, "fired": fault.fired },
    })
}

fn change(happening: &Happening) -> Value {
    let at_ms = happening.at.as_nanos() / 1_000_000;
    match &happening.change {
        Change::Link(_, direction, conditions) => {
            let direction = if *direction == Direction::Up { "up" } else { "down" };
            json!({ "event": "link", "at_ms": at_ms, "direction": direction, "conditions": conditions })
        }
        Change::Interface(_, _, up) => json!({ "event": "interface", "at_ms": at_ms, "up": up }),
        Change::Nat(_, what) => json!({ "event": "nat", "at_ms": at_ms, "what": what.to_string() }),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
