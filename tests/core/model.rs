//! The reference model: what was said, what arrived, what was remembered, what was handed over. Whatever the machines
//! claim is compared with it, rule by rule.

use std::collections::{BTreeMap, BTreeSet};

use bowline::error::Outcome;
use bowline::id::MessageId;
use bowline::protocol::journal::Record;
use bowline::protocol::types::{Delivered, Progress};
use bytes::Bytes;

/// All messages of one run.
#[derive(Debug, Default)]
pub(crate) struct Model {
    messages: BTreeMap<MessageId, Message>,
    /// How often either side has lost something of its memory.
    pub(crate) losses: u64,
    /// A store has forgotten what it had called durable: only bytes and receipts can be checked.
    pub(crate) lied: bool,
    /// A store has forgotten even that an epoch began.
    pub(crate) rolled_back: bool,
    pub(crate) counts: Counts,
    ambiguous: Vec<(MessageId, Bytes)>,
}

/// What has happened, so that a test can show that it has tested something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) delivered: u64,
    pub(crate) again: u64,
    pub(crate) redelivered: u64,
    pub(crate) handled: u64,
    pub(crate) rejected: u64,
    pub(crate) unknown: u64,
}

#[derive(Debug)]
struct Message {
    payload: Bytes,
    /// Losses that its sender had not heard of when it was accepted.
    losses: u64,
    redeliver: bool,
    arrived: bool,
    received_durably: bool,
    handled_durably: bool,
    handled: bool,
    rejected: bool,
    /// A receiver that has since forgotten it had it.
    delivered_formerly: bool,
    /// By a process that has not told, and has forgotten it.
    handled_formerly: bool,
}

/// One receiving process: what it has handed over.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    first: BTreeSet<MessageId>,
    /// How often each message in the application's hands, or given back by it, was handed over.
    attempts: BTreeMap<MessageId, u32>,
    last: BTreeMap<(u64, u32), u64>,
}

impl Model {
    pub(crate) fn accepted(&mut self, id: MessageId, payload: Bytes, losses: u64, redeliver: bool) {
        self.counts.accepted += 1;
        let message = Message {
            payload,
            losses,
            redeliver,
            arrived: false,
            received_durably: false,
            handled_durably: false,
            handled: false,
            rejected: false,
            delivered_formerly: false,
            handled_formerly: false,
        };
        let payload = message.payload.clone();
        if let Some(before) = self.messages.insert(id, message) {
            assert!(self.lied, "N1: {id} was given twice");
            // The store has forgotten that the number was given: which of the two arrives nobody can tell.
            self.ambiguous.extend([(id, payload), (id, before.payload)]);
        }
    }

    /// A copy was fed to the receiving machine.
    pub(crate) fn arrived(&mut self, id: MessageId) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.arrived = true;
        }
    }

    /// A record of the receiver became durable. `name` completes an id.
    pub(crate) fn durable(
        &mut self,
        record: &Record,
        name: impl Fn(bowline::id::ChannelId, u64) -> MessageId,
    ) {
        match record {
            Record::Received { channel, sequence, .. } => {
                if let Some(message) = self.messages.get_mut(&name(*channel, *sequence)) {
                    message.received_durably = true;
                }
            }
            Record::Handled { channel, sequence, .. } => {
                if let Some(message) = self.messages.get_mut(&name(*channel, *sequence)) {
                    message.handled_durably = true;
                }
            }
            _ => {}
        }
    }

    /// A message was handed to an application.
    pub(crate) fn delivered(&mut self, handed: &mut Handed, message: &Delivered) {
        let id = message.id;
        let known = self.messages.get_mut(&id).unwrap_or_else(|| panic!("G2: {id} was never sent"));
        let ambiguous = self.ambiguous.contains(&(id, message.payload.clone()));
        assert!(ambiguous || known.payload == message.payload, "G2: {id} has other bytes");
        if message.attempt > 1 {
            let before = handed.attempts.get(&id).copied();
            assert_eq!(
                before,
                Some(message.attempt - 1),
                "R2: {id} comes again without having been given back"
            );
            handed.attempts.insert(id, message.attempt);
            self.counts.again += 1;
            return;
        }
        self.counts.delivered += 1;
        self.counts.redelivered += u64::from(message.redelivered);
        assert!(handed.first.insert(id) || self.rolled_back, "G3: {id} was delivered twice");
        handed.attempts.insert(id, 1);
        if known.delivered_formerly && !self.lied {
            assert!(known.redeliver, "G3: {id} was sent again to a peer that had forgotten it");
            assert!(message.redelivered, "{id} is not marked as redelivered");
        }
        let lane = (id.epoch.value(), id.channel.0);
        if let Some(last) = handed.last.insert(lane, id.sequence) {
            assert!(last < id.sequence || self.rolled_back, "G4: {id} came after {last}");
        }
    }

    /// The application took the message for good.
    pub(crate) fn handled(&mut self, id: MessageId) {
        self.messages.get_mut(&id).expect("it was delivered").handled = true;
    }

    pub(crate) fn rejected(&mut self, id: MessageId) {
        self.messages.get_mut(&id).expect("it was delivered").rejected = true;
    }

    /// A process of the receiver ends; of what it had handed over, `keeps` tells what its successor remembers.
    pub(crate) fn receiver_gone(&mut self, handed: &mut Handed, keeps: impl Fn(&MessageId) -> Option<bool>) {
        for id in std::mem::take(&mut handed.first) {
            match keeps(&id) {
                Some(true) => {
                    handed.first.insert(id);
                }
                // It had not come as far as the store: it comes again, and may then end otherwise.
                Some(false) => {
                    if let Some(message) = self.messages.get_mut(&id) {
                        message.handled_formerly |= message.handled;
                    }
                }
                None => {
                    if let Some(message) = self.messages.get_mut(&id) {
                        message.delivered_formerly = true;
                        message.handled_formerly |= message.handled;
                    }
                }
            }
        }
        handed.attempts.clear();
        handed.last.clear();
    }

    /// Its sender ended before the store had it: the application was not told that it is accepted.
    pub(crate) fn never_accepted(&mut self, id: MessageId) {
        if !self.lied {
            self.messages.remove(&id);
        }
    }

    /// What a sender claims of a message. `closed`: its session is over. `journals`: the receiver has a journal.
    pub(crate) fn check_claim(&self, id: MessageId, claim: &Progress, closed: bool, journals: bool) {
        let message = &self.messages[&id];
        if self.lied {
            return;
        }
        match claim {
            Progress::Accepted | Progress::Partly { .. } => {}
            Progress::Received => {
                assert!(message.arrived, "G5: {id} is called received and never arrived");
                assert!(!journals || message.received_durably, "R4: {id} is called received too early");
            }
            Progress::Resolved(Outcome::Handled) => {
                assert!(message.handled, "G5: {id} is called handled, and no application took it");
                assert!(!journals || message.handled_durably, "R4: {id} is called handled too early");
            }
            Progress::Resolved(Outcome::Rejected { reason }) => {
                let untold = !message.handled || message.handled_formerly;
                assert!(untold || message.rejected, "G5: {id} was handled, not rejected ({reason})");
            }
            Progress::Resolved(_) => {
                assert!(
                    closed || self.losses > message.losses,
                    "G1: {id} ended as unknown though nobody forgot anything"
                );
            }
        }
    }

    pub(crate) fn count_outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Handled => self.counts.handled += 1,
            Outcome::Rejected { .. } => self.counts.rejected += 1,
            _ => self.counts.unknown += 1,
        }
    }
}
