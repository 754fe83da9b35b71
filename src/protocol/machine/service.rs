//! The services behind both sides: whether an application takes its messages, apart from path and process (rule H8).
//!
//! Each side watches its own inboxes, and says what it finds: nobody else can tell an application that takes its time with a
//! message from one that takes none, and a process that is stopped says nothing, so that nothing is claimed of its
//! service. Health travels in every beat and answer. When it changes a side beats at once, and again each second until a beat
//! that said so is answered: beats may be lost, and where acknowledged traffic takes their place there would be none.

use std::time::{Duration, Instant};

use super::Machine;
use super::channels::Channel;
use crate::protocol::types::{ChannelKey, Event, PathLiveness};
use crate::wire::{BeatKind, Health};

/// How long the answer to a beat may take that says something new.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// What is known of both services.
#[derive(Debug)]
pub(super) struct Service {
    /// What this side's application says of itself.
    said: Health,
    /// How this side's service is, as last reported to its application.
    here: Health,
    /// What of that the peer is known to have heard last; `None` once something else was said.
    heard: Option<Health>,
    /// The last beat: its parity, and what it said.
    beat: (bool, Health),
    /// When a change is to be told (again).
    tell: Option<Instant>,
    /// How the peer's service is, as last told.
    pub(super) there: Health,
}

impl Default for Service {
    fn default() -> Self {
        let serving = Health::Serving;
        let (said, here, there) = (serving, serving, serving);
        Self { said, here, heard: Some(serving), beat: (false, serving), tell: None, there }
    }
}

impl Machine {
    // ---- this side ----

    /// What the application says of itself; `Stalled` is found out by the machine.
    pub fn set_health(&mut self, health: Health, now: Instant) {
        self.service.said = health;
        self.review_service(now);
    }

    /// How this side's service is.
    pub(super) fn health(&self) -> Health {
        self.service.here
    }

    /// An inbox has begun to wait for its application too long, or waits no more.
    fn review_service(&mut self, now: Instant) {
        let stalled = |(_, channel): (_, &Channel)| channel.inbox.watch.is_stalled();
        let health = match self.service.said {
            Health::Serving if self.channels.iter().any(stalled) => Health::Stalled,
            said => said,
        };
        if std::mem::replace(&mut self.service.here, health) != health {
            self.emit(Event::OwnService(health));
            self.service.tell = Some(now);
            self.tell_health(now);
        }
    }

    /// The application has taken something.
    pub(super) fn taken(&mut self, now: Instant) {
        if self.service.here == Health::Stalled {
            self.review_service(now);
        }
    }

    /// Messages are gone that the application has not taken: perhaps nothing waits for it any more.
    pub(super) fn passed(&mut self, key: ChannelKey, now: Instant) {
        let Some(channel) = self.channels.get_mut(key).filter(|channel| !channel.inbox.has_next()) else {
            return;
        };
        channel.inbox.watch.progress(false, now);
        self.taken(now);
    }

    /// When the peer is to be told of this side's health, if it can be.
    pub(super) fn tell_deadline(&self) -> Option<Instant> {
        self.service.tell.filter(|_| self.background.is_none() && self.path() == PathLiveness::Alive)
    }

    fn tell_health(&mut self, now: Instant) {
        if self.service.heard == Some(self.service.here) {
            self.service.tell = None;
        }
        let due = self.tell_deadline().is_some_and(|at| now >= at);
        let Some(attached) = self.attached.as_mut().filter(|_| due) else { return };
        self.service.tell = Some(now + TELL_AGAIN);
        let link = attached.link;
        match attached.heart.as_mut() {
            Some(heart) => heart.poke(now),
            None => self.send_beat(link, BeatKind::Beat, !self.service.beat.0),
        }
    }

    /// A beat or an answer leaves, and says how this side's service is. An answer is not answered.
    pub(super) fn note_beat(&mut self, kind: BeatKind, parity: bool) {
        let Service { here, heard, beat, .. } = &mut self.service;
        *heard = heard.filter(|heard| heard == here);
        if kind == BeatKind::Beat {
            *beat = (parity, *here);
        }
    }

    /// A beat was answered.
    pub(super) fn beat_heard(&mut self, parity: bool) {
        let (last, said) = self.service.beat;
        if parity == last {
            self.service.heard = Some(said);
        }
        if self.service.heard == Some(self.service.here) {
            self.service.tell = None;
        }
    }

    pub(super) fn service_timeout(&mut self, now: Instant) {
        let (mut changed, timer) = (false, self.channels.timer());
        for (_, channel) in self.channels.iter_mut().filter(|_| timer.is_some_and(|at| at <= now)) {
            changed |= channel.config.is_some() && channel.inbox.watch.poll(now);
        }
        if changed {
            self.review_service(now);
        }
        self.tell_health(now);
    }

    // ---- the peer ----

    /// The peer tells how its service is.
    pub(super) fn peer_health(&mut self, told: Health) {
        if std::mem::replace(&mut self.service.there, told) != told {
            self.emit(Event::Service(told));
        }
    }
}
