//! What a session must remember to survive its process: records, written in batches, folded into a snapshot.
//!
//! The machine emits [`Output::Journal`](super::types::Output::Journal); whoever drives it makes the batch
//! durable and reports back with its number. A store may keep the records as they are, or apply them to a
//! [`Snapshot`] and keep that: both mean the same, and a machine is restored from the snapshot. A snapshot holds what the
//! session holds, no more: what is resolved leaves it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::ranges::{Passed, RangeSet, insert_passed, raise_passed};
use crate::config::Delivery;
use crate::id::{ChannelId, Epoch, Sequence, SessionId};
use crate::wire::{Secret, Why};

/// Records that become durable together. Numbers grow by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The session it belongs to.
    pub session: SessionId,
    /// Its number, to report back.
    pub number: u64,
    /// The records, in order.
    pub records: Vec<Record>,
}

/// One thing to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The session begins, or this side begins a new epoch: all it sent before is over.
    Epoch {
        /// Whether this side dials.
        dialer: bool,
        /// The secret of the session.
        secret: Secret,
        /// This side's epoch.
        epoch: Epoch,
    },
    /// The highest attach counter used (dialer) or seen (acceptor).
    Counter(u64),
    /// The peer's epoch; what was received under another one is over.
    PeerEpoch(Epoch),
    /// What the peer is bound to (rule S2).
    Binding(Vec<u8>),
    /// The dialer has confirmed the session (acceptor), at this time in milliseconds of the calendar.
    Confirmed(u64),
    /// This side opened a channel.
    Opened {
        /// This side's id of it.
        channel: ChannelId,
        /// Its label.
        label: String,
        /// Its mode.
        delivery: Delivery,
    },
    /// A message was accepted.
    Accepted {
        /// This side's channel.
        channel: ChannelId,
        /// Its number.
        sequence: Sequence,
        /// When it is worth nothing any more, in milliseconds of the calendar ([`Setup::wall_ms`](super::types::Setup::wall_ms)).
        deadline_ms: Option<u64>,
        /// Its bytes.
        payload: Bytes,
    },
    /// A message has another deadline.
    Extended {
        /// This side's channel.
        channel: ChannelId,
        /// Its number.
        sequence: Sequence,
        /// The deadline, in milliseconds of the calendar.
        deadline_ms: Option<u64>,
    },
    /// Numbers below this may be given to messages that are not remembered themselves: those of unreliable channels.
    Reserved {
        /// This side's channel.
        channel: ChannelId,
        /// The lowest number not reserved.
        next: Sequence,
    },
    /// Messages have their outcome.
    Resolved {
        /// This side's channel.
        channel: ChannelId,
        /// The first.
        start: Sequence,
        /// One past the last.
        end: Sequence,
    },
    /// The peer may have handled messages and forgotten them: they are sent again as redelivered.
    Doubted {
        /// This side's channel.
        channel: ChannelId,
        /// The first.
        start: Sequence,
        /// One past the last.
        end: Sequence,
    },
    /// No more messages on this channel.
    Finished {
        /// This side's channel.
        channel: ChannelId,
    },
    /// This side's channel is gone, both directions settled.
    Forgotten {
        /// This side's channel.
        channel: ChannelId,
    },
    /// The peer announced a channel, or its floor.
    Announced {
        /// The peer's id of it.
        channel: ChannelId,
        /// Its label.
        label: String,
        /// Its mode.
        delivery: Delivery,
        /// The peer's floor.
        floor: Sequence,
        /// One past the peer's last sequence, if it has finished.
        end: Option<Sequence>,
    },
    /// A message arrived.
    Received {
        /// The peer's channel.
        channel: ChannelId,
        /// Its number.
        sequence: Sequence,
        /// See [`Delivered::redelivered`](super::types::Delivered::redelivered).
        redelivered: bool,
        /// When it is worth nothing any more, in milliseconds of the calendar.
        deadline_ms: Option<u64>,
        /// Its bytes.
        payload: Bytes,
    },
    /// A message is resolved by this side's application.
    Handled {
        /// The peer's channel.
        channel: ChannelId,
        /// Its number.
        sequence: Sequence,
    },
    /// Messages are over, and were not handled.
    Passed {
        /// The peer's channel.
        channel: ChannelId,
        /// The first.
        start: Sequence,
        /// One past the last.
        end: Sequence,
        /// Why.
        why: Why,
    },
    /// The peer's channel is gone, both directions settled.
    Ended {
        /// The peer's id of it.
        channel: ChannelId,
    },
}

/// A session as its records tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether this side dials, its secret, its epoch; `None` before the first record.
    pub identity: Option<(bool, Secret, Epoch)>,
    /// The highest attach counter.
    pub counter: u64,
    /// The peer's epoch.
    pub peer_epoch: Option<Epoch>,
    /// What the peer is bound to.
    pub binding: Option<Vec<u8>>,
    /// When the dialer has confirmed it, in milliseconds of the calendar: an application knows of it (acceptor).
    pub confirmed_ms: Option<u64>,
    /// The lowest channel id never given by this side.
    pub next_channel: u32,
    /// The lowest channel id that the peer has never announced under its epoch.
    pub next_remote: u32,
    /// This side's channels.
    pub sending: BTreeMap<ChannelId, SentLane>,
    /// The peer's channels.
    pub receiving: BTreeMap<ChannelId, ReceivedLane>,
}

/// This side's half of a channel in a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentLane {
    /// The label.
    pub label: String,
    /// The mode.
    pub delivery: Delivery,
    /// The next sequence to be given.
    pub next: Sequence,
    /// Unresolved messages.
    pub open: BTreeMap<Sequence, Kept>,
    /// Messages that go as redelivered.
    pub doubted: RangeSet,
    /// No more messages.
    pub finished: bool,
}

/// The peer's half of a channel in a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedLane {
    /// The label.
    pub label: String,
    /// The mode.
    pub delivery: Delivery,
    /// The peer's floor.
    pub floor: Sequence,
    /// One past the peer's last sequence.
    pub end: Option<Sequence>,
    /// All that arrived.
    pub received: RangeSet,
    /// All that this side resolved.
    pub handled: RangeSet,
    /// Arrived and not yet resolved.
    pub untaken: BTreeMap<Sequence, Kept>,
    /// Why messages were not handled, above the floor, as ranges: start to (end, why).
    pub verdicts: Passed,
}

/// A message in a [`Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its bytes.
    pub payload: Bytes,
    /// When it is worth nothing any more, in milliseconds of the calendar.
    pub deadline_ms: Option<u64>,
    /// See [`Delivered::redelivered`](super::types::Delivered::redelivered); of a message to be sent, see
    /// [`SentLane::doubted`].
    pub redelivered: bool,
}

impl Snapshot {
    /// Folds a batch in.
    pub fn apply(&mut self, batch: &Batch) {
        batch.records.iter().for_each(|record| self.apply_record(record));
    }

    fn apply_record(&mut self, record: &Record) {
        match record {
            Record::Epoch { dialer, secret, epoch } => {
                self.identity = Some((*dialer, secret.clone(), *epoch));
                self.sending.clear();
            }
            Record::Counter(counter) => self.counter = *counter,
            Record::PeerEpoch(epoch) => {
                self.peer_epoch = Some(*epoch);
                self.next_remote = 0;
                self.receiving.clear();
            }
            Record::Binding(binding) => self.binding = Some(binding.clone()),
            Record::Confirmed(at_ms) => self.confirmed_ms = Some(*at_ms),
            Record::Opened { .. }
            | Record::Accepted { .. }
            | Record::Extended { .. }
            | Record::Reserved { .. }
            | Record::Resolved { .. }
            | Record::Doubted { .. }
            | Record::Finished { .. }
            | Record::Forgotten { .. } => self.apply_sending(record),
            Record::Announced { .. }
            | Record::Received { .. }
            | Record::Handled { .. }
            | Record::Passed { .. }
            | Record::Ended { .. } => self.apply_receiving(record),
        }
    }

    fn apply_sending(&mut self, record: &Record) {
        match record {
            Record::Opened { channel, label, delivery } => {
                self.next_channel = self.next_channel.max(channel.0.saturating_add(1));
                let (label, delivery) = (label.clone(), *delivery);
                let (open, doubted) = (BTreeMap::new(), RangeSet::default());
                let lane = SentLane { label, delivery, next: 0, open, doubted, finished: false };
                self.sending.insert(*channel, lane);
            }
            Record::Accepted { channel, sequence, deadline_ms, payload } => {
                if let Some(lane) = self.sending.get_mut(channel) {
                    lane.next = lane.next.max(sequence.saturating_add(1));
                    let (payload, deadline_ms) = (payload.clone(), *deadline_ms);
                    lane.open.insert(*sequence, Kept { payload, deadline_ms, redelivered: false });
                }
            }
            Record::Extended { channel, sequence, deadline_ms } => {
                let lane = self.sending.get_mut(channel);
                if let Some(kept) = lane.and_then(|lane| lane.open.get_mut(sequence)) {
                    kept.deadline_ms = *deadline_ms;
                }
            }
            Record::Reserved { channel, next } => {
                if let Some(lane) = self.sending.get_mut(channel) {
                    lane.next = lane.next.max(*next);
                }
            }
            Record::Resolved { channel, start, end } => {
                if let Some(lane) = self.sending.get_mut(channel) {
                    while let Some((&sequence, _)) = lane.open.range(*start..*end).next() {
                        lane.open.remove(&sequence);
                    }
                }
            }
            Record::Doubted { channel, start, end } => {
                if let Some(lane) = self.sending.get_mut(channel) {
                    lane.doubted.insert_range(*start, *end);
                }
            }
            Record::Finished { channel } => {
                if let Some(lane) = self.sending.get_mut(channel) {
                    lane.finished = true;
                }
            }
            Record::Forgotten { channel } => {
                self.sending.remove(channel);
            }
            _ => {}
        }
    }

    fn apply_receiving(&mut self, record: &Record) {
        match record {
            Record::Announced { channel, label, delivery, floor, end } => {
                self.next_remote = self.next_remote.max(channel.0.saturating_add(1));
                let lane = self
                    .receiving
                    .entry(*channel)
                    .or_insert_with(|| ReceivedLane::new(label.clone(), *delivery));
                lane.floor = lane.floor.max(*floor);
                lane.end = lane.end.or(*end);
                lane.received.insert_range(0, lane.floor);
                lane.handled.insert_range(0, lane.floor);
                raise_passed(&mut lane.verdicts, lane.floor);
            }
            Record::Received { channel, sequence, redelivered, deadline_ms, payload } => {
                if let Some(lane) = self.receiving.get_mut(channel) {
                    lane.received.insert(*sequence);
                    let (payload, deadline_ms, redelivered) = (payload.clone(), *deadline_ms, *redelivered);
                    lane.untaken.insert(*sequence, Kept { payload, deadline_ms, redelivered });
                }
            }
            Record::Handled { channel, sequence } => {
                if let Some(lane) = self.receiving.get_mut(channel) {
                    lane.untaken.remove(sequence);
                    lane.handled.insert(*sequence);
                }
            }
            Record::Passed { channel, start, end, why } => {
                if let Some(lane) = self.receiving.get_mut(channel) {
                    lane.untaken.retain(|sequence, _| !(*start..*end).contains(sequence));
                    lane.received.insert_range(*start, *end);
                    lane.handled.insert_range(*start, *end);
                    if *start >= lane.floor {
                        insert_passed(&mut lane.verdicts, *start, *end, why.clone());
                    }
                }
            }
            Record::Ended { channel } => {
                self.receiving.remove(channel);
            }
            _ => {}
        }
    }
}

impl ReceivedLane {
    fn new(label: String, delivery: Delivery) -> Self {
        Self {
            label,
            delivery,
            floor: 0,
            end: None,
            received: RangeSet::default(),
            handled: RangeSet::default(),
            untaken: BTreeMap::new(),
            verdicts: BTreeMap::new(),
        }
    }
}
