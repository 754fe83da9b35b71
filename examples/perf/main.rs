//! Measures Bowline between two processes: what iperf is to TCP.
//!
//! ```text
//! perf serve                                waits for clients, and says how to reach it
//! perf run ADDR --fingerprint F             measures one run against it
//! ```
//!
//! Both sides hold the same [`plan`]. They agree over a channel of their own ([`control`]) and measure over others: a
//! [`side`] fills messages ([`payload`]), sends them in the plan's pattern ([`sender`], [`ping`]), and takes and checks
//! what the other sends ([`receiver`], [`meter`], [`seen`]). [`run`] is the side that dials and judges ([`summary`]),
//! [`serve`] the other one. Every message is numbered, timed and summed, so that what is reported was seen and not
//! assumed.

mod cli;
mod clock;
mod control;
mod hints;
mod json;
mod ledger;
mod meter;
mod payload;
mod ping;
mod plan;
mod receiver;
mod remote;
mod run;
mod seen;
mod sender;
mod serve;
mod show;
mod side;
mod summary;
mod visit;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

/// The run was measured, and something in it was not as promised; or it was cut short.
const BROKEN: u8 = 1;

/// There was no run.
const IMPOSSIBLE: u8 = 2;

// One thread on each side: a second one costs more than it gives.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::serve(args).await.map(|()| true),
        Command::Run(args) => run::run(args).await,
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(BROKEN),
        Err(error) => {
            eprintln!("perf: {}", error.to_string().escape_debug());
            ExitCode::from(IMPOSSIBLE)
        }
    }
}
