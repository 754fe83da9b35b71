//! Runs over a network on which nothing happens: what is counted must add up.

use serde_json::Value;

use crate::process::{Perf, Server};

/// Fields that count messages.
const OUTCOMES: [&str; 4] = ["delivered", "lost", "superseded", "expired"];

/// What was sent in a direction, having checked that every message has one outcome.
pub(crate) fn checked(direction: &Value, size: u64) -> u64 {
    let number = |name: &str| direction[name].as_u64().unwrap_or_else(|| panic!("{name} of {direction}"));
    assert_eq!(number("sent"), OUTCOMES.map(number).iter().sum::<u64>(), "{direction}");
    assert_eq!((number("duplicated"), number("corrupted")), (0, 0), "{direction}");
    assert_eq!(number("bytes"), number("delivered") * size);
    for name in ["seconds", "rate", "longest_gap_ms", "longest_gap_at_ms"] {
        assert!(direction[name].is_number(), "{name} of {direction}");
    }
    for name in ["p50", "p90", "p99", "max"] {
        assert!(direction["latency_ms"][name].is_number(), "{name} of {direction}");
    }
    #[cfg(unix)]
    assert!(direction["cpu_us_per_message"].as_f64().unwrap() > 0.0, "{direction}");
    number("sent")
}

/// The same for a direction in which everything must arrive, once and in order.
fn perfect(direction: &Value, size: u64) -> u64 {
    let sent = checked(direction, size);
    assert_eq!(
        (&direction["delivered"], &direction["out_of_order"]),
        (&sent.into(), &0.into()),
        "{direction}"
    );
    sent
}

/// Runs to the end. Yields the summary.
pub(crate) fn run(server: &Server, options: &str) -> Value {
    let ended = server.run(options).wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{options}: {ended:?}");
    assert!(ended.has_event("connected") && ended.has_event("began") && ended.has_event("closed"));
    let summary = ended.summary();
    for (name, expected) in [("reconnects", 0), ("resumes", 0), ("resets", 0), ("path_changes", 0)] {
        assert_eq!(summary[name], expected, "{options}: {name}");
    }
    assert_eq!(summary["broken"].as_array().map(Vec::len), Some(0));
    summary
}

#[test]
fn a_count_is_sent_in_each_direction_that_was_asked_for() {
    let server = Server::start();
    for pattern in ["throughput", "acked"] {
        for (direction, up, down) in [("up", true, false), ("down", false, true), ("both", true, true)] {
            let summary =
                run(&server, &format!("--pattern {pattern} --direction {direction} --count 5000 --size 32"));
            for (name, used) in [("up", up), ("down", down)] {
                match used {
                    true => assert_eq!(perfect(&summary[name], 32), 5000),
                    false => assert!(summary[name].is_null(), "{direction}: {summary}"),
                }
            }
        }
    }
}

#[test]
fn every_size_arrives_intact() {
    let server = Server::start();
    for (size, count) in
        [(24, 3000), (1024, 3000), (16_384, 300), (65_536, 100), (65_537, 50), (1_048_576, 12)]
    {
        for pattern in ["throughput", "acked"] {
            let options = format!("--pattern {pattern} --direction both --size {size} --count {count}");
            let summary = run(&server, &options);
            assert_eq!((perfect(&summary["up"], size), perfect(&summary["down"], size)), (count, count));
        }
    }
}

#[test]
fn pings_are_answered_one_at_a_time() {
    let server = Server::start();
    for direction in ["up", "down", "both"] {
        let summary = run(&server, &format!("--pattern ping --direction {direction} --count 200 --size 64"));
        for name in ["up", "down"].into_iter().filter(|name| direction == *name || direction == "both") {
            assert_eq!(perfect(&summary[name], 64), 200);
        }
    }
}

#[test]
fn a_flow_keeps_to_its_rate() {
    let server = Server::start();
    let summary = run(&server, "--pattern flow --rate 200 --seconds 1 --direction both");
    assert_eq!((perfect(&summary["up"], 1024), perfect(&summary["down"], 1024)), (200, 200));
}

#[test]
fn channels_share_the_messages() {
    let server = Server::start();
    for (pattern, count) in [("throughput", 5003), ("acked", 5003), ("ping", 103), ("flow --rate 500", 103)] {
        let options = format!("--pattern {pattern} --direction both --channels 7 --count {count} --size 100");
        let summary = run(&server, &options);
        assert_eq!((perfect(&summary["up"], 100), perfect(&summary["down"], 100)), (count, count));
    }
}

#[test]
fn a_run_may_be_as_long_as_a_time() {
    let server = Server::start();
    for pattern in ["throughput", "acked", "ping"] {
        let summary = run(&server, &format!("--pattern {pattern} --seconds 0.3"));
        assert!(perfect(&summary["up"], 1024) > 0);
    }
}

#[test]
fn a_window_bounds_what_is_unresolved() {
    let server = Server::start();
    for options in
        ["--pattern acked --size 1000 --window 3000", "--pattern throughput --size 1000 --window 65536"]
    {
        let summary = run(&server, &format!("{options} --count 2000"));
        assert_eq!(perfect(&summary["up"], 1000), 2000);
    }
}

#[test]
fn a_server_has_many_clients_at_once() {
    let server = Server::start();
    let options =
        ["--direction up", "--direction down", "--pattern ping", "--pattern acked --direction both"];
    let clients: Vec<_> = options.map(|options| server.run(&format!("{options} --count 500"))).into();
    for (client, options) in clients.into_iter().zip(options) {
        let ended = client.wait();
        assert_eq!(ended.code, Some(0), "{options}: {ended:?}");
    }
}

#[test]
fn without_json_there_is_a_table() {
    let server = Server::start();
    let words = ["run", &server.addr, "--fingerprint", &server.fingerprint, "--count", "100"];
    let ended = Perf::start(&words).wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(ended.rest.iter().any(|line| line.split_whitespace().eq(["delivered", "100"])), "{ended:?}");
    assert_eq!(ended.rest.last().unwrap(), "every promise was kept");
    assert!(!ended.rest.iter().any(|line| line.contains('\u{1b}')), "{ended:?}");
}
