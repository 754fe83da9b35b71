//! The same ride twice: two programs talk to each other all the way, once over a connection of quinn with its default settings,
//! once over a session of Bowline.
//!
//! ```console
//! cargo run --release -p bowline-ride                           # a table
//! cargo run --release -p bowline-ride -- --svg docs/ride.svg    # and the picture in the README
//! cargo run --release -p bowline-ride -- --scenario elevator --seed 7 --json
//! ```
//!
//! Both sides send a message of 200 bytes every 50 ms, in order, through a scenario of the netsim (`subway`), in virtual time: a
//! seed gives the same ride on any machine. With `--json` each subject has a line: `subject`, `scenario`, `seed`, `sent`,
//! `arrived`, `p50_ms`, `p99_ms`, `max_ms`, and `late`, how many took longer than a second or did not arrive.

mod picture;
mod ride;
mod with_bowline;
mod with_quinn;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bowline_netsim::Scenario;
use clap::Parser;

use ride::Ride;

pub(crate) type Problem = Box<dyn Error + Send + Sync>;

#[derive(Parser)]
struct Cli {
    /// A scenario of the netsim.
    #[arg(long, default_value = "subway")]
    scenario: String,
    /// Another seed is another ride.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to put the picture.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// One object a line.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ride: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Problem> {
    let scenario = Scenario::find(&cli.scenario)?;
    let rides = [
        ("quinn", with_quinn::ride(&scenario, cli.seed)?),
        ("bowline", with_bowline::ride(&scenario, cli.seed)?),
    ];
    for (subject, ride) in &rides {
        show(subject, ride, cli);
    }
    if let Some(path) = &cli.svg {
        std::fs::write(path, picture::draw(&scenario, cli.seed, &rides)?)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    Ok(())
}

fn show(subject: &str, ride: &Ride, cli: &Cli) {
    let mut took: Vec<Duration> = ride.arrived.iter().map(|(_, took)| *took).collect();
    took.sort_unstable();
    let last = took.len().saturating_sub(1);
    let at = |percent: usize| took.get(last * percent / 100).map_or(0.0, |took| took.as_secs_f64() * 1e3);
    let slow = took.iter().filter(|took| **took > Duration::from_secs(1)).count();
    let (sent, arrived) = (ride.sent, took.len());
    let late = slow + sent.saturating_sub(arrived);
    let [p50, p99, max] = [50, 99, 100].map(at);
    if cli.json {
        let (scenario, seed) = (&cli.scenario, cli.seed);
        println!(
            "{}",
            serde_json::json!({
                "subject": subject, "scenario": scenario, "seed": seed, "sent": sent, "arrived": arrived,
                "p50_ms": p50, "p99_ms": p99, "max_ms": max, "late": late,
            })
        );
    } else {
        println!(
            "{subject:8} {sent} sent, {arrived} arrived; p50 {p50:.0}, p99 {p99:.0}, max {max:.0} ms; {late} took more than a second"
        );
    }
}
