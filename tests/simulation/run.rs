//! One run of a plan: processes begin, crash and begin again; the network heals; everything settles; the sessions end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bowline::{Session, SessionId};
use bowline_netsim::{Coverage, Time, Trace};

use crate::gate::Step;
use crate::invariants::{Expected, violations};
use crate::model::Ledger;
use crate::plan::{Close, Plan, Stop, ms, secs};
use crate::process::{Counts, Disk, Process};
use crate::program::{Program, Stage};
use crate::world::{Ends, Who, over_path};

/// Idle sessions say this much at most, in packets of both sides together and [`QUIET`]: beats, answers, and what QUIC adds.
const IDLE_PACKETS: u64 = 60;
const QUIET: Duration = Duration::from_secs(4);

/// It may take so many of these until unreliable messages, whose end nobody waits for, have left.
const QUIETS: usize = 5;

/// How long the end of a session may take beyond its drain.
const FAREWELL: Duration = Duration::from_secs(8);

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) found: Vec<String>,
    pub(crate) counts: Counts,
    pub(crate) trace: Trace,
    pub(crate) coverage: Coverage,
    pub(crate) ledger: Ledger,
    /// When anything about the network changed.
    pub(crate) changes: Vec<Time>,
    /// How long it took until everything was settled after the network had healed.
    pub(crate) settled: Option<Duration>,
    /// How many packets each host sent, and how many traps of the plan were sprung.
    pub(crate) passed: ([u64; 2], usize),
    /// The frames of the protocol, if somebody watched.
    pub(crate) steps: Vec<Step>,
}

impl Outcome {
    /// The longest wait for a reliable message, and the longest since the network last changed.
    pub(crate) fn waits(&self) -> (Duration, Duration) {
        let book = self.ledger.book();
        let beyond = |(accepted, handed): &(Time, Time)| {
            let changes = self.changes.iter().filter(|at| *at <= handed);
            handed.since(*changes.max().unwrap_or(accepted).max(accepted))
        };
        let wait = book.waits.iter().map(|(accepted, handed)| handed.since(*accepted)).max();
        (wait.unwrap_or_default(), book.waits.iter().map(beyond).max().unwrap_or_default())
    }
}

/// Runs a plan.
pub(crate) fn run(plan: &Plan, expected: &Expected) -> Outcome {
    let path = plan.scenario.build(plan.seed).expect("the scenario is sound");
    let network = path.plan.clone();
    let limit = plan.heal + plan.settle * 3 + secs(120);
    let finished = over_path(path, limit, plan.seed, async |ends: Ends| {
        ends.gate.set(plan.traps.clone());
        let stage = Stage::new(ends.clone(), plan.clone());
        let settled = play(&stage).await;
        let ledger = stage.ledger.clone();
        let mut found = violations(&ledger, &ends.dials(), expected);
        found.extend(ends.panics().iter().map(|at| format!("G12 no panic, at {at}: a task panicked")));
        (found, ledger, settled, (ends.gate.passed(), ends.gate.steps()))
    });
    let coverage = network.coverage(&finished.world, finished.at);
    let (mut found, ledger, settled, (passed, steps)) =
        finished.output.expect("every wait of a run has a limit");
    if settled.is_none() {
        found.insert(0, format!("G13 recovery: {} messages are not settled", ledger.unsettled()));
    }
    let mut counts = std::mem::take(&mut ledger.book().counts);
    let links = finished.world.counts();
    let nats = finished.world.all_nat_counts();
    for (what, count) in [
        ("packets lost", links.lost),
        ("packets reordered", links.reordered),
        ("packets duplicated", links.duplicated),
        ("packets blocked", links.blocked),
        ("packets too big", links.too_big),
        ("packets corrupted", links.corrupted),
        ("packets without room", links.queue_full),
        ("mappings rebound", nats.rebound),
        ("mappings forgotten", nats.forgotten),
        ("mappings expired", nats.expired),
    ] {
        *counts.entry(what).or_insert(0) += count;
    }
    let changes = finished.world.happenings().iter().map(|happening| happening.at).collect();
    let trace = finished.world.into_trace();
    Outcome { found, counts, changes, trace, coverage, ledger, settled, passed, steps }
}

/// Plays a plan to its end. How long it took to settle after the network had healed.
async fn play(stage: &Arc<Stage>) -> Option<Duration> {
    let plan = &stage.plan;
    if plan.faulty {
        stage.ledger.book().history.broke(Time::ZERO);
    }
    let lives = Who::BOTH.map(|who| tokio::spawn(live(stage.clone(), who)));
    for close in plan.closes.iter().filter(|close| close.at.is_some()) {
        tokio::spawn(end_early(stage.clone(), *close));
    }
    tokio::time::sleep(plan.heal).await;
    stage.heal();
    stage.ledger.book().history.healed(stage.ledger.now());
    let settled = settle(stage).await;
    if settled.is_none() {
        for ((who, _), session) in &*stage.sessions() {
            println!("{} {:#?}", who.name(), session.stats());
        }
    }
    if settled.is_some() {
        quiet(stage).await;
        for close in plan.closes.iter().filter(|close| close.at.is_none()) {
            end(stage, *close).await;
        }
    }
    stage.over.store(true, Ordering::Relaxed);
    for life in &lives {
        life.abort();
    }
    settled
}

/// The processes of a host, one after the other.
async fn live(stage: Arc<Stage>, who: Who) {
    let disk = stage.plan.disks[who as usize].map(|(delay, durable)| Disk::new(delay, durable));
    let mut crashes = stage.plan.crashes.iter().filter(|crash| crash.who == who);
    let mut stops = stage.plan.stops.iter().filter(|stop| stop.who == who);
    loop {
        let process = stage.ends.start(who, stage.plan.config(), disk.as_ref());
        let program = Program { who, stage: stage.clone(), life: process.life.clone() };
        process.spawn(program.run(process.endpoint.clone()));
        let crash = crashes.next();
        let dies = async {
            match crash {
                Some(crash) => tokio::time::sleep(Time::from(crash.at).since(stage.ledger.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = dies => {}
            () = stop(&stage, &process, &mut stops) => {}
        }
        let Some(crash) = crash else { return };
        stage.ledger.crashed(who, disk.is_some());
        process.crash().await;
        stage.forget(who);
        tokio::time::sleep(crash.down).await;
    }
}

/// Stops a process as often as it is to be, and waits for its end.
async fn stop(stage: &Stage, process: &Process, stops: &mut impl Iterator<Item = &Stop>) {
    for stop in stops {
        if Time::from(stop.at) < stage.ledger.now() {
            // It was stopped already, or dead.
            continue;
        }
        tokio::time::sleep(Time::from(stop.at).since(stage.ledger.now())).await;
        process.stop();
        stage.ledger.stops(stop.who, stop.length);
        tokio::time::sleep(stop.length).await;
        process.go_on();
    }
    std::future::pending().await
}

/// Waits until everybody has said everything and knows what became of it.
async fn settle(stage: &Stage) -> Option<Duration> {
    let healed = stage.ledger.now();
    let limit = stage.plan.settle * 3;
    loop {
        // Unreliable messages have no end that anybody waits for, but they take their time to leave.
        let left = |session: &Session| {
            !stage.ledger.is_abandoned(session.id()) && session.stats().total.outbox_messages > 0
        };
        if stage.all_said() && stage.ledger.unsettled() == 0 && !stage.sessions().values().any(left) {
            return Some(stage.ledger.settled_at().max(healed).since(healed));
        }
        if stage.ledger.now().since(healed) > limit {
            return None;
        }
        tokio::time::sleep(ms(100)).await;
    }
}

/// G15: when nobody has anything to say, hardly anything is said, as soon as what is under way has arrived.
async fn quiet(stage: &Stage) {
    let packets = |_, world: &mut bowline_netsim::World| {
        world.trace().fates().get(&bowline_netsim::Fate::Sent).copied().unwrap_or(0)
    };
    let mut said = Vec::new();
    for _ in 0..QUIETS {
        let before = stage.ends.sim.with_world(packets);
        tokio::time::sleep(QUIET).await;
        let more = stage.ends.sim.with_world(packets) - before;
        if more <= IDLE_PACKETS {
            return;
        }
        said.push(more);
    }
    let now = stage.ledger.now();
    let words =
        format!("G15 no storm, at {now}: {said:?} packets, each {QUIET:?}, and nobody has anything to say");
    stage.ledger.book().violations.push(words);
}

async fn end_early(stage: Arc<Stage>, close: Close) {
    tokio::time::sleep(close.at.unwrap_or_default()).await;
    close_sessions(&stage, close).await;
}

/// One side closes its sessions, and waits; the other side hears of it.
async fn end(stage: &Stage, close: Close) {
    stage.over.store(true, Ordering::Relaxed);
    let closed = close_sessions(stage, close).await;
    let limit = stage.ledger.now() + FAREWELL;
    loop {
        let left: Vec<_> = {
            let sessions = stage.sessions();
            let left = sessions.keys().filter(|(_, session)| closed.contains(session));
            left.map(|(who, _)| who.name()).collect()
        };
        if left.is_empty() {
            return;
        }
        let now = stage.ledger.now();
        if now > limit {
            let words = format!("T4 closing, at {now}: {left:?} did not hear of the end in {FAREWELL:?}");
            return stage.ledger.book().violations.push(words);
        }
        tokio::time::sleep(ms(50)).await;
    }
}

/// Closes all sessions of one side. Which they were.
async fn close_sessions(stage: &Stage, close: Close) -> Vec<SessionId> {
    let mine: Vec<Session> = {
        let sessions = stage.sessions();
        sessions
            .iter()
            .filter(|((who, _), _)| *who == close.who)
            .map(|(_, session)| session.clone())
            .collect()
    };
    for session in &mine {
        stage.ledger.closes(session.id());
        stage.ledger.count("closes");
        session.close_with("enough", close.drain).await;
    }
    mine.iter().map(Session::id).collect()
}
