//! Servers that are killed and come back, that are stopped, and that stop taking messages.

use std::time::Duration;

use super::{Case, seconds};
use crate::drive::{Drive, Program, serve};
use crate::figures::{Figures, max};
use crate::lab::Lab;
use crate::nat::Kind;
use crate::process::Problem;

/// When it happens, after the beginning of the measured part. `perf serve --stall` does it then too.
const AT: Duration = Duration::from_secs(3);

/// How long servers are stopped or take nothing, and a while after it.
const PAUSE: Duration = Duration::from_secs(20);
const LENGTH: Duration = Duration::from_secs(32);

const RESPONSIVE: &str = "--heartbeat 5 --reconnect responsive";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "server-restart",
            "server killed (-9) and started again, 100 Hz both ways",
            20,
            &[max("noticed_ms", 200.0)],
            |lab, mut course| {
                let away = course.between(0, 300);
                restart(lab, away)
            },
        ),
        Case::new(
            "server-restart-3s",
            "the same, away for 3 s",
            20,
            &[max("noticed_ms", 1300.0)],
            |lab, _| restart(lab, seconds(3)),
        ),
        Case::new(
            "service-stalled",
            "server's application takes no messages for 20 s, its process runs",
            5,
            &[max("told_ms", 10_000.0)],
            |lab, _| stalled(lab),
        ),
        Case::new(
            "server-stopped",
            "server process stopped for 20 s (SIGSTOP), 20 Hz both ways",
            5,
            &[max("told_ms", 10_000.0), max("resumed_ms", 1300.0)],
            |lab, _| stopped(lab, "--pattern flow --rate 20 --direction both --size 100"),
        ),
        Case::new(
            "server-stopped-idle",
            "the same while idle but for a message every 8 s",
            5,
            &[max("told_ms", 10_000.0)],
            |lab, _| stopped(lab, "--pattern flow --rate 0.125 --direction up --size 100"),
        ),
    ]
}

/// The figures: how long after the server is back the client says that the connection is lost, or that the server has
/// forgotten; and how long until the latter.
fn restart(lab: &mut Lab, away: Duration) -> Result<Figures, Problem> {
    lab.reset(Kind::Restricted)?;
    let folder = tempfile::tempdir()?;
    let identity = format!("--identity {}", folder.path().join("server.pem").display());
    let run = format!("{RESPONSIVE} --pattern flow --rate 100 --direction both --size 100 --seconds 9");
    let mut drive = Drive::start_as(lab, Program::Bowline, &identity, &run)?;
    drive.wait(AT)?;
    drive.server.signal("KILL")?;
    drive.server.wait()?;
    drive.wait(AT + away)?;
    let again = serve(lab, Program::Bowline, &identity)?;
    let back = again.events.first().map(|said| drive.since_began(said)).ok_or("it is not back")?;
    drop(std::mem::replace(&mut drive.server, again));
    let outcome = drive.finish()?;
    let reset = outcome.first("reset", Duration::ZERO).ok_or("nobody noticed that it forgot")?;
    let noticed = outcome.first("reconnecting", back).map_or(reset, |lost| lost.min(reset));
    for flow in outcome.flows() {
        let wrong = ["duplicated", "out_of_order", "corrupted", "expired"].map(|name| flow.count(name));
        // New messages flow, and of those lost their senders were told.
        let told = flow.count("lost") <= flow.count("unknown") && flow.count("delivered") > 400;
        if wrong != [0; 4] || !told {
            return Err(format!("{flow:?}").into());
        }
    }
    if outcome.count("resets") != 1 {
        return Err(format!("{} resets", outcome.count("resets")).into());
    }
    let after = |at: Duration| [at.saturating_sub(back)];
    Ok(Figures::new().times("noticed_ms", after(noticed)).times("forgotten_ms", after(reset)))
}

fn stalled(lab: &mut Lab) -> Result<Figures, Problem> {
    lab.reset(Kind::Restricted)?;
    let serving = format!("--stall {}", PAUSE.as_secs());
    let flow = "--pattern flow --rate 20 --direction up --size 100";
    let run = format!("{RESPONSIVE} {flow} --seconds {}", LENGTH.as_secs());
    let outcome = Drive::start_as(lab, Program::Bowline, &serving, &run)?.finish()?;
    outcome.nothing_lost()?;
    let told = outcome.first("service", AT).ok_or("nothing was said of the service")?;
    for wrong in ["suspect", "reconnecting"] {
        if let Some(at) = outcome.first(wrong, Duration::ZERO) {
            return Err(format!("{wrong} after {at:?}: the path and the process were well").into());
        }
    }
    let healths: Vec<_> =
        outcome.events.iter().filter(|said| said.is("service")).map(|said| said.text("health")).collect();
    if healths != ["stalled", "serving"] {
        return Err(format!("the service was said to be {healths:?}").into());
    }
    Ok(Figures::new().times("told_ms", [told - AT]))
}

fn stopped(lab: &mut Lab, flow: &str) -> Result<Figures, Problem> {
    lab.reset(Kind::Restricted)?;
    let run = format!("{RESPONSIVE} {flow} --seconds {}", LENGTH.as_secs());
    let mut drive = Drive::start_as(lab, Program::Bowline, "", &run)?;
    drive.wait(AT)?;
    drive.server.signal("STOP")?;
    drive.wait(AT + PAUSE)?;
    drive.server.signal("CONT")?;
    let outcome = drive.finish()?;
    outcome.nothing_lost()?;
    let told = outcome.first("suspect", AT).ok_or("nobody noticed")?;
    if outcome.first("service", Duration::ZERO).is_some() {
        return Err("something was claimed of the service".into());
    }
    let gaps = outcome.gaps_after(&[AT]);
    let resumed = gaps.into_iter().map(|gap| gap.saturating_sub(PAUSE));
    Ok(Figures::new().times("told_ms", [told - AT]).times("resumed_ms", resumed))
}
