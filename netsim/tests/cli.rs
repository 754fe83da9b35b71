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
    fails(&["run", "wifi", "--gap-max", "soon"], "is no length of time");
    fails(&["run", "wifi", "--report", "/nowhere/at/all.html"], "/nowhere/at/all.html cannot be written");
    for (seeds, says) in [
        ("9..3", "the range \"9..3\" is empty: the first seed lies below the last"),
        ("3..3", "is empty"),
        ("7", "is no range of seeds"),
        ("a..9", "is no range of seeds"),
        ("0..99999999", "more than 10000000"),
    ] {
        fails(&["sweep", "wifi", "--seeds", seeds], says);
    }
    fails(&["sweep", "elevater", "--seeds", "0..2"], "did you mean elevator?");
    fails(&["sweep", "wifi", "--seeds", "0..2", "--jobs", "0"], "--jobs");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.toml");
    fs::write(&path, "duration = '60s'\nboth = { loss = 140 }").unwrap();
    fails(&["run", path.to_str().unwrap()], "line 2");
    fails(&["run", path.to_str().unwrap()], "140 % is impossible");
}

/// A ride of 12 s with 4 s of nothing in it, and a little loss.
const RIDE: &str = "duration = '12s'\nboth = { delay = '20ms', loss = 1 }\n[[nat]]\n\
    [[at]]\ntime = '4s'\nfor = '4s'\nboth = { block = true }\nnat = 'rebind-ports'\n";

struct Ride {
    folder: tempfile::TempDir,
    path: String,
}

impl Ride {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my ride").join("ride.toml");
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, RIDE).unwrap();
        Self { path: path.to_str().unwrap().to_owned(), folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn a_run_leaves_its_files_behind() {
    let ride = Ride::new();
    let [page, capture, events] = ["run.html", "run.pcapng", "run.jsonl"].map(|name| ride.file(name));
    let files = ["--report", &page, "--pcap", &capture, "--events", &events];
    let line = summary(&[&["run", &ride.path, "--ipv6", "--twice", "--json"][..], &files].concat());
    assert_eq!((&line["passed"], &line["why"]), (&true.into(), &Value::Null));
    assert!(fs::read_to_string(page).unwrap().contains(line["trace_hash"].as_str().unwrap()));
    assert_eq!(fs::read(capture).unwrap()[..4], 0x0a0d_0d0a_u32.to_le_bytes());
    let events = fs::read_to_string(events).unwrap();
    let sent = events.lines().filter(|line| line.contains("\"sent\"")).count() as u64;
    assert_eq!(line["packets"], sent);
    assert!(events.contains("[2001:db8:"), "it was IPv6");
}

#[test]
fn a_description_can_be_a_picture() {
    let ride = Ride::new();
    let svg = ride.file("ride.svg");
    succeeds(&["describe", &ride.path, "--svg", &svg]);
    assert!(fs::read_to_string(svg).unwrap().contains("4.000 s to 8.000 s"));
}

#[test]
fn a_run_that_waits_too_long_is_shrunk_to_a_test() {
    let ride = Ride::new();
    let output =
        netsim(&["run", &ride.path, "--seed", "3", "--gap-max", "3s", "--shrink-runs", "40", "--json"]);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    let replay = format!("replay it: netsim run '{}' --seed 3 --gap-max 3000ms", ride.path);
    assert!(said.contains("nothing arrived for") && said.contains(&replay), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [.., shrunk, summary] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&summary["passed"], &shrunk["event"]), (&false.into(), &"shrunk".into()));
    // What it prints is what stands below, and that fails as it should.
    let test = shrunk["test"].as_str().unwrap();
    assert!(include_str!("cli.rs").contains(test), "{test}");
    let fails = std::panic::catch_unwind(ride_seed_3).unwrap_err();
    assert!(fails.downcast_ref::<String>().unwrap().starts_with("nothing arrived for"));
}

macro_rules! without_the_attribute {
    (#[test] fn $name:ident() $body:block) => {
        fn $name() $body
    };
}

without_the_attribute! {
#[test]
fn ride_seed_3() {
    let text = r#"
name = "ride"
duration = "8s"

[[at]]
time = "4s"
for = "4s"

[at.both]
block = true
"#;
    let scenario = bowline_netsim::Scenario::from_toml(text).unwrap();
    let seed = 3;
    let workload = bowline_netsim::quic::Workload::Echo;
    let summary = bowline_netsim::quic::run(&scenario, seed, workload).unwrap();
    let most = std::time::Duration::from_nanos(3000000000);
    assert!(summary.longest_gap <= most, "nothing arrived for {:?}", summary.longest_gap);
}
}

#[test]
fn a_sweep_tells_each_run_in_order_and_how_to_replay_it() {
    let ride = Ride::new();
    let page = ride.file("sweep.html");
    let sweep = ["sweep", &ride.path, "--seeds", "2..=5", "--jobs", "3", "--report", &page];
    let lines = succeeds(&[&sweep[..], &["--json"]].concat());
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seeds: Vec<_> = lines[..4].iter().map(|line| line["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [2, 3, 4, 5]);
    assert_eq!((&lines[4]["runs"], &lines[4]["failed"]), (&4.into(), &0.into()));
    let again = summary(&["run", &ride.path, "--seed", "4", "--json"]);
    assert_eq!((&lines[2]["event"], &lines[2]["trace_hash"]), (&"run".into(), &again["trace_hash"]));
    assert!(fs::read_to_string(page).unwrap().contains("seed 4: longest gap"));
}

#[test]
fn a_sweep_that_fails_names_the_seeds_and_shrinks_the_first() {
    let ride = Ride::new();
    let arguments = ["sweep", &ride.path, "--seeds", "0..3", "--gap-max", "3s", "--shrink-runs", "5"];
    let output = netsim(&arguments);
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("3 of 3 runs failed"));
    let text = String::from_utf8(output.stdout).unwrap();
    for seed in 0..3 {
        assert!(text.contains(&format!("--seed {seed} --gap-max 3000ms")), "{text}");
    }
    assert!(text.contains("shrunk in 5 runs of seed 0") && text.contains("fn ride_seed_0()"), "{text}");
}

#[test]
fn a_fault_that_never_fired_fails_the_run() {
    let ride = Ride::new();
    fs::write(&ride.path, format!("{RIDE}[[at]]\ntime = '9s'\nboth = {{ drop = [999999] }}\n")).unwrap();
    fails(&["run", &ride.path], "at[1] (9s) both: drop: hit nothing");
    fails(&["sweep", &ride.path, "--seeds", "0..2"], "2 of 2 runs failed");
}
