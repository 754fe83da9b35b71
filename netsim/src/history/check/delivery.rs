//! What arrived: all of it, nothing else, once.

use super::Case;
use crate::history::record::{Handover, Life, MessageKey, Mode};
use crate::history::verdict::Guarantee::{G1, G2, G3, G6};
use crate::history::{Channel, Outcome};
use crate::time::Time;

impl Case<'_> {
    pub(super) fn deliveries(&mut self) {
        for (message, channel, life) in self.messages() {
            self.no_loss(message, channel, life);
            self.no_invention(message, life);
            self.no_duplicate(message, channel, life);
            if !channel.mode.is_reliable() {
                self.no_retransmission(message, life);
            }
        }
    }

    /// G1. A receipt that says `Handled` is no explanation of why a message never arrived.
    fn no_loss(&mut self, message: MessageKey, channel: &Channel, life: &Life) {
        let Some((sent, _)) = life.sent else { return };
        if !channel.mode.is_reliable() || self.orphaned(channel, life) {
            return;
        }
        let explained = life.receipts.iter().any(|(_, outcome)| *outcome != Outcome::Handled);
        let delivered = life.delivered().is_some();
        let claimed = life.receipts.first();
        if life.unattended.is_some() && claimed.is_none() && self.explains_itself(message, channel, life) {
            return;
        }
        match claimed {
            None if self.bounds.open_at_end && !delivered => {}
            None => self.expect(delivered, G1, self.history.end, message, || {
                format!("accepted at {sent}, and neither delivered nor explained by the end")
            }),
            Some((at, _)) => self.expect(delivered || explained, G1, *at, message, || {
                format!("accepted at {sent} and never delivered, although its receipt says Handled")
            }),
        }
    }

    /// Whether a message of which nobody was told the end may be missing.
    pub(super) fn explains_itself(&self, message: MessageKey, channel: &Channel, life: &Life) -> bool {
        let end = self.history.end;
        let forgot = life.sent.is_some_and(|(sent, _)| self.forgot_between(&channel.to, sent, end));
        let gone = |name: &str| self.peer(name).is_some_and(|peer| peer.gave_up.is_some());
        forgot
            || gone(&channel.from)
            || gone(&channel.to)
            || life.is_unwanted(end + self.bounds.tolerance)
            || (channel.mode == Mode::ReliableLatest && self.has_newer(message, end))
    }

    /// G2.
    fn no_invention(&mut self, message: MessageKey, life: &Life) {
        if let (Some((first, _)), Some(again)) = (life.sent, life.sent_again) {
            self.expect(false, G2, again, message, || {
                format!("accepted again under a number that was given at {first}")
            });
        }
        for (at, handover) in &life.handovers {
            let Some((sent_at, sent)) = life.sent else {
                self.expect(false, G2, *at, message, || "handed over, and nobody sent it".to_owned());
                continue;
            };
            self.expect(sent.digest == handover.digest, G2, *at, message, || {
                "handed over with another payload than it was sent with".to_owned()
            });
            self.expect(*at >= sent_at, G2, *at, message, || {
                format!("handed over before it was sent, at {sent_at}")
            });
        }
    }

    /// G3.
    fn no_duplicate(&mut self, message: MessageKey, channel: &Channel, life: &Life) {
        let mut last: Option<(Time, Handover)> = None;
        for (at, handover) in life.handovers.iter().copied() {
            let flaw = self.flaw_of_mark(channel, life, at, handover, last);
            self.expect(flaw.is_none(), G3, at, message, || flaw.unwrap_or_default());
            last = Some((at, handover));
        }
    }

    /// What is wrong with how a delivery is marked, given the one before it.
    fn flaw_of_mark(
        &self,
        channel: &Channel,
        life: &Life,
        at: Time,
        handover: Handover,
        last: Option<(Time, Handover)>,
    ) -> Option<String> {
        let Handover { attempt, resent, .. } = handover;
        if resent && !channel.at_least_once {
            return Some("marked as sent again on a channel that is not at-least-once".into());
        }
        let since = last.map_or(Time::ZERO, |(before, _)| before);
        if resent && !self.forgot_between(&channel.to, Time::ZERO, at) {
            return Some("marked as sent again, but its receiver forgot nothing".into());
        }
        // What its store did not have a process takes again, but never what its sender has heard of.
        let told =
            life.receipts.iter().find(|(_, outcome)| *outcome == Outcome::Handled).map(|(told, _)| *told);
        if let (Some(told), Some((before, _))) = (told, last)
            && told < at
            && self.restarted_between(&channel.to, before, at)
            && !self.forgot_between(&channel.to, before, at)
        {
            return Some(format!(
                "handed over again although its sender was told at {told} that it was handled"
            ));
        }
        if let Some(acknowledged) = life.acknowledged.filter(|acknowledged| {
            *acknowledged < at && last.is_some() && !self.crashed_between(&channel.to, *acknowledged, at)
        }) {
            return Some(format!("handed over again although acknowledged at {acknowledged}"));
        }
        match last {
            None if attempt > 1 && !self.crashed_between(&channel.to, since, at) => {
                Some(format!("marked as attempt {attempt}, and there was none before it"))
            }
            None => None,
            Some((before, _)) if handover.is_first() && !self.restarted_between(&channel.to, before, at) => {
                Some(format!("handed over twice, without a mark; first at {before}"))
            }
            // Sent again, it starts to count anew; a crash may have lost the count.
            Some((before, last)) => {
                let counts_on = attempt > last.attempt || self.crashed_between(&channel.to, before, at);
                (!counts_on).then(|| format!("attempt {attempt} after attempt {} at {before}", last.attempt))
            }
        }
    }

    /// G6.
    fn no_retransmission(&mut self, message: MessageKey, life: &Life) {
        for (place, at) in life.transmitted.iter().enumerate() {
            self.expect(place == 0, G6, *at, message, || "transmitted again on an unreliable channel".into());
        }
        for (place, (at, handover)) in life.handovers.iter().enumerate() {
            self.expect(place == 0 && handover.is_first(), G6, *at, message, || {
                "delivered again on an unreliable channel".into()
            });
        }
    }
}

impl Mode {
    /// Whether a gap in its numbers must be one of expired messages, and told.
    pub(super) fn explains_gaps(self) -> bool {
        self == Self::ReliableOrdered
    }
}
