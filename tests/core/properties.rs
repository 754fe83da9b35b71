//! Thousands of random runs. A failure is made short, and printed with the seed that replays it.
//!
//! `CASES=100000 cargo test --release --test core properties` runs more, `SEED=17` only that one, `TRACE=1` tells all.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::model::Counts;
use crate::plan::{Kind, Op, Plan, apply, heal};
use crate::world::{Tally, World};

fn run(plan: &Plan, kept: &[Op]) -> (Tally, Counts) {
    let mut world = World::new(plan.settings.clone(), plan.seed);
    for op in kept {
        if world.trace {
            println!("--- {op:?}");
        }
        apply(&mut world, op);
    }
    heal(&mut world);
    (world.tally, world.model.counts)
}

fn failure(plan: &Plan, kept: &[Op]) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| run(plan, kept))).err()?;
    Some(words(panic.as_ref()))
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
}

/// The first word of a failure: another one would be another bug.
fn rule(failure: &str) -> &str {
    failure.split([':', ' ']).next().unwrap_or_default()
}

/// Leaves out whatever is not needed to fail in the same way.
fn shorten(plan: &Plan, first: &str) -> (Vec<Op>, String) {
    let (mut kept, mut last) = (plan.ops.clone(), first.to_owned());
    let mut chunk = kept.len() / 2;
    while chunk > 0 {
        let mut at = 0;
        while at < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + chunk).min(kept.len()));
            match failure(plan, &fewer).filter(|text| rule(text) == rule(first)) {
                Some(text) => (kept, last) = (fewer, text),
                None => at += chunk,
            }
        }
        chunk /= 2;
    }
    (kept, last)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn campaign(kind: Kind, cases: u64) -> (Tally, Counts) {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CASES").unwrap_or(cases),
    };
    let (mut tally, mut counts) = (Tally::default(), Counts::default());
    for seed in seeds {
        let plan = Plan::new(kind, seed);
        match catch_unwind(AssertUnwindSafe(|| run(&plan, &plan.ops))) {
            Ok((t, c)) => {
                add(&mut tally, t);
                add_counts(&mut counts, c);
            }
            Err(panic) => {
                let text = words(panic.as_ref());
                let (kept, last) = shorten(&plan, &text);
                panic!("{kind:?} SEED={seed} fails: {last}\nwith {:#?}\nand {kept:#?}", plan.settings);
            }
        }
    }
    println!("{kind:?}: {tally:?} {counts:?}");
    (tally, counts)
}

macro_rules! sum {
    ($to:expr, $from:expr, $($field:ident)*) => { $( $to.$field += $from.$field; )* };
}

fn add(to: &mut Tally, from: Tally) {
    sum!(to, from, cuts frames_lost silences dials dial_failures superseded stale forgotten refused_links fenced waited
        acceptor_forgot dialer_forgot restores tails_lost jumps resets resumes suspected recovered gave_up closed
        duplicates late_links contradictions replays copies forgotten_channels);
}

fn add_counts(to: &mut Counts, from: Counts) {
    sum!(to, from, accepted delivered again redelivered handled rejected unknown);
}

/// Whether this is the whole default campaign, so that its counters may be judged.
fn is_whole() -> bool {
    number("SEED").is_none() && number("CASES").is_none()
}

macro_rules! at_least {
    ($($what:expr => $least:expr),* $(,)?) => {
        if is_whole() {
            $( assert!($what >= $least, "{} is {}: this run has tested nothing", stringify!($what), $what); )*
        }
    };
}

#[test]
fn properties_links_die_and_race() {
    let (t, c) = campaign(Kind::Links, 1200);
    at_least! {
        t.cuts => 2000, t.frames_lost => 4000, t.silences => 500, t.dial_failures => 800, t.superseded => 1000,
        t.fenced => 30, t.late_links => 500, t.replays => 150, t.copies => 1000, t.duplicates => 2000, t.jumps => 400,
        t.waited => 5000, t.suspected => 1000, t.recovered => 700, t.gave_up => 3, t.forgotten_channels => 5000,
        c.accepted => 15_000, c.delivered => 15_000, c.again => 200, c.rejected => 400,
    }
    if is_whole() {
        assert_eq!((t.resets, t.restores, c.redelivered), (0, 0, 0), "nobody forgets anything here");
    }
}

#[test]
fn properties_the_acceptor_forgets() {
    let (t, c) = campaign(Kind::Forgetful, 1200);
    at_least! {
        t.cuts => 1500, t.acceptor_forgot => 800, t.dialer_forgot => 300, t.forgotten => 700, t.resets => 700,
        c.accepted => 10_000, c.delivered => 8000, c.redelivered => 1500, c.unknown => 800,
    }
}

#[test]
fn properties_stores_keep_their_word() {
    let (t, c) = campaign(Kind::Stores, 1200);
    at_least! {
        t.cuts => 1500, t.restores => 1000, t.acceptor_forgot => 100, t.dialer_forgot => 500, t.resets => 80,
        t.resumes => 2000, t.duplicates => 1000, c.accepted => 12_000, c.delivered => 8000, c.again => 50,
    }
}

#[test]
fn properties_stores_lose_their_tail() {
    let (t, c) = campaign(Kind::Liars, 600);
    at_least! {
        t.restores => 600, t.tails_lost => 250, t.resets => 60, t.stale => 20, c.accepted => 6000, c.unknown => 300,
    }
}

#[test]
fn properties_sessions_are_closed() {
    let (t, c) = campaign(Kind::Closing, 600);
    at_least! {
        t.cuts => 400, t.closed => 800, t.fenced => 80, c.accepted => 4000, c.handled => 1500, c.unknown => 1000,
    }
}
