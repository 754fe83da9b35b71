//! Taking connections: from a stranger's first packet to a link of a session.

mod greeting;
pub(super) mod probed;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::{Instrument, info_span};

use super::environment::{BoxFuture, Environment};
use super::link;
use super::registry::{Doors, Parked, Registry, Visitor, refuse};
use super::shared::{Handle, Shared};
use super::task::Task;
use super::{setup, transport};
use crate::error::{AcceptError, BindError, CloseCode};
use crate::id::SessionId;
use crate::protocol::types::{Judgement, Role};
use crate::tls::{self, ClientAuth, PeerIdentity};
use crate::wire::{ALPN, Refuse};

/// Who asks to be attached to a session, for the application's authorisation (rule S7).
#[derive(Clone)]
#[non_exhaustive]
pub struct AttachRequest {
    /// The session.
    pub session: SessionId,
    /// Who the dialer has proved to be; `None` for an anonymous one.
    pub peer: Option<PeerIdentity>,
    /// Where it dials from.
    pub remote: SocketAddr,
    /// What it shows, at most 4 KiB. Not yet believed.
    pub credentials: Bytes,
    /// The session lives here already, and the dialer has proved that it is its own.
    pub resuming: bool,
}

impl fmt::Debug for AttachRequest {
    /// Without the credentials, which are nobody's business but the application's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachRequest")
            .field("session", &self.session)
            .field("peer", &self.peer)
            .field("remote", &self.remote)
            .field("resuming", &self.resuming)
            .finish_non_exhaustive()
    }
}

/// Decides about each attach.
#[derive(Clone)]
pub(crate) struct Authorize(Arc<dyn Fn(AttachRequest) -> BoxFuture<Result<(), String>> + Send + Sync>);

impl Authorize {
    pub(crate) fn new<F, R>(decide: F) -> Self
    where
        F: Fn(AttachRequest) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(decide(request))))
    }
}

impl fmt::Debug for Authorize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorize(..)")
    }
}

/// The listening side of an endpoint.
pub(crate) struct Acceptor {
    env: Arc<Environment>,
    registry: Arc<Registry>,
    socket: quinn::Endpoint,
    client_auth: ClientAuth,
    authorize: Option<Authorize>,
}

impl Acceptor {
    /// Listens on `addr`.
    pub(crate) fn bind(
        registry: Arc<Registry>,
        addr: SocketAddr,
        client_auth: ClientAuth,
        authorize: Option<Authorize>,
    ) -> Result<Arc<Self>, BindError> {
        let env = registry.env.clone();
        let tls = tls::server_config(&env.identity, &client_auth, ALPN)
            .map_err(|error| BindError::Tls(error.to_string()))?;
        let server = transport::server(&env, tls).map_err(BindError::Tls)?;
        let unbound = |source| BindError::Socket { addr, source };
        let socket = env.sockets.bind(addr).map_err(unbound)?;
        let instance = socket.local_addr().map_err(unbound)?.to_string();
        let config = transport::listening_endpoint(&env, instance.as_bytes());
        let socket = quinn::Endpoint::new_with_abstract_socket(config, Some(server), socket, env.runtime())
            .map_err(unbound)?;
        tracing::info!(local = %instance, "listening");
        let acceptor = Arc::new(Self { env, registry, socket, client_auth, authorize });
        let span = info_span!(parent: None, "endpoint", local = %instance);
        acceptor.env.spawn(acceptor.clone().run().instrument(span));
        Ok(acceptor)
    }

    pub(crate) fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Takes connections until nobody is there to take them for.
    async fn run(self: Arc<Self>) {
        loop {
            let incoming = tokio::select! {
                biased;
                () = self.registry.deserted() => break,
                incoming = self.socket.accept() => incoming,
            };
            let Some(incoming) = incoming else { break };
            let unproven = !incoming.remote_address_validated() && incoming.may_retry();
            if unproven && self.registry.is_crowded() {
                // Costs an honest dialer a round trip, and who lies about its address every slot that it would fill.
                if incoming.retry().is_err() {
                    self.registry.count_refused();
                }
                continue;
            }
            match self.registry.slot() {
                Some(slot) => {
                    let remote = incoming.remote_address();
                    let greeting = greeting::greet(self.clone(), incoming, slot);
                    self.env.spawn(greeting.instrument(info_span!("greeting", %remote)));
                }
                None => {
                    tracing::debug!(remote = %incoming.remote_address(), "too many connections on their way");
                    self.registry.count_refused();
                    incoming.refuse();
                }
            }
        }
        tracing::debug!("no more connections are taken");
        self.socket.set_server_config(None);
    }

    /// Waits until the peers of all accepted connections know that those are closed.
    pub(crate) async fn idle(&self) {
        self.socket.wait_idle().await;
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("client_auth", &self.client_auth).finish_non_exhaustive()
    }
}

/// Sessions of one identity that wait to be confirmed, where it may have one.
const UNCONFIRMED_MAX: usize = 2;

/// Makes the session that a visitor asks for, and waits until the dialer has confirmed it (rule S1).
pub(crate) async fn accept(registry: &Arc<Registry>, visitor: &Visitor) -> Result<Arc<Handle>, AcceptError> {
    let env = registry.env.clone();
    let left = |why: &str| AcceptError::Abandoned(why.to_owned());
    let parked = registry.unpark(visitor.session, None).ok_or_else(|| {
        if registry.is_closed() { AcceptError::EndpointClosed } else { left("it waited for too long") }
    })?;
    let (shared, older) = create(registry, parked)?;
    let (confirmed, mut waiting): (Vec<_>, Vec<_>) =
        older.into_iter().partition(|session| session.is_confirmed());
    let excess = waiting.len().saturating_sub(UNCONFIRMED_MAX - 1);
    waiting.drain(..excess).for_each(|session| supersede(&session));
    let handle = Handle::new(shared.clone());
    match env.timeout(env.config.handshake_timeout, shared.confirmed()).await {
        Some(Ok(())) => {
            confirmed.iter().chain(&waiting).for_each(|session| supersede(session));
            Ok(handle)
        }
        Some(Err(reason)) => Err(AcceptError::Abandoned(reason.to_string())),
        None => {
            // Nobody has seen it here, so nobody has ended it: its dialer may come again and make it anew.
            let why = "it did not confirm in time";
            shared.close(CloseCode::Reattach, why, Duration::ZERO);
            Err(left(why))
        }
    }
}

pub(super) fn supersede(session: &Shared) {
    session.close(CloseCode::Superseded, "the same peer has made a new session", Duration::ZERO);
}

/// The new session, and the older ones that it ends when it is confirmed: a Hello may come late, from a process that is gone.
fn create(registry: &Arc<Registry>, parked: Parked) -> Result<(Arc<Shared>, Vec<Arc<Shared>>), AcceptError> {
    let Parked { established, hello, slot: _slot, waits } = parked;
    // From now on its datagrams are the session's.
    drop(waits);
    let env = registry.env.clone();
    let session = hello.session;
    let mut table = registry.table();
    if table.doors != Doors::Open {
        // They were shut since it was called up: whoever closed the endpoint does not look for it any more.
        drop(table);
        let refuse = refuse(CloseCode::Busy, "no new sessions are taken", true);
        turn_away(registry, &established.connection, &refuse);
        return Err(AcceptError::EndpointClosed);
    }
    let supersedes = match table.admission.judge(&hello, &established.info, env.now()) {
        Judgement::Create { supersedes } => supersedes,
        Judgement::Refuse(refuse) => {
            drop(table);
            turn_away(registry, &established.connection, &refuse);
            return Err(AcceptError::Abandoned(refuse.reason));
        }
        Judgement::Attach | Judgement::Retry(_) => {
            return Err(AcceptError::Abandoned("the session exists already".to_owned()));
        }
    };
    let Some(secret) = hello.secret.clone() else {
        return Err(AcceptError::Abandoned("it did not tell the session's secret".to_owned()));
    };
    table.admission.insert(session, secret.clone(), established.info.binding.clone());
    let shared = setup::session(&env, Role::Acceptor, session, secret);
    table.sessions.insert(session, shared.clone());
    let superseded = supersedes.iter().filter_map(|old| table.sessions.get(old).cloned()).collect();
    drop(table);
    let ended = registry.clone();
    Task::spawn(shared.clone(), None, None, Box::new(move |reason| ended.forget(session, reason)));
    if let Err((established, _)) = shared.attach(Box::new(established), Some(hello)) {
        link::close(&established.connection, CloseCode::Busy, "the session ended at once");
    }
    Ok((shared, superseded))
}

/// Refuses a visitor, for the application or because it said nothing.
pub(crate) fn decline(registry: &Registry, visitor: &Visitor, code: CloseCode, reason: &str) {
    if let Some(parked) = registry.unpark(visitor.session, None) {
        turn_away(registry, &parked.established.connection, &refuse(code, reason, code == CloseCode::Busy));
    }
}

/// Tells a stranger no by closing the connection. Needs no runtime: handles are dropped anywhere.
pub(super) fn turn_away(registry: &Registry, connection: &quinn::Connection, refuse: &Refuse) {
    registry.count_refused();
    link::close(connection, CloseCode::from_value(refuse.code), &refuse.reason);
}

/// Lets only sessions that live attach, for an endpoint whose handles are gone.
pub(crate) fn abandon(registry: &Registry) {
    for parked in registry.shut(Doors::ForSessions) {
        turn_away(
            registry,
            &parked.established.connection,
            &refuse(CloseCode::Busy, "no new sessions are taken", true),
        );
    }
}

/// Ends everything: nobody new is taken, and all sessions are closed. Until they are, they may still reconnect
/// (rule T4).
pub(crate) async fn close(registry: &Registry, reason: &str, drain: Duration) {
    abandon(registry);
    registry.close_sessions(reason, drain).await;
    registry.shut(Doors::Closed);
}
