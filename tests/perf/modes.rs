//! Every delivery mode in every pattern: each keeps what it promises, and what became of every message is counted.

use serde_json::Value;

use crate::process::Server;
use crate::runs::{checked, run};

const RELIABLE: [&str; 3] = ["reliable-ordered", "reliable-unordered", "reliable-latest"];
const UNRELIABLE: [&str; 2] = ["unreliable", "unreliable-sequenced"];
const ORDERED: [&str; 3] = ["reliable-ordered", "reliable-latest", "unreliable-sequenced"];

/// Both directions, having checked that they are `sent` messages each and what no mode may do.
fn both(mode: &str, summary: &Value, size: u64, sent: u64) -> [Value; 2] {
    ["up", "down"].map(|name| {
        let direction = &summary[name];
        assert_eq!(checked(direction, size), sent, "{mode}");
        if ORDERED.contains(&mode) {
            assert_eq!(direction["out_of_order"], 0, "{mode}: {direction}");
        }
        if RELIABLE.contains(&mode) {
            assert_eq!(direction["lost"], 0, "{mode}: {direction}");
        }
        if mode != "reliable-latest" && mode != "unreliable-sequenced" {
            assert_eq!(direction["superseded"], 0, "{mode}: {direction}");
        }
        direction.clone()
    })
}

#[test]
fn full_speed_in_every_mode() {
    let server = Server::start();
    for mode in RELIABLE.into_iter().chain(UNRELIABLE) {
        let patterns: &[&str] =
            if RELIABLE.contains(&mode) { &["throughput", "acked"] } else { &["throughput"] };
        for pattern in patterns {
            let options =
                format!("--delivery {mode} --pattern {pattern} --direction both --count 3000 --size 200");
            let directions = both(mode, &run(&server, &options), 200, 3000);
            for direction in directions {
                let delivered = direction["delivered"].as_u64().unwrap();
                match mode {
                    "reliable-ordered" | "reliable-unordered" => assert_eq!(delivered, 3000),
                    // Of a state only the newest has to come.
                    _ => assert!(delivered > 0, "{mode} {pattern}: {direction}"),
                }
            }
        }
    }
}

#[test]
fn every_size_in_every_mode() {
    let server = Server::start();
    for (size, count) in [(24, 200), (1200, 200), (20_000, 40), (65_536, 20)] {
        for mode in RELIABLE.into_iter().chain(UNRELIABLE) {
            let flow = format!("--delivery {mode} --pattern flow --rate 100 --direction both");
            let summary = run(&server, &format!("{flow} --size {size} --count {}", count.min(50)));
            both(mode, &summary, size, count.min(50));
        }
        for mode in ["reliable-ordered", "reliable-unordered"] {
            let options = format!("--delivery {mode} --direction both --size {size} --count {count}");
            both(mode, &run(&server, &options), size, count);
        }
    }
    for mode in RELIABLE {
        let options = format!("--delivery {mode} --pattern acked --direction both --size 300000 --count 20");
        both(mode, &run(&server, &options), 300_000, 20);
    }
}

#[test]
fn pings_in_every_mode() {
    let server = Server::start();
    for mode in RELIABLE.into_iter().chain(UNRELIABLE) {
        let options = format!("--delivery {mode} --pattern ping --direction both --count 100 --size 100");
        for direction in both(mode, &run(&server, &options), 100, 100) {
            // One at a time, no ping makes way for another.
            assert_eq!(direction["superseded"], 0, "{mode}: {direction}");
        }
    }
}

#[test]
fn channels_in_every_mode() {
    let server = Server::start();
    for mode in RELIABLE.into_iter().chain(UNRELIABLE) {
        let flow = format!("--delivery {mode} --pattern flow --rate 300 --count 150 --direction both");
        both(mode, &run(&server, &format!("{flow} --channels 5 --size 64")), 64, 150);
    }
}

#[test]
fn what_waits_longer_than_its_deadline_expires() {
    for mode in ["reliable-ordered", "reliable-unordered"] {
        let server = Server::start_with(&["--stall", "1.5"]);
        let flow = format!("--delivery {mode} --pattern flow --rate 50 --seconds 5 --size 100");
        let summary = run(&server, &format!("{flow} --deadline 300"));
        let up = &summary["up"];
        assert_eq!(checked(up, 100), 250);
        assert_eq!(up["lost"], 0, "{mode}: {up}");
        assert!(up["expired"].as_u64().unwrap() > 0, "{mode}: {up}");
    }
}
