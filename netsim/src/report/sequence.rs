//! Who sent what to whom around a moment: a diagram with a row for each thing that happened.

use std::collections::{BTreeMap, BTreeSet};

use crate::packet::Fate;
use crate::time::Time;
use crate::trace::Event;

/// Packets that are shown before the moment, and after it.
const BEFORE: usize = 5;
const AFTER: usize = 9;

const ROW: f64 = 17.0;
const TOP: f64 = 40.0;
const CLIENT: f64 = 220.0;
const SERVER: f64 = 660.0;

/// A diagram, ready to be drawn.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) title: String,
    pub(super) height: f64,
    pub(super) bottom: f64,
    pub(super) arrows: Vec<Arrow>,
    pub(super) words: Vec<Words>,
    /// Where the moment lies.
    pub(super) mark: f64,
}

/// A packet on its way.
#[derive(Debug)]
pub(super) struct Arrow {
    pub(super) x1: f64,
    pub(super) y1: f64,
    pub(super) x2: f64,
    pub(super) y2: f64,
    /// How it ended, if it did not arrive in one piece.
    pub(super) trouble: String,
    pub(super) trouble_x: f64,
    pub(super) trouble_anchor: &'static str,
    pub(super) lost: bool,
}

/// What stands beside a lifeline.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) anchor: &'static str,
    pub(super) text: String,
}

/// What happened around a moment; nothing if nobody sent anything near it.
pub(super) fn around(events: &[Event], moment: Time, title: String) -> Option<Sequence> {
    let sent: Vec<_> = events.iter().filter(|event| event.fate == Fate::Sent).collect();
    let place = sent.partition_point(|event| event.at < moment);
    let shown: BTreeSet<u64> = sent[place.saturating_sub(BEFORE)..(place + AFTER).min(sent.len())]
        .iter()
        .map(|event| event.packet)
        .collect();
    let mut packets: BTreeMap<u64, Vec<&Event>> = BTreeMap::new();
    for event in events.iter().filter(|event| shown.contains(&event.packet)) {
        packets.entry(event.packet).or_default().push(event);
    }
    if packets.is_empty() {
        return None;
    }
    let mut rows: Vec<(Time, u64, usize)> = packets
        .iter()
        .flat_map(|(number, events)| events.iter().enumerate().map(|(place, it)| (it.at, *number, place)))
        .collect();
    rows.sort_unstable();
    let row = |key: &(Time, u64, usize)| rows.binary_search(key).unwrap_or_default();
    let after = rows.partition_point(|(at, ..)| *at < moment);
    // The moment has a row of its own.
    let y = |row: usize| TOP + ROW * (row + usize::from(row >= after)) as f64;
    let bottom = TOP + ROW * (rows.len() + 1) as f64;
    let mark = TOP + ROW * after as f64;
    let mut sequence =
        Sequence { title, height: bottom + 16.0, bottom, arrows: Vec::new(), words: Vec::new(), mark };
    for (number, events) in &packets {
        let y_of = |place: usize| y(row(&(events[place].at, *number, place)));
        sequence.packet(events, y_of);
    }
    Some(sequence)
}

impl Sequence {
    /// The first event of a packet is that it was sent.
    fn packet(&mut self, events: &[&Event], y_of: impl Fn(usize) -> f64) {
        let Some(sent) = events.first() else { return };
        // The server is the one that everybody sends to.
        let up = sent.to.port() == 443;
        let (from, to) = if up { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        self.say(up, y_of(0), format!("{}  {} B", seconds(sent.at), sent.length));
        for (place, event) in events.iter().enumerate().skip(1) {
            let lost = !event.fate.arrives();
            let trouble =
                if event.fate == Fate::Delivered { String::new() } else { event.fate.name().to_owned() };
            let x2 = if lost { from + (to - from) * 0.55 } else { to };
            // Behind the end of a lost packet there is room, towards where it wanted to go.
            let beside = if up == lost { 8.0 } else { -8.0 };
            let trouble_anchor = if up == lost { "start" } else { "end" };
            let (y1, y2, trouble_x) = (y_of(0), y_of(place), x2 + beside);
            self.arrows.push(Arrow { x1: from, y1, x2, y2, trouble, trouble_x, trouble_anchor, lost });
            if !lost {
                self.say(!up, y_of(place), seconds(event.at));
            }
        }
    }

    fn say(&mut self, client: bool, y: f64, text: String) {
        let (x, anchor) = if client { (CLIENT - 10.0, "end") } else { (SERVER + 10.0, "start") };
        self.words.push(Words { x, y: y + 4.0, anchor, text });
    }
}

fn seconds(at: Time) -> String {
    format!("{:.4} s", at.since_start().as_secs_f64())
}
