//! Canaries: deliberate faults in the protocol, and whether its tests see them.
//!
//! A suite that is green says little unless it would be red for a reason. Each file in `patches/` takes one guarantee
//! away from the protocol. This program copies the sources to a scratch directory, checks that the tests pass there,
//! and then, for one patch after the other, builds the broken protocol and runs the tests that are to see it. A canary
//! is *caught* if a test fails and names the guarantee that is broken, as in `G3: … was delivered twice`.
//!
//! | file | what it holds |
//! |---|---|
//! | `canary` | a fault and what is said of it, as a file in `patches/` |
//! | `patch` | unified diffs |
//! | `scratch` | the copy of the sources |
//! | `trial` | building it, running its tests, and which guarantees they name |
//! | `report` | the table, and lines of JSON |
//!
//! What can go wrong, apart from a canary that is not caught: a patch that does not apply (the sources have moved on), one
//! that does not compile, tests that fail without any fault, tests that do not end.

mod canary;
mod patch;
mod report;
mod scratch;
mod trial;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use canary::Canary;
use clap::Parser;
use report::Report;
use scratch::Scratch;
use trial::Verdict;

/// Breaks the protocol on purpose, one fault after the other, in a copy of the sources, and says whether its tests see it.
#[derive(Debug, Parser)]
#[command(name = "canaries")]
struct Cli {
    /// Only those whose name contains one of these
    names: Vec<String>,
    /// Run all tests for each of them, not only those that are to see it
    #[arg(long)]
    whole: bool,
    /// Write one JSON object a line instead
    #[arg(long)]
    json: bool,
    /// Where the copy and what is built of it are kept, for the next time
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("canaries: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all were caught.
fn run(cli: Cli) -> Result<bool, Box<dyn Error>> {
    let wanted =
        |canary: &Canary| cli.names.is_empty() || cli.names.iter().any(|name| canary.name.contains(name));
    let canaries: Vec<Canary> = canary::all(&patches())?.into_iter().filter(wanted).collect();
    if canaries.is_empty() {
        return Err("no canary has such a name".into());
    }
    let began = now();
    let mut report = Report::new(cli.json);
    let scratch = Scratch::fill(&repository(), cli.scratch.map_or_else(default_scratch, Ok)?)?;
    // Where tests fail without a fault they prove nothing.
    let all: Vec<&str> = canaries.iter().map(|canary| canary.seen_by.as_str()).collect();
    let clean = trial::run(&scratch, if cli.whole { &[] } else { &all })?;
    report.clean(&clean)?;
    if clean.verdict != Verdict::Passed {
        return Ok(false);
    }
    let mut caught = 0;
    for canary in &canaries {
        let one = [canary.seen_by.as_str()];
        let tests: &[&str] = if cli.whole { &[] } else { &one };
        let trial = match scratch.with(&canary.patch, || trial::run(&scratch, tests))? {
            Ok(trial) => trial?,
            Err(unfit) => trial::Trial::unfit(&unfit),
        };
        caught += usize::from(trial.names(&canary.guarantee));
        report.canary(canary, &trial)?;
    }
    report.summary(canaries.len(), caught, now() - began)?;
    Ok(caught == canaries.len())
}

#[allow(clippy::disallowed_methods, reason = "it measures how long tests take")]
fn now() -> Instant {
    Instant::now()
}

fn patches() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("patches")
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Beside what is built anyway.
fn default_scratch() -> Result<PathBuf, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let target =
        program.ancestors().nth(2).ok_or("this program lies in no target directory: give --scratch")?;
    Ok(target.join("canaries"))
}
