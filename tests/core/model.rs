//! The reference model: what was said, what arrived, what was remembered, what was handed over. Whatever the machines
//! claim is compared with it, rule by rule.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bowline::config::{Delivery, LARGE};
use bowline::error::Outcome;
use bowline::id::MessageId;
use bowline::protocol::journal::Record;
use bowline::protocol::types::{Delivered, Progress, Transfer};
use bytes::Bytes;

pub(crate) use crate::counts::Counts;

/// By how much times differ that travel in whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(5);

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
    /// The largest message that both sides take.
    pub(crate) limit: usize,
    pub(crate) counts: Counts,
    ambiguous: Vec<(MessageId, Bytes)>,
}

/// A message that is accepted.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) payload: Bytes,
    pub(crate) mode: Delivery,
    /// Losses that its sender has not heard of.
    pub(crate) losses: u64,
    pub(crate) redeliver: bool,
    pub(crate) deadline: Option<Instant>,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.payload.len();
        f.debug_struct("Sent").field("mode", &self.mode).field("size", &size).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Message {
    sent: Sent,
    /// Every deadline that it ever had.
    deadlines: Vec<Option<Instant>>,
    /// The shortest one-way delay that its receiver knew when it put the deadline on its own clock.
    tolerance: Duration,
    written: bool,
    cancelled: bool,
    /// The same, by the process that its sender is now.
    withdrawn: bool,
    /// Its sender is not the process that accepted it.
    inherited: bool,
    /// All of it has come; or at least a fragment.
    arrived: bool,
    /// How much of it has come.
    bytes: u64,
    received_durably: bool,
    handled_durably: bool,
    handled: bool,
    rejected: bool,
    /// Its receiver did not want the rest of it.
    refused_in_part: bool,
    /// A receiver that has since forgotten it had it.
    delivered_formerly: bool,
    /// By a process that has not told, and has forgotten it; and whether that has forgotten everything.
    handled_formerly: bool,
    handled_by_forgetful: bool,
    /// It ended otherwise than handled.
    failed: bool,
}

impl Message {
    fn new(sent: Sent) -> Self {
        Self {
            deadlines: vec![sent.deadline],
            sent,
            tolerance: Duration::ZERO,
            written: false,
            cancelled: false,
            withdrawn: false,
            inherited: false,
            arrived: false,
            bytes: 0,
            received_durably: false,
            handled_durably: false,
            handled: false,
            rejected: false,
            refused_in_part: false,
            delivered_formerly: false,
            handled_formerly: false,
            handled_by_forgetful: false,
            failed: false,
        }
    }

    /// Whether its sender knows that its deadline has passed. The store of another process may not have got the last one.
    fn is_late(&self, now: Instant) -> bool {
        let passed = |deadline: &Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        match self.inherited {
            true => self.deadlines.iter().all(passed),
            false => self.deadlines.last().is_some_and(passed),
        }
    }

    fn may_be_expired(&self, now: Instant) -> bool {
        self.deadlines.iter().flatten().any(|&deadline| deadline <= now + ROUNDING)
    }
}

/// One receiving process: what it has handed over.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    first: BTreeSet<MessageId>,
    /// How often each message in the application's hands, or given back by it, was handed over.
    attempts: BTreeMap<MessageId, u32>,
    last: BTreeMap<(u64, u32), u64>,
    /// Messages whose rest it did not want.
    refused: BTreeSet<MessageId>,
    /// Some of it was handed over by the process before.
    pub(crate) restored: bool,
}

impl Model {
    /// Both sides take messages of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(crate) fn accepted(&mut self, id: MessageId, sent: Sent) {
        self.counts.accepted += 1;
        self.counts.accepted_by[mode_index(sent.mode)] += 1;
        let payload = sent.payload.clone();
        if let Some(before) = self.messages.insert(id, Message::new(sent)) {
            // A number that was not remembered in time has never left.
            let unheard = !before.sent.mode.is_reliable() && !before.written;
            assert!(self.lied || unheard, "G2: {id} was given twice (rule N1)");
            // The store has forgotten that the number was given: which of the two arrives nobody can tell.
            self.ambiguous.extend([(id, payload), (id, before.sent.payload)]);
        }
    }

    /// A message, or a piece of it, is written to a link.
    pub(crate) fn written(&mut self, id: MessageId, now: Instant) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let reliable = message.sent.mode.is_reliable();
        if !self.lied {
            assert!(reliable || !message.written, "G6: {id} was written twice");
            assert!(!message.is_late(now), "T1: {id} is written after its deadline");
            assert!(!message.withdrawn, "R1: {id} is written after it was withdrawn");
        }
        message.written = true;
    }

    pub(crate) fn is_written(&self, id: MessageId) -> bool {
        self.messages.get(&id).is_some_and(|message| message.written)
    }

    /// A copy of it, whole or up to `end`, was fed to the receiving machine; `tolerance`: see [`Message::tolerance`].
    pub(crate) fn arrived(&mut self, id: MessageId, end: u64, tolerance: Duration) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.bytes = message.bytes.max(end);
            let size = message.sent.payload.len() as u64;
            message.arrived |= end >= size || size <= LARGE as u64;
            message.tolerance = message.tolerance.max(tolerance);
        }
    }

    /// The receiving machine was told another deadline.
    pub(crate) fn told_extension(&mut self, id: MessageId, tolerance: Duration) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.tolerance = message.tolerance.max(tolerance);
            if message.arrived {
                self.counts.extended_after += 1;
            } else {
                self.counts.extended_before += 1;
            }
        }
    }

    pub(crate) fn extended(&mut self, id: MessageId, deadline: Option<Instant>) {
        self.counts.extended += 1;
        self.messages.get_mut(&id).expect("it was accepted").deadlines.push(deadline);
    }

    pub(crate) fn cancelled(&mut self, id: MessageId) {
        let message = self.messages.get_mut(&id).expect("it was accepted");
        (message.cancelled, message.withdrawn) = (true, true);
    }

    /// Another process goes on as its sender. That it was withdrawn is not remembered, unless that was its end.
    pub(crate) fn inherited(&mut self, id: MessageId) {
        if let Some(message) = self.messages.get_mut(&id) {
            (message.withdrawn, message.inherited) = (false, true);
        }
    }

    /// Why a withdrawal, or another deadline, may come too late although the message has no outcome.
    pub(crate) fn is_given_up(&self, id: MessageId, now: Instant) -> bool {
        let message = &self.messages[&id];
        message.cancelled || message.may_be_expired(now) || self.is_outdated(id)
    }

    /// Whether a newer state was accepted.
    fn is_outdated(&self, id: MessageId) -> bool {
        let newer = MessageId { sequence: id.sequence + 1, ..id }..=MessageId { sequence: u64::MAX, ..id };
        self.messages[&id].sent.mode == Delivery::ReliableLatest
            && self.messages.range(newer).next().is_some()
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
    pub(crate) fn delivered(&mut self, handed: &mut Handed, message: &Delivered, now: Instant) {
        let id = message.id;
        let known = self.messages.get(&id).unwrap_or_else(|| panic!("G2: {id} was never sent"));
        let ambiguous = self.ambiguous.contains(&(id, message.payload.clone()));
        assert!(ambiguous || known.sent.payload == message.payload, "G2: {id} has other bytes");
        if !self.lied {
            check_deadline(known, message, now);
        }
        if message.attempt > 1 {
            let before = handed.attempts.get(&id).copied();
            assert_eq!(
                before,
                Some(message.attempt - 1),
                "G3: {id} comes again without having been given back (rule R2)"
            );
            handed.attempts.insert(id, message.attempt);
            self.counts.again += 1;
            return;
        }
        // Of an unreliable lane nobody hears that its numbers are given again.
        let given_again = self.rolled_back || self.lied && !known.sent.mode.is_reliable();
        let broken = if known.sent.mode.is_reliable() { "G3" } else { "G6" };
        assert!(handed.first.insert(id) || given_again, "{broken}: {id} was delivered twice");
        handed.attempts.insert(id, 1);
        if known.delivered_formerly && !self.lied {
            assert!(known.sent.redeliver, "G3: {id} was sent again to a peer that had forgotten it");
            assert!(message.redelivered, "{id} is not marked as redelivered");
        }
        assert!(self.lied || !known.refused_in_part, "G5: {id} was refused before it was whole");
        self.check_order(handed, message, now);
        let known = &self.messages[&id];
        self.counts.count_delivery(message, known.sent.mode);
    }

    /// Order, and what is said of gaps in it.
    fn check_order(&mut self, handed: &mut Handed, message: &Delivered, now: Instant) {
        let (id, mode) = (message.id, self.messages[&message.id].sent.mode);
        // A store that forgot a channel may have given its number to one of another mode.
        let confused = self.lied && self.counts.accepted != self.counts.accepted_by[mode_index(mode)];
        if !mode.is_ordered() {
            assert!(message.skipped == 0 || confused, "G4: {id} has no order");
            return;
        }
        let last = handed.last.insert((id.epoch.value(), id.channel.0), id.sequence);
        let first = last.map_or(0, |last| last + 1);
        assert!(first <= id.sequence || self.rolled_back || confused, "G4: {id} came after {last:?}");
        if self.lied {
            return;
        }
        let gap = id.sequence.saturating_sub(first);
        let told = message.skipped;
        // What lies before the first one, and what another process handed over, a receiver need not know.
        let exact = last.is_some() && !handed.restored && self.losses == 0;
        assert!(told == gap || !exact && told <= gap, "G4: {id} skips {told}, after {last:?}");
        self.counts.skipped += told;
        if mode != Delivery::ReliableOrdered || last.is_none() || handed.restored {
            return;
        }
        for sequence in first..id.sequence {
            let Some(passed) = self.messages.get(&MessageId { sequence, ..id }) else { continue };
            let excused = passed.cancelled
                || passed.may_be_expired(now)
                || passed.refused_in_part
                || passed.failed
                || passed.sent.payload.len() > self.limit
                || self.losses > passed.sent.losses;
            assert!(excused, "G4: {id} was handed over before {sequence}, of which nothing is said");
        }
    }

    /// The application took the message for good.
    pub(crate) fn handled(&mut self, id: MessageId) {
        self.messages.get_mut(&id).expect("it was delivered").handled = true;
    }

    pub(crate) fn rejected(&mut self, id: MessageId) {
        self.messages.get_mut(&id).expect("it was delivered").rejected = true;
    }

    /// The application did not want the rest of it.
    pub(crate) fn rejected_in_part(&mut self, handed: &mut Handed, id: MessageId) {
        self.counts.rejected_in_part += 1;
        handed.refused.insert(id);
        self.messages.get_mut(&id).expect("it was sent").refused_in_part = true;
    }

    /// What a receiver says of a large message that is on its way.
    pub(crate) fn check_transfer(&self, transfer: &Transfer) {
        let message = self.messages.get(&transfer.id).unwrap_or_else(|| panic!("G2: {transfer:?}"));
        let size = message.sent.payload.len() as u64;
        assert!(self.lied || transfer.size == size && transfer.received < size, "{transfer:?} of {size}");
        assert!(self.lied || transfer.received <= message.bytes, "{transfer:?}, {} came", message.bytes);
    }

    /// A process of the receiver ends; of what it had handed over, `keeps` tells what its successor remembers.
    pub(crate) fn receiver_gone(&mut self, handed: &mut Handed, keeps: impl Fn(&MessageId) -> Option<bool>) {
        for id in std::mem::take(&mut handed.first) {
            let Some(message) = self.messages.get_mut(&id) else { continue };
            match keeps(&id) {
                Some(true) => {
                    handed.first.insert(id);
                }
                // Nobody sends it again, so that nobody needs to remember it.
                Some(false) if !message.sent.mode.is_reliable() => {
                    handed.first.insert(id);
                }
                // It had not come as far as the store: it comes again, and may then end otherwise.
                Some(false) => {
                    let forgot = message.handled_durably && !self.lied;
                    assert!(!forgot, "G3: {id} was handled, and the store does not know it any more");
                    message.handled_formerly |= message.handled;
                }
                None => {
                    message.delivered_formerly = true;
                    message.handled_formerly |= message.handled;
                    message.handled_by_forgetful |= message.handled;
                }
            }
        }
        for id in std::mem::take(&mut handed.refused) {
            if keeps(&id) == Some(true) {
                handed.refused.insert(id);
            } else if let Some(message) = self.messages.get_mut(&id) {
                // Nobody has heard of a refusal that did not come as far as the store: the message comes again.
                message.refused_in_part = false;
            }
        }
        handed.attempts.clear();
        handed.last.clear();
        handed.restored = true;
    }

    /// Its sender ended before the store had it: the application was not told that it is accepted.
    pub(crate) fn never_accepted(&mut self, id: MessageId) {
        if !self.lied {
            self.messages.remove(&id);
        }
    }

    /// What a sender claims of a message. `closed`: its session is over. `journals`: the receiver has a journal.
    pub(crate) fn check_claim(
        &self,
        id: MessageId,
        claim: &Progress,
        closed: bool,
        journals: bool,
        now: Instant,
    ) {
        let message = &self.messages[&id];
        if self.lied {
            return;
        }
        let reliable = message.sent.mode.is_reliable();
        match claim {
            Progress::Accepted => {}
            Progress::Partly { received, size } => {
                assert_eq!(*size, message.sent.payload.len() as u64, "{id}");
                assert!(*received < *size && *received <= message.bytes, "G5: {id} is called {claim:?}");
            }
            Progress::Received => {
                assert!(message.arrived, "G5: {id} is called received and never arrived");
                assert!(
                    !journals || message.received_durably,
                    "G5: {id} is called received too early (rule R4)"
                );
            }
            Progress::Resolved(Outcome::Handled) => {
                assert!(
                    message.handled && reliable,
                    "G5: {id} is called handled, and no application took it"
                );
                assert!(
                    !journals || message.handled_durably,
                    "G5: {id} is called handled too early (rule R4)"
                );
            }
            Progress::Resolved(Outcome::Rejected { reason }) => {
                let untold = !message.handled || message.handled_formerly;
                assert!(untold || message.rejected, "G5: {id} was handled, not rejected ({reason})");
            }
            Progress::Resolved(Outcome::Unknown) => {
                let excused = closed || self.losses > message.sent.losses;
                let given = !reliable && message.written;
                assert!(excused || given, "G1: {id} ended as unknown though nobody forgot anything");
            }
            Progress::Resolved(outcome) => self.check_ended(id, outcome, now),
        }
    }

    /// Of a message that was given up.
    fn check_ended(&self, id: MessageId, outcome: &Outcome, now: Instant) {
        let message = &self.messages[&id];
        let told = !message.handled || message.handled_formerly && !message.handled_by_forgetful;
        assert!(told, "G7: {id} was handled, and is called {outcome:?}");
        let reliable = message.sent.mode.is_reliable();
        assert!(reliable || !message.written, "G6: {id} left, and is called {outcome:?}");
        let may_be = match outcome {
            Outcome::Expired => message.may_be_expired(now),
            Outcome::Superseded => self.is_outdated(id),
            Outcome::Cancelled => message.cancelled,
            Outcome::Dropped => !reliable,
            _ => false,
        };
        assert!(may_be, "R1: {id} is called {outcome:?}, and is {message:?}");
    }

    pub(crate) fn count_outcome(&mut self, id: MessageId, outcome: &Outcome) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.failed |= *outcome != Outcome::Handled;
        self.counts.count_outcome(outcome, message.sent.mode, message.written, message.arrived);
    }
}

/// Nothing is handed over later than its deadline, by more than the clocks explain (rule T1).
fn check_deadline(known: &Message, message: &Delivered, now: Instant) {
    let id = message.id;
    let deadlines = || known.deadlines.iter().flatten().copied();
    let (Some(earliest), Some(latest)) = (deadlines().min(), deadlines().max()) else { return };
    if known.deadlines.contains(&None) {
        return;
    }
    let bound = latest + known.tolerance + ROUNDING;
    assert!(now < bound, "G7: {id} is handed over {:?} after its deadline", now - latest);
    let told = message.deadline.unwrap_or_else(|| panic!("T1: {id} has lost its deadline"));
    assert!(told + ROUNDING >= earliest, "T1: {id} would expire {:?} too early", earliest - told);
    assert!(told <= bound, "G7: {id} would expire {:?} too late (rule T1)", told - latest);
    assert!(told > now, "G7: {id} is handed over after the deadline that it says");
}

pub(crate) fn mode_index(mode: Delivery) -> usize {
    Delivery::ALL.iter().position(|&known| known == mode).expect("every mode is one of all")
}
