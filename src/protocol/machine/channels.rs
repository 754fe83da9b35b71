//! The channels of a session: where labels meet (rule C1).
//!
//! A channel has two halves. The *local* half exists once this side has opened the label and sends under this side's
//! id; the *remote* half exists once the peer has announced it under the peer's id. Either may come first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::config::{ChannelConfig, Delivery};
use crate::id::{ChannelId, Epoch};
use crate::protocol::outbox::Outbox;
use crate::protocol::types::{ChannelKey, ChannelStats};

pub(super) use super::halves::{Local, Remote};
use super::inbox::Inbox;
use super::ready::{Part, Ready};

/// All channels of a session.
#[derive(Debug, Default)]
pub(super) struct Channels {
    all: BTreeMap<ChannelKey, Channel>,
    by_label: BTreeMap<String, ChannelKey>,
    by_local: BTreeMap<ChannelId, ChannelKey>,
    by_remote: BTreeMap<ChannelId, ChannelKey>,
    next_key: u32,
    /// The lowest id that this side has never given.
    next_local: u32,
    /// The lowest id that the peer has never announced under its epoch.
    next_remote: u32,
    /// Labels for `incoming_channels`.
    pub(super) incoming: VecDeque<ChannelKey>,
    /// Local ids whose state the peer is to be told.
    pub(super) tell_sending: BTreeSet<ChannelId>,
    /// Channels about which the peer is to be told what this side has.
    pub(super) tell_receiving: BTreeSet<ChannelKey>,
    /// Channels with something to write.
    pub(super) ready: Ready,
    /// No channel has anything to do before this time. It may be too early, never too late.
    timer: Option<Instant>,
    /// Outboxes of channels that are gone, for whoever still holds receipts of them.
    retired: VecDeque<Retired>,
}

/// An outbox in which everything is over.
#[derive(Debug)]
struct Retired {
    key: ChannelKey,
    /// The epoch that it was of, if that is over too.
    epoch: Option<Epoch>,
    outbox: Outbox,
    /// Label and last figures, if the channel is gone.
    last: Option<(String, ChannelStats)>,
}

impl Retired {
    fn new(
        key: ChannelKey,
        epoch: Option<Epoch>,
        mut outbox: Outbox,
        last: Option<(String, ChannelStats)>,
    ) -> Self {
        outbox.retire();
        Self { key, epoch, outbox, last }
    }
}

/// Most outboxes kept of channels that are gone. All that is left in one is how its exceptions ended.
const MAX_RETIRED: usize = 1024;

/// One label, both directions.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) label: String,
    /// Set once this side has opened it.
    pub(super) config: Option<ChannelConfig>,
    pub(super) local: Option<Local>,
    pub(super) remote: Option<Remote>,
    pub(super) inbox: Inbox,
    pub(super) stats: ChannelStats,
}

impl Channel {
    fn new(label: String) -> Self {
        Self {
            label,
            config: None,
            local: None,
            remote: None,
            inbox: Inbox::new(),
            stats: ChannelStats::default(),
        }
    }

    /// Whether the peer's mode is not the one this side expects; what is wrong, if so.
    pub(super) fn mismatch(&self) -> Option<(Delivery, String)> {
        let found = self.remote.as_ref()?.delivery;
        let config = self.config.as_ref()?;
        match (config.expect, found) {
            (expected, Err(number)) => {
                Some((expected.unwrap_or(config.delivery), format!("unknown mode {number}")))
            }
            (Some(expected), Ok(found)) if found != expected => Some((expected, found.to_string())),
            (_, Ok(_)) => None,
        }
    }

    /// A snapshot of the counters and gauges, delays up to `now`.
    pub(super) fn figures(&self, now: Option<Instant>) -> ChannelStats {
        let (outbox, inbox) = (self.local.as_ref().map(|local| &local.outbox), &self.inbox);
        let held = outbox.map(Outbox::held).unwrap_or_default();
        let ended = outbox.map(Outbox::ended).unwrap_or_default();
        let waiting = outbox.and_then(Outbox::oldest_unwritten).zip(now);
        let (inbox_messages, inbox_bytes, partial_bytes) = inbox.figures();
        ChannelStats {
            handled: ended.handled,
            rejected: ended.rejected,
            expired: ended.expired,
            superseded: ended.superseded,
            cancelled: ended.cancelled,
            dropped: ended.dropped,
            unknown: ended.unknown,
            outbox_messages: held.messages,
            outbox_bytes: held.bytes + held.large,
            outbox_delay: waiting.map_or(Duration::ZERO, |(since, now)| now.saturating_duration_since(since)),
            received: inbox.counts.received,
            duplicates: inbox.counts.duplicates,
            delivered: inbox.counts.delivered,
            stale: inbox.counts.stale,
            late: inbox.counts.late,
            overflowed: inbox.counts.overflowed,
            missing: inbox.missing(),
            inbox_messages: inbox_messages as usize,
            inbox_bytes: inbox_bytes as usize,
            partial_bytes: partial_bytes as usize,
            ..self.stats
        }
    }

    /// Whether the peer is to be told something of what this side has, or may have.
    pub(super) fn has_news(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| {
            self.inbox.has_news()
                || self.inbox.granted != remote.told_window
                || (self.is_inbox_through() && !remote.told_ended)
        })
    }

    /// When something is to be done for it.
    fn timer(&self, rtt: Duration) -> Option<Instant> {
        let sending =
            self.local.as_ref().map(|local| [local.outbox.deadline(), local.outbox.loss_deadline(rtt)]);
        let receiving =
            [self.config.as_ref().and_then(|_| self.inbox.watch.deadline()), self.inbox.deadline()];
        sending.into_iter().flatten().chain(receiving).flatten().min()
    }

    /// Why nothing (more) is taken of this channel.
    pub(super) fn refusal(&self) -> Option<&String> {
        let mismatch = || self.remote.as_ref().and_then(|remote| remote.mismatch.as_ref());
        self.inbox.refused.as_ref().or_else(mismatch)
    }

    /// Everything that the peer will ever send has been dealt with.
    pub(super) fn is_inbox_through(&self) -> bool {
        let end = self.remote.as_ref().and_then(|remote| remote.end);
        end.is_some_and(|end| self.inbox.is_through(end))
    }
}

impl Channels {
    pub(super) fn get(&self, key: ChannelKey) -> Option<&Channel> {
        self.all.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: ChannelKey) -> Option<&mut Channel> {
        self.all.get_mut(&key)
    }

    /// In the order in which they came to be.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ChannelKey, &Channel)> {
        self.all.iter().map(|(&key, channel)| (key, channel))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ChannelKey, &mut Channel)> {
        self.all.iter_mut().map(|(&key, channel)| (key, channel))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The channel with this label, made if it is not there.
    pub(super) fn meet(&mut self, label: &str) -> ChannelKey {
        if let Some(&key) = self.by_label.get(label) {
            return key;
        }
        let key = ChannelKey(self.next_key);
        self.next_key = self.next_key.saturating_add(1);
        self.all.insert(key, Channel::new(label.to_owned()));
        self.by_label.insert(label.to_owned(), key);
        key
    }

    pub(super) fn find(&self, label: &str) -> Option<ChannelKey> {
        self.by_label.get(label).copied()
    }

    /// Channels that this side sends on.
    pub(super) fn local_len(&self) -> usize {
        self.by_local.len()
    }

    /// Channels that the peer sends on, as far as it is not through with them.
    pub(super) fn remote_len(&self) -> usize {
        self.by_remote.values().filter(|&&key| !self.may_be_gone(key)).count()
    }

    /// Whether the peer may have forgotten the channel: it can have heard that both directions are over, though this
    /// side has not.
    pub(super) fn may_be_gone(&self, key: ChannelKey) -> bool {
        self.all.get(&key).is_some_and(|channel| {
            channel.is_inbox_through() && channel.local.as_ref().is_some_and(|local| local.finished)
        })
    }

    /// Gives the channel a local half with a new id.
    pub(super) fn open_local(&mut self, key: ChannelKey, outbox: Outbox) -> Option<ChannelId> {
        let id = ChannelId(self.next_local);
        self.next_local = self.next_local.checked_add(1)?;
        self.insert_local(key, Local::new(id, outbox));
        Some(id)
    }

    /// Gives the local half of the channel a new id. Returns the old one and the new one.
    pub(super) fn renew_local(&mut self, key: ChannelKey) -> Option<(ChannelId, ChannelId)> {
        let id = ChannelId(self.next_local);
        let next = self.next_local.checked_add(1)?;
        let local = self.all.get_mut(&key)?.local.as_mut()?;
        let old = local.id;
        local.renew(id);
        self.next_local = next;
        self.by_local.remove(&old);
        self.by_local.insert(id, key);
        self.tell_sending.remove(&old);
        self.tell_sending.insert(id);
        Some((old, id))
    }

    /// Gives the channel this local half.
    pub(super) fn insert_local(&mut self, key: ChannelKey, local: Local) {
        self.next_local = self.next_local.max(local.id.0.saturating_add(1));
        if let Some(channel) = self.all.get_mut(&key) {
            self.by_local.insert(local.id, key);
            channel.local = Some(local);
        }
    }

    /// Ids below these have been given, by this side and by the peer.
    pub(super) fn reserve(&mut self, next_local: u32, next_remote: u32) {
        self.next_local = self.next_local.max(next_local);
        self.next_remote = self.next_remote.max(next_remote);
    }

    /// The local ids of which something is to be told, and may be: all before it is durable. In the order of the ids, because
    /// the peer takes an id below the highest that it knows for one that is over.
    pub(super) fn tellable(&self, durable: u64) -> impl Iterator<Item = ChannelId> {
        self.tell_sending.iter().copied().take_while(move |&id| {
            let channel = self.by_local(id).and_then(|key| self.get(key));
            channel.and_then(|channel| channel.local.as_ref()).is_none_or(|local| local.hold <= durable)
        })
    }

    pub(super) fn by_local(&self, id: ChannelId) -> Option<ChannelKey> {
        self.by_local.get(&id).copied()
    }

    /// Whether this side has ever given the id.
    pub(super) fn was_local(&self, id: ChannelId) -> bool {
        id.0 < self.next_local
    }

    /// Gives the channel a remote half.
    pub(super) fn insert_remote(&mut self, key: ChannelKey, remote: Remote) {
        self.next_remote = self.next_remote.max(remote.id.0.saturating_add(1));
        if let Some(channel) = self.all.get_mut(&key) {
            self.by_remote.insert(remote.id, key);
            channel.remote = Some(remote);
        }
    }

    pub(super) fn by_remote(&self, id: ChannelId) -> Option<ChannelKey> {
        self.by_remote.get(&id).copied()
    }

    /// Whether the peer has ever announced the id, under its present epoch.
    pub(super) fn was_remote(&self, id: ChannelId) -> bool {
        id.0 < self.next_remote
    }

    /// The peer begins a new epoch: it has announced nothing yet.
    pub(super) fn forget_remotes(&mut self) {
        self.by_remote.clear();
        self.next_remote = 0;
        self.tell_receiving.clear();
        for channel in self.all.values_mut() {
            channel.remote = None;
            channel.inbox.begin_epoch();
        }
        let idle = |channel: &Channel| channel.local.is_none() && !channel.inbox.has_next();
        let gone: Vec<ChannelKey> =
            self.all.iter().filter(|(_, channel)| idle(channel)).map(|(&key, _)| key).collect();
        gone.into_iter().for_each(|key| self.remove(key));
    }

    /// The peer has opened a label that this side has not.
    pub(super) fn note_incoming(&mut self, key: ChannelKey) {
        if !self.incoming.contains(&key) {
            self.incoming.push_back(key);
        }
    }

    /// Puts the channel in the queues of those with something to write.
    pub(super) fn enqueue(&mut self, key: ChannelKey) {
        let Some(local) = self.all.get_mut(&key).and_then(|channel| channel.local.as_mut()) else { return };
        self.ready.push(key, Part::Records, &mut local.share);
        if local.outbox.has_body() {
            self.ready.push(key, Part::Bodies, &mut local.share);
        }
    }

    /// The same for its large messages alone, if the row has come to any.
    pub(super) fn enqueue_bodies(&mut self, key: ChannelKey) {
        let local = self.all.get_mut(&key).and_then(|channel| channel.local.as_mut());
        if let Some(local) = local.filter(|local| local.outbox.has_body()) {
            self.ready.push(key, Part::Bodies, &mut local.share);
        }
    }

    /// The first of those with something to write has written this many bytes, or had nothing.
    pub(super) fn spend(&mut self, key: ChannelKey, bytes: Option<i64>) {
        let Some(local) = self.all.get_mut(&key).and_then(|channel| channel.local.as_mut()) else { return };
        match bytes {
            Some(bytes) => self.ready.spend(bytes, &mut local.share),
            None => self.ready.pop(&mut local.share),
        }
    }

    /// The time of the channel may have come nearer.
    pub(super) fn touch(&mut self, key: ChannelKey, rtt: Duration) {
        let timer = self.all.get(&key).and_then(|channel| channel.timer(rtt));
        self.timer = [self.timer, timer].into_iter().flatten().min();
    }

    /// Looks at every channel for when there is something to do.
    pub(super) fn retime(&mut self, rtt: Duration) {
        self.timer = self.all.values().filter_map(|channel| channel.timer(rtt)).min();
    }

    /// No channel has anything to do before this.
    pub(super) fn timer(&self) -> Option<Instant> {
        self.timer
    }

    /// Whether the peer has forgotten the channel of this side's lane, and has another one under the label: it has named a
    /// lane of which this side still awaits something.
    pub(super) fn is_another(&self, key: ChannelKey) -> bool {
        self.all.get(&key).is_some_and(|channel| {
            channel.local.as_ref().is_some_and(|local| local.peer_forgot)
                && channel.remote.as_ref().is_some_and(|remote| remote.named)
                && !channel.is_inbox_through()
        })
    }

    /// Whether both directions are over and both sides know.
    pub(super) fn is_over(&self, key: ChannelKey) -> bool {
        self.all.get(&key).is_some_and(|channel| {
            let Some(local) = channel.local.as_ref().filter(|local| local.is_over()) else { return false };
            // A verdict is kept until the sender says that it has it: else it would seem handled (rule R1).
            let told = channel.remote.as_ref().is_some_and(|remote| remote.told_ended);
            local.peer_forgot || told && !channel.inbox.ledger.has_verdicts()
        })
    }

    /// The outbox of a channel, though it be gone; with `epoch`, that of an epoch of this side that is over.
    pub(super) fn outbox(&self, key: ChannelKey, epoch: Option<Epoch>) -> Option<&Outbox> {
        let live = self.get(key).filter(|_| epoch.is_none()).and_then(|channel| channel.local.as_ref());
        let retired = || self.retired.iter().find(|retired| retired.key == key && retired.epoch == epoch);
        live.map(|local| &local.outbox).or_else(|| retired().map(|retired| &retired.outbox))
    }

    /// Figures of all channels that this side has opened, under their labels: of those that are gone too, as long as their
    /// outboxes are kept.
    pub(super) fn opened(&self, now: Instant) -> impl Iterator<Item = (ChannelKey, &str, ChannelStats)> {
        let live = self.all.iter().filter(|(_, channel)| channel.local.is_some());
        let live = live.map(move |(&key, channel)| (key, channel.label.as_str(), channel.figures(Some(now))));
        let retired = self.retired.iter().filter_map(|retired| {
            let (label, stats) = retired.last.as_ref()?;
            Some((retired.key, label.as_str(), *stats))
        });
        live.chain(retired)
    }

    /// This side's epoch is over: its outboxes stay for whoever still holds receipts.
    pub(super) fn retire(&mut self, epoch: Epoch, outboxes: Vec<(ChannelKey, Outbox)>) {
        for retired in self.retired.iter_mut().filter(|retired| retired.epoch.is_none()) {
            retired.epoch = Some(epoch);
        }
        let retired = outboxes.into_iter().map(|(key, outbox)| Retired::new(key, Some(epoch), outbox, None));
        self.retired.extend(retired);
        self.bound_retired();
    }

    fn bound_retired(&mut self) {
        self.retired.drain(..self.retired.len().saturating_sub(MAX_RETIRED));
    }

    /// Forgets a channel. Its ids are not given again.
    pub(super) fn remove(&mut self, key: ChannelKey) {
        let Some(channel) = self.all.remove(&key) else { return };
        let last = channel.figures(None);
        self.by_label.remove(&channel.label);
        if let Some(local) = channel.local {
            self.by_local.remove(&local.id);
            self.tell_sending.remove(&local.id);
            self.retired.push_back(Retired::new(key, None, local.outbox, Some((channel.label, last))));
            self.bound_retired();
        }
        if let Some(remote) = channel.remote {
            self.by_remote.remove(&remote.id);
        }
        self.tell_receiving.remove(&key);
        self.ready.remove(key);
        self.incoming.retain(|&incoming| incoming != key);
    }
}
