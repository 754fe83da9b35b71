//! What a run came to.

use std::io::{self, Write};
use std::time::Duration;

use bowline_netsim::quic::{Summary, Workload};
use bowline_netsim::shrink::Shrunk;
use bowline_netsim::{Exercise, Fired, Scenario, artifact};
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

/// What happened to the network, as JSON lines.
pub(super) fn changes(summary: &Summary, mut out: &mut dyn Write) -> io::Result<()> {
    artifact::write_changes(summary, &mut out)
}

/// What a run came to, as one JSON object.
pub(super) fn summary(summary: &Summary, workload: &str, complaint: Option<&str>) -> Value {
    let latency = |share| summary.latency(share).map(millis);
    let links = summary.links();
    json!({
        "event": "summary",
        "scenario": summary.scenario,
        "seed": summary.seed,
        "workload": workload,
        "passed": complaint.is_none(),
        "why": complaint,
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
    })
}

/// A failing run, made smaller, as the test that it has become.
pub(super) fn shrunk(shrunk: &Shrunk, test: &str, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        let toml = shrunk.scenario.to_toml().ok();
        let line = json!({
            "event": "shrunk",
            "seed": shrunk.seed,
            "runs": shrunk.runs,
            "out_of_runs": shrunk.out_of_runs,
            "log": shrunk.log,
            "scenario_toml": toml,
            "test": test,
        });
        return writeln!(out, "{line}");
    }
    writeln!(out, "\nshrunk in {} runs of seed {}:", shrunk.runs, shrunk.seed)?;
    shrunk.log.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    if shrunk.out_of_runs {
        writeln!(out, "  more runs might make it smaller still: --shrink-runs")?;
    }
    writeln!(out, "\n{test}")
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

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
