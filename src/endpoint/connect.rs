//! A dial, before it is awaited.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use super::Endpoint;
use crate::driver::connect::{Plan, connect};
use crate::driver::restore::{self, Remembered};
use crate::driver::{Credentials, Target};
use crate::error::ConnectError;
use crate::session::Session;
use crate::tls::Trust;

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
    /// The session to go on with, instead of a new one.
    remembered: Option<Remembered>,
}

impl Connect {
    pub(super) fn new(
        endpoint: Endpoint,
        target: Target,
        trust: Trust,
        remembered: Option<Remembered>,
    ) -> Self {
        let plan = Plan { target, trust, server_name: None, credentials: Credentials::default() };
        Self { endpoint, plan, remembered }
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
        let Self { endpoint, plan, remembered } = self;
        Box::pin(async move {
            // The endpoint stays until then: without it no session is made.
            let registry = &endpoint.0.registry;
            let session = match remembered {
                None => connect(registry, plan).await,
                Some(remembered) => restore::connect(registry, remembered, plan),
            };
            session.map(Session::new)
        })
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connect").field(&self.plan).finish()
    }
}
