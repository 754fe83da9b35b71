//! Sessions that a store remembers from before a restart.

use std::sync::Arc;

use super::acceptor::supersede;
use super::connect::Plan;
use super::dialer::Dialer;
use super::registry::Registry;
use super::setup;
use super::shared::{Handle, Shared};
use super::task::Task;
use crate::error::{CloseReason, ConnectError};
use crate::id::SessionId;
use crate::protocol::journal::Snapshot;
use crate::store::StoreError;

/// A session that was dialed, and waits to be told where its peer is.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) session: SessionId,
    snapshot: Snapshot,
}

/// Everything the endpoint's store remembers and that does not live already: accepted sessions, which wait for their
/// dialers from now on, and dialed ones.
pub(crate) async fn load(
    registry: &Arc<Registry>,
) -> Result<(Vec<Arc<Handle>>, Vec<Remembered>), StoreError> {
    let Some(store) = registry.env.store.clone() else { return Ok((Vec::new(), Vec::new())) };
    let (mut accepted, mut dialed) = (Vec::new(), Vec::new());
    for (session, snapshot) in store.load().await? {
        match &snapshot.identity {
            // Its first dial never came to an end, and no application knows of it.
            Some((true, ..)) if snapshot.binding.is_none() => store.forget(session).await?,
            Some((true, ..)) if !registry.is_dialed(session) => dialed.push(Remembered { session, snapshot }),
            Some((false, ..)) => {
                let confirmed_ms = snapshot.confirmed_ms;
                accepted.extend(accept(registry, session, snapshot).map(|session| (confirmed_ms, session)));
            }
            _ => {}
        }
    }
    accepted.sort_by_key(|(confirmed_ms, _)| *confirmed_ms);
    let accepted: Vec<_> = accepted.into_iter().map(|(_, session)| session).collect();
    for (number, session) in accepted.iter().enumerate() {
        end_others(registry, session, accepted.get(..number).unwrap_or_default());
    }
    Ok((accepted, dialed))
}

/// Where an identity may have one session, the one that was confirmed last ends those before it, and one that its dialer has not
/// confirmed yet ends all others when it does: so it would have been, had the process before lived on.
fn end_others(registry: &Arc<Registry>, session: &Shared, before: &[Arc<Handle>]) {
    let table = registry.table();
    let others = table.admission.superseded_by(session.id);
    let others: Vec<_> = others.iter().filter_map(|other| table.sessions.get(other).cloned()).collect();
    let Some(session) = table.sessions.get(&session.id).cloned() else { return };
    drop(table);
    if session.is_confirmed() {
        let earlier =
            |other: &&Arc<Shared>| other.is_confirmed() && before.iter().any(|it| it.id == other.id);
        others.iter().filter(earlier).for_each(|other| supersede(other));
    } else if !others.is_empty() {
        registry.env.spawn(async move {
            if session.confirmed().await.is_ok() {
                others.iter().for_each(|other| supersede(other));
            }
        });
    }
}

/// An accepted session lives again. `None` if its dialer never attached, or it lives already.
fn accept(registry: &Arc<Registry>, session: SessionId, snapshot: Snapshot) -> Option<Arc<Handle>> {
    let (_, secret, _) = snapshot.identity.clone()?;
    let binding = snapshot.binding.clone()?;
    let shared = setup::restored(&registry.env, session, snapshot)?;
    if !registry.add_restored(shared.clone(), secret, binding) {
        return None;
    }
    let ended = registry.clone();
    let on_end = move |reason: CloseReason| ended.forget(session, reason);
    Task::spawn(shared.clone(), None, None, Box::new(on_end));
    Some(Handle::new(shared))
}

/// A dialed session lives again: it is detached, and dials by its reconnect policy.
pub(crate) fn connect(
    registry: &Arc<Registry>,
    remembered: Remembered,
    plan: Plan,
) -> Result<Arc<Handle>, ConnectError> {
    let env = &registry.env;
    let dialer = Dialer::new(env.clone(), plan.target, plan.server_name, plan.trust, plan.credentials)?;
    if let Some(binding) = remembered.snapshot.binding.clone() {
        dialer.bind_to_known(binding);
    }
    let id = remembered.session;
    // Without an identity it would not have been loaded.
    let shared = setup::restored(env, id, remembered.snapshot).ok_or(ConnectError::EndpointClosed)?;
    registry.add_dialed(shared.clone())?;
    let ended = registry.clone();
    Task::spawn(shared.clone(), Some(dialer), None, Box::new(move |_| ended.forget_dialed(id)));
    Ok(Handle::new(shared))
}
