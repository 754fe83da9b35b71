//! Making a session by dialing.

use std::sync::Arc;
use std::time::Duration;

use super::credentials::Credentials;
use super::dialer::Dialer;
use super::registry::Registry;
use super::setup;
use super::shared::Handle;
use super::target::Target;
use super::task::Task;
use crate::error::ConnectError;
use crate::id::SessionId;
use crate::protocol::types::Role;
use crate::tls::Trust;
use crate::wire::Secret;

/// How long the first dial may take (rule T2), before the acceptor's application has its time to decide.
const DIAL: Duration = Duration::from_secs(10);

/// What to dial, and how.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) trust: Trust,
    pub(crate) server_name: Option<String>,
    pub(crate) credentials: Credentials,
}

/// Makes a session with the peer. The first dial that fails is the end of it.
pub(crate) async fn connect(registry: &Arc<Registry>, plan: Plan) -> Result<Arc<Handle>, ConnectError> {
    let env = registry.env.clone();
    let target = plan.target.clone();
    let dialer = Dialer::new(env.clone(), plan.target, plan.server_name, plan.trust, plan.credentials)?;
    let id = SessionId::from_bytes(env.random());
    let shared = setup::session(&env, Role::Dialer, id, Secret(env.random()));
    registry.add_dialed(shared.clone())?;
    let on_end = registry.clone();
    let first = dialer.dial(DIAL);
    Task::spawn(shared.clone(), Some(dialer), Some(first), Box::new(move |_| on_end.forget_dialed(id)));
    // Dropped on every way out but the last, it ends the session.
    let handle = Handle::new(shared.clone());
    let limit = DIAL + env.config.handshake_timeout;
    match env.timeout(limit, shared.attached()).await {
        Some(Ok(())) => {
            tracing::info!(session = %id, %target, "connected");
            Ok(handle)
        }
        Some(Err(error)) => Err(error),
        None => Err(shared.unanswered(limit)),
    }
}
