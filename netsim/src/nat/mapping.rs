//! One mapping of a NAT: its remotes, and how long it lives.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::config::{Dependence, NatConfig, Refresh, STREAM_AFTER};
use crate::time::Time;

/// Sessions that have expired are swept out when a mapping has this many.
const SESSIONS_SWEPT_AT: usize = 64;

#[derive(Debug)]
pub(super) struct Mapping {
    inside: SocketAddr,
    /// It lives until then.
    until: Time,
    sessions: BTreeMap<SocketAddr, Session>,
}

/// What went on between the inside endpoint and one remote. Only the inside begins one.
#[derive(Debug)]
struct Session {
    began: Time,
    answered: bool,
    until: Time,
}

impl Mapping {
    pub(super) fn new(now: Time, inside: SocketAddr) -> Self {
        Self { inside, until: now, sessions: BTreeMap::new() }
    }

    pub(super) fn inside(&self) -> SocketAddr {
        self.inside
    }

    pub(super) fn until(&self) -> Time {
        self.until
    }

    pub(super) fn lives(&self, now: Time) -> bool {
        now < self.until
    }

    pub(super) fn lets_in(&self, now: Time, remote: SocketAddr, filtering: Dependence) -> bool {
        let mut open = self.sessions.iter().filter(|(_, session)| now < session.until);
        match filtering {
            Dependence::EndpointIndependent => true,
            Dependence::AddressDependent => open.any(|(known, _)| known.ip() == remote.ip()),
            Dependence::AddressAndPortDependent => open.any(|(known, _)| *known == remote),
        }
    }

    pub(super) fn sends_to(&mut self, now: Time, remote: SocketAddr, config: &NatConfig) {
        if self.sessions.len() >= SESSIONS_SWEPT_AT {
            self.sessions.retain(|_, session| now < session.until);
        }
        let new = || Session { began: now, answered: false, until: now };
        let session = self.sessions.entry(remote).or_insert_with(new);
        if session.until < now {
            *session = new();
        }
        self.until = self.until.max(session.refresh(now, config));
    }

    pub(super) fn hears_from(&mut self, now: Time, remote: SocketAddr, config: &NatConfig) {
        let session = self.sessions.get_mut(&remote).filter(|session| now < session.until);
        let until = match session {
            Some(session) => {
                session.answered = true;
                if config.refresh == Refresh::Outbound {
                    return;
                }
                session.refresh(now, config)
            }
            // A stranger, whom only the filter's generosity lets in.
            None if config.refresh == Refresh::Both => now + unreplied_timeout(config),
            None => return,
        };
        self.until = self.until.max(until);
    }
}

impl Session {
    fn refresh(&mut self, now: Time, config: &NatConfig) -> Time {
        let is_stream = self.answered && now.since(self.began) > STREAM_AFTER;
        let life = if is_stream { config.timeout.0 } else { unreplied_timeout(config) };
        // A longer life that was earned before is not taken back.
        self.until = self.until.max(now + life);
        self.until
    }
}

fn unreplied_timeout(config: &NatConfig) -> Duration {
    config.unreplied_timeout.unwrap_or(config.timeout).0
}
