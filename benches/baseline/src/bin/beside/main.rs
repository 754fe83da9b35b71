//! How long a line of a chat takes to the other application, alone and beside a transfer of 64 MiB: on one session of Bowline,
//! and on one connection of quinn used by hand, with a stream of higher priority for the chat.
//!
//! ```console
//! cargo run --release -p bowline-baseline --bin beside                  # over loopback, a table
//! cargo run --release -p bowline-baseline --bin beside -- --line 200    # over a line of 200 Mbit/s
//! cargo run --release -p bowline-baseline --bin beside -- --json        # one object a line
//! ```
//!
//! Both peers are in this process, each with a thread of its own: one clock measures one way. With `--line` a third thread
//! carries the packets: so many Mbit/s, 20 ms each way, a queue of 10 ms. A line is said each millisecond, for half a second
//! alone and then for as long as a transfer takes, five times. With `--json` a line has `subject`, `beside` (whether there is a
//! transfer), `lines`, `transfer_s`, and `p50_us`, `p90_us`, `p99_us` and `max_us`.

mod bowline_pair;
mod figures;
mod line;
mod quinn_pair;
mod rounds;
#[path = "../../transport.rs"]
mod transport;

use std::error::Error;
use std::process::ExitCode;

use bowline::Delivery;
use clap::Parser;

pub(crate) type Problem = Box<dyn Error + Send + Sync>;

#[derive(Parser)]
struct Cli {
    /// Over a line of so many Mbit/s and 40 ms of round trip, instead of loopback.
    #[arg(long, value_name = "MBIT/S", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    line: Option<u32>,
    /// One object a line.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("beside: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Problem> {
    let [dialing, accepting] = [runtime(0)?, runtime(1)?];
    for delivery in [Delivery::ReliableOrdered, Delivery::ReliableUnordered] {
        let pair = bowline_pair::connect(&dialing, &accepting, cli.line, delivery)?;
        rounds::run(&dialing, &accepting, pair)?.show(&format!("bowline {delivery}"), cli.json);
    }
    let pair = quinn_pair::connect(&dialing, &accepting, cli.line)?;
    rounds::run(&dialing, &accepting, pair)?.show("quinn", cli.json);
    Ok(())
}

/// A runtime of one thread, on a core of its own if that can be: two busy threads may spend their first 50 ms on one core,
/// until the scheduler separates them.
fn runtime(core: usize) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all();
    #[cfg(target_os = "linux")]
    builder.on_thread_start(move || {
        let mut cores = rustix::thread::CpuSet::new();
        cores.set(core);
        if let Err(error) = rustix::thread::sched_setaffinity(None, &cores) {
            eprintln!("beside: no core {core} for a peer of its own: {error}");
        }
    });
    builder.build()
}
