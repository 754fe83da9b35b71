//! What a run is told while it goes on, and how it says nothing.

use crate::process::Server;

#[test]
fn a_run_that_is_told_of_another_network_makes_a_connection_there() {
    let server = Server::start();
    let mut run = server.run_with_hints("--pattern flow --rate 50 --seconds 3");
    run.event("began");
    run.say("network-change");
    assert!(run.event("problem")["text"].as_str().unwrap().contains("network-changed"));
    run.say("network-changed");
    assert_eq!(run.event("hint")["given"], "network-changed");
    run.event("resumed");
    let ended = run.wait();
    let summary = ended.summary();
    assert_eq!((ended.code, &summary["resumes"]), (Some(0), &1.into()), "{ended:?}");
    assert_eq!((&summary["up"]["delivered"], &summary["up"]["sent"]), (&150.into(), &150.into()));
}

#[test]
fn the_longest_gaps_are_told_and_beats_are_counted() {
    let server = Server::start();
    let run = server.run("--pattern flow --rate 1 --count 4 --direction down --heartbeat 2 --settle 0.5");
    let summary = run.wait().summary();
    let gaps = summary["down"]["gaps_ms"].as_array().unwrap();
    let longest = gaps.iter().map(|gap| gap[1].as_f64().unwrap()).fold(0.0, f64::max);
    assert_eq!(Some(longest), summary["down"]["longest_gap_ms"].as_f64());
    // Four messages, a second between any two; no acknowledgement of a client that says nothing replaces its beats.
    assert!(gaps.iter().filter(|gap| gap[1].as_f64().unwrap() >= 900.0).count() >= 3, "{gaps:?}");
    assert!(gaps.is_sorted_by_key(|gap| gap[0].as_f64().unwrap().to_bits()), "{gaps:?}");
    let upload = server.run("--pattern flow --rate 20 --count 100 --heartbeat 2").wait().summary();
    assert_eq!(upload["beats"], 0, "acknowledged messages replace them");
}
