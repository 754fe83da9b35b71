//! What can be said to a proxy that runs, as text.

use std::str::FromStr;
use std::time::Duration;

use super::Side;
use crate::link::Conditions;
use crate::scenario::ScenarioError;
use crate::values::{BadValue, Length, Speed};

/// What can be said to a proxy that runs.
///
/// As text, `up`, `down` or `both` may stand before the value, and `both` is meant where nothing is said:
///
/// ```
/// # use bowline_netsim::Conditions;
/// # use bowline_netsim::proxy::{Command, Side};
/// let command: Command = "loss up 20".parse().unwrap();
/// assert_eq!(command, Command::Set(Side::Up, Conditions::new().loss(20.0).into()));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Change the conditions: `loss 20`, `delay up 50ms`, and so with `burst`, `jitter`, `reorder`, `duplicate`,
    /// `corrupt`, `rate`, `queue-bytes` and `mtu`.
    Set(Side, Box<Conditions>),
    /// Give every mapping another port: `rebind`.
    Rebind,
    /// Let every mapping expire: `expire`.
    Expire,
    /// Make a black hole, for a time or until it is unblocked: `block`, `block up 5s`.
    Block(Side, Option<Duration>),
    /// Let packets through again, whoever blocked them: `unblock`.
    Unblock(Side),
    /// Begin a scenario, by its name or from a TOML file: `scenario elevator`.
    Scenario(String),
    /// A clean network again: `reset`.
    Reset,
    /// Say what the proxy does and did: `status`.
    Status,
}

/// Why a command was not followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It is no command. Says what would be one.
    #[error("{0}")]
    Malformed(String),
    /// There is no such scenario.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// A value makes no sense, alone or with the conditions that there are.
    #[error(transparent)]
    Value(#[from] BadValue),
}

/// The words that set one thing, each with a value for an example.
const SETTINGS: &[(&str, &str)] = &[
    ("loss", "20"),
    ("burst", "8"),
    ("delay", "50ms"),
    ("jitter", "10ms"),
    ("reorder", "5 20ms"),
    ("duplicate", "1"),
    ("corrupt", "0.1"),
    ("rate", "8 Mbit/s"),
    ("queue-bytes", "150000"),
    ("mtu", "1300"),
];

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(line: &str) -> Result<Self, CommandError> {
        let words: Vec<_> = line.split_whitespace().collect();
        let Some((verb, rest)) = words.split_first() else { return Err(unknown("")) };
        let alone = |command| if rest.is_empty() { Ok(command) } else { Err(expects(verb, verb)) };
        match *verb {
            "rebind" => alone(Self::Rebind),
            "expire" => alone(Self::Expire),
            "reset" => alone(Self::Reset),
            "status" => alone(Self::Status),
            "block" => match side(rest) {
                (side, []) => Ok(Self::Block(side, None)),
                (side, [length]) => Ok(Self::Block(side, Some(length.parse::<Length>()?.0))),
                _ => Err(expects(verb, "block [up|down|both] [5s]")),
            },
            "unblock" => match side(rest) {
                (side, []) => Ok(Self::Unblock(side)),
                _ => Err(expects(verb, "unblock [up|down|both]")),
            },
            "scenario" => match rest {
                [] => Err(expects(verb, "scenario NAME, or scenario FILE.toml")),
                _ => Ok(Self::Scenario(rest.join(" "))),
            },
            _ => match SETTINGS.iter().find(|(setting, _)| setting == verb) {
                Some((setting, example)) => set(setting, rest, example),
                None => Err(unknown(verb)),
            },
        }
    }
}

fn set(setting: &str, rest: &[&str], example: &str) -> Result<Command, CommandError> {
    let (side, value) = side(rest);
    let malformed = || expects(setting, &format!("{setting} [up|down|both] {example}"));
    let number = |text: &str| text.trim_end_matches('%').parse::<f64>().map_err(|_| malformed());
    let said = Conditions::new();
    let conditions = match (setting, value) {
        (_, []) => return Err(malformed()),
        ("rate", value) => match value.join(" ").parse()? {
            Speed::Unlimited => said.unlimited(),
            Speed::BitsPerSecond(bits) => said.rate(bits),
        },
        ("reorder", [share]) if number(share)? == 0.0 => said.reorder(0.0, Duration::ZERO),
        ("reorder", [share, by]) => said.reorder(number(share)?, by.parse::<Length>()?.0),
        ("delay", [length]) => said.delay(length.parse::<Length>()?.0),
        ("jitter", [length]) => said.jitter(length.parse::<Length>()?.0),
        ("loss", [share]) => said.loss(number(share)?),
        ("burst", [packets]) => said.burst(number(packets)?),
        ("duplicate", [share]) => said.duplicate(number(share)?),
        ("corrupt", [share]) => said.corrupt(number(share)?),
        ("queue-bytes", [bytes]) => said.queue_bytes(bytes.parse().map_err(|_| malformed())?),
        ("mtu", [bytes]) => said.mtu(bytes.parse().map_err(|_| malformed())?),
        _ => return Err(malformed()),
    };
    Ok(Command::Set(side, conditions.into()))
}

/// The direction that is said, if one is, and what stands behind it.
fn side<'a>(words: &'a [&'a str]) -> (Side, &'a [&'a str]) {
    match words {
        ["up", rest @ ..] => (Side::Up, rest),
        ["down", rest @ ..] => (Side::Down, rest),
        ["both", rest @ ..] => (Side::Both, rest),
        _ => (Side::Both, words),
    }
}

fn expects(verb: &str, form: &str) -> CommandError {
    CommandError::Malformed(format!("{verb} is not said like that: say {form}"))
}

fn unknown(verb: &str) -> CommandError {
    let settings: Vec<_> = SETTINGS.iter().map(|(setting, _)| *setting).collect();
    let what = if verb.is_empty() { "no command".into() } else { format!("there is no command {verb:?}") };
    let settings = settings.join(", ");
    CommandError::Malformed(format!(
        "{what}: say status, rebind, expire, block, unblock, scenario, reset, or a condition ({settings})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn every_command_can_be_said() {
        let said = Conditions::new;
        for (line, command) in [
            ("loss 20", Command::Set(Side::Both, said().loss(20.0).into())),
            ("  loss   up  0.5% ", Command::Set(Side::Up, said().loss(0.5).into())),
            ("burst 8", Command::Set(Side::Both, said().burst(8.0).into())),
            ("delay 50ms", Command::Set(Side::Both, said().delay(ms(50)).into())),
            ("delay down 1.5s", Command::Set(Side::Down, said().delay(ms(1500)).into())),
            ("jitter both 10ms", Command::Set(Side::Both, said().jitter(ms(10)).into())),
            ("reorder 5 20ms", Command::Set(Side::Both, said().reorder(5.0, ms(20)).into())),
            ("reorder 0", Command::Set(Side::Both, said().reorder(0.0, ms(0)).into())),
            ("duplicate 1", Command::Set(Side::Both, said().duplicate(1.0).into())),
            ("corrupt up 2", Command::Set(Side::Up, said().corrupt(2.0).into())),
            ("rate down 8 Mbit/s", Command::Set(Side::Down, said().rate(8_000_000).into())),
            ("rate unlimited", Command::Set(Side::Both, said().unlimited().into())),
            ("queue-bytes 9000", Command::Set(Side::Both, said().queue_bytes(9000).into())),
            ("mtu 1300", Command::Set(Side::Both, said().mtu(1300).into())),
            ("rebind", Command::Rebind),
            ("expire", Command::Expire),
            ("block", Command::Block(Side::Both, None)),
            ("block 5s", Command::Block(Side::Both, Some(ms(5000)))),
            ("block both 5s", Command::Block(Side::Both, Some(ms(5000)))),
            ("block up", Command::Block(Side::Up, None)),
            ("unblock", Command::Unblock(Side::Both)),
            ("unblock down", Command::Unblock(Side::Down)),
            ("scenario elevator", Command::Scenario("elevator".into())),
            ("scenario my own.toml", Command::Scenario("my own.toml".into())),
            ("reset", Command::Reset),
            ("status", Command::Status),
        ] {
            assert_eq!(line.parse::<Command>().unwrap(), command, "{line}");
        }
    }

    #[test]
    fn what_is_no_command_is_answered_with_what_would_be_one() {
        for (line, says) in [
            ("", "say status, rebind"),
            ("los 20", "no command \"los\": say status"),
            ("LOSS 20", "no command"),
            ("loss", "say loss [up|down|both] 20"),
            ("loss sideways 20", "say loss [up|down|both] 20"),
            ("loss many", "say loss [up|down|both] 20"),
            ("loss 1 2", "say loss"),
            ("delay 50", "is no length of time"),
            ("delay -5ms", "is no length of time"),
            ("reorder 5", "reorder [up|down|both] 5 20ms"),
            ("rate 8", "is no rate"),
            ("mtu 70000", "say mtu"),
            ("mtu -1", "say mtu"),
            ("block for ever", "say block [up|down|both] [5s]"),
            ("block 5", "is no length of time"),
            ("unblock 5s", "say unblock"),
            ("rebind now", "say rebind"),
            ("scenario", "say scenario NAME"),
            ("status please", "say status"),
        ] {
            let error = line.parse::<Command>().unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
