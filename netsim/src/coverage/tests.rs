//! Faults that fired, faults that did not, and those that nobody can tell about.

use std::time::Duration;

use super::*;
use crate::nat::NatConfig;
use crate::packet::Packet;
use crate::scenario::{Access, NatStep, Path, Step};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn on() -> Conditions {
    Conditions::new()
}

/// The client sends a packet of this many bytes every 100 ms up to this moment; nobody answers.
fn coverage(scenario: &Scenario, bytes: usize, until: u64) -> Coverage {
    let Path { mut world, clients, server_address, plan, .. } = scenario.build(1).unwrap();
    let to = (server_address, 443).into();
    let end = Time::from(scenario.duration());
    let mut now = Time::ZERO;
    while now < end {
        while world.pop(now).is_some() {}
        let from = world.source_address(clients[0], server_address);
        if let Some(from) = from.filter(|_| now < Time::from_secs(until)) {
            world.send(now, clients[0], Packet::new((from, 5000).into(), to, vec![0; bytes]));
        }
        now += Duration::from_millis(100);
    }
    plan.coverage(&world, end)
}

#[track_caller]
fn verdicts(scenario: &Scenario, bytes: usize, until: u64) -> Vec<(String, Fired)> {
    let faults = coverage(scenario, bytes, until).faults;
    faults.iter().map(|fault| (fault.to_string(), fault.verdict())).collect()
}

/// Every fault that there is, over 10 s.
fn everything() -> Scenario {
    let step = |at| Step::at(secs(at)).lasting(secs(1));
    let base = on().loss(10.0).reorder(10.0, secs(1)).duplicate(10.0).corrupt(10.0).drop([3]);
    Scenario::new("all", secs(30))
        .both(base)
        .nat(NatConfig::linux())
        .other(Access::new().both(on().drop([1])))
        .step(step(2).both(on().block(true)))
        .step(step(4).both(on().stall(true)))
        .step(step(6).both(on().mtu(500)))
        .step(step(8).up(on().loss(100.0)))
        .step(step(10).both(on().rate(1_000_000)))
        .step(Step::at(secs(12)).every(secs(3)).nat(NatStep::RebindPorts))
        .step(Step::at(secs(20)).move_after(secs(1), secs(2)))
}

#[test]
fn what_packets_meet_has_fired() {
    let met = verdicts(&everything(), 1_000, 30);
    assert_eq!(met.len(), 13, "{met:#?}");
    assert!(met.iter().all(|(_, verdict)| *verdict == Fired::Yes), "{met:#?}");
    coverage(&everything(), 1_000, 30).check().unwrap();
    // The client moves away at 20 s: what happens to the NAT that it has left is nothing to it.
    let words: Vec<_> = met.iter().map(|(words, _)| words.as_str()).collect();
    assert!(words.contains(&"at[5] (12s, every 3s) nat: rebind-ports: hit 3 in 3 of 6 rounds"), "{words:#?}");
    assert!(words.contains(&"at[0] (2s) both: block: hit 10"), "{words:#?}");
}

#[test]
fn what_nobody_meets_has_not() {
    // Small packets are no test of an MTU, and whoever is silent after 5 s tests nothing that comes later.
    let never: Vec<_> = verdicts(&everything(), 100, 5)
        .into_iter()
        .filter(|(_, verdict)| *verdict == Fired::Never)
        .map(|(words, _)| words)
        .collect();
    let expected = [
        "other network, both: drop: hit nothing",
        "at[2] (6s) both: mtu 500: hit nothing",
        "at[3] (8s) up: loss 100 %: hit nothing",
        "at[4] (10s) both: other conditions: hit nothing",
        "at[5] (12s, every 3s) nat: rebind-ports: hit nothing",
        "at[6] (20s) move-after: hit nothing",
    ];
    assert_eq!(never, expected);
    let refused = coverage(&everything(), 100, 5).check().unwrap_err().to_string();
    assert!(refused.starts_with("the scenario was not exercised: other network"), "{refused}");
}

#[test]
fn a_run_without_traffic_proves_nothing() {
    let quiet = coverage(&Scenario::new("quiet", secs(1)), 100, 0);
    assert_eq!(quiet.check().unwrap_err().to_string(), "the scenario was not exercised: no packet was sent");
    let busy = coverage(&Scenario::new("busy", secs(1)), 100, 1);
    assert_eq!(busy.check(), Ok(()));
}

#[test]
fn a_share_is_judged_only_where_it_had_its_chance() {
    let rare = |duration| Scenario::new("rare", secs(duration)).up(on().loss(0.001).duplicate(100.0));
    let found = coverage(&rare(30), 100, 30);
    assert_eq!((found.faults[0].verdict(), found.faults[1].verdict()), (Fired::TooFewPackets, Fired::Yes));
    assert!((found.faults[0].expected.unwrap() - 0.003).abs() < 1e-9, "{found:?}");
    assert_eq!(found.check(), Ok(()));
    // Where 20 were to be expected and none came, something is wrong.
    let judged = |expected| Exercise { expected: Some(expected), came: 1, ..Exercise::new("x".into()) };
    assert_eq!(judged(19.9).verdict(), Fired::TooFewPackets);
    assert_eq!(judged(20.0).verdict(), Fired::Never);
    // Nobody sent anything: that is no bad luck.
    assert_eq!(judged(0.0).verdict(), Fired::Never);
    // Bursts count, not packets.
    let bursts = Scenario::new("bursts", secs(30)).up(on().loss(50.0).burst(10.0));
    assert!((coverage(&bursts, 100, 30).faults[0].expected.unwrap() - 15.0).abs() < 1e-9);
}

#[test]
fn a_fault_whose_moment_is_drawn_may_meet_nobody_but_not_in_every_run() {
    let clog = |step: Step| Scenario::new("clog", secs(9)).step(step.lasting(secs(1)).down(on().block(true)));
    // Nothing ever goes down. Where the time is written there is no excuse.
    assert_eq!(coverage(&clog(Step::at(secs(3))), 100, 9).faults[0].verdict(), Fired::Never);
    let mut runs = coverage(&clog(Step::between(secs(3), secs(5))), 100, 9);
    let one = runs.clone();
    assert_eq!(one.check(), Ok(()));
    for _ in 0..18 {
        runs.merge(&one);
    }
    assert_eq!(runs.faults[0].verdict(), Fired::TooFewPackets);
    runs.merge(&one);
    assert_eq!(runs.faults[0].verdict(), Fired::Never);
}

#[test]
fn many_runs_tell_of_what_is_rare_in_each() {
    let mut runs = coverage(&Scenario::new("rare", secs(30)).up(on().loss(1e-9)), 100, 30);
    runs.faults[0].expected = Some(1.1);
    let one = runs.clone();
    for _ in 0..18 {
        runs.merge(&one);
    }
    assert_eq!((one.check().is_ok(), runs.check().is_ok()), (true, false));
}

#[test]
fn one_direction_takes_the_place_of_both() {
    let scenario = Scenario::new("sides", secs(9)).both(on().loss(50.0)).up(on().loss(60.0));
    let words: Vec<_> = verdicts(&scenario, 100, 9).into_iter().map(|(_, verdict)| verdict).collect();
    // Nothing goes down, where "both" is left.
    assert_eq!(words, [Fired::Never, Fired::Yes]);
}

#[test]
fn a_run_that_ends_early_says_so() {
    let scenario = Scenario::new("early", secs(30)).step(Step::at(secs(20)).both(on().block(true)));
    let Path { world, plan, .. } = scenario.build(1).unwrap();
    let found = plan.coverage(&world, Time::from_secs(10));
    assert_eq!(found.faults[0].to_string(), "at[0] (20s) both: block: the run ended before it");
    assert_eq!(found.faults[0].verdict(), Fired::Never);
}

#[test]
fn a_silence_is_there_to_let_a_mapping_expire() {
    let scenario =
        Scenario::new("silent", secs(60)).silence(secs(40)).nat(NatConfig::new().timeout(secs(30)));
    // Nobody is silent.
    let found = coverage(&scenario, 100, 60);
    assert_eq!(found.faults[0].to_string(), "a silence of 40s where a NAT remembers for 30s: hit nothing");
    let patient = Scenario::new("patient", secs(60)).silence(secs(40)).nat(NatConfig::new());
    assert_eq!(coverage(&patient, 100, 60).faults, []);
}
