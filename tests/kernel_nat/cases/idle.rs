//! What happens while nothing is said, and is noticed when the server speaks.

use std::time::Duration;

use super::{Case, Course, seconds};
use crate::drive::{Drive, Outcome, Program};
use crate::figures::{Figures, max, p99};
use crate::lab::{Lab, Network};
use crate::nat::{Anew, Kind};
use crate::process::Problem;

/// The server says something every 8 s.
const PUSHES: &str = "--pattern flow --direction down --rate 0.125 --size 100";
const APART: Duration = Duration::from_secs(8);

/// How long a client may take to learn how long mappings live.
const LEARNING: Duration = Duration::from_secs(300);

/// The heartbeat of these runs.
const HEARTBEAT_MS: f64 = 5000.0;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new(
            "rebind-idle",
            "rebind while idle, then the server sends",
            20,
            &[max("delivered_ms", HEARTBEAT_MS + 200.0)],
            |lab, course| {
                latency(&pushes(lab, course, 3, |lab, drive, course, push| {
                    drive.wait(push - course.between(100, 2500))?;
                    lab.nat.rebind(Anew::Port)
                })?)
            },
        ),
        Case::new(
            "move-idle",
            "another network, interface gone, both idle, then the server sends",
            20,
            &[max("delivered_ms", HEARTBEAT_MS + 1000.0)],
            |lab, course| {
                latency(&pushes(lab, course, 2, |lab, drive, course, push| {
                    drive.wait(push - course.between(100, 6000))?;
                    lab.move_to(Network::B)
                })?)
            },
        ),
        Case::new(
            "move-idle-hint",
            "the same with a hint",
            20,
            &[max("resumed_ms", 150.0), max("delivered_ms", 150.0)],
            |lab, course| {
                let outcome = pushes(lab, course, 2, |lab, drive, course, push| {
                    drive.wait(push - course.between(200, 400))?;
                    lab.move_to(Network::B)?;
                    drive.client.say("network-changed")
                })?;
                let (hint, resumed) = (outcome.told_at("hint")?, outcome.told_at("resumed")?);
                Ok(latency(&outcome)?.times("resumed_ms", [resumed.saturating_sub(hint)]))
            },
        ),
    ];
    cases.extend([5, 12, 30].map(expiry));
    cases
}

/// The server says something again and again, and something is done before each time. `push` is when the server will speak.
fn pushes(
    lab: &mut Lab,
    mut course: Course,
    events: u32,
    mut before: impl FnMut(&mut Lab, &mut Drive, &mut Course, Duration) -> Result<(), Problem>,
) -> Result<Outcome, Problem> {
    lab.reset(Kind::Restricted)?;
    // The first is said at once, and shows that all is well. Between two things that are done is a beat.
    let run = format!("{PUSHES} --hints --count {}", events);
    let mut drive = Drive::start(lab, &run)?;
    for number in 1..events {
        before(lab, &mut drive, &mut course, APART * number)?;
    }
    let outcome = drive.finish()?;
    outcome.moved(events - 1)?;
    Ok(outcome)
}

/// The figure of most of these cases.
fn latency(outcome: &Outcome) -> Result<Figures, Problem> {
    Ok(Figures::new().times("delivered_ms", [delivered(outcome)?]))
}

fn delivered(outcome: &Outcome) -> Result<Duration, Problem> {
    outcome.nothing_lost()?;
    let longest = outcome.flows().map(|flow| flow.latency_max()).max();
    Ok(longest.ok_or("nothing was sent")?)
}

/// A NAT whose mappings live for so many seconds, and a client that has had the time to find out.
fn expiry(lifetime_s: u64) -> Case {
    let (name, about) = match lifetime_s {
        5 => ("expiry-5s", "mappings expire after 5 s, the server sends after idle minutes"),
        12 => ("expiry-12s", "mappings expire after 12 s, the server sends after idle minutes"),
        _ => ("expiry-30s", "mappings expire after 30 s, the server sends after idle minutes"),
    };
    let run = move |lab: &mut Lab, _| learned(lab, seconds(lifetime_s));
    let mut case = Case::new(name, about, 5, &[p99("delivered_ms", 200.0)], run);
    case.only_measured = Some("it takes many minutes: run `measure`");
    case
}

fn learned(lab: &mut Lab, lifetime: Duration) -> Result<Figures, Problem> {
    lab.reset(Kind::Restricted)?;
    lab.nat.expire_after(lifetime, lifetime)?;
    let pushes = "--pattern flow --direction down --rate 0.016 --size 100 --count 4";
    let run = format!("--reconnect responsive --heartbeat adaptive --settle {} {pushes}", LEARNING.as_secs());
    let outcome = Drive::start_as(lab, Program::Bowline, "", &run)?.finish()?;
    let delivered = delivered(&outcome)?;
    Ok(Figures::new()
        .times("delivered_ms", [delivered])
        .with("heartbeat_s", outcome.count("heartbeat_s") as f64))
}
