//! A scenario's parts, for those who look at them and those who take them away.

use std::fmt;
use std::time::Duration;

use super::{NatStep, Scenario, Step};
use crate::link::Conditions;
use crate::values::Length;

/// What is said about both directions, about up and about down.
type Tables<'a> = (&'a Conditions, &'a Conditions, &'a Conditions);

/// Something that can be taken out of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// One aspect of the conditions in one table.
    Aspect(Owner, Side, &'static str),
    NatStep(usize),
    Move(usize),
    Nat(usize),
    OtherNat(usize),
    Silence,
}

/// Whose conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Step(usize),
    First,
    Other,
}

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Both,
    Up,
    Down,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aspect(owner, side, aspect) => {
                match owner {
                    Owner::Step(place) => write!(f, "at[{place}] ")?,
                    Owner::First => {}
                    Owner::Other => write!(f, "other network, ")?,
                }
                write!(f, "{}: {aspect}", format!("{side:?}").to_lowercase())
            }
            Self::NatStep(place) => write!(f, "at[{place}] nat"),
            Self::Move(place) => write!(f, "at[{place}] move-after"),
            Self::Nat(place) => write!(f, "nat[{place}]"),
            Self::OtherNat(place) => write!(f, "other network, nat[{place}]"),
            Self::Silence => write!(f, "silence"),
        }
    }
}

impl Scenario {
    /// Everything that can be taken out, what happens before what holds.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut tables = |owner, (both, up, down): Tables<'_>| {
            for (side, said) in [(Side::Both, both), (Side::Up, up), (Side::Down, down)] {
                parts.extend(said.aspects().into_iter().map(|aspect| Part::Aspect(owner, side, aspect)));
            }
        };
        for (place, step) in self.at.iter().enumerate() {
            tables(Owner::Step(place), step.tables());
        }
        tables(Owner::First, self.tables());
        self.other_tables().into_iter().for_each(|other| tables(Owner::Other, other));
        for (place, step) in self.at.iter().enumerate() {
            parts.extend(step.nat.map(|_| Part::NatStep(place)));
            parts.extend(step.move_after.map(|_| Part::Move(place)));
        }
        parts.extend((0..self.nat.len()).map(Part::Nat));
        let others = self.other.as_ref().map_or(0, |other| other.nat.len());
        parts.extend((0..others).map(Part::OtherNat));
        parts.extend(self.silence.map(|_| Part::Silence));
        parts
    }

    /// What is left with these parts alone. What is drawn stays as it was.
    pub(crate) fn keeping(&self, parts: &[Part]) -> Self {
        let has = |part| parts.contains(&part);
        let table = |owner, side, said: &Conditions| {
            said.keeping(|kept| {
                let is_it = |part: &Part| matches!(part, Part::Aspect(o, s, a) if *o == owner && *s == side && *a == kept);
                parts.iter().any(is_it)
            })
        };
        let mut left = self.clone();
        left.both = table(Owner::First, Side::Both, &self.both);
        left.up = table(Owner::First, Side::Up, &self.up);
        left.down = table(Owner::First, Side::Down, &self.down);
        left.silence = self.silence.filter(|_| has(Part::Silence));
        left.nat = kept(&self.nat, |place| has(Part::Nat(place)));
        left.at.clear();
        for (place, step) in self.at.iter().enumerate() {
            let mut step = step.clone();
            step.both = table(Owner::Step(place), Side::Both, &step.both);
            step.up = table(Owner::Step(place), Side::Up, &step.up);
            step.down = table(Owner::Step(place), Side::Down, &step.down);
            step.nat = step.nat.filter(|_| has(Part::NatStep(place)));
            step.move_after = step.move_after.filter(|_| has(Part::Move(place)));
            let hurts = !(step.both.is_empty() && step.up.is_empty() && step.down.is_empty());
            step.lasting = step.lasting.filter(|_| hurts);
            if hurts || step.nat.is_some() || step.move_after.is_some() {
                left.push_step(step, place);
            }
        }
        left.other = self.other.clone().filter(|_| left.at.iter().any(Step::moves));
        if let Some(other) = &mut left.other {
            other.both = table(Owner::Other, Side::Both, &other.both);
            other.up = table(Owner::Other, Side::Up, &other.up);
            other.down = table(Owner::Other, Side::Down, &other.down);
            other.nat = kept(&other.nat, |place| has(Part::OtherNat(place)));
        }
        left
    }

    /// A step that had this place keeps its luck in another.
    fn push_step(&mut self, mut step: Step, place: usize) {
        let drawn = [Some(step.time), step.lasting, step.move_after];
        if self.at.len() != place && drawn.into_iter().flatten().any(super::Range::is_random) {
            step.luck.get_or_insert(place as u32);
        }
        self.at.push(step);
    }

    /// The same without loss and black holes, which instead loses these packets of the client's own link.
    pub(crate) fn dropping(&self, up: &[u64], down: &[u64]) -> Self {
        let takes = |part: &Part| {
            matches!(part, Part::Aspect(owner, _, aspect)
                if *owner != Owner::Other && matches!(*aspect, "loss" | "block" | "drop"))
        };
        let kept: Vec<_> = self.parts().into_iter().filter(|part| !takes(part)).collect();
        let mut left = self.keeping(&kept);
        for (table, numbers) in [(&mut left.up, up), (&mut left.down, down)] {
            if !numbers.is_empty() {
                *table = std::mem::take(table).drop(numbers.iter().copied());
            }
        }
        left
    }

    /// The same, but over after this time.
    pub(crate) fn shortened(&self, duration: Duration) -> Self {
        let mut left = self.clone();
        left.duration = Length(duration);
        left.at.clear();
        for (place, step) in self.at.iter().enumerate().filter(|(_, step)| step.time.from < duration) {
            left.push_step(step.clone(), place);
        }
        left
    }

    /// All conditions that are said anywhere.
    pub(super) fn all_conditions(&mut self) -> impl Iterator<Item = &mut Conditions> {
        let steps = self.at.iter_mut().flat_map(|step| [&mut step.both, &mut step.up, &mut step.down]);
        let other = self.other.iter_mut().flat_map(|other| [&mut other.both, &mut other.up, &mut other.down]);
        [&mut self.both, &mut self.up, &mut self.down].into_iter().chain(steps).chain(other)
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.at
    }

    /// About the first network.
    pub(crate) fn tables(&self) -> Tables<'_> {
        (&self.both, &self.up, &self.down)
    }

    /// About the other network, if there is one.
    pub(crate) fn other_tables(&self) -> Option<Tables<'_>> {
        self.other.as_ref().map(|other| (&other.both, &other.up, &other.down))
    }

    /// How long the most forgetful NAT on the way remembers a stream.
    pub(crate) fn shortest_nat_timeout(&self) -> Option<Duration> {
        self.nat.iter().map(|nat| nat.timeout_of_streams()).min()
    }
}

impl Step {
    pub(crate) fn tables(&self) -> Tables<'_> {
        (&self.both, &self.up, &self.down)
    }

    /// When it happens, as a file says it.
    pub(crate) fn moment(&self) -> String {
        match self.every {
            Some(every) => format!("{}, every {every}", self.time),
            None => self.time.to_string(),
        }
    }

    /// Whether the seed decides when it happens.
    pub(crate) fn moment_is_drawn(&self) -> bool {
        self.time.is_random()
    }

    /// Whether its conditions end by themselves.
    pub(crate) fn has_end(&self) -> bool {
        self.lasting.is_some()
    }

    pub(crate) fn nat_step(&self) -> Option<NatStep> {
        self.nat
    }

    pub(crate) fn moves(&self) -> bool {
        self.move_after.is_some()
    }
}

fn kept<T: Clone>(all: &[T], keep: impl Fn(usize) -> bool) -> Vec<T> {
    all.iter().enumerate().filter(|(place, _)| keep(*place)).map(|(_, one)| one.clone()).collect()
}
