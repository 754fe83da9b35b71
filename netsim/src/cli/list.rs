//! The scenarios, and one of them in words and as a picture.

use std::io::{self, Write};
use std::path::PathBuf;

use bowline_netsim::{Scenario, report};
use clap::Args;
use serde_json::json;

use super::{Failure, write_file};

#[derive(Debug, Args)]
pub(super) struct Describe {
    /// A name from the list, or a TOML file.
    scenario: String,
    /// Draws the timeline into this file, with the times that `--seed` gives.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    /// The seed of the drawn times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn list(as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    for scenario in Scenario::all() {
        let (name, summary, random) = (scenario.name(), scenario.summary_line(), scenario.is_random());
        if as_json {
            writeln!(out, "{}", json!({ "name": name, "summary": summary, "random": random }))?;
        } else {
            writeln!(out, "{name:<18}{summary}")?;
        }
    }
    Ok(())
}

impl Describe {
    /// What it is, when what happens, and the file that says the same.
    pub(super) fn perform(self, out: &mut dyn Write) -> Result<(), Failure> {
        let scenario = Scenario::find(&self.scenario)?;
        describe(&scenario, out)?;
        if let Some(path) = self.svg {
            let svg = report::timeline_svg(&scenario, self.seed)?;
            write_file(&path, |file| file.write_all(svg.as_bytes()))?;
        }
        Ok(())
    }
}

fn describe(scenario: &Scenario, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}: {}", scenario.name(), scenario.summary_line())?;
    if !scenario.source_line().is_empty() {
        writeln!(out, "figures: {}", scenario.source_line())?;
    }
    let seeds = if scenario.is_random() {
        "each seed gives another run, the same seed the same"
    } else {
        "nothing is drawn: all seeds give the same run"
    };
    writeln!(out, "seeds: {seeds}")?;
    writeln!(out, "\ntimeline")?;
    for (when, what) in scenario.timeline() {
        writeln!(out, "  {when:<22}{what}")?;
    }
    let file = scenario.to_toml().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    writeln!(out, "\nas a file\n{}", indented(&file))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect()
}
