//! What a direction of a link really did.

use std::ops::AddAssign;

/// What a direction of a link really did: the achieved figures, not the configured ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkCounts {
    /// Packets that were offered to it.
    pub offered: u64,
    /// Bytes of IP packets that were offered to it.
    pub offered_bytes: u64,
    /// Packets that came out of it, copies included.
    pub delivered: u64,
    /// Bytes of IP packets that came out of it, copies included.
    pub delivered_bytes: u64,
    /// Packets that the loss model took.
    pub lost: u64,
    /// Bursts of loss: runs of lost packets without one between them that was not.
    pub loss_bursts: u64,
    /// Packets that met a black hole.
    pub blocked: u64,
    /// Packets larger than the MTU.
    pub too_big: u64,
    /// Packets that found the queue full.
    pub queue_full: u64,
    /// Copies that were made.
    pub duplicated: u64,
    /// Packets that came out with a flipped bit.
    pub corrupted: u64,
    /// Packets that came out after one that had been offered later.
    pub reordered: u64,
    /// The most bytes that waited in the queue at once.
    pub queue_bytes_max: u64,
}

impl LinkCounts {
    /// The achieved loss of the loss model, in per cent of the packets that it saw.
    pub fn loss_percent(&self) -> f64 {
        let seen = self.offered - self.blocked - self.too_big - self.queue_full;
        if seen == 0 { 0.0 } else { self.lost as f64 * 100.0 / seen as f64 }
    }

    /// The achieved mean length of a burst of loss, in packets.
    pub fn burst_mean(&self) -> f64 {
        if self.loss_bursts == 0 { 0.0 } else { self.lost as f64 / self.loss_bursts as f64 }
    }
}

impl AddAssign for LinkCounts {
    fn add_assign(&mut self, other: Self) {
        self.offered += other.offered;
        self.offered_bytes += other.offered_bytes;
        self.delivered += other.delivered;
        self.delivered_bytes += other.delivered_bytes;
        self.lost += other.lost;
        self.loss_bursts += other.loss_bursts;
        self.blocked += other.blocked;
        self.too_big += other.too_big;
        self.queue_full += other.queue_full;
        self.duplicated += other.duplicated;
        self.corrupted += other.corrupted;
        self.reordered += other.reordered;
        self.queue_bytes_max = self.queue_bytes_max.max(other.queue_bytes_max);
    }
}
