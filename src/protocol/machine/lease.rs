//! Signs of the peer's life, and the lease: how long an acceptor believes in a dialer that it does not hear (rule H1).

use std::time::Instant;

use super::Machine;
use crate::protocol::types::{Event, ProcessLiveness};

impl Machine {
    /// Something of the peer has arrived here.
    pub(super) fn heard(&mut self, now: Instant) {
        if let Some(attached) = self.attached.as_mut() {
            attached.silence.heard(now);
        }
        if self.lease.as_mut().is_some_and(|lease| lease.heard(now)) {
            self.emit(Event::Recovered);
            self.process = ProcessLiveness::Alive;
        }
    }

    pub(super) fn lease_timeout(&mut self, now: Instant) {
        if self.lease.as_mut().is_some_and(|lease| lease.poll(now)) {
            let pending = self.unresolved();
            // Nothing else can be tried from this side: silence on the one path is silence of the process.
            self.process = ProcessLiveness::Unreachable;
            self.emit(Event::Suspect);
            self.emit(Event::PeerOffline { pending });
        }
    }
}
