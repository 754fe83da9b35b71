//! The receiving half of a channel, composed: dedup, then order, then the application's hands, then the ledger of what
//! the sender is told.
//!
//! ```text
//!   Data ──> Dedup ──new──> Reorder ──in order──> recv ─────────────────────> Ledger: handled
//!              │                                  recv_unacked ──> Handover ──> ack / reject
//!              └──duplicate: dropped, counted
//! ```
//!
//! All of it is keyed by the sender's epoch. When the sender begins a new one, what was received under the old is still handed
//! over (`leftover`), but nobody is told any more.

use std::collections::VecDeque;
use std::time::Instant;

use crate::id::{ChannelId, Epoch, MessageId, Sequence, SessionId};
use crate::protocol::acks::{Ledger, Report};
use crate::protocol::dedup::{Admission, Dedup};
use crate::protocol::handover::{Handover, Released};
use crate::protocol::journal::ReceivedLane;
use crate::protocol::liveness::StallWatch;
use crate::protocol::reorder::Reorder;
use crate::protocol::types::{Delivered, Window};
use crate::wire::Data;

use super::journaling::Mark;

/// The receiving half of a channel.
#[derive(Debug)]
pub(super) struct Inbox {
    dedup: Dedup,
    reorder: Reorder<Delivered>,
    handover: Handover,
    leftover: VecDeque<Delivered>,
    pub(super) ledger: Ledger,
    floor: Sequence,
    /// What the sender may have on its way here; grows only, within an epoch.
    pub(super) granted: Window,
    /// Arrived under the current epoch and not resolved.
    held: Held,
    leftover_held: Held,
    /// Why this side's application takes nothing more, whatever the sender's epoch.
    pub(super) refused: Option<String>,
    pub(super) watch: StallWatch,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    messages: u64,
    bytes: u64,
}

/// Counters for `stats()`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) received: u64,
    pub(super) duplicates: u64,
    pub(super) delivered: u64,
}

/// What an arriving message was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// New; to be handed over, or to be rejected at once if the inbox is refused.
    New,
    /// Known.
    Duplicate,
    /// More than the sender was allowed.
    BeyondWindow,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            dedup: Dedup::default(),
            reorder: Reorder::default(),
            handover: Handover::default(),
            leftover: VecDeque::new(),
            ledger: Ledger::default(),
            floor: 0,
            granted: Window::INITIAL,
            held: Held::default(),
            leftover_held: Held::default(),
            refused: None,
            watch: StallWatch::default(),
            counts: Counts::default(),
        }
    }

    /// The inbox that a journal remembers.
    pub(super) fn restore(session: SessionId, epoch: Epoch, channel: ChannelId, lane: ReceivedLane) -> Self {
        let mut inbox = Self::new();
        inbox.floor = lane.floor;
        inbox.dedup = Dedup::restore(lane.received.clone());
        // Whatever is handled in one piece needs no second look; the rest is at most a window.
        let settled = lane.handled.below().max(lane.floor);
        for (&sequence, (redelivered, payload)) in lane.untaken.range(..settled) {
            inbox.leftover_held.add(payload.len());
            let id = MessageId { session, epoch, channel, sequence };
            let (redelivered, payload) = (*redelivered, payload.clone());
            inbox.leftover.push_back(Delivered { id, payload, redelivered, attempt: 1, skipped: 0 });
        }
        inbox.reorder.raise_floor(settled);
        let pieces = [(0, lane.received.below())].into_iter().chain(lane.received.above().iter().copied());
        for sequence in pieces.flat_map(|(start, end)| start.max(settled)..end) {
            if let Some((redelivered, payload)) = lane.untaken.get(&sequence) {
                inbox.held.add(payload.len());
                let id = MessageId { session, epoch, channel, sequence };
                let (redelivered, payload) = (*redelivered, payload.clone());
                inbox
                    .reorder
                    .insert(sequence, Delivered { id, payload, redelivered, attempt: 1, skipped: 0 });
            } else {
                inbox.reorder.pass(sequence);
            }
        }
        inbox.ledger = Ledger::restore(lane.received, lane.handled, lane.verdicts);
        inbox
    }

    /// A message arrived; `id` is its full name.
    pub(super) fn arrive(&mut self, id: MessageId, data: Data, mark: Mark, now: Instant) -> Arrival {
        let resolved_below = self.floor.max(self.ledger.handled_below());
        let after = self.held.bytes.saturating_add(data.payload.len() as u64);
        if after > self.granted.bytes && !self.knows(id.sequence) {
            return Arrival::BeyondWindow;
        }
        match self.dedup.admit(id.sequence, resolved_below, self.granted.messages) {
            Admission::BeyondWindow => Arrival::BeyondWindow,
            Admission::Duplicate => {
                self.counts.duplicates += 1;
                Arrival::Duplicate
            }
            Admission::New => {
                self.counts.received += 1;
                self.held.add(data.payload.len());
                self.ledger.note_received(id.sequence, mark.batch, mark.durable);
                let (redelivered, payload) = (data.redelivered, data.payload);
                self.reorder
                    .insert(id.sequence, Delivered { id, payload, redelivered, attempt: 1, skipped: 0 });
                if self.reorder.has_ready() {
                    self.watch.filled(now);
                }
                Arrival::New
            }
        }
    }

    /// Whether a message has arrived before, or was given up by its sender.
    pub(super) fn knows(&self, sequence: Sequence) -> bool {
        self.dedup.seen().contains(sequence)
    }

    /// What the sender has resolved will not come any more. What of it has come and is still here counts in no window any
    /// more: the sender has given up knowing what becomes of it.
    /// Returns whether the floor was lower.
    pub(super) fn raise_floor(&mut self, epoch: Epoch, floor: Sequence) -> bool {
        let raised = floor > self.floor;
        if raised {
            if floor > self.ledger.handled_below() {
                let passed = self.floor..floor;
                let given_up = |id: MessageId| id.epoch == epoch && passed.contains(&id.sequence);
                let here = self.reorder.iter().chain(self.handover.iter());
                for message in here.filter(|message| given_up(message.id)) {
                    self.held.remove(message.payload.len());
                    self.leftover_held.add(message.payload.len());
                }
            }
            self.floor = floor;
            self.dedup.raise_floor(floor);
            self.reorder.raise_floor(floor);
            self.ledger.raise_floor(floor);
        }
        raised
    }

    /// The sender begins a new epoch: its numbers start anew. What was received stays to be handed over.
    pub(super) fn begin_epoch(&mut self) {
        self.leftover.extend(self.reorder.drain().map(|(_, message)| message));
        self.leftover_held.messages += self.held.messages;
        self.leftover_held.bytes += self.held.bytes;
        self.held = Held::default();
        self.dedup = Dedup::default();
        self.reorder = Reorder::default();
        self.ledger = Ledger::default();
        self.floor = 0;
        self.granted = Window::INITIAL;
    }

    /// Raises the grant towards `window`, less what former epochs left here.
    pub(super) fn grant(&mut self, window: Window) {
        let wanted = Window {
            messages: window.messages.saturating_sub(self.leftover_held.messages),
            bytes: window.bytes.saturating_sub(self.leftover_held.bytes),
            large: window.large,
        };
        self.granted = self.granted.max(wanted);
    }

    /// Whether former epochs left more here than one window may hold.
    pub(super) fn is_overfull(&self, window: Window) -> bool {
        let (messages, bytes) =
            (self.leftover_held.messages + self.held.messages, self.leftover_held.bytes + self.held.bytes);
        messages > window.messages.saturating_mul(2) || bytes > window.bytes.saturating_mul(2)
    }

    /// The next message for the application: returned ones first, then by age.
    pub(super) fn next(&mut self, now: Instant) -> Option<Delivered> {
        let message = self.handover.next_returned().or_else(|| {
            let fresh = self.leftover.pop_front().or_else(|| self.reorder.pop().map(|(_, message)| message));
            self.counts.delivered += u64::from(fresh.is_some());
            fresh
        })?;
        self.watch.progress(self.has_next(), now);
        Some(message)
    }

    /// Whether `next` has something.
    pub(super) fn has_next(&self) -> bool {
        self.handover.has_returned() || !self.leftover.is_empty() || self.reorder.has_ready()
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
        verdict: Option<String>,
        mark: Mark,
    ) {
        if Some(message.id.epoch) == current && message.id.sequence >= self.floor {
            self.held.remove(message.payload.len());
            self.ledger.note_handled(message.id.sequence, verdict, mark.batch, mark.durable);
        } else {
            self.leftover_held.remove(message.payload.len());
        }
    }

    /// Everything that the application has not taken, early messages too.
    pub(super) fn drain_untaken(&mut self, now: Instant) -> Vec<Delivered> {
        let mut all = Vec::new();
        all.extend(std::iter::from_fn(|| self.handover.next_returned()));
        all.extend(self.leftover.drain(..));
        all.extend(self.reorder.drain().map(|(_, message)| message));
        self.watch.progress(false, now);
        all
    }

    /// Whether everything below `end` has arrived, been handed over and resolved.
    pub(super) fn is_through(&self, end: Sequence) -> bool {
        self.dedup.seen().below() >= end && !self.has_next() && self.handover.taken_len() == 0
    }

    /// The next part of what the sender is to be told.
    pub(super) fn report(&mut self) -> Report {
        self.ledger.report()
    }

    /// Messages and bytes that arrived and are not resolved.
    pub(super) fn held(&self) -> (u64, u64) {
        (self.held.messages + self.leftover_held.messages, self.held.bytes + self.leftover_held.bytes)
    }
}

impl Held {
    fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }

    fn remove(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes as u64);
    }
}
