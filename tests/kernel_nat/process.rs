//! Programs in the lab's namespaces: what they say, line by line and with the time, and signals to them.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::path;

pub(crate) type Problem = Box<dyn Error + Send + Sync>;

/// How long a program may say nothing at all. Reached only when something is wrong.
const PATIENCE: Duration = Duration::from_secs(600);

#[allow(clippy::disallowed_methods, reason = "the lab measures")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Sleeps until a moment; not at all if it has passed.
pub(crate) fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(now()));
}

/// How a part of this program ends that runs as a process in a lab.
pub(crate) fn exit_code(name: &str, result: Result<(), Problem>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<(Instant, String)>,
    stderr: Option<JoinHandle<String>>,
    /// What it said so far that was JSON.
    pub(crate) events: Vec<Said>,
}

/// A JSON object in a line of output, and when it was read.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) at: Instant,
    pub(crate) event: Value,
}

impl Said {
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.event["event"] == kind
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.event[field].as_str().unwrap_or_default()
    }
}

impl Process {
    /// Starts a program in a namespace.
    pub(crate) fn start<A: AsRef<OsStr>>(
        namespace: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, Problem> {
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{namespace}"))
            .arg(program)
            .args(arguments)
            .env("PATH", path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (to, lines) = channel();
        let stdin = child.stdin.take();
        if let Some(stdout) = child.stdout.take() {
            let read = BufReader::new(stdout).lines().map_while(Result::ok);
            thread::spawn(move || read.map(|line| (now(), line)).try_for_each(|line| to.send(line)));
        }
        let stderr = child.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut text = String::new();
                // What is no text is not to be shown.
                let _ = stderr.read_to_string(&mut text);
                text
            })
        });
        Ok(Self { child, stdin, lines, stderr, events: Vec::new() })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), Problem> {
        let stdin = self.stdin.as_mut().ok_or("its input has ended")?;
        Ok(stdin.write_all(format!("{line}\n").as_bytes())?)
    }

    /// Ends its input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The next event of a kind; those before it are kept, and passed over.
    pub(crate) fn event(&mut self, kind: &str) -> Result<Said, Problem> {
        loop {
            match self.next(PATIENCE)? {
                Some(said) if said.is(kind) => return Ok(said),
                Some(_) => {}
                None => return Err(format!("it ended before it said {kind:?}: {}", self.last_words()).into()),
            }
        }
    }

    /// Reads on until `until`; what it says is kept.
    pub(crate) fn listen(&mut self, until: Instant) -> Result<(), Problem> {
        while let Some(left) = until.checked_duration_since(now()) {
            match self.lines.recv_timeout(left) {
                Ok(line) => drop(self.keep(line)?),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => {
                    sleep_until(until);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads what was said since the last time.
    pub(crate) fn catch_up(&mut self) -> Result<(), Problem> {
        while let Ok(line) = self.lines.try_recv() {
            self.keep(line)?;
        }
        Ok(())
    }

    /// The next event; `None` at the end of its output.
    fn next(&mut self, patience: Duration) -> Result<Option<Said>, Problem> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => self.keep(line).map(Some),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("it says nothing any more; its last words: {:?}", self.events.last()).into())
            }
        }
    }

    fn keep(&mut self, (at, line): (Instant, String)) -> Result<Said, Problem> {
        let event = serde_json::from_str(&line).map_err(|error| format!("{error} in {line:?}"))?;
        let said = Said { at, event };
        self.events.push(said.clone());
        Ok(said)
    }

    fn last_words(&mut self) -> String {
        let _ = self.child.wait();
        self.stderr.take().and_then(|stderr| stderr.join().ok()).unwrap_or_default()
    }

    /// Waits for its end. Its exit code, if it had one, and what it wrote to the standard error.
    pub(crate) fn wait(&mut self) -> Result<(Option<i32>, String), Problem> {
        while self.next(PATIENCE)?.is_some() {}
        let code = self.child.wait()?.code();
        Ok((code, self.last_words()))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) -> Result<(), Problem> {
        crate::sandbox::tool("kill", &["-s", name, &self.child.id().to_string()], "").map(drop)
    }

    /// Everything of a kind that it has said so far.
    pub(crate) fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Said> {
        self.events.iter().filter(move |said| said.is(kind))
    }

    /// CPU time that it has used, user and system.
    pub(crate) fn cpu(&self) -> Result<Duration, Problem> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let fields: Vec<_> = after_name.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        // Fields 14 and 15 of the whole line, in hundredths of a second.
        Ok(Duration::from_millis(10 * (ticks(11) + ticks(12))))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An example of this package, which `cargo test` builds beside the tests.
pub(crate) fn example(name: &str) -> Result<PathBuf, Problem> {
    built(&["examples", name])
}

/// A program of this workspace, if it has been built in the same profile.
pub(crate) fn built(place: &[&str]) -> Result<PathBuf, Problem> {
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).ok_or("the test is not where tests are")?;
    let program = place.iter().fold(profile.to_owned(), |path, part| path.join(part));
    match program.exists() {
        true => Ok(program),
        false => Err(format!("{} is missing: build it in the same profile", program.display()).into()),
    }
}
