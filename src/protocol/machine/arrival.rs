//! Data in: whole messages and pieces, and what becomes of them before the application takes them (rules N1, N2, C2, T1).

use std::time::{Duration, Instant};

use super::Machine;
use super::inbox::{Arrival, Gone};
use super::transfer::floor_char_boundary;
use crate::config::LARGE;
use crate::id::{ChannelId, Epoch, MessageId, Sequence};
use crate::protocol::journal::Record;
use crate::protocol::types::{ChannelKey, Delivered, LinkId, Transfer, Wake};
use crate::wire::{Body, Carrier, Data, Deadline, MAX_REASON, Why};

/// How long the news that a message arrived may wait for the news that it was handled, to travel together. QUIC
/// delays its ACKs alike (RFC 9000 §18.2, max_ack_delay).
const RECEIVED_DELAY: Duration = Duration::from_millis(25);

impl Machine {
    pub(super) fn handle_data(&mut self, link: LinkId, data: Data, now: Instant) {
        let size = data.payload.len() as u64;
        if size > LARGE as u64 {
            return self.violation(link, "a large message in line with others (rule W11)", now);
        }
        let Some((key, id)) = self.identify(link, data.channel, data.sequence, size, now) else { return };
        let on_stream = matches!(data.carrier, Carrier::Lane | Carrier::Stream);
        if on_stream && self.channels.get(key).is_some_and(|channel| !channel.inbox.is_reliable()) {
            return self.violation(link, "an unreliable message on a stream (rule C1)", now);
        }
        let message = Delivered {
            id,
            redelivered: data.redelivered,
            attempt: 1,
            skipped: 0,
            deadline: self.local_deadline(data.deadline, now),
            payload: data.payload,
        };
        self.arrive(link, key, message, now);
    }

    pub(super) fn handle_body(&mut self, link: LinkId, body: Body, now: Instant) {
        let (channel, sequence) = (body.channel, body.sequence);
        let Some((key, id)) = self.identify(link, channel, sequence, body.size, now) else { return };
        let deadline = self.local_deadline(body.deadline, now);
        let Some(channel) = self.channels.get_mut(key) else { return };
        let (arrival, whole) = channel.inbox.piece(id, body, deadline);
        if let Some(message) = whole {
            self.wakes.insert(Wake::Transfer(key));
            return self.arrive(link, key, message, now);
        }
        match arrival {
            Arrival::Violation(what) => return self.violation(link, what, now),
            Arrival::Part => {
                self.wakes.insert(Wake::Transfer(key));
                if channel.refusal().is_some() {
                    self.reject_untaken(key, now);
                }
            }
            Arrival::Duplicate | Arrival::Dropped | Arrival::New => {}
        }
        self.touch(key);
        self.news_of_arrival(key, arrival, now);
    }

    /// Whose message this is. `None` if it is nobody's, or may not be; then that was dealt with.
    fn identify(
        &mut self,
        link: LinkId,
        channel: ChannelId,
        sequence: Sequence,
        size: u64,
        now: Instant,
    ) -> Option<(ChannelKey, MessageId)> {
        let (Some(epoch), Some(key)) = (self.peer.epoch, self.channels.by_remote(channel)) else {
            if !self.channels.was_remote(channel) {
                // The driver was to wait for the announcement. A new link repairs what it dropped.
                self.drop_link(link, "data of a channel that is not announced", now);
            }
            return None;
        };
        if size > self.limits.max_message_size {
            self.violation(link, "a message larger than this side allows (rule G10)", now);
            return None;
        }
        let remote = self.channels.get(key).and_then(|channel| channel.remote.as_ref());
        if remote.and_then(|remote| remote.end).is_some_and(|end| sequence >= end) {
            self.violation(link, "a message beyond the end of its channel (rule C3)", now);
            return None;
        }
        Some((key, MessageId { session: self.session, epoch, channel, sequence }))
    }

    fn local_deadline(&mut self, deadline: Option<Deadline>, now: Instant) -> Option<Instant> {
        deadline.and_then(|deadline| self.clock.deadline(deadline, now))
    }

    /// A whole message is here.
    fn arrive(&mut self, link: LinkId, key: ChannelKey, message: Delivered, now: Instant) {
        let id = message.id;
        let deadline_ms = message.deadline.map(|deadline| self.wall_of(deadline));
        let expires = message.deadline.is_some();
        let Some(channel) = self.channels.get_mut(key) else { return };
        let was_idle = !channel.inbox.has_next();
        let mark = if channel.inbox.remembers(id.sequence) {
            self.journal.record(|| Record::Received {
                channel: id.channel,
                sequence: id.sequence,
                redelivered: message.redelivered,
                deadline_ms,
                payload: message.payload.clone(),
            })
        } else {
            self.journal.mark()
        };
        let arrival = channel.inbox.arrive(message, mark, now);
        match arrival {
            Arrival::Violation(what) => return self.violation(link, what, now),
            Arrival::New => {
                let gone = channel.inbox.supersede(id.sequence, id.epoch);
                if channel.refusal().is_some() {
                    self.reject_untaken(key, now);
                } else if channel.inbox.has_next() {
                    self.wakes.insert(Wake::Readable(key));
                }
                self.pass(key, gone, now);
                // Its deadline, or the watch on an application that does not take what is ready.
                if expires || was_idle {
                    self.touch(key);
                }
            }
            Arrival::Duplicate | Arrival::Dropped | Arrival::Part => {}
        }
        self.news_of_arrival(key, arrival, now);
    }

    /// What is known already is told again, since its sender may not know that; what is not durable yet, later.
    fn news_of_arrival(&mut self, key: ChannelKey, arrival: Arrival, now: Instant) {
        let news = self.channels.get(key).is_some_and(super::channels::Channel::has_news);
        if news || arrival == Arrival::Duplicate {
            self.channels.tell_receiving.insert(key);
            self.ack_by(now + RECEIVED_DELAY);
        }
    }

    /// These messages are over, and were not handed over: their sender is to know.
    pub(super) fn pass(&mut self, key: ChannelKey, gone: Vec<Gone>, now: Instant) {
        if gone.is_empty() {
            return;
        }
        let Some(channel) = self.channels.get_mut(key) else { return };
        let Some(id) = channel.remote.as_ref().map(|remote| remote.id) else { return };
        for Gone { start, end, why } in gone {
            tracing::debug!(channel = %id, start, end, ?why, "passed over");
            let record = || Record::Passed { channel: id, start, end, why: why.clone() };
            let mark = self.journal.record(record);
            channel.inbox.ledger.note_passed(start, end, why, mark.batch, mark.durable);
        }
        if let Some(config) = &channel.config {
            channel.inbox.grant(super::transfer::window_of(config));
        }
        self.wakes.extend([Wake::Readable(key), Wake::Transfer(key)]);
        self.ack_handled(key, now);
        self.passed(key, now);
    }

    /// Takes out of an inbox what has expired.
    pub(super) fn expire_inbox(&mut self, key: ChannelKey, now: Instant) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        if channel.inbox.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let (gone, returned) = (channel.inbox.expire(now), channel.inbox.expire_returned(now));
        if let Some(config) = &channel.config {
            channel.inbox.grant(super::transfer::window_of(config));
        }
        self.pass(key, gone, now);
        for message in returned {
            self.resolve_received(key, &message, Some(Why::Expired), now);
        }
        // Of unreliable messages, and of what a former epoch left, nothing is told; but that may have been the last one.
        self.wakes.insert(Wake::Readable(key));
        self.ack_handled(key, now);
        self.passed(key, now);
    }

    /// What the application has not taken of a refused channel is rejected.
    pub(super) fn reject_untaken(&mut self, key: ChannelKey, now: Instant) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let mut reason = channel.refusal().cloned().unwrap_or_default();
        reason.truncate(floor_char_boundary(&reason, MAX_REASON));
        let current = self.peer.epoch;
        for message in channel.inbox.drain_untaken(now) {
            let why = Why::Rejected(reason.clone());
            let mark = self.journal.resolved(message.id, current, Some(&why));
            channel.inbox.resolve(&message, current, Some(why), mark);
        }
        let gone = channel.inbox.reject_parts(&reason);
        self.pass(key, gone, now);
        self.ack_handled(key, now);
        self.taken(now);
    }

    // ---- large messages ----

    /// Large messages of this channel that are here in part, in the order of their numbers.
    pub fn transfers(&self, key: ChannelKey) -> Vec<Transfer> {
        let Some(channel) = self.channels.get(key) else { return Vec::new() };
        let (Some(remote), Some(epoch)) = (channel.remote.as_ref(), self.peer.epoch) else {
            return Vec::new();
        };
        let (session, channel_id) = (self.session, remote.id);
        channel.inbox.transfers(|sequence| MessageId { session, epoch, channel: channel_id, sequence })
    }

    /// The application does not want the rest of a large message: it is rejected. Whether it was here in part.
    pub fn reject_transfer(
        &mut self,
        key: ChannelKey,
        epoch: Epoch,
        sequence: Sequence,
        reason: &str,
        now: Instant,
    ) -> bool {
        let Some(channel) = self.channels.get_mut(key).filter(|_| self.peer.epoch == Some(epoch)) else {
            return false;
        };
        let reason = reason.get(..floor_char_boundary(reason, MAX_REASON)).unwrap_or_default();
        let gone = channel.inbox.reject_part(sequence, reason);
        let rejected = !gone.is_empty();
        self.pass(key, gone, now);
        rejected
    }
}
