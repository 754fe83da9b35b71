//! G4: rising numbers, and gaps that are explained.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::Case;
use crate::history::record::{ChannelKey, Life, MessageKey, Mode, Outcome};
use crate::history::verdict::Guarantee::G4;
use crate::history::{Channel, Seen};
use crate::time::Time;

/// What a receiver has seen of one epoch of a channel.
#[derive(Default)]
struct Progress {
    newest: Option<u64>,
    newest_at: Time,
    /// What it was told not to wait for, and when.
    skipped: BTreeMap<u64, Time>,
    /// When a later epoch took over.
    over: Option<Time>,
}

impl Case<'_> {
    pub(super) fn order(&mut self) {
        for (place, channel) in self.history.channels.iter().enumerate() {
            if channel.mode.keeps_order() {
                self.order_of(ChannelKey(place), channel);
            }
        }
    }

    fn order_of(&mut self, key: ChannelKey, channel: &Channel) {
        let mut epochs: BTreeMap<u64, Progress> = BTreeMap::new();
        let mut current = None;
        for seen in &channel.seen {
            match seen {
                Seen::Skip { at, epoch, sequences } => {
                    let range =
                        key.message(*epoch, *sequences.start())..=key.message(*epoch, *sequences.end());
                    self.skip(channel, *at, range, epochs.entry(*epoch).or_default());
                }
                Seen::Handover { at, epoch, sequence, first: true } => {
                    if self.comes_from_before(channel, *at, key.message(*epoch, *sequence)) {
                        continue;
                    }
                    if let Some(before) = current.replace(*epoch).filter(|before| before != epoch) {
                        epochs.entry(before).or_default().over.get_or_insert(*at);
                    }
                    let progress = epochs.entry(*epoch).or_default();
                    self.handover(channel, *at, key.message(*epoch, *sequence), progress);
                    if progress.newest.is_none_or(|newest| newest < *sequence) {
                        (progress.newest, progress.newest_at) = (Some(*sequence), *at);
                    }
                }
                // G4 speaks of first deliveries.
                Seen::Handover { .. } => {}
            }
        }
    }

    /// Whether a process has it again because its predecessor died before its store knew of the first delivery.
    fn comes_from_before(&self, channel: &Channel, at: Time, message: MessageKey) -> bool {
        let first = self.history.messages.get(&message).and_then(Life::delivered);
        first.is_some_and(|first| self.restarted_between(&channel.to, first, at))
    }

    fn handover(&mut self, channel: &Channel, at: Time, message: MessageKey, progress: &Progress) {
        let MessageKey { channel: key, epoch, sequence } = message;
        let newest = progress.newest;
        // The same number again is a duplicate, which G3 looks after.
        let rises = newest.is_none_or(|newest| newest <= sequence)
            // A state that its predecessor was given may be one of which the store had not heard.
            || channel.mode == Mode::ReliableLatest
                && self.restarted_between(&channel.to, progress.newest_at, at);
        self.expect(rises, G4, at, message, || {
            format!("handed over after message {}", newest.unwrap_or_default())
        });
        if let Some(over) = progress.over {
            self.expect(false, G4, at, message, || format!("its epoch was over: another began at {over}"));
        }
        if let Some(skipped) = progress.skipped.get(&sequence) {
            self.expect(false, G4, at, message, || {
                format!("handed over although it was said at {skipped} that it would not come")
            });
        }
        let from = newest.map_or(0, |newest| newest.saturating_add(1));
        if channel.mode.explains_gaps() && from < sequence {
            for (message, life) in self.history.messages.range(key.message(epoch, from)..message) {
                self.gap(channel, at, *message, life, progress);
            }
        }
    }

    /// What lies between two deliveries must have been skipped, and the receiver told, unless nobody sent it.
    fn gap(&mut self, channel: &Channel, at: Time, message: MessageKey, life: &Life, progress: &Progress) {
        let told = progress.skipped.contains_key(&message.sequence);
        let came = life.sent.is_none() || life.delivered().is_some() || told;
        self.expect(came || self.was_forgotten(channel, life, at), G4, at, message, || {
            "passed over by the next ones without a word".into()
        });
    }

    /// A skip may only be one of expired messages that were not delivered.
    fn skip(
        &mut self,
        channel: &Channel,
        at: Time,
        range: RangeInclusive<MessageKey>,
        progress: &mut Progress,
    ) {
        if range.is_empty() || !channel.mode.explains_gaps() {
            return;
        }
        for (message, life) in self.history.messages.range(range) {
            progress.skipped.entry(message.sequence).or_insert(at);
            let unwanted = life.is_unwanted(at + self.bounds.tolerance);
            // Nobody is left to send what its sender has forgotten, or has given up as unknown.
            let lost = self.orphaned(channel, life)
                || self.was_forgotten(channel, life, at)
                || life.receipts.iter().any(|(told, outcome)| *outcome == Outcome::Unknown && *told <= at);
            let may = unwanted || life.sent.is_none() || lost;
            self.expect(may, G4, at, *message, || "skipped although it had not expired".into());
            if let Some(delivered) = life.delivered().filter(|delivered| *delivered < at) {
                let again = self.restarted_between(&channel.to, delivered, at);
                self.expect(again, G4, at, *message, || format!("skipped after its delivery at {delivered}"));
            }
        }
    }

    /// What its receiver had forgotten nobody can put in order any more; the sender is told `Unknown`, if it is still there.
    fn was_forgotten(&self, channel: &Channel, life: &Life, by: Time) -> bool {
        let unknown = life.receipts.iter().any(|(_, outcome)| *outcome == Outcome::Unknown);
        let untold = life.unattended.is_some() && life.receipts.is_empty();
        // The sender may have sent on for a while to somebody who had forgotten already.
        (unknown || untold) && self.forgot_between(&channel.to, Time::ZERO, by)
    }
}
