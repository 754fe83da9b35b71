//! A dialer whose process is about to be stopped by its system, as phones do with what is in the background (rule T6).
//!
//! ```text
//!   Running ── going_to_background: Presence{away} ──> Background: no beat, no probe, no dial
//!      ^                                                    │
//!      └── resumed: Presence{}, a beat, or a doubt ─────────┘
//! ```
//!
//! In the background the session costs no radio and leaves nothing to be missed: the acceptor holds its messages from then on.
//! What this side sends is still written while there is a link. When the process is back, its first word is a beat. If
//! nothing kept the NAT's mapping open for longer than an interval of the heartbeat, the path is in doubt from the start, and
//! the beat comes from a new socket.

use std::time::{Duration, Instant};

use super::Machine;
use crate::protocol::types::{Event, LinkId, ProcessLiveness, Role};
use crate::wire::Control;

/// The dialer is in the background.
#[derive(Debug, Default)]
pub(super) struct Background {
    /// The network has changed meanwhile.
    pub(super) moved: bool,
}

impl Machine {
    /// The process may be stopped any time from now on (dialer).
    pub fn going_to_background(&mut self) {
        if self.role == Role::Acceptor || self.closed.is_some() || self.background.is_some() {
            return;
        }
        self.background = Some(Background::default());
        self.redial.planned = None;
        self.rhythm.disturb();
        if let Some(link) = self.attached() {
            self.tell_presence(link);
        }
    }

    /// The process is back after `asleep`, by whichever clock shows more of it.
    pub fn resumed(&mut self, asleep: Duration, now: Instant) {
        let Some(Background { moved }) = self.background.take() else { return };
        if self.closed.is_some() {
            return;
        }
        let cold = asleep > self.heartbeat_stats().interval;
        if let Some(attached) = self.attached.as_mut()
            && let Some(heart) = attached.heart.as_mut()
        {
            let link = attached.link;
            // What came last came before: that nothing has come since says nothing.
            attached.silence.end();
            heart.poke(now);
            if cold && !moved && heart.doubt(true, now) {
                self.process = ProcessLiveness::Unknown;
                self.emit(Event::Suspect);
            }
            self.tell_presence(link);
        }
        if moved {
            return self.network_changed(now);
        }
        if self.attached.is_none() || self.detached_since.is_some() {
            self.redial.gave_up = false;
            self.redial.backoff.reset();
            self.plan_redial(now);
        }
    }

    /// Tells the acceptor whether this side is away.
    pub(super) fn tell_presence(&mut self, link: LinkId) {
        self.transmit(link, Control::Presence { away: self.background.is_some() });
    }
}
