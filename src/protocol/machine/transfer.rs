//! What flows on the attached link: which frame comes next, data, and what each control frame means (rules N1, C1).

use std::time::{Duration, Instant};

use super::Machine;
use super::inbox::Arrival;
use crate::id::{ChannelId, MessageId};
use crate::protocol::journal::Record;
use crate::protocol::types::{ChannelKey, LinkId, Readiness, Wake, Window, link_room};
use crate::wire::{BeatKind, Carrier, Control, Data, Frame, Heartbeat, MAX_REASON};

/// How long the news that a message arrived may wait for the news that it was handled, to travel together. QUIC
/// delays its ACKs alike (RFC 9000 §18.2, max_ack_delay).
const RECEIVED_DELAY: Duration = Duration::from_millis(25);
/// Bytes that one channel may write before the next one has its turn.
const TURN: i64 = 16 * 1024;

impl Machine {
    /// May data of this channel be fed?
    pub fn readiness(&self, link: LinkId, channel: ChannelId) -> Readiness {
        if self.attached.as_ref().is_some_and(|attached| attached.link == link) {
            return match self.channels.by_remote(channel) {
                Some(_) => Readiness::Ready,
                None if self.channels.was_remote(channel) => Readiness::Gone,
                None => Readiness::Wait,
            };
        }
        let coming = self.joining.as_ref().is_some_and(|joining| joining.link == link)
            || self.waiting.iter().any(|(waiting, _)| *waiting == link);
        if coming { Readiness::Wait } else { Readiness::Gone }
    }

    /// The link can take this many more bytes of channel data. Control frames and heartbeats need no room.
    pub fn handle_link_room(&mut self, link: LinkId, bytes: usize) {
        if let Some(attached) = self.attached.as_mut().filter(|attached| attached.link == link) {
            attached.room = attached.room.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    // ---- out ----

    /// The next frame to write, if the link may be written to.
    pub(super) fn next_frame(&mut self, now: Instant) -> Option<(LinkId, Frame)> {
        if let Some(hello) = self.next_hello() {
            return Some(hello);
        }
        let durable = self.journal.durable();
        let attached = self.attached.as_mut().filter(|attached| attached.hold <= durable)?;
        let link = attached.link;
        if let Some(welcome) = attached.welcome.take() {
            self.check_drained(now);
            return Some((link, Frame::Control(Control::Welcome(welcome))));
        }
        if let Some(control) = self.next_sending().or_else(|| self.next_receiving(now)) {
            return Some((link, Frame::Control(control)));
        }
        self.next_data().map(|data| (link, Frame::Data(data)))
    }

    /// Whether `next_frame` would give something.
    pub(super) fn has_frame(&self, now: Instant) -> bool {
        let durable = self.journal.durable();
        let attached = self.attached.as_ref().filter(|attached| attached.hold <= durable);
        self.has_hello()
            || attached.is_some_and(|attached| {
                attached.welcome.is_some()
                    || self.channels.tellable(durable).next().is_some()
                    || (!self.channels.tell_receiving.is_empty() && self.ack_due.is_none_or(|due| due <= now))
                    || (attached.room > 0 && !self.channels.ready.is_empty())
            })
    }

    /// Whether the records that the attach itself made are durable.
    pub(super) fn may_write(&self) -> bool {
        let durable = self.journal.durable();
        self.attached.as_ref().is_some_and(|attached| attached.hold <= durable)
    }

    fn next_data(&mut self) -> Option<Data> {
        let durable = self.journal.durable();
        loop {
            let attached = self.attached.as_mut().filter(|attached| attached.room > 0)?;
            let key = *self.channels.ready.front()?;
            let channel = self.channels.get_mut(key)?;
            let local = channel.local.as_mut()?;
            let outgoing = if local.synced && local.unheard.is_none() {
                local.outbox.next_outgoing(local.window, durable)
            } else {
                None
            };
            let Some(outgoing) = outgoing else {
                local.queued = false;
                self.channels.ready.pop_front();
                continue;
            };
            let cost = link_room(outgoing.payload.len()) as i64;
            attached.room -= cost;
            channel.stats.replayed += u64::from(outgoing.again);
            local.turn += cost;
            let turn_over = local.turn >= TURN;
            if turn_over {
                local.turn = 0;
            }
            let (sequence, redelivered, payload) =
                (outgoing.sequence, outgoing.redelivered, outgoing.payload);
            let data = Data {
                channel: local.id,
                sequence,
                redelivered,
                deadline: None,
                carrier: Carrier::Lane,
                payload,
            };
            if turn_over {
                self.channels.ready.rotate_left(1);
            }
            return Some(data);
        }
    }

    // ---- in ----

    pub(super) fn handle_control(&mut self, link: LinkId, control: Control, now: Instant) {
        match control {
            Control::Sending(sending) => self.handle_sending(link, sending, now),
            Control::Receiving(receiving) => self.handle_receiving(link, receiving, now),
            Control::Confirm(confirm) => self.handle_confirm(link, confirm, now),
            Control::Close(close) => self.handle_close(link, close, now),
            Control::CloseAck => self.handle_close_ack(link, now),
            Control::Hello(_) | Control::Welcome(_) | Control::Retry(_) | Control::Refuse(_) => {
                self.violation(link, "an attach message on an attached link (rule S1)", now);
            }
        }
    }

    fn handle_confirm(&mut self, link: LinkId, confirm: crate::wire::Confirm, now: Instant) {
        if self.role == crate::protocol::types::Role::Dialer || confirm.counter != self.counter {
            return self.violation(link, "a Confirm that answers no Welcome of this link (rule S1)", now);
        }
        self.peer.durable = confirm.durable;
        if !std::mem::replace(&mut self.confirmed, true) {
            self.emit(crate::protocol::types::Event::Connected);
            self.wakes.insert(Wake::State);
        }
    }

    pub(super) fn handle_heartbeat(&mut self, link: LinkId, beat: Heartbeat, now: Instant) {
        self.counts.beats_received += 1;
        match beat.kind {
            BeatKind::Beat => {
                if let Some(lease) = self.lease.as_mut() {
                    lease.promise(crate::wire::heartbeat::interval(beat.interval));
                }
                self.send_beat(link, BeatKind::Answer, beat.parity);
            }
            BeatKind::Answer => self.evidence(now),
        }
        self.peer_health(beat.health);
    }

    /// The outbox of a channel has changed: remember, tell, and go on writing.
    pub(super) fn settle_sent(&mut self, key: ChannelKey, id: ChannelId, tell: bool) {
        if let Some(local) = self.channels.get_mut(key).and_then(|channel| channel.local.as_mut())
            && let Some(mark) = self.journal.changes(id, local.outbox.take_changes())
        {
            local.hold = mark.batch;
        }
        if tell {
            self.channels.tell_sending.insert(id);
        }
        self.channels.enqueue(key);
        self.wakes.extend([Wake::Writable(key), Wake::Resolved(key)]);
        self.forget_if_over(key);
    }

    pub(super) fn handle_data(&mut self, link: LinkId, data: Data, now: Instant) {
        let (Some(epoch), Some(key)) = (self.peer.epoch, self.channels.by_remote(data.channel)) else {
            if self.channels.was_remote(data.channel) {
                return;
            }
            // The driver was to wait for the announcement. A new link repairs what it dropped.
            return self.drop_link(link, "data of a channel that is not announced", now);
        };
        let Some(channel) = self.channels.get_mut(key) else { return };
        if data.payload.len() as u64 > self.limits.max_message_size {
            return self.violation(link, "a message larger than this side allows (rule G10)", now);
        }
        if channel.remote.as_ref().and_then(|remote| remote.end).is_some_and(|end| data.sequence >= end) {
            return self.violation(link, "a message beyond the end of its channel (rule C1)", now);
        }
        let id = MessageId { session: self.session, epoch, channel: data.channel, sequence: data.sequence };
        let mark = if channel.inbox.knows(data.sequence) {
            self.journal.mark()
        } else {
            self.journal.record(|| Record::Received {
                channel: data.channel,
                sequence: data.sequence,
                redelivered: data.redelivered,
                payload: data.payload.clone(),
            })
        };
        let arrival = channel.inbox.arrive(id, data, mark, now);
        let duplicate = arrival == Arrival::Duplicate;
        match arrival {
            Arrival::BeyondWindow => {
                return self.violation(link, "more than the window allows (rule N1)", now);
            }
            Arrival::Duplicate => {}
            Arrival::New => {
                if channel.refusal().is_some() {
                    self.reject_untaken(key, now);
                } else if channel.inbox.has_next() {
                    self.wakes.insert(Wake::Readable(key));
                }
            }
        }
        // What is known already is told again, since its sender may not know that; what is not durable yet, later.
        if duplicate || self.channels.get(key).is_some_and(super::channels::Channel::has_news) {
            self.channels.tell_receiving.insert(key);
            self.ack_by(now + RECEIVED_DELAY);
        }
    }

    pub(super) fn forget_if_over(&mut self, key: ChannelKey) {
        if self.channels.is_over(key) {
            self.forget(key);
        }
    }

    pub(super) fn forget(&mut self, key: ChannelKey) {
        let Some(channel) = self.channels.get(key) else { return };
        let local = channel.local.as_ref().map(|local| local.id);
        let remote = channel.remote.as_ref().map(|remote| remote.id);
        if let Some(channel) = local {
            self.journal.record(|| Record::Forgotten { channel });
        }
        if let Some(channel) = remote {
            self.journal.record(|| Record::Ended { channel });
        }
        self.wake_channel(key);
        self.channels.remove(key);
    }

    /// What the application has not taken of a refused channel is rejected.
    pub(super) fn reject_untaken(&mut self, key: ChannelKey, now: Instant) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        let mut reason = channel.refusal().cloned().unwrap_or_default();
        reason.truncate(floor_char_boundary(&reason, MAX_REASON));
        let current = self.peer.epoch;
        for message in channel.inbox.drain_untaken(now) {
            let id = message.id;
            let verdict = Some(reason.clone());
            let mark = self.journal.handled(id, current, verdict.as_deref());
            channel.inbox.resolve(&message, current, verdict, mark);
        }
        self.ack_handled(key, now);
    }
}

/// The window that a channel's configuration grants.
pub(super) fn window_of(config: &crate::config::ChannelConfig) -> Window {
    Window {
        messages: config.inbox_messages as u64,
        bytes: config.inbox_bytes as u64,
        large: config.inbox_large as u64,
    }
}

/// The largest index at most `limit` at which `text` may be cut.
pub(super) fn floor_char_boundary(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}
