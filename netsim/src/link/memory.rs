//! What a direction remembers of its packets, for coverage and shrinking.

use std::time::Duration;

use super::conditions::Conditions;
use super::counts::{Met, Phase};
use super::loss::Taken;
use super::pipe::Entered;
use crate::packet::Fate;
use crate::time::Time;

/// What a direction remembers: it grows with the packets that were taken, and with the changes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) phases: Vec<Phase>,
    /// The numbers of the packets that the conditions took: lost or blocked.
    pub(super) taken: Vec<u64>,
    pub(super) last_offered: Option<Time>,
}

impl Memory {
    /// The conditions have changed.
    pub(super) fn begin(&mut self, from: Time, conditions: Conditions) {
        self.phases.push(Phase { from, conditions, met: Met::default() });
    }

    /// Writes down what becomes of a packet.
    pub(super) fn note(&mut self, entered: &Entered, refused: Option<Fate>, stalled: bool) {
        self.last_offered = Some(entered.at);
        let carried = refused.is_none();
        if refused == Some(Fate::Blocked) || carried && entered.lost.is_some() {
            self.taken.push(entered.number);
        }
        let Some(phase) = self.phases.last_mut() else { return };
        let through = carried && entered.lost.is_none();
        let count = |is: bool| u64::from(is);
        phase.met += Met {
            offered: 1,
            blocked: count(refused == Some(Fate::Blocked)),
            too_big: count(refused == Some(Fate::TooBig)),
            queue_full: count(refused == Some(Fate::QueueFull)),
            stalled: count(carried && stalled),
            lost: count(carried && entered.lost == Some(Taken::Drawn)),
            dropped: count(carried && entered.lost == Some(Taken::Chosen)),
            held_back: count(through && entered.held_back > Duration::ZERO),
            duplicated: count(through && entered.duplicated),
            corrupted: count(through && entered.corrupted),
        };
    }
}
