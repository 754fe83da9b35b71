//! What both sides tell of their channels: the sender's floor and end, the receiver's acknowledgements and window (rules
//! N1, R1, R3, G5).
//!
//! Both tellings are state, not events: they may be repeated and split, sets are unions and windows only grow. So a lost link
//! leaves nothing to repair but to tell again.

use std::time::{Duration, Instant};

use super::Machine;
use super::channels::Remote;
use super::transfer::window_of;
use crate::config::OnReset;
use crate::error::Outcome;
use crate::id::{ChannelId, Sequence};
use crate::protocol::journal::Record;
use crate::protocol::outbox::ResetCount;
use crate::protocol::types::{ChannelKey, Event, LinkId, Wake, Window};
use crate::wire::{
    Control, Deadline, Extension, Receiving, ReceivingLane, Sending, SendingLane, Verdict, varint,
};

/// How long the news that a message was handled may wait for more of its kind while the application still has
/// messages to take.
const HANDLED_DELAY: Duration = Duration::from_millis(5);
/// Lanes told in one control message: with the longest label, or the largest report, it stays within its limit.
const LANES_A_SENDING: usize = 64;
/// Ranges and deadlines told at once of one lane.
const SKIPS_A_LANE: usize = 32;

/// With the word that a channel has ended: it is forgotten, both directions of it. No other window is empty.
const FORGOTTEN: Window = Window { messages: 0, bytes: 0, large: 0 };

impl Machine {
    // ---- out ----

    pub(super) fn next_sending(&mut self, now: Instant) -> Option<Control> {
        if self.channels.tell_sending.is_empty() {
            return None;
        }
        let (mut lanes, mut more) = (Vec::new(), Vec::new());
        let clock_ms = self.clock.own_ms(now);
        let tellable: Vec<ChannelId> =
            self.channels.tellable(self.journal.durable()).take(LANES_A_SENDING).collect();
        for id in tellable {
            self.channels.tell_sending.remove(&id);
            let Some(channel) = self.channels.by_local(id).and_then(|key| self.channels.get_mut(key)) else {
                continue;
            };
            let Some(local) = channel.local.as_mut() else { continue };
            local.told_floor = local.outbox.floor();
            local.told_end = local.end().is_some();
            let left = |at: Instant| u64::try_from(at.saturating_duration_since(now).as_millis());
            let extension = |(sequence, at): (_, Option<Instant>)| Extension {
                sequence,
                left_ms: at.map(|at| left(at).unwrap_or(u64::MAX).min(varint::MAX)),
            };
            let extended = local.outbox.tell_extended(SKIPS_A_LANE).into_iter().map(extension).collect();
            lanes.push(SendingLane {
                channel: id,
                label: channel.label.clone(),
                delivery: Ok(local.outbox.mode()),
                floor: local.told_floor,
                end: local.end(),
                skipped: local.tell_skipped(SKIPS_A_LANE),
                extended,
            });
            if local.has_skips_to_tell() {
                more.push(id);
            }
        }
        self.channels.tell_sending.extend(more);
        for lane in &lanes {
            if let Some(key) = self.channels.by_local(lane.channel) {
                self.forget_if_over(key);
            }
        }
        (!lanes.is_empty()).then(|| Control::Sending(Sending { epoch: self.epoch, clock_ms, lanes }))
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
        let (through, refused) = (channel.is_inbox_through(), channel.refusal().cloned());
        let remote = channel.remote.as_mut()?;
        let report = channel.inbox.report();
        let partial = channel.inbox.tell_partial();
        let more = channel.inbox.has_news();
        let known = remote.hold <= self.journal.durable();
        let ended = known && through && !more && remote.end.is_some_and(|end| report.handled_below >= end);
        if ended {
            remote.told_ended = true;
            channel.inbox.note_ended();
        }
        remote.told_window = channel.inbox.granted;
        let verdict = |(start, end, why)| Verdict { start, end, why };
        let lane = ReceivingLane {
            channel: remote.id,
            received_below: report.received_below,
            received: report.received,
            handled_below: report.handled_below,
            handled: report.handled,
            verdicts: report.verdicts.into_iter().map(verdict).collect(),
            window_messages: channel.inbox.granted.messages,
            window_bytes: channel.inbox.granted.bytes,
            window_large: channel.inbox.granted.large,
            partial,
            refused,
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

    // ---- acknowledgements ----

    /// A message left the inbox: when to tell.
    pub(super) fn ack_handled(&mut self, key: ChannelKey, now: Instant) {
        let Some(channel) = self.channels.get(key).filter(|channel| channel.has_news()) else { return };
        let more = channel.inbox.has_next();
        self.channels.tell_receiving.insert(key);
        if more { self.ack_by(now + HANDLED_DELAY) } else { self.ack_at(now) }
    }

    /// Pending acknowledgements leave now.
    pub(super) fn ack_at(&mut self, now: Instant) {
        self.ack_due = Some(self.ack_due.map_or(now, |due| due.min(now)));
    }

    pub(super) fn ack_by(&mut self, latest: Instant) {
        match self.ack_due {
            Some(due) if due <= latest => {}
            _ => self.ack_due = Some(latest),
        }
    }

    // ---- in ----

    pub(super) fn handle_sending(&mut self, link: LinkId, sending: Sending, now: Instant) {
        if self.peer.epoch != Some(sending.epoch) {
            return;
        }
        self.clock.heard(sending.clock_ms, now);
        for lane in sending.lanes {
            if let Err(what) = self.handle_sending_lane(lane, sending.clock_ms, now) {
                return self.violation(link, what, now);
            }
        }
        self.wakes.insert(Wake::State);
    }

    fn handle_sending_lane(
        &mut self,
        lane: SendingLane,
        clock_ms: u64,
        now: Instant,
    ) -> Result<(), &'static str> {
        let known = self.channels.by_remote(lane.channel);
        let key = match known {
            Some(key) => key,
            None if self.channels.was_remote(lane.channel) => {
                self.tell_gone(&lane);
                return Ok(());
            }
            None => self.announce(&lane)?,
        };
        let (Some(epoch), Some(channel)) = (self.peer.epoch, self.channels.get_mut(key)) else {
            return Ok(());
        };
        let Some(remote) = channel.remote.as_mut() else { return Ok(()) };
        // Less than was told before: its store has lost its tail, and it will notice when it hears what is here.
        let end = lane.end.or(remote.end);
        if channel.label != lane.label || remote.end.is_some_and(|before| end != Some(before)) {
            return Err("a channel changed its label or its end (rule C1)");
        }
        if remote.delivery != lane.delivery {
            return Err("a channel changed its delivery (rule C1)");
        }
        if end.is_some_and(|end| end < lane.floor) {
            return Err("a channel's floor is beyond its end (rule N1)");
        }
        let news = known.is_none() || remote.end != end;
        (remote.end, remote.named) = (end, true);
        let news = channel.inbox.raise_floor(epoch, lane.floor) || news;
        let beyond =
            |end: Sequence| !channel.inbox.may_skip(end) || remote.end.is_some_and(|last| end > last);
        if lane.skipped.iter().any(|&(_, end)| beyond(end)) {
            return Err("more is skipped than the window or the end of the channel allows (rule N1)");
        }
        // Of what is unreliable nothing is awaited.
        if let Some(end) = end.filter(|_| !channel.inbox.is_reliable()) {
            channel.inbox.ledger.raise_floor(end);
        }
        if let (Ok(delivery), true) = (remote.delivery, news) {
            let (channel, label, floor) = (lane.channel, lane.label, lane.floor);
            let mark = self.journal.record(|| Record::Announced { channel, label, delivery, floor, end });
            if let Some(remote) = self.channels.get_mut(key).and_then(|channel| channel.remote.as_mut()) {
                remote.hold = mark.batch;
            }
        }
        let mut gone = Vec::new();
        if let Some(channel) = self.channels.get_mut(key) {
            for (start, end) in lane.skipped {
                gone.extend(channel.inbox.skip(start, end, epoch));
            }
            for Extension { sequence, left_ms } in lane.extended {
                let left = left_ms.map(|left_ms| Deadline { sent_ms: clock_ms, left_ms });
                let deadline = left.and_then(|left| self.clock.deadline(left, now));
                channel.inbox.extend(epoch, sequence, deadline);
            }
        }
        self.pass(key, gone, now);
        self.touch(key);
        self.channels.tell_receiving.insert(key);
        self.ack_at(now);
        self.wakes.insert(Wake::Readable(key));
        self.forget_if_over(key);
        Ok(())
    }

    /// The peer opens a channel.
    fn announce(&mut self, lane: &SendingLane) -> Result<ChannelKey, &'static str> {
        if self.channels.remote_len() >= self.limits.max_channels as usize {
            return Err("more channels than this side allows (rule C1)");
        }
        let mut key = self.channels.meet(&lane.label);
        if self.channels.get(key).is_some_and(|channel| channel.remote.is_some()) {
            if !self.channels.may_be_gone(key) {
                return Err("a label that is announced already (rule C1)");
            }
            // The peer opens the label anew: it is through with the old channel, and only the news was lost.
            self.peer_is_through(key);
            key = self.channels.meet(&lane.label);
        }
        let remote = Remote::new(lane.channel, lane.delivery, None);
        self.channels.insert_remote(key, remote);
        let Some(channel) = self.channels.get_mut(key) else { return Ok(key) };
        let mismatch =
            channel.mismatch().map(|(expected, found)| format!("{found} where {expected} is expected"));
        if let Some(remote) = channel.remote.as_mut() {
            remote.mismatch = mismatch;
        }
        if let Ok(delivery) = lane.delivery {
            channel.inbox.set_mode(delivery);
        }
        match &channel.config {
            Some(config) => channel.inbox.grant(window_of(config)),
            None => {
                self.channels.note_incoming(key);
                self.wakes.insert(Wake::Incoming);
            }
        }
        Ok(key)
    }

    /// The peer has forgotten a channel, which it does only after it has resolved and told all: what this side has not
    /// heard of is handled.
    fn peer_is_through(&mut self, key: ChannelKey) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        if let Some(local) = channel.local.as_mut() {
            let (start, end) = (local.outbox.floor(), local.outbox.next());
            local.outbox.resolve(start, end, &Outcome::Handled);
        }
        self.forget(key);
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
            window_messages: FORGOTTEN.messages,
            window_bytes: FORGOTTEN.bytes,
            window_large: FORGOTTEN.large,
            partial: Vec::new(),
            refused: None,
            ended: true,
        };
        let link = attached.link;
        self.transmit(link, Control::Receiving(Receiving { epoch, lanes: vec![gone] }));
    }

    pub(super) fn handle_receiving(&mut self, link: LinkId, receiving: Receiving, now: Instant) {
        if receiving.epoch != self.epoch {
            return;
        }
        for lane in receiving.lanes {
            let Some(key) = self.channels.by_local(lane.channel) else {
                if self.channels.was_local(lane.channel) {
                    continue;
                }
                if self.journal.is_enabled() {
                    return self.lose_state(link, now);
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

    /// Whether the peer claims to have what this side has never sent.
    fn is_beyond(&self, key: ChannelKey, lane: &ReceivingLane) -> bool {
        let Some(local) = self.channels.get(key).and_then(|channel| channel.local.as_ref()) else {
            return false;
        };
        let last = |ranges: &[(u64, u64)]| ranges.last().map_or(0, |&(_, end)| end);
        let verdicts = lane.verdicts.iter().map(|verdict| verdict.end);
        if lane.ended && !local.finished {
            return true;
        }
        if lane.partial.iter().any(|&(sequence, _)| sequence >= local.outbox.next()) {
            return true;
        }
        let highest = [lane.received_below, lane.handled_below, last(&lane.received), last(&lane.handled)];
        if highest.into_iter().chain(verdicts).any(|end| end > local.outbox.next()) {
            return true;
        }
        // Its number may have been given before, to a message that a journal has forgotten.
        let below = [(0, lane.received_below), (0, lane.handled_below)];
        let verdicts = lane.verdicts.iter().map(|verdict| (verdict.start, verdict.end));
        let ranges = lane.received.iter().chain(&lane.handled).copied();
        let mut claimed = below.into_iter().chain(verdicts).chain(ranges);
        local.outbox.mode().is_reliable() && claimed.any(|(start, end)| local.outbox.never_wrote(start, end))
    }

    fn handle_receiving_lane(&mut self, key: ChannelKey, mut lane: ReceivingLane, now: Instant) {
        let (durable, rtt) = (self.peer.durable, self.rtt());
        let Some(channel) = self.channels.get_mut(key) else { return };
        let Some(local) = channel.local.as_mut() else { return };
        if !local.outbox.mode().is_reliable() {
            // That nothing more is awaited says nothing of what became of it.
            lane.forget_messages();
        }
        let offered =
            Window { messages: lane.window_messages, bytes: lane.window_bytes, large: lane.window_large };
        local.window = local.window.max(offered);
        let redeliver = channel.config.as_ref().is_some_and(|config| config.on_reset == OnReset::Redeliver);
        let mut lost = ResetCount::default();
        if !local.synced {
            let (below, handled_below) = (lane.received_below, lane.handled_below);
            lost = local.outbox.on_peer_holds(below, &lane.received, handled_below, redeliver);
        }
        let first = !std::mem::replace(&mut local.synced, true);
        if first {
            local.outbox.resume_bodies(&lane.partial);
        }
        local.heard = true;
        local.outbox.expire(now);
        let mut ended: u64 = lane
            .verdicts
            .iter()
            .map(|verdict| local.outbox.on_verdict(verdict.start, verdict.end, &verdict.why))
            .sum();
        let received = [(0, lane.received_below)].into_iter().chain(lane.received);
        let before = local.outbox.received_below();
        received.for_each(|(start, end)| local.outbox.on_received(start, end, durable));
        let handled = [(0, lane.handled_below)].into_iter().chain(lane.handled);
        ended += handled.map(|(start, end)| local.outbox.resolve(start, end, &Outcome::Handled)).sum::<u64>();
        local.outbox.on_acknowledged(lane.handled_below);
        local.unheard.take_if(|floor| lane.handled_below >= *floor);
        let mut more = false;
        for (sequence, bytes) in lane.partial {
            more |= local.outbox.on_partial(sequence, bytes);
        }
        if let Some(reason) = &lane.refused {
            let outcome = Outcome::Rejected { reason: reason.clone() };
            ended += local.outbox.resolve_unwritten(&outcome);
        }
        local.outbox.newest_is_over();
        local.outbox.detect_loss(rtt, now);
        local.refused = lane.refused;
        local.peer_ended |= lane.ended;
        local.peer_forgot |= lane.ended && offered == FORGOTTEN;
        let progress = more || ended > 0 || local.outbox.received_below() > before;
        if first
            && let Some(resuming) = self.attached.as_mut().and_then(|attached| attached.resuming.as_mut())
        {
            *resuming += local.outbox.to_replay();
        }
        let (id, tell) = (local.id, local.outbox.owes_floor(local.told_floor));
        self.settle_sent(key, id, tell);
        self.touch(key);
        if lost != ResetCount::default() {
            self.emit(Event::Reset { undelivered: lost.unknown, redelivered: lost.redelivered });
        }
        if progress {
            self.evidence(now);
        }
    }
}
