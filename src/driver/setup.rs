//! The state that a new session starts from.

use std::sync::Arc;
use std::time::Duration;

use tracing::info_span;

use super::environment::Environment;
use super::shared::Shared;
use crate::id::SessionId;
use crate::protocol::machine::Machine;
use crate::protocol::types::{Role, Setup};
use crate::wire::{PeerLimits, Secret};

/// How long an answer takes that an acceptor gives at the end of its own time.
const ANSWER: Duration = Duration::from_secs(2);

/// A session that no task drives yet.
pub(super) fn session(env: &Arc<Environment>, role: Role, session: SessionId, secret: Secret) -> Arc<Shared> {
    let config = &env.config;
    let setup = Setup {
        role,
        session,
        secret,
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
    };
    let machine = Machine::new(setup, env.now());
    let span = info_span!(parent: None, "session", id = %session, ?role);
    Shared::new(env.clone(), session, role, machine, span)
}
