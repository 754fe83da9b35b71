//! The plain vocabulary of the core's contract: what goes in and what comes out of a
//! [`Machine`](super::machine::Machine).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::{CloseCode, CloseReason, Outcome};
use crate::id::{Epoch, MessageId, Sequence, SessionId};
use crate::protocol::journal::Batch;
use crate::wire::{Frame, Health, PeerLimits, Secret};

mod figures;
mod lifetime;
mod undelivered;

pub use figures::{ChannelStats, Liveness, PathLiveness, ProcessLiveness, SessionStats};
pub use lifetime::{Finding, HeartbeatReason, HeartbeatState, HeartbeatStats, Lifetime, NetworkId};
pub use undelivered::{Undelivered, Whereabouts};

/// One connection, as the driver names it. Never reused within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// A channel of one machine, both directions. Never reused within a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelKey(pub u32);

/// Which side dials. Fixed for a session's life (rule S6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Mints the session, and dials again when a connection is lost.
    Dialer,
    /// Waits for the dialer.
    Acceptor,
}

/// What a machine is made from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Dialer or acceptor.
    pub role: Role,
    /// The session.
    pub session: SessionId,
    /// Its secret.
    pub secret: Secret,
    /// What the calendar shows now, in milliseconds since 1970: deadlines in a journal count on it.
    pub wall_ms: u64,
    /// All the randomness the machine will ever use: its epochs and its jitter come from here.
    pub seed: [u8; 32],
    /// How the heartbeat interval is chosen, before it is rounded to the table.
    pub heartbeat: crate::config::HeartbeatPolicy,
    /// How to dial again.
    pub reconnect: crate::config::ReconnectPolicy,
    /// How long to stay without a link.
    pub session_expiry: Duration,
    /// Dialer: how long the first link may take from its Hello to its Welcome.
    pub attach_timeout: Duration,
    /// What the peer may make us keep.
    pub limits: PeerLimits,
    /// Emit [`Output::Journal`] and wait for `handle_journaled` before anything numbered leaves (rule R4).
    pub journaled: bool,
    /// The journal survives a restart of the process, so that `received` may free the peer (rule R3).
    pub durable: bool,
}

/// A connection whose QUIC handshake is complete. Neither exporter nor credentials are ever shown.
#[derive(Clone)]
pub struct LinkInfo {
    /// TLS exporter of the connection, label `EXPORTER-bowline-attach`, no context.
    pub exporter: [u8; 32],
    /// What a session is bound to on the other side (rule S2); empty for an anonymous peer.
    pub binding: Vec<u8>,
    /// Application credentials to present (dialer), at most 4 KiB.
    pub credentials: Bytes,
}

impl std::fmt::Debug for LinkInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkInfo").field("anonymous", &self.binding.is_empty()).finish_non_exhaustive()
    }
}

/// What the driver knows of a link's transport, told before `handle_timeout`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkSample {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// ACK frames received so far: they move only if the peer got something (rule H2).
    pub acks_received: u64,
    /// UDP datagrams received so far.
    pub datagrams_received: u64,
    /// UDP datagrams sent so far.
    pub datagrams_sent: u64,
}

/// What a message takes of a link's room, see
/// [`handle_link_room`](super::machine::Machine::handle_link_room): whoever spends room and whoever gives it back count
/// alike.
pub const fn link_room(payload_bytes: usize) -> usize {
    payload_bytes + 16
}

/// Why a link is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The peer closed it with a code of this protocol.
    Closed {
        /// The code.
        code: CloseCode,
        /// The text beside it; for `Superseded` the winning counter in decimal digits.
        reason: String,
    },
    /// The transport failed: reset, timed out, local error.
    Lost(String),
}

/// What the machine wants done. Each call of `poll_output` gives one, and [`Output::Wait`] when nothing is left.
#[derive(Debug)]
pub enum Output {
    /// Send this on the link.
    Transmit {
        /// Where.
        link: LinkId,
        /// What.
        frame: Frame,
        /// How urgent its channel is; of no account for control frames and heartbeats.
        priority: i8,
    },
    /// Close the connection with this application code and reason; its `handle_link_down` may be left out.
    CloseLink {
        /// Which.
        link: LinkId,
        /// Application error code.
        code: CloseCode,
        /// UTF-8 reason; for `Superseded` the winning counter in decimal digits.
        reason: String,
    },
    /// Nothing more of this message will be written to the link: reset its stream.
    Abandon {
        /// Where.
        link: LinkId,
        /// This side's channel.
        channel: crate::id::ChannelId,
        /// Its number.
        sequence: Sequence,
    },
    /// Send a datagram of padding, as large as a QUIC packet of the smallest kind holds, beside the beat that follows (rule H4).
    Probe {
        /// Where.
        link: LinkId,
    },
    /// Give the link another local socket: the one that it has may be lost.
    Rebind {
        /// Which, a dialed one.
        link: LinkId,
    },
    /// Make a connection; answer with `handle_link_up` or `handle_dial_failed`. At most one dial is wanted at a time; a link that was
    /// made before it may still wait for its Welcome.
    Dial {
        /// From 1 for the first after a loss.
        attempt: u32,
        /// When to give the attempt up.
        timeout: Duration,
    },
    /// The dial under way is not wanted any more; no answer is expected, and one that comes is closed.
    AbortDial,
    /// Find out on a connection of its own whether this side is still reached after so much silence, and answer with
    /// `handle_finding` (rule H6). Of several sessions in a network one is enough: answer the others with
    /// `handle_found_elsewhere`.
    Measure {
        /// The network that was entered last.
        network: NetworkId,
        /// How long nothing is to leave.
        silence: Duration,
    },
    /// Drop what `Measure` began with a silence of this length or longer; no answer is expected.
    StopMeasuring {
        /// From this on.
        from: Duration,
    },
    /// What is now known of the network that was entered last, to be remembered; `None`: nothing any more.
    Learned(NetworkId, Option<Lifetime>),
    /// Make these records durable, in order, then call `handle_journaled`.
    Journal(Batch),
    /// For the application.
    Event(Event),
    /// Something that a handle may be waiting for has changed.
    Wake(Wake),
    /// Nothing more to do until something comes in, or this time.
    Wait(Option<Instant>),
}

/// What changed. Told at most once a batch and channel, not once a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// `recv` may have something, or its end.
    Readable(ChannelKey),
    /// `send` may have room, or an error.
    Writable(ChannelKey),
    /// The progress of messages has changed.
    Resolved(ChannelKey),
    /// Of a large message more has come, or less is to come.
    Transfer(ChannelKey),
    /// A label was opened by the peer.
    Incoming,
    /// Data that was told to wait may be ready now; the session's state may have changed.
    State,
}

/// Whether data of a channel may be fed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Feed it.
    Ready,
    /// The link is not attached yet, or the channel not announced: keep it, ask again after [`Wake::State`].
    Wait,
    /// The link will never be heard again: drop it.
    Gone,
}

/// What happens to a session, for its application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The first link is attached.
    Connected,
    /// The peer's address, as this side sees it, has changed.
    PathChanged {
        /// The address before.
        former: SocketAddr,
        /// The new address.
        remote: SocketAddr,
    },
    /// The peer has not answered as it should: probing.
    Suspect,
    /// The peer is heard again on the same link: a suspicion was wrong, or it is back from the background.
    Recovered,
    /// The service behind the peer takes its messages again, or does not (rule H8): connected all the same.
    Service(Health),
    /// The same of this side, as the peer is told: what is in the inboxes of this application has not been taken for five
    /// seconds, or is taken again, or the application has said how it is.
    OwnService(Health),
    /// No link: dialing again.
    Reconnecting {
        /// From 1.
        attempt: u32,
        /// How long until it starts.
        after: Duration,
    },
    /// Attached again, and the peer still knew the session.
    Resumed {
        /// Messages sent again because the peer did not have them.
        replayed: u64,
    },
    /// Attached again, but the peer had forgotten the session.
    Reset {
        /// Messages whose receipts ended in `Unknown`.
        undelivered: u64,
        /// Messages sent again, marked as redelivered.
        redelivered: u64,
    },
    /// The acceptor has no word from the peer beyond its lease, or lost its link, or was told that the peer goes away. From now on
    /// messages are held in the outbox, until `Recovered`, `Resumed` or `Reset`, or until the session expires.
    PeerOffline {
        /// Accepted messages without an outcome.
        pending: u64,
    },
    /// The reconnect policy is exhausted; `reconnect()` goes on. Outbox and receipts are kept until the session expires.
    GaveUp,
    /// The subscriber was too slow and missed this many events.
    Lagged {
        /// How many.
        missed: u64,
    },
    /// The session is over.
    Closed(CloseReason),
}

/// A session's state, for handles.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionState {
    /// The first attach is not complete.
    Connecting,
    /// A link is attached.
    Connected,
    /// No link, or none that is believed to lead anywhere; the session goes on.
    Detached,
    /// Closing: flushing what was accepted.
    Closing,
    /// Over.
    Closed(CloseReason),
}

/// How far a message has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Numbered, and in the outbox.
    Accepted,
    /// The peer's session holds the beginning of a large message.
    Partly {
        /// Bytes it holds.
        received: u64,
        /// Bytes of the message.
        size: u64,
    },
    /// The peer's session holds it.
    Received,
    /// Over.
    Resolved(Outcome),
}

/// Which messages of a channel have come further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progressed {
    /// Of this epoch of their sender. All messages of others are over.
    pub epoch: Epoch,
    /// These, half-open, in no order.
    pub ranges: Vec<(Sequence, Sequence)>,
}

/// A message handed over to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The message's name for ever; epoch and channel are the sender's.
    pub id: MessageId,
    /// The bytes.
    pub payload: Bytes,
    /// The sender could not exclude that a former incarnation of this side handled it already.
    pub redelivered: bool,
    /// From 1: how often `recv_unacked` has handed it over.
    pub attempt: u32,
    /// Messages of the sender between the one handed over before and this one that will not come: expired, withdrawn,
    /// superseded; on unreliable channels, lost or late. Counted where the channel has an order, within one epoch.
    pub skipped: u64,
    /// When it is worth nothing any more, on this side's clock.
    pub deadline: Option<Instant>,
}

/// A large message on its way here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its name.
    pub id: MessageId,
    /// Bytes of it that are here.
    pub received: u64,
    /// Bytes of all of it.
    pub size: u64,
}

/// How far a sender may go beyond its floor on one channel. Windows only grow on one link, and begin anew on the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Messages from the floor on.
    pub messages: u64,
    /// Payload bytes of those that are unresolved, large messages not counted.
    pub bytes: u64,
    /// Bytes of large messages that are unresolved.
    pub large: u64,
}

impl Window {
    /// What a sender has until the receiver says more: for channels the receiver has not opened (rule C1).
    pub const INITIAL: Self = Self { messages: 1024, bytes: 64 * 1024, large: 0 };

    /// The larger of both in each measure.
    pub fn max(self, other: Self) -> Self {
        Self {
            messages: self.messages.max(other.messages),
            bytes: self.bytes.max(other.bytes),
            large: self.large.max(other.large),
        }
    }
}

/// Why the peer of a link was not believed, or what else the acceptor decided about a Hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Hand the link and the Hello to the machine of the session that it names.
    Attach,
    /// A new session; when it is accepted, these older ones end as superseded (single login).
    Create {
        /// Sessions of the same identity.
        supersedes: Vec<SessionId>,
    },
    /// Send this, and read another Hello from the same link.
    Retry(crate::wire::Retry),
    /// Send this, and close the link.
    Refuse(crate::wire::Refuse),
}
