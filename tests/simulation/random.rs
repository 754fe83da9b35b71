//! A swarm of random runs: each seed has its own network, its own faults, its own programs.
//!
//! Each seed takes a random subset of the faults, so that some runs have a single one and none hides behind another.
//! First comes whatever may come, and only safety is asked for; then the network heals, and within the settling time of
//! the plan every message has its end.
//!
//! ```console
//! cargo test --test simulation random                          # the seeds from 0 on, as many as SEEDS says below
//! SEED=17 cargo test --test simulation random -- --nocapture   # one of them again, with its plan
//! SEEDS=100000 REPORT=sweep.html cargo test --release --test simulation random -- --nocapture
//! SEEDS=5000..6000 cargo test --release --test simulation random -- --nocapture
//! ```
//!
//! The long ones tell how far they are; `REPORT` names the page on which they say afterwards how it went.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::time::Duration;

use bowline::{Delivery, ReconnectPolicy};
use bowline_netsim::history::Bounds;
use bowline_netsim::run_twice;

use crate::crowd;
use crate::invariants::{Expected, words};
use crate::logs;
use crate::plan::{Close, Crash, Line, Listen, MESSAGE_MAX, Plan, Stop, Talk, ms, secs};
use crate::process::Counts;
use crate::report::{Point, page};
use crate::rng::Rng;
use crate::run::{Outcome, run};
use crate::seeds;
use crate::weather::Weather;
use crate::world::Who;

/// Seeds of an ordinary run of the tests.
const SEEDS: u64 = 400;

/// Seeds that are run twice.
const TWICE: u64 = 12;

/// Bytes on a channel that may take their time: a window that loss has closed lets 2.4 KB a round trip through.
const MUCH: usize = 100_000;

/// The most messages that a narrow channel holds.
const NARROW: usize = 20;

/// What must have happened in an ordinary run, at least so often: about half of what did.
const MINIMA: &[(&str, u64)] = &[
    ("amnesias", 120),
    ("restarts", 65),
    ("restored", 48),
    ("stopped", 40),
    ("closes", 210),
    ("resumed", 130),
    ("reset", 26),
    ("suspected", 130),
    ("recovered", 55),
    ("reconnecting", 210),
    ("peer offline", 44),
    ("path changed", 110),
    ("handled", 14_000),
    ("handed over again", 1_800),
    ("redelivered", 60),
    ("rejected", 200),
    ("expired", 1_500),
    ("superseded", 3_000),
    ("cancelled", 220),
    ("unknown", 230),
    ("stalls", 320),
    ("packets lost", 4_000),
    ("packets blocked", 7_000),
    ("packets reordered", 5_600),
    ("packets duplicated", 10_000),
    ("packets corrupted", 540),
    ("packets too big", 2_000),
    ("packets without room", 2_600),
    ("mappings rebound", 88),
    ("mappings forgotten", 48),
    ("mappings expired", 2),
];

/// One random run.
struct Case {
    plan: Plan,
    expected: Expected,
    /// What makes it hard.
    faults: Vec<&'static str>,
}

/// A run out of a seed.
fn case(seed: u64) -> Case {
    let mut rng = Rng::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5EED);
    let heal = rng.range(6, 25);
    let weather = Weather::new(&mut rng);
    let mut faults = weather.names();
    let crashing = rng.percent(40);
    let disks = [disk(&mut rng), disk(&mut rng)];
    let crashes = if crashing { crashes(heal, &mut rng) } else { Vec::new() };
    let stops = stops(heal, &mut Rng::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5705));
    let (one_way, backlog, scenario) = weather.scenario(heal, &mut rng);
    let channels: Vec<_> = (0..rng.range(1, 5)).map(|number| line(number, heal, &mut rng)).collect();
    let mut closes = Vec::new();
    let who = if rng.percent(50) { Who::Client } else { Who::Server };
    let drain = *rng.pick(&[Duration::ZERO, secs(1), secs(5)]);
    if rng.percent(12) {
        let at = Some(ms(rng.range(1_000, heal * 1_000)));
        closes.push(Close { who, at, drain });
        faults.push("early ends");
    }
    closes.push(Close { who, at: None, drain: secs(5) });
    let policy = if rng.percent(80) { ReconnectPolicy::Responsive } else { ReconnectPolicy::Standard };
    let faulty = weather.is_bad() || !crashes.is_empty() || !stops.is_empty() || closes.len() > 1;
    for crash in &crashes {
        faults.push(if disks[crash.who as usize].is_some() { "restarts" } else { "amnesias" });
    }
    if !stops.is_empty() {
        faults.push("stops");
    }
    // The cap of the backoff, an attempt, and three round trips; and what stands in the queues.
    let settle = match policy {
        ReconnectPolicy::Standard => secs(64 + 10),
        _ => secs(20),
    } + one_way * 6
        + backlog
        + windows(&channels, one_way);
    let plan = Plan {
        faulty,
        settle,
        policy,
        heartbeat: secs(*rng.pick(&[2, 2, 3, 5])),
        disks,
        crashes,
        stops,
        closes,
        heal: secs(heal),
        tolerance: one_way + if faulty { secs(heal) } else { ms(20) },
        ..Plan::new(seed, scenario, channels)
    };
    let expected = Expected { bounds: bounds(&plan), ..Expected::new() };
    faults.sort_unstable();
    faults.dedup();
    Case { plan, expected, faults }
}

/// How long the windows of narrow channels take: each is filled once a round trip.
fn windows(channels: &[Line], one_way: Duration) -> Duration {
    let rounds = |line: &Line| {
        let talks = line
            .talks
            .iter()
            .map(|talk| bytes(talk) / line.outbox.1 + talk.messages as usize / line.outbox.0);
        talks.max().unwrap_or_default() as u32
    };
    one_way * 2 * channels.iter().map(rounds).max().unwrap_or_default()
}

/// How much is said, but for what is large.
fn bytes(talk: &Talk) -> usize {
    talk.messages as usize * (talk.size.0 + talk.size.1) / 2
}

fn bounds(plan: &Plan) -> Bounds {
    let bounds = Bounds::new()
        .tolerance(plan.tolerance)
        .connected_within(plan.settle)
        .drained_within(plan.settle)
        .dials(24, secs(5));
    // How long much of anything takes only the congestion window knows.
    let much = |talk: &Talk| bytes(talk) > MUCH || talk.messages > 0 && talk.large.0 > 0;
    if plan.channels.iter().flat_map(|line| &line.talks).any(much) {
        bounds
    } else {
        bounds.independent_within(secs(5))
    }
}

fn disk(rng: &mut Rng) -> Option<(Duration, bool)> {
    rng.percent(40).then(|| (ms(*rng.pick(&[0, 1, 5, 40])), rng.percent(50)))
}

fn crashes(heal: u64, rng: &mut Rng) -> Vec<Crash> {
    let mut crashes: Vec<_> = (0..rng.range(1, 4))
        .map(|_| Crash {
            who: if rng.percent(50) { Who::Client } else { Who::Server },
            at: ms(rng.range(200, heal * 1_000 - 2_500)),
            down: ms(*rng.pick(&[0, 10, 300, 2_000])),
        })
        .collect();
    crashes.sort_by_key(|crash| crash.at);
    crashes
}

fn stops(heal: u64, rng: &mut Rng) -> Vec<Stop> {
    if !rng.percent(15) {
        return Vec::new();
    }
    let mut stops: Vec<_> = (0..rng.range(1, 2))
        .map(|_| {
            let length = (*rng.pick(&[20, 400, 2_000, 5_000, 12_000])).min(heal * 1_000 - 1_000);
            let at = ms(rng.range(200, heal * 1_000 - 500 - length));
            Stop { who: if rng.percent(50) { Who::Client } else { Who::Server }, at, length: ms(length) }
        })
        .collect();
    stops.sort_by_key(|stop| stop.at);
    stops
}

fn line(number: u64, heal: u64, rng: &mut Rng) -> Line {
    let delivery = *rng.pick(&Delivery::ALL);
    let mut line = Line::new(&format!("line {number}"), delivery, Talk::silent());
    line.redeliver = delivery.is_reliable() && rng.percent(30);
    if rng.percent(30) {
        line.outbox = (rng.range(1, NARROW as u64) as usize, 64 * 1024);
        line.inbox = (rng.range(1, NARROW as u64) as usize, 64 * 1024);
    }
    for who in Who::BOTH {
        if who == Who::Client || rng.percent(70) {
            line.talks[who as usize] = talk(delivery, heal, rng);
        }
        if line.outbox.0 <= NARROW {
            // A window of a few messages makes each of them wait for a round trip.
            let talk = &mut line.talks[who as usize];
            talk.messages = talk.messages.min(30);
        }
        line.listens[who as usize] = listen(delivery, heal, rng);
    }
    line
}

fn talk(delivery: Delivery, heal: u64, rng: &mut Rng) -> Talk {
    let gap = *rng.pick(&[2, 20, 100, 500, 3_000]);
    let messages = rng.range(1, 120).min(heal * 1_000 / gap) as u32;
    let size = *rng.pick(&[(8, 100), (8, 1_200), (500, 9_000), (8, 60_000)]);
    let large = if delivery.is_reliable() && rng.percent(25) {
        (rng.range(1, 20), MESSAGE_MAX.min(300 * 1024))
    } else {
        (0, 0)
    };
    Talk {
        size,
        large,
        deadline: rng.percent(25).then(|| ms(*rng.pick(&[30, 300, 2_000, 20_000]))),
        withdrawn: if rng.percent(20) { rng.range(1, 40) } else { 0 },
        ..Talk::chat(messages, ms(gap))
    }
}

fn listen(delivery: Delivery, heal: u64, rng: &mut Rng) -> Listen {
    let unacked = delivery.is_reliable() && rng.percent(35);
    let pauses = match rng.range(0, 9) {
        0..=2 => vec![(ms(rng.range(500, heal * 1_000)), ms(rng.range(100, 6_000)))],
        // After the network has healed, so that other channels can be asked for more.
        3 => vec![(ms(heal * 1_000 + rng.range(0, 500)), ms(rng.range(500, 4_000)))],
        _ => Vec::new(),
    };
    Listen {
        unacked: unacked.then(|| (*rng.pick(&[0, 10, 40]), *rng.pick(&[0, 5]))),
        pace: ms(*rng.pick(&[0, 0, 0, 5, 100])),
        pauses,
    }
}

#[test]
fn random() {
    let seeds = seeds::many().unwrap_or_else(|| (0..SEEDS).collect());
    let asked = seeds::asked().is_some();
    let tell = |seed: &u64| {
        let _logs = asked.then(|| tracing::subscriber::set_default(logs::shown()));
        let case = case(*seed);
        if asked {
            println!("{}\n{:#?}", case.plan.scenario.to_toml().unwrap_or_default(), case.plan);
        }
        let outcome = run(&case.plan, &case.expected);
        if asked {
            println!(
                "{:#?}\ntrace {}, settled in {:?}",
                outcome.found,
                outcome.trace.hash(),
                outcome.settled
            );
        }
        (outcome, case)
    };
    let mut swarm = Swarm { total: seeds.len(), ..Swarm::default() };
    crowd::each(&seeds, tell, |seed, result| swarm.note(*seed, result));
    println!("{:#?}", swarm.counts);
    if let Ok(file) = env::var("REPORT") {
        std::fs::write(&file, page(&swarm.points, &swarm.counts)).expect("the report can be written");
        println!("the report is in {file}");
    }
    let failures = &swarm.failures;
    assert!(
        failures.is_empty(),
        "seeds {:?} failed:\n{}",
        failures.keys(),
        failures.values().next().map_or("", String::as_str)
    );
    if seeds.len() as u64 >= SEEDS {
        for (what, least) in MINIMA {
            let count = swarm.counts.get(what).copied().unwrap_or(0);
            assert!(
                count >= *least,
                "{count} {what}, at least {least} were to be expected: the swarm tests less than it did"
            );
        }
    }
}

/// What became of many runs.
#[derive(Default)]
struct Swarm {
    total: usize,
    points: Vec<Point>,
    failures: BTreeMap<u64, String>,
    counts: Counts,
}

impl Swarm {
    fn note(&mut self, seed: u64, result: Option<(Outcome, Case)>) {
        let panicked = || vec!["G12 no panic: the run panicked".to_owned()];
        let found = result.as_ref().map_or_else(panicked, |(outcome, _)| outcome.found.clone());
        let failure = words("random", seed, &found);
        if let Some(words) = &failure {
            println!("{words}");
            self.failures.insert(seed, words.clone());
        }
        let (settled, faults) = match &result {
            Some((outcome, case)) => (outcome.settled, case.faults.clone()),
            None => (None, case(seed).faults),
        };
        for (what, count) in result.iter().flat_map(|(outcome, _)| &outcome.counts) {
            *self.counts.entry(what).or_insert(0) += count;
        }
        self.points.push(Point { seed, faults, settled, failure });
        let done = self.points.len();
        if done.is_multiple_of((self.total / 100).max(10)) {
            println!("{done} of {} seeds, {} failed", self.total, self.failures.len());
        }
    }
}

/// The same seed is the same run, packet by packet; and another one is another.
#[test]
fn the_same_seed_is_the_same_run() {
    let seeds: Vec<u64> = seeds::asked().unwrap_or_else(|| (0..TWICE).collect());
    let hashes = std::sync::Mutex::new(BTreeSet::new());
    crowd::require_each(&seeds, |seed| {
        let once = || {
            let case = case(*seed);
            run(&case.plan, &case.expected).trace
        };
        match run_twice(once) {
            Ok(trace) => {
                hashes.lock().expect("it only grows").insert(trace.hash().to_string());
                None
            }
            Err(divergence) => Some(format!("seed {seed}: {divergence}")),
        }
    });
    assert_eq!(hashes.into_inner().expect("it only grows").len(), seeds.len(), "two seeds, one run");
}
