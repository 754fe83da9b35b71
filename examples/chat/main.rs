//! Two people chat over Bowline: a whole program in small rooms, meant to be read.
//!
//! ```text
//! chat demo                                    two peers in one process, and a bad network between them
//! chat listen                                  waits for a peer, and says how to reach it
//! chat connect ADDR --fingerprint F            dials one
//! ```
//!
//! Start with [`demo`], which holds a conversation from a script, or with [`peer`], the conversation itself: it
//! knows the library and no terminal. Everything that is shown leaves it as a [`notice`]; [`ui`] has one way of
//! showing them for people, one for pipes and one for programs ([`json`]). Between the two runs [`talk`], the
//! same loop for both ends; [`listen`] and [`connect`] differ only in how they come by a session. What a peer
//! wrote is decoded in [`envelope`], and cleaned by [`text`] before anything else sees it.

mod cli;
mod connect;
mod demo;
mod door;
mod envelope;
mod generated;
mod input;
mod json;
mod kept;
mod listen;
mod notice;
mod peer;
mod receipts;
mod talk;
mod tally;
mod text;
mod ui;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

// One thread does for one conversation: what runs at the same time here mostly waits.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result: Result<(), Box<dyn Error>> = match Cli::parse().command {
        Command::Demo(args) => demo::run(args).await,
        Command::Listen(args) => listen::run(args).await,
        Command::Connect(args) => connect::run(args).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: {}", text::clean(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}
