//! Quinn without Bowline, used as well as it can be: one stream, length-framed messages, about 64 KiB a write, one counter
//! of acknowledgements for each read.
//!
//! The command line, the messages and what is reported are those of the `perf` example, whose modules these are, so that the two can be
//! run side by side. It does `throughput` and `acked` upwards and `flow` either way, and survives what quinn survives.
#![allow(dead_code, reason = "the modules are those of the perf example, which uses more of them")]

#[path = "../../../examples/perf/cli.rs"]
mod cli;
#[path = "../../../examples/perf/clock.rs"]
mod clock;
#[path = "../../../examples/perf/control.rs"]
mod control;
mod frames;
#[path = "../../../examples/perf/json.rs"]
mod json;
#[path = "../../../examples/perf/meter.rs"]
mod meter;
#[path = "../../../examples/perf/payload.rs"]
mod payload;
#[path = "../../../examples/perf/plan.rs"]
mod plan;
#[path = "../../../examples/perf/remote.rs"]
mod remote;
mod run;
#[path = "../../../examples/perf/seen.rs"]
mod seen;
mod sending;
mod serve;
#[path = "../../../examples/perf/summary.rs"]
mod summary;
mod transport;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

type Problem = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::serve(args).await.map(|()| true),
        Command::Run(args) => run::run(args).await,
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("baseline: {error}");
            ExitCode::from(2)
        }
    }
}
