//! What flows on the attached link: data, and what both sides tell of their channels (rules N1, C1, R1, R3, G5).
//!
//! Both tellings are state, not events: they may be repeated and split, sets are unions and windows only grow. So a lost link
//! leaves nothing to repair but to tell again.

use std::time::{Duration, Instant};

use super::Machine;
use super::channels::Remote;
use super::inbox::Arrival;
use crate::error::Outcome;
use crate::id::{ChannelId, MessageId};
use crate::protocol::journal::Record;
use crate::protocol::types::{ChannelKey, LinkId, Readiness, Wake, Window, link_room};
use crate::wire::{
    BeatKind, Control, Data, Frame, Heartbeat, Receiving, ReceivingLane, Sending, SendingLane, Verdict,
};

/// How long the news that a message arrived may wait for the news that it was handled, to travel together. QUIC
/// delays its ACKs alike (RFC 9000 §18.2, max_ack_delay).
const RECEIVED_DELAY: Duration = Duration::from_millis(25);
/// How long the news that a message was handled may wait for more of its kind while the application still has
/// messages to take.
const HANDLED_DELAY: Duration = Duration::from_millis(5);
/// Bytes that one channel may write before the next one has its turn.
const TURN: i64 = 16 * 1024;
/// Lanes told in one control message: with the longest label, or the largest report, it stays within its limit.
const LANES_A_SENDING: usize = 64;

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
                    || !self.channels.tell_sending.is_empty()
                    || (!self.channels.tell_receiving.is_empty() && self.ack_due.is_none_or(|due| due <= now))
                    || (attached.room > 0 && !self.channels.ready.is_empty())
            })
    }

    fn next_sending(&mut self) -> Option<Control> {
        let mut lanes = Vec::new();
        while lanes.len() < LANES_A_SENDING {
            let Some(id) = self.channels.tell_sending.pop_first() else { break };
            let Some(channel) = self.channels.by_local(id).and_then(|key| self.channels.get_mut(key)) else {
                continue;
            };
            let Some(local) = channel.local.as_mut() else { continue };
            local.told_floor = local.outbox.floor();
            lanes.push(SendingLane {
                channel: id,
                label: channel.label.clone(),
                delivery: Ok(local.delivery),
                floor: local.told_floor,
                end: local.finished.then(|| local.outbox.next()),
            });
        }
        (!lanes.is_empty()).then(|| Control::Sending(Sending { epoch: self.epoch, lanes }))
    }

    pub(super) fn next_receiving(&mut self, now: Instant) -> Option<Control> {
        let epoch = self.peer.epoch?;
        if self.ack_due.is_some_and(|due| now < due) {
            return None;
        }
        // One lane a frame: a full report is large, and there is rarely more than one.
        let Some(key) = self.channels.tell_receiving.pop_first() else {
            self.ack_due = None;
            return None;
        };
        let channel = self.channels.get_mut(key)?;
        let through = channel.is_inbox_through();
        let remote = channel.remote.as_mut()?;
        let report = channel.inbox.report();
        let more = channel.inbox.ledger.has_news();
        let ended = through && !more && remote.end.is_some_and(|end| report.handled_below >= end);
        remote.told_ended |= ended;
        let verdict = |(sequence, reason)| Verdict { sequence, reason };
        let lane = ReceivingLane {
            channel: remote.id,
            received_below: report.received_below,
            received: report.received,
            handled_below: report.handled_below,
            handled: report.handled,
            verdicts: report.verdicts.into_iter().map(verdict).collect(),
            window_messages: channel.inbox.granted.messages,
            window_bytes: channel.inbox.granted.bytes,
            refused: channel.inbox.refused.clone(),
            ended,
        };
        if more {
            self.channels.tell_receiving.insert(key);
        } else if self.channels.tell_receiving.is_empty() {
            self.ack_due = None;
        }
        self.forget_if_over(key);
        Some(Control::Receiving(Receiving { epoch, lanes: vec![lane] }))
    }

    fn next_data(&mut self) -> Option<Data> {
        let durable = self.journal.durable();
        loop {
            let attached = self.attached.as_mut().filter(|attached| attached.room > 0)?;
            let key = *self.channels.ready.front()?;
            let channel = self.channels.get_mut(key)?;
            let local = channel.local.as_mut()?;
            let outgoing =
                if local.synced { local.outbox.next_outgoing(local.window, durable) } else { None };
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
            let data = Data { channel: local.id, sequence, redelivered, payload };
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

    fn handle_sending(&mut self, link: LinkId, sending: Sending, now: Instant) {
        if self.peer.epoch != Some(sending.epoch) {
            return;
        }
        for lane in sending.lanes {
            if let Err(what) = self.handle_sending_lane(lane, now) {
                return self.violation(link, what, now);
            }
        }
        self.wakes.insert(Wake::State);
    }

    fn handle_sending_lane(&mut self, lane: SendingLane, now: Instant) -> Result<(), &'static str> {
        let key = match self.channels.by_remote(lane.channel) {
            Some(key) => key,
            None if self.channels.was_remote(lane.channel) => {
                self.tell_gone(&lane);
                return Ok(());
            }
            None => self.announce(&lane)?,
        };
        let Some(channel) = self.channels.get_mut(key) else { return Ok(()) };
        let Some(remote) = channel.remote.as_mut() else { return Ok(()) };
        if channel.label != lane.label || remote.end.is_some_and(|end| lane.end != Some(end)) {
            return Err("a channel changed its label or its end (rule C1)");
        }
        if lane.end.is_some_and(|end| end < lane.floor) {
            return Err("a channel's floor is beyond its end (rule N1)");
        }
        remote.end = lane.end;
        channel.inbox.raise_floor(lane.floor);
        if let Ok(delivery) = remote.delivery {
            let (channel, label, floor, end) = (lane.channel, lane.label, lane.floor, lane.end);
            self.journal.record(|| Record::Announced { channel, label, delivery, floor, end });
        }
        self.channels.tell_receiving.insert(key);
        self.ack_at(now);
        self.wakes.insert(Wake::Readable(key));
        Ok(())
    }

    /// The peer opens a channel.
    fn announce(&mut self, lane: &SendingLane) -> Result<ChannelKey, &'static str> {
        if self.channels.remote_len() >= self.limits.max_channels as usize {
            return Err("more channels than this side allows (rule C1)");
        }
        let key = self.channels.meet(&lane.label);
        if self.channels.get(key).is_some_and(|channel| channel.remote.is_some()) {
            return Err("a label that is announced already (rule C1)");
        }
        let remote = Remote { id: lane.channel, delivery: lane.delivery, end: None, told_ended: false };
        self.channels.insert_remote(key, remote);
        let Some(channel) = self.channels.get_mut(key) else { return Ok(key) };
        if let Some((expected, found)) = channel.mismatch() {
            channel.inbox.refused = Some(format!("{found} where {expected} is expected"));
        }
        match &channel.config {
            Some(config) => channel.inbox.grant(window_of(config)),
            None => {
                self.channels.incoming.push_back(key);
                self.wakes.insert(Wake::Incoming);
            }
        }
        Ok(key)
    }

    /// A channel that both sides were done with: the peer missed the news.
    fn tell_gone(&mut self, lane: &SendingLane) {
        let (Some(epoch), Some(attached)) = (self.peer.epoch, &self.attached) else { return };
        let below = lane.end.unwrap_or(lane.floor).max(lane.floor);
        let gone = ReceivingLane {
            channel: lane.channel,
            received_below: below,
            received: Vec::new(),
            handled_below: below,
            handled: Vec::new(),
            verdicts: Vec::new(),
            window_messages: 0,
            window_bytes: 0,
            refused: None,
            ended: true,
        };
        let link = attached.link;
        self.transmit(link, Control::Receiving(Receiving { epoch, lanes: vec![gone] }));
    }

    fn handle_receiving(&mut self, link: LinkId, receiving: Receiving, now: Instant) {
        if receiving.epoch != self.epoch {
            return;
        }
        for lane in receiving.lanes {
            let Some(key) = self.channels.by_local(lane.channel) else {
                if self.channels.was_local(lane.channel) {
                    continue;
                }
                return self.violation(link, "news of a channel that was never opened (rule C1)", now);
            };
            if self.is_beyond(key, &lane) {
                // A journal that lost its tail gave numbers that it has forgotten: they must not be given again.
                if self.journal.is_enabled() {
                    return self.lose_state(link, now);
                }
                return self.violation(link, "an acknowledgement of a message never sent (rule G5)", now);
            }
            self.handle_receiving_lane(key, lane, now);
        }
        self.report_resumed();
        self.check_drained(now);
    }

    /// Whether the peer claims to have more than this side has sent.
    fn is_beyond(&self, key: ChannelKey, lane: &ReceivingLane) -> bool {
        let Some(local) = self.channels.get(key).and_then(|channel| channel.local.as_ref()) else {
            return false;
        };
        let last = |ranges: &[(u64, u64)]| ranges.last().map_or(0, |&(_, end)| end);
        let verdicts = lane.verdicts.iter().map(|verdict| verdict.sequence.saturating_add(1));
        let highest = [lane.received_below, lane.handled_below, last(&lane.received), last(&lane.handled)];
        highest.into_iter().chain(verdicts).any(|end| end > local.outbox.next())
    }

    fn handle_receiving_lane(&mut self, key: ChannelKey, lane: ReceivingLane, now: Instant) {
        let durable = self.peer.durable;
        let Some(channel) = self.channels.get_mut(key) else { return };
        let Some(local) = channel.local.as_mut() else { return };
        let floor = local.outbox.floor();
        let offered = Window { messages: lane.window_messages, bytes: lane.window_bytes };
        local.window = local.window.max(offered);
        let mut rejected = 0;
        for verdict in lane.verdicts {
            let outcome = Outcome::Rejected { reason: verdict.reason };
            let sequence = verdict.sequence;
            rejected += local.outbox.resolve(sequence, sequence.saturating_add(1), &outcome);
        }
        let received = [(0, lane.received_below)].into_iter().chain(lane.received);
        let before = local.outbox.received_below();
        received.for_each(|(start, end)| local.outbox.on_received(start, end, durable));
        let handled = [(0, lane.handled_below)].into_iter().chain(lane.handled);
        let handled: u64 =
            handled.map(|(start, end)| local.outbox.resolve(start, end, &Outcome::Handled)).sum();
        local.outbox.on_acknowledged(lane.handled_below);
        channel.stats.handled += handled;
        if let Some(reason) = lane.refused {
            let outcome = Outcome::Rejected { reason: reason.clone() };
            rejected += local.outbox.resolve_unwritten(&outcome);
            local.refused = Some(reason);
        }
        channel.stats.rejected += rejected;
        local.peer_ended |= lane.ended;
        let progress = handled + rejected > 0 || local.outbox.received_below() > before;
        let mut stall_over = false;
        if handled + rejected > 0 {
            stall_over = local.watch.progress(local.outbox.has_received(), now);
        } else if local.outbox.has_received() {
            local.watch.filled(now);
        }
        if !std::mem::replace(&mut local.synced, true)
            && let Some(resuming) = self.attached.as_mut().and_then(|attached| attached.resuming.as_mut())
        {
            *resuming += local.outbox.to_replay();
        }
        let (id, end, tell) = (local.id, local.outbox.floor(), local.outbox.owes_floor(local.told_floor));
        self.settle_sent(key, id, floor, end, tell);
        if stall_over {
            self.stall_over();
        }
        if progress {
            self.evidence(now);
        }
    }

    /// The outbox of a channel has changed: remember, tell, and go on writing.
    pub(super) fn settle_sent(&mut self, key: ChannelKey, id: ChannelId, floor: u64, end: u64, tell: bool) {
        if end > floor {
            self.journal.record(|| Record::Resolved { channel: id, start: floor, end });
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
        match channel.inbox.arrive(id, data, mark, now) {
            Arrival::BeyondWindow => {
                return self.violation(link, "more than the window allows (rule N1)", now);
            }
            // Known, but its sender may not know that: say it again.
            Arrival::Duplicate => {}
            Arrival::New => {
                if channel.inbox.refused.is_some() {
                    self.reject_untaken(key, now);
                } else if channel.inbox.has_next() {
                    self.wakes.insert(Wake::Readable(key));
                }
            }
        }
        self.channels.tell_receiving.insert(key);
        self.ack_by(now + RECEIVED_DELAY);
    }

    // ---- acknowledgements ----

    /// A message left the inbox: when to tell.
    pub(super) fn ack_handled(&mut self, key: ChannelKey, now: Instant) {
        let Some(channel) = self.channels.get(key) else { return };
        if channel.remote.is_none() || !channel.inbox.ledger.has_news() {
            return;
        }
        let more = channel.inbox.has_next();
        self.channels.tell_receiving.insert(key);
        if more { self.ack_by(now + HANDLED_DELAY) } else { self.ack_at(now) }
    }

    /// Pending acknowledgements leave now.
    pub(super) fn ack_at(&mut self, now: Instant) {
        self.ack_due = Some(self.ack_due.map_or(now, |due| due.min(now)));
    }

    fn ack_by(&mut self, latest: Instant) {
        match self.ack_due {
            Some(due) if due <= latest => {}
            _ => self.ack_due = Some(latest),
        }
    }

    pub(super) fn forget_if_over(&mut self, key: ChannelKey) {
        if !self.channels.is_over(key) {
            return;
        }
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

/// The window that a channel's configuration grants.
pub(super) fn window_of(config: &crate::config::ChannelConfig) -> Window {
    Window { messages: config.inbox_messages as u64, bytes: config.inbox_bytes as u64 }
}

/// The largest index at most `limit` at which `text` may be cut.
pub(super) fn floor_char_boundary(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}
