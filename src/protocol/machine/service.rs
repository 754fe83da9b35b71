//! The service behind a peer: whether its application takes its messages, apart from path and process (rule H8).

use std::time::Instant;

use super::Machine;
use super::channels::Channel;
use crate::protocol::types::{Event, PathLiveness};
use crate::wire::Health;

impl Machine {
    /// What the application says of itself; `Stalled` is found out by the machine.
    pub fn set_health(&mut self, health: Health) {
        self.own_health = health;
    }

    /// The health of this side's service, to be told.
    pub(super) fn health(&self) -> Health {
        let stalled = |channel: &Channel| channel.inbox.watch.is_stalled();
        match self.own_health {
            Health::Serving if self.channels.iter().any(|(_, channel)| stalled(channel)) => Health::Stalled,
            own => own,
        }
    }

    /// The peer tells how its service is.
    pub(super) fn peer_health(&mut self, told: Health) {
        // What this side sees for itself counts more than a peer that has not noticed yet.
        let told = if told == Health::Serving && self.sees_stall() { Health::Stalled } else { told };
        if std::mem::replace(&mut self.service, told) != told {
            self.emit(Event::Service(told));
        }
    }

    fn sees_stall(&self) -> bool {
        let stalled = |channel: &Channel| channel.local.as_ref().is_some_and(|l| l.watch.is_stalled());
        self.channels.iter().any(|(_, channel)| stalled(channel))
    }

    /// A stall that this side saw may be over.
    pub(super) fn stall_over(&mut self) {
        if self.service == Health::Stalled && !self.sees_stall() {
            self.service = Health::Serving;
            self.emit(Event::Service(Health::Serving));
        }
    }

    pub(super) fn service_timeout(&mut self, now: Instant) {
        let alive = self.path() == PathLiveness::Alive;
        let mut seen = false;
        for (_, channel) in self.channels.iter_mut() {
            if channel.config.is_some() {
                channel.inbox.watch.poll(now);
            }
            if let Some(local) = channel.local.as_mut() {
                // While the path is silent nothing is known of the service behind it.
                if alive {
                    seen |= local.watch.poll(now);
                } else {
                    local.watch.forgive(now);
                }
            }
        }
        if seen && self.service == Health::Serving {
            self.service = Health::Stalled;
            self.emit(Event::Service(Health::Stalled));
        }
    }
}
