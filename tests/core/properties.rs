//! Thousands of random runs. A failure is made short, and printed with the seed that replays it.
//!
//! `CASES=100000 cargo test --release --test core properties` runs more, `SEED=17` only that one, both so many from that one
//! on. `SURVEY=1` goes on after a failure, and shortens none. `TRACE=1` tells all.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::healing::heal;
use crate::model::Counts;
use crate::plan::{Kind, Op, Plan, apply};
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

fn campaign(kind: Kind, mixed: bool, cases: u64) -> (Tally, Counts) {
    let seeds = match (number("SEED"), number("CASES")) {
        (Some(seed), cases) => seed..seed + cases.unwrap_or(1),
        (None, more) => 0..more.unwrap_or(cases),
    };
    let (mut tally, mut counts) = (Tally::default(), Counts::default());
    let mut failed = Vec::new();
    for seed in seeds {
        let plan = Plan::new(kind, mixed, seed);
        match catch_unwind(AssertUnwindSafe(|| run(&plan, &plan.ops))) {
            Ok((t, c)) => {
                add(&mut tally, t);
                counts.add(&c);
            }
            Err(panic) => {
                let text = words(panic.as_ref());
                if std::env::var("SURVEY").is_ok() {
                    println!("{kind:?}, mixed {mixed}, SEED={seed}: {text}");
                    failed.push(seed);
                    continue;
                }
                let (kept, last) = shorten(&plan, &text);
                panic!("{kind:?} SEED={seed} fails: {last}\nwith {:#?}\nand {kept:#?}", plan.settings);
            }
        }
    }
    println!("{kind:?}, mixed {mixed}: {tally:?} {counts:?}");
    assert!(failed.is_empty(), "{kind:?}, mixed {mixed}: {failed:?} fail");
    (tally, counts)
}

macro_rules! sum {
    ($to:expr, $from:expr, $($field:ident)*) => { $( $to.$field += $from.$field; )* };
}

fn add(to: &mut Tally, from: Tally) {
    sum!(to, from, cuts frames_lost silences dials dial_failures superseded stale forgotten refused_links fenced waited
        acceptor_forgot dialer_forgot restores tails_lost jumps resets resumes suspected recovered gave_up closed expired
        duplicates late_links contradictions replays copies forgotten_channels datagrams datagrams_lost
        shared_datagrams datagrams_early datagrams_gone outgrown fragments bodies resumed_bodies abandoned_bodies
        pieces);
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
    let (t, c) = campaign(Kind::Links, false, 600);
    at_least! {
        t.cuts => 1000, t.frames_lost => 2000, t.silences => 250, t.dial_failures => 400, t.superseded => 500,
        t.fenced => 15, t.late_links => 250, t.replays => 75, t.copies => 500, t.duplicates => 1000, t.jumps => 200,
        t.waited => 2500, t.suspected => 500, t.recovered => 350, t.gave_up => 2, t.forgotten_channels => 2500,
        c.accepted => 7500, c.delivered => 7500, c.again => 100, c.rejected => 200,
    }
    if is_whole() {
        assert_eq!(t.restores, 0);
        assert!(t.resets <= t.expired, "nobody forgets anything here, but what is over");
    }
}

#[test]
fn properties_the_acceptor_forgets() {
    let (t, c) = campaign(Kind::Forgetful, false, 600);
    at_least! {
        t.cuts => 750, t.acceptor_forgot => 400, t.dialer_forgot => 150, t.forgotten => 350, t.resets => 350,
        c.accepted => 5000, c.delivered => 4000, c.redelivered => 750, c.unknown => 400,
    }
}

#[test]
fn properties_stores_keep_their_word() {
    let (t, c) = campaign(Kind::Stores, false, 600);
    at_least! {
        t.cuts => 750, t.restores => 500, t.acceptor_forgot => 50, t.dialer_forgot => 250, t.resets => 40,
        t.resumes => 1000, t.duplicates => 500, c.accepted => 6000, c.delivered => 4000, c.again => 25,
    }
}

#[test]
fn properties_stores_lose_their_tail() {
    let (t, c) = campaign(Kind::Liars, false, 300);
    at_least! {
        t.restores => 300, t.tails_lost => 125, t.resets => 30, t.stale => 10, c.accepted => 3000, c.unknown => 150,
    }
}

#[test]
fn properties_sessions_are_closed() {
    let (t, c) = campaign(Kind::Closing, false, 300);
    at_least! {
        t.cuts => 200, t.closed => 400, t.fenced => 40, c.accepted => 2000, c.handled => 750, c.unknown => 500,
    }
}

/// Every mode has been used in earnest. In the order of `Delivery::ALL`.
fn assert_every_mode(counts: &Counts, accepted: [u64; 5], delivered: [u64; 5]) {
    if is_whole() {
        let enough =
            |found: [u64; 5], least: [u64; 5]| found.iter().zip(least).all(|(found, least)| *found >= least);
        assert!(
            enough(counts.accepted_by, accepted),
            "{:?}: this run has tested nothing",
            counts.accepted_by
        );
        assert!(
            enough(counts.delivered_by, delivered),
            "{:?}: this run has tested nothing",
            counts.delivered_by
        );
    }
}

#[test]
fn properties_all_modes_links_die_and_race() {
    let (t, c) = campaign(Kind::Links, true, 700);
    assert_every_mode(&c, [10_000, 8000, 5000, 5000, 20_000], [2000, 500, 2000, 2000, 150]);
    at_least! {
        t.cuts => 600, t.datagrams => 7000, t.datagrams_lost => 900, t.shared_datagrams => 1200, t.fragments => 3500,
        t.copies => 1000, t.duplicates => 2500, t.bodies => 60, t.forgotten_channels => 2000,
        c.dropped => 8000, c.given => 7000, c.reassembled => 150, c.retransmitted => 200, c.overflowed => 100,
        c.expired_unwritten => 4000, c.expired_skipped => 1500, c.expired_arrived => 900,
        c.superseded_unwritten => 15_000, c.superseded_written => 50, c.cancelled_unwritten => 50,
        c.cancelled_written => 30, c.extended => 100, c.extended_before => 15, c.extended_after => 25,
        c.skipped => 5000, c.stale => 3000, c.late => 1500, c.again => 80,
    }
    if is_whole() {
        assert_eq!(t.datagrams_early, 0, "datagrams wait until their lane is known");
    }
}

#[test]
fn properties_all_modes_the_acceptor_forgets() {
    let (t, c) = campaign(Kind::Forgetful, true, 600);
    assert_every_mode(&c, [7000, 8000, 4500, 3500, 12_000], [400, 1000, 2000, 1000, 80]);
    at_least! {
        t.acceptor_forgot => 250, t.dialer_forgot => 90, t.resets => 200, c.redelivered => 150, c.unknown => 450,
        c.expired_skipped => 900, c.expired_arrived => 800, c.superseded_written => 15, c.cancelled_written => 8,
    }
}

#[test]
fn properties_all_modes_stores_keep_their_word() {
    let (t, c) = campaign(Kind::Stores, true, 600);
    assert_every_mode(&c, [9000, 9000, 2500, 2000, 18_000], [500, 600, 1500, 1300, 120]);
    at_least! {
        t.restores => 300, t.resumes => 1200, c.expired_skipped => 150, c.expired_arrived => 250,
        c.superseded_written => 15, c.cancelled_written => 6, c.extended => 80, c.redelivered => 20,
    }
}

#[test]
fn properties_all_modes_stores_lose_their_tail() {
    let (t, c) = campaign(Kind::Liars, true, 300);
    assert_every_mode(&c, [8000, 3500, 1000, 2500, 8000], [700, 700, 350, 500, 60]);
    at_least! { t.tails_lost => 100, t.resets => 15, c.unknown => 500 }
}

#[test]
fn properties_all_modes_sessions_are_closed() {
    let (t, c) = campaign(Kind::Closing, true, 300);
    assert_every_mode(&c, [4000, 2000, 1200, 400, 6000], [100, 150, 800, 150, 30]);
    at_least! { t.closed => 300, t.fenced => 40, c.unknown => 250 }
}

#[test]
fn properties_all_modes_large_messages() {
    let (t, c) = campaign(Kind::Bulk, true, 400);
    at_least! {
        t.bodies => 1200, t.resumed_bodies => 120, t.abandoned_bodies => 90, t.pieces => 9000, c.large => 700,
        c.rejected_in_part => 20, c.expired_arrived => 700, c.superseded_written => 70, c.cancelled_written => 15,
    }
}
