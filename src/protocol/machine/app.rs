//! What the application asks of a session.

use std::time::Instant;

use super::channels::Channel;
use super::ready::Share;
use super::transfer::{floor_char_boundary, window_of};
use super::{Machine, Wake};
use crate::config::{ChannelConfig, Delivery};
use crate::error::{CloseReason, OpenError, Outcome, Side};
use crate::id::{Epoch, Sequence, SessionId};
use crate::protocol::handover::Released;
use crate::protocol::journal::Record;
use crate::protocol::outbox::{Limits, Outbox};
use crate::protocol::types::{
    ChannelKey, ChannelStats, Delivered, LinkId, Liveness, SessionState, SessionStats,
};
use crate::wire::{MAX_LABEL, MAX_REASON, Why};

/// Why nothing more comes from an inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InboxEnd {
    /// The peer finished its side, and everything was taken.
    Finished,
    /// This side refused the channel: the inbox was closed, or the peer's mode is not the one expected.
    Refused(String),
    /// The session is over.
    Closed(CloseReason),
}

impl Machine {
    // ---- channels ----

    /// Opens a label on this side.
    pub fn open(
        &mut self,
        label: &str,
        config: ChannelConfig,
        now: Instant,
    ) -> Result<ChannelKey, OpenError> {
        if label.is_empty() {
            return Err(OpenError::LabelEmpty);
        }
        if label.len() > MAX_LABEL {
            return Err(OpenError::LabelTooLong { size: label.len(), limit: MAX_LABEL });
        }
        config.validate(self.limits.max_message_size as usize)?;
        if let Some(reason) = self.ended() {
            return Err(OpenError::Closed(reason));
        }
        let known = self.channels.find(label);
        let limit =
            self.limits.max_channels.min(self.peer.limits.map_or(u32::MAX, |l| l.max_channels)) as usize;
        let restored =
            known.and_then(|key| self.channels.get(key)).is_some_and(|channel| channel.local.is_some());
        if !restored && self.channels.local_len() >= limit {
            return Err(OpenError::TooMany { open: self.channels.local_len(), limit });
        }
        let key = self.channels.meet(label);
        let Some(channel) = self.channels.get_mut(key) else {
            return Err(OpenError::AlreadyOpen(label.to_owned()));
        };
        if channel.config.is_some() {
            return Err(OpenError::AlreadyOpen(label.to_owned()));
        }
        channel.config = Some(config.clone());
        if let Some((expected, found)) = channel.mismatch() {
            channel.config = None;
            return Err(OpenError::ChannelMismatch { label: label.to_owned(), expected, found });
        }
        channel.inbox.grant(window_of(&config));
        // What has waited for a reader is not late yet.
        channel.inbox.watch.forgive(now);
        let limits = Limits {
            messages: config.outbox_messages,
            bytes: config.outbox_bytes,
            large: config.outbox_large,
        };
        match channel.local.as_mut() {
            Some(local) => local.outbox.set_limits(limits),
            None => self.open_local(key, label, Outbox::new(config.delivery, limits)),
        }
        let local = self.channels.get_mut(key).and_then(|channel| channel.local.as_mut());
        if let Some(local) = local.filter(|local| !local.share.is_queued()) {
            local.share = Share::new(config.priority, config.weight);
        }
        self.touch(key);
        self.channels.incoming.retain(|&incoming| incoming != key);
        if self.channels.get(key).is_some_and(|channel| channel.remote.is_some()) {
            self.channels.tell_receiving.insert(key);
            self.ack_at(now);
        }
        Ok(key)
    }

    fn open_local(&mut self, key: ChannelKey, label: &str, outbox: Outbox) {
        let delivery = outbox.mode();
        let Some(id) = self.channels.open_local(key, outbox) else { return };
        let mark = self.journal.record(|| Record::Opened { channel: id, label: label.to_owned(), delivery });
        self.channels.tell_sending.insert(id);
        let attached = self.attached.is_some();
        if let Some(local) = self.channels.get_mut(key).and_then(|channel| channel.local.as_mut()) {
            local.synced = attached;
            local.hold = mark.batch;
        }
    }

    /// The next label that the peer opened and this side has not; each is given once.
    pub fn next_incoming(&mut self) -> Option<(String, Delivery)> {
        while let Some(key) = self.channels.incoming.pop_front() {
            let channel = self.channels.get(key)?;
            if let Some(Ok(delivery)) = channel.remote.as_ref().map(|remote| remote.delivery) {
                return Some((channel.label.clone(), delivery));
            }
        }
        None
    }

    /// No more sends on this channel; what was accepted is still delivered, then the peer's inbox ends.
    pub fn finish(&mut self, key: ChannelKey) {
        let Some(local) = self.channels.get_mut(key).and_then(|channel| channel.local.as_mut()) else {
            return;
        };
        if !std::mem::replace(&mut local.finished, true) {
            let channel = local.id;
            // The end must be the same after a restart, which knows of the numbers only that they were reserved.
            if self.journal.is_enabled() {
                local.outbox.skip_to(local.reserved.0);
            }
            local.hold = self.journal.record(|| Record::Finished { channel }).batch;
            self.channels.tell_sending.insert(channel);
            self.wakes.insert(Wake::Writable(key));
        }
    }

    /// The application takes no more messages of this channel: what is untaken, and what still comes, is rejected with this reason.
    pub fn refuse(&mut self, key: ChannelKey, reason: &str, now: Instant) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        if channel.inbox.refused.is_none() {
            channel.inbox.refused = Some(cut(reason));
        }
        if channel.remote.is_some() {
            self.channels.tell_receiving.insert(key);
            self.ack_at(now);
        }
        self.reject_untaken(key, now);
        self.wakes.insert(Wake::Readable(key));
    }

    // ---- receiving ----

    /// The next message, handed over and acknowledged at once. `None`: nothing now, see [`inbox_end`](Self::inbox_end).
    pub fn recv(&mut self, key: ChannelKey, now: Instant) -> Option<Delivered> {
        self.expire_inbox(key, now);
        let message = self.channels.get_mut(key)?.inbox.next(now)?;
        self.resolve_received(key, &message, None, now);
        Some(message)
    }

    /// The next message, to be ended by `ack`, `reject` or `release`. `None`: nothing now, see [`inbox_end`](Self::inbox_end).
    pub fn recv_unacked(&mut self, key: ChannelKey, now: Instant) -> Option<Delivered> {
        self.expire_inbox(key, now);
        let channel = self.channels.get_mut(key)?;
        let message = channel.inbox.next(now)?;
        channel.inbox.take(message.clone());
        self.taken(now);
        Some(message)
    }

    /// The application is done with a message that it had taken.
    pub fn ack(&mut self, key: ChannelKey, epoch: Epoch, sequence: Sequence, now: Instant) {
        self.end_taken(key, epoch, sequence, None, now);
    }

    /// The application refuses a message that it had taken. The reason is cut to 256 bytes.
    pub fn reject(&mut self, key: ChannelKey, epoch: Epoch, sequence: Sequence, reason: &str, now: Instant) {
        self.end_taken(key, epoch, sequence, Some(Why::Rejected(cut(reason))), now);
    }

    /// The application dropped a message without a word: it comes again (rule R2).
    pub fn release(&mut self, key: ChannelKey, epoch: Epoch, sequence: Sequence, now: Instant) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let attempts = channel.config.as_ref().map_or(1, |config| config.max_attempts);
        match channel.inbox.release(epoch, sequence, attempts, now) {
            Released::NotTaken => {}
            Released::Again if channel.refusal().is_some() => self.reject_untaken(key, now),
            Released::Again => {
                self.wakes.insert(Wake::Readable(key));
                self.touch(key);
            }
            Released::Exhausted => {
                let reason = format!("handed over {attempts} times without an acknowledgement");
                self.end_taken(key, epoch, sequence, Some(Why::Rejected(reason)), now);
            }
        }
    }

    fn end_taken(
        &mut self,
        key: ChannelKey,
        epoch: Epoch,
        sequence: Sequence,
        verdict: Option<Why>,
        now: Instant,
    ) {
        let taken = self.channels.get_mut(key).and_then(|channel| channel.inbox.end_taken(epoch, sequence));
        if let Some(message) = taken {
            self.resolve_received(key, &message, verdict, now);
        }
    }

    pub(super) fn resolve_received(
        &mut self,
        key: ChannelKey,
        message: &Delivered,
        verdict: Option<Why>,
        now: Instant,
    ) {
        let current = self.peer.epoch;
        let Some(channel) = self.channels.get_mut(key) else { return };
        let id = message.id;
        let mark = match channel.inbox.is_reliable() {
            true => self.journal.resolved(id, current, verdict.as_ref()),
            false => self.journal.mark(),
        };
        channel.inbox.resolve(message, current, verdict, mark);
        if let Some(config) = &channel.config {
            channel.inbox.grant(window_of(config));
        }
        self.ack_handled(key, now);
        self.taken(now);
    }

    /// `Some` once nothing will ever come again on this channel.
    pub fn inbox_end(&self, key: ChannelKey) -> Option<InboxEnd> {
        let Some(channel) = self.channels.get(key) else { return Some(InboxEnd::Finished) };
        if channel.inbox.has_next() {
            return None;
        }
        if channel.is_inbox_through() {
            return Some(InboxEnd::Finished);
        }
        if let Some(reason) = channel.refusal() {
            return Some(InboxEnd::Refused(reason.clone()));
        }
        self.closed.clone().map(InboxEnd::Closed)
    }

    // ---- questions ----

    /// Why nothing new is accepted, if so.
    pub(super) fn ended(&self) -> Option<CloseReason> {
        let closing = self.closing.as_ref().map(|closing| CloseReason {
            code: closing.code,
            side: Side::Local,
            clean: false,
            retry: true,
            reason: "closing".to_owned(),
        });
        self.closed.clone().or(closing)
    }

    /// The session's id.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The session's state.
    pub fn state(&self) -> SessionState {
        let attached = self.attached.is_some() && self.detached_since.is_none();
        match (&self.closed, &self.closing, attached) {
            (Some(reason), _, _) => SessionState::Closed(reason.clone()),
            (None, Some(_), _) => SessionState::Closing,
            (None, None, _) if !self.confirmed => SessionState::Connecting,
            (None, None, true) => SessionState::Connected,
            (None, None, false) => SessionState::Detached,
        }
    }

    /// Whether nothing is left to be done: the session is over, and said all it had to.
    pub fn is_finished(&self) -> bool {
        self.closed.is_some() && self.linger.is_none() && self.out.is_empty()
    }

    /// For an acceptor: the dialer has confirmed the Welcome (rule S1).
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// The link attached now.
    pub fn attached(&self) -> Option<LinkId> {
        self.attached.as_ref().map(|attached| attached.link)
    }

    /// This side's epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Accepted messages without an outcome.
    pub fn unresolved(&self) -> u64 {
        let held = |channel: &Channel| channel.local.as_ref().map_or(0, |l| l.outbox.held().messages);
        self.channels.iter().map(|(_, channel)| held(channel) as u64).sum()
    }

    /// The counters of all channels that this side has opened, together.
    pub fn total(&self, now: Instant) -> ChannelStats {
        let all = self.channels.opened(now).map(|(.., stats)| stats);
        all.fold(ChannelStats::default(), ChannelStats::and)
    }

    /// A snapshot of the session's counters, without what [`total`](Self::total) says.
    pub fn stats(&self) -> SessionStats {
        SessionStats {
            attaches: self.counts.attaches,
            resumes: self.counts.resumes,
            resets: self.counts.resets,
            fenced_frames: self.counts.fenced_frames,
            path_changes: self.counts.path_changes,
            beats_sent: self.counts.beats_sent,
            beats_received: self.counts.beats_received,
            rtt: self.attached.as_ref().map_or_else(Default::default, |attached| attached.sample.rtt),
            heartbeat: self.heartbeat_stats(),
            channels: self.channels.len(),
            unresolved: self.unresolved(),
            total: ChannelStats::default(),
            liveness: Liveness {
                path: self.path(),
                process: self.process,
                service: self.service.there,
                own_service: self.health(),
            },
        }
    }

    /// Channels open, either side.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// A snapshot of a channel's counters; `None` for one that has long been gone.
    pub fn channel_stats(&self, key: ChannelKey, now: Instant) -> Option<ChannelStats> {
        let live = self.channels.get(key).map(|channel| channel.figures(Some(now)));
        live.or_else(|| {
            self.channels.opened(now).find(|&(opened, ..)| opened == key).map(|(.., stats)| stats)
        })
    }

    /// The label of a channel; `None` for one that is gone.
    pub fn channel_label(&self, key: ChannelKey) -> Option<&str> {
        self.channels.get(key).map(|channel| channel.label.as_str())
    }

    /// Label and counters of all channels that this side has opened, those included that are gone since not too long ago.
    pub fn opened_channels(&self, now: Instant) -> impl Iterator<Item = (ChannelKey, &str, ChannelStats)> {
        self.channels.opened(now)
    }

    pub(super) fn wake_senders(&mut self) {
        let keys: Vec<ChannelKey> = self.channels.iter().map(|(key, _)| key).collect();
        self.wakes.extend(keys.into_iter().map(Wake::Writable));
    }

    /// Queued messages that turn out to be larger than the peer takes.
    pub(super) fn reject_too_large(&mut self) {
        let Some(limit) = self.peer.limits.map(|limits| limits.max_message_size) else { return };
        let reason = format!("the peer takes messages of at most {limit} bytes");
        let outcome = Outcome::Rejected { reason };
        let mut changed = Vec::new();
        for (key, channel) in self.channels.iter_mut() {
            let Some(local) = channel.local.as_mut() else { continue };
            if local.outbox.resolve_too_large(limit, &outcome) > 0 {
                changed.push((key, local.id));
            }
        }
        for (key, id) in changed {
            self.settle_sent(key, id, true);
        }
    }
}

/// A reason as long as it may travel.
fn cut(reason: &str) -> String {
    reason.get(..floor_char_boundary(reason, MAX_REASON)).unwrap_or_default().to_owned()
}
