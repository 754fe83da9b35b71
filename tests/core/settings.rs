//! What a run is like, and what has happened in it.

use std::time::Duration;

use bowline::config::{ChannelConfig, Delivery, HeartbeatPolicy, OnReset, Power, ReconnectPolicy, WhenFull};
use bowline::id::SessionId;
use bowline::protocol::types::{Role, Setup, Window};
use bowline::wire::{PeerLimits, Secret};

use crate::link::{Side, Weather};
use crate::rng::Rng;

/// Largest message of a directed test, unless it says otherwise, and of the properties, in bytes.
pub(crate) const MAX_MESSAGE: usize = 96 * 1024;
pub(crate) const MAX_BODY: usize = 300 * 1024;

/// Most bytes of large messages that a channel holds, either way.
pub(crate) const MAX_LARGE: usize = 1 << 20;

/// The largest window that any channel grants.
pub(crate) fn granted() -> Window {
    Window { messages: 2048, bytes: 256 * 1024, large: MAX_LARGE as u64 }
}

/// What stays the same in a run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) weather: Weather,
    /// Whether dialer and acceptor have a store.
    pub(crate) stores: [bool; 2],
    pub(crate) store_ms: (u64, u64),
    pub(crate) policy: ReconnectPolicy,
    pub(crate) heartbeat: Duration,
    /// The heartbeat is learned instead.
    pub(crate) adaptive: Option<Power>,
    pub(crate) expiry: Duration,
    /// QUIC's acknowledgements are seen, so that traffic replaces beats.
    pub(crate) acks: bool,
    /// Bytes of room a link has, from and to.
    pub(crate) room: (u64, u64),
    /// In so many of a hundred cases what was under way on a closed link is still fed to the machine.
    pub(crate) late: u64,
    /// In so many of a hundred restarts the application opens its labels only later.
    pub(crate) slow_apps: u64,
    /// In so many of a hundred cases a message arrives again.
    pub(crate) copies: u64,
    pub(crate) max_message: [usize; 2],
    pub(crate) max_channels: u32,
    pub(crate) one_per_identity: bool,
    /// How dialer and acceptor send on each label of a plan, and what else decides about its channels.
    pub(crate) modes: [[Delivery; 2]; 3],
    pub(crate) shapes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            weather: Weather::CALM,
            stores: [false, false],
            store_ms: (1, 1),
            policy: ReconnectPolicy::Standard,
            heartbeat: Duration::from_secs(15),
            adaptive: None,
            expiry: Duration::from_secs(600),
            acks: true,
            room: (64 * 1024, 64 * 1024),
            late: 0,
            slow_apps: 0,
            copies: 0,
            max_message: [MAX_MESSAGE; 2],
            max_channels: 16,
            one_per_identity: false,
            modes: [[Delivery::ReliableOrdered; 2]; 3],
            shapes: 0,
        }
    }
}

/// Faults that really happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cuts: u64,
    pub(crate) frames_lost: u64,
    pub(crate) silences: u64,
    pub(crate) dials: u64,
    pub(crate) dial_failures: u64,
    pub(crate) superseded: u64,
    pub(crate) stale: u64,
    pub(crate) forgotten: u64,
    pub(crate) refused_links: u64,
    pub(crate) fenced: u64,
    pub(crate) waited: u64,
    pub(crate) acceptor_forgot: u64,
    pub(crate) dialer_forgot: u64,
    pub(crate) restores: u64,
    pub(crate) tails_lost: u64,
    pub(crate) jumps: u64,
    pub(crate) resets: u64,
    pub(crate) resumes: u64,
    pub(crate) suspected: u64,
    pub(crate) recovered: u64,
    pub(crate) gave_up: u64,
    pub(crate) closed: u64,
    /// Acceptors that were without a link for too long.
    pub(crate) expired: u64,
    pub(crate) duplicates: u64,
    pub(crate) late_links: u64,
    pub(crate) contradictions: u64,
    pub(crate) replays: u64,
    pub(crate) copies: u64,
    pub(crate) forgotten_channels: u64,
    /// Of data: datagrams, those that were lost, held several messages, came too early or too late for their lane,
    /// reliable messages that did not fit one, and pieces of unreliable messages.
    pub(crate) datagrams: u64,
    pub(crate) datagrams_lost: u64,
    pub(crate) shared_datagrams: u64,
    pub(crate) datagrams_early: u64,
    pub(crate) datagrams_gone: u64,
    pub(crate) outgrown: u64,
    pub(crate) fragments: u64,
    /// Streams of large messages, those that went on from the middle, those that were reset, and pieces on them.
    pub(crate) bodies: u64,
    pub(crate) resumed_bodies: u64,
    pub(crate) abandoned_bodies: u64,
    pub(crate) pieces: u64,
}

/// What a machine of this world is made from.
pub(crate) fn setup(
    settings: &Settings,
    side: Side,
    session: SessionId,
    secret: Secret,
    rng: &mut Rng,
    at_ms: u64,
) -> Setup {
    let role = if side == Side::Dialer { Role::Dialer } else { Role::Acceptor };
    let index = usize::from(side == Side::Acceptor);
    Setup {
        role,
        session,
        secret,
        wall_ms: 1_700_000_000_000 + at_ms,
        seed: rng.bytes(),
        heartbeat: settings.adaptive.map_or(settings.heartbeat.into(), HeartbeatPolicy::adaptive),
        reconnect: settings.policy,
        session_expiry: settings.expiry,
        attach_timeout: Duration::from_secs(10),
        limits: PeerLimits {
            max_message_size: settings.max_message[index] as u64,
            max_channels: settings.max_channels,
        },
        journaled: settings.stores[index],
        durable: settings.stores[index],
    }
}

/// What one side makes of a channel.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) delivery: Delivery,
    /// How the other side sends.
    pub(crate) expect: Delivery,
    /// Messages and bytes.
    pub(crate) outbox: (usize, usize),
    pub(crate) inbox: (usize, usize),
    /// Bytes of large messages, out and in.
    pub(crate) large: (usize, usize),
    pub(crate) redeliver: bool,
    pub(crate) attempts: u32,
    pub(crate) deadline: Option<Duration>,
    pub(crate) when_full: WhenFull,
    pub(crate) priority: i8,
    pub(crate) weight: u8,
}

impl Shape {
    /// Both sides send in order, within windows that hold what a test says.
    pub(crate) fn plain() -> Self {
        Self {
            delivery: Delivery::ReliableOrdered,
            expect: Delivery::ReliableOrdered,
            outbox: (1000, 1 << 20),
            inbox: (2000, MAX_MESSAGE * 2),
            large: (MAX_LARGE, MAX_LARGE),
            redeliver: false,
            attempts: 3,
            deadline: None,
            when_full: WhenFull::Wait,
            priority: 0,
            weight: 1,
        }
    }

    pub(crate) fn config(&self) -> ChannelConfig {
        let on_reset = if self.redeliver { OnReset::Redeliver } else { OnReset::Unknown };
        ChannelConfig::new(self.delivery)
            .expect(Some(self.expect))
            .outbox(self.outbox.0, self.outbox.1)
            .inbox(self.inbox.0, self.inbox.1)
            .large(self.large.0, self.large.1)
            .on_reset(on_reset)
            .max_attempts(self.attempts)
            .deadline(self.deadline)
            .when_full(self.when_full)
            .priority(self.priority)
            .weight(self.weight)
    }
}
