//! That something good happens, in time, and not too much of it.

use std::time::Duration;

use super::Case;
use crate::history::bounds::Rate;
use crate::history::record::{Life, MessageKey};
use crate::history::verdict::Guarantee::{G13, G14, G15};
use crate::history::{Channel, Peer};
use crate::time::Time;

impl<'a> Case<'a> {
    pub(super) fn liveness(&mut self) {
        if let Some(within) = self.bounds.drained_within {
            self.messages().for_each(|(message, channel, life)| self.drains(message, channel, life, within));
        }
        let stalled = self.history.channels.iter().any(|channel| !channel.stalls.is_empty());
        if let Some(within) = self.bounds.independent_within.filter(|_| stalled) {
            self.messages().for_each(|(message, channel, life)| {
                self.is_independent(message, channel, life, within);
            });
        }
        for (name, peer) in &self.history.peers {
            if let Some(within) = self.bounds.connected_within {
                self.reconnects(name, peer, within);
            }
            if let Some(rate) = self.bounds.dials {
                self.no_storm(name, "dials", &peer.dials, rate);
            }
            if let Some(rate) = self.bounds.packets {
                self.no_storm(name, "packets", &peer.packets, rate);
            }
        }
    }

    /// G13 for messages: an outage, or a stall of its own channel, only delays the beginning of the wait.
    fn drains(&mut self, message: MessageKey, channel: &Channel, life: &Life, within: Duration) {
        let Some((sent, _)) = life.sent.filter(|_| channel.mode.is_reliable()) else { return };
        let resolved = life.resolved();
        let mut from = sent;
        loop {
            let due = from + within;
            // Whoever is resolved, even in the middle of an outage, owes nothing.
            if resolved.is_some_and(|resolved| resolved <= due) {
                return self.expect(true, G13, due, message, String::new);
            }
            let trouble = self.history.outages.iter().chain(&channel.stalls);
            let in_the_way =
                trouble.filter(|(began, ended)| *began < due && ended.is_none_or(|ended| ended > from));
            let Some(ended) = in_the_way.map(|(_, ended)| *ended).max_by_key(|it| it.unwrap_or(Time::MAX))
            else {
                break;
            };
            let Some(ended) = ended else { return };
            from = ended;
        }
        let due = from + within;
        let gone = |name: &str| self.peer(name).and_then(|peer| peer.gave_up).is_some_and(|at| at <= due);
        let unattended = life.unattended.is_some() && resolved.is_none();
        let excused = gone(&channel.from) || gone(&channel.to) || self.orphaned(channel, life) || unattended;
        if due <= self.history.end && !excused {
            self.expect(false, G13, due, message, || {
                let when = resolved.map_or("it was not".into(), |at| format!("it was at {at}"));
                format!("not resolved {within:?} after {from}, when nothing was in its way; {when}")
            });
        }
    }

    /// G13 for peers that say whether they are connected.
    fn reconnects(&mut self, name: &str, peer: &Peer, within: Duration) {
        if peer.connected.is_empty() {
            return;
        }
        let mut said = peer.connected.clone();
        said.sort_by_key(|(at, _)| *at);
        for (place, (_, healed)) in self.history.outages.iter().enumerate() {
            let Some(healed) = *healed else { continue };
            let due = healed + within;
            let broke_again = self.history.outages.get(place + 1).is_some_and(|(broke, _)| *broke < due);
            let gone = peer.gave_up.is_some_and(|at| at <= due);
            if due > self.history.end || broke_again || gone {
                continue;
            }
            let is_connected = said.iter().rev().find(|(at, _)| *at <= due).is_some_and(|(_, is)| *is);
            self.expect_of_peer(is_connected, G13, due, name, || {
                format!("not connected {within:?} after the network healed, at {healed}")
            });
        }
    }

    /// G14: a message of another channel of the same two peers, sent while one is stalled. It waits for nothing but what was
    /// sent before it on its own channel: each time the receiver is handed some of that, the wait begins anew.
    fn is_independent(&mut self, message: MessageKey, channel: &Channel, life: &Life, within: Duration) {
        let Some((sent, _)) = life.sent.filter(|_| channel.mode.is_reliable()) else { return };
        let done = life.delivered().into_iter().chain(life.resolved()).min();
        // Of what nobody waits to be told of, and may be missing, it is not known whether it was ever accepted.
        let untold = life.unattended.is_some() && done.is_none();
        if untold && self.explains_itself(message, channel, life) {
            return;
        }
        let Some(stalled) = self.stalled_beside(channel, sent) else { return };
        let mut from = sent;
        loop {
            let due = from + within;
            let overlaps = |(began, ended): &(Time, Option<Time>)| {
                *began < due && ended.is_none_or(|ended| ended > from)
            };
            if due > self.history.end || self.history.outages.iter().chain(&channel.stalls).any(overlaps) {
                return;
            }
            if done.is_some_and(|done| done <= due) {
                return self.expect(true, G14, due, message, String::new);
            }
            match self.last_ahead(message, sent, from, due) {
                Some(at) => from = at,
                None => {
                    return self.expect(false, G14, due, message, || {
                        format!(
                            "not handed over {within:?} after {from}, while {:?} was stalled",
                            stalled.label
                        )
                    });
                }
            }
        }
    }

    /// Another channel of the same two peers that was stalled at that time.
    fn stalled_beside(&self, channel: &Channel, at: Time) -> Option<&'a Channel> {
        let between_the_same = |other: &Channel| {
            (&other.from, &other.to) == (&channel.from, &channel.to)
                || (&other.from, &other.to) == (&channel.to, &channel.from)
        };
        let is_stalled = |other: &Channel| {
            other.stalls.iter().any(|(began, ended)| *began <= at && ended.is_none_or(|ended| ended > at))
        };
        let history = self.history;
        history.channels.iter().find(|other| between_the_same(other) && is_stalled(other))
    }

    /// When, after one moment and not after another, the receiver was last handed something that was sent before this message
    /// on the same channel, for the first time or again.
    fn last_ahead(&self, message: MessageKey, sent: Time, from: Time, to: Time) -> Option<Time> {
        let key = message.channel;
        let all = key.message(0, 0)..=key.message(u64::MAX, u64::MAX);
        let ahead = self.history.messages.range(all).filter(|(other, life)| {
            life.sent.is_some_and(|(other_sent, _)| (other_sent, **other) < (sent, message))
        });
        let handed = ahead.flat_map(|(_, life)| &life.handovers).map(|(at, _)| *at);
        handed.filter(|at| from < *at && *at <= to).max()
    }

    /// G15.
    fn no_storm(&mut self, name: &str, what: &str, moments: &[Time], rate: Rate) {
        let mut moments = moments.to_vec();
        moments.sort_unstable();
        let Rate { most, window } = rate;
        let mut reported = None;
        for (place, at) in moments.iter().enumerate() {
            let first = place.checked_sub(most).map(|first| moments[first]);
            let kept = first.is_none_or(|first| at.since(first) >= window);
            // One storm is one finding.
            let told = reported.is_some_and(|told: Time| at.since(told) < window);
            if !kept {
                reported = Some(*at);
            }
            self.expect_of_peer(kept || told, G15, *at, name, || {
                format!("more than {most} {what} within {window:?}")
            });
        }
    }
}
