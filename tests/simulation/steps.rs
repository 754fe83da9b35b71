//! One cut after each frame of the protocol: the connection goes dead as soon as a frame has left a host, or as soon as one has
//! been read and before anything that it brings about can leave.
//!
//! Bowline logs each frame that it sends or receives, at the level TRACE. A subscriber here reads that, and tells the gate of
//! the world that is running on this thread.

use std::fmt::Debug;
use std::sync::LazyLock;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Metadata};

use crate::exhaustive::{episode, require};
use crate::gate::{Act, At, Step, Trap, Way};
use crate::invariants::Expected;
use crate::logs::Reader;
use crate::plan::Plan;
use crate::process::note_step;
use crate::run::{Outcome, run};
use crate::seeds;
use crate::world::Who;

/// Everything that a session says in its life, when nothing is refused and nobody is away.
const FRAMES: [&str; 10] =
    ["Hello", "Welcome", "Confirm", "Sending", "Receiving", "Data", "Body", "Heartbeat", "Close", "CloseAck"];

#[derive(Default)]
struct Words {
    frame: Option<String>,
    message: String,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "frame" {
            self.frame = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

/// Tells the world on this thread of each frame that is logged.
fn watcher() -> Reader {
    let wanted = |metadata: &Metadata<'_>| {
        *metadata.level() == Level::TRACE && metadata.target() == "bowline::driver::link::log"
    };
    Reader { wanted, read: watch }
}

fn watch(event: &Event<'_>) {
    let mut words = Words::default();
    event.record(&mut words);
    let way = match words.message.as_str() {
        "sent" => Way::Sent,
        "received" => Way::Received,
        _ => return,
    };
    if let Some(frame) = words.frame {
        note_step(way, frame);
    }
}

/// Runs a plan, and sees its frames.
fn watched(plan: &Plan) -> Outcome {
    // As long as there are two subscribers, tracing asks them and not the thread that logs a line first.
    static WATCHERS: LazyLock<[Dispatch; 2]> =
        LazyLock::new(|| [Dispatch::new(watcher()), Dispatch::new(watcher())]);
    tracing::dispatcher::with_default(&WATCHERS[0], || run(plan, &Expected::new()))
}

/// One session for each frame that a host sends or receives, and it is cut behind that; with either side closing.
fn cut_each(name: &'static str, who: Who, way: Way) {
    Who::BOTH.into_iter().for_each(|closer| cut_each_of(name, (who, way), closer));
}

fn cut_each_of(name: &'static str, (who, way): (Who, Way), closer: Who) {
    let all = watched(&episode(closer)).steps;
    let mine: Vec<&Step> = all.iter().filter(|step| (step.0, step.1) == (who, way)).collect();
    let said = |frame: &&&str| all.iter().any(|step| step.2 == **frame);
    let unsaid: Vec<_> = FRAMES.iter().filter(|frame| !said(frame)).collect();
    assert!(unsaid.is_empty(), "nobody says {unsaid:?} in {all:?}");
    let numbers = seeds::asked().unwrap_or_else(|| (1..=mine.len() as u64).collect());
    let at = match way {
        Way::Sent => At::Sent,
        Way::Received => At::Received,
    };
    require(name, &numbers, Duration::from_secs(5), |number| {
        let mut plan = episode(closer);
        plan.traps.push(Trap { who, at: at(number), act: Act::Cut });
        let outcome = watched(&plan);
        let same = |step: &&Step| (step.0, step.1) == (who, way);
        let happened = outcome.steps.iter().filter(same).count() as u64 >= number && outcome.passed.1 == 2;
        (outcome, happened)
    });
}

#[test]
fn the_connection_is_cut_behind_each_frame_that_a_client_sends() {
    cut_each("the_connection_is_cut_behind_each_frame_that_a_client_sends", Who::Client, Way::Sent);
}

#[test]
fn the_connection_is_cut_behind_each_frame_that_a_client_receives() {
    cut_each("the_connection_is_cut_behind_each_frame_that_a_client_receives", Who::Client, Way::Received);
}

#[test]
fn the_connection_is_cut_behind_each_frame_that_a_server_sends() {
    cut_each("the_connection_is_cut_behind_each_frame_that_a_server_sends", Who::Server, Way::Sent);
}

#[test]
fn the_connection_is_cut_behind_each_frame_that_a_server_receives() {
    cut_each("the_connection_is_cut_behind_each_frame_that_a_server_receives", Who::Server, Way::Received);
}
