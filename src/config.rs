//! Every knob: what it does, its default, its unit, its limits and what it costs in memory.
//!
//! [`Config`] belongs to an endpoint and all its sessions, [`ChannelConfig`] to one channel. Both are plain
//! values with by-value setters; they are checked as a whole where they are first used, and the error names the
//! knob.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::error::ConfigError;

mod heartbeat;

pub use heartbeat::{HeartbeatPolicy, Power};

/// How a channel delivers: chosen by its sender, told to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// At most once, in any order, never sent again: what the network loses is lost. For samples that soon come anew.
    Unreliable,
    /// The same, and never an older message after a newer one. For positions, voice, cursors.
    UnreliableSequenced,
    /// Every message, once, as soon as it is there: a lost packet delays only the messages inside it.
    ReliableUnordered,
    /// Every message, once, in order.
    ReliableOrdered,
    /// The newest message always arrives; older ones that were not handed over by then do not. For states.
    ReliableLatest,
}

impl Delivery {
    /// Every mode.
    pub const ALL: [Self; 5] = [
        Self::Unreliable,
        Self::UnreliableSequenced,
        Self::ReliableUnordered,
        Self::ReliableOrdered,
        Self::ReliableLatest,
    ];

    /// Whether each message has an outcome that the receiver has a word in.
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::ReliableUnordered | Self::ReliableOrdered | Self::ReliableLatest)
    }

    /// Whether messages are handed over with ascending numbers only.
    pub const fn is_ordered(self) -> bool {
        !matches!(self, Self::Unreliable | Self::ReliableUnordered)
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreliable => "unreliable",
            Self::UnreliableSequenced => "unreliable-sequenced",
            Self::ReliableUnordered => "reliable-unordered",
            Self::ReliableOrdered => "reliable-ordered",
            Self::ReliableLatest => "reliable-latest",
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

/// What happens to a message for which the outbox has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// `send` waits for room; `try_send` fails with [`SendError::Full`](crate::SendError::Full).
    Wait,
    /// Both fail with [`SendError::Full`](crate::SendError::Full).
    Error,
    /// The oldest message that was not yet given to the network makes room, and ends as
    /// [`Outcome::Dropped`](crate::Outcome::Dropped). On unreliable channels only.
    DropOldest,
}

/// What is said of one message beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    pub(crate) lifetime: Option<Lifetime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    For(Duration),
    Until(Instant),
    Ever,
}

impl SendOptions {
    /// What the channel's configuration says.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long from now on the message is worth anything; it is not handed over later. Above zero; of more than
    /// 292 years nothing is kept but that it is long. Replaces the channel's.
    pub fn deadline(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(Lifetime::For(lifetime));
        self
    }

    /// The same, until a time of the endpoint's clock.
    pub fn deadline_at(mut self, deadline: Instant) -> Self {
        self.lifetime = Some(Lifetime::Until(deadline));
        self
    }

    /// The message does not expire, even if the channel has a deadline.
    pub fn no_deadline(mut self) -> Self {
        self.lifetime = Some(Lifetime::Ever);
        self
    }
}

/// How a session dials again when its connection is lost (rule T5). Waits are shortened at random by up to 25 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReconnectPolicy {
    /// After 0, 2, 4, 8, 16, 32 and 64 s, then it gives up until asked (`Session::reconnect`).
    Standard,
    /// After 0, 125, 250 and 500 ms, then every second, for ever; counted from the beginning of the attempt before.
    Responsive,
}

/// Settings of an endpoint and its sessions.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) heartbeat: HeartbeatPolicy,
    pub(crate) network_memory: Option<PathBuf>,
    pub(crate) reconnect: ReconnectPolicy,
    pub(crate) session_expiry: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) max_message_size: usize,
    pub(crate) max_channels: usize,
    pub(crate) max_sessions: usize,
    pub(crate) max_sessions_per_identity: usize,
    pub(crate) max_handshakes: usize,
    pub(crate) max_probes: usize,
    pub(crate) one_session_per_identity: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat: HeartbeatPolicy::Fixed(Duration::from_secs(15)),
            network_memory: None,
            reconnect: ReconnectPolicy::Standard,
            session_expiry: Duration::from_secs(600),
            handshake_timeout: Duration::from_secs(10),
            max_message_size: 64 * 1024 * 1024,
            max_channels: 256,
            max_sessions: 10_000,
            max_sessions_per_identity: 64,
            max_handshakes: 256,
            max_probes: 256,
            one_session_per_identity: false,
        }
    }
}

impl Config {
    /// How often a dialer proves an idle path alive, with one byte: always after the same time, or as rarely as its
    /// network allows, see [`HeartbeatPolicy`]. Default 15 s; 2 s to 270 s. Rounded down to the next of 2, 3, 5, 8, 10,
    /// 12, 15, 20, 25, 30, 45, 60, 90, 120, 180 or 270 s, because the interval is promised to the peer in four bits.
    /// Traffic that the peer acknowledges replaces beats.
    ///
    /// ```
    /// use bowline::{Config, HeartbeatPolicy, Power};
    /// use std::time::Duration;
    ///
    /// let often = Config::default().heartbeat(Duration::from_secs(5));
    /// let phone = Config::default().heartbeat(HeartbeatPolicy::adaptive(Power::Battery));
    /// ```
    pub fn heartbeat(mut self, policy: impl Into<HeartbeatPolicy>) -> Self {
        self.heartbeat = policy.into();
        self
    }

    /// A file that remembers what was learned of networks, for dialers with an adaptive heartbeat: up to 64 networks,
    /// each for 30 days, some 70 bytes of text each. It is made if it is not there, and replaced as a whole; what is not
    /// such a file is reported in the log, not read, and replaced. Of two processes with one file the last to write
    /// wins. Default `None`: remembered by the endpoint, as long as it lives.
    pub fn network_memory(mut self, path: impl Into<PathBuf>) -> Self {
        self.network_memory = Some(path.into());
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

    /// Largest payload sent or taken, in bytes. Default 64 MiB; 1 byte to 64 MiB. The peer's limit counts too. What is
    /// received takes memory as it comes, within the windows of its channel.
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

    /// Connections of dialers that find out how long their NATs remember them (rule H6), served at once by an accepting
    /// endpoint; further ones are refused, and so are more than 8 of one identity, or of one address without an identity.
    /// Default 256; 0 serves none. Each costs about 50 KiB of QUIC state for up to 10 minutes, and some 20 packets.
    pub fn max_probes(mut self, connections: usize) -> Self {
        self.max_probes = connections;
        self
    }

    /// Single login: a new session of an identity, once confirmed, ends the ones it had, as superseded (rule S2). Default off.
    /// Anonymous dialers are not affected.
    pub fn one_session_per_identity(mut self, single: bool) -> Self {
        self.one_session_per_identity = single;
        self
    }

    /// Checks every value.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        self.heartbeat.validate()?;
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

/// The largest message that travels in line with the others of its channel, in bytes. A larger one is *large*: it has a
/// stream and a budget of its own, and others pass it on the way.
pub const LARGE: usize = 64 * 1024;

/// Settings of one channel, for the direction this side sends and the one it receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelConfig {
    pub(crate) delivery: Delivery,
    pub(crate) expect: Option<Delivery>,
    pub(crate) on_reset: OnReset,
    pub(crate) when_full: WhenFull,
    pub(crate) deadline: Option<Duration>,
    pub(crate) priority: i8,
    pub(crate) weight: u8,
    pub(crate) outbox_messages: usize,
    pub(crate) outbox_bytes: usize,
    pub(crate) outbox_large: usize,
    pub(crate) inbox_messages: usize,
    pub(crate) inbox_bytes: usize,
    pub(crate) inbox_large: usize,
    pub(crate) max_attempts: u32,
}

impl ChannelConfig {
    /// A channel on which this side sends in `delivery` mode, and expects the peer to do the same.
    pub fn new(delivery: Delivery) -> Self {
        let (outbox_messages, outbox_bytes, when_full) = match delivery.is_reliable() {
            true => (65_536, 8 * 1024 * 1024, WhenFull::Wait),
            false => (1_024, 1024 * 1024, WhenFull::DropOldest),
        };
        Self {
            delivery,
            expect: Some(delivery),
            on_reset: OnReset::default(),
            when_full,
            deadline: None,
            priority: 0,
            weight: 1,
            outbox_messages,
            outbox_bytes,
            outbox_large: 64 * 1024 * 1024,
            inbox_messages: 65_536,
            inbox_bytes: 4 * 1024 * 1024,
            inbox_large: 64 * 1024 * 1024,
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

    /// What happens to a message for which the outbox has no room. Default [`WhenFull::Wait`], and on unreliable channels
    /// [`WhenFull::DropOldest`].
    pub fn when_full(mut self, policy: WhenFull) -> Self {
        self.when_full = policy;
        self
    }

    /// How long a message is worth anything after it was sent, unless [`SendOptions`] say otherwise. Then it is not
    /// handed over any more, its memory is freed at both ends, and its receipt ends as
    /// [`Outcome::Expired`](crate::Outcome::Expired). Default `None`: for ever. Above zero.
    pub fn deadline(mut self, lifetime: Option<Duration>) -> Self {
        self.deadline = lifetime;
        self
    }

    /// Channels of a higher priority are written first, whatever waits on others. Default 0.
    pub fn priority(mut self, priority: i8) -> Self {
        self.priority = priority;
        self
    }

    /// Among channels of one priority that have something to write, each gets a share in proportion to its weight. Default
    /// 1; at least 1.
    pub fn weight(mut self, weight: u8) -> Self {
        self.weight = weight;
        self
    }

    /// Most that this side holds of unresolved messages, [large](Self::large) ones not counted; beyond it [`when_full`](Self::when_full)
    /// decides. Default 65,536 messages and 8 MiB of payload, and on unreliable channels 1,024 messages and 1 MiB; at
    /// least 1 message, and bytes for one message of 64 KiB, or of `max_message_size` if that is less. A message costs its
    /// payload and about 80 bytes.
    pub fn outbox(mut self, messages: usize, bytes: usize) -> Self {
        self.outbox_messages = messages;
        self.outbox_bytes = bytes;
        self
    }

    /// Most that the peer may have on its way to this side or untaken here: its flow-control window. Default 65,536 messages and
    /// 4 MiB of payload; at least 1 message, and bytes for one message of 64 KiB, or of `max_message_size` if that is less.
    /// 1,024 messages and 64 KiB of a reliable channel may come whatever this says: the peer may send them before this side opens
    /// the label. On an unreliable channel the oldest message makes room for a new one.
    pub fn inbox(mut self, messages: usize, bytes: usize) -> Self {
        self.inbox_messages = messages;
        self.inbox_bytes = bytes;
        self
    }

    /// Most bytes of *large* messages (of more than 64 KiB) that this side holds unresolved, and that the peer may have
    /// on their way to this side or untaken here. They count nowhere else. Default 64 MiB each; at least
    /// `max_message_size`, and of no account if that is 64 KiB or less.
    pub fn large(mut self, outbox_bytes: usize, inbox_bytes: usize) -> Self {
        self.outbox_large = outbox_bytes;
        self.inbox_large = inbox_bytes;
        self
    }

    /// How often `recv_unacked` hands over one message before it is rejected (rule R2). Default 5; at least 1.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Checks every value, given the endpoint's largest message.
    pub(crate) fn validate(&self, max_message_size: usize) -> Result<(), ConfigError> {
        let small = max_message_size.min(LARGE);
        number("outbox messages", self.outbox_messages, 1, 1 << 24)?;
        number("outbox bytes", self.outbox_bytes, small, 1 << 40)?;
        number("inbox messages", self.inbox_messages, 1, 1 << 24)?;
        number("inbox bytes", self.inbox_bytes, small, 1 << 40)?;
        if max_message_size > LARGE {
            number("large outbox_bytes", self.outbox_large, max_message_size, 1 << 40)?;
            number("large inbox_bytes", self.inbox_large, max_message_size, 1 << 40)?;
        }
        number("weight", self.weight.into(), 1, 255)?;
        number("max_attempts", self.max_attempts as usize, 1, u32::MAX as usize)?;
        if let Some(lifetime) = self.deadline {
            duration(
                "deadline",
                lifetime,
                Duration::from_millis(1),
                Duration::from_secs(100 * 365 * 86_400),
            )?;
        }
        self.validate_mode()
    }

    /// Checks what the mode rules out.
    fn validate_mode(&self) -> Result<(), ConfigError> {
        let contradiction = |knob, found: &str, wanted: &str| {
            let wanted = format!("the channel is {}, {wanted}", self.delivery);
            Err(ConfigError { knob, found: found.to_owned(), wanted })
        };
        if self.when_full == WhenFull::DropOldest && self.delivery.is_reliable() {
            return contradiction(
                "when_full",
                "DropOldest",
                "which drops nothing: choose `Wait` or `Error`, or an unreliable mode",
            );
        }
        if self.on_reset == OnReset::Redeliver && !self.delivery.is_reliable() {
            return contradiction(
                "on_reset",
                "Redeliver",
                "which never sends again: choose `Unknown`, or a reliable mode",
            );
        }
        Ok(())
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
