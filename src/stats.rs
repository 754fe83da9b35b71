//! Figures of endpoints, sessions and channels: plain snapshots, taken when asked for.

pub use crate::protocol::types::{ChannelStats, Liveness, PathLiveness, ProcessLiveness, SessionStats};

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
    /// Incoming connections turned away since the endpoint was made.
    pub refused: u64,
    /// Datagrams dropped because they are not of one byte, as heartbeats are.
    pub dropped_datagrams: u64,
}
