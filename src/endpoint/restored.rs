//! Sessions from before a restart.

use super::{Connect, Endpoint};
use crate::driver::Target;
use crate::driver::restore::Remembered;
use crate::id::SessionId;
use crate::session::Session;
use crate::tls::Trust;

/// What a store remembered, see [`Endpoint::restore`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Restored {
    /// Sessions that were accepted: alive, and waiting for their dialers.
    pub accepted: Vec<Session>,
    /// Sessions that were dialed: they need to be told where their peer is. What is dropped here stays in the store.
    pub dialed: Vec<Dormant>,
}

/// A dialed session that is not alive yet.
#[derive(Debug)]
#[must_use = "it comes to life when it is connected"]
pub struct Dormant {
    pub(super) endpoint: Endpoint,
    pub(super) remembered: Remembered,
}

impl Dormant {
    /// The session's name.
    pub fn id(&self) -> SessionId {
        self.remembered.session
    }

    /// Brings the session back to life: it resolves at once, and dials as after a lost connection. The peer must be the
    /// one that the session was with, whatever else `trust` allows.
    ///
    /// # Errors
    ///
    /// [`ConnectError`](crate::error::ConnectError) if the target or the trust cannot be used, the session was brought
    /// back already, or the endpoint is closed.
    pub fn connect(self, target: impl Into<Target>, trust: Trust) -> Connect {
        Connect::new(self.endpoint, target.into(), trust, Some(self.remembered))
    }
}
