//! The tests of the protocol, run once: what they said, and which guarantees they name.
//!
//! They are run as one program, `tests/core`: the protocol against a model, in virtual time. A failure that is about a
//! guarantee begins with its name, `G3: …`, perhaps after what failed, `… fails: G3: …`.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::now;
use crate::scratch::Scratch;

/// The tests that are to see the faults.
const TESTS: &str = "core";

/// Tests that go on for longer never end.
const LIMIT: Duration = Duration::from_secs(600);

/// So many characters of what a test said tell what it is about; some say all that they know.
const SAID_MAX: usize = 200;

/// What a run of the tests came to.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) verdict: Verdict,
    pub(crate) building: Duration,
    pub(crate) testing: Duration,
}

/// How the tests ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed(Vec<Failure>),
    /// There was nothing to run, and why.
    Unfit(String),
    /// They did not end.
    Endless,
}

/// A test that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) test: String,
    /// The first line of what it said last.
    pub(crate) said: String,
}

impl Trial {
    /// There was nothing to run.
    pub(crate) fn unfit(why: &str) -> Self {
        let none = Duration::ZERO;
        Self { verdict: Verdict::Unfit(why.to_owned()), building: none, testing: none }
    }

    /// Whether a test failed and named this guarantee.
    pub(crate) fn names(&self, guarantee: &str) -> bool {
        self.failures().iter().any(|failure| failure.guarantee() == Some(guarantee))
    }

    pub(crate) fn failures(&self) -> &[Failure] {
        match &self.verdict {
            Verdict::Failed(failures) => failures,
            _ => &[],
        }
    }

    /// Every guarantee that was named.
    pub(crate) fn guarantees(&self) -> BTreeSet<&str> {
        self.failures().iter().filter_map(Failure::guarantee).collect()
    }
}

impl Failure {
    /// The guarantee that it names, or the rule of the specification.
    pub(crate) fn guarantee(&self) -> Option<&str> {
        // What `assert_eq!` says before, and the random runs.
        let about = [" fails: ", " failed: "].iter().fold(self.said.as_str(), |said, before| {
            said.rsplit_once(before).map_or(said, |(_, about)| about)
        });
        let (name, _) = about.split_once(": ")?;
        let (letter, number) = name.split_at_checked(1)?;
        let is_name = letter.bytes().all(|byte| byte.is_ascii_uppercase());
        (is_name && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
    }
}

/// Builds the copy as it is, and runs its tests: those whose names contain one of `filters`, all if there are none.
pub(crate) fn run(scratch: &Scratch, filters: &[&str]) -> io::Result<Trial> {
    let began = now();
    let built = build(scratch)?;
    let building = now() - began;
    let began = now();
    let verdict = match built {
        Ok(program) => test(&program, filters, &scratch.tree())?,
        Err(why) => Verdict::Unfit(why),
    };
    Ok(Trial { verdict, building, testing: now() - began })
}

/// The program that runs the tests, or what the compiler said.
fn build(scratch: &Scratch) -> io::Result<Result<PathBuf, String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "test",
            "--locked",
            "--no-run",
            "--test",
            TESTS,
            "--message-format",
            "json-render-diagnostics",
        ])
        .arg("--target-dir")
        .arg(scratch.build())
        // Nobody will look at these programs with a debugger.
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .current_dir(scratch.tree())
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages
        .filter(|message| message["target"]["name"] == TESTS)
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back();
    let why = || format!("does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(program.filter(|_| output.status.success()).ok_or_else(why))
}

fn test(program: &Path, filters: &[&str], directory: &Path) -> io::Result<Verdict> {
    let mut child = Command::new(program)
        .args(filters)
        .env("RUST_BACKTRACE", "0")
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (to, output) = mpsc::channel();
    if let Some(mut stdout) = child.stdout.take() {
        thread::spawn(move || {
            let mut said = Vec::new();
            // What was read before an error is what there is.
            let _ = stdout.read_to_end(&mut said);
            to.send(said)
        });
    }
    let Ok(said) = output.recv_timeout(LIMIT) else {
        child.kill()?;
        child.wait()?;
        return Ok(Verdict::Endless);
    };
    if child.wait()?.success() {
        return Ok(Verdict::Passed);
    }
    Ok(Verdict::Failed(failures(&String::from_utf8_lossy(&said))))
}

/// The failures that the harness lists after all tests have run: for each its name, and what it wrote.
fn failures(said: &str) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    let mut is_message = false;
    for line in said.lines() {
        let name = line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----"));
        if let Some(name) = name {
            failures.push(Failure { test: name.to_owned(), said: String::new() });
        } else if let Some(failure) = failures.last_mut().filter(|_| is_message) {
            failure.said = line.chars().take(SAID_MAX).collect();
        }
        is_message = line.starts_with("thread '") && line.contains("' ") && line.contains("panicked at ");
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "
running 3 tests
test one ... ok
test links ... FAILED
test plain ... FAILED

failures:

---- links stdout ----

thread 'links' (7) panicked at tests/core/model.rs:245:52:
G2: a message was never sent

thread 'links' (7) panicked at tests/core/properties.rs:93:17:
Links SEED=3 fails: G3: 1/2/3 was delivered twice
with Settings {}
---- plain stdout ----

thread 'plain' (8) panicked at tests/core/life.rs:1:1:
assertion `left == right` failed: G13: later
  left: 1
 right: 2

failures:
    links
    plain

test result: FAILED. 1 passed; 2 failed
";

    #[test]
    fn what_a_test_said_last_counts() {
        let failures = failures(SAID);
        let said: Vec<_> =
            failures.iter().map(|failure| (failure.test.as_str(), failure.guarantee())).collect();
        assert_eq!(said, [("links", Some("G3")), ("plain", Some("G13"))]);
        assert_eq!(failures[0].said, "Links SEED=3 fails: G3: 1/2/3 was delivered twice");
    }

    #[test]
    fn a_guarantee_is_a_letter_and_a_number_at_the_beginning() {
        let named = |said: &str| {
            Failure { test: String::new(), said: said.to_owned() }.guarantee().map(str::to_owned)
        };
        assert_eq!(named("G10: too much"), Some("G10".to_owned()));
        assert_eq!(named("Links SEED=1 fails: H8: nobody there"), Some("H8".to_owned()));
        for said in ["Gone: away", "it broke G3: twice", "G: away", "G3", ""] {
            assert_eq!(named(said), None, "{said}");
        }
    }

    #[test]
    fn only_the_guarantee_that_is_broken_catches_a_canary() {
        let verdict = Verdict::Failed(failures(SAID));
        let trial = Trial { verdict, ..Trial::unfit("") };
        assert!(trial.names("G3") && trial.names("G13") && !trial.names("G2"));
        assert_eq!(trial.guarantees().into_iter().collect::<Vec<_>>(), ["G13", "G3"]);
        assert!(!Trial::unfit("does not build").names("G3"));
    }
}
