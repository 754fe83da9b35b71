//! What of a scenario packets really met. A run that met nothing proves nothing, and fails.
//!
//! | fault | it fired if | judged |
//! |---|---|---|
//! | a black hole, a stall, an MTU, a list of packets to drop, a share of 100 % | a packet was hit while it was on | always |
//! | a share of packets (loss, reordering, duplication, corruption) | a packet was hit while it was on | where at least 20 hits were to be expected |
//! | other conditions of a step | a packet passed while they held | always |
//! | a rebinding, forgetting or reboot of a NAT | a mapping was there to be taken away, and packets were sent afterwards | always |
//! | a move | packets were sent from the new network | always |
//! | a silence that is longer than a NAT remembers | a mapping expired | always |
//!
//! A step that happens in rounds must fire in one of them. A step whose moment is drawn may come when nobody
//! speaks, perhaps because another one has just silenced them: if no packet came while it held, one run says
//! nothing; all runs of a sweep [together](Coverage::merge) do. Why 20: if 20 hits are expected, none at all comes in
//! two of a thousand million runs (e⁻²⁰). A burst counts as one hit. Jitter, delay, rates and queues are no
//! faults; the achieved figures tell of them.

mod steps;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::link::{Conditions, Fault, Phase};
use crate::scenario::{Plan, Scenario};
use crate::time::Time;
use crate::world::{Direction, LinkId, World};

/// A share of packets is judged where this many hits were to be expected.
const JUDGED_FROM: f64 = 20.0;

/// Not even bad luck keeps a fault from firing in so many runs.
const RUNS_JUDGED_FROM: u64 = 20;

/// What of a scenario packets really met.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Coverage {
    /// Packets that hosts sent.
    pub packets: u64,
    /// Each fault of the scenario: first what holds from the beginning, then the steps.
    pub faults: Vec<Exercise>,
}

/// What became of one fault of a scenario.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Exercise {
    /// The fault, by its place in the scenario.
    pub fault: String,
    /// How often it was to come; 1 for what holds from the beginning.
    pub planned: u64,
    /// How often it came before the run ended.
    pub came: u64,
    /// In how many of these rounds it fired.
    pub fired: u64,
    /// How many packets (of a NAT: mappings) it hit.
    pub hits: u64,
    /// How many hits were to be expected; nothing where one is certain.
    pub expected: Option<f64>,
    /// In how many runs its moment was drawn and no packet came while it held.
    pub unlucky: u64,
    /// How many runs this is about.
    pub runs: u64,
}

/// Whether a fault did what it is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// It hit something.
    Yes,
    /// It hit nothing, and should have.
    Never,
    /// It hit nothing, and so few hits were to be expected that this says nothing.
    TooFewPackets,
}

impl Exercise {
    fn new(fault: String) -> Self {
        Self { fault, planned: 0, came: 0, fired: 0, hits: 0, expected: None, unlucky: 0, runs: 1 }
    }

    /// It came once more, and hit this many.
    fn round(&mut self, hits: u64) {
        self.came += 1;
        self.hits += hits;
        self.fired += u64::from(hits > 0);
    }

    /// Whether it did what it is there for.
    pub fn verdict(&self) -> Fired {
        match self.expected {
            _ if self.fired > 0 => Fired::Yes,
            _ if self.unlucky == self.runs && self.runs < RUNS_JUDGED_FROM => Fired::TooFewPackets,
            Some(expected) if expected > 0.0 && expected < JUDGED_FROM => Fired::TooFewPackets,
            _ => Fired::Never,
        }
    }
}

impl fmt::Display for Exercise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.fault)?;
        match self.verdict() {
            Fired::Yes if self.planned > 1 => {
                write!(f, "hit {} in {} of {} rounds", self.hits, self.fired, self.planned)
            }
            Fired::Yes => write!(f, "hit {}", self.hits),
            Fired::TooFewPackets => write!(f, "too few packets to tell"),
            Fired::Never if self.came == 0 => write!(f, "the run ended before it"),
            Fired::Never => write!(f, "hit nothing"),
        }
    }
}

impl Coverage {
    /// Adds what another run of the same scenario met. What too few packets could tell of in each, they may tell
    /// of together: from 20 runs on there is no bad luck.
    pub fn merge(&mut self, other: &Self) {
        self.packets += other.packets;
        for (one, another) in self.faults.iter_mut().zip(&other.faults) {
            one.planned += another.planned;
            one.came += another.came;
            one.fired += another.fired;
            one.hits += another.hits;
            one.expected = one.expected.zip(another.expected).map(|(one, another)| one + another);
            one.unlucky += another.unlucky;
            one.runs += another.runs;
        }
    }

    /// `Err` if no packet was sent, or if a fault never fired that should have.
    pub fn check(&self) -> Result<(), Unexercised> {
        let never = self.faults.iter().filter(|fault| fault.verdict() == Fired::Never);
        let never: Vec<_> = never.cloned().collect();
        if self.packets == 0 || !never.is_empty() {
            return Err(Unexercised { packets: self.packets, never });
        }
        Ok(())
    }
}

/// A run that did not test what it was there to test.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", words(*.packets, .never))]
#[non_exhaustive]
pub struct Unexercised {
    /// Packets that hosts sent.
    pub packets: u64,
    /// The faults that never fired.
    pub never: Vec<Exercise>,
}

fn words(packets: u64, never: &[Exercise]) -> String {
    if packets == 0 {
        return "the scenario was not exercised: no packet was sent".into();
    }
    let never = never.iter().map(Exercise::to_string).collect::<Vec<_>>();
    format!("the scenario was not exercised: {}", never.join("; "))
}

impl Plan {
    /// What of the plan packets met in this world, whose run ended then.
    pub fn coverage(&self, world: &World, end: Time) -> Coverage {
        let mut faults = self.standing(world, end);
        faults.extend(self.silence(world));
        let places = 0..self.scenario.steps().len();
        faults.extend(places.flat_map(|place| self.step(place, world, end)));
        let packets = world.trace().fates().get(&crate::Fate::Sent).copied().unwrap_or(0);
        Coverage { packets, faults }
    }

    /// The conditions that hold where no step says anything else.
    fn standing(&self, world: &World, end: Time) -> Vec<Exercise> {
        let whole = Window { from: Time::ZERO, until: Time::MAX };
        let mut faults = Vec::new();
        let firsts: Vec<_> = self.clients.iter().map(|client| (client.first, vec![whole])).collect();
        for section in Section::of_scenario(&self.scenario) {
            faults.extend(section.exercises("", &firsts, false, world, end));
        }
        let arrivals = self.clients.iter().filter_map(|client| {
            let arrival = client.occurrences.iter().find_map(|it| it.arrival)?;
            Some((client.other?, vec![Window { from: Time::from(arrival), until: Time::MAX }]))
        });
        let others: Vec<_> = arrivals.collect();
        // Whoever never moves there is told so by the step.
        for section in Section::of_other(&self.scenario).into_iter().filter(|_| !others.is_empty()) {
            // The link has one phase, from the beginning on.
            let links: Vec<_> = others.iter().map(|(link, _)| (*link, vec![whole])).collect();
            faults.extend(section.exercises("other network, ", &links, false, world, end));
        }
        faults
    }

    fn silence(&self, world: &World) -> Option<Exercise> {
        let silence = self.scenario.silence_between()?;
        let remembers = self.scenario.shortest_nat_timeout().filter(|timeout| *timeout < silence)?;
        let hits = world.all_nat_counts().expired;
        let fault = format!("a silence of {silence:?} where a NAT remembers for {remembers:?}");
        let mut exercise = Exercise { planned: 1, ..Exercise::new(fault) };
        exercise.round(hits);
        Some(exercise)
    }
}

/// A stretch of time; its end does not belong to it.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Time,
    until: Time,
}

/// What one table of a scenario says about one or both directions.
#[derive(Debug)]
struct Section<'a> {
    name: &'static str,
    said: &'a Conditions,
    /// What the tables for single directions say: it takes the place of what the table for both says.
    over: Vec<(Direction, Option<&'a Conditions>)>,
}

impl<'a> Section<'a> {
    fn of_scenario(scenario: &'a Scenario) -> [Self; 3] {
        let (both, up, down) = scenario.tables();
        Self::three(both, up, down)
    }

    fn of_other(scenario: &'a Scenario) -> Vec<Self> {
        let tables = scenario.other_tables();
        tables.map(|(both, up, down)| Self::three(both, up, down)).into_iter().flatten().collect()
    }

    fn three(both: &'a Conditions, up: &'a Conditions, down: &'a Conditions) -> [Self; 3] {
        let over = vec![(Direction::Up, Some(up)), (Direction::Down, Some(down))];
        [
            Self { name: "both", said: both, over },
            Self { name: "up", said: up, over: vec![(Direction::Up, None)] },
            Self { name: "down", said: down, over: vec![(Direction::Down, None)] },
        ]
    }

    /// Each fault of this table, over these links in these windows.
    fn exercises(&self, prefix: &str, links: &Links, drawn: bool, world: &World, end: Time) -> Vec<Exercise> {
        let on = Fault::ALL.into_iter().filter(|fault| fault.is_on(self.said));
        on.map(|fault| {
            let name = format!("{prefix}{}: {}", self.name, fault.words(self.said));
            let directions =
                self.over.iter().filter(|(_, over)| over.is_none_or(|over| !fault.is_said(over)));
            let directions: Vec<_> = directions.map(|(direction, _)| *direction).collect();
            let mut exercise = Exercise::new(name);
            let mut offered = 0;
            exercise.expected = fault.chance(self.said).map(|_| 0.0);
            exercise.planned = links.iter().map(|(_, windows)| windows.len() as u64).sum();
            for (link, window) in windows_by(links, end) {
                let phases = phases(world, link, &directions, window);
                let alike = phases.filter(|phase| fault.is_as_said(&phase.conditions, self.said));
                let mut hits = 0;
                for phase in alike {
                    hits += fault.hits(&phase.met);
                    offered += phase.met.offered;
                    if let Some(expected) = &mut exercise.expected {
                        let chance = fault.chance(&phase.conditions).unwrap_or(1.0);
                        *expected += phase.met.carried() as f64 * chance;
                    }
                }
                exercise.round(hits);
            }
            exercise.unlucky = u64::from(drawn && exercise.came > 0 && offered == 0);
            exercise
        })
        .collect()
    }
}

/// The links that a table is about, and when it holds there.
type Links = [(LinkId, Vec<Window>)];

/// The windows that began before the run ended.
fn windows_by(links: &Links, end: Time) -> impl Iterator<Item = (LinkId, Window)> {
    let all = links.iter().flat_map(|(link, windows)| windows.iter().map(|window| (*link, *window)));
    all.filter(move |(_, window)| window.from <= end)
}

/// The phases that begin in a window.
fn phases<'a>(
    world: &'a World,
    link: LinkId,
    directions: &[Direction],
    window: Window,
) -> impl Iterator<Item = &'a Phase> {
    directions.iter().flat_map(move |direction| {
        let phases = world.phases(link, *direction);
        let first = phases.partition_point(|phase| phase.from < window.from);
        phases[first..].iter().take_while(move |phase| phase.from < window.until)
    })
}
