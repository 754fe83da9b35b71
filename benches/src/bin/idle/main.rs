//! What idle clients cost a server: its CPU, bytes and memory, and whether their beats are spread over time.
//!
//! ```console
//! cargo run --release -p bowline-benches --bin idle                       # 1,000 clients, a minute
//! cargo run --release -p bowline-benches --bin idle -- --clients 100 --heartbeat 5 --seconds 30 --json
//! ```
//!
//! This process is the server, and a child of it is all the clients, each with a session and a socket of its own, over loopback.
//! Nobody says anything but beats. Bytes are UDP payload, both ways. With `--json` the last line has `clients`,
//! `heartbeat_s`, `seconds`, `connect_s`, `beats`, `beats_per_second` (of each second), `cpu_s_per_client_hour`,
//! `packets_per_client_hour`, `bytes_per_client_hour` and, on Linux, `memory_bytes_per_client`.

mod clients;
mod counted;
mod usage;

use std::error::Error;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bowline::{Config, Endpoint, Fingerprint, Identity, Parts, Session, SystemClock, UdpSockets};
use clap::Parser;
use tokio::time::{Instant, sleep_until, timeout};

use counted::Counted;

type Problem = Box<dyn Error + Send + Sync>;

/// All clients are there by then, or something is wrong.
const CONNECTED_BY: Duration = Duration::from_secs(120);

#[derive(Clone, Parser)]
pub(crate) struct Cli {
    /// How many there are.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// Seconds between the beats of each.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(2..=270))]
    heartbeat: u64,
    /// How long to watch.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// One object a line.
    #[arg(long)]
    json: bool,
    /// Be the clients of the server at this address.
    #[arg(long, hide = true, requires = "fingerprint")]
    dial: Option<std::net::SocketAddr>,
    #[arg(long, hide = true)]
    fingerprint: Option<Fingerprint>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match (cli.dial, cli.fingerprint) {
        (Some(addr), Some(fingerprint)) => clients::run(&cli, addr, fingerprint).await,
        _ => serve(&cli).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("idle: {error}");
            ExitCode::FAILURE
        }
    }
}

fn config(cli: &Cli) -> Config {
    let most = cli.clients as usize;
    let config = Config::default().heartbeat(Duration::from_secs(cli.heartbeat));
    config.max_sessions(most).max_sessions_per_identity(most)
}

async fn serve(cli: &Cli) -> Result<(), Problem> {
    let runtime: Arc<dyn quinn::Runtime> = Arc::new(quinn::TokioRuntime);
    let counted = Counted::new(UdpSockets::new(runtime.clone()));
    let figures = counted.figures();
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&usage::seed());
    let endpoint = Endpoint::with_parts(Parts {
        sockets: Arc::new(counted),
        runtime,
        clock: Arc::new(SystemClock),
        seed,
        identity: Identity::generate()?,
        config: config(cli),
    });
    let endpoint = endpoint.bind(([127, 0, 0, 1], 0))?;
    let empty = usage::memory();
    let begun = Instant::now();
    let mut child = tokio::process::Command::new(std::env::current_exe()?)
        .args(["--dial", &endpoint.local_addr()?.to_string()])
        .args(["--fingerprint", &endpoint.fingerprint().to_string()])
        .args(["--clients", &cli.clients.to_string(), "--heartbeat", &cli.heartbeat.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let accepting = timeout(CONNECTED_BY, accept(&endpoint, cli.clients));
    let sessions = tokio::select! {
        sessions = accepting => sessions.map_err(|_| "the clients did not all come")??,
        ended = child.wait() => return Err(format!("the clients have ended: {}", ended?).into()),
    };
    let connect_s = begun.elapsed().as_secs_f64();
    // The first beat of each comes with its attach: it says nothing about the spread.
    sleep_until(Instant::now() + Duration::from_secs(1)).await;
    let (before, cpu, start) = (figures.now(), usage::cpu_ns(), Instant::now());
    let (mut beats, mut beats_per_second) = (received(&sessions), Vec::new());
    let first = beats;
    for second in 1..=cli.seconds {
        sleep_until(start + Duration::from_secs(second)).await;
        let now = received(&sessions);
        beats_per_second.push(now - beats);
        beats = now;
    }
    let hours = f64::from(cli.clients) * start.elapsed().as_secs_f64() / 3_600.0;
    let cpu_s = (usage::cpu_ns() - cpu) as f64 * 1e-9;
    let (packets, bytes) = figures.now().since(before);
    let memory =
        usage::memory().zip(empty).map(|(full, empty)| full.saturating_sub(empty) / u64::from(cli.clients));
    let gone = sessions.iter().filter(|session| session.stats().attaches != 1).count();
    if gone > 0 {
        return Err(format!("{gone} sessions were not attached all the time").into());
    }
    child.kill().await?;
    let figures =
        Figures { beats: beats - first, beats_per_second, connect_s, cpu_s, packets, bytes, hours, memory };
    figures.show(cli);
    Ok(())
}

async fn accept(endpoint: &Endpoint, clients: u32) -> Result<Vec<Session>, Problem> {
    let mut sessions = Vec::new();
    while sessions.len() < clients as usize {
        sessions.push(endpoint.accept().await.ok_or("the endpoint was closed")?.accept().await?);
    }
    Ok(sessions)
}

fn received(sessions: &[Session]) -> u64 {
    sessions.iter().map(|session| session.stats().beats_received).sum()
}

struct Figures {
    beats: u64,
    beats_per_second: Vec<u64>,
    connect_s: f64,
    cpu_s: f64,
    packets: u64,
    bytes: u64,
    /// Of all clients together.
    hours: f64,
    memory: Option<u64>,
}

impl Figures {
    fn show(&self, cli: &Cli) {
        let Self { beats, beats_per_second, connect_s, cpu_s, packets, bytes, hours, memory } = self;
        let per_hour = |count: u64| count as f64 / hours;
        if cli.json {
            println!(
                "{}",
                serde_json::json!({
                    "clients": cli.clients, "heartbeat_s": cli.heartbeat, "seconds": cli.seconds,
                    "connect_s": connect_s, "beats": beats, "beats_per_second": beats_per_second,
                    "cpu_s_per_client_hour": cpu_s / hours, "packets_per_client_hour": per_hour(*packets),
                    "bytes_per_client_hour": per_hour(*bytes), "memory_bytes_per_client": memory,
                })
            );
            return;
        }
        let mean = *beats as f64 / cli.seconds as f64;
        let (least, most) = (beats_per_second.iter().min(), beats_per_second.iter().max());
        println!("{} clients in {connect_s:.1} s, a beat every {} s of each", cli.clients, cli.heartbeat);
        println!(
            "beats: {mean:.1} in a second, {} at least and {} at most",
            least.copied().unwrap_or_default(),
            most.copied().unwrap_or_default()
        );
        println!(
            "server, for a client and an hour: {:.3} s of CPU, {:.0} packets, {:.0} bytes",
            cpu_s / hours,
            per_hour(*packets),
            per_hour(*bytes)
        );
        if let Some(memory) = memory {
            println!("server, for a client: {} KiB of memory", memory / 1024);
        }
    }
}
