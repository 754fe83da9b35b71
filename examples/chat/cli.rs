//! What can be asked for on the command line. A value that cannot be meant ends the program with code 2, before
//! anything else has happened.

use std::net::SocketAddr;
use std::path::PathBuf;

use bowline::config::ReconnectPolicy;
use bowline::tls::Fingerprint;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Chat with one peer over Bowline: every message is shown once and in order, and its ticks tell the truth.
#[derive(Debug, Parser)]
#[command(name = "chat")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Two peers in this process hold a conversation over a bad network; nothing is asked and nothing is read
    Demo(DemoArgs),
    /// Wait for a peer, one at a time
    Listen(ListenArgs),
    /// Dial a peer that listens
    Connect(ConnectArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Write one JSON object a line instead, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// UDP address to listen on; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) addr: SocketAddr,
    /// Name that the peer is shown
    #[arg(long, default_value = "ada", value_parser = name)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Where the peer listens: an address or a name, with the port
    #[arg(value_name = "ADDR", value_parser = target)]
    pub(crate) target: String,
    /// Fingerprint of the peer, as `chat listen` shows it: nobody else is talked to
    #[arg(long, value_name = "F")]
    pub(crate) fingerprint: Fingerprint,
    /// Name that the peer is shown
    #[arg(long, default_value = "bob", value_parser = name)]
    pub(crate) name: String,
    /// How a lost connection is dialed again
    #[arg(long, value_enum, default_value = "standard")]
    pub(crate) reconnect: Reconnect,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CommonArgs {
    /// File of the key that proves who you are, made if it does not exist; without it a new key for this run
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Write one JSON object a line instead, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reconnect {
    /// After 0, 2, 4 … 64 s, then only when asked (/reconnect)
    Standard,
    /// Within a second, for ever
    Responsive,
}

impl From<Reconnect> for ReconnectPolicy {
    fn from(reconnect: Reconnect) -> Self {
        match reconnect {
            Reconnect::Standard => Self::Standard,
            Reconnect::Responsive => Self::Responsive,
        }
    }
}

/// A name fit to be shown, as the peer would clean it.
fn name(given: &str) -> Result<String, String> {
    match crate::text::name(given) {
        Some(name) if name == given => Ok(name),
        _ => Err(format!("a name has 1 to {} visible characters", crate::text::NAME_CHARS)),
    }
}

/// `host:port`, by its form only: whether anyone is there is found out by dialing.
fn target(given: &str) -> Result<String, String> {
    if given.parse::<SocketAddr>().is_ok() {
        return Ok(given.to_owned());
    }
    let (host, port) = given.rsplit_once(':').ok_or("the port is missing: write ADDRESS:PORT")?;
    if host.contains(':') {
        return Err("an IPv6 address stands in brackets: [::1]:4433".to_owned());
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if host.is_empty() || !host.chars().all(fits) {
        return Err(format!("{host:?} is no address and no host name"));
    }
    match port.parse::<u16>() {
        Ok(0) | Err(_) => Err(format!("{port:?} is no port: it must be 1 to 65535")),
        Ok(_) => Ok(given.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn parse(words: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(std::iter::once("chat").chain(words.split(' '))).map(|cli| cli.command)
    }

    fn refusal(words: &str) -> String {
        let error = parse(words).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn listening_needs_no_arguments() {
        let Ok(Command::Listen(args)) = parse("listen") else { panic!("not understood") };
        assert_eq!(args.addr, "127.0.0.1:0".parse().unwrap());
        assert_eq!((args.name.as_str(), args.common.identity, args.common.json), ("ada", None, false));
    }

    #[test]
    fn connecting_takes_an_address_or_a_name() {
        for target in ["127.0.0.1:4433", "[::1]:4433", "peer.example:4433"] {
            let words = format!("connect {target} --fingerprint {FINGERPRINT} --reconnect responsive");
            let Ok(Command::Connect(args)) = parse(&words) else { panic!("{target} not understood") };
            assert_eq!((args.target.as_str(), args.reconnect), (target, Reconnect::Responsive));
            assert_eq!(args.fingerprint.to_string(), FINGERPRINT);
        }
    }

    #[test]
    fn connecting_without_a_fingerprint_is_refused() {
        assert!(refusal("connect 127.0.0.1:4433").contains("--fingerprint"));
    }

    #[test]
    fn bad_values_are_named() {
        assert!(refusal("connect 127.0.0.1:1 --fingerprint sha256:0011").contains("64 hexadecimal digits"));
        let connect = |target| refusal(&format!("connect {target} --fingerprint {FINGERPRINT}"));
        assert!(connect("127.0.0.1").contains("the port is missing"));
        assert!(connect("127.0.0.1:port").contains("\"port\" is no port"));
        assert!(connect("::1:4433").contains("brackets"));
        assert!(connect("a/b:4433").contains("no host name"));
        assert!(refusal("listen --addr nowhere").contains("nowhere"));
        assert!(refusal("listen --name \u{202e}eve").contains("visible characters"));
        assert!(refusal("listen --reconnect standard").contains("--reconnect"));
    }
}
