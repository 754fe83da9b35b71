//! Faults first, then packets, then time; and luck that stays where it was.

use super::*;
use crate::link::Conditions;
use crate::nat::NatConfig;
use crate::packet::{Fate, Packet};
use crate::scenario::{NatStep, Occurrence, Path, Step};
use crate::time::Time;
use crate::world::World;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A packet up every 100 ms, without quinn.
fn run(scenario: &Scenario, seed: u64) -> (World, Taken) {
    let Path { mut world, clients, server_address, plan, .. } = scenario.build(seed).unwrap();
    let mut now = Time::ZERO;
    while now < Time::from(scenario.duration()) {
        while world.pop(now).is_some() {}
        if let Some(from) = world.source_address(clients[0], server_address) {
            let packet = Packet::new((from, 5000).into(), (server_address, 443).into(), vec![0; 100]);
            world.send(now, clients[0], packet);
        }
        now += Duration::from_millis(100);
    }
    while world.pop(now).is_some() {}
    let taken = plan.taken(&world);
    (world, taken)
}

/// Much happens, and only some of it matters.
fn busy() -> Scenario {
    let blocked = |from, to| {
        let step = Step::between(secs(from), secs(to)).lasting_between(secs(1), secs(4));
        step.up(Conditions::new().block(true))
    };
    Scenario::new("busy", secs(60))
        .both(Conditions::new().delay(Duration::from_millis(20)).jitter(Duration::from_millis(5)).loss(1.0))
        .down(Conditions::new().duplicate(1.0))
        .nat(NatConfig::linux())
        .step(Step::at(secs(5)).nat(NatStep::Reboot))
        .step(blocked(10, 20))
        .step(blocked(30, 35).nat(NatStep::RebindPorts))
        .step(Step::at(secs(50)).both(Conditions::new().mtu(1_000)))
}

/// When the first packet was blocked in that time.
fn blocked_from(scenario: &Scenario, from: u64, to: u64) -> Option<(Time, Taken)> {
    let (world, taken) = run(scenario, 3);
    let within = Time::from_secs(from)..Time::from_secs(to);
    let mut events = world.trace().events().iter();
    let first = events.find(|it| it.fate == Fate::Blocked && within.contains(&it.at))?;
    Some((first.at, taken))
}

#[test]
fn what_does_not_matter_is_taken_out_and_the_luck_of_the_rest_stays() {
    let (first, _) = blocked_from(&busy(), 30, 40).unwrap();
    let fails = |scenario: &Scenario, _| {
        let (again, taken) = blocked_from(scenario, 30, 40)?;
        assert_eq!(again, first, "the drawn times have moved");
        Some(taken)
    };
    let Shrunk { scenario, runs, out_of_runs, log, .. } = shrink(&busy(), 3, 500, fails).unwrap();
    let expected = Scenario::new("busy", scenario.duration()).step(
        Step::between(secs(30), secs(35))
            .lasting_between(secs(1), secs(4))
            .luck(2)
            .up(Conditions::new().block(true)),
    );
    assert_eq!(scenario, expected, "{log:#?}");
    assert_eq!(scenario.duration().as_secs(), first.since_start().as_secs() + 1);
    let before = busy().occurrences(3, "client")[2];
    assert_eq!(scenario.occurrences(3, "client"), [Occurrence { step: 0, ..before }]);
    assert!(!out_of_runs && runs < 100, "{runs}");
    assert!(log[0].starts_with("taken out: ") && log[0].contains("at[0] nat, at[2] nat, nat[0]"), "{log:#?}");
}

#[test]
fn loss_becomes_a_list_of_packets() {
    // Fails if the packets sent at 1.0 s and at 2.5 s are both lost.
    let lossy = Scenario::new("lossy", secs(60)).both(Conditions::new().loss(70.0).corrupt(5.0));
    let both = [11, 26];
    let fails = |scenario: &Scenario, seed| {
        let (_, taken) = run(scenario, seed);
        both.iter().all(|number| taken.up.contains(number)).then_some(taken)
    };
    let seed = (0..).find(|seed| fails(&lossy, *seed).is_some()).unwrap();
    let shrunk = shrink(&lossy, seed, 500, fails).unwrap();
    assert_eq!(shrunk.scenario, Scenario::new("lossy", secs(3)).up(Conditions::new().drop(both)));
    assert_eq!(shrunk.log[2], "loss and black holes became 2 lost packets");
    assert!(!shrunk.out_of_runs);
}

#[test]
fn many_lost_packets_say_less_than_one_fault() {
    let dark = Scenario::new("dark", secs(60)).step(Step::at(secs(20)).both(Conditions::new().block(true)));
    let fails = |scenario: &Scenario, seed| {
        let (_, taken) = run(scenario, seed);
        (taken.up.len() >= 150).then_some(taken)
    };
    let shrunk = shrink(&dark, 1, 500, fails).unwrap();
    let expected =
        Scenario::new("dark", secs(35)).step(Step::at(secs(20)).both(Conditions::new().block(true)));
    assert_eq!(shrunk.scenario, expected, "{:#?}", shrunk.log);
}

#[test]
fn the_number_of_runs_is_bounded() {
    let mut runs = 0;
    let shrunk = shrink(&busy(), 3, 7, |scenario, seed| {
        runs += 1;
        Some(run(scenario, seed).1)
    });
    let shrunk = shrunk.unwrap();
    assert_eq!((runs, shrunk.runs, shrunk.out_of_runs), (7, 7, true));
}

#[test]
fn what_passes_cannot_be_made_smaller() {
    let error = shrink(&busy(), 3, 9, |_, _| None).unwrap_err().to_string();
    assert_eq!(error, "seed 3 of \"busy\" does not fail: there is nothing to shrink");
    let nonsense = Scenario::new("nonsense", Duration::ZERO);
    assert!(shrink(&nonsense, 3, 9, |_, _| panic!("it ran")).is_err());
}

#[test]
fn names_become_identifiers() {
    assert_eq!(identifier("cgn-30s, seed 7"), "cgn_30s__seed_7");
    assert_eq!(identifier("30s"), "shrunk_30s");
}
