//! One process of one side: a machine, its store if it has one, and an application.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bowline::config::{Delivery, SendOptions};
use bowline::error::{CloseReason, ExtendError, OpenError, Outcome, SendError};
use bowline::id::{ChannelId, Epoch, MessageId};
use bowline::protocol::journal::{Batch, Record, SentLane, Snapshot};
use bowline::protocol::machine::Machine;
use bowline::protocol::types::{ChannelKey, Event, LinkId, Progress, SessionState, Setup};
use bowline::wire::{Control, Frame, ReceivingLane};
use bytes::Bytes;

use crate::link::Side;
use crate::model::{Handed, Model, Sent};
use crate::net::name_of;
use crate::settings::Shape;

/// A process.
#[derive(Debug)]
pub(crate) struct Peer {
    /// When it began: its clock counts from here.
    pub(crate) born: Instant,
    pub(crate) side: Side,
    pub(crate) machine: Machine,
    pub(crate) setup: Setup,
    pub(crate) store: Option<Store>,
    /// What the machine last said it waits for; `None` when it has to be polled.
    pub(crate) wait: Option<Option<Instant>>,
    /// Wake-ups at one moment, to find a timer that spins.
    pub(crate) spins: (Option<Instant>, u32),
    pub(crate) channels: BTreeMap<String, Open>,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) handed: Handed,
    pub(crate) events: Vec<Event>,
    pub(crate) frames: Vec<&'static str>,
    /// The link that has been given room.
    pub(crate) roomy: Option<LinkId>,
    /// Losses it has heard of, and those it will have heard of with the attach under way.
    pub(crate) heard: u64,
    pub(crate) hearing: u64,
    pub(crate) stopped_until: Option<Instant>,
    pub(crate) other_journals: bool,
    pub(crate) restored: bool,
}

/// A channel that the application has opened.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) key: ChannelKey,
    pub(crate) shape: Shape,
    pub(crate) taken: Vec<MessageId>,
    pub(crate) refused: bool,
    pub(crate) finished: bool,
}

/// How long a message lives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Life {
    /// As its channel says.
    Channel,
    Ever,
    Ms(u64),
}

/// What the application holds of a message that it sent.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) id: MessageId,
    pub(crate) label: String,
    pub(crate) key: ChannelKey,
    batch: u64,
    seen: Progress,
}

/// A store: batches become durable late and in order.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) snapshot: Snapshot,
    pub(crate) history: Vec<Batch>,
    pub(crate) queue: VecDeque<(Instant, Batch)>,
    /// The highest number durable of the machine that runs now.
    pub(crate) durable: u64,
}

impl Store {
    pub(crate) fn put(&mut self, at: Instant, batch: Batch) {
        let at = self.queue.back().map_or(at, |(last, _)| at.max(*last));
        self.queue.push_back((at, batch));
    }

    /// What a process that starts now finds; with `lost`, without the last batches.
    pub(crate) fn reopen(&mut self, lost: usize) -> Snapshot {
        self.queue.clear();
        self.durable = 0;
        self.history.truncate(self.history.len().saturating_sub(lost));
        self.snapshot = Snapshot::default();
        self.history.iter().for_each(|batch| self.snapshot.apply(batch));
        self.snapshot.clone()
    }

    /// Epochs of the peer that were over when the process ended: nobody sends again under them.
    pub(crate) fn former_epochs(&self) -> BTreeSet<Epoch> {
        let begun = |record: &Record| match record {
            Record::PeerEpoch(epoch) => Some(*epoch),
            _ => None,
        };
        let records = self.history.iter().flat_map(|batch| &batch.records);
        records.filter_map(begun).filter(|&epoch| self.snapshot.peer_epoch != Some(epoch)).collect()
    }
}

impl Peer {
    pub(crate) fn new(
        side: Side,
        machine: Machine,
        setup: Setup,
        store: Option<Store>,
        born: Instant,
    ) -> Self {
        Self {
            born,
            side,
            machine,
            setup,
            store,
            wait: None,
            spins: (None, 0),
            channels: BTreeMap::new(),
            receipts: Vec::new(),
            handed: Handed::default(),
            events: Vec::new(),
            frames: Vec::new(),
            roomy: None,
            heard: 0,
            hearing: 0,
            stopped_until: None,
            other_journals: false,
            restored: false,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.machine.state(), SessionState::Closed(_))
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        match self.machine.state() {
            SessionState::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    /// Opens a label, or finds it open.
    pub(crate) fn open(&mut self, label: &str, shape: &Shape, now: Instant) {
        if let Some(open) = self.channels.get(label)
            && self.machine.channel_label(open.key).is_some()
        {
            return;
        }
        match self.machine.open(label, shape.config(), now) {
            Ok(key) => {
                let shape = shape.clone();
                let open = Open { key, shape, taken: Vec::new(), refused: false, finished: false };
                self.channels.insert(label.to_owned(), open);
            }
            Err(OpenError::Closed(_) | OpenError::AlreadyOpen(_) | OpenError::TooMany { .. }) => {}
            Err(error) => panic!("{label} cannot be opened: {error}"),
        }
    }

    pub(crate) fn send(
        &mut self,
        label: &str,
        payload: Bytes,
        life: Life,
        model: &mut Model,
        now: Instant,
    ) -> Result<MessageId, SendError> {
        let Some(open) = self.channels.get(label) else { return Err(SendError::Finished) };
        let (options, lifetime) = match life {
            Life::Channel => (SendOptions::new(), open.shape.deadline),
            Life::Ever => (SendOptions::new().no_deadline(), None),
            Life::Ms(ms) => {
                let lifetime = Duration::from_millis(ms);
                (SendOptions::new().deadline(lifetime), Some(lifetime))
            }
        };
        let accepted = self.machine.send(open.key, payload.clone(), options, now)?;
        let sent = Sent {
            payload,
            mode: open.shape.delivery,
            losses: self.heard,
            redeliver: open.shape.redeliver,
            deadline: lifetime.map(|lifetime| now + lifetime),
        };
        model.accepted(accepted.id, sent);
        let (id, batch, key) = (accepted.id, accepted.batch, open.key);
        let label = label.to_owned();
        self.receipts.push(Receipt { id, label, key, batch, seen: Progress::Accepted });
        Ok(id)
    }

    /// One of the latest messages of a label that have no outcome yet.
    fn latest_open(&self, label: &str, which: usize) -> Option<(ChannelKey, MessageId)> {
        let open =
            |receipt: &&Receipt| receipt.label == label && !matches!(receipt.seen, Progress::Resolved(_));
        self.receipts.iter().rev().filter(open).nth(which).map(|receipt| (receipt.key, receipt.id))
    }

    /// Withdraws one of the latest messages.
    pub(crate) fn cancel(&mut self, label: &str, which: usize, model: &mut Model, now: Instant) {
        let Some((key, id)) = self.latest_open(label, which) else { return };
        let before = self.machine.progress(key, id.epoch, id.sequence);
        let cancelled = self.machine.cancel(key, id.epoch, id.sequence, now);
        let after = self.machine.progress(key, id.epoch, id.sequence);
        if cancelled {
            assert!(!matches!(before, Progress::Resolved(_)), "R1: {id} was over: {before:?}");
            model.cancelled(id);
            let at_once = model.is_written(id) || self.restored;
            assert!(at_once || after == Progress::Resolved(Outcome::Cancelled), "R1: {id} is {after:?}");
        } else {
            let late = matches!(before, Progress::Resolved(_)) || model.is_given_up(id, now);
            assert!(late, "R1: {id} cannot be withdrawn: {before:?}");
            assert_eq!(before, after, "R1: {id}");
        }
    }

    /// Gives one of the latest messages another deadline.
    pub(crate) fn extend(
        &mut self,
        label: &str,
        which: usize,
        life: Option<u64>,
        model: &mut Model,
        now: Instant,
    ) {
        let Some((key, id)) = self.latest_open(label, which) else { return };
        let life = life.map(Duration::from_millis);
        match self.machine.extend_deadline(key, id.epoch, id.sequence, life, now) {
            Ok(()) => model.extended(id, life.map(|life| now + life)),
            Err(ExtendError::Over(outcome)) => {
                let progress = self.machine.progress(key, id.epoch, id.sequence);
                assert_eq!(progress, Progress::Resolved(outcome), "T1: {id}");
            }
            Err(error) => assert!(model.is_given_up(id, now), "T1: {id} cannot be extended: {error}"),
        }
    }

    /// The application does not want the rest of a large message.
    pub(crate) fn reject_transfer(&mut self, label: &str, which: usize, model: &mut Model, now: Instant) {
        let Some(open) = self.channels.get(label) else { return };
        let transfers = self.machine.transfers(open.key);
        let Some(transfer) = transfers.get(which % transfers.len().max(1)) else { return };
        let id = transfer.id;
        let rejected = self.machine.reject_transfer(open.key, id.epoch, id.sequence, "too much", now);
        assert!(rejected, "C2: {id} is here in part, and cannot be rejected");
        model.rejected_in_part(&mut self.handed, id);
    }

    /// Takes up to `count` messages with `recv`.
    pub(crate) fn recv(
        &mut self,
        label: &str,
        count: u64,
        model: &mut Model,
        now: Instant,
    ) -> Vec<MessageId> {
        let Some(open) = self.channels.get_mut(label) else { return Vec::new() };
        let mut got = Vec::new();
        while (got.len() as u64) < count
            && let Some(message) = self.machine.recv(open.key, now)
        {
            model.delivered(&mut self.handed, &message, now);
            model.handled(message.id);
            got.push(message.id);
        }
        got
    }

    /// Takes up to `count` messages with `recv_unacked`.
    pub(crate) fn take(&mut self, label: &str, count: u64, model: &mut Model, now: Instant) -> u64 {
        let Some(open) = self.channels.get_mut(label) else { return 0 };
        let mut got = 0;
        while got < count
            && let Some(message) = self.machine.recv_unacked(open.key, now)
        {
            model.delivered(&mut self.handed, &message, now);
            open.taken.push(message.id);
            got += 1;
        }
        got
    }

    /// Ends one of the messages in the application's hands: 0 acks it, 1 rejects it, 2 drops it.
    pub(crate) fn settle(
        &mut self,
        label: &str,
        which: usize,
        how: u64,
        model: &mut Model,
        now: Instant,
    ) -> bool {
        let Some(open) = self.channels.get_mut(label).filter(|open| !open.taken.is_empty()) else {
            return false;
        };
        let id = open.taken.remove(which % open.taken.len());
        let key = open.key;
        match how {
            0 => {
                model.handled(id);
                self.machine.ack(key, id.epoch, id.sequence, now);
            }
            1 => {
                model.rejected(id);
                self.machine.reject(key, id.epoch, id.sequence, "not this one", now);
            }
            _ => {
                self.machine.release(key, id.epoch, id.sequence, now);
            }
        }
        true
    }

    /// Takes back what was never written. How many messages that were.
    pub(crate) fn take_back(&mut self, label: &str, model: &mut Model, now: Instant) -> usize {
        let Some(open) = self.channels.get(label) else { return 0 };
        let (taken, _) = self.machine.take_back(open.key, now);
        for message in &taken {
            model.cancelled(message.id);
            let progress = self.machine.progress(open.key, message.id.epoch, message.id.sequence);
            assert_eq!(progress, Progress::Resolved(Outcome::Cancelled), "{} was taken back", message.id);
        }
        taken.len()
    }

    /// Compares every receipt with the model; outcomes never change (G8). Returns how many are unresolved.
    pub(crate) fn check_receipts(&mut self, model: &mut Model, now: Instant) -> usize {
        let closed = self.is_closed();
        let mut open = 0;
        let keys: BTreeSet<ChannelKey> = self.receipts.iter().map(|receipt| receipt.key).collect();
        let progressed = |key| self.machine.take_progressed(key).map(|progressed| (key, progressed));
        let progressed: BTreeMap<_, _> = keys.into_iter().filter_map(progressed).collect();
        for receipt in &mut self.receipts {
            let id = receipt.id;
            let progress = self.machine.progress(receipt.key, id.epoch, id.sequence);
            let was = std::mem::replace(&mut receipt.seen, progress.clone());
            if let (true, Some(told)) = (was != progress, progressed.get(&receipt.key)) {
                let covers = |&(start, end): &(u64, u64)| (start..end).contains(&id.sequence);
                let told = told.epoch == id.epoch && told.ranges.iter().any(covers);
                assert!(told || model.lied, "G8: {id} went from {was:?} to {progress:?} unheard");
            }
            match (&was, &progress) {
                (Progress::Resolved(before), Progress::Resolved(after)) => {
                    assert_eq!(before, after, "G8: the outcome of {id} has changed");
                    continue;
                }
                (Progress::Resolved(before), after) => panic!("G8: {id} was {before:?} and is {after:?}"),
                (_, Progress::Resolved(outcome)) => {
                    model.check_claim(id, &progress, closed, self.other_journals, now);
                    model.count_outcome(id, outcome);
                }
                (before, after) => {
                    if before != after {
                        model.check_claim(id, &progress, closed, self.other_journals, now);
                    }
                    open += 1;
                }
            }
        }
        open
    }

    /// The limits of every channel hold (G10).
    pub(crate) fn check_limits(&self, doubt: bool, now: Instant) {
        let (windows, granted) = (if doubt { 3 } else { 1 }, crate::world::granted());
        for (label, open) in &self.channels {
            let Some(stats) = self.machine.channel_stats(open.key, now) else { continue };
            let whole = (granted.bytes + granted.large) * windows;
            assert!(stats.inbox_messages as u64 <= windows * granted.messages, "G10: {label} has {stats:?}");
            assert!(stats.inbox_bytes as u64 <= whole, "G10: {label} has {stats:?}");
            assert!(stats.partial_bytes as u64 <= whole, "G10: {label} has {stats:?}");
            // What had ended above the floor, or was freed at a durable peer, is there again after a restart.
            let (shape, latest) = (&open.shape, open.shape.delivery == Delivery::ReliableLatest);
            let (messages, bytes) = (shape.outbox.0, shape.outbox.1 + shape.large.0);
            // Of states the newest always has room.
            let more = usize::from(latest);
            let kept = stats.outbox_messages <= messages + 2 * more
                && stats.outbox_bytes <= bytes + more * self.setup.limits.max_message_size as usize;
            assert!(
                doubt || self.restored || kept,
                "G10: {label} has {stats:?}, limits {messages} and {bytes}"
            );
        }
    }

    /// What is here in part is part of something (C2).
    pub(crate) fn check_transfers(&self, model: &Model) {
        for open in self.channels.values() {
            self.machine.transfers(open.key).iter().for_each(|transfer| model.check_transfer(transfer));
        }
    }

    /// R4: nothing numbered leaves before its record is durable.
    pub(crate) fn check_durable(&self, frame: &Frame) {
        let Some(Store { snapshot, .. }) = &self.store else { return };
        match frame {
            Frame::Data(_) | Frame::Body(_) => {
                let Some((channel, sequence)) = name_of(frame) else { return };
                // Of unreliable messages only the numbers are remembered.
                let stored = |lane: &SentLane| match lane.delivery.is_reliable() {
                    true => lane.open.contains_key(&sequence),
                    false => sequence < lane.next,
                };
                let known = snapshot.sending.get(&channel).is_some_and(stored);
                assert!(known, "R4: {channel}/{sequence} left before it was durable");
            }
            Frame::Control(Control::Hello(hello)) => {
                assert!(hello.counter <= snapshot.counter, "R4: counter {} is not durable", hello.counter);
            }
            Frame::Control(Control::Receiving(receiving)) => {
                // A channel that is forgotten has no window, and is not to be found any more.
                let ended = |lane: &&ReceivingLane| lane.ended && lane.window_messages > 0;
                for lane in receiving.lanes.iter().filter(ended) {
                    let stored = snapshot.receiving.get(&lane.channel);
                    let known = snapshot.peer_epoch == Some(receiving.epoch)
                        && stored.is_some_and(|stored| stored.end.is_some());
                    assert!(
                        known,
                        "R4: channel {} was called ended before its end was durable",
                        lane.channel
                    );
                }
            }
            Frame::Control(Control::Sending(sending)) => {
                for lane in &sending.lanes {
                    let stored = snapshot.sending.get(&lane.channel);
                    assert!(stored.is_some(), "R4: channel {} was told before it was durable", lane.channel);
                    let finished = stored.is_some_and(|stored| stored.finished);
                    assert!(lane.end.is_none() || finished, "R4: an end was told before it was durable");
                }
            }
            _ => {}
        }
    }

    /// After a restart: the receipts that the application still has a right to.
    pub(crate) fn inherit(&mut self, receipts: Vec<Receipt>, durable: u64, model: &mut Model) {
        for receipt in receipts {
            let resolved = matches!(receipt.seen, Progress::Resolved(_));
            let lost = receipt.batch > durable;
            let lane = self.store.as_ref().and_then(|store| store.snapshot.sending.get(&receipt.id.channel));
            let key = self.channels.get(&receipt.label).map(|open| open.key);
            // What the store calls resolved, or has no channel of, has no receipt any more.
            let open = lane.is_some_and(|lane| lane.open.contains_key(&receipt.id.sequence));
            if lost {
                model.never_accepted(receipt.id);
            }
            if let (false, false, true, Some(key)) = (resolved, lost, open, key) {
                self.receipts.push(Receipt { key, batch: 0, seen: Progress::Accepted, ..receipt });
            }
        }
    }

    /// What the store remembers of a message that was handed over: `Some(true)` that it is over. So is everything of the
    /// peer's `former` epochs, though the store knows nothing of it any more (rule S3).
    pub(crate) fn remembers(snapshot: &Snapshot, former: &BTreeSet<Epoch>, id: &MessageId) -> Option<bool> {
        if snapshot.peer_epoch != Some(id.epoch) {
            return Some(former.contains(&id.epoch));
        }
        match snapshot.receiving.get(&id.channel) {
            Some(lane) => {
                Some(lane.handled.contains(id.sequence) && !lane.untaken.contains_key(&id.sequence))
            }
            None => Some(id.channel.0 < snapshot.next_remote),
        }
    }

    pub(crate) fn name(&self, epoch: Epoch, channel: ChannelId, sequence: u64) -> MessageId {
        MessageId { session: self.machine.session(), epoch, channel, sequence }
    }

    pub(crate) fn note_spin(&mut self, now: Instant) {
        if self.spins.0 == Some(now) {
            self.spins.1 += 1;
        } else {
            self.spins = (Some(now), 0);
        }
        let (side, wait) = (self.side, self.wait.flatten().map(|at| now - at));
        assert!(self.spins.1 < 50, "G15: the {side:?}'s timer spins, late by {wait:?}: {:?}", self.machine);
    }

    pub(crate) fn is_stopped(&self, now: Instant) -> Option<Instant> {
        self.stopped_until.filter(|until| *until > now)
    }

    pub(crate) fn stop(&mut self, now: Instant, length: Duration) {
        self.stopped_until = Some(now + length);
    }
}
