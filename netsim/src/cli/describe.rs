//! A scenario in words.

use std::io::{self, Write};

use bowline_netsim::Scenario;

/// What it is, when what happens, and the file that says the same.
pub(super) fn describe(scenario: &Scenario, out: &mut dyn Write) -> io::Result<()> {
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
