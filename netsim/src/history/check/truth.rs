//! What senders were told: nothing that did not happen, in time, once.

use super::Case;
use crate::history::Channel;
use crate::history::record::{Life, MessageKey, Mode, Outcome};
use crate::history::verdict::Guarantee::{G5, G7, G8};
use crate::time::Time;

impl Case<'_> {
    pub(super) fn truth(&mut self) {
        let holding = self.channels_that_hold();
        for (message, channel, life) in self.messages() {
            self.received(message, channel, life, holding[message.channel.0]);
            for (at, outcome) in &life.receipts {
                self.outcome(message, channel, life, *at, *outcome);
            }
            self.in_time(message, life);
            self.exactly_once(message, channel, life);
        }
    }

    fn channels_that_hold(&self) -> Vec<bool> {
        let mut holding = vec![false; self.history.channels.len()];
        for (message, _, life) in self.messages() {
            holding[message.channel.0] |= life.held.is_some();
        }
        holding
    }

    /// G5 for `received`: the other side held it by then, and it was sent at all.
    fn received(&mut self, message: MessageKey, channel: &Channel, life: &Life, holding: bool) {
        let Some(at) = life.received else { return };
        let sent = life.sent.is_some_and(|(sent, _)| sent <= at);
        self.expect(sent, G5, at, message, || "said to be received, and was never sent".into());
        let held = life.held.into_iter().chain(life.delivered()).min();
        if holding {
            self.expect(held.is_some_and(|held| held <= at), G5, at, message, || match held {
                Some(held) => format!("said to be received before the other side held it, at {held}"),
                None => "said to be received, and the other side never held it".into(),
            });
        } else {
            // Whoever holds a message hands it over, unless it forgets or the message ends otherwise.
            let ended = life.receipts.iter().any(|(_, outcome)| *outcome != Outcome::Handled);
            let forgot = self.forgot_between(&channel.to, at, self.history.end);
            let orphaned = self.orphaned(channel, life);
            let untold = life.unattended.is_some() && self.explains_itself(message, channel, life);
            let kept = life.delivered().is_some()
                || ended
                || forgot
                || orphaned
                || untold
                || self.bounds.open_at_end;
            self.expect(kept, G5, at, message, || "said to be received, and never handed over".into());
        }
    }

    /// G5 and G7 for the end that the sender was told.
    fn outcome(&mut self, message: MessageKey, channel: &Channel, life: &Life, at: Time, outcome: Outcome) {
        let sent = life.sent.is_some_and(|(sent, _)| sent <= at);
        self.expect(sent, G5, at, message, || format!("said to be {outcome}, and was never sent"));
        let delivered = life.delivered();
        match outcome {
            Outcome::Handled => {
                let handled = life.acknowledged.filter(|handled| *handled <= at);
                self.expect(handled.is_some(), G5, at, message, || match (delivered, life.acknowledged) {
                    (None, _) => "said to be Handled, and was never handed over".into(),
                    (Some(delivered), _) if delivered > at => {
                        format!("said to be Handled before it was handed over, at {delivered}")
                    }
                    (_, Some(handled)) => format!("said to be Handled before it was, at {handled}"),
                    (_, None) => "said to be Handled, and was never acknowledged".into(),
                });
            }
            Outcome::Rejected => {
                // Both sides have lost that word, and the message was sent again.
                let lost_to = |had| self.restarted_between(&channel.from, at, had);
                let lost = |had| at < had && lost_to(had) && self.forgot_between(&channel.to, at, had);
                let untold = |had| self.crashed_between(&channel.to, had, at) || lost(had);
                self.expect(life.acknowledged.is_none_or(untold), G5, at, message, || {
                    "said to be Rejected, and the application had acknowledged it".into()
                });
            }
            Outcome::Expired | Outcome::Superseded | Outcome::Cancelled | Outcome::Dropped => {
                // A process that took it and died before its store knew is another one now. What was given back, or is
                // not acknowledged yet, nobody has.
                let untold = |had| self.crashed_between(&channel.to, had, at);
                let what = || format!("said to be {outcome}, and the application has it");
                self.expect(life.acknowledged.is_none_or(untold), G7, at, message, what);
            }
            Outcome::Unknown => {}
        }
        if outcome == Outcome::Cancelled {
            let withdrawn = life.withdrawn.is_some_and(|withdrawn| withdrawn <= at);
            self.expect(withdrawn, G7, at, message, || "said to be Cancelled, and nobody withdrew it".into());
        }
        if outcome == Outcome::Dropped {
            let what = || "said to be Dropped, and its channel keeps every message".into();
            self.expect(!channel.mode.is_reliable(), G7, at, message, what);
        }
        if outcome == Outcome::Expired {
            let tolerance = self.bounds.tolerance;
            let over = life.deadline().is_some_and(|deadline| at + tolerance >= deadline);
            self.expect(over, G7, at, message, || match life.deadline() {
                Some(deadline) => format!("said to be Expired before its deadline, {deadline}"),
                None => "said to be Expired, and has no deadline".into(),
            });
        }
        if outcome == Outcome::Superseded {
            let latest = matches!(channel.mode, Mode::ReliableLatest | Mode::UnreliableSequenced);
            self.expect(latest && self.has_newer(message, at), G7, at, message, || {
                let why = if latest { "nothing newer was sent" } else { "its channel keeps every message" };
                format!("said to be Superseded, and {why}")
            });
        }
    }

    /// Whether a later message of the same channel was sent by then. Which of two epochs is later the numbers do
    /// not say.
    pub(super) fn has_newer(&self, message: MessageKey, at: Time) -> bool {
        let MessageKey { channel, epoch, sequence } = message;
        let messages = &self.history.messages;
        let was_sent = |(_, life): (&MessageKey, &Life)| life.sent.is_some_and(|(sent, _)| sent <= at);
        let mut later = messages.range(message..=channel.message(epoch, u64::MAX));
        let mut below = messages.range(channel.message(0, 0)..channel.message(epoch, 0));
        let above = epoch.checked_add(1).map(|next| channel.message(next, 0));
        let above = above.map(|from| messages.range(from..=channel.message(u64::MAX, u64::MAX)));
        later.any(|(key, life)| key.sequence > sequence && was_sent((key, life)))
            || below.any(was_sent)
            || above.is_some_and(|mut above| above.any(was_sent))
    }

    /// G7: nothing is handed over late.
    fn in_time(&mut self, message: MessageKey, life: &Life) {
        let Some(deadline) = life.deadline() else { return };
        for (at, _) in &life.handovers {
            let kept = *at <= deadline + self.bounds.tolerance;
            self.expect(kept, G7, *at, message, || format!("handed over after its deadline, {deadline}"));
        }
    }

    /// G8. Nobody waits for receipts of unreliable messages, but if there are some they count.
    fn exactly_once(&mut self, message: MessageKey, channel: &Channel, life: &Life) {
        for (place, (at, outcome)) in life.receipts.iter().enumerate() {
            self.expect(place == 0, G8, *at, message, || {
                format!(
                    "resolved again, as {outcome}, after {} at {}",
                    life.receipts[0].1, life.receipts[0].0
                )
            });
        }
        let attended = life.sent.is_some() && life.unattended.is_none();
        let awaited = channel.mode.is_reliable() && attended && !self.bounds.open_at_end;
        if awaited && life.receipts.is_empty() && !self.orphaned(channel, life) {
            let end = self.history.end;
            self.expect(false, G8, end, message, || "its receipt never resolved".into());
        }
    }
}
