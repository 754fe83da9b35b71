//! The commands and what they print.

mod describe;
mod proxy;
mod report;

use std::io::{self, Write};

use bowline_netsim::quic::{self, RunError, Workload};
use bowline_netsim::{Scenario, ScenarioError};
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;

/// A network to test against, in virtual time, or between real programs.
#[derive(Debug, Parser)]
#[command(name = "netsim", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the scenarios that have a name.
    List {
        /// One JSON object in each line: name, summary, and whether anything is drawn from the seed.
        #[arg(long)]
        json: bool,
    },
    /// Say what a scenario does, when, and how to write it as a file.
    Describe {
        /// A name from the list, or a TOML file.
        scenario: String,
    },
    /// Run a workload over a scenario, over quinn.
    Run {
        /// A name from the list, or a TOML file.
        scenario: String,
        /// The same seed gives the same run.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// What the client does.
        #[arg(long, value_enum, default_value_t = Work::Echo)]
        workload: Work,
        /// One JSON object in each line: the changes to the network, then a summary.
        #[arg(long)]
        json: bool,
    },
    /// Put a network between real programs: a UDP proxy that loses, delays, rebinds …
    ///
    /// It is changed while it runs, by lines on its standard input or over HTTP: loss 20, delay up 50ms, rebind,
    /// expire, block both 5s, unblock, scenario elevator, reset, status. It ends on SIGINT or SIGTERM.
    Proxy(proxy::ProxyArguments),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Work {
    /// 200 bytes every 50 ms, and each comes back.
    Echo,
    /// A datagram of 160 bytes every 20 ms, both ways.
    Flow,
    /// A download of 16 MiB.
    Bulk,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Proxy(#[from] proxy::ProxyFailure),
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl Arguments {
    pub(crate) fn perform(self, out: &mut dyn Write) -> Result<(), Failure> {
        match self.command {
            Command::List { json } => list(json, out)?,
            Command::Describe { scenario } => describe::describe(&Scenario::find(&scenario)?, out)?,
            Command::Proxy(arguments) => proxy::proxy(arguments, out)?,
            Command::Run { scenario, seed, workload, json } => {
                let scenario = Scenario::find(&scenario)?;
                let workload = workload.into();
                let summary = quic::run(&scenario, seed, workload)?;
                if json {
                    report::json(&summary, workload, out)?;
                } else {
                    report::text(&scenario, &summary, workload, out)?;
                }
            }
        }
        Ok(())
    }
}

impl From<Work> for Workload {
    fn from(work: Work) -> Self {
        match work {
            Work::Echo => Self::Echo,
            Work::Flow => Self::Flow,
            Work::Bulk => Self::Bulk,
        }
    }
}

fn list(as_json: bool, out: &mut dyn Write) -> io::Result<()> {
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
