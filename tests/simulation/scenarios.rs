//! The named scenarios of netsim, and what the users of a chat notice of each.
//!
//! Everything that was sent arrives once and in order, the session that began is the one that ends, and nobody waits
//! for longer than a bound. The bounds are what holds today, for two kinds of impatient programs: the responsive reconnect
//! policy, and the heartbeat named in the table. They are about twice what was measured over 40 seeds of each.

use std::time::Duration;

use bowline::{ConnectError, Delivery};
use bowline_netsim::history::Guarantee;
use bowline_netsim::{Scenario, Time};

use crate::invariants::{Expected, require};
use crate::plan::{Close, Line, Plan, Talk, ms, secs};
use crate::run::run;
use crate::seeds;
use crate::world::{Who, over};

/// How long somebody may wait for a message.
struct Patience {
    heartbeat: Duration,
    /// From when it was accepted.
    wait: Duration,
    /// The same, but since the network last changed: what the way back costs beyond the network's own silence.
    beyond: Duration,
}

fn patience(heartbeat: u64, wait: u64, beyond: u64) -> Patience {
    Patience { heartbeat: secs(heartbeat), wait: ms(wait), beyond: ms(beyond) }
}

/// Seeds that the bounds are asked of, in each run of the tests.
const SEEDS: u64 = 2;

fn lines(scenario: &Scenario) -> Vec<Line> {
    let length = scenario.duration().as_millis() as u64 - 5_000;
    let line = |label: &str, delivery, gap: u64| {
        let mut talk = Talk::chat((length / gap) as u32, ms(gap));
        if let Some(silence) = scenario.silence_between() {
            talk.messages = talk.messages * 10 / (10 + silence.as_secs() as u32);
            talk.silence = Some(silence);
        }
        Line::new(label, delivery, talk)
    };
    vec![
        line("chat", Delivery::ReliableOrdered, 200),
        line("reactions", Delivery::ReliableUnordered, 500),
        line("presence", Delivery::ReliableLatest, 300),
        line("typing", Delivery::UnreliableSequenced, 250),
        line("voice", Delivery::Unreliable, 100),
        photos(scenario),
    ]
}

/// Something that fills packets, every two seconds.
fn photos(scenario: &Scenario) -> Line {
    let length = scenario.duration().as_secs() as u32 - 5;
    let mut photos = Line::new("photos", Delivery::ReliableUnordered, Talk::chat(length / 2, secs(2)));
    photos.talks.iter_mut().for_each(|talk| talk.size = (2_000, 20_000));
    photos
}

fn plan(scenario: &Scenario, heartbeat: Duration, seed: u64) -> Plan {
    let closes = vec![Close { who: Who::Client, at: None, drain: secs(5) }];
    Plan { heartbeat, closes, ..Plan::new(seed, scenario.clone(), lines(scenario)) }
}

fn live_through(name: &str, scenario: &Scenario, patience: &Patience) {
    for seed in seeds::many().unwrap_or_else(|| (0..SEEDS).collect()) {
        let mut expected = Expected::new();
        expected.tested =
            vec![Guarantee::G1, Guarantee::G2, Guarantee::G3, Guarantee::G4, Guarantee::G5, Guarantee::G8];
        let plan = plan(scenario, patience.heartbeat, seed);
        let outcome = run(&plan, &expected);
        let mut found = outcome.found.clone();
        if let Err(unexercised) = outcome.coverage.check() {
            // A silence in which no mapping expires is what the heartbeat is for: see below.
            let never = unexercised.never.iter().filter(|it| !it.fault.starts_with("a silence"));
            found.extend(never.map(|it| format!("the run tests nothing: {it}")));
        }
        let (wait, beyond) = outcome.waits();
        println!("{name} {seed}: longest wait {wait:?}, {beyond:?} since a change; {:?}", outcome.counts);
        if wait > patience.wait {
            found.push(format!("somebody waited for {wait:?}, limit {:?}", patience.wait));
        }
        if beyond > patience.beyond {
            found.push(format!(
                "somebody waited for {beyond:?} on a network that works, limit {:?}",
                patience.beyond
            ));
        }
        let sessions = outcome.ledger.book().sessions.len();
        if sessions != 1 {
            found.push(format!("the session did not survive: there were {sessions}"));
        }
        require(name, seed, &found);
    }
}

macro_rules! scenarios {
    ($($name:ident: $patience:expr;)*) => { $(
        #[test]
        fn $name() {
            live_through(stringify!($name), &Scenario::$name(), &$patience);
        }
    )* };
}

scenarios! {
    wifi: patience(2, 450, 450);
    mobile: patience(2, 1_000, 1_000);
    wifi_to_lte: patience(2, 10_000, 1_400);
    elevator: patience(2, 120_000, 2_200);
    subway: patience(2, 18_000, 14_000);
    cgn_30s: patience(15, 60, 60);
    super_sim: patience(10, 140, 140);
    symmetric_rebind: patience(2, 400, 400);
    leo: patience(2, 250, 65);
    geo: patience(2, 730, 730);
    cell_edge: patience(2, 9_000, 9_000);
    wifi_fade: patience(2, 21_000, 15_000);
    wifi_suspend: patience(2, 600, 60);
    vpn_mtu: patience(2, 620, 620);
    swizzle_clog: patience(2, 45_000, 17_000);
}

#[test]
fn udp_blocked() {
    let scenario = Scenario::udp_blocked();
    let told = over(&scenario, 1, async |ends| {
        let client = ends.start(Who::Client, bowline::Config::default(), None);
        let error = client
            .endpoint
            .connect(ends.server_address(), ends.trust())
            .await
            .expect_err("nothing gets through");
        (error, ends.now())
    });
    let (error, at) = told.output.expect("it does not wait for ever");
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("does UDP get through?"), "{error}");
    assert!(at <= Time::from(secs(11)), "told at {at}");
}
