//! What the application asks for as a sender: messages, and what is to become of them.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Machine;
use super::channels::Local;
use super::journaling::Journal;
use crate::config::{LARGE, Lifetime, SendOptions, WhenFull};
use crate::error::{ExtendError, Outcome, SendError};
use crate::id::{Epoch, MessageId, Sequence};
use crate::protocol::journal::Record;
use crate::protocol::types::{ChannelKey, Progress, Progressed, Undelivered, Whereabouts};

/// Numbers of unreliable messages that are reserved in a journal at a time.
const RESERVED: Sequence = 4096;

/// A message was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its name.
    pub id: MessageId,
    /// The journal batch that makes it durable, of an unreliable message its number; 0 without a journal. `send` resolves
    /// once [`durable_batch`](Machine::durable_batch) has reached it.
    pub batch: u64,
}

impl Machine {
    /// Accepts a message: numbered, room taken in the outbox. [`SendError::Full`] when there is no room.
    pub fn send(
        &mut self,
        key: ChannelKey,
        payload: Bytes,
        options: SendOptions,
        now: Instant,
    ) -> Result<Accepted, SendError> {
        if let Some(reason) = self.ended() {
            return Err(SendError::Closed(reason));
        }
        let limit = self.peer.limits.map_or(u64::MAX, |limits| limits.max_message_size);
        let limit = limit.min(self.limits.max_message_size);
        if payload.len() as u64 > limit {
            return Err(SendError::TooLarge { size: payload.len(), limit: limit as usize });
        }
        let channel = self.channels.get_mut(key).ok_or(SendError::Finished)?;
        let when_full = channel.config.as_ref().map(|config| config.when_full);
        let lifetime = channel.config.as_ref().and_then(|config| config.deadline);
        let local = channel.local.as_mut().ok_or(SendError::Finished)?;
        if local.finished {
            return Err(SendError::Finished);
        }
        if let Some(reason) = &local.refused {
            return Err(SendError::Refused { reason: reason.clone() });
        }
        let (id, size, delivery) = (local.id, payload.len(), local.outbox.mode());
        if !delivery.is_reliable() && size > LARGE {
            return Err(SendError::TooLargeUnreliable { size, limit: LARGE, delivery });
        }
        let deadline = deadline_of(options, lifetime, now)?;
        if !local.outbox.has_room(size)
            && (when_full != Some(WhenFull::DropOldest) || !local.outbox.drop_oldest(size))
        {
            let held = local.outbox.held();
            return Err(SendError::Full { messages: held.messages, bytes: held.bytes + held.large });
        }
        let deadline_ms = deadline.map(|at| self.wall_ms.saturating_add(self.clock.own_ms(at)));
        let (sequence, batch) = number(local, &mut self.journal, &payload, deadline_ms);
        local.outbox.push(payload, batch, deadline, now);
        channel.stats.accepted += 1;
        if local.outbox.has_changes() {
            self.settle_sent(key, id, false);
        } else {
            self.channels.enqueue(key);
        }
        if deadline.is_some() {
            self.touch(key);
        }
        let id = MessageId { session: self.session, epoch: self.epoch, channel: id, sequence };
        Ok(Accepted { id, batch })
    }

    /// Withdraws a message. Whether that can still have an effect: it is not over yet.
    pub fn cancel(&mut self, key: ChannelKey, epoch: Epoch, sequence: Sequence, now: Instant) -> bool {
        if epoch != self.epoch {
            return false;
        }
        let local = self.channels.get_mut(key).and_then(|channel| channel.local.as_mut());
        let Some(local) = local else { return false };
        let (id, cancelled) = (local.id, local.outbox.cancel(sequence));
        if cancelled {
            self.settle_sent(key, id, false);
            self.check_drained(now);
        }
        cancelled
    }

    /// Messages of the channel without an outcome, those left out that were given up.
    pub fn undelivered(&self, key: ChannelKey) -> Vec<Undelivered> {
        let Some(local) = self.channels.get(key).and_then(|channel| channel.local.as_ref()) else {
            return Vec::new();
        };
        let name = |(sequence, payload, size, whereabouts)| {
            let id = MessageId { session: self.session, epoch: self.epoch, channel: local.id, sequence };
            Undelivered { id, payload, size, whereabouts }
        };
        local.outbox.undelivered().map(name).collect()
    }

    /// Withdraws all messages of the channel of which no link ever had anything, and gives them back, with the journal batch
    /// from which on they will not come again after a restart either.
    pub fn take_back(&mut self, key: ChannelKey, now: Instant) -> (Vec<Undelivered>, u64) {
        let (session, epoch) = (self.session, self.epoch);
        let local = self.channels.get_mut(key).and_then(|channel| channel.local.as_mut());
        let Some(local) = local else { return (Vec::new(), 0) };
        let channel = local.id;
        let name = |(sequence, payload): (Sequence, Bytes)| {
            let (id, size) = (MessageId { session, epoch, channel, sequence }, payload.len() as u64);
            Undelivered { id, payload, size, whereabouts: Whereabouts::Kept }
        };
        let taken: Vec<Undelivered> = local.outbox.take_back().into_iter().map(name).collect();
        if !taken.is_empty() {
            self.settle_sent(key, channel, false);
            self.check_drained(now);
        }
        (taken, self.journal.last_batch())
    }

    /// Gives a message another deadline, this long from now; `None`: none.
    pub fn extend_deadline(
        &mut self,
        key: ChannelKey,
        epoch: Epoch,
        sequence: Sequence,
        lifetime: Option<Duration>,
        now: Instant,
    ) -> Result<(), ExtendError> {
        if lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            return Err(ExtendError::DeadlinePassed);
        }
        if let Progress::Resolved(outcome) = self.progress(key, epoch, sequence) {
            return Err(ExtendError::Over(outcome));
        }
        let deadline = lifetime.and_then(|lifetime| now.checked_add(lifetime));
        let deadline_ms = deadline.map(|deadline| self.wall_of(deadline));
        let local = self.channels.get_mut(key).and_then(|channel| channel.local.as_mut());
        let Some(local) = local else { return Err(ExtendError::TooLate) };
        let channel = local.id;
        local.outbox.extend(sequence, deadline, now)?;
        self.journal.record(|| Record::Extended { channel, sequence, deadline_ms });
        self.settle_sent(key, channel, false);
        self.touch(key);
        Ok(())
    }

    /// How far a message sent on this channel has come.
    pub fn progress(&self, key: ChannelKey, epoch: Epoch, sequence: Sequence) -> Progress {
        let former = (epoch != self.epoch).then_some(epoch);
        match self.channels.outbox(key, former).map(|outbox| outbox.progress(sequence)) {
            Some(progress) if former.is_none() || matches!(progress, Progress::Resolved(_)) => progress,
            _ => Progress::Resolved(Outcome::Unknown),
        }
    }

    /// Which messages of a channel have come further since this was asked last; `None`: perhaps any.
    pub fn take_progressed(&mut self, key: ChannelKey) -> Option<Progressed> {
        let open = self.closed.is_none();
        let local = self.channels.get_mut(key).filter(|_| open)?.local.as_mut()?;
        Some(Progressed { epoch: self.epoch, ranges: local.outbox.take_progressed() })
    }
}

/// The number of the next message, and the journal batch that lets it leave. Of unreliable messages only the numbers are
/// remembered, many at a time, so that none is given twice (rule R4).
fn number(
    local: &mut Local,
    journal: &mut Journal,
    payload: &Bytes,
    deadline_ms: Option<u64>,
) -> (Sequence, u64) {
    let (channel, sequence) = (local.id, local.outbox.next());
    if local.outbox.mode().is_reliable() {
        let accepted = || Record::Accepted { channel, sequence, deadline_ms, payload: payload.clone() };
        return (sequence, journal.record(accepted).batch);
    }
    if sequence >= local.reserved.0 {
        let next = sequence.saturating_add(RESERVED);
        local.reserved = (next, journal.record(|| Record::Reserved { channel, next }).batch);
    }
    (sequence, local.reserved.1)
}

/// When a message expires, as it or its channel wants it.
fn deadline_of(
    options: SendOptions,
    lifetime: Option<Duration>,
    now: Instant,
) -> Result<Option<Instant>, SendError> {
    match options.lifetime {
        None => Ok(lifetime.and_then(|lifetime| now.checked_add(lifetime))),
        Some(Lifetime::Ever) => Ok(None),
        Some(Lifetime::For(lifetime)) if lifetime.is_zero() => Err(SendError::DeadlinePassed),
        Some(Lifetime::For(lifetime)) => Ok(now.checked_add(lifetime)),
        Some(Lifetime::Until(deadline)) if deadline <= now => Err(SendError::DeadlinePassed),
        Some(Lifetime::Until(deadline)) => Ok(Some(deadline)),
    }
}
