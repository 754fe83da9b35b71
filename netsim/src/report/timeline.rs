//! When what happens in a scenario: a row for each step.

use askama::Template;

use super::plots::Mark;
use super::undrawn;
use crate::scenario::Scenario;
use crate::values::BadValue;

/// A scenario's timeline as an SVG of its own, with the times that this seed draws.
pub fn timeline_svg(scenario: &Scenario, seed: u64) -> Result<String, BadValue> {
    scenario.check()?;
    Timeline::new(scenario, seed).render().map_err(undrawn)
}

/// What happens on the way of the first client, in seconds of the run. Only the first round of a step is labelled.
pub(super) fn marks(scenario: &Scenario, seed: u64, end: f64) -> Vec<Mark> {
    let mut labelled = None;
    let occurrences = scenario.occurrences(seed, "client").into_iter();
    let marks = occurrences.map(|it| {
        let from = it.at.as_secs_f64();
        let until = it.until.or(it.arrival).map_or(from, |until| until.as_secs_f64());
        let first = labelled.replace(it.step) != Some(it.step);
        Mark { from, until: until.min(end), label: if first { it.step.to_string() } else { String::new() } }
    });
    marks.filter(|mark| mark.from <= end).collect()
}

const LEFT: f64 = 20.0;
const WIDTH: f64 = 840.0;
const TOP: f64 = 64.0;
const ROW: f64 = 44.0;

/// So many letters fit beside each other.
const LETTERS_MAX: usize = 110;

#[derive(Template)]
#[template(path = "timeline.svg", escape = "html")]
struct Timeline {
    title: String,
    height: f64,
    bottom: f64,
    ticks: Vec<Tick>,
    rows: Vec<Row>,
}

struct Tick {
    x: f64,
    text: String,
}

struct Row {
    y: f64,
    words: String,
    /// As much of them as fits.
    shown: String,
    bars: Vec<Bar>,
}

struct Bar {
    x: f64,
    width: f64,
    when: String,
}

impl Timeline {
    fn new(scenario: &Scenario, seed: u64) -> Self {
        let seconds = scenario.duration().as_secs_f64();
        let place = |time: f64| LEFT + time / seconds * WIDTH;
        let words = scenario.timeline();
        let held: Vec<_> = words.iter().take_while(|(when, _)| when == "start").collect();
        let mut rows = Vec::new();
        let whole = |what: &str| Row {
            y: 0.0,
            words: what.to_owned(),
            shown: String::new(),
            bars: vec![Bar { x: LEFT, width: WIDTH, when: "all the time".into() }],
        };
        rows.extend(held.iter().map(|(_, what)| whole(what)));
        let occurrences = scenario.occurrences(seed, "client");
        for (step, (when, what)) in words[held.len()..].iter().enumerate().take(scenario.steps().len()) {
            let of_step = occurrences.iter().filter(|it| it.step == step);
            let bars = of_step.map(|it| {
                let from = it.at.as_secs_f64();
                let until = it.until.or(it.arrival).map_or(from, |until| until.as_secs_f64()).min(seconds);
                let when = if until > from {
                    format!("{from:.3} s to {until:.3} s")
                } else {
                    format!("{from:.3} s")
                };
                // A moment is as wide as can be seen.
                Bar { x: place(from), width: (place(until) - place(from)).max(3.0), when }
            });
            let words = format!("{step}: at {when}: {what}");
            rows.push(Row { y: 0.0, words, shown: String::new(), bars: bars.collect() });
        }
        for (place, row) in rows.iter_mut().enumerate() {
            row.y = TOP + place as f64 * ROW;
            row.shown = row.words.chars().take(LETTERS_MAX).collect();
            if row.shown != row.words {
                row.shown.push('…');
            }
        }
        let bottom = TOP + rows.len() as f64 * ROW;
        let step = tick(seconds);
        let ticks = (0..).map(|number| f64::from(number) * step).take_while(|time| *time <= seconds);
        let ticks = ticks.map(|time| Tick { x: place(time), text: format!("{time} s") }).collect();
        let title = format!("{}, seed {seed}: {}", scenario.name(), scenario.summary_line());
        Self { title, height: bottom + 40.0, bottom, ticks, rows }
    }
}

/// A round number of seconds, of which at most twelve fit.
fn tick(seconds: f64) -> f64 {
    let rounds = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0];
    rounds.into_iter().find(|step| seconds / step <= 12.0).unwrap_or(14_400.0)
}
