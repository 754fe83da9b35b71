//! One run of `perf` through the lab: a server, a client, what is done to the network meanwhile, and what came of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{Lab, SERVER, TARGET};
use crate::process::{Problem, Process, Said, built, example, now, sleep_until};

/// Which program is measured. Both have the same command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Bowline,
    /// Quinn alone: `benches/baseline`.
    Quinn,
}

impl Program {
    fn path(self) -> Result<PathBuf, Problem> {
        match self {
            Self::Bowline => example("perf"),
            Self::Quinn => built(&["bowline-baseline"]),
        }
    }
}

/// A run under way.
#[derive(Debug)]
pub(crate) struct Drive {
    program: Program,
    pub(crate) server: Process,
    pub(crate) client: Process,
    /// When the measured part began.
    began: Instant,
}

/// Starts a server, whose `listening` is its first event.
pub(crate) fn serve(lab: &Lab, program: Program, options: &str) -> Result<Process, Problem> {
    let arguments = format!("serve --addr {SERVER} --json {options}");
    let words: Vec<_> = arguments.split_whitespace().collect();
    let mut server = lab.start("server", &program.path()?, &words)?;
    server.event("listening")?;
    Ok(server)
}

impl Drive {
    /// A run of `perf` with heartbeats of 5 s and the responsive policy.
    pub(crate) fn start(lab: &Lab, run: &str) -> Result<Self, Problem> {
        let run = format!("--heartbeat 5 --reconnect responsive {run}");
        Self::start_as(lab, Program::Bowline, "", &run)
    }

    /// A run with all its options.
    pub(crate) fn start_as(lab: &Lab, program: Program, serving: &str, run: &str) -> Result<Self, Problem> {
        let server = serve(lab, program, serving)?;
        let fingerprint = server.events.first().map(|said| said.text("fingerprint")).unwrap_or_default();
        let arguments = format!("run {TARGET} --fingerprint {fingerprint} --json {run}");
        let words: Vec<_> = arguments.split_whitespace().collect();
        let mut client = lab.start("client", &program.path()?, &words)?;
        let began = client.event("began")?.at;
        Ok(Self { program, server, client, began })
    }

    /// How long ago the measured part began.
    pub(crate) fn elapsed(&self) -> Duration {
        now() - self.began
    }

    /// The moment so long after the measured part began.
    pub(crate) fn moment(&self, after: Duration) -> Instant {
        self.began + after
    }

    /// Waits until so long after the measured part began.
    pub(crate) fn wait(&mut self, after: Duration) -> Result<(), Problem> {
        let moment = self.moment(after);
        self.client.listen(moment)?;
        sleep_until(moment);
        Ok(())
    }

    /// How long after the measured part began something was said.
    pub(crate) fn since_began(&self, said: &Said) -> Duration {
        said.at.saturating_duration_since(self.began)
    }

    /// Waits for the end, at which every promise must have been kept.
    pub(crate) fn finish(mut self) -> Result<Outcome, Problem> {
        let (code, stderr) = self.client.wait()?;
        let summary = self.client.events.iter().find(|said| said.is("summary"));
        let Some(summary) = summary.map(|said| said.event.clone()) else {
            return Err(format!("there is no summary, the code is {code:?}: {stderr}").into());
        };
        if code != Some(0) || !stderr.is_empty() {
            return Err(format!("the code is {code:?}: {stderr} {}", summary["broken"]).into());
        }
        if self.program == Program::Bowline {
            // What it has seen was said before.
            self.server.event("closed")?;
        }
        Ok(Outcome {
            server_events: std::mem::take(&mut self.server.events),
            program: self.program,
            summary,
            events: std::mem::take(&mut self.client.events),
            began: self.began,
        })
    }
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    program: Program,
    pub(crate) summary: Value,
    /// What the client said.
    pub(crate) events: Vec<Said>,
    server_events: Vec<Said>,
    began: Instant,
}

/// One direction of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow<'a>(&'a Value);

impl Outcome {
    /// The directions in which something was sent.
    pub(crate) fn flows(&self) -> impl Iterator<Item = Flow<'_>> {
        ["up", "down"].into_iter().map(|name| Flow(&self.summary[name])).filter(|flow| !flow.0.is_null())
    }

    /// Checks that everything arrived, once and in order.
    pub(crate) fn nothing_lost(&self) -> Result<(), Problem> {
        for flow in self.flows() {
            let wrong =
                ["lost", "duplicated", "out_of_order", "corrupted", "expired"].map(|name| flow.count(name));
            if wrong != [0; 5] || flow.count("sent") == 0 {
                return Err(format!("{:?}: {}", self.program, flow.0).into());
            }
        }
        Ok(())
    }

    /// Checks that the server has met its client at another address at least so often: what was done to the network was
    /// noticed.
    pub(crate) fn moved(&self, times: u32) -> Result<(), Problem> {
        let is_move = |said: &&Said| said.is("path_changed") || said.is("resumed");
        let moves: Vec<_> = self.server_events.iter().filter(is_move).collect();
        match self.program == Program::Quinn || moves.len() >= times as usize {
            true => Ok(()),
            false => {
                let seen: Vec<_> =
                    moves.iter().map(|said| (said.at - self.began, said.text("remote"))).collect();
                Err(format!("{times} times the address was another one, and the server saw {seen:?}").into())
            }
        }
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        self.summary[name].as_u64().unwrap_or(u64::MAX)
    }

    /// For each event, given as its time since the measured part began, the longest gap of any direction that began between
    /// a moment before it and the next event.
    pub(crate) fn gaps_after(&self, events: &[Duration]) -> Vec<Duration> {
        // The receiver's account of a direction may begin a round trip before this one.
        let before = Duration::from_millis(100);
        let starts: Vec<_> = events.iter().map(|event| event.saturating_sub(before)).collect();
        let gaps: Vec<_> = self.flows().flat_map(Flow::gaps).collect();
        let longest = |index: usize| {
            let (start, end) = (starts[index], starts.get(index + 1).copied().unwrap_or(Duration::MAX));
            let within = gaps.iter().filter(|(at, _)| (start..end).contains(at));
            within.map(|(_, length)| *length).max().unwrap_or_default()
        };
        (0..starts.len()).map(longest).collect()
    }

    /// When something of a kind first happened to the client, by its own clock.
    pub(crate) fn told_at(&self, kind: &str) -> Result<Duration, Problem> {
        let said = self.events.iter().find(|said| said.is(kind));
        let ms =
            said.and_then(|said| said.event["ms"].as_u64()).ok_or_else(|| format!("nothing was {kind}"))?;
        Ok(Duration::from_millis(ms))
    }

    /// When the client first said something of a kind, so long after the measured part began.
    pub(crate) fn first(&self, kind: &str, after: Duration) -> Option<Duration> {
        let after = self.began + after;
        let said = self.events.iter().find(|said| said.is(kind) && said.at >= after)?;
        Some(said.at - self.began)
    }
}

impl Flow<'_> {
    pub(crate) fn count(self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or(u64::MAX)
    }

    /// The longest time from the send of a message to its delivery.
    pub(crate) fn latency_max(self) -> Duration {
        millis(&self.0["latency_ms"]["max"])
    }

    fn gaps(self) -> Vec<(Duration, Duration)> {
        let pairs = self.0["gaps_ms"].as_array().map(Vec::as_slice).unwrap_or_default();
        pairs.iter().map(|pair| (millis(&pair[0]), millis(&pair[1]))).collect()
    }
}

fn millis(value: &Value) -> Duration {
    Duration::from_secs_f64(value.as_f64().unwrap_or(0.0).max(0.0) / 1e3)
}
