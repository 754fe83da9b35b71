//! Figures of channels and sessions, as `stats()` gives them.

use std::time::Duration;

use super::lifetime::HeartbeatStats;
use crate::wire::Health;

/// Counters and gauges of one channel. A snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStats {
    /// Messages accepted by `send`.
    pub accepted: u64,
    /// Messages ended as handled.
    pub handled: u64,
    /// Messages ended as rejected.
    pub rejected: u64,
    /// Messages ended as expired.
    pub expired: u64,
    /// Messages ended as superseded.
    pub superseded: u64,
    /// Messages ended as cancelled.
    pub cancelled: u64,
    /// Messages ended as dropped, because the outbox was full.
    pub dropped: u64,
    /// Messages ended as unknown. On an unreliable channel: all that were given to the network.
    pub unknown: u64,
    /// Messages written to a link again after a reconnect.
    pub replayed: u64,
    /// Messages of unordered channels written again because a datagram was lost, or its acknowledgement late.
    pub retransmitted: u64,
    /// Messages in the outbox now.
    pub outbox_messages: usize,
    /// Payload bytes in the outbox now.
    pub outbox_bytes: usize,
    /// How long the oldest message that was never given to the network has waited for it; zero without one.
    pub outbox_delay: Duration,
    /// Messages received for the first time.
    pub received: u64,
    /// Messages received again and dropped.
    pub duplicates: u64,
    /// Messages not handed over because a newer one had come (sequenced and latest channels), or because they came
    /// more than 1,024 messages late (unreliable channels).
    pub stale: u64,
    /// Messages not handed over because their deadline had passed.
    pub late: u64,
    /// Messages not handed over because the inbox was full (unreliable channels).
    pub overflowed: u64,
    /// Unreliable messages that never came, as gaps in their numbers show when 1,024 newer ones have come.
    pub missing: u64,
    /// Messages handed to the application, first time.
    pub delivered: u64,
    /// Messages received and not yet taken or acknowledged by the application.
    pub inbox_messages: usize,
    /// Payload bytes of those.
    pub inbox_bytes: usize,
    /// Bytes of large messages that are here in part.
    pub partial_bytes: usize,
}

impl ChannelStats {
    /// Both together: counters and gauges added, of delays the longer.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            handled: self.handled + other.handled,
            rejected: self.rejected + other.rejected,
            expired: self.expired + other.expired,
            superseded: self.superseded + other.superseded,
            cancelled: self.cancelled + other.cancelled,
            dropped: self.dropped + other.dropped,
            unknown: self.unknown + other.unknown,
            replayed: self.replayed + other.replayed,
            retransmitted: self.retransmitted + other.retransmitted,
            outbox_messages: self.outbox_messages + other.outbox_messages,
            outbox_bytes: self.outbox_bytes + other.outbox_bytes,
            outbox_delay: self.outbox_delay.max(other.outbox_delay),
            received: self.received + other.received,
            duplicates: self.duplicates + other.duplicates,
            stale: self.stale + other.stale,
            late: self.late + other.late,
            overflowed: self.overflowed + other.overflowed,
            missing: self.missing + other.missing,
            delivered: self.delivered + other.delivered,
            inbox_messages: self.inbox_messages + other.inbox_messages,
            inbox_bytes: self.inbox_bytes + other.inbox_bytes,
            partial_bytes: self.partial_bytes + other.partial_bytes,
        }
    }
}

/// Counters and gauges of one session. A snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Links attached so far, the first included.
    pub attaches: u64,
    /// Attaches after which the peer still knew the session.
    pub resumes: u64,
    /// Attaches after which it did not.
    pub resets: u64,
    /// Times that the peer's address has changed on a link.
    pub path_changes: u64,
    /// Frames of fenced links that were ignored.
    pub fenced_frames: u64,
    /// Beats sent.
    pub beats_sent: u64,
    /// Beats and answers received.
    pub beats_received: u64,
    /// Round-trip time of the attached link as QUIC estimates it; zero without one.
    pub rtt: Duration,
    /// The interval between beats, and what is known of the network that it fits.
    pub heartbeat: HeartbeatStats,
    /// Channels open, either side.
    pub channels: usize,
    /// Accepted messages without an outcome.
    pub unresolved: u64,
    /// All channels that this side has opened together, those included that are gone, but of the latest 1,024; of delays the
    /// longest.
    pub total: ChannelStats,
    /// What is believed of the peer.
    pub liveness: Liveness,
}

/// What is believed of path, peer process and peer service, kept apart (rule H8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Liveness {
    /// The attached link.
    pub path: PathLiveness,
    /// The peer's process.
    pub process: ProcessLiveness,
    /// The application behind it, as last told; means nothing while the process is silent.
    pub service: Health,
    /// This side's application, as the peer is told.
    pub own_service: Health,
}

/// See [`Liveness::path`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathLiveness {
    /// No link is attached.
    #[default]
    Down,
    /// Answers come.
    Alive,
    /// Probes are unanswered; on the accepting side, nothing is heard, or the peer said that it goes away.
    Suspect,
}

/// See [`Liveness::process`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessLiveness {
    /// Nothing is known yet, or the evidence is on a suspect path only.
    #[default]
    Unknown,
    /// It answered on some path.
    Alive,
    /// Nothing answers on any path: neither the old link nor a new dial.
    Unreachable,
}
