//! What a direction of a link really did.

use std::ops::AddAssign;

use super::conditions::Conditions;
use crate::time::Time;

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

/// What a direction met from one change of its conditions to the next.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Phase {
    /// When it began.
    pub from: Time,
    /// The conditions of this time, all that was said taken together.
    pub conditions: Conditions,
    /// What became of the packets that were offered in this time.
    pub met: Met,
}

/// What became of packets, counted when they were offered: a packet that is lost behind a long queue counts here
/// for the phase in which it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Met {
    /// Packets that were offered.
    pub offered: u64,
    /// Packets that met the black hole.
    pub blocked: u64,
    /// Packets larger than the MTU.
    pub too_big: u64,
    /// Packets that found the queue full.
    pub queue_full: u64,
    /// Packets that had to wait because nothing left the queue.
    pub stalled: u64,
    /// Packets that the loss model drew.
    pub lost: u64,
    /// Packets that were lost by their number or by a predicate.
    pub dropped: u64,
    /// Packets that were held back, so that others could overtake.
    pub held_back: u64,
    /// Packets that were doubled.
    pub duplicated: u64,
    /// Packets with a flipped bit.
    pub corrupted: u64,
}

impl Met {
    /// Packets that got as far as the models of loss and damage.
    pub fn carried(&self) -> u64 {
        self.offered - self.blocked - self.too_big - self.queue_full
    }
}

impl AddAssign for Met {
    fn add_assign(&mut self, other: Self) {
        self.offered += other.offered;
        self.blocked += other.blocked;
        self.too_big += other.too_big;
        self.queue_full += other.queue_full;
        self.stalled += other.stalled;
        self.lost += other.lost;
        self.dropped += other.dropped;
        self.held_back += other.held_back;
        self.duplicated += other.duplicated;
        self.corrupted += other.corrupted;
    }
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
