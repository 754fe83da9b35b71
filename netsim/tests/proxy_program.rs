//! `netsim proxy`, as a user and a script meet it.
#![cfg(all(feature = "cli", unix))]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{fs, mem, thread};

use serde_json::{Value, json};

/// Longer than anything here takes on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);

const ANY: &str = "127.0.0.1:0";

/// A proxy that runs as a program.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<Lines>,
    stderr: Lines,
    server: UdpSocket,
    /// What it said first.
    listening: Value,
}

/// The lines of an output. It is closed with the next line after this is dropped.
struct Lines(mpsc::Receiver<String>);

impl Lines {
    fn new(output: impl Read + Send + 'static) -> Self {
        let (lines, receiver) = mpsc::channel();
        let mut output = BufReader::new(output);
        thread::spawn(move || {
            let mut line = String::new();
            while output.read_line(&mut line).is_ok_and(|len| len > 0)
                && lines.send(mem::take(&mut line)).is_ok()
            {}
        });
        Self(receiver)
    }

    /// The next line; an empty one at the end.
    #[track_caller]
    fn next(&self) -> String {
        match self.0.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => panic!("it said nothing for {PATIENCE:?}"),
            line => line.unwrap_or_default(),
        }
    }
}

impl Running {
    fn new(arguments: &[&str]) -> Self {
        let mut running = Self::start(&[&["--json"], arguments].concat());
        running.listening = running.json();
        running
    }

    fn start(arguments: &[&str]) -> Self {
        let server = socket();
        let mut child = Command::new(env!("CARGO_BIN_EXE_netsim"))
            .args(["proxy", "--listen", ANY, "--upstream", &server.local_addr().unwrap().to_string()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take().map(Lines::new), child.stderr.take().unwrap());
        Self { child, stdin, stdout, stderr: Lines::new(stderr), server, listening: Value::Null }
    }

    fn line(&mut self) -> String {
        self.stdout.as_ref().unwrap().next()
    }

    #[track_caller]
    fn json(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// The next line that answers a command, past events.
    #[track_caller]
    fn answer(&mut self, command: &str) -> Value {
        self.say(command);
        loop {
            let line = self.json();
            if line.get("ok").is_some() {
                return line;
            }
        }
    }

    fn say(&mut self, command: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{command}").unwrap();
    }

    #[track_caller]
    fn event(&mut self, name: &str) -> Value {
        loop {
            let line = self.json();
            if line["event"] == name {
                return line;
            }
        }
    }

    fn client(&self) -> UdpSocket {
        let client = socket();
        client.connect(self.listening["addr"].as_str().unwrap()).unwrap();
        client
    }

    /// The client speaks, and the server hears it: from whom?
    fn up(&self, client: &UdpSocket) -> SocketAddr {
        client.send(b"up").unwrap();
        self.server.recv_from(&mut [0; 16]).unwrap().1
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn http(&self, request: &str) -> (u16, Value) {
        http(self.listening["control"].as_str().unwrap(), request)
    }

    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        self.http(&posting(path, body))
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.http(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// One request over HTTP; the status and the body of the answer.
fn http(control: &str, request: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(control).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    (status, serde_json::from_str(body).unwrap())
}

fn posting(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind(ANY).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn it_says_where_it_listens_and_answers_each_command_with_one_line() {
    let mut proxy = Running::new(&["--seed", "5"]);
    assert_eq!(proxy.listening["event"], "listening");
    assert_eq!((&proxy.listening["control"], &proxy.listening["scenario"]), (&Value::Null, &Value::Null));
    assert_eq!(proxy.listening["upstream"], proxy.server.local_addr().unwrap().to_string());
    let client = proxy.client();
    let before = proxy.up(&client);
    let mapped = proxy.event("mapped");
    assert_eq!(mapped["client"], client.local_addr().unwrap().to_string());
    assert_eq!(mapped["source"], before.to_string());
    assert_eq!(proxy.answer("rebind"), json!({ "ok": true, "command": "rebind", "mappings": 1 }));
    assert_ne!(proxy.up(&client), before);
    assert_eq!(proxy.answer("expire"), json!({ "ok": true, "command": "expire", "mappings": 1 }));
    for command in [
        "delay 1ms",
        "delay up 2ms",
        "jitter 1ms",
        "loss down 0.5",
        "block both 5ms",
        "block up",
        "unblock",
        "scenario wifi",
        "reset",
        "loss 0",
    ] {
        assert_eq!(proxy.answer(command), json!({ "ok": true, "command": command }));
    }
    for (command, says) in [
        ("dance", "there is no command \"dance\""),
        ("loss", "say loss [up|down|both] 20"),
        ("loss 140", "140 % is impossible"),
        ("scenario elevater", "did you mean elevator?"),
        ("scenario nowhere.toml", "nowhere.toml cannot be read"),
        (&"x".repeat(10_000), "no command is longer"),
    ] {
        let answer = proxy.answer(command);
        assert_eq!(answer["ok"], false);
        assert!(answer["error"].as_str().unwrap().contains(says), "{answer}");
    }
    let status = proxy.answer("status");
    for (pointer, value) in [
        ("/ok", json!(true)),
        ("/command", json!("status")),
        ("/seed", json!(5)),
        ("/scenario", Value::Null),
        ("/mappings_made", json!(2)),
        ("/rebinds", json!(1)),
        ("/expiries", json!(1)),
        ("/up/packets_in", json!(2)),
        ("/up/packets_out", json!(2)),
        ("/up/bytes_out", json!(4)),
        ("/up/dropped/lost", json!(0)),
        ("/up/blocked", json!(false)),
        ("/down/packets_in", json!(0)),
        ("/down/delay_ms", Value::Null),
        ("/down/loss_percent", json!(0.0)),
    ] {
        assert_eq!(status.pointer(pointer), Some(&value), "{pointer} in {status}");
    }
    assert!(status.pointer("/up/delay_ms/p99").unwrap().is_number());
}

#[test]
fn it_goes_on_when_its_input_ends_and_ends_on_a_signal_with_a_summary() {
    for signal in ["-TERM", "-INT"] {
        let mut proxy = Running::new(&["--control", ANY]);
        drop(proxy.stdin.take());
        let client = proxy.client();
        let seen_as = proxy.up(&client);
        proxy.server.send_to(b"down", seen_as).unwrap();
        assert_eq!(client.recv(&mut [0; 16]).unwrap(), 4);
        assert_eq!(proxy.get("/status").1["up"]["packets_out"], 1, "the end of the input is long past");
        proxy.signal(signal);
        let summary = proxy.event("summary");
        assert_eq!((&summary["up"]["packets_out"], &summary["down"]["packets_out"]), (&json!(1), &json!(1)));
        assert_eq!(summary["mappings_made"], 1);
        assert_eq!(proxy.line(), "", "the summary comes last");
        assert!(proxy.child.wait().unwrap().success());
    }
}

#[test]
fn it_goes_on_when_nobody_reads_what_it_says() {
    let mut proxy = Running::new(&["--control", ANY]);
    drop((proxy.stdin.take(), proxy.stdout.take()));
    for _ in 0..5 {
        assert_eq!(proxy.post("/command", "rebind").0, 200);
    }
    proxy.up(&proxy.client());
    proxy.signal("-TERM");
    assert!(proxy.child.wait().unwrap().success());
}

#[test]
fn http_says_the_same_words_and_refuses_with_a_reason() {
    let mut proxy = Running::new(&["--control", ANY]);
    let client = proxy.client();
    proxy.up(&client);
    proxy.event("mapped");
    assert_eq!(
        proxy.post("/command", "rebind"),
        (200, json!({ "ok": true, "command": "rebind", "mappings": 1 }))
    );
    assert_eq!(proxy.event("rebound")["mappings"], 1);
    let quoted = json!({ "command": "loss up 20" }).to_string();
    assert_eq!(proxy.post("/command", &quoted), (200, json!({ "ok": true, "command": "loss up 20" })));
    let change = proxy.event("conditions");
    assert_eq!((&change["direction"], &change["change"]), (&json!("up"), &json!({ "loss": 20.0 })));
    assert_eq!(proxy.post("/command", "block down 1ms\n").0, 200);
    assert_eq!(proxy.event("blocked")["for_ms"], 1);
    assert_eq!(proxy.event("unblocked")["direction"], "down");
    let (status, body) = proxy.get("/status");
    assert_eq!((status, &body["ok"], &body["rebinds"]), (200, &json!(true), &json!(1)));
    assert_eq!(body["up"]["conditions"]["loss"], 20.0);
    assert_eq!(proxy.post("/command", "status").1["rebinds"], 1);

    let refused = |(status, body): (u16, Value), expected: u16, says: &str| {
        assert_eq!((status, &body["ok"]), (expected, &json!(false)), "{body}");
        assert!(body["error"].as_str().unwrap().contains(says), "{body}");
    };
    refused(proxy.post("/command", "dance"), 400, "there is no command \"dance\": say status");
    refused(proxy.post("/command", ""), 400, "no command: say status");
    refused(proxy.post("/command", "loss 140"), 400, "140 % is impossible");
    refused(proxy.post("/command", "scenario elevater"), 400, "did you mean elevator?");
    refused(proxy.post("/command", "{\"command\":"), 400, "no JSON like {\"command\":\"loss 20\"}");
    refused(proxy.post("/command", "{\"order\":\"rebind\"}"), 400, "no JSON like");
    refused(proxy.get("/"), 404, "GET /status or POST /command");
    refused(proxy.post("/commands", "rebind"), 404, "there is no /commands");
    refused(proxy.get("/command"), 405, "only POST is possible here");
    refused(proxy.post("/status", ""), 405, "only GET is possible here");
    refused(proxy.post("/command", &"x".repeat(5_000)), 413, "no command is longer than 4096 bytes");
    let chunked =
        "POST /command HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = format!("{chunked}1400\r\n{}\r\n0\r\n\r\n", "x".repeat(0x1400));
    refused(proxy.http(&long), 413, "no command is longer");
    assert_eq!(proxy.get("/status").1["rebinds"], 1, "none of that did anything");
}

#[test]
fn people_get_readable_lines() {
    let mut proxy = Running::start(&["--scenario", "subway", "--seed", "9"]);
    let listening = proxy.line();
    assert!(listening.starts_with("listening on 127.0.0.1:"), "{listening}");
    assert!(listening.ends_with(" over subway\n"), "{listening}");
    proxy.say("loss up 20");
    // The answer, and what has happened, in any order.
    let said = [proxy.line(), proxy.line()].concat();
    let answered = json!({ "ok": true, "command": "loss up 20" }).to_string();
    assert!(said.contains(&answered) && said.contains("  up: loss 20.0\n"), "{said}");
    proxy.say("los 20");
    let refused = proxy.json();
    let error = refused["error"].as_str().unwrap();
    assert!(refused["ok"] == false && error.starts_with("there is no command \"los\""), "{refused}");
    proxy.say(&"x".repeat(5000));
    assert_eq!(proxy.json(), json!({ "ok": false, "error": "no command is longer than 4096 bytes" }));
    proxy.say("status");
    let status = proxy.json();
    assert_eq!((&status["ok"], &status["seed"]), (&json!(true), &json!(9)));
    assert_eq!(status["scenario"]["name"], "subway");
    drop(proxy.stdin.take());
    proxy.signal("-TERM");
    let mut rest = String::new();
    while let line = proxy.line()
        && !line.is_empty()
    {
        rest.push_str(&line);
    }
    assert!(rest.contains("rebinds") && rest.contains("0 packets, 0 bytes"), "{rest}");
    assert!(proxy.child.wait().unwrap().success());
}

#[test]
fn an_upstream_that_refuses_is_a_warning_and_no_end() {
    let mut proxy = Running::start(&[]);
    let listening = proxy.line();
    let addr: SocketAddr = listening["listening on ".len()..].split(',').next().unwrap().parse().unwrap();
    let upstream = proxy.server.local_addr().unwrap();
    // The server ends.
    proxy.server = socket();
    let client = socket();
    client.send_to(b"anybody there?", addr).unwrap();
    let warning = proxy.stderr.next();
    assert!(warning.contains(&format!("nobody listens on {upstream}")), "{warning}");
    proxy.signal("-TERM");
    assert!(proxy.child.wait().unwrap().success());
}

#[test]
fn what_is_wrong_is_said_and_ends_it() {
    let server = socket();
    let upstream = server.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let broken = file("broken.toml", "duration = '60s'\nboth = {");
    let loss = file("loss.toml", "duration = '60s'\nboth = { loss = 140 }");
    let timeout = file("timeout.toml", "duration = '60s'\n[[nat]]\ntimeout = '0s'");
    let scenario = |name: &str| ["--upstream", &upstream, "--scenario", name].map(str::to_owned).to_vec();
    let more = |arguments: &[&str]| {
        [&["--upstream", &upstream], arguments].concat().iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()
    };
    for (arguments, says) in [
        (scenario("elevater"), "did you mean elevator?"),
        (scenario("nowhere.toml"), "nowhere.toml cannot be read"),
        (scenario(&broken), "line 2"),
        (scenario(&loss), "140 % is impossible"),
        (scenario(&timeout), "nat timeout = 0s is impossible"),
        (
            vec!["--upstream".into(), "no-such-host.invalid:1".into()],
            "--upstream \"no-such-host.invalid:1\" is no address",
        ),
        (vec!["--upstream".into(), "127.0.0.1".into()], "write an address and a port"),
        (vec!["--upstream".into(), "127.0.0.1:0".into()], "port 0 is nobody's"),
        (vec![], "--upstream"),
        (more(&["--seed", "many"]), "--seed"),
        (more(&["--max-mappings", "0"]), "between 1 and 60000"),
        (more(&["--max-queued-bytes", "5"]), "at least 65536"),
        (more(&["--control", "0.0.0.0:0"]), "add --control-anywhere"),
        (more(&["--control", "here"]), "--control"),
        (more(&["--control-anywhere"]), "--control"),
    ] {
        fails(&arguments, says);
    }
    // On a port that is taken, for packets or for commands.
    let in_use = ["proxy", "--listen", &upstream, "--upstream", "127.0.0.1:9"];
    let output = output(&in_use);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(&format!("cannot listen on {upstream}")), "{said}");
    assert!(said.contains("choose another port"), "{said}");
}

#[test]
fn commands_from_elsewhere_are_taken_only_if_that_is_meant() {
    let proxy = Running::new(&["--control", "0.0.0.0:0", "--control-anywhere"]);
    let control = proxy.listening["control"].as_str().unwrap();
    let control = control.replace("0.0.0.0", "127.0.0.1");
    assert_eq!(http(&control, &posting("/command", "rebind")).0, 200);
    let holder = std::net::TcpListener::bind(ANY).unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    fails(
        &["--upstream", "127.0.0.1:9", "--control", &taken].map(str::to_owned),
        &format!("cannot take commands on {taken}"),
    );
}

#[track_caller]
fn fails(arguments: &[String], says: &str) {
    let mut all = vec!["proxy", "--listen", ANY];
    all.extend(arguments.iter().map(String::as_str));
    let output = output(&all);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(says), "{arguments:?}: {said}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
}

fn output(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netsim")).args(arguments).stdin(Stdio::null()).output().unwrap()
}
