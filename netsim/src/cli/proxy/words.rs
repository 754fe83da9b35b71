//! What a proxy does, for people.

use std::fmt::Write;

use bowline_netsim::proxy::{Event, Status, Traffic};
use bowline_netsim::{Conditions, Direction};

pub(super) fn event(event: &Event) -> String {
    match event {
        Event::Mapped { client, source } => format!("{client} speaks from {source}"),
        Event::Rebound { mappings } => format!("rebound: {mappings} mappings get other ports"),
        Event::Expired { mappings } => format!("expired: {mappings} mappings"),
        Event::Blocked { direction, for_ms } => {
            let length = for_ms.map(|ms| format!(" for {ms} ms")).unwrap_or_default();
            format!("blocked {}{length}", side(*direction))
        }
        Event::Unblocked { direction } => format!("unblocked {}", side(*direction)),
        Event::Conditions { direction, change } => format!("{}: {}", side(*direction), conditions(change)),
        Event::Left => "the clients have lost their network".into(),
        Event::Arrived => "the clients are in another network".into(),
        Event::Scenario { name, duration_ms } => format!("scenario {name} begins, {duration_ms} ms"),
        Event::ScenarioEnded { name } => format!("scenario {name} is over; its conditions remain"),
        Event::Reset => "the network is clean again".into(),
        Event::UpstreamRefused { upstream, client } => {
            format!("nobody listens on {upstream}: what {client} sends is refused; is the server running?")
        }
        Event::MappingsFull { limit } => {
            format!("{limit} mappings are in use: packets of further clients are dropped; see --max-mappings")
        }
        Event::QueueFull { limit_bytes } => {
            format!("{limit_bytes} bytes are on their way: packets are dropped; see --max-queued-bytes")
        }
        Event::SocketFailed { client, reason } => {
            format!("what {client} sends does not get through: {reason}")
        }
        Event::Missed { count } => format!("{count} events came too fast to be told"),
        other => format!("{other:?}"),
    }
}

pub(super) fn status(status: &Status) -> String {
    let mut text = String::new();
    let scenario = match &status.scenario {
        Some(scenario) => {
            let [at, of] = [scenario.at, scenario.duration].map(|time| time.as_secs_f64());
            format!("{}, {at:.1} of {of} s, seed {}", scenario.name, status.seed)
        }
        None => "clean".into(),
    };
    let lines = [
        ("running for", format!("{:.1} s", status.uptime.as_secs_f64())),
        ("scenario", scenario),
        ("mappings", format!("{} now, {} made", status.mappings, status.mappings_made)),
        ("rebinds", status.rebinds.to_string()),
        ("expiries", status.expiries.to_string()),
    ];
    for (name, value) in lines {
        line(&mut text, name, &value);
    }
    for (name, traffic) in [("up", &status.up), ("down", &status.down)] {
        line(&mut text, name, &conditions(&traffic.conditions));
        direction(&mut text, traffic);
    }
    text
}

fn direction(text: &mut String, traffic: &Traffic) {
    let Traffic { packets_in, packets_out, bytes_in, bytes_out, .. } = traffic;
    line(text, "  in", &format!("{packets_in} packets, {bytes_in} bytes"));
    line(
        text,
        "  out",
        &format!("{packets_out} packets, {bytes_out} bytes, {:.2} Mbit/s", traffic.mbit_per_s),
    );
    line(text, "  loss", &format!("{:.2} %", traffic.loss_percent));
    if let Some(delay) = &traffic.delay_ms {
        let words = format!(
            "least {:.1}, median {:.1}, 99 % {:.1}, most {:.1}",
            delay.min, delay.p50, delay.p99, delay.max
        );
        line(text, "  delay in ms", &words);
    }
    let counts = [
        ("duplicated", traffic.duplicated),
        ("corrupted", traffic.corrupted),
        ("reordered", traffic.reordered),
        ("on their way", traffic.held),
    ];
    for (name, count) in traffic.dropped.causes().into_iter().chain(counts).filter(|(_, count)| *count > 0) {
        line(text, &format!("  {name}"), &count.to_string());
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    // A string takes everything.
    writeln!(text, "  {name:<19}{value}").ok();
}

fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    }
}

/// As a file says them, in one line.
fn conditions(said: &Conditions) -> String {
    let lines = toml::to_string(said).unwrap_or_default();
    let said: Vec<_> = lines.lines().map(|line| line.replace(" = ", " ").replace('"', "")).collect();
    if said.is_empty() { "perfect".into() } else { said.join(", ") }
}
