//! A dialer that wants a new session.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::driver::acceptor::{accept, decline};
use crate::driver::registry::{Registry, Visitor};
use crate::error::{AcceptError, CloseCode};
use crate::id::SessionId;
use crate::session::Session;
use crate::tls::PeerIdentity;

/// A proven dialer, to be accepted or refused within `handshake_timeout`. Dropped undecided it is told that the
/// endpoint is busy.
#[must_use = "a dialer that is dropped is told that the endpoint is busy"]
pub struct Incoming {
    registry: Arc<Registry>,
    visitor: Visitor,
    decided: bool,
}

impl Incoming {
    pub(super) fn new(registry: Arc<Registry>, visitor: Visitor) -> Self {
        Self { registry, visitor, decided: false }
    }

    /// The name of the session to be.
    pub fn session(&self) -> SessionId {
        self.visitor.session
    }

    /// Who the dialer has proved to be; `None` for an anonymous one.
    pub fn peer(&self) -> Option<&PeerIdentity> {
        self.visitor.peer.as_ref()
    }

    /// Where it dials from.
    pub fn remote(&self) -> SocketAddr {
        self.visitor.remote
    }

    /// What it shows, at most 4 KiB.
    pub fn credentials(&self) -> &Bytes {
        &self.visitor.credentials
    }

    /// Makes the session, and waits until the dialer knows.
    ///
    /// # Errors
    ///
    /// See [`AcceptError`]. There is no session then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the dialer is turned away, or the session closed if it was made already.
    pub async fn accept(mut self) -> Result<Session, AcceptError> {
        self.decided = true;
        accept(&self.registry, &self.visitor).await.map(Session::new)
    }

    /// Turns the dialer away, telling it why in at most 256 bytes. It will not come again by itself.
    pub fn refuse(mut self, reason: &str) {
        self.decided = true;
        decline(&self.registry, &self.visitor, CloseCode::Unauthorized, reason);
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("session", &self.visitor.session)
            .field("peer", &self.visitor.peer)
            .field("remote", &self.visitor.remote)
            .finish_non_exhaustive()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.decided {
            decline(&self.registry, &self.visitor, CloseCode::Busy, "the application did not decide");
        }
    }
}
