//! How long a line of a chat takes to the other application, alone and beside a transfer of 64 MiB on the same session.
//!
//! ```console
//! cargo run --release -p bowline-benches --bin beside              # a table
//! cargo run --release -p bowline-benches --bin beside -- --json    # one object a line
//! ```
//!
//! Both peers are in this process, each with a runtime of its own, over loopback: one clock measures one way. Each mode
//! runs for as long as a transfer takes, alone and beside it, in turn, five times. With `--json` a line has `delivery` (of
//! the transfer), `beside` (whether there is one), `lines`, `transfer_s`, and `p50_us`, `p90_us`, `p99_us` and `max_us`.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bowline::{Channel, ChannelConfig, Config, Delivery, Endpoint, Identity, Inbox, Session, Trust};
use bytes::Bytes;

const LARGE: usize = 64 * 1024 * 1024;
const EVERY: Duration = Duration::from_millis(1);
const ROUNDS: usize = 5;
/// Lines of a round without a transfer.
const ALONE: usize = 500;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--json"] => true,
        _ => {
            eprintln!("usage: beside [--json]");
            return ExitCode::from(2);
        }
    };
    match run(json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("beside: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What came of one way of sending the transfer.
struct Figures {
    delivery: Delivery,
    beside: bool,
    took: Vec<Duration>,
    transfers: Vec<Duration>,
}

fn run(json: bool) -> Result<(), Failure> {
    let (dialing, accepting) = (runtime()?, runtime()?);
    let (dialed, accepted) = dialing.block_on(connect(&accepting))?;
    for delivery in [Delivery::ReliableOrdered, Delivery::ReliableUnordered] {
        let figures = |beside| Figures { delivery, beside, took: Vec::new(), transfers: Vec::new() };
        let (mut alone, mut beside) = (figures(false), figures(true));
        let label = format!("files {delivery}");
        let config = ChannelConfig::new(delivery);
        let (files, _files_back) = dialing.block_on(dialed.open(&label, config.clone()))?;
        let (_back, mut large) = accepting.block_on(accepted.open(&label, config))?;
        let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
        let (chat, _chat_back) =
            dialing.block_on(dialed.open(&format!("chat {delivery}"), ordered.clone()))?;
        let (_back, mut lines) = accepting.block_on(accepted.open(&format!("chat {delivery}"), ordered))?;
        for _ in 0..ROUNDS {
            let listening = accepting.spawn(async move {
                let took = listen(&mut lines, ALONE).await;
                (took, lines)
            });
            dialing.block_on(talk(&chat, || true, ALONE))?;
            let (took, back) = accepting.block_on(listening)?;
            alone.took.extend(took);
            lines = back;
            let round = dialing.block_on(transfer(&accepting, &files, large, &chat, lines))?;
            beside.took.extend(round.took);
            beside.transfers.push(round.transfer);
            (large, lines) = (round.large, round.lines);
        }
        show(alone, json);
        show(beside, json);
    }
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

async fn connect(accepting: &tokio::runtime::Runtime) -> Result<(Session, Session), Failure> {
    let identity = Identity::generate()?;
    let (address, accepted) = tokio::sync::oneshot::channel();
    let server = accepting.spawn(async move {
        let listener = Endpoint::bind(([127, 0, 0, 1], 0), identity, Config::default())?;
        let told = address.send((listener.local_addr()?, listener.fingerprint()));
        told.map_err(|_| "the dialer is gone")?;
        let incoming = listener.accept().await.ok_or("the listener was closed")?;
        Ok::<_, Failure>((incoming.accept().await?, listener))
    });
    let (address, fingerprint) = accepted.await?;
    let client = Endpoint::client(Identity::generate()?, Config::default())?;
    let dialed = client.connect(address, Trust::fingerprint(fingerprint)).await?;
    let (accepted, listener) = server.await??;
    // They live as long as the process.
    std::mem::drop(accepting.spawn(async move {
        let _listener = listener;
        std::future::pending::<()>().await;
    }));
    std::mem::drop(tokio::spawn(async move {
        let _client = client;
        std::future::pending::<()>().await;
    }));
    Ok((dialed, accepted))
}

/// Says a line each millisecond, at least so many and until `over`; each says when it was said. Says how many.
async fn talk(chat: &Channel, over: impl Fn() -> bool, least: usize) -> Result<usize, Failure> {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut said = 0;
    while said < least || !over() {
        ticks.tick().await;
        let line = elapsed().as_nanos().to_be_bytes();
        drop(chat.send(Bytes::copy_from_slice(&line)).await?);
        said += 1;
    }
    Ok(said)
}

/// Takes so many lines; how long each took.
async fn listen(lines: &mut Inbox, count: usize) -> Vec<Duration> {
    let mut took = Vec::with_capacity(count);
    while took.len() < count
        && let Some(line) = lines.recv().await
    {
        if let Ok(said) = line.payload()[..].try_into().map(u128::from_be_bytes) {
            let said = Duration::from_nanos(u64::try_from(said).unwrap_or(u64::MAX));
            took.push(elapsed().saturating_sub(said));
        }
    }
    took
}

struct Round {
    took: Vec<Duration>,
    transfer: Duration,
    large: Inbox,
    lines: Inbox,
}

/// One transfer, and lines beside it as long as it takes.
async fn transfer(
    accepting: &tokio::runtime::Runtime,
    files: &Channel,
    mut large: Inbox,
    chat: &Channel,
    mut lines: Inbox,
) -> Result<Round, Failure> {
    let begun = elapsed();
    let taking = accepting.spawn(async move {
        let size = large.recv().await.map(|message| message.payload().len());
        (size, large)
    });
    let (count, counted) = tokio::sync::oneshot::channel();
    let listening = accepting.spawn(async move {
        // As many as were said, which is known at the end.
        let (mut took, mut counted) = (Vec::new(), counted);
        let said = loop {
            tokio::select! {
                biased;
                said = &mut counted => break said.unwrap_or(0),
                more = listen(&mut lines, 1) => took.extend(more),
            }
        };
        let left = said - took.len();
        took.extend(listen(&mut lines, left).await);
        (took, lines)
    });
    let receipt = files.send(Bytes::from(vec![7; LARGE])).await?;
    let said = talk(chat, || matches!(receipt.progress(), bowline::Progress::Resolved(_)), 1).await?;
    let transfer = elapsed() - begun;
    count.send(said).map_err(|_| "the listener is gone")?;
    receipt.await?;
    let (size, large) = taking.await?;
    if size != Some(LARGE) {
        return Err(format!("the transfer came as {size:?} bytes").into());
    }
    let (took, lines) = listening.await?;
    Ok(Round { took, transfer, large, lines })
}

/// The time since this was asked first.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures the time")]
fn elapsed() -> Duration {
    static STARTED: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    STARTED.get_or_init(Instant::now).elapsed()
}

fn show(mut figures: Figures, json: bool) {
    figures.took.sort_unstable();
    let last = figures.took.len().saturating_sub(1);
    let at = |percent: usize| figures.took.get(last * percent / 100).map_or(0, Duration::as_micros);
    let (p50, p90, p99, max) = (at(50), at(90), at(99), at(100));
    let total: Duration = figures.transfers.iter().sum();
    let mean = total.as_secs_f64() / figures.transfers.len().max(1) as f64;
    let Figures { delivery, beside, took, .. } = figures;
    if json {
        println!(
            "{}",
            serde_json::json!({
                "delivery": delivery.to_string(), "beside": beside, "lines": took.len(), "transfer_s": mean,
                "p50_us": p50, "p90_us": p90, "p99_us": p99, "max_us": max,
            })
        );
    } else {
        let what =
            if beside { format!("beside 64 MiB {delivery} ({mean:.2} s)") } else { "alone".to_owned() };
        println!(
            "{what:44} {:>6} lines  p50 {p50:>6}  p90 {p90:>6}  p99 {p99:>6}  max {max:>6} µs",
            took.len()
        );
    }
}
