//! The perf example in processes of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take. Reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running process. It is stopped when this is dropped.
pub(crate) struct Perf {
    child: Child,
    /// Nobody has to read what is written there.
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// What was left to read on standard output.
    pub(crate) rest: Vec<String>,
    pub(crate) stderr: String,
}

impl Ended {
    /// The last line, which is the summary.
    pub(crate) fn summary(&self) -> Value {
        let last = self.rest.last().unwrap_or_else(|| panic!("no summary: {self:?}"));
        let summary: Value = serde_json::from_str(last).unwrap();
        assert_eq!(summary["event"], "summary", "{self:?}");
        summary
    }

    /// Whether something of this kind happened before the end.
    pub(crate) fn has_event(&self, kind: &str) -> bool {
        let beginning = format!("{{\"event\":\"{kind}\"");
        self.rest.iter().any(|line| line.starts_with(&beginning))
    }
}

impl Perf {
    /// Starts the program, with nothing to read.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_reading(arguments, Stdio::null())
    }

    fn start_reading(arguments: &[&str], stdin: Stdio) -> Self {
        let mut child = Command::new(program())
            .args(arguments)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        Self { stdin: child.stdin.take(), child, lines, stderr: Some(stderr) }
    }

    /// Types a line, for a program that was started to read.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it has no input");
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line of output.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("no more output in time")
    }

    /// The next event of this kind; those before it are passed over.
    pub(crate) fn event(&self, kind: &str) -> Value {
        let next = || serde_json::from_str::<Value>(&self.line()).unwrap();
        std::iter::repeat_with(next).find(|event| event["event"] == kind).unwrap()
    }

    /// Sends it a signal.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(mut self) -> Ended {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the process goes on; its last words: {rest:?}"),
            }
        }
        // Standard output is closed only by the end of the process.
        let code = self.child.wait().as_ref().ok().and_then(ExitStatus::code);
        let stderr = self.stderr.take().map(|stderr| stderr.join().unwrap()).unwrap_or_default();
        Ended { code, rest, stderr }
    }
}

impl Drop for Perf {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that serves.
pub(crate) struct Server {
    pub(crate) perf: Perf,
    pub(crate) addr: String,
    pub(crate) fingerprint: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more to be said.
    pub(crate) fn start_with(more: &[&str]) -> Self {
        let perf = Perf::start(&[&["serve", "--json"], more].concat());
        let listening: Value = serde_json::from_str(&perf.line()).unwrap();
        assert_eq!(listening["event"], "listening", "it is the first line");
        let text = |field: &str| listening[field].as_str().unwrap().to_owned();
        Self { addr: text("addr"), fingerprint: text("fingerprint"), perf }
    }

    /// Starts a run against it; `options` are separated by blanks.
    pub(crate) fn run(&self, options: &str) -> Perf {
        self.run_reading(options, Stdio::null())
    }

    /// The same for a run that is to read lines.
    pub(crate) fn run_with_hints(&self, options: &str) -> Perf {
        self.run_reading(&format!("--hints {options}"), Stdio::piped())
    }

    fn run_reading(&self, options: &str, stdin: Stdio) -> Perf {
        let options = options.split(' ').filter(|word| !word.is_empty());
        let begin = ["run", &self.addr, "--fingerprint", &self.fingerprint, "--json"];
        Perf::start_reading(&begin.into_iter().chain(options).collect::<Vec<_>>(), stdin)
    }
}

/// `cargo test` builds the examples beside the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile.join("examples").join(format!("perf{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is missing: run `cargo build --example perf`", program.display());
    program
}
