//! When the network was really dark. A command to block it takes effect somewhere between its start and its end, and on a busy machine
//! that can be a second: so a datagram goes the same way every few milliseconds, and where it arrives its absence is measured.

use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use crate::lab::Lab;
use crate::process::{Problem, Process, exit_code, now};

/// The argument by which this program becomes one.
pub(crate) const WITNESS: &str = "witness";

/// In the middle of the internet, before its delay.
const WHERE: &str = "203.0.113.1:4434";

const EVERY: Duration = Duration::from_millis(5);

/// What is no loss and no scheduler any more.
const DARK: Duration = Duration::from_secs(1);

/// Two processes, which are killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Witness {
    hears: Process,
    _speaks: Process,
}

impl Witness {
    /// Watches the way from the client to the middle.
    pub(crate) fn start(lab: &Lab) -> Result<Self, Problem> {
        let program = std::env::current_exe()?;
        let mut hears = lab.start("middle", &program, &[WITNESS, "hears"])?;
        hears.event("ready")?;
        let speaks = lab.start("client", &program, &[WITNESS, "speaks"])?;
        Ok(Self { hears, _speaks: speaks })
    }

    /// How long it was dark each time so far, to a few milliseconds.
    pub(crate) fn dark(mut self) -> Result<Vec<Duration>, Problem> {
        self.hears.catch_up()?;
        let dark = self.hears.events.iter().filter(|said| said.is("dark"));
        Ok(dark.filter_map(|said| said.event["ms"].as_u64()).map(Duration::from_millis).collect())
    }
}

/// One of its two processes.
pub(crate) fn part(arguments: &[String]) -> ExitCode {
    exit_code(WITNESS, if arguments.first().is_some_and(|part| part == "hears") { hear() } else { speak() })
}

fn hear() -> Result<(), Problem> {
    let socket = UdpSocket::bind(WHERE)?;
    println!("{{\"event\":\"ready\"}}");
    socket.recv(&mut [0])?;
    let mut heard = now();
    loop {
        socket.recv(&mut [0])?;
        let gap = now() - std::mem::replace(&mut heard, now());
        if gap > DARK {
            println!("{{\"event\":\"dark\",\"ms\":{}}}", gap.as_millis());
        }
    }
}

fn speak() -> Result<(), Problem> {
    let to: SocketAddr = WHERE.parse()?;
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    loop {
        // A network that is gone is what this is about.
        let _ = socket.send_to(&[0], to);
        std::thread::sleep(EVERY);
    }
}
