//! Tells the log which messages were not handled or not handed over, and why: at DEBUG, because a channel's mode or a
//! deadline may want it so, and never with a payload.
//!
//! The machine counts them; here its counts are compared whenever it says that a channel has changed. While nobody
//! listens that costs nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::protocol::machine::Machine;
use crate::protocol::types::{ChannelKey, ChannelStats};

type Count = fn(&ChannelStats) -> u64;

/// Why messages that this side sent were not handled, and why messages of the peer were not handed over.
const LOSSES: [(&str, Count); 10] = [
    ("rejected by the peer", |it| it.rejected),
    ("expired", |it| it.expired),
    ("superseded by a newer one", |it| it.superseded),
    ("cancelled", |it| it.cancelled),
    ("dropped from a full outbox", |it| it.dropped),
    ("received before", |it| it.duplicates),
    ("stale when received", |it| it.stale),
    ("late when received", |it| it.late),
    ("dropped from a full inbox", |it| it.overflowed),
    ("missing", |it| it.missing),
];

/// What was told of each channel.
#[derive(Debug, Default)]
pub(super) struct Losses {
    told: BTreeMap<ChannelKey, Told>,
}

#[derive(Debug)]
struct Told {
    label: String,
    counts: [u64; LOSSES.len()],
}

impl Losses {
    /// The channel has changed.
    pub(super) fn note(&mut self, machine: &Machine, channel: ChannelKey, now: Instant) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let Some(stats) = machine.channel_stats(channel, now) else { return };
        let mut told = match (self.told.remove(&channel), machine.channel_label(channel)) {
            (Some(told), _) => told,
            (None, Some(label)) => Told { label: label.to_owned(), counts: [0; LOSSES.len()] },
            (None, None) => return,
        };
        for (why, messages) in told.news(&stats) {
            tracing::debug!(channel = ?told.label, messages, why, "not delivered");
        }
        // Of a channel that is gone these were the last.
        if machine.channel_label(channel).is_some() {
            self.told.insert(channel, told);
        }
    }
}

impl Told {
    /// What has been counted since the last time.
    fn news(&mut self, stats: &ChannelStats) -> Vec<(&'static str, u64)> {
        let counts = LOSSES.map(|(_, count)| count(stats));
        let before = std::mem::replace(&mut self.counts, counts);
        let more = counts.iter().zip(before).map(|(now, before)| now.saturating_sub(before));
        LOSSES.iter().map(|(why, _)| *why).zip(more).filter(|(_, messages)| *messages > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_told() {
        let mut told = Told { label: "x".to_owned(), counts: [0; LOSSES.len()] };
        let mut stats = ChannelStats { accepted: 9, handled: 5, unknown: 1, ..ChannelStats::default() };
        assert_eq!(told.news(&stats), []);
        (stats.dropped, stats.late) = (2, 1);
        assert_eq!(told.news(&stats), [("dropped from a full outbox", 2), ("late when received", 1)]);
        stats.late = 4;
        assert_eq!(told.news(&stats), [("late when received", 3)]);
        assert_eq!(told.news(&stats), []);
    }
}
