//! The receiving half of a channel, composed.
//!
//! ```text
//!   Data ───────────────> Dedup ──new──> Reorder ──ready──> recv ─────────────────────> Ledger: handled
//!   Body ──> Bodies ──whole──^              │               recv_unacked ──> Handover ──> ack / reject
//!                                           └──expired, superseded, skipped ───────────> Ledger: verdict
//! ```
//!
//! All of it is keyed by the sender's epoch. When the sender begins a new one, what was received under the old is still handed
//! over (`leftover`), but nobody is told any more. Unreliable channels have no ledger: nobody is told anything of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::config::{Delivery, LARGE};
use crate::id::{ChannelId, Epoch, MessageId, Sequence, SessionId};
use crate::protocol::acks::{Ledger, Report};
use crate::protocol::bodies::Bodies;
use crate::protocol::dedup::{Dedup, Recent};
use crate::protocol::fragments::Fragments;
use crate::protocol::handover::{Handover, Released};
use crate::protocol::journal::ReceivedLane;
use crate::protocol::liveness::StallWatch;
use crate::protocol::ranges::RangeSet;
use crate::protocol::reorder::Reorder;
use crate::protocol::types::{Delivered, Transfer, Window};
use crate::wire::Why;

use super::journaling::Mark;

mod arriving;
mod leftover;
mod passing;

pub(super) use arriving::Arrival;
use leftover::Leftover;
pub(super) use passing::Gone;

/// The receiving half of a channel.
#[derive(Debug)]
pub(super) struct Inbox {
    mode: Delivery,
    dedup: Dedup,
    /// Instead of it, on unreliable channels.
    recent: Recent,
    row: Reorder<Delivered>,
    bodies: Bodies,
    fragments: Fragments,
    handover: Handover,
    leftover: Leftover,
    pub(super) ledger: Ledger,
    /// Everything that is over, told or not, under the current epoch.
    over: RangeSet,
    floor: Sequence,
    /// What the sender may have on its way here; grows only, within an epoch.
    pub(super) granted: Window,
    /// What may be here of an unreliable channel, whose sender counts on nothing.
    room: Window,
    /// Arrived under the current epoch and not resolved.
    held: Held,
    leftover_held: Held,
    /// Messages in `row` and `bodies` that expire.
    deadlines: BTreeSet<(Instant, Sequence)>,
    /// Deadlines that were changed before their message came.
    extensions: BTreeMap<Sequence, Option<Instant>>,
    /// One past the last message handed over of a channel with an order.
    handed: Sequence,
    /// Of large messages more is here than the sender was told.
    partial_news: bool,
    /// The sender was told that nothing more is awaited.
    ended: bool,
    /// Why this side's application takes nothing more, whatever the sender's epoch.
    pub(super) refused: Option<String>,
    pub(super) watch: StallWatch,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    messages: u64,
    bytes: u64,
    large: u64,
}

/// Counters for `stats()`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) received: u64,
    pub(super) duplicates: u64,
    pub(super) delivered: u64,
    pub(super) stale: u64,
    pub(super) late: u64,
    pub(super) overflowed: u64,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            mode: Delivery::ReliableOrdered,
            dedup: Dedup::default(),
            recent: Recent::default(),
            row: Reorder::new(true),
            bodies: Bodies::default(),
            fragments: Fragments::default(),
            handover: Handover::default(),
            leftover: Leftover::default(),
            ledger: Ledger::default(),
            over: RangeSet::default(),
            floor: 0,
            granted: Window::INITIAL,
            room: Window::INITIAL,
            held: Held::default(),
            leftover_held: Held::default(),
            deadlines: BTreeSet::new(),
            extensions: BTreeMap::new(),
            handed: 0,
            partial_news: false,
            ended: false,
            refused: None,
            watch: StallWatch::default(),
            counts: Counts::default(),
        }
    }

    /// The sender says how it sends. Nothing has arrived yet under its epoch.
    pub(super) fn set_mode(&mut self, mode: Delivery) {
        self.mode = mode;
        self.row = Reorder::new(mode == Delivery::ReliableOrdered);
    }

    /// The inbox that a journal remembers.
    pub(super) fn restore(
        session: SessionId,
        epoch: Epoch,
        channel: ChannelId,
        lane: ReceivedLane,
        deadline: impl Fn(u64) -> Option<Instant>,
    ) -> Self {
        let mut inbox = Self::new();
        inbox.set_mode(lane.delivery);
        inbox.floor = lane.floor;
        inbox.dedup = Dedup::restore(lane.received.clone());
        // Whatever is handled in one piece needs no second look; the rest is at most a window.
        let settled = lane.handled.below().max(lane.floor);
        inbox.row.raise_floor(settled);
        for &(start, end) in lane.handled.above() {
            inbox.row.pass(start, end);
        }
        for (sequence, kept) in lane.untaken {
            let id = MessageId { session, epoch, channel, sequence };
            let (redelivered, payload) = (kept.redelivered, kept.payload);
            let deadline = kept.deadline_ms.and_then(&deadline);
            let message = Delivered { id, payload, redelivered, attempt: 1, skipped: 0, deadline };
            if sequence < settled {
                inbox.leftover_held.add(message.payload.len());
                inbox.leftover.push(message);
            } else {
                inbox.put(message);
            }
        }
        inbox.handed = settled;
        inbox.over = lane.handled.clone();
        inbox.ledger = Ledger::restore(lane.received, lane.handled, lane.verdicts);
        inbox
    }

    /// Whether the sender is told what becomes of its messages.
    pub(super) fn is_reliable(&self) -> bool {
        self.mode.is_reliable()
    }

    /// Whether a message with this number is to be remembered when it comes: it is new.
    pub(super) fn remembers(&self, sequence: Sequence) -> bool {
        self.mode.is_reliable() && !self.knows(sequence)
    }

    /// A message stands in the row from now on.
    fn put(&mut self, message: Delivered) {
        let sequence = message.id.sequence;
        self.held.add(message.payload.len());
        self.deadlines.extend(message.deadline.map(|deadline| (deadline, sequence)));
        self.row.insert(sequence, message);
    }

    /// Whether a message has arrived before, or was given up by its sender.
    pub(super) fn knows(&self, sequence: Sequence) -> bool {
        self.dedup.seen().contains(sequence)
    }

    /// What the sender has resolved will not come any more. What of it has come and is still here counts in no window any
    /// more: the sender has given up knowing what becomes of it.
    /// Returns whether the floor was lower.
    pub(super) fn raise_floor(&mut self, epoch: Epoch, floor: Sequence) -> bool {
        let raised = floor > self.floor && self.mode.is_reliable();
        if raised {
            if self.dedup.seen().first_missing(0) == 0 && self.dedup.seen().is_whole() {
                // What was over before the first message came is not missed.
                self.handed = floor;
            }
            // What is handled is not here.
            let passed = self.floor.max(self.ledger.handled_below())..floor;
            if !passed.is_empty() {
                let given_up =
                    |message: &&Delivered| message.id.epoch == epoch && passed.contains(&message.id.sequence);
                let here = self.row.iter().map(|(_, message)| message).chain(self.handover.iter());
                for message in here.filter(given_up) {
                    self.held.remove(message.payload.len());
                    self.leftover_held.add(message.payload.len());
                }
            }
            self.floor = floor;
            self.dedup.raise_floor(floor);
            self.row.raise_floor(floor);
            self.over.insert_range(0, floor);
            self.bodies.raise_floor(floor);
            self.extensions = self.extensions.split_off(&floor);
            self.ledger.raise_floor(floor);
        }
        raised
    }

    /// The sender begins a new epoch: its numbers start anew. What was received stays to be handed over.
    pub(super) fn begin_epoch(&mut self) {
        for (sequence, mut message) in self.row.drain() {
            if self.mode.is_ordered() {
                // What lies between them will not come: nobody is left to send it.
                message.skipped = sequence.saturating_sub(self.handed);
                self.handed = self.handed.max(sequence + 1);
            }
            self.leftover.push(message);
        }
        self.leftover_held.messages += self.held.messages;
        self.leftover_held.bytes += self.held.bytes;
        self.leftover_held.large += self.held.large;
        self.held = Held::default();
        self.dedup = Dedup::default();
        self.recent = Recent::default();
        self.row = Reorder::new(true);
        self.bodies = Bodies::default();
        self.fragments = Fragments::default();
        self.ledger = Ledger::default();
        self.over = RangeSet::default();
        self.deadlines.clear();
        self.extensions.clear();
        (self.floor, self.handed, self.ended) = (0, 0, false);
        self.granted = Window::INITIAL;
    }

    /// Raises the grant towards `window`, less what former epochs left here.
    pub(super) fn grant(&mut self, window: Window) {
        let wanted = Window {
            messages: window.messages.saturating_sub(self.leftover_held.messages),
            bytes: window.bytes.saturating_sub(self.leftover_held.bytes),
            large: window.large.saturating_sub(self.leftover_held.large),
        };
        (self.granted, self.room) = (self.granted.max(wanted), wanted);
    }

    /// Whether former epochs left so much here that the application has to take some of it first. Without them nothing is
    /// too much: what came under the present epoch is bounded by its window, and may wait for what is missing before it,
    /// where no application can take it.
    pub(super) fn is_overfull(&self, window: Window) -> bool {
        let (former, held) = (self.leftover_held, self.all_held());
        let over = |former: u64, held: u64, window: u64| former > 0 && held > window.saturating_mul(2);
        over(former.messages, held.messages, window.messages)
            || over(former.bytes, held.bytes, window.bytes)
            || over(former.large, held.large, window.large)
    }

    /// The next message for the application: returned ones first, then by age.
    pub(super) fn next(&mut self, now: Instant) -> Option<Delivered> {
        let message = self.handover.next_returned().or_else(|| self.next_fresh())?;
        self.watch.progress(self.has_next(), now);
        Some(message)
    }

    fn next_fresh(&mut self) -> Option<Delivered> {
        if let Some(message) = self.leftover.pop() {
            self.counts.delivered += 1;
            return Some(message);
        }
        let (sequence, mut message) = self.row.pop()?;
        if let Some(deadline) = message.deadline {
            self.deadlines.remove(&(deadline, sequence));
        }
        if self.mode.is_ordered() {
            message.skipped = sequence.saturating_sub(self.handed);
            self.handed = self.handed.max(sequence + 1);
        }
        self.counts.delivered += 1;
        Some(message)
    }

    /// Whether `next` has something.
    pub(super) fn has_next(&self) -> bool {
        self.handover.has_returned() || !self.leftover.is_empty() || self.row.has_ready()
    }

    /// Puts a message into the application's hands until `end` or `release`.
    pub(super) fn take(&mut self, message: Delivered) {
        self.handover.take(message);
    }

    /// The application is done with a message that it had taken.
    pub(super) fn end_taken(&mut self, epoch: Epoch, sequence: Sequence) -> Option<Delivered> {
        self.handover.end(epoch, sequence)
    }

    /// The application dropped a message that it had taken.
    pub(super) fn release(
        &mut self,
        epoch: Epoch,
        sequence: Sequence,
        max_attempts: u32,
        now: Instant,
    ) -> Released {
        let released = self.handover.release(epoch, sequence, max_attempts);
        if released == Released::Again {
            self.watch.filled(now);
        }
        released
    }

    /// A message is resolved. `current` is the sender's epoch now; older ones are nobody's business any more.
    pub(super) fn resolve(
        &mut self,
        message: &Delivered,
        current: Option<Epoch>,
        verdict: Option<Why>,
        mark: Mark,
    ) {
        let sequence = message.id.sequence;
        if !self.mode.is_reliable() && Some(message.id.epoch) == current {
            self.held.remove(message.payload.len());
        } else if Some(message.id.epoch) == current && sequence >= self.floor {
            self.held.remove(message.payload.len());
            self.over.insert(sequence);
            match verdict {
                None => self.ledger.note_handled(sequence, mark.batch, mark.durable),
                Some(why) => {
                    self.ledger.note_passed(sequence, sequence + 1, why, mark.batch, mark.durable);
                }
            }
        } else {
            self.leftover_held.remove(message.payload.len());
        }
    }

    /// Everything that the application has not taken, early messages too.
    pub(super) fn drain_untaken(&mut self, now: Instant) -> Vec<Delivered> {
        let mut all = Vec::new();
        all.extend(std::iter::from_fn(|| self.handover.next_returned()));
        all.extend(std::iter::from_fn(|| self.leftover.pop()));
        all.extend(self.row.drain().map(|(_, message)| message));
        self.deadlines.clear();
        self.watch.progress(false, now);
        all
    }

    /// Whether everything below `end` has arrived, been handed over and resolved. Of what is unreliable nothing is awaited.
    pub(super) fn is_through(&self, end: Sequence) -> bool {
        let arrived = self.dedup.seen().below() >= end || !self.mode.is_reliable();
        arrived && !self.has_next() && self.handover.taken_len() == 0
    }

    /// The sender is told that nothing more is awaited. What an unreliable one has still on its way is not taken any more:
    /// it may have forgotten the channel before that comes.
    pub(super) fn note_ended(&mut self) {
        self.ended = true;
    }

    /// The next part of what the sender is to be told.
    pub(super) fn report(&mut self) -> Report {
        self.ledger.report()
    }

    /// Whether the sender is to be told of messages, or of parts of some.
    pub(super) fn has_news(&self) -> bool {
        self.partial_news || self.ledger.has_news()
    }

    /// How much is here of large messages, for their sender.
    pub(super) fn tell_partial(&mut self) -> Vec<(Sequence, u64)> {
        self.partial_news = false;
        self.bodies.iter().map(|(sequence, bytes, _)| (sequence, bytes)).collect()
    }

    /// A new link: everything is to be told again.
    pub(super) fn retell(&mut self) {
        self.ledger.retell();
    }

    /// Large messages that are here in part.
    pub(super) fn transfers(&self, name: impl Fn(Sequence) -> MessageId) -> Vec<Transfer> {
        let transfer = |(sequence, received, size)| Transfer { id: name(sequence), received, size };
        self.bodies.iter().map(transfer).collect()
    }

    /// Messages and bytes that arrived and are not resolved, and bytes of those that are here in part.
    pub(super) fn figures(&self) -> (u64, u64, u64) {
        let held = self.all_held();
        let partial = self.bodies.sizes().1 + self.fragments.held() as u64;
        (held.messages, held.bytes + held.large, partial)
    }

    /// Unreliable messages that never came.
    pub(super) fn missing(&self) -> u64 {
        self.recent.missing()
    }

    fn all_held(&self) -> Held {
        Held {
            messages: self.held.messages + self.leftover_held.messages,
            bytes: self.held.bytes + self.leftover_held.bytes,
            large: self.held.large + self.leftover_held.large,
        }
    }
}

impl Held {
    fn add(&mut self, bytes: usize) {
        self.messages += 1;
        *self.of(bytes) += bytes as u64;
    }

    fn remove(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        let held = self.of(bytes);
        *held = held.saturating_sub(bytes as u64);
    }

    fn of(&mut self, bytes: usize) -> &mut u64 {
        if bytes > LARGE { &mut self.large } else { &mut self.bytes }
    }
}

#[cfg(test)]
mod tests;
