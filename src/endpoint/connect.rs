//! A dial, before it is awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use crate::driver::Credentials;
use crate::driver::connect::{Plan, connect};
use crate::driver::registry::Registry;
use crate::error::ConnectError;
use crate::session::Session;

/// A session to be made, see [`Endpoint::connect`](super::Endpoint::connect). Awaiting it dials.
///
/// # Errors
///
/// See [`ConnectError`]. The first dial that fails ends it; only a session that was made reconnects.
///
/// # Cancel safety
///
/// Safe: dropped before it resolves, there is no session.
#[must_use = "nothing is dialed until it is awaited"]
pub struct Connect {
    registry: Arc<Registry>,
    plan: Plan,
}

impl Connect {
    pub(super) fn new(registry: Arc<Registry>, plan: Plan) -> Self {
        Self { registry, plan }
    }

    /// The name that the peer's certificate must be for, instead of the target's host. It matters under a CA; a
    /// pinned fingerprint takes any.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.plan.server_name = Some(name.into());
        self
    }

    /// What to show to the peer's application: at most 4 KiB, or a callback that is asked before every attach, see
    /// [`Credentials::renewed_by`].
    pub fn credentials(mut self, credentials: impl Into<Credentials>) -> Self {
        self.plan.credentials = credentials.into();
        self
    }
}

impl IntoFuture for Connect {
    type Output = Result<Session, ConnectError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { connect(self.registry, self.plan).await.map(Session::new) })
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connect").field(&self.plan).finish()
    }
}
