//! Signs of the peer's life, and the lease: how long an acceptor believes in a dialer that it does not hear (rules H1, T6).
//!
//! When the lease is over, or the dialer says that it goes away, it is *dormant*: its link stays, is read and answered, but no
//! message is written to it. A NAT has most likely forgotten the dialer, or nobody runs there, so what is written now
//! would only be in doubt. What waits in the outbox can be taken back, expires by this side's own word, and leaves at once when the
//! dialer is there again. The session is kept for as long as without a link (rule T3).

use std::net::SocketAddr;
use std::time::Instant;

use super::Machine;
use crate::protocol::types::{Event, LinkId, ProcessLiveness, Role, Wake};

impl Machine {
    /// Something of the peer has arrived here.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_since(now, now);
    }

    /// The same, at an unknown time since then.
    pub(super) fn heard_since(&mut self, since: Instant, now: Instant) {
        if let Some(attached) = self.attached.as_mut() {
            attached.silence.heard(now);
        }
        if self.lease.as_mut().is_some_and(|lease| lease.heard_since(since, now)) {
            self.wake_up(now);
        }
    }

    pub(super) fn lease_timeout(&mut self, now: Instant) {
        if self.lease.as_mut().is_some_and(|lease| lease.poll(now)) {
            // Nothing else can be tried from this side: silence on the one path is silence of the process.
            self.process = ProcessLiveness::Unreachable;
            self.emit(Event::Suspect);
            self.fall_dormant(now);
        }
    }

    /// The dialer says that it goes away, or is back (rule T6).
    pub(super) fn handle_presence(&mut self, link: LinkId, away: bool, now: Instant) {
        if self.role == Role::Dialer {
            return self.violation(link, "an acceptor has no presence to tell (rule T6)", now);
        }
        let Some(lease) = self.lease.as_mut() else { return };
        if away && lease.leave() {
            self.process = ProcessLiveness::Unknown;
            self.fall_dormant(now);
        } else if !away && lease.come_back(now) {
            self.wake_up(now);
        }
    }

    fn fall_dormant(&mut self, now: Instant) {
        self.detached_since.get_or_insert(now);
        self.wakes.insert(Wake::State);
        let pending = self.unresolved();
        self.emit(Event::PeerOffline { pending });
    }

    fn wake_up(&mut self, now: Instant) {
        self.detached_since = None;
        self.process = ProcessLiveness::Alive;
        self.wakes.insert(Wake::State);
        self.emit(Event::Recovered);
        self.check_drained(now);
    }

    /// The peer's packets come from another address than before, as the transport has noticed.
    pub fn handle_path_changed(&mut self, link: LinkId, former: SocketAddr, remote: SocketAddr) {
        if self.attached.as_ref().is_some_and(|attached| attached.link == link) {
            self.counts.path_changes += 1;
            self.emit(Event::PathChanged { former, remote });
            self.note_address_change();
        }
    }
}
