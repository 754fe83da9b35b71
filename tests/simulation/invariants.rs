//! What must hold of a run: the guarantees, by the checkers of netsim and by what only Bowline knows.

use std::fmt::Write;
use std::time::Duration;

use bowline::error::{CloseCode, CloseReason};
use bowline_netsim::Time;
use bowline_netsim::history::{Bounds, Guarantee};

use crate::model::{Book, Ledger, peer};
use crate::world::Who;

/// Violations that are shown; more are counted.
const SHOWN: usize = 12;

/// What is known of a run before it begins.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) bounds: Bounds,
    /// Guarantees of which at least one fact must have been judged.
    pub(crate) tested: Vec<Guarantee>,
}

impl Expected {
    /// What holds of any run: nothing is open at its end, and nothing storms.
    pub(crate) fn new() -> Self {
        let bounds = Bounds::new().dials(DIALS.0, DIALS.1);
        Self { bounds, tested: Vec::new() }
    }
}

/// How long the end of a session takes to be told to its application.
const GOODBYE: Duration = Duration::from_secs(5);

/// G15: the responsive policy dials after 0, 125, 250 and 500 ms and then every second, each shortened by up to 25 %, and
/// begins anew after a link that lived for a second. Signs of life start attempts of their own.
const DIALS: (usize, Duration) = (16, Duration::from_secs(5));

/// All that a run has broken, in words.
pub(crate) fn violations(ledger: &Ledger, dials: &[Time], expected: &Expected) -> Vec<String> {
    let mut book = ledger.book();
    for at in dials {
        book.history.dialed(*at, Who::Client.name());
    }
    book.history.ended(ledger.now());
    let verdict = book.history.check(&expected.bounds);
    let mut found: Vec<String> = verdict.violations().iter().map(ToString::to_string).collect();
    found.extend(book.violations.iter().cloned());
    found.extend(ends(&book));
    found.extend(unknowns(&book));
    let untested = expected.tested.iter().filter(|guarantee| verdict.judged(**guarantee) == 0);
    found.extend(untested.map(|guarantee| format!("{guarantee}: nothing in the run tests it")));
    found
}

/// Fails with all that a run has broken, and the command that replays it.
pub(crate) fn require(name: &str, seed: u64, found: &[String]) {
    if let Some(words) = words(name, seed, found) {
        panic!("{words}");
    }
}

/// All that a run has broken and the command that replays it, if it has.
pub(crate) fn words(name: &str, seed: u64, found: &[String]) -> Option<String> {
    if found.is_empty() {
        return None;
    }
    let mut text = format!("{name}, seed {seed}:\n");
    for violation in found.iter().take(SHOWN) {
        writeln!(text, "  {violation}").expect("a string takes everything");
    }
    if found.len() > SHOWN {
        writeln!(text, "  and {} more", found.len() - SHOWN).expect("a string takes everything");
    }
    write!(text, "replay it: SEED={seed} cargo test --test simulation {name} -- --nocapture")
        .expect("a string takes everything");
    Some(text)
}

/// A session ends only when somebody wants it to.
fn ends(book: &Book) -> Vec<String> {
    let mut found = Vec::new();
    for (session, life) in &book.sessions {
        for (who, (at, reason)) in &life.ended {
            let wanted = life.wanted.is_some_and(|wanted| wanted <= *at);
            let forgot =
                book.forgot.get(&Who::Client).is_some_and(|times| times.iter().any(|time| time <= at));
            let replaced = forgot || !life.known_to.contains(&Who::Client);
            // A dialer gives up when its first attempt comes to nothing, which the acceptor may have thought the best of.
            let never_made = reason.code == CloseCode::Dropped && !life.known_to.contains(&Who::Client);
            if !may_end(*who, reason, wanted, replaced) && !never_made {
                found.push(format!("G1 no loss, at {at}: {}: ended, {reason}", peer(*who, *session)));
            }
        }
    }
    found
}

fn may_end(who: Who, reason: &CloseReason, wanted: bool, replaced: bool) -> bool {
    match reason.code {
        CloseCode::Normal => wanted,
        // Whoever closes and cannot tell.
        CloseCode::Unreachable => wanted,
        CloseCode::Superseded => (replaced || wanted) && who == Who::Server,
        _ => false,
    }
}

/// A sender is left in doubt at the moment when it hears that the other side lost its memory, and when the session ends.
fn unknowns(book: &Book) -> Vec<String> {
    let near = |one: Time, other: Time| one.since(other).max(other.since(one)) <= Duration::from_millis(2);
    let mut found = Vec::new();
    for (at, id, who, redeliver) in &book.unknown {
        // What is sent again, and then ends without having been handled, may have been handled before.
        let told = |time: &Time| near(*time, *at) || *redeliver && time <= at;
        let reset = book.resets.get(&(*who, id.session)).is_some_and(|times| times.iter().any(told));
        let life = book.sessions.get(&id.session);
        // The session's task says goodbye before it tells the application, which may not live to hear it, or be stopped.
        let stops =
            book.stops.iter().filter(|(stopped, from, _)| stopped == who && from.since(*at) <= GOODBYE);
        let patience = GOODBYE + stops.map(|(.., length)| *length).sum::<Duration>();
        let soon = |time: &Time| time.since(*at) <= patience;
        let end = life.and_then(|life| life.ended.get(who));
        let ended = end.is_some_and(|(time, _)| soon(time));
        let died = book.crashes.iter().any(|(dead, time)| dead == who && time >= at && soon(time));
        let closing = life.and_then(|life| life.wanted).is_some_and(|wanted| wanted <= *at);
        if !reset && !ended && !died && !closing {
            let name = peer(*who, id.session);
            found.push(format!("G1 no loss, at {at}: {name}: {id} is unknown, and nobody forgot anything"));
        }
    }
    found
}
