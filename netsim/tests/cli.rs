//! The program, as a user meets it.
#![cfg(feature = "cli")]

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

fn netsim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netsim")).args(arguments).output().unwrap()
}

#[track_caller]
fn succeeds(arguments: &[&str]) -> String {
    let output = netsim(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn fails(arguments: &[&str], says: &str) {
    let output = netsim(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(says), "{arguments:?}: {said}");
}

fn summary(arguments: &[&str]) -> Value {
    serde_json::from_str(succeeds(arguments).lines().last().unwrap()).unwrap()
}

#[test]
fn the_list_names_every_scenario() {
    let text = succeeds(&["list"]);
    let json = succeeds(&["list", "--json"]);
    let mut random = 0;
    for (line, json) in text.lines().zip(json.lines()) {
        let scenario: Value = serde_json::from_str(json).unwrap();
        let name = scenario["name"].as_str().unwrap();
        assert!(line.starts_with(name) && line.ends_with(scenario["summary"].as_str().unwrap()));
        random += u32::from(scenario["random"].as_bool().unwrap());
    }
    assert_eq!((text.lines().count(), json.lines().count()), (16, 16));
    assert!(random >= 10);
}

#[test]
fn a_description_has_the_timeline_and_a_file_that_runs_the_same() {
    let text = succeeds(&["describe", "elevator"]);
    assert!(text.contains("10s") && text.contains("block true for 20s..90s"), "{text}");
    let (_, file) = text.split_once("as a file\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    fs::write(&path, file).unwrap();
    let mine = summary(&["run", path.to_str().unwrap(), "--json"]);
    assert_eq!(mine["trace_hash"], summary(&["run", "elevator", "--json"])["trace_hash"]);
}

#[test]
fn a_run_ends_with_its_summary_and_is_replayed_from_its_seed() {
    let lines = succeeds(&["run", "elevator", "--seed", "5", "--workload", "flow", "--json"]);
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    let first = summary(&["run", "elevator", "--seed", "5", "--workload", "flow", "--json"]);
    assert_eq!(first["event"], "summary");
    assert_eq!((&first["scenario"], &first["seed"]), (&"elevator".into(), &5.into()));
    assert_eq!(first["virtual_ms"], 150_000);
    assert!(first["faults"]["blocked"].as_u64().unwrap() > 0);
    assert!(first["packets"].as_u64().unwrap() > 5_000);
    assert!(lines.contains(first["trace_hash"].as_str().unwrap()), "the same in another process");
    let other = summary(&["run", "elevator", "--seed", "6", "--workload", "flow", "--json"]);
    assert_ne!(first["trace_hash"], other["trace_hash"]);
}

#[test]
fn a_run_for_people_says_what_was_met() {
    let text = succeeds(&["run", "symmetric-rebind"]);
    for part in ["seed 1", "came back", "nat_mappings_rebound", "trace hash"] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    fails(&["run", "elevater"], "did you mean elevator?");
    fails(&["describe", "nowhere.toml"], "nowhere.toml cannot be read");
    fails(&["run", "wifi", "--seed", "many"], "--seed");
    fails(&["run", "wifi", "--workload", "game"], "echo, flow, bulk");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.toml");
    fs::write(&path, "duration = '60s'\nboth = { loss = 140 }").unwrap();
    fails(&["run", path.to_str().unwrap()], "line 2");
    fails(&["run", path.to_str().unwrap()], "140 % is impossible");
}
