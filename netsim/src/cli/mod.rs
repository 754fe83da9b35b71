//! The commands and what they print.
//!
//! | file | command |
//! |---|---|
//! | `list` | `list`, `describe` |
//! | `run` | `run`, and the files that it leaves behind |
//! | `sweep` | `sweep`: many seeds, many scenarios |
//! | `proxy` | `proxy`: a network between real programs |
//! | `options` | what `run` and `sweep` have in common: what to run, and when it fails |
//! | `told` | what a run came to, for people and as JSON |

mod list;
mod options;
mod proxy;
mod run;
mod sweep;
mod told;

use std::io::{self, Write};
use std::path::PathBuf;

use bowline_netsim::quic::RunError;
use bowline_netsim::{BadValue, ScenarioError, Unexercised};
use clap::{Parser, Subcommand};

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
    Describe(list::Describe),
    /// Run a workload over a scenario, over quinn; fails if a fault of the scenario never fired.
    Run(run::Run),
    /// Run many seeds, of one scenario or of all; a failing seed says how to replay it.
    Sweep(sweep::Sweep),
    /// Put a network between real programs: a UDP proxy that loses, delays, rebinds …
    ///
    /// It is changed while it runs, by lines on its standard input or over HTTP: loss 20, delay up 50ms, rebind,
    /// expire, block both 5s, unblock, scenario elevator, reset, status. It ends on SIGINT or SIGTERM.
    Proxy(proxy::ProxyArguments),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Value(#[from] BadValue),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Proxy(#[from] proxy::ProxyFailure),
    /// The run was not what it should have been.
    #[error("{why}\nreplay it: {replay}")]
    Failed { why: String, replay: String },
    #[error("{scenario}, all seeds together: {why}")]
    NeverAtAll { scenario: String, why: Unexercised },
    #[error("{failed} of {total} runs failed")]
    Sweep { failed: usize, total: usize },
    #[error("{} cannot be written: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl Arguments {
    pub(crate) fn perform(self, out: &mut dyn Write) -> Result<(), Failure> {
        match self.command {
            Command::List { json } => Ok(list::list(json, out)?),
            Command::Describe(describe) => describe.perform(out),
            Command::Run(run) => run.perform(out),
            Command::Sweep(sweep) => sweep.perform(out),
            Command::Proxy(arguments) => Ok(proxy::proxy(arguments, out)?),
        }
    }
}

/// Writes a file as a whole.
fn write_file(
    path: &PathBuf,
    write: impl FnOnce(&mut io::BufWriter<std::fs::File>) -> io::Result<()>,
) -> Result<(), Failure> {
    let written = std::fs::File::create(path).and_then(|file| {
        let mut file = io::BufWriter::new(file);
        write(&mut file)?;
        file.flush()
    });
    written.map_err(|error| Failure::File { path: path.clone(), error })
}
