//! A dial, before it is awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use super::Endpoint;
use crate::driver::Credentials;
use crate::driver::connect::{Plan, connect};
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
    endpoint: Endpoint,
    plan: Plan,
}

impl Connect {
    pub(super) fn new(endpoint: Endpoint, plan: Plan) -> Self {
        Self { endpoint, plan }
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
        let Self { endpoint, plan } = self;
        Box::pin(async move { connect(&endpoint.0.registry, plan).await.map(Session::new) })
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connect").field(&self.plan).finish()
    }
}
