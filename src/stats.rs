//! Figures of endpoints, sessions and channels: plain snapshots, taken when asked for.
//!
//! # Metrics
//!
//! With the feature `metrics`, which is off by default, sessions also publish their figures through the facade
//! [`metrics`](https://docs.rs/metrics), version 0.24: for whichever recorder the application has installed before its
//! sessions begin. A session publishes what has changed at most once a second while it does something, and once more
//! when it is over; what is taken from its inboxes after that is not published. Counters and gauges are sums over all
//! sessions of the process.
//!
//! Figures of channels carry one label, `channel`: the label of the channel, and nothing of session or peer. Channels
//! that only the peer has opened are not published. A process tells the first 128 labels apart; all others are one,
//! `(other)`, because a recorder keeps each label for ever.
//!
//! | counter, by `channel` | from [`ChannelStats`] |
//! |---|---|
//! | `bowline_messages_accepted_total` | `accepted` |
//! | `bowline_messages_handled_total` | `handled` |
//! | `bowline_messages_rejected_total` | `rejected` |
//! | `bowline_messages_expired_total` | `expired` |
//! | `bowline_messages_superseded_total` | `superseded` |
//! | `bowline_messages_cancelled_total` | `cancelled` |
//! | `bowline_messages_dropped_total` | `dropped` |
//! | `bowline_messages_unknown_total` | `unknown` |
//! | `bowline_messages_replayed_total` | `replayed` |
//! | `bowline_messages_retransmitted_total` | `retransmitted` |
//! | `bowline_messages_received_total` | `received` |
//! | `bowline_messages_delivered_total` | `delivered` |
//! | `bowline_messages_duplicates_total` | `duplicates` |
//! | `bowline_messages_stale_total` | `stale` |
//! | `bowline_messages_late_total` | `late` |
//! | `bowline_messages_overflowed_total` | `overflowed` |
//! | `bowline_messages_missing_total` | `missing` |
//!
//! | gauge, by `channel` | from [`ChannelStats`] |
//! |---|---|
//! | `bowline_outbox_messages`, `bowline_outbox_bytes` | `outbox_messages`, `outbox_bytes` |
//! | `bowline_inbox_messages`, `bowline_inbox_bytes` | `inbox_messages`, `inbox_bytes` |
//! | `bowline_partial_bytes` | `partial_bytes` |
//!
//! | histogram, sampled when a session publishes | from |
//! |---|---|
//! | `bowline_outbox_delay_seconds`, by `channel` | [`ChannelStats::outbox_delay`], unless zero |
//! | `bowline_rtt_seconds` | [`SessionStats::rtt`], unless zero |
//!
//! | of sessions, without label | |
//! |---|---|
//! | `bowline_attaches_total`, `bowline_resumes_total`, `bowline_resets_total`, `bowline_path_changes_total`, `bowline_fenced_frames_total` | counters, from [`SessionStats`] |
//! | `bowline_beats_sent_total`, `bowline_beats_received_total` | counters, from [`SessionStats`] |
//! | `bowline_sessions`, `bowline_sessions_attached`, `bowline_channels` | gauges: sessions alive, those of them with a connection, channels open |

pub use crate::protocol::types::{
    ChannelStats, HeartbeatReason, HeartbeatState, HeartbeatStats, Liveness, PathLiveness, ProcessLiveness,
    SessionStats,
};

/// Counters and gauges of one endpoint. A snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Sessions alive, accepted and dialed.
    pub sessions: usize,
    /// Those of them that have a connection now.
    pub attached: usize,
    /// Incoming connections that have not attached to a session yet.
    pub handshakes: usize,
    /// Those of them that wait for `accept` or for the application's decision.
    pub waiting: usize,
    /// Connections of dialers that find out how long their NATs remember them (rule H6), served now.
    pub probes: usize,
    /// Incoming connections turned away since the endpoint was made.
    pub refused: u64,
    /// Datagrams dropped: padding of probes, kinds of a later version, and messages or fragments of channels that the peer
    /// has not announced yet on the connection that brought them.
    pub dropped_datagrams: u64,
}
