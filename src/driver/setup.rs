//! The state that a session starts from, new or remembered.

use std::sync::Arc;
use std::time::Duration;

use tracing::info_span;

use super::environment::Environment;
use super::shared::Shared;
use crate::id::SessionId;
use crate::protocol::journal::Snapshot;
use crate::protocol::machine::Machine;
use crate::protocol::types::{Role, Setup};
use crate::wire::{PeerLimits, Secret};

/// How long an answer takes that an acceptor gives at the end of its own time.
const ANSWER: Duration = Duration::from_secs(2);

/// A new session that no task drives yet.
pub(super) fn session(env: &Arc<Environment>, role: Role, session: SessionId, secret: Secret) -> Arc<Shared> {
    let machine = Machine::new(setup(env, role, session, secret), env.now());
    shared(env, role, machine)
}

/// A session that a store remembers, and that no task drives yet. `None` if too little is remembered to go on.
pub(super) fn restored(
    env: &Arc<Environment>,
    session: SessionId,
    snapshot: Snapshot,
) -> Option<Arc<Shared>> {
    let (dialer, secret, _) = snapshot.identity.clone()?;
    let role = if dialer { Role::Dialer } else { Role::Acceptor };
    let machine = Machine::restore(setup(env, role, session, secret), snapshot, env.now());
    Some(shared(env, role, machine))
}

fn shared(env: &Arc<Environment>, role: Role, machine: Machine) -> Arc<Shared> {
    let id = machine.session();
    let span = info_span!(parent: None, "session", %id, ?role);
    Shared::new(env.clone(), id, role, machine, span)
}

fn setup(env: &Environment, role: Role, session: SessionId, secret: Secret) -> Setup {
    let config = &env.config;
    Setup {
        role,
        session,
        secret,
        wall_ms: env
            .clock
            .wall()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        seed: env.random(),
        heartbeat: config.heartbeat,
        reconnect: config.reconnect,
        session_expiry: config.session_expiry,
        attach_timeout: config.handshake_timeout + ANSWER,
        limits: PeerLimits {
            max_message_size: config.max_message_size as u64,
            max_channels: u32::try_from(config.max_channels).unwrap_or(u32::MAX),
        },
        journaled: env.store.is_some(),
        durable: env.store.as_ref().is_some_and(|store| store.is_durable()),
    }
}
