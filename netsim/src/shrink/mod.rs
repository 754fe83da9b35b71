//! A run that fails, made smaller: as few faults as possible, then a list of packets, then less time.
//!
//! ```
//! use std::time::Duration;
//!
//! use bowline_netsim::quic::{Workload, run};
//! use bowline_netsim::{Conditions, Scenario, Step, shrink};
//!
//! let lift = Step::at(Duration::from_secs(4)).lasting(Duration::from_secs(5)).both(Conditions::new().block(true));
//! let ride = Scenario::new("ride", Duration::from_secs(15)).both(Conditions::new().loss(1.0)).step(lift.clone());
//!
//! // Fails if nobody hears anything for more than 2 s.
//! let fails = |scenario: &Scenario, seed| {
//!     let summary = run(scenario, seed, Workload::Echo).unwrap();
//!     (summary.longest_gap > Duration::from_secs(2)).then_some(summary.taken)
//! };
//! let shrunk = shrink::shrink(&ride, 1, 15, fails).unwrap();
//! assert_eq!(shrunk.scenario, Scenario::new("ride", Duration::from_secs(7)).step(lift));
//! println!("{}", shrunk.test("nobody_is_silent_in_a_lift", "todo!(\"run it and assert\");"));
//! ```
//!
//! Randomness is looked up, not consumed, so that taking one fault away leaves the luck of all others as it was.

mod minimize;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::time::Duration;

use minimize::minimize;

use crate::scenario::{Part, Scenario};
use crate::values::BadValue;

/// A list of packets takes the place of faults if it is not longer than this.
const DROPS_MAX: usize = 32;

/// The numbers of the packets that a client's own link lost or blocked in a run; 1 is the first that a direction
/// was offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Towards the internet.
    pub up: Vec<u64>,
    /// Towards the client.
    pub down: Vec<u64>,
}

/// A failing run, made smaller.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Shrunk {
    /// What is left.
    pub scenario: Scenario,
    /// The seed; it is still the same.
    pub seed: u64,
    /// How many runs it took.
    pub runs: usize,
    /// Whether it stopped because no more runs were allowed; more might make it smaller still.
    pub out_of_runs: bool,
    /// What was done, in words, in order.
    pub log: Vec<String>,
}

/// Why there is nothing to make smaller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShrinkError {
    /// The scenario and the seed do not fail.
    #[error("seed {seed} of {scenario:?} does not fail: there is nothing to shrink")]
    Passes {
        /// The scenario's name.
        scenario: String,
        /// The seed.
        seed: u64,
    },
    /// The scenario makes no sense.
    #[error(transparent)]
    Scenario(#[from] BadValue),
}

/// Makes a failing run smaller, in at most so many runs.
///
/// `fails` runs a scenario and answers `None` if all is well. If not it answers what the client's link took
/// away ([`Plan::taken`](crate::Plan::taken), `Summary::taken`), or an empty [`Taken`], without which
/// there will be no list of packets. It must be a function of its arguments.
///
/// First faults are taken out, several at once where that works: steps, conditions, NATs, silences. Then the
/// run is cut short, to a whole number of seconds. At last loss and black holes are replaced by the packets that
/// they took, and those are made few; the list stays if at most 32 are left and none of them can go, and then
/// the run may become shorter still.
pub fn shrink(
    scenario: &Scenario,
    seed: u64,
    runs_max: usize,
    fails: impl FnMut(&Scenario, u64) -> Option<Taken>,
) -> Result<Shrunk, ShrinkError> {
    scenario.check()?;
    let mut search = Search { seed, runs: 0, runs_max, fails, log: Vec::new() };
    let Some(mut taken) = search.run(scenario) else {
        return Err(ShrinkError::Passes { scenario: scenario.name().to_owned(), seed });
    };
    let scenario = search.without_faults(scenario, &mut taken);
    let scenario = search.shorter(scenario, &mut taken);
    let scenario = match search.with_drops(&scenario, &taken) {
        Some(drops) => search.shorter(drops, &mut taken),
        None => scenario,
    };
    let Search { runs, log, .. } = search;
    Ok(Shrunk { scenario, seed, runs, out_of_runs: runs >= runs_max, log })
}

struct Search<F> {
    seed: u64,
    runs: usize,
    runs_max: usize,
    fails: F,
    log: Vec<String>,
}

impl<F: FnMut(&Scenario, u64) -> Option<Taken>> Search<F> {
    /// What makes no sense does not fail, and neither does what may no longer be run.
    fn run(&mut self, scenario: &Scenario) -> Option<Taken> {
        if self.runs >= self.runs_max || scenario.check().is_err() {
            return None;
        }
        self.runs += 1;
        (self.fails)(scenario, self.seed)
    }

    fn without_faults(&mut self, scenario: &Scenario, taken: &mut Taken) -> Scenario {
        let all = scenario.parts();
        let kept = minimize(all.clone(), |parts: &[Part]| match self.run(&scenario.keeping(parts)) {
            Some(now) => {
                *taken = now;
                true
            }
            None => false,
        });
        let gone: Vec<_> = all.iter().filter(|part| !kept.contains(part)).map(Part::to_string).collect();
        if !gone.is_empty() {
            self.log.push(format!("taken out: {}", gone.join(", ")));
        }
        scenario.keeping(&kept)
    }

    fn shorter(&mut self, scenario: Scenario, taken: &mut Taken) -> Scenario {
        let before = scenario.duration();
        let (mut passes, mut fails) = (0, before.as_secs() + 1);
        let mut shortest = scenario;
        while fails - passes > 1 {
            let middle = passes + (fails - passes) / 2;
            let shorter = shortest.shortened(Duration::from_secs(middle));
            if let Some(now) = self.run(&shorter) {
                *taken = now;
                fails = middle;
                shortest = shorter;
            } else {
                passes = middle;
            }
        }
        if shortest.duration() < before {
            self.log.push(format!("lasts {:?} instead of {before:?}", shortest.duration()));
        }
        shortest
    }

    fn with_drops(&mut self, scenario: &Scenario, taken: &Taken) -> Option<Scenario> {
        let up = taken.up.iter().map(|number| (true, *number));
        let all: Vec<_> = up.chain(taken.down.iter().map(|number| (false, *number))).collect();
        let dropping = |drops: &[(bool, u64)]| {
            let of = |up| drops.iter().filter(|drop| drop.0 == up).map(|drop| drop.1).collect::<Vec<_>>();
            scenario.dropping(&of(true), &of(false))
        };
        if all.is_empty() || self.run(&dropping(&all)).is_none() {
            return None;
        }
        let few = minimize(all, |drops: &[(bool, u64)]| self.run(&dropping(drops)).is_some());
        // A list that could not be made minimal is no explanation.
        let minimal = self.runs < self.runs_max;
        if few.len() > DROPS_MAX || !minimal {
            let why = if minimal { "say less" } else { "were too many to be looked at one by one" };
            self.log.push(format!("loss and black holes stay: {} lost packets {why}", few.len()));
            return None;
        }
        self.log.push(format!("loss and black holes became {} lost packets", few.len()));
        Some(dropping(&few))
    }
}

impl Shrunk {
    /// A test in Rust that runs what is left. Its body finds `scenario` and `seed`, and asserts.
    pub fn test(&self, name: &str, body: &str) -> String {
        let toml = self.scenario.to_toml().unwrap_or_else(|error| format!("# {error}"));
        let mut text = format!("#[test]\nfn {}() {{\n", identifier(name));
        let hashes = "#".repeat(1 + toml.matches("\"#").count());
        let body: Vec<_> = body.lines().map(|line| format!("    {line}")).collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "    let text = r{hashes}\"\n{}\n\"{hashes};", toml.trim_end());
        let _ = writeln!(text, "    let scenario = bowline_netsim::Scenario::from_toml(text).unwrap();");
        let _ = writeln!(text, "    let seed = {};\n{}\n}}", self.seed, body.join("\n"));
        text
    }
}

/// A name that Rust accepts.
fn identifier(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = name.chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("shrunk_{name}") }
}
