//! Scenarios mean the same from code and from files, and bad ones say what is wrong.

use std::time::Duration;

use super::*;
use crate::packet::{Fate, Packet};
use crate::time::Time;
use crate::trace::TraceHash;

/// A packet each way every 20 ms, without quinn.
fn hash(scenario: &Scenario, seed: u64) -> TraceHash {
    let Path { mut world, clients, server, server_address, .. } = scenario.build(seed).unwrap();
    let to = (server_address, 443).into();
    let mut seen = None;
    let mut now = Time::ZERO;
    while now < Time::from(scenario.duration()) {
        while let Some(delivery) = world.pop(now) {
            if delivery.host == server {
                seen = Some(delivery.packet.from);
            }
        }
        if let Some(from) = world.source_address(clients[0], server_address) {
            world.send(now, clients[0], Packet::new((from, 5000).into(), to, vec![0; 100]));
        }
        if let Some(client) = seen {
            world.send(now, server, Packet::new(to, client, vec![0; 100]));
        }
        now += Duration::from_millis(20);
    }
    assert!(world.trace().fates()[&Fate::Sent] > 100);
    world.trace().hash()
}

#[test]
fn every_named_scenario_survives_being_written_and_read() {
    for scenario in Scenario::all() {
        scenario.check().unwrap();
        let read = Scenario::from_toml(&scenario.to_toml().unwrap()).unwrap();
        assert_eq!(read, scenario);
        assert_eq!(hash(&read, 1), hash(&scenario, 1), "{}", scenario.name());
    }
}

#[test]
fn the_seed_matters_exactly_where_a_scenario_is_random() {
    let mut random = 0;
    for scenario in Scenario::all() {
        let same = hash(&scenario, 1) == hash(&scenario, 2);
        assert_eq!(same, !scenario.is_random(), "{}", scenario.name());
        random += usize::from(scenario.is_random());
    }
    assert!(random >= 10, "{random}");
}

#[test]
fn a_scenario_is_also_one_of_ipv6() {
    let scenario = Scenario::subway().ipv6();
    assert!(scenario.build(1).unwrap().server_address.is_ipv6());
    assert_eq!(hash(&scenario, 3), hash(&scenario, 3));
}

#[test]
fn a_drawn_time_stays_in_its_range() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let Path { mut world, .. } = Scenario::elevator().build(seed).unwrap();
        while world.pop(Time::from_secs(150)).is_some() {}
        let block = world.happenings().first().unwrap().at;
        let unblock = world.happenings().last().unwrap().at;
        assert_eq!(block, Time::from_secs(10));
        assert!((Duration::from_secs(20)..=Duration::from_secs(90)).contains(&(unblock - block)));
        lengths.insert(unblock - block);
    }
    assert!(lengths.len() > 40);
}

#[test]
fn a_recorded_trace_can_stand_in_a_file() {
    let read = Scenario::from_toml("duration = '10s'\ndown = { trace = [3, 3, 10] }").unwrap();
    assert_eq!(Scenario::from_toml(&read.to_toml().unwrap()).unwrap(), read);
}

#[test]
fn a_recorded_trace_can_stand_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let load = || Scenario::load(&folder.path().join("mine.toml"));
    file(
        "mine.toml",
        "duration = '10s'\ndown = { trace = 'lte.trace' }\n[[at]]\ntime = '5s'\nup.trace = 'lte.trace'",
    );
    let error = load().unwrap_err().to_string();
    assert!(error.contains("lte.trace cannot be read: "), "{error}");
    file("lte.trace", "3\n3\nten\n");
    let error = load().unwrap_err().to_string();
    assert!(error.contains("lte.trace: trace line 3: \"ten\" is no number of milliseconds"), "{error}");
    file("lte.trace", "3\n3\n10\n");
    let inline = "name = 'mine'\nduration = '10s'\ndown.trace = [3, 3, 10]\n[[at]]\ntime = '5s'\nup.trace = [3, 3, 10]";
    assert_eq!(load().unwrap(), Scenario::from_toml(inline).unwrap());
    assert_eq!(Scenario::from_toml(&load().unwrap().to_toml().unwrap()).unwrap(), load().unwrap());
    // A text alone has no folder.
    refused(
        "duration = '10s'\ndown = { trace = 'lte.trace' }",
        &["trace = \"lte.trace\"", "load the scenario"],
    );
    refused(
        "duration = '10s'\ndown = { trace = 7 }",
        &["line 2", "a list of milliseconds, or the name of a file"],
    );
}

#[track_caller]
fn refused(text: &str, says: &[&str]) {
    let error = Scenario::from_toml(text).unwrap_err().to_string();
    for part in says {
        assert!(error.contains(part), "{part:?} is missing in:\n{error}");
    }
}

#[test]
fn a_bad_file_is_refused_with_its_line_and_key() {
    refused("duration = '60s'\n\n[both]\nloss = 140", &["line 4", "loss = 140", "140 % is impossible"]);
    refused("duration = '60s'\n[both]\nlos = 2", &["line 3", "unknown field `los`", "loss"]);
    refused("duration = '60s'\n[both\nloss = 2", &["line 2"]);
    refused("duration = 60", &["line 1", "duration"]);
    refused("duration = '60 parsecs'", &["line 1", "is no length of time"]);
    refused("both = { loss = 2 }", &["duration"]);
    refused("duration = '60s'\n[[nat]]\nmapping = 'cone'", &["line 3", "cone", "endpoint-independent"]);
    refused("duration = '60s'\n[[nat]]\ntimeout = '0s'", &["nat timeout = 0s is impossible"]);
    refused("duration = '0s'", &["duration = 0s"]);
    refused("duration = '60s'\nboth = { rate = '8 MB/s' }", &["line 2", "rate", "Mbit/s"]);
    refused(
        "duration = '9s'\n[[at]]\ntime = '10s'\nboth = { block = true }",
        &["at[0]: time = 10s", "behind the end"],
    );
    refused("duration = '9s'\n[[at]]\ntime = '1s'\nnat = 'forget'", &["at[0]: nat", "add a [[nat]]"]);
    refused("duration = '9s'\n[[at]]\ntime = '1s'\nmove-after = '1s'", &["at[0]: move-after", "[other]"]);
    refused("duration = '9s'\n[[at]]\ntime = '5s..1s'", &["line 3", "ends before it begins"]);
    refused("duration = '9s'\n[[at]]\ntime = '1s'\nfor = '1s'", &["at[0]: for"]);
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let error = |name| Scenario::find(name).unwrap_err().to_string();
    assert!(error("elevater").contains("did you mean elevator?"), "{}", error("elevater"));
    assert!(error("cgn").contains("did you mean cgn-30s"), "{}", error("cgn"));
    assert!(error("zzzzzzzzzzzz").contains("netsim list"));
    assert!(error("nowhere.toml").contains("nowhere.toml cannot be read"));
    assert_eq!(Scenario::find("subway").unwrap(), Scenario::subway());
}
