//! The reference: what was sent, handed over and told at both ends, as the applications saw it.
//!
//! Whatever both ends see is written into a [`History`], whose checkers know the guarantees of any application; what only
//! Bowline's users see (skipped counts, attempts, epochs, why a session ended) is looked at here, as it happens.

mod crashes;
mod stalls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline::error::CloseReason;
use bowline::id::MessageId;
use bowline::{Delivery, Message, Outcome, SessionId, Unacked};
use bowline_netsim::Time;
use bowline_netsim::history::{self, ChannelKey, Digest, Handover, History, Mode, Sent};
use bowline_netsim::quic::Sim;

use crate::process::Counts;
use crate::world::Who;

/// How long it may take to make a session.
const MAKING: Duration = Duration::from_secs(30);

/// The reference of one run. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    sim: Sim,
    book: Arc<Mutex<Book>>,
}

/// What is written down.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) history: History,
    lanes: BTreeMap<LaneId, Lane>,
    /// Sends that were not yet told to be accepted, by what was sent.
    attempts: BTreeMap<Digest, Attempt>,
    interrupted: BTreeSet<Digest>,
    abandoned: BTreeSet<SessionId>,
    /// Reliable messages whose sender waits to be told their end.
    open: BTreeMap<MessageId, Who>,
    /// Those whose sender began again: nobody will be told, but they must arrive.
    adrift: BTreeSet<MessageId>,
    /// Those that have a deadline.
    mortal: BTreeSet<MessageId>,
    pub(crate) sessions: BTreeMap<SessionId, Life>,
    /// Messages whose sender was left in doubt, when, and whether it may have heard of that later than it was known.
    pub(crate) unknown: Vec<(Time, MessageId, Who, bool)>,
    pub(crate) violations: Vec<String>,
    pub(crate) counts: Counts,
    /// When each host's memory was lost, and when its process began again with a store.
    pub(crate) forgot: BTreeMap<Who, Vec<Time>>,
    epochs: BTreeMap<(Who, SessionId), (u64, Time)>,
    accepted_at: BTreeMap<MessageId, Time>,
    /// Of each reliable message that was handed over: when it was accepted, and when handed over for the first time.
    pub(crate) waits: Vec<(Time, Time)>,
    settled: Time,
    pub(crate) crashes: Vec<(Who, Time)>,
    /// When a process began to do nothing, and for how long.
    pub(crate) stops: Vec<(Who, Time, Duration)>,
    /// Who does not take what comes on a label of a session, and since when.
    stalled: BTreeMap<(Who, SessionId, String), Time>,
    /// When each side of a session was attached last, by its own account.
    attached: BTreeMap<(Who, SessionId), Time>,
    /// When a sender was told that its peer had forgotten the session.
    pub(crate) resets: BTreeMap<(Who, SessionId), Vec<Time>>,
}

/// One direction of a channel, as one incarnation of its sender numbers it: sender, session, epoch, number.
type LaneId = (Who, SessionId, u64, u32);

#[derive(Debug)]
struct Lane {
    key: ChannelKey,
    label: String,
    delivery: Delivery,
    /// The number that this process was given last.
    last: Option<u64>,
    attempts: BTreeMap<u64, u32>,
    /// Everything that was handed over, to whichever process.
    delivered: BTreeSet<u64>,
    withdrawn: BTreeSet<u64>,
    /// Its receiver began again with what a disk remembers.
    inherited: bool,
    /// Its sender sends again what a peer may have forgotten.
    redeliver: bool,
}

/// A send that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    at: Time,
    pub(crate) digest: Digest,
    deadline: Option<Time>,
    delivery: Delivery,
    who: Who,
    session: SessionId,
    label: String,
}

/// What became of a session at each end.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) ended: BTreeMap<Who, (Time, CloseReason)>,
    /// Which applications have heard that it is over, which may be before they are told its end, and when.
    over: BTreeMap<Who, Time>,
    /// An application has asked for the end.
    pub(crate) wanted: Option<Time>,
    /// Which applications ever had it: a dial may fail after the acceptor has heard of it, and an acceptance after the
    /// dialer has been welcomed.
    pub(crate) known_to: BTreeSet<Who>,
}

/// What an application is shown of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    id: MessageId,
    digest: Digest,
    attempt: u32,
    redelivered: bool,
    skipped: u64,
}

impl From<&Message> for Shown {
    fn from(message: &Message) -> Self {
        let digest = Digest::of(message.payload());
        let (redelivered, skipped) = (message.redelivered(), message.skipped());
        Self { id: message.id(), digest, attempt: 1, redelivered, skipped }
    }
}

impl From<&Unacked> for Shown {
    fn from(message: &Unacked) -> Self {
        let digest = Digest::of(message.payload());
        let (attempt, redelivered, skipped) = (message.attempt(), message.redelivered(), message.skipped());
        Self { id: message.id(), digest, attempt, redelivered, skipped }
    }
}

pub(crate) fn mode(delivery: Delivery) -> Mode {
    match delivery {
        Delivery::Unreliable => Mode::Unreliable,
        Delivery::UnreliableSequenced => Mode::UnreliableSequenced,
        Delivery::ReliableUnordered => Mode::ReliableUnordered,
        Delivery::ReliableOrdered => Mode::ReliableOrdered,
        Delivery::ReliableLatest => Mode::ReliableLatest,
        other => panic!("a mode that this suite does not know: {other}"),
    }
}

/// A peer of a session, in words.
pub(crate) fn peer(who: Who, session: SessionId) -> String {
    let id = session.to_string();
    format!("{} of {}", who.name(), &id[..id.len().min(6)])
}

impl Ledger {
    pub(crate) fn new(sim: Sim) -> Self {
        Self { sim, book: Arc::default() }
    }

    pub(crate) fn now(&self) -> Time {
        self.sim.now()
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, what: &'static str) {
        *self.book().counts.entry(what).or_insert(0) += 1;
    }

    /// Somebody is about to send this: with a store it may be on its way before the send is told to be accepted.
    pub(crate) fn attempt(
        &self,
        (who, session): (Who, SessionId),
        (label, delivery): (&str, Delivery),
        payload: &[u8],
        lifetime: Option<Duration>,
    ) -> Attempt {
        let at = self.now();
        let deadline = lifetime.map(|lifetime| at + lifetime);
        let attempt = Attempt {
            at,
            digest: Digest::of(payload),
            deadline,
            delivery,
            who,
            session,
            label: label.into(),
        };
        self.book().attempts.insert(attempt.digest, attempt.clone());
        attempt
    }

    /// It was accepted under this name. With a disk that is told only when it is written there: `stored`.
    pub(crate) fn accepted(&self, attempt: Attempt, id: MessageId, redeliver: bool, stored: bool) {
        let now = self.now();
        let attempt = if stored { attempt } else { Attempt { at: now, ..attempt } };
        let mut book = self.book();
        book.attempts.remove(&attempt.digest);
        let lane = book.lane(attempt.who, id, &attempt.label, attempt.delivery);
        lane.redeliver = redeliver;
        let key = lane.key;
        if redeliver {
            book.history.at_least_once(key);
        }
        book.sent(key, id, &attempt);
        if book.abandoned.contains(&id.session) {
            book.history.unattended(now, key.message(id.epoch.value(), id.sequence));
        } else if attempt.delivery.is_reliable() {
            book.open.insert(id, attempt.who);
        }
        book.settled = now;
        book.accepted_at.insert(id, now);
        book.note_epoch(now, attempt.who, id);
    }

    /// It was not accepted.
    pub(crate) fn refused(&self, attempt: Attempt) {
        self.book().attempts.remove(&attempt.digest);
    }

    /// The sender wants it back.
    pub(crate) fn withdrawn(&self, who: Who, id: MessageId) {
        let now = self.now();
        let mut book = self.book();
        if let Some(lane) = book.lanes.get_mut(&lane_id(who, id)) {
            lane.withdrawn.insert(id.sequence);
            let message = lane.key.message(id.epoch.value(), id.sequence);
            book.history.withdrawn(now, message);
        }
    }

    /// The sender was told that the other side holds it.
    pub(crate) fn received(&self, who: Who, id: MessageId) {
        let now = self.now();
        let mut book = self.book();
        if let Some(lane) = book.lanes.get(&lane_id(who, id)) {
            let message = lane.key.message(id.epoch.value(), id.sequence);
            book.history.received(now, message);
        }
    }

    /// The sender was told its end.
    pub(crate) fn resolved(&self, who: Who, id: MessageId, outcome: &Outcome) {
        let now = self.now();
        let mut book = self.book();
        if book.abandoned.contains(&id.session) {
            return;
        }
        book.open.remove(&id);
        book.settled = now;
        let Some(lane) = book.lanes.get(&lane_id(who, id)) else { return };
        let (reliable, redeliver) = (lane.delivery.is_reliable(), lane.redeliver);
        let message = lane.key.message(id.epoch.value(), id.sequence);
        let (outcome, name) = match outcome {
            Outcome::Handled => (history::Outcome::Handled, "handled"),
            Outcome::Rejected { .. } => (history::Outcome::Rejected, "rejected"),
            Outcome::Expired => (history::Outcome::Expired, "expired"),
            Outcome::Superseded => (history::Outcome::Superseded, "superseded"),
            Outcome::Cancelled => (history::Outcome::Cancelled, "cancelled"),
            Outcome::Dropped => (history::Outcome::Dropped, "dropped"),
            Outcome::Unknown => (history::Outcome::Unknown, "unknown"),
            other => panic!("an outcome that this suite does not know: {other:?}"),
        };
        book.history.receipt(now, message, outcome);
        if reliable {
            *book.counts.entry(name).or_insert(0) += 1;
            if outcome == history::Outcome::Unknown {
                // Whoever withdraws a message asks what became of it only then.
                let late = redeliver || book.lanes[&lane_id(who, id)].withdrawn.contains(&id.sequence);
                book.unknown.push((now, id, who, late));
            }
        }
    }

    /// An application was given a message, and will say what it makes of it.
    pub(crate) fn handed_over(&self, to: Who, label: &str, delivery: Delivery, shown: Shown) {
        let now = self.now();
        let mut book = self.book();
        let Shown { id, digest, attempt, redelivered, .. } = shown;
        let from = to.other();
        let key = book.lane(from, id, label, delivery).key;
        // A process that died while it sent was not told that this was accepted.
        if let Some(attempt) = book.attempts.get(&digest).cloned().filter(|attempt| attempt.who == from) {
            book.attempts.remove(&digest);
            book.sent(key, id, &attempt);
            let message = key.message(id.epoch.value(), id.sequence);
            book.history.unattended(attempt.at, message);
        }
        book.look_at(now, to, shown);
        let mut handover = Handover::new(digest).attempt(attempt);
        if redelivered {
            handover = handover.resent();
            *book.counts.entry("redelivered").or_insert(0) += 1;
        }
        let again = attempt > 1;
        *book.counts.entry(if again { "handed over again" } else { "handed over" }).or_insert(0) += 1;
        book.adrift.remove(&id);
        book.settled = now;
        if let Some(accepted) = book.accepted_at.remove(&id).filter(|_| delivery.is_reliable()) {
            book.waits.push((accepted, now));
        }
        let message = key.message(id.epoch.value(), id.sequence);
        book.history.handed_over(now, message, handover);
    }

    /// The application has it for good.
    pub(crate) fn acknowledged(&self, to: Who, id: MessageId) {
        let now = self.now();
        let mut book = self.book();
        if let Some(lane) = book.lanes.get(&lane_id(to.other(), id)) {
            let message = lane.key.message(id.epoch.value(), id.sequence);
            book.history.acknowledged(now, message);
        }
    }

    /// A session is attached, to a peer that knew it or did not.
    pub(crate) fn attached(&self, who: Who, session: SessionId, reset: bool) {
        let now = self.now();
        let mut book = self.book();
        book.history.connected(now, &peer(who, session));
        book.attached.insert((who, session), now);
        if reset {
            book.resets.entry((who, session)).or_default().push(now);
            book.doubt_adrift(now, who, session);
        }
    }

    /// A session has no link, or none that answers.
    pub(crate) fn detached(&self, who: Who, session: SessionId) {
        let now = self.now();
        self.book().history.disconnected(now, &peer(who, session));
    }

    /// A session lives at this end.
    pub(crate) fn began(&self, who: Who, session: SessionId) {
        let now = self.now();
        let mut book = self.book();
        book.sessions.entry(session).or_default().known_to.insert(who);
        if who == Who::Client {
            book.abandoned.remove(&session);
        }
        // A process that died while the session was being made has forgotten it, too.
        let other = who.other();
        let times = book.forgot.get(&other).cloned().unwrap_or_default();
        for at in times.into_iter().filter(|at| now.since(*at) <= MAKING) {
            book.history.forgot(at, &peer(other, session));
        }
    }

    /// An acceptor's side of a session that was not confirmed in time is gone. The dialer may have it nevertheless.
    pub(crate) fn unmade(&self, who: Who, session: SessionId) {
        let now = self.now();
        self.book().history.forgot(now, &peer(who, session));
    }

    /// An application closes a session.
    pub(crate) fn closes(&self, session: SessionId) {
        let now = self.now();
        self.book().sessions.entry(session).or_default().wanted.get_or_insert(now);
    }

    /// An application hears that a session is over, while its peer is still being told.
    pub(crate) fn over(&self, who: Who, session: SessionId) {
        let now = self.now();
        self.book().sessions.entry(session).or_default().over.entry(who).or_insert(now);
    }

    /// A session is over at one end.
    pub(crate) fn ended(&self, who: Who, session: SessionId, reason: CloseReason) {
        self.over(who, session);
        let now = self.now();
        let mut book = self.book();
        book.history.gave_up(now, &peer(who, session));
        book.adrift.retain(|id| id.session != session);
        book.settled = now;
        book.sessions.entry(session).or_default().ended.insert(who, (now, reason));
    }

    /// How many reliable messages have no end yet that their sender waits for, or have not arrived and nobody waits.
    pub(crate) fn unsettled(&self) -> usize {
        let book = self.book();
        book.open.len() + book.adrift.len()
    }

    /// When something was last accepted, handed over or told.
    pub(crate) fn settled_at(&self) -> Time {
        self.book().settled
    }
}

fn lane_id(from: Who, id: MessageId) -> LaneId {
    (from, id.session, id.epoch.value(), id.channel.0)
}

impl Book {
    fn lane(&mut self, from: Who, id: MessageId, label: &str, delivery: Delivery) -> &mut Lane {
        let Self { history, stalled, .. } = self;
        self.lanes.entry(lane_id(from, id)).or_insert_with(|| {
            let (sender, receiver) = (peer(from, id.session), peer(from.other(), id.session));
            let words = format!("{label}, lane {}", id.channel.0);
            let key = history.channel(&sender, &receiver, &words, mode(delivery));
            if let Some(since) = stalled.get(&(from.other(), id.session, label.to_owned())) {
                history.stalled(*since, key);
            }
            let (attempts, delivered, withdrawn, inherited, redeliver) = Default::default();
            Lane {
                key,
                label: label.into(),
                delivery,
                last: None,
                attempts,
                delivered,
                withdrawn,
                inherited,
                redeliver,
            }
        })
    }

    fn sent(&mut self, key: ChannelKey, id: MessageId, attempt: &Attempt) {
        *self.counts.entry("sent").or_insert(0) += 1;
        let mut sent = Sent::new(attempt.digest);
        if let Some(deadline) = attempt.deadline {
            sent = sent.deadline(deadline);
            self.mortal.insert(id);
        }
        self.history.sent(attempt.at, key.message(id.epoch.value(), id.sequence), sent);
    }

    /// An epoch is for life, unless its owner has lost its memory.
    fn note_epoch(&mut self, now: Time, who: Who, id: MessageId) {
        let (known, since) = *self.epochs.entry((who, id.session)).or_insert((id.epoch.value(), now));
        if known != id.epoch.value() {
            let forgot = self.forgot.get(&who).is_some_and(|times| times.iter().any(|at| *at >= since));
            if !forgot {
                let name = peer(who, id.session);
                self.violations
                    .push(format!("S3 epochs, at {now}: {name}: a new epoch, and it forgot nothing"));
            }
            self.epochs.insert((who, id.session), (id.epoch.value(), now));
        }
    }

    /// What only Bowline's users see: gaps are counted, and so are attempts.
    fn look_at(&mut self, now: Time, to: Who, shown: Shown) {
        let Shown { id, attempt, skipped, .. } = shown;
        let Some(lane) = self.lanes.get_mut(&lane_id(to.other(), id)) else { return };
        let subject = format!("{}, {:?}, message {}", peer(to, id.session), lane.label, id.sequence);
        let before = lane.attempts.insert(id.sequence, attempt).unwrap_or(0);
        if attempt != before + 1 && before > 0 {
            let what = format!("R2 attempts, at {now}: {subject}: attempt {attempt} after {before}");
            self.violations.push(what);
        }
        if attempt > 1 {
            return;
        }
        let newest = lane.delivered.last().copied();
        if let Some(last) = lane.last.replace(id.sequence)
            && lane.delivery.is_ordered()
        {
            let between = last.saturating_add(1)..id.sequence.max(last + 1);
            let missing = between.filter(|sequence| !lane.delivered.contains(sequence)).count() as u64;
            // A receiver that began again does not tell what its predecessor was given from what will not come.
            if missing != skipped && !lane.inherited {
                let what = format!(
                    "G4 order, at {now}: {subject}: {missing} messages after {last} left out, {skipped} told"
                );
                self.violations.push(what);
            }
        }
        lane.delivered.insert(id.sequence);
        let from = newest.map_or(0, |newest| newest + 1);
        if from < id.sequence && lane.delivery == Delivery::ReliableOrdered {
            let key = lane.key;
            self.history.skipped(now, key, id.epoch.value(), from..=id.sequence - 1);
        }
    }
}
