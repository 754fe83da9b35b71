//! The figures that the checkers hold a history against.

use std::time::Duration;

/// The figures that the checkers hold a history against. What is not said is not judged, except that by
/// default deadlines have no tolerance and nothing may be left open at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub(super) open_at_end: bool,
    pub(super) tolerance: Duration,
    pub(super) connected_within: Option<Duration>,
    pub(super) drained_within: Option<Duration>,
    pub(super) independent_within: Option<Duration>,
    pub(super) dials: Option<Rate>,
    pub(super) packets: Option<Rate>,
}

/// At most so many in any window of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) most: usize,
    pub(super) window: Duration,
}

impl Bounds {
    /// Everything is settled at the end, deadlines are exact, and no time and no rate is bounded.
    pub fn new() -> Self {
        Self::default()
    }

    /// The history ends in the middle: what is open at its end may still be settled later (G1, G8).
    #[must_use]
    pub fn open_at_end(mut self) -> Self {
        self.open_at_end = true;
        self
    }

    /// By how much the clocks of two peers may disagree about a deadline (G4, G7).
    #[must_use]
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Peers are connected this long after the network has healed (G13).
    #[must_use]
    pub fn connected_within(mut self, time: Duration) -> Self {
        self.connected_within = Some(time);
        self
    }

    /// The sender knows the end of a reliable message this long after the network has healed, or after the
    /// message was accepted, whichever is later (G13).
    #[must_use]
    pub fn drained_within(mut self, time: Duration) -> Self {
        self.drained_within = Some(time);
        self
    }

    /// While a channel is stalled, reliable messages of the others are handed over within this time (G14), or within this
    /// time of what was sent before them on the same channel: a slow receiver, and a slow network, have a queue.
    #[must_use]
    pub fn independent_within(mut self, time: Duration) -> Self {
        self.independent_within = Some(time);
        self
    }

    /// At most so many dials of one peer in any window of this length (G15).
    #[must_use]
    pub fn dials(mut self, most: usize, window: Duration) -> Self {
        self.dials = Some(Rate { most, window });
        self
    }

    /// At most so many packets of one peer in any window of this length (G15).
    #[must_use]
    pub fn packets(mut self, most: usize, window: Duration) -> Self {
        self.packets = Some(Rate { most, window });
        self
    }
}
