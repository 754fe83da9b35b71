//! Every knob: what it does, its default, its unit, its limits and what it costs in memory.
//!
//! [`Config`] belongs to an endpoint and all its sessions, [`ChannelConfig`] to one channel. Both are plain
//! values with by-value setters; they are checked as a whole where they are first used, and the error names the
//! knob.

use std::fmt;
use std::time::Duration;

use crate::error::ConfigError;

/// How a channel delivers: chosen by its sender, told to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// Every message, once, in order.
    ReliableOrdered,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReliableOrdered => "reliable-ordered",
        })
    }
}

/// What the sender does with messages whose fate it cannot know, because the peer lost its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnReset {
    /// Their receipts end in [`Outcome::Unknown`](crate::error::Outcome::Unknown): at most once.
    #[default]
    Unknown,
    /// They are sent again under the same id, marked as redelivered: at least once.
    Redeliver,
}

/// How a session dials again when its connection is lost (rule T5). Waits are shortened at random by up to 25 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReconnectPolicy {
    /// After 0, 2, 4, 8, 16, 32 and 64 s, then it gives up until asked (`Session::reconnect`).
    Standard,
    /// After 0, 125, 250 and 500 ms, then every second, for ever.
    Responsive,
}

/// Settings of an endpoint and its sessions.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) heartbeat: Duration,
    pub(crate) reconnect: ReconnectPolicy,
    pub(crate) session_expiry: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) max_message_size: usize,
    pub(crate) max_channels: usize,
    pub(crate) max_sessions: usize,
    pub(crate) max_sessions_per_identity: usize,
    pub(crate) max_handshakes: usize,
    pub(crate) one_session_per_identity: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            reconnect: ReconnectPolicy::Standard,
            session_expiry: Duration::from_secs(600),
            handshake_timeout: Duration::from_secs(10),
            max_message_size: 1024 * 1024,
            max_channels: 256,
            max_sessions: 10_000,
            max_sessions_per_identity: 64,
            max_handshakes: 256,
            one_session_per_identity: false,
        }
    }
}

impl Config {
    /// How often a dialer proves an idle path alive, with one byte. Default 15 s; 2 s to 270 s. Rounded down to
    /// the next of 2, 3, 5, 8, 10, 12, 15, 20, 25, 30, 45, 60, 90, 120, 180 or 270 s, because the interval is promised
    /// to the peer in four bits. Traffic that the peer acknowledges replaces beats.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// How a lost connection is dialed again. Default [`ReconnectPolicy::Standard`].
    pub fn reconnect(mut self, policy: ReconnectPolicy) -> Self {
        self.reconnect = policy;
        self
    }

    /// How long a session without a connection is kept, at this end. Default 10 minutes; 1 s to 30 days. Costs what
    /// its outbox and inbox hold.
    pub fn session_expiry(mut self, keep: Duration) -> Self {
        self.session_expiry = keep;
        self
    }

    /// How long each step of a new connection may take: the TLS handshake, what is said until its session is attached or
    /// waits for the application, and the wait for the application's decision. Default 10 s; 100 ms to 5 min.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Largest payload sent or taken, in bytes. Default 1 MiB; 1 byte to 64 MiB. The peer's limit counts too. A channel's window
    /// must have room for one such message.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// Channels that either side may have open in a session. Default 256; 1 to 1,024. A channel costs about 1 KiB, and
    /// what it holds: 64 KiB at most until this side opens it.
    pub fn max_channels(mut self, channels: usize) -> Self {
        self.max_channels = channels;
        self
    }

    /// Accepted sessions kept at once, attached or not; further dialers are told that the endpoint is busy. Default
    /// 10,000; at least 1.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// Accepted sessions kept at once for one peer identity (all anonymous dialers together are one). Default 64;
    /// at least 1.
    pub fn max_sessions_per_identity(mut self, sessions: usize) -> Self {
        self.max_sessions_per_identity = sessions;
        self
    }

    /// Connections that have not yet attached to a session, at once; further ones are refused. Default 256; at least 1. Each costs
    /// about 50 KiB of QUIC state, and at most 136 KiB of what it says before it is listened to.
    pub fn max_handshakes(mut self, connections: usize) -> Self {
        self.max_handshakes = connections;
        self
    }

    /// Single login: a new session of an identity ends the ones it had, as superseded (rule S2). Default off.
    /// Anonymous dialers are not affected.
    pub fn one_session_per_identity(mut self, single: bool) -> Self {
        self.one_session_per_identity = single;
        self
    }

    /// Checks every value.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        duration("heartbeat", self.heartbeat, Duration::from_secs(2), Duration::from_secs(270))?;
        duration(
            "session_expiry",
            self.session_expiry,
            Duration::from_secs(1),
            Duration::from_secs(30 * 86_400),
        )?;
        duration(
            "handshake_timeout",
            self.handshake_timeout,
            Duration::from_millis(100),
            Duration::from_secs(300),
        )?;
        number("max_message_size", self.max_message_size, 1, 64 * 1024 * 1024)?;
        number("max_channels", self.max_channels, 1, 1024)?;
        number("max_sessions", self.max_sessions, 1, usize::MAX)?;
        number("max_sessions_per_identity", self.max_sessions_per_identity, 1, usize::MAX)?;
        number("max_handshakes", self.max_handshakes, 1, usize::MAX)
    }
}

/// Settings of one channel, for the direction this side sends and the one it receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelConfig {
    pub(crate) delivery: Delivery,
    pub(crate) expect: Option<Delivery>,
    pub(crate) on_reset: OnReset,
    pub(crate) outbox_messages: usize,
    pub(crate) outbox_bytes: usize,
    pub(crate) inbox_messages: usize,
    pub(crate) inbox_bytes: usize,
    pub(crate) max_attempts: u32,
}

impl ChannelConfig {
    /// A channel on which this side sends in `delivery` mode, and expects the peer to do the same.
    pub fn new(delivery: Delivery) -> Self {
        Self {
            delivery,
            expect: Some(delivery),
            on_reset: OnReset::default(),
            outbox_messages: 65_536,
            outbox_bytes: 8 * 1024 * 1024,
            inbox_messages: 65_536,
            inbox_bytes: 4 * 1024 * 1024,
            max_attempts: 5,
        }
    }

    /// The mode in which the peer must send on this label; `None` takes any. Default: the same as this side's.
    pub fn expect(mut self, delivery: Option<Delivery>) -> Self {
        self.expect = delivery;
        self
    }

    /// What becomes of messages in flight when the peer forgot the session. Default [`OnReset::Unknown`].
    pub fn on_reset(mut self, policy: OnReset) -> Self {
        self.on_reset = policy;
        self
    }

    /// Most that this side holds of unresolved messages; `send` waits, `try_send` fails when it is reached. Default
    /// 65,536 messages and 8 MiB of payload; at least 1 message, and bytes for one message of the largest size. A message
    /// costs its payload and about 64 bytes.
    pub fn outbox(mut self, messages: usize, bytes: usize) -> Self {
        self.outbox_messages = messages;
        self.outbox_bytes = bytes;
        self
    }

    /// Most that the peer may have on its way to this side or untaken here: its flow-control window. Default 65,536 messages and
    /// 4 MiB of payload; at least 1 message, and bytes for one message of the largest size.
    pub fn inbox(mut self, messages: usize, bytes: usize) -> Self {
        self.inbox_messages = messages;
        self.inbox_bytes = bytes;
        self
    }

    /// How often `recv_unacked` hands over one message before it is rejected (rule R2). Default 5; at least 1.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Checks every value, given the endpoint's largest message.
    pub(crate) fn validate(&self, max_message_size: usize) -> Result<(), ConfigError> {
        number("outbox messages", self.outbox_messages, 1, 1 << 24)?;
        number("outbox bytes", self.outbox_bytes, max_message_size, 1 << 40)?;
        number("inbox messages", self.inbox_messages, 1, 1 << 24)?;
        number("inbox bytes", self.inbox_bytes, max_message_size, 1 << 40)?;
        number("max_attempts", self.max_attempts as usize, 1, u32::MAX as usize)
    }
}

fn number(knob: &'static str, found: usize, low: usize, high: usize) -> Result<(), ConfigError> {
    if (low..=high).contains(&found) {
        return Ok(());
    }
    let wanted =
        if high == usize::MAX { format!("at least {low}") } else { format!("it must be {low} to {high}") };
    Err(ConfigError { knob, found: found.to_string(), wanted })
}

fn duration(knob: &'static str, found: Duration, low: Duration, high: Duration) -> Result<(), ConfigError> {
    if (low..=high).contains(&found) {
        return Ok(());
    }
    Err(ConfigError { knob, found: format!("{found:?}"), wanted: format!("it must be {low:?} to {high:?}") })
}
