//! What a crash changes: receipts that nobody waits for any more, sessions that nobody comes back to.

use bowline::id::MessageId;
use bowline::{Delivery, SessionId};
use bowline_netsim::Time;
use bowline_netsim::history::{self, Sent};

use super::{Attempt, Book, Ledger, lane_id, peer};
use crate::world::Who;

impl Ledger {
    /// A process died; `keeps` says whether a disk remembers its sessions.
    pub(crate) fn crashed(&self, who: Who, keeps: bool) {
        let now = self.now();
        let mut book = self.book();
        let Book { sessions, history, .. } = &mut *book;
        for (session, life) in sessions {
            let name = peer(who, *session);
            history.disconnected(now, &name);
            // A dial that never came to an end is not remembered, and a session of which only its acceptor knows is over with it.
            let remembered = keeps && (who == Who::Server || life.known_to.contains(&who));
            match remembered {
                true => history.restarted(now, &name),
                false => history.forgot(now, &name),
            }
            if !remembered {
                // Unless its peer comes to it.
                history.gave_up(now, &name);
            }
            if who == Who::Client && !remembered {
                // It will never come back to this session.
                Who::BOTH.iter().for_each(|who| history.gave_up(now, &peer(*who, *session)));
            }
        }
        if !keeps {
            book.forgot.entry(who).or_default().push(now);
            let Book { adrift, lanes, .. } = &mut *book;
            adrift.retain(|id| !lanes.contains_key(&lane_id(who.other(), *id)));
        }
        let orphans: Vec<_> =
            book.open.iter().filter(|(_, sender)| **sender == who).map(|(id, _)| *id).collect();
        for id in orphans {
            book.open.remove(&id);
            if keeps {
                book.set_adrift(now, who, id);
            }
        }
        if keeps {
            book.note_interrupted(|attempt| attempt.who == who);
            book.abandon(now, who);
        }
        // A successor's application knows nothing of what came before.
        for ((from, ..), lane) in &mut book.lanes {
            if *from == who.other() {
                lane.last = None;
                lane.attempts.clear();
                lane.inherited = true;
            }
        }
        // Its successor takes what comes.
        book.stalled.retain(|(receiver, ..), _| *receiver != who);
        book.crashes.push((who, now));
        *book.counts.entry(if keeps { "restarts" } else { "amnesias" }).or_insert(0) += 1;
    }

    /// A process begins with what its disk remembers. A session that its predecessor knew to be over may be gone, also when the
    /// peer was not told of the end; every other one is there.
    pub(crate) fn restored(&self, who: Who, remembered: &[SessionId]) {
        let now = self.now();
        let mut book = self.book();
        let Some(died) = book.crashes.iter().rev().find(|(dead, _)| *dead == who).map(|(_, at)| *at) else {
            return;
        };
        let Book { sessions, history, violations, epochs, .. } = &mut *book;
        for (session, life) in sessions.iter_mut().filter(|(_, life)| life.known_to.contains(&who)) {
            let name = peer(who, *session);
            let over = life.over.remove(&who);
            if remembered.contains(session) {
                // It had not come to tell its peer, who has ended it, and nobody comes to it any more.
                if over.is_some() && life.ended.contains_key(&who.other()) {
                    history.gave_up(now, &name);
                }
                continue;
            }
            if over.is_none() {
                violations
                    .push(format!("R4 stores, at {now}: {name}: not remembered, and nobody had ended it"));
            } else if !life.ended.contains_key(&who.other()) {
                history.forgot(died, &name);
            }
            // If its peer comes back to it, it is another one.
            life.known_to.remove(&who);
            epochs.remove(&(who, *session));
        }
    }

    /// The session ended while a disk was writing it: it may have been accepted, and be on its way, or have taken the place
    /// of an older state. Whoever asks when the session is over is refused.
    pub(crate) fn interrupted(&self, attempt: Attempt) {
        let mut book = self.book();
        let over = book.sessions.get(&attempt.session).and_then(|life| life.over.get(&attempt.who));
        if over.is_some_and(|over| *over < attempt.at) {
            book.attempts.remove(&attempt.digest);
        } else {
            book.note_interrupted(|other| other.digest == attempt.digest);
        }
    }

    /// Whether a session is one that its dialer has left behind.
    pub(crate) fn is_abandoned(&self, session: SessionId) -> bool {
        self.book().abandoned.contains(&session)
    }
}

impl Book {
    /// Of sessions that a dialer without memory has left behind. An acceptor that allows one for each identity ends them when
    /// the next one comes; one that dies while it tells has them again, for as long as sessions are kept.
    fn abandon(&mut self, now: Time, who: Who) {
        if who == Who::Client {
            return;
        }
        let forgot = self.forgot.get(&Who::Client).and_then(|times| times.last()).copied();
        let Some(forgot) = forgot else { return };
        // One that the dialer does not have yet may still be on its way to it: then it is not left.
        let met =
            |session: &SessionId| self.attached.get(&(Who::Client, *session)).is_none_or(|at| *at <= forgot);
        let left: Vec<_> = self.sessions.keys().copied().filter(met).collect();
        for session in left {
            self.history.forgot(now, &peer(who, session));
            self.history.gave_up(now, &peer(who, session));
            self.abandoned.insert(session);
            self.open.retain(|id, _| id.session != session);
            self.adrift.retain(|id| id.session != session);
        }
    }

    /// Sends that a crash has interrupted: a newer state that nobody was told to be accepted may have taken the place of
    /// an older one.
    pub(super) fn note_interrupted(&mut self, which: impl Fn(&Attempt) -> bool) {
        let Self { attempts, lanes, history, interrupted, .. } = self;
        let asked = attempts.values().filter(|attempt| which(attempt));
        for attempt in asked {
            if !interrupted.insert(attempt.digest) {
                continue;
            }
            // A number that nobody is given, beyond all others.
            let number = u64::MAX - interrupted.len() as u64;
            for ((from, session, epoch, _), lane) in &*lanes {
                if (*from, *session) == (attempt.who, attempt.session) && lane.label == attempt.label {
                    let message = lane.key.message(*epoch, number);
                    history.sent(attempt.at, message, Sent::new(attempt.digest).deadline(attempt.at));
                    history.unattended(attempt.at, message);
                }
            }
        }
    }

    /// A sender that began again hears that its peer has forgotten. What its predecessor sent may be in doubt, and nobody is
    /// there to be told.
    pub(super) fn doubt_adrift(&mut self, now: Time, who: Who, session: SessionId) {
        let Self { adrift, lanes, history, .. } = self;
        adrift.retain(|id| {
            let lane = lanes.get(&lane_id(who, *id)).filter(|_| id.session == session);
            if let Some(lane) = lane {
                let message = lane.key.message(id.epoch.value(), id.sequence);
                history.receipt(now, message, history::Outcome::Unknown);
            }
            lane.is_none()
        });
    }

    /// The sender of a message began again: nobody waits for its receipt, but unless it says itself why not it arrives.
    fn set_adrift(&mut self, now: Time, who: Who, id: MessageId) {
        let Some(lane) = self.lanes.get(&lane_id(who, id)) else { return };
        let message = lane.key.message(id.epoch.value(), id.sequence);
        // What it wrote to somebody who had forgotten, and whom it has not met since, is unknown.
        let met = self.attached.get(&(who, id.session)).copied().unwrap_or(Time::ZERO);
        if self.forgot.get(&who.other()).is_some_and(|times| times.iter().any(|at| *at >= met)) {
            return self.history.unattended(now, message);
        }
        let may_end = lane.withdrawn.contains(&id.sequence) || lane.delivery == Delivery::ReliableLatest;
        if !may_end && !lane.delivered.contains(&id.sequence) && !self.mortal.contains(&id) {
            self.adrift.insert(id);
        }
        self.history.unattended(now, message);
    }
}
