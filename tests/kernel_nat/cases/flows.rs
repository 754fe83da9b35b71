//! Rebindings, moves and blackouts while something is sent all the time.

use std::time::Duration;

use super::{Case, Course, seconds};
use crate::drive::{Drive, Outcome, Program};
use crate::figures::{Figures, max, p99};
use crate::lab::{Lab, Network};
use crate::nat::{Anew, Kind};
use crate::process::Problem;
use crate::witness::Witness;

/// By what two processes may differ that measure the same.
const JITTER: Duration = Duration::from_millis(50);

/// Time before the first event, and after the last one.
const LEAD: Duration = Duration::from_secs(2);
const TAIL: Duration = Duration::from_secs(4);

/// 10 Mbit/s.
const BULK: &str = "--pattern flow --rate 1250 --size 1000";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = rebindings();
    cases.extend(bulk());
    cases.extend(blackouts());
    cases.push(Case::new(
        "move-50hz",
        "another network, interface gone, 50 Hz both ways",
        20,
        &[max("gap_ms", 150.0)],
        |lab, course| {
            let flow = "--pattern flow --rate 50 --direction both --size 100";
            let mut networks = [Network::B, Network::A].into_iter().cycle();
            let act = move |lab: &mut Lab| networks.next().map_or(Ok(()), |network| lab.move_to(network));
            repeated(lab, course, Program::Bowline, flow, 0.0, (5, 2, seconds(3)), act)
        },
    ));
    cases
}

fn rebindings() -> Vec<Case> {
    let both = "--pattern flow --rate 100 --direction both --size 100";
    let down = "--pattern flow --rate 100 --direction down --size 100";
    let rebind = |anew, flow: &'static str, loss, events| {
        move |lab: &mut Lab, course: Course| {
            repeated(lab, course, Program::Bowline, flow, loss, events, move |lab| lab.nat.rebind(anew))
        }
    };
    let short = (10, 2, seconds(2));
    vec![
        Case::new(
            "rebind-port",
            "rebind: another port, 100 Hz both ways",
            20,
            &[p99("gap_ms", 150.0)],
            rebind(Anew::Port, both, 0.0, short),
        ),
        Case::new(
            "rebind-address",
            "rebind: another address, 100 Hz both ways",
            20,
            &[p99("gap_ms", 150.0)],
            rebind(Anew::Address, both, 0.0, short),
        ),
        Case::new(
            "rebind-down",
            "rebind, server → client only, 100 Hz",
            20,
            &[p99("gap_ms", 1000.0)],
            rebind(Anew::Port, down, 0.0, (10, 2, seconds(3))),
        ),
        Case::new(
            "rebind-down-loss",
            "the same at 20 % loss",
            40,
            &[p99("gap_ms", 2000.0), max("gap_ms", 5000.0)],
            rebind(Anew::Port, down, 20.0, (5, 2, seconds(6))),
        ),
        Case::new(
            "symmetric",
            "symmetric NAT, 50 rebinds in 60 s at 5 % loss, 50 Hz both ways",
            5,
            &[p99("gap_ms", 1000.0)],
            |lab, mut course| {
                lab.reset(Kind::Symmetric)?;
                let events = course.events(50, 8);
                let length = Duration::from_millis(1200) * events + LEAD + TAIL;
                let flow = format!(
                    "--pattern flow --rate 50 --direction both --size 100 --seconds {}",
                    length.as_secs()
                );
                let mut drive = Drive::start(lab, &flow)?;
                lab.nat.lose(5.0)?;
                let mut at = Vec::new();
                for event in 0..events {
                    drive.wait(LEAD + Duration::from_millis(1200) * event + course.between(0, 200))?;
                    at.push(drive.elapsed());
                    lab.nat.forget()?;
                }
                gaps(&drive.finish()?, &at, events / 2)
            },
        ),
    ]
}

/// Bowline and quinn alone, upwards and downwards.
fn bulk() -> Vec<Case> {
    let case = |name, about, program, direction: &'static str, quinn: Option<&'static str>| {
        let run = move |lab: &mut Lab, course: Course| {
            let flow = format!("{BULK} --direction {direction}");
            let rebind = |lab: &mut Lab| lab.nat.rebind(Anew::Port);
            match repeated(lab, course, program, &flow, 0.0, (5, 2, seconds(3)), rebind) {
                // Nobody else is expected to survive it.
                Err(_) if program == Program::Quinn => Ok(Figures::new().with("gap_ms", f64::INFINITY)),
                result => result,
            }
        };
        let mut case = Case::new(name, about, 20, &[], run);
        (case.no_worse_than, case.load) = (quinn, 30);
        if program == Program::Quinn {
            case.only_measured = Some("it is what the others are compared with: run `measure`");
        }
        case
    };
    let (bowline, quinn) = (Program::Bowline, Program::Quinn);
    vec![
        case(
            "rebind-bulk-up",
            "rebind in a bulk transfer of 10 Mbit/s, up",
            bowline,
            "up",
            Some("quinn-bulk-up"),
        ),
        case(
            "rebind-bulk-down",
            "rebind in a bulk transfer of 10 Mbit/s, down",
            bowline,
            "down",
            Some("quinn-bulk-down"),
        ),
        case("quinn-bulk-up", "quinn alone: the same, up", quinn, "up", None),
        case("quinn-bulk-down", "quinn alone: the same, down", quinn, "down", None),
    ]
}

fn blackouts() -> Vec<Case> {
    let both = "--pattern flow --rate 20 --direction both --size 100";
    let upload = "--pattern flow --rate 1250 --size 1000 --direction up";
    // What the congestion controller leaves of it at this loss.
    let squeezed = "--pattern throughput --window 131072 --size 1000 --direction up";
    let short = |flow: &'static str, loss| {
        move |lab: &mut Lab, course: Course| blackout(lab, course, flow, "responsive", loss, seconds(5))
    };
    let long = |policy| {
        move |lab: &mut Lab, mut course: Course| {
            course.extent = super::Extent::Brief;
            blackout(lab, course, both, policy, 0.0, seconds(60))
        }
    };
    let mut cases = vec![
        Case::new(
            "blackout-5s",
            "blackout of 5 s under 20 Hz",
            67,
            &[p99("after_ms", 300.0)],
            short(both, 0.0),
        ),
        Case::new(
            "blackout-5s-bulk",
            "blackout of 5 s in a bulk upload of 10 Mbit/s",
            67,
            &[p99("after_ms", 1300.0)],
            short(upload, 0.0),
        ),
        Case::new(
            "blackout-5s-bulk-loss",
            "the same at 5 % loss",
            67,
            &[p99("after_ms", 1300.0)],
            short(squeezed, 5.0),
        ),
        Case::new("blackout-60s", "blackout of 60 s", 5, &[max("after_ms", 1300.0)], long("responsive")),
        Case::new(
            "blackout-60s-standard",
            "blackout of 60 s with the standard policy",
            5,
            // It is in the step of 32 s then.
            &[max("after_ms", 32_120.0)],
            long("standard"),
        ),
    ];
    (cases[1].load, cases[2].load) = (30, 20);
    cases[4].only_measured = Some("it takes two minutes: run `measure`");
    cases
}

/// Has something happen now and then: so many times, fewer in a brief run, so far apart.
fn repeated(
    lab: &mut Lab,
    mut course: Course,
    program: Program,
    flow: &str,
    loss_percent: f64,
    (full, brief, apart): (u32, u32, Duration),
    mut event: impl FnMut(&mut Lab) -> Result<(), Problem>,
) -> Result<Figures, Problem> {
    lab.reset(Kind::Restricted)?;
    let events = course.events(full, brief);
    let length = LEAD + apart * events + TAIL;
    let survival = if program == Program::Bowline { "--heartbeat 5 --reconnect responsive" } else { "" };
    let run = format!("{survival} {flow} --seconds {}", length.as_secs());
    let mut drive = Drive::start_as(lab, program, "", &run)?;
    if loss_percent > 0.0 {
        lab.nat.lose(loss_percent)?;
    }
    let mut at = Vec::new();
    for number in 0..events {
        let moment = LEAD + apart * number + course.between(0, 500);
        drive.wait(moment)?;
        at.push(drive.elapsed());
        event(lab)?;
    }
    if loss_percent > 0.0 {
        drive.wait(LEAD + apart * events)?;
        lab.nat.lose(0.0)?;
    }
    // At a loss a rebinding may be over before the one before it was noticed.
    let moves = if loss_percent > 0.0 { 1 } else { events };
    gaps(&drive.finish()?, &at, moves)
}

fn gaps(outcome: &Outcome, events: &[Duration], moves: u32) -> Result<Figures, Problem> {
    outcome.nothing_lost()?;
    outcome.moved(moves)?;
    Ok(Figures::new().times("gap_ms", outcome.gaps_after(events)))
}

/// Nothing gets through for a while, three times. The figure is by how much longer than that no message came.
fn blackout(
    lab: &mut Lab,
    mut course: Course,
    flow: &str,
    policy: &str,
    loss_percent: f64,
    dark: Duration,
) -> Result<Figures, Problem> {
    lab.reset(Kind::Restricted)?;
    let (events, apart) = (course.events(3, 1), dark + seconds(6));
    let again = if policy == "standard" { seconds(40) } else { seconds(10) };
    let length = LEAD + apart * events + if dark > again { again } else { TAIL };
    let run = format!("--heartbeat 5 --reconnect {policy} {flow} --seconds {}", length.as_secs());
    let mut drive = Drive::start_as(lab, Program::Bowline, "", &run)?;
    if loss_percent > 0.0 {
        lab.nat.lose(loss_percent)?;
    }
    let witness = Witness::start(lab)?;
    let mut at = Vec::new();
    for number in 0..events {
        drive.wait(LEAD + apart * number + course.between(0, 500))?;
        at.push(drive.elapsed());
        lab.nat.block(true)?;
        drive.wait(drive.elapsed() + dark)?;
        lab.nat.block(false)?;
    }
    let outcome = drive.finish()?;
    outcome.nothing_lost()?;
    let dark_for = witness.dark()?;
    if dark_for.len() != at.len() {
        return Err(format!("it was dark for {dark_for:?}, which is not {events} times").into());
    }
    let gaps = outcome.gaps_after(&at).into_iter().zip(dark_for);
    let after = gaps.map(|(gap, dark)| match gap + JITTER > dark {
        true => Ok(gap.saturating_sub(dark)),
        false => Err(format!("a blackout of {dark:?} was a gap of {gap:?}")),
    });
    Ok(Figures::new().times("after_ms", after.collect::<Result<Vec<_>, _>>()?))
}
