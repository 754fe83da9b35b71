//! Two people who chat, and whom nobody tells what becomes of their network.

use std::time::Duration;

use super::{Case, Course};
use crate::figures::{Figures, max};
use crate::lab::{Lab, Network, SERVER, TARGET};
use crate::nat::{Anew, Kind};
use crate::process::{Problem, Process, example, now};

/// Each says something so often.
const EVERY: Duration = Duration::from_millis(250);
const LINES: usize = 160;

/// Something that is done to the network.
type Blow = fn(&mut Lab) -> Result<(), Problem>;

/// What happens, and when.
const HAPPENS: [(Duration, Blow); 4] = [
    (Duration::from_secs(5), |lab| lab.nat.rebind(Anew::Port)),
    (Duration::from_secs(12), |lab| lab.move_to(Network::B)),
    // An elevator, and its door.
    (Duration::from_secs(19), |lab| lab.block(true)),
    (Duration::from_secs(29), |lab| lab.block(false)),
];

pub(super) fn cases() -> Vec<Case> {
    let about = "chat of two through a rebind, another network and 10 s in an elevator";
    vec![Case::new("chat", about, 5, &[max("gap_ms", 11_300.0)], chat)]
}

fn chat(lab: &mut Lab, mut course: Course) -> Result<Figures, Problem> {
    lab.reset(Kind::Restricted)?;
    let program = example("chat")?;
    let mut ada = lab.start("server", &program, &["listen", "--json", "--name", "ada", "--addr", SERVER])?;
    let fingerprint = ada.event("listening")?.text("fingerprint").to_owned();
    let dial = ["connect", TARGET, "--json", "--name", "bob", "--reconnect", "responsive", "--fingerprint"];
    let mut bob = lab.start("client", &program, &[&dial[..], &[&fingerprint]].concat())?;
    bob.event("connected")?;
    let (began, offset) = (now(), course.between(0, 1000));
    let mut happens = HAPPENS.iter().peekable();
    for number in 0..LINES {
        let due = EVERY * number as u32;
        bob.listen(began + due)?;
        while let Some((_, act)) = happens.next_if(|(at, _)| *at + offset <= due) {
            act(lab)?;
        }
        ada.say(&format!("ada {number}"))?;
        bob.say(&format!("bob {number}"))?;
    }
    let mut figures = Figures::new();
    for (listener, speaker) in [(&mut ada, "bob"), (&mut bob, "ada")] {
        figures = figures.times("gap_ms", [heard(listener, speaker)?]);
    }
    for mut speaker in [bob, ada] {
        speaker.end_input();
        all_handled(&mut speaker)?;
    }
    Ok(figures)
}

/// Each line was shown once and in order; the longest time between two.
fn heard(listener: &mut Process, speaker: &str) -> Result<Duration, Problem> {
    let last = format!("{speaker} {}", LINES - 1);
    while listener.events.last().is_none_or(|said| said.text("text") != last || !said.is("message")) {
        listener.event("message")?;
    }
    let messages: Vec<_> = listener.all("message").collect();
    let texts: Vec<_> = messages.iter().map(|said| said.text("text").to_owned()).collect();
    let wanted: Vec<_> = (0..LINES).map(|number| format!("{speaker} {number}")).collect();
    if texts != wanted {
        return Err(format!("of {speaker} was heard: {texts:?}").into());
    }
    let gaps = messages.windows(2).map(|pair| pair[1].at - pair[0].at);
    Ok(gaps.max().unwrap_or_default())
}

/// Who leaves has been told that every line was handled.
fn all_handled(speaker: &mut Process) -> Result<(), Problem> {
    let (code, stderr) = speaker.wait()?;
    let handled = speaker.all("receipt").filter(|said| said.text("outcome") == "handled").count();
    match code == Some(0) && handled == LINES {
        true => Ok(()),
        false => Err(format!("{handled} lines handled, code {code:?}: {stderr}").into()),
    }
}
