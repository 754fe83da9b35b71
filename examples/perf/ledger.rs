//! What one side knows of what it sends: from the statistics of its channels, and from its own clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bowline::Channel;
use bowline::stats::ChannelStats;

use crate::control::Sent;

/// When was sent. Written by the tasks that send.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    first_ns: AtomicU64,
    last_ns: AtomicU64,
    settled_ns: AtomicU64,
}

impl Times {
    /// Messages were sent at this time.
    pub(crate) fn sent(&self, now: u64) {
        // All who send run on one thread, one after the other.
        if self.0.first_ns.load(Relaxed) == 0 {
            self.0.first_ns.store(now, Relaxed);
        }
        self.0.last_ns.store(now, Relaxed);
    }

    /// Everything has its outcome.
    pub(crate) fn settled(&self, now: u64) {
        self.0.settled_ns.fetch_max(now, Relaxed);
    }
}

/// The sender's account of one part of a run.
#[derive(Debug)]
pub(crate) struct Ledger {
    channels: Vec<Channel>,
    before: ChannelStats,
    times: Times,
}

impl Ledger {
    pub(crate) fn new(channels: Vec<Channel>) -> Self {
        Self { channels, before: ChannelStats::default(), times: Times::default() }
    }

    /// Starts from nothing.
    pub(crate) fn begin(&mut self) -> Times {
        self.before = total(&self.channels);
        self.times = Times::default();
        self.times.clone()
    }

    /// The account as it stands.
    pub(crate) fn sent(&self) -> Sent {
        let cells = &self.times.0;
        let times = Sent {
            first_ns: cells.first_ns.load(Relaxed),
            last_ns: cells.last_ns.load(Relaxed),
            settled_ns: cells.settled_ns.load(Relaxed),
            ..Sent::default()
        };
        let (now, before) = (total(&self.channels), self.before);
        Sent {
            sent: now.accepted - before.accepted,
            handled: now.handled - before.handled,
            superseded: now.superseded - before.superseded,
            expired: now.expired - before.expired,
            unknown: now.unknown - before.unknown,
            dropped: now.dropped - before.dropped,
            ..times
        }
    }
}

/// What the channels have counted together, of what a ledger is about.
fn total(channels: &[Channel]) -> ChannelStats {
    channels.iter().map(Channel::stats).fold(ChannelStats::default(), |mut sum, stats| {
        sum.accepted += stats.accepted;
        sum.handled += stats.handled;
        sum.superseded += stats.superseded;
        sum.expired += stats.expired;
        sum.unknown += stats.unknown;
        sum.dropped += stats.dropped;
        sum
    })
}
