//! What the canaries came to: a line each for people, or a JSON object a line.

use std::io::{self, Stdout, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::canary::Canary;
use crate::trial::{Trial, Verdict};

/// Writes to standard output, as soon as there is something to say.
pub(crate) struct Report {
    out: Stdout,
    json: bool,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { out: io::stdout(), json }
    }

    /// The tests without a fault.
    pub(crate) fn clean(&mut self, trial: &Trial) -> io::Result<()> {
        if self.json {
            return self.object(json!({ "event": "clean", "trial": object(trial) }));
        }
        match trial.verdict {
            Verdict::Passed => self.line(&format!("without a fault the tests pass ({})", times(trial))),
            _ => {
                self.line(&format!(
                    "the tests fail without any fault, and can show nothing: {}",
                    words(trial)
                ))?;
                self.failures(trial)
            }
        }
    }

    pub(crate) fn canary(&mut self, canary: &Canary, trial: &Trial) -> io::Result<()> {
        let caught = trial.names(&canary.guarantee);
        if self.json {
            return self.object(json!({
                "event": "canary",
                "name": canary.name,
                "fault": canary.fault,
                "guarantee": canary.guarantee,
                "caught": caught,
                "trial": object(trial),
            }));
        }
        let mark = if caught { "caught" } else { "MISSED" };
        self.line(&format!("{mark}  {:<3}  {:<32}  {}", canary.guarantee, canary.name, words(trial)))?;
        let named = trial.failures().iter().find(|failure| failure.guarantee() == Some(&canary.guarantee));
        match named {
            Some(failure) => self.line(&format!("        {}: {}", failure.test, failure.said)),
            None => self.failures(trial),
        }
    }

    pub(crate) fn summary(&mut self, all: usize, caught: usize, took: Duration) -> io::Result<()> {
        let seconds = took.as_secs();
        if self.json {
            let (all, missed) = (all as u64, (all - caught) as u64);
            return self.object(json!({
                "event": "summary", "canaries": all, "caught": caught as u64, "missed": missed, "seconds": seconds,
            }));
        }
        self.line(&format!(
            "{caught} of {all} canaries are caught, by the guarantee that they break ({seconds} s)"
        ))
    }

    fn failures(&mut self, trial: &Trial) -> io::Result<()> {
        let lines =
            trial.failures().iter().map(|failure| format!("        {}: {}", failure.test, failure.said));
        lines.collect::<Vec<_>>().iter().try_for_each(|line| self.line(line))
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    fn object(&mut self, object: Value) -> io::Result<()> {
        writeln!(self.out, "{object}")
    }
}

fn words(trial: &Trial) -> String {
    match &trial.verdict {
        Verdict::Passed => format!("all tests pass ({})", times(trial)),
        Verdict::Failed(failures) => {
            let named: Vec<&str> = trial.guarantees().into_iter().collect();
            format!("{} tests fail, {} ({})", failures.len(), named.join(" "), times(trial))
        }
        Verdict::Unfit(why) => why.clone(),
        Verdict::Endless => "the tests do not end".to_owned(),
    }
}

fn times(trial: &Trial) -> String {
    format!("built in {} s, tested in {} s", trial.building.as_secs(), trial.testing.as_secs())
}

fn object(trial: &Trial) -> Value {
    let (verdict, why) = match &trial.verdict {
        Verdict::Passed => ("passed", None),
        Verdict::Failed(_) => ("failed", None),
        Verdict::Unfit(why) => ("unfit", Some(why)),
        Verdict::Endless => ("endless", None),
    };
    let failures: Vec<Value> = trial
        .failures()
        .iter()
        .map(
            |failure| json!({ "test": failure.test, "said": failure.said, "guarantee": failure.guarantee() }),
        )
        .collect();
    json!({
        "verdict": verdict,
        "why": why,
        "failures": failures,
        "build_ms": trial.building.as_millis() as u64,
        "test_ms": trial.testing.as_millis() as u64,
    })
}
