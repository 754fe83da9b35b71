//! What happens when, for people.

use super::{NatStep, Scenario, Step};
use crate::link::Conditions;
use crate::nat::NatConfig;

/// Pairs of a moment and what happens then.
pub(super) fn timeline(scenario: &Scenario) -> Vec<(String, String)> {
    let (up, down) = scenario.first();
    let mut lines = Vec::new();
    let mut start = |what: String| lines.push(("start".to_owned(), what));
    start(link("link", &up, &down));
    scenario.nat.iter().for_each(|config| start(nat(config)));
    if let Some(other) = &scenario.other {
        let (up, down) = other.conditions();
        start(link("other network", &up, &down));
        other.nat.iter().for_each(|config| start(format!("other network: {}", nat(config))));
    }
    if let Some(silence) = scenario.silence {
        start(format!("workloads talk for 10s, then are silent for {silence}, in turn"));
    }
    lines.extend(scenario.at.iter().map(|step| (step.moment(), happening(step))));
    lines.push((scenario.duration.to_string(), "end".to_owned()));
    lines
}

fn happening(step: &Step) -> String {
    let mut parts = Vec::new();
    let (up, down) = step.conditions();
    if !up.is_empty() || !down.is_empty() {
        let lasting = step.lasting.map(|length| format!(" for {length}")).unwrap_or_default();
        parts.push(format!("{}{lasting}", link("link", &up, &down)));
    }
    if let Some(gap) = step.move_after {
        parts.push(format!("the first network is gone; {gap} later the client is in the other one"));
    }
    parts.extend(step.nat.map(|what| {
        match what {
            NatStep::RebindPorts => "the NAT gives every flow another port",
            NatStep::RebindAddress => "the NAT gets another address",
            NatStep::Forget => "the NAT forgets its mappings",
            NatStep::Reboot => "the NAT restarts",
        }
        .to_owned()
    }));
    parts.join("; ")
}

fn link(name: &str, up: &Conditions, down: &Conditions) -> String {
    let named = |side: &str, said: &Conditions| {
        if said.is_empty() { String::new() } else { format!("{name} {side}: {}", conditions(said)) }
    };
    if up == down {
        let said = if up.is_empty() { "perfect".to_owned() } else { conditions(up) };
        return format!("{name}: {said}");
    }
    let sides = [named("up", up), named("down", down)];
    sides.iter().filter(|side| !side.is_empty()).map(String::as_str).collect::<Vec<_>>().join("; ")
}

/// As a file says them, in one line.
fn conditions(said: &Conditions) -> String {
    let lines = toml::to_string(said).unwrap_or_default();
    lines.lines().map(|line| line.replace(" = ", " ").replace('"', "")).collect::<Vec<_>>().join(", ")
}

fn nat(config: &NatConfig) -> String {
    let lines = toml::to_string(config).unwrap_or_default();
    let said = lines.lines().map(|line| line.replace(" = ", " ").replace('"', "")).collect::<Vec<_>>();
    // The range of ports is only worth a word where it is not all of them.
    let worth = |part: &&String| !part.starts_with("ports") && !part.contains("65535");
    format!("NAT: {}", said.iter().filter(worth).map(String::as_str).collect::<Vec<_>>().join(", "))
}
