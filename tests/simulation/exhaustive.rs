//! Every place where something can go wrong once, one run for each.
//!
//! Two programs chat over a good line. In each run one packet is lost, or the NAT gives another port just before a packet, or
//! the connection is cut there: all the client's sockets go dead, and it has to dial again. The runs of one test differ
//! in nothing but the place, so together they have met every one: of a chat with several hundred packets each way the
//! first 300, and of a short session, from the first Hello over a resume to the goodbye, all.

use std::time::Duration;

use bowline::Delivery;
use bowline_netsim::{Conditions, NatConfig, Scenario};

use crate::crowd;
use crate::gate::{Act, At, Trap};
use crate::invariants::{Expected, words};
use crate::plan::{Close, Line, Plan, Talk, ms, secs};
use crate::run::{Outcome, run};
use crate::seeds;
use crate::world::Who;

/// The packets of a direction, from the first on, each of which something happens to.
const PACKETS: u64 = 300;

fn line() -> Scenario {
    let air = Conditions::new().delay(ms(10));
    Scenario::new("line", secs(4)).both(air).nat(NatConfig::linux())
}

fn plan(scenario: Scenario, lines: Vec<Line>, closer: Who) -> Plan {
    let closes = vec![Close { who: closer, at: None, drain: secs(5) }];
    Plan { closes, faulty: false, ..Plan::new(1, scenario, lines) }
}

/// A chat in which both sides have a lot to say.
fn chat(scenario: Scenario) -> Plan {
    let lines = vec![
        Line::new("chat", Delivery::ReliableOrdered, Talk::chat(170, ms(10))),
        Line::new("reactions", Delivery::ReliableUnordered, Talk::chat(60, ms(30))),
        Line::new("presence", Delivery::ReliableLatest, Talk::chat(40, ms(40))),
    ];
    plan(scenario, lines, Who::Client)
}

/// A session in short: it begins, says a few things, loses its connection, goes on, and ends.
pub(crate) fn episode(closer: Who) -> Plan {
    let mut files = Line::new("files", Delivery::ReliableUnordered, Talk::chat(1, ms(100)));
    files.talks.iter_mut().for_each(|talk| talk.large = (100, 80_000));
    let lines = vec![Line::new("chat", Delivery::ReliableOrdered, Talk::chat(4, ms(40))), files];
    let mut plan = plan(line(), lines, closer);
    plan.traps = vec![Trap { who: Who::Client, at: At::Packet(40), act: Act::Cut }];
    plan
}

/// What is wrong with a run, with what happened in it and where, if anything is.
fn judge(name: &str, packet: u64, outcome: &Outcome, patience: Duration) -> Option<String> {
    let mut found = outcome.found.clone();
    let sessions = outcome.ledger.book().sessions.len();
    if sessions != 1 {
        found.push(format!("the session did not survive: there were {sessions}"));
    }
    let (wait, _) = outcome.waits();
    if wait > patience {
        found.push(format!("somebody waited for {wait:?}, limit {patience:?}"));
    }
    words(name, packet, &found)
}

/// A run for each place, which must have come to something there.
pub(crate) fn require(
    name: &'static str,
    packets: &[u64],
    patience: Duration,
    run: impl Fn(u64) -> (Outcome, bool) + Sync,
) {
    let longest = std::sync::Mutex::new(Duration::ZERO);
    crowd::require_each(packets, |packet| {
        let (outcome, happened) = run(*packet);
        let mut longest = longest.lock().expect("it is only compared");
        *longest = (*longest).max(outcome.waits().0);
        match judge(name, *packet, &outcome, patience) {
            None if !happened => Some(format!("{name}: nothing happened at {packet}")),
            other => other,
        }
    });
    let longest = longest.into_inner().expect("it is only compared");
    println!("{name}: {} runs, longest wait {longest:?}", packets.len());
}

fn drop_each(name: &'static str, change: impl Fn(Scenario, Conditions) -> Scenario + Sync) {
    let packets = seeds::asked().unwrap_or_else(|| (1..=PACKETS).collect());
    require(name, &packets, ms(200), |packet| {
        let scenario = change(line(), Conditions::new().drop([packet]));
        let outcome = run(&chat(scenario), &Expected::new());
        let happened = outcome.counts.get("packets lost") == Some(&1);
        (outcome, happened)
    });
}

#[test]
fn each_packet_of_the_client_is_lost_once() {
    drop_each("each_packet_of_the_client_is_lost_once", Scenario::up);
}

#[test]
fn each_packet_of_the_server_is_lost_once() {
    drop_each("each_packet_of_the_server_is_lost_once", Scenario::down);
}

#[test]
fn the_nat_gives_another_port_before_each_packet() {
    let packets = seeds::asked().unwrap_or_else(|| (1..=PACKETS).collect());
    require("the_nat_gives_another_port_before_each_packet", &packets, ms(200), |packet| {
        let mut plan = chat(line());
        plan.traps = vec![Trap { who: Who::Client, at: At::Packet(packet), act: Act::Rebind }];
        let outcome = run(&plan, &Expected::new());
        let happened = outcome.passed.1 == 1;
        (outcome, happened)
    });
}

/// One session for each of its packets, and it is cut before that.
fn cut_each(name: &'static str, who: Who, closer: Who) {
    let all = run(&episode(closer), &Expected::new());
    let count = all.passed.0[who as usize];
    let packets = seeds::asked().unwrap_or_else(|| (1..=count).collect());
    require(name, &packets, ms(5_000), |packet| {
        let mut plan = episode(closer);
        plan.traps.push(Trap { who, at: At::Packet(packet), act: Act::Cut });
        let outcome = run(&plan, &Expected::new());
        let happened = outcome.passed.1 >= 1;
        (outcome, happened)
    });
}

#[test]
fn the_connection_is_cut_before_each_packet_of_a_client_that_closes() {
    let name = "the_connection_is_cut_before_each_packet_of_a_client_that_closes";
    cut_each(name, Who::Client, Who::Client);
}

#[test]
fn the_connection_is_cut_before_each_packet_of_a_server_that_is_told_goodbye() {
    let name = "the_connection_is_cut_before_each_packet_of_a_server_that_is_told_goodbye";
    cut_each(name, Who::Server, Who::Client);
}

#[test]
fn the_connection_is_cut_before_each_packet_of_a_server_that_closes() {
    let name = "the_connection_is_cut_before_each_packet_of_a_server_that_closes";
    cut_each(name, Who::Server, Who::Server);
}

#[test]
fn the_connection_is_cut_before_each_packet_of_a_client_that_is_told_goodbye() {
    let name = "the_connection_is_cut_before_each_packet_of_a_client_that_is_told_goodbye";
    cut_each(name, Who::Client, Who::Server);
}
