//! What flows on the attached link: which frame comes next, and what each control frame means (rules N1, C1).

use std::time::Instant;

use super::Machine;
use super::ready::Part;
use crate::id::ChannelId;
use crate::protocol::journal::Record;
use crate::protocol::outbox::{Outgoing, Piece, Writable};
use crate::protocol::peer_clock::PeerClock;
use crate::protocol::types::{ChannelKey, LinkId, Output, Readiness, Wake, Window, link_room};
use crate::wire::{BeatKind, Body, Carrier, Control, Data, Deadline, Frame, Heartbeat, varint};

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
            attached.room.give(bytes);
        }
    }

    // ---- out ----

    /// The next frame to write, if the link may be written to.
    pub(super) fn next_frame(&mut self, now: Instant) -> Option<(LinkId, Frame, i8)> {
        if let Some((link, hello)) = self.next_hello(now) {
            return Some((link, hello, 0));
        }
        let durable = self.journal.durable();
        let attached = self.attached.as_mut().filter(|attached| attached.hold <= durable)?;
        let link = attached.link;
        if let Some(welcome) = attached.welcome.take() {
            self.tell_address_changes();
            self.check_drained(now);
            return Some((link, Frame::Control(Control::Welcome(welcome)), 0));
        }
        if let Some(control) = self.next_sending(now).or_else(|| self.next_receiving(now)) {
            return Some((link, Frame::Control(control), 0));
        }
        self.next_data(now).map(|(frame, priority)| (link, frame, priority))
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
                    || (self.detached_since.is_none() && self.channels.ready.has(attached.room.takes()))
            })
    }

    /// Whether the records that the attach itself made are durable.
    pub(super) fn may_write(&self) -> bool {
        let durable = self.journal.durable();
        self.attached.as_ref().is_some_and(|attached| attached.hold <= durable)
    }

    /// The next message or piece. A link that is believed to be dead gets none: its sender can still take it back, and if it
    /// is unreliable it may have another link to travel on.
    fn next_data(&mut self, now: Instant) -> Option<(Frame, i8)> {
        let durable = self.journal.durable();
        loop {
            let attached = self.attached.as_ref().filter(|_| self.detached_since.is_none())?;
            let (key, part) = self.channels.ready.first(attached.room.takes())?;
            let channel = self.channels.get_mut(key)?;
            let local = channel.local.as_mut()?;
            let (id, priority) = (local.id, local.share.priority);
            let may_write = local.synced && local.unheard.is_none();
            let to = Writable { window: local.window, durable, heard: local.heard };
            let next = match part {
                Part::Records if may_write => local.outbox.next_record(to, now).map(|out| {
                    channel.stats.replayed += u64::from(out.again);
                    channel.stats.retransmitted += u64::from(out.retransmitted);
                    record(id, out, &self.clock, now)
                }),
                Part::Bodies if may_write => {
                    local.outbox.next_piece(to, now).map(|piece| body(id, piece, &self.clock, now))
                }
                Part::Records | Part::Bodies => None,
            };
            let (settles, bodies) = (local.outbox.has_changes(), local.outbox.has_body());
            let asks = part == Part::Records && local.outbox.mode().is_reliable();
            let cost = next.as_ref().map(|(_, bytes)| link_room(*bytes) as i64);
            self.channels.spend(key, cost);
            // Passing the place of a large message in the row lets it be written. One that is out of credit waits for news.
            if bodies && part == Part::Records {
                self.channels.enqueue_bodies(key);
            }
            if settles {
                self.settle_sent(key, id, false);
            }
            let (Some((frame, _)), Some(cost)) = (next, cost) else { continue };
            if matches!(&frame, Frame::Data(data) if data.carrier == Carrier::Datagram) {
                self.touch(key);
            }
            if let Some(attached) = self.attached.as_mut() {
                attached.room.spend(part, cost);
                if let Some(heart) = attached.heart.as_mut().filter(|_| asks) {
                    heart.ask(attached.sample.rtt, now);
                }
            }
            return Some((frame, priority));
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
            Control::Presence { away } => self.handle_presence(link, away, now),
            Control::AddressSeen(seen) => self.handle_address_seen(link, seen, now),
            Control::Probe(_) | Control::ProbeAnswer => {
                self.violation(link, "a lifetime probe on an attached link (rule H6)", now);
            }
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
            let at_ms = self.wall_of(now);
            self.journal.record(|| Record::Confirmed(at_ms));
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
            BeatKind::Answer => {
                self.beat_heard(beat.parity);
                self.beat_answered(beat.parity, now);
            }
        }
        self.peer_health(beat.health);
    }

    /// The outbox of a channel has changed: remember, tell, and go on writing.
    pub(super) fn settle_sent(&mut self, key: ChannelKey, id: ChannelId, tell: bool) {
        if let Some(local) = self.channels.get_mut(key).and_then(|channel| channel.local.as_mut()) {
            let changes = local.outbox.take_changes();
            if local.outbox.mode().is_reliable()
                && let Some(mark) = self.journal.changes(id, changes)
            {
                local.hold = mark.batch;
            }
            let tell = tell
                || (!local.told_end && local.end().is_some())
                || local.has_skips_to_tell()
                || local.outbox.needs_floor(local.told_floor, local.window.messages, local.finished);
            let link = self.attached.as_ref().map(|attached| attached.link);
            let abandoned = local.outbox.take_abandoned();
            for (link, sequence) in
                link.into_iter().flat_map(|link| abandoned.iter().map(move |&s| (link, s)))
            {
                self.out.push_back(Output::Abandon { link, channel: id, sequence });
            }
            if tell {
                self.channels.tell_sending.insert(id);
            }
        }
        self.channels.enqueue(key);
        self.wakes.extend([Wake::Writable(key), Wake::Resolved(key)]);
        self.forget_if_over(key);
    }

    pub(super) fn forget_if_over(&mut self, key: ChannelKey) {
        if !self.channels.is_over(key) {
            return;
        }
        match self.channels.is_another(key) {
            true => self.renew_local(key),
            false => self.forget(key),
        }
    }

    /// The lane of this side is over, and the peer has begun another channel under the label: that one stays (rule C3).
    fn renew_local(&mut self, key: ChannelKey) {
        let Some((old, channel)) = self.channels.renew_local(key) else { return self.forget(key) };
        let Some(known) = self.channels.get_mut(key) else { return };
        let Some(local) = known.local.as_mut() else { return };
        let (label, delivery, next) = (known.label.clone(), local.outbox.mode(), local.outbox.next());
        self.journal.record(|| Record::Forgotten { channel: old });
        self.journal.record(|| Record::Opened { channel, label, delivery });
        // Its numbers go on: receipts are asked for by number.
        let reserved = self.journal.record(|| Record::Reserved { channel, next });
        local.reserved = (next, reserved.batch);
        local.hold = self.journal.record(|| Record::Finished { channel }).batch;
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
}

/// A message as a frame, and its bytes.
fn record(channel: ChannelId, out: Outgoing, clock: &PeerClock, now: Instant) -> (Frame, usize) {
    let Outgoing { sequence, redelivered, carrier, payload, .. } = out;
    let deadline = out.deadline.map(|at| deadline(at, clock.own_ms(now), now));
    let bytes = payload.len();
    (Frame::Data(Data { channel, sequence, redelivered, deadline, carrier, payload }), bytes)
}

/// A piece of a large message as a frame, and its bytes.
fn body(channel: ChannelId, piece: Piece, clock: &PeerClock, now: Instant) -> (Frame, usize) {
    let Piece { sequence, redelivered, size, offset, bytes, .. } = piece;
    let deadline = piece.deadline.map(|at| deadline(at, clock.own_ms(now), now));
    let carrier = Carrier::Stream;
    let length = bytes.len();
    (Frame::Body(Body { channel, sequence, redelivered, deadline, carrier, size, offset, bytes }), length)
}

fn deadline(at: Instant, clock_ms: u64, now: Instant) -> Deadline {
    let left = at.saturating_duration_since(now).as_millis();
    Deadline { sent_ms: clock_ms, left_ms: u64::try_from(left).unwrap_or(u64::MAX).min(varint::MAX) }
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
