//! What happens in one run, on the network and in the programs, and how long each of it takes.

use std::time::Duration;

use bowline::{ChannelConfig, Config, Delivery, OnReset, ReconnectPolicy};
use bowline_netsim::Scenario;

use crate::gate::Trap;
use crate::world::Who;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) scenario: Scenario,
    /// When nothing bad happens any more: liveness is asked from here on.
    pub(crate) heal: Duration,
    /// How long everything may take to be settled after that, or after it was sent.
    pub(crate) settle: Duration,
    /// Something bad happens before.
    pub(crate) faulty: bool,
    /// By how much a deadline may be missed (rule T1).
    pub(crate) tolerance: Duration,
    pub(crate) policy: ReconnectPolicy,
    pub(crate) heartbeat: Duration,
    /// The disk of each host: how long a write takes, and whether it says that it is durable.
    pub(crate) disks: [Option<(Duration, bool)>; 2],
    pub(crate) crashes: Vec<Crash>,
    pub(crate) stops: Vec<Stop>,
    pub(crate) channels: Vec<Line>,
    pub(crate) closes: Vec<Close>,
    pub(crate) traps: Vec<Trap>,
}

/// A process dies, and another begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crash {
    pub(crate) who: Who,
    pub(crate) at: Duration,
    pub(crate) down: Duration,
}

/// A process does nothing for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) who: Who,
    pub(crate) at: Duration,
    pub(crate) length: Duration,
}

/// An application closes its session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Close {
    pub(crate) who: Who,
    /// `None`: when everything is settled.
    pub(crate) at: Option<Duration>,
    pub(crate) drain: Duration,
}

/// A channel, and what both sides do with it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) delivery: Delivery,
    pub(crate) redeliver: bool,
    /// Messages and bytes that outbox and inbox hold.
    pub(crate) outbox: (usize, usize),
    pub(crate) inbox: (usize, usize),
    /// What each side says.
    pub(crate) talks: [Talk; 2],
    /// How each side listens.
    pub(crate) listens: [Listen; 2],
}

/// What one side says on a channel.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) messages: u32,
    pub(crate) gap: Duration,
    /// It talks for [`TALK`] and then says nothing for this long, in turn.
    pub(crate) silence: Option<Duration>,
    pub(crate) size: (usize, usize),
    /// The share of messages, in per cent, that are large: of 64 KiB to this.
    pub(crate) large: (u64, usize),
    pub(crate) deadline: Option<Duration>,
    /// The share of messages, in per cent, that are withdrawn.
    pub(crate) withdrawn: u64,
}

/// How long one talks between two silences.
pub(crate) const TALK: Duration = Duration::from_secs(10);

/// How one side listens on a channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listen {
    /// It acknowledges by itself, and these shares, in per cent, it gives back or refuses.
    pub(crate) unacked: Option<(u64, u64)>,
    /// How long it takes for each message, before the network heals.
    pub(crate) pace: Duration,
    /// When it takes nothing, and for how long.
    pub(crate) pauses: Vec<(Duration, Duration)>,
}

impl Talk {
    /// Short lines of text, one each `gap`.
    pub(crate) fn chat(messages: u32, gap: Duration) -> Self {
        Self { messages, gap, silence: None, size: (16, 200), large: (0, 0), deadline: None, withdrawn: 0 }
    }

    pub(crate) fn silent() -> Self {
        Self::chat(0, Duration::ZERO)
    }
}

impl Line {
    /// A channel with the limits that applications have by default, on which both sides talk alike.
    pub(crate) fn new(label: &str, delivery: Delivery, talk: Talk) -> Self {
        let outbox = if delivery.is_reliable() { (65_536, 8 << 20) } else { (1_024, 1 << 20) };
        Self {
            label: label.into(),
            delivery,
            redeliver: false,
            outbox,
            inbox: (65_536, 4 << 20),
            talks: [talk.clone(), talk],
            listens: Default::default(),
        }
    }

    pub(crate) fn config(&self) -> ChannelConfig {
        let on_reset = if self.redeliver { OnReset::Redeliver } else { OnReset::Unknown };
        ChannelConfig::new(self.delivery)
            .on_reset(on_reset)
            .outbox(self.outbox.0, self.outbox.1)
            .inbox(self.inbox.0, self.inbox.1)
            .large(LARGE_BYTES, LARGE_BYTES)
    }
}

/// Room for large messages in either direction: two of the largest.
pub(crate) const LARGE_BYTES: usize = 2 * MESSAGE_MAX;

/// The largest message.
pub(crate) const MESSAGE_MAX: usize = 320 * 1024;

impl Plan {
    /// A run over a scenario in which both sides talk on these channels, and nothing else happens.
    pub(crate) fn new(seed: u64, scenario: Scenario, channels: Vec<Line>) -> Self {
        Self {
            seed,
            heal: scenario.duration(),
            settle: secs(20),
            faulty: true,
            tolerance: secs(1),
            policy: ReconnectPolicy::Responsive,
            heartbeat: secs(2),
            disks: [None, None],
            crashes: Vec::new(),
            stops: Vec::new(),
            closes: Vec::new(),
            traps: Vec::new(),
            scenario,
            channels,
        }
    }

    pub(crate) fn config(&self) -> Config {
        Config::default()
            .heartbeat(self.heartbeat)
            .reconnect(self.policy)
            .max_message_size(MESSAGE_MAX)
            .one_session_per_identity(true)
    }
}
