//! A swarm of random runs: each seed has its own network, its own faults, its own programs.
//!
//! Each seed takes a random subset of the faults, so that some runs have a single one and none hides behind another.
//! First comes whatever may come, and only safety is asked for; then the network heals, and within the settling time of
//! the plan every message has its end.
//!
//! ```console
//! cargo test --test simulation random                                        # a fixed number of seeds
//! SEED=17 cargo test --test simulation random -- --nocapture                 # one of them again
//! SEEDS=100000 cargo test --release --test simulation random -- --nocapture  # a long search, with its progress
//! ```

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bowline::{Delivery, ReconnectPolicy};
use bowline_netsim::history::Bounds;
use bowline_netsim::{Access, Conditions, Dependence, NatConfig, NatStep, Refresh, Scenario, Step};

use crate::invariants::{Expected, words};
use crate::plan::{Close, Crash, Line, Listen, MESSAGE_MAX, Plan, Talk, ms, secs};
use crate::process::Counts;
use crate::rng::Rng;
use crate::run::run;
use crate::seeds;
use crate::world::Who;

/// Seeds of an ordinary run of the tests.
const SEEDS: u64 = 60;

/// The most messages that a narrow channel holds.
const NARROW: usize = 20;

/// What must have happened in an ordinary run of all its seeds, at least so often.
const MINIMA: &[(&str, u64)] = &[];

/// A plan out of a seed.
fn plan(seed: u64) -> (Plan, Expected) {
    let mut rng = Rng::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5EED);
    let heal = rng.range(6, 25);
    let weather = Weather::new(&mut rng);
    let crashing = rng.percent(40);
    let disks = [disk(&mut rng), disk(&mut rng)];
    let crashes = if crashing { crashes(heal, &mut rng) } else { Vec::new() };
    let (one_way, scenario) = weather.scenario(heal, &mut rng);
    let channels = (0..rng.range(1, 5)).map(|number| line(number, heal, &mut rng)).collect();
    let mut closes = Vec::new();
    let who = if rng.percent(50) { Who::Client } else { Who::Server };
    let drain = *rng.pick(&[Duration::ZERO, secs(1), secs(5)]);
    if rng.percent(12) {
        let at = Some(ms(rng.range(1_000, heal * 1_000)));
        closes.push(Close { who, at, drain });
    }
    closes.push(Close { who, at: None, drain: secs(5) });
    let policy = if rng.percent(80) { ReconnectPolicy::Responsive } else { ReconnectPolicy::Standard };
    let faulty = weather.is_bad() || !crashes.is_empty() || closes.len() > 1;
    // The cap of the backoff, an attempt, and three round trips; and what the backlog takes.
    let settle = match policy {
        ReconnectPolicy::Standard => secs(64 + 10),
        _ => secs(20),
    } + one_way * 6;
    let plan = Plan {
        faulty,
        settle,
        policy,
        heartbeat: secs(*rng.pick(&[2, 2, 3, 5])),
        disks,
        crashes,
        closes,
        heal: secs(heal),
        tolerance: one_way + if faulty { secs(heal) } else { ms(20) },
        ..Plan::new(seed, scenario, channels)
    };
    let expected = Expected { bounds: bounds(&plan), ..Expected::new() };
    (plan, expected)
}

fn bounds(plan: &Plan) -> Bounds {
    let bounds = Bounds::new()
        .tolerance(plan.tolerance)
        .connected_within(plan.settle)
        .drained_within(plan.settle)
        .dials(24, secs(5));
    // How long much of anything takes only the congestion window knows.
    let much = |talk: &Talk| talk.messages > 0 && (talk.large.0 > 0 || talk.size.1 > 10_000);
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

/// Which faults the network of a run has.
#[derive(Clone, Copy, Debug)]
struct Weather {
    loss: bool,
    bursts: bool,
    jitter: bool,
    reorder: bool,
    duplicate: bool,
    corrupt: bool,
    blackouts: bool,
    one_way_blackouts: bool,
    stalls: bool,
    slow: bool,
    rebinds: bool,
    short_timers: bool,
    detours: bool,
    narrow: bool,
    moves: bool,
}

impl Weather {
    fn new(rng: &mut Rng) -> Self {
        // One run in eight has a good network: there the programs alone make trouble.
        let calm = rng.percent(12);
        let mut roll = |percent| rng.percent(percent) && !calm;
        Self {
            loss: roll(50),
            bursts: roll(30),
            jitter: roll(50),
            reorder: roll(30),
            duplicate: roll(30),
            corrupt: roll(15),
            blackouts: roll(40),
            one_way_blackouts: roll(20),
            stalls: roll(20),
            slow: roll(25),
            rebinds: roll(35),
            short_timers: roll(15),
            detours: roll(20),
            narrow: roll(15),
            moves: roll(15),
        }
    }

    fn is_bad(&self) -> bool {
        self.loss
            || self.reorder
            || self.corrupt
            || self.blackouts
            || self.one_way_blackouts
            || self.stalls
            || self.slow
            || self.rebinds
            || self.short_timers
            || self.detours
            || self.narrow
            || self.moves
    }

    /// The network, and the longest way through it that has no queue.
    fn scenario(&self, heal: u64, rng: &mut Rng) -> (Duration, Scenario) {
        let delay = ms(*rng.pick(&[1, 5, 10, 25, 60, 150, 300]));
        let mut conditions = Conditions::new().delay(delay);
        let mut longest = delay;
        if self.loss {
            conditions = conditions.loss(*rng.pick(&[0.5, 2.0, 5.0, 15.0, 30.0]));
            if self.bursts {
                conditions = conditions.burst(rng.range(2, 10) as f64);
            }
        }
        if self.jitter {
            let jitter = ms(rng.range(1, 60));
            longest += jitter;
            conditions = conditions.jitter(jitter);
        }
        if self.reorder {
            conditions = conditions.reorder(*rng.pick(&[1.0, 10.0, 30.0]), ms(rng.range(1, 80)));
        }
        if self.duplicate {
            conditions = conditions.duplicate(*rng.pick(&[1.0, 10.0, 30.0]));
        }
        if self.corrupt {
            conditions = conditions.corrupt(*rng.pick(&[0.5, 3.0]));
        }
        if self.slow {
            conditions = conditions
                .rate(*rng.pick(&[256_000, 1_000_000, 5_000_000]))
                .queue_bytes(*rng.pick(&[20_000, 150_000, 1_000_000]));
        }
        let mut scenario = Scenario::new("random", secs(heal)).both(conditions);
        let behind_nat = self.rebinds || self.short_timers || rng.percent(50);
        if behind_nat {
            scenario = scenario.nat(self.nat(rng));
        }
        if self.moves {
            let other = Access::new().both(Conditions::new().delay(delay)).nat(NatConfig::linux());
            let from = rng.range(1_000, heal * 1_000 / 2);
            scenario = scenario
                .other(other)
                .step(Step::between(ms(from), ms(from + 1_000)).move_after(ms(0), ms(3_000)));
        }
        for _ in 0..rng.range(1, 3) {
            scenario = self.trouble(scenario, heal, &mut longest, rng);
        }
        let healthy = Conditions::new()
            .loss(0.0)
            .reorder(0.0, Duration::ZERO)
            .duplicate(0.0)
            .corrupt(0.0)
            .jitter(Duration::ZERO)
            .unlimited()
            .queue_bytes(10_000_000)
            .mtu(1_500)
            .block(false)
            .stall(false);
        // Just before the liveness phase: the step must be within the scenario.
        (longest, scenario.step(Step::at(ms(heal * 1_000 - 1)).both(healthy)))
    }

    fn nat(&self, rng: &mut Rng) -> NatConfig {
        let mut nat = if rng.percent(50) { NatConfig::linux() } else { NatConfig::new() };
        if rng.percent(40) {
            nat = nat.mapping(Dependence::AddressAndPortDependent).preserve_ports(false);
        }
        if self.short_timers {
            let timeout = secs(rng.range(3, 10));
            nat = nat.timeout(timeout).refresh(Refresh::Outbound);
        }
        nat
    }

    /// One more of each kind of step that this weather has.
    fn trouble(&self, mut scenario: Scenario, heal: u64, longest: &mut Duration, rng: &mut Rng) -> Scenario {
        let latest = heal * 1_000 - 500;
        let span = |rng: &mut Rng, most: u64| {
            let length = rng.range(20, most.min(latest / 2));
            let at = rng.range(100, latest - length);
            (ms(at), ms(length))
        };
        let block = Conditions::new().block(true);
        if self.blackouts {
            let (at, length) = span(rng, 15_000);
            scenario = scenario.step(Step::at(at).lasting(length).both(block.clone()));
        }
        if self.one_way_blackouts {
            let (at, length) = span(rng, 8_000);
            let step = Step::at(at).lasting(length);
            scenario = scenario.step(if rng.percent(50) { step.up(block) } else { step.down(block) });
        }
        if self.stalls {
            let (at, length) = span(rng, 3_000);
            let stalled = Conditions::new().stall(true);
            scenario = scenario.step(Step::at(at).lasting(length).both(stalled));
        }
        if self.detours {
            let (at, length) = span(rng, 10_000);
            let delay = ms(rng.range(1, 400));
            *longest = (*longest).max(delay + ms(60));
            scenario = scenario.step(Step::at(at).lasting(length).both(Conditions::new().delay(delay)));
        }
        if self.narrow {
            let (at, length) = span(rng, 10_000);
            let mtu = rng.range(1_280, 1_480) as u16;
            scenario = scenario.step(Step::at(at).lasting(length).both(Conditions::new().mtu(mtu)));
        }
        if self.rebinds {
            let (at, _) = span(rng, 21);
            let what =
                *rng.pick(&[NatStep::RebindPorts, NatStep::RebindAddress, NatStep::Forget, NatStep::Reboot]);
            scenario = scenario.step(Step::at(at).nat(what));
        }
        scenario
    }
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
    let seeds = seeds::many(SEEDS);
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (failures, counts) = (Mutex::new(BTreeMap::new()), Mutex::new(Counts::new()));
    let slowest = Mutex::new((Duration::ZERO, 0));
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
            let (plan, expected) = plan(seed);
            let outcome = match catch_unwind(AssertUnwindSafe(|| run(&plan, &expected))) {
                Ok(outcome) => outcome,
                Err(_) => {
                    let words = words("random", seed, &["G12 no panic: the run panicked".into()]);
                    let words = words.unwrap_or_default();
                    println!("{words}");
                    failures.lock().unwrap().insert(seed, words);
                    continue;
                }
            };
            if let Some(words) = words("random", seed, &outcome.found) {
                println!("{words}");
                failures.lock().unwrap().insert(seed, words);
            }
            for (what, count) in &outcome.counts {
                *counts.lock().unwrap().entry(what).or_insert(0) += count;
            }
            if let Some(settled) = outcome.settled {
                let mut slowest = slowest.lock().unwrap();
                *slowest = (*slowest).max((settled, seed));
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done % (seeds.len() / 100).max(10) == 0 {
                println!("{done} of {} seeds, {} failed", seeds.len(), failures.lock().unwrap().len());
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(seeds.len());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let (failures, counts) = (failures.into_inner().unwrap(), counts.into_inner().unwrap());
    println!("slowest to settle: {:?}; {counts:#?}", slowest.into_inner().unwrap());
    assert!(
        failures.is_empty(),
        "{} seeds failed:\n{}",
        failures.len(),
        failures.into_values().next().unwrap()
    );
    if seeds.len() as u64 >= SEEDS {
        for (what, least) in MINIMA {
            let count = counts.get(what).copied().unwrap_or(0);
            assert!(
                count >= *least,
                "{count} {what}, at least {least} were to be expected: the swarm tests less than it did"
            );
        }
    }
}

#[test]
fn debug_one() {
    for seed in seeds::asked().unwrap_or_default() {
        let (plan, expected) = plan(seed);
        println!(
            "{}\n{:#?} {:?} {:?} {:?} {:?}\n{:#?}",
            plan.scenario.to_toml().unwrap(),
            plan.crashes,
            plan.disks,
            plan.closes,
            plan.policy,
            plan.heartbeat,
            plan.channels
        );
        let outcome = run(&plan, &expected);
        println!("{:#?}", outcome.found.iter().take(3).collect::<Vec<_>>());
        println!("{:#?} {:?} {:?}", outcome.found, outcome.counts, outcome.settled);
        let history = format!("{:?}", outcome.ledger.book().history);
        if let Ok(seqs) = std::env::var("SEQS") {
            for seq in seqs.split(',') {
                for part in history
                    .split("MessageKey { ")
                    .filter(|part| part.contains(&format!(", sequence: {seq} }}")))
                {
                    println!("HIST {part}");
                }
            }
            println!("PEERS {}", history.split("peers:").last().unwrap());
        }
        println!("SESSIONS {:?}", outcome.ledger.book().sessions);
        let from: f64 = std::env::var("FROM").unwrap().parse().unwrap();
        let to: f64 = std::env::var("TO").unwrap().parse().unwrap();
        for e in outcome.trace.events().iter().filter(|e| {
            let t = e.at.as_nanos() as f64 / 1e9;
            t >= from && t < to
        }) {
            println!("{e}");
        }
    }
}
