//! What can be asked for on the command line. What cannot be meant ends the program with code 2, and is told which option
//! is wrong, or which two contradict each other.

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bowline::{Config, Fingerprint, HeartbeatPolicy, Identity, Power, ReconnectPolicy};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::plan::{DURATION_MAX, Direction, Mode, Pattern, Plan, SESSION_CHANNELS};

/// How long a run is, if nobody says.
const DURATION: Duration = Duration::from_secs(5);
const DURATION_FLOW: Duration = Duration::from_secs(10);
const PINGS: u64 = 1000;
const RATE_HZ: f64 = 100.0;

/// Measure Bowline between two processes: rates, latencies, gaps, CPU, and whether all that was promised was kept.
#[derive(Debug, Parser)]
#[command(name = "perf")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Wait for clients, and do what they ask, until SIGINT or SIGTERM
    Serve(ServeArgs),
    /// Measure one run against a server
    Run(RunArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// UDP address to listen on; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) addr: SocketAddr,
    /// File of the key that proves who this is, made if it does not exist; without it a new key for this process
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// 3 s into a run, stop taking messages for so long, once
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) stall: Option<Duration>,
    /// Write one JSON object a line, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Where the server listens: an address or a name, with the port
    #[arg(value_name = "ADDR")]
    pub(crate) target: String,
    /// Fingerprint of the server, as `perf serve` shows it
    #[arg(long, value_name = "F")]
    pub(crate) fingerprint: Fingerprint,
    /// How messages are delivered
    #[arg(long, value_enum, default_value = "reliable-ordered")]
    delivery: Mode,
    /// What is done
    #[arg(long, value_enum, default_value = "throughput")]
    pattern: Pattern,
    /// Who sends
    #[arg(long, value_enum, default_value = "up")]
    direction: Direction,
    /// Bytes of a message: at least 24, for its number, its time and its sum
    #[arg(long, value_name = "B", default_value_t = 1024)]
    size: u64,
    /// Messages of each direction [default: with ping 1000]
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    count: Option<u64>,
    /// How long to send [default: 5, with flow 10]
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Messages a second of each direction; with flow only [default: 100]
    #[arg(long, value_name = "HZ", allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Bytes that each channel may have unresolved; with acked and throughput [default: acked 1,024 messages, throughput 8 MiB]
    #[arg(long, value_name = "BYTES")]
    window: Option<u64>,
    /// Data channels that share the messages
    #[arg(long, value_name = "K", default_value_t = 1)]
    channels: u32,
    /// How long a message is worth anything, in milliseconds; without it for ever
    #[arg(long, value_name = "MS")]
    deadline: Option<u64>,
    /// How a lost connection is dialed again
    #[arg(long, value_enum, default_value = "standard")]
    reconnect: Reconnect,
    /// How often an idle path is proved alive: seconds, or `adaptive`, or `adaptive-battery` [default: the library's]
    #[arg(long, value_name = "POLICY", value_parser = heartbeat)]
    heartbeat: Option<HeartbeatPolicy>,
    /// Say nothing for so long before the measured part
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) settle: Option<Duration>,
    /// Take hints from standard input, one a line: `network-changed`, `reconnect`
    #[arg(long)]
    pub(crate) hints: bool,
    /// Write one JSON object a line, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Reconnect {
    /// After 0, 2, 4 … 64 s, then no more
    Standard,
    /// Within a second, for ever
    Responsive,
}

impl RunArgs {
    /// What is asked for, if it can be done; else the options that are wrong.
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        let (pattern, given) = (self.pattern, self.count.is_some() || self.seconds.is_some());
        let default = match pattern {
            Pattern::Ping => (Some(PINGS), None),
            Pattern::Flow => (None, Some(DURATION_FLOW)),
            Pattern::Throughput | Pattern::Acked => (None, Some(DURATION)),
        };
        let (count, duration) = if given { (self.count, self.seconds) } else { default };
        let rate = match self.rate {
            Some(rate) if rate.is_nan() || rate <= 0.0 => {
                return Err(format!("--rate {rate} is no rate: it must be above 0"));
            }
            Some(rate) => rate,
            None if pattern == Pattern::Flow => RATE_HZ,
            None => 0.0,
        };
        let plan = Plan {
            mode: self.delivery as i32,
            pattern: pattern as i32,
            direction: self.direction as i32,
            size: self.size,
            count,
            duration_ms: duration.map(|duration| duration.as_millis() as u64),
            rate,
            window: self.window,
            channels: self.channels,
            deadline_ms: self.deadline,
        };
        plan.check()?;
        Ok(plan)
    }

    /// How the endpoint is set up.
    pub(crate) fn config(&self) -> Config {
        let policy = match self.reconnect {
            Reconnect::Standard => ReconnectPolicy::Standard,
            Reconnect::Responsive => ReconnectPolicy::Responsive,
        };
        let config = Config::default().reconnect(policy).max_channels(SESSION_CHANNELS);
        match self.heartbeat {
            Some(policy) => config.heartbeat(policy),
            None => config,
        }
    }
}

/// Who this side is: the key in the file, or a new one that is forgotten at the end.
pub(crate) fn identity(file: Option<&Path>) -> Result<Identity, Box<dyn Error>> {
    Ok(match file {
        Some(path) => Identity::load_or_generate(path)?,
        None => Identity::generate()?,
    })
}

fn heartbeat(given: &str) -> Result<HeartbeatPolicy, String> {
    match given {
        "adaptive" => Ok(HeartbeatPolicy::adaptive(Power::Mains)),
        "adaptive-battery" => Ok(HeartbeatPolicy::adaptive(Power::Battery)),
        given => match seconds(given) {
            Ok(interval) => Ok(HeartbeatPolicy::Fixed(interval)),
            Err(wrong) => Err(format!("{wrong}, or `adaptive`, or `adaptive-battery`")),
        },
    }
}

fn seconds(given: &str) -> Result<Duration, String> {
    let wrong =
        || format!("it must be a number of seconds, at least 0.001 and at most {}", DURATION_MAX.as_secs());
    let seconds: f64 = given.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    if (Duration::from_millis(1)..=DURATION_MAX).contains(&duration) { Ok(duration) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &str) -> Result<Plan, String> {
        let fingerprint = format!("sha256:{}", "00".repeat(32));
        let begin = ["perf", "run", "127.0.0.1:1", "--fingerprint", &fingerprint];
        let words = begin.into_iter().chain(words.split(' ').filter(|word| !word.is_empty()));
        match Cli::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Command::Run(args) => args.plan(),
            Command::Serve(_) => Err("serve".to_owned()),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn without_options_a_run_is_sensible() {
        let throughput = plan("").unwrap();
        assert_eq!((throughput.mode(), throughput.pattern()), (Mode::ReliableOrdered, Pattern::Throughput));
        assert_eq!((throughput.direction(), throughput.size, throughput.channels), (Direction::Up, 1024, 1));
        assert_eq!((throughput.count, throughput.duration()), (None, Some(DURATION)));
        let flow = plan("--pattern flow").unwrap();
        assert_eq!((flow.rate, flow.duration()), (100.0, Some(Duration::from_secs(10))));
        assert_eq!(plan("--pattern ping").unwrap().count, Some(1000));
        assert_eq!(plan("--pattern flow --seconds 0.5").unwrap().duration_ms, Some(500));
    }

    #[test]
    fn what_contradicts_is_named() {
        for (words, named) in [
            ("--count 5 --seconds 5", &["--count", "--seconds"][..]),
            ("--count 0", &["--count 0"]),
            ("--seconds 0", &["--seconds", "at least"]),
            ("--seconds nan", &["--seconds", "number of seconds"]),
            ("--pattern flow --rate 0", &["--rate 0", "above 0"]),
            ("--pattern flow --rate -1", &["--rate"]),
            ("--pattern flow --rate nan", &["--rate"]),
            ("--pattern flow --rate 1e9", &["--rate"]),
            ("--rate 5", &["--rate", "--pattern flow"]),
            ("--size 23", &["--size 23", "24"]),
            ("--size 67108865", &["--size 67108865", "67108864"]),
            ("--delivery unreliable --size 65537", &["--size 65537", "--delivery unreliable"]),
            ("--delivery unreliable --pattern acked", &["--pattern acked", "--delivery unreliable"]),
            ("--delivery unreliable-sequenced --pattern acked", &["--pattern acked", "unreliable-sequenced"]),
            ("--deadline 0", &["--deadline"]),
            ("--channels 0", &["--channels 0"]),
            ("--channels 501", &["--channels 501"]),
            ("--pattern acked --window 1000", &["--window 1000", "--size 1024"]),
            ("--window 1000", &["--window 1000", "throughput"]),
            ("--pattern ping --window 100000", &["--window", "acked"]),
            ("--heartbeat often", &["--heartbeat", "number of seconds", "`adaptive`"]),
        ] {
            let error = plan(words).expect_err(words);
            assert!(named.iter().all(|name| error.contains(name)), "{words}: {error}");
        }
    }

    #[test]
    fn the_smallest_and_the_largest_message_are_taken() {
        for words in ["--size 24", "--size 32", "--size 67108864", "--delivery unreliable --size 65536"] {
            assert!(plan(words).is_ok(), "{words}");
        }
        assert!(plan("--delivery unreliable --pattern ping").is_ok());
    }
}
