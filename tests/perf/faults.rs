//! Servers that stop taking messages, that leave, and that are killed and come back.
#![cfg(unix)]

use serde_json::Value;

use crate::process::Server;

fn numbers<const N: usize>(direction: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| direction[name].as_u64().unwrap_or_else(|| panic!("{name} of {direction}")))
}

#[test]
fn a_server_whose_application_stalls_shows_as_a_gap() {
    let server = Server::start_with(&["--stall", "1"]);
    let ended = server.run("--pattern flow --rate 50 --seconds 5").wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let up = &ended.summary()["up"];
    assert_eq!(numbers(up, ["sent", "delivered", "duplicated"]), [250, 250, 0]);
    // Not how fast anything is: it is what was asked for.
    assert!(up["longest_gap_ms"].as_f64().unwrap() >= 950.0, "{up}");
    assert!(up["longest_gap_at_ms"].as_f64().unwrap() >= 2900.0, "{up}");
}

#[test]
fn a_server_whose_application_takes_nothing_is_told_of_on_both_sides_and_nothing_is_lost() {
    let server = Server::start_with(&["--stall", "6"]);
    let client = server.run("--pattern flow --rate 50 --seconds 5");
    assert_eq!(server.perf.event("own_service")["health"], "stalled");
    let ended = client.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let services: Vec<_> = ended.rest.iter().filter(|line| line.contains("\"service\"")).collect();
    let is = |line: &str, health: &str| line.contains(&format!("\"health\":\"{health}\""));
    assert!(services.len() == 2 && is(services[0], "stalled") && is(services[1], "serving"), "{services:?}");
    assert!(!ended.has_event("suspect") && !ended.has_event("reconnecting"), "{ended:?}");
    let up = &ended.summary()["up"];
    assert_eq!(numbers(up, ["sent", "delivered", "duplicated"]), [250, 250, 0]);
}

#[test]
fn a_server_that_is_stopped_is_unreachable_and_no_word_is_said_of_its_service() {
    let server = Server::start();
    let client = server.run("--pattern flow --rate 50 --seconds 4 --reconnect responsive");
    client.event("began");
    server.perf.signal("STOP");
    client.event("suspect");
    client.event("reconnecting");
    server.perf.signal("CONT");
    let ended = client.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.has_event("service"), "{ended:?}");
    let up = &ended.summary()["up"];
    assert_eq!(numbers(up, ["sent", "delivered", "duplicated", "lost"]), [200, 200, 0, 0]);
}

#[test]
fn a_run_whose_server_leaves_says_so_and_what_it_knows() {
    for direction in ["up", "down"] {
        let server = Server::start();
        let client = server.run(&format!("--pattern flow --rate 100 --seconds 30 --direction {direction}"));
        client.event("began");
        server.perf.signal("TERM");
        let ended = client.wait();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.has_event("closed"), "{ended:?}");
        let broken = ended.summary()["broken"].to_string();
        assert!(broken.contains("cut short") && broken.contains("stopped"), "{broken}");
        assert_eq!(server.perf.wait().code, Some(0));
    }
}

/// Kills a server in the middle of a run, and starts another one in its place.
fn survive(options: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.pem");
    let identity = ["--identity", file.to_str().unwrap()];
    let server = Server::start_with(&identity);
    let client = server.run(&format!("--reconnect responsive {options}"));
    client.event("began");
    let addr = server.addr.clone();
    server.perf.signal("KILL");
    assert_eq!(server.perf.wait().code, None);
    let _again = Server::start_with(&[&identity[..], &["--addr", &addr]].concat());
    let ended = client.wait();
    assert!(ended.has_event("reconnecting") && ended.has_event("reset"), "{options}: {ended:?}");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{options}: {ended:?}");
    let summary = ended.summary();
    assert_eq!((&summary["resets"], &summary["resumes"]), (&1.into(), &0.into()));
    summary
}

#[test]
fn a_flow_goes_on_when_its_server_was_killed_and_is_back() {
    let summary = survive("--pattern flow --rate 100 --seconds 6 --direction both");
    for name in ["up", "down"] {
        let direction = &summary[name];
        let [sent, delivered, lost, unknown] = numbers(direction, ["sent", "delivered", "lost", "unknown"]);
        assert_eq!((sent, lost <= unknown), (delivered + lost, true), "{direction}");
        assert_eq!(numbers(direction, ["duplicated", "out_of_order", "corrupted"]), [0; 3], "{direction}");
        // The one that came back had its part in it.
        assert!(delivered > 100, "{direction}");
    }
    assert_eq!(summary["up"]["sent"], 600);
}

#[test]
fn a_flow_goes_on_in_every_other_mode() {
    for mode in ["reliable-unordered", "reliable-latest", "unreliable", "unreliable-sequenced"] {
        let summary = survive(&format!("--delivery {mode} --pattern flow --rate 100 --seconds 5"));
        let up = &summary["up"];
        let [sent, delivered, lost] = numbers(up, ["sent", "delivered", "lost"]);
        assert_eq!((sent, numbers(up, ["duplicated", "corrupted"])), (500, [0; 2]), "{mode}: {up}");
        assert!(delivered > 50 && delivered + lost <= sent, "{mode}: {up}");
    }
}

#[test]
fn full_speed_goes_on_when_its_server_was_killed_and_is_back() {
    for pattern in ["throughput", "acked"] {
        let summary = survive(&format!("--pattern {pattern} --count 200000 --size 100"));
        let up = &summary["up"];
        let [sent, delivered, lost, unknown] = numbers(up, ["sent", "delivered", "lost", "unknown"]);
        assert_eq!((sent, delivered + lost), (200_000, sent), "{up}");
        assert!(lost <= unknown && delivered > 0, "{up}");
    }
}

#[test]
fn pings_go_on_when_their_server_was_killed_and_is_back() {
    let summary = survive("--pattern ping --count 8000 --direction both");
    let names = ["sent", "delivered", "lost", "duplicated", "corrupted"];
    let [sent, delivered, lost, duplicated, corrupted] = numbers(&summary["up"], names);
    assert_eq!((sent, delivered + lost, duplicated, corrupted), (8000, sent, 0, 0), "{summary}");
    // What was answered between the last word of the one that was killed and its end, nobody knows.
    let [_, delivered, _, duplicated, corrupted] = numbers(&summary["down"], names);
    assert!(delivered > 0 && (duplicated, corrupted) == (0, 0), "{summary}");
}
