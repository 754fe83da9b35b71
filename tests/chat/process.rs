//! A chat in a process of its own, whose input and output are pipes.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take. Reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running chat. It is stopped when this is dropped.
pub(crate) struct Chat {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

/// How a chat ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// What was left to read on standard output.
    pub(crate) rest: Vec<String>,
    pub(crate) stderr: String,
}

impl Chat {
    /// Starts the program.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(program())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let (to, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        Self { child, stdin, lines, stderr: Some(stderr) }
    }

    /// Starts `chat listen --json`.
    pub(crate) fn listen() -> Listener {
        Self::listen_with(&[])
    }

    /// The same with more to be said.
    pub(crate) fn listen_with(more: &[&str]) -> Listener {
        let chat = Self::start(&[&["listen", "--json", "--name", "ada"], more].concat());
        let listening = chat.event("listening");
        let text = |field: &str| listening[field].as_str().unwrap().to_owned();
        Listener { chat, addr: text("addr"), fingerprint: text("fingerprint") }
    }

    /// Types lines.
    pub(crate) fn say(&mut self, lines: &str) {
        self.stdin.as_mut().unwrap().write_all(format!("{lines}\n").as_bytes()).unwrap();
    }

    /// Types in the background, as fast as it is read. Whoever joins it and drops what it yields ends the input.
    pub(crate) fn say_all(&mut self, lines: Vec<String>) -> JoinHandle<ChildStdin> {
        let mut stdin = self.stdin.take().unwrap();
        thread::spawn(move || {
            stdin.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
            stdin
        })
    }

    /// The next line of output.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("no more output in time")
    }

    /// The next line that begins like this.
    pub(crate) fn line_with(&self, beginning: &str) -> String {
        std::iter::repeat_with(|| self.line()).find(|line| line.starts_with(beginning)).unwrap()
    }

    /// The next event, whatever it is.
    pub(crate) fn next(&self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// The next event of this kind; those before it are passed over.
    pub(crate) fn event(&self, kind: &str) -> Value {
        std::iter::repeat_with(|| self.next()).find(|event| event["event"] == kind).unwrap()
    }

    /// Waits for the end of the process; its input stays as it is.
    pub(crate) fn wait(mut self) -> Ended {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the chat goes on; its last words: {rest:?}"),
            }
        }
        // Standard output is closed only by the end of the process.
        let code = self.child.wait().as_ref().ok().and_then(ExitStatus::code);
        let stderr = self.stderr.take().map(|stderr| stderr.join().unwrap()).unwrap_or_default();
        Ended { code, rest, stderr }
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A chat that listens.
pub(crate) struct Listener {
    pub(crate) chat: Chat,
    pub(crate) addr: String,
    pub(crate) fingerprint: String,
}

impl Listener {
    /// Starts a chat that dials this one.
    pub(crate) fn dial(&self, more: &[&str]) -> Chat {
        let arguments = ["connect", &self.addr, "--fingerprint", &self.fingerprint, "--json"];
        Chat::start(&[&arguments, more].concat())
    }
}

/// `cargo test` builds the examples beside the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile.join("examples").join(format!("chat{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is missing: run `cargo build --example chat`", program.display());
    program
}
