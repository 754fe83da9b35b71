//! The sessions of an endpoint, and who may attach to them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::acceptor::probed::Probes;
use super::environment::{Environment, lock};
use super::link::Established;
use super::shared::Shared;
use crate::error::{CloseCode, CloseReason, ConnectError};
use crate::id::SessionId;
use crate::protocol::admission::Admission;
use crate::protocol::types::{LinkId, SessionState};
use crate::tls::PeerIdentity;
use crate::wire::{Hello, Refuse, Retry, Secret};

/// See the module.
pub(crate) struct Registry {
    pub(crate) env: Arc<Environment>,
    table: Mutex<Table>,
    /// Told when a stranger was parked, and when the doors close.
    pub(super) arrivals: Notify,
    /// Told when a session has ended.
    departures: Notify,
    handshakes: Arc<AtomicUsize>,
    refused: AtomicU64,
    pub(super) probes: Probes,
}

/// What the registry's lock guards.
pub(super) struct Table {
    pub(super) admission: Admission,
    /// Those that were accepted.
    pub(super) sessions: BTreeMap<SessionId, Arc<Shared>>,
    dialed: BTreeMap<SessionId, Arc<Shared>>,
    /// Proven strangers that wait for the application's decision, the longest-waiting one first.
    pub(super) parked: BTreeMap<SessionId, Parked>,
    pub(super) queue: VecDeque<SessionId>,
    pub(super) doors: Doors,
}

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doors {
    Open,
    /// The endpoint's handles are gone: only sessions that live still attach.
    ForSessions,
    Closed,
}

/// A stranger whose Hello is proven.
pub(super) struct Parked {
    pub(super) established: Established,
    pub(super) hello: Box<Hello>,
    pub(super) slot: Slot,
    /// Dropped when it waits no more.
    pub(super) waits: oneshot::Sender<()>,
}

/// One of the connections that may be on their way at once.
pub(super) struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What an application is shown of a stranger.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) session: SessionId,
    pub(crate) peer: Option<PeerIdentity>,
    pub(crate) remote: SocketAddr,
    pub(crate) credentials: Bytes,
}

/// What became of an attempt to park a stranger.
pub(super) enum Parking {
    /// It waits; this one, of the same session, does no longer.
    Done(Option<Parked>),
    Retry(Parked, Retry),
    Refused(Parked, Refuse),
}

/// Figures of an endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) sessions: usize,
    pub(crate) attached: usize,
    pub(crate) handshakes: usize,
    pub(crate) waiting: usize,
    pub(crate) probes: usize,
    pub(crate) refused: u64,
}

impl Table {
    fn all(&self) -> impl Iterator<Item = &Arc<Shared>> {
        self.sessions.values().chain(self.dialed.values())
    }
}

impl Registry {
    pub(crate) fn new(env: Arc<Environment>) -> Arc<Self> {
        let config = &env.config;
        let admission = Admission::new(
            config.max_sessions,
            config.max_sessions_per_identity,
            config.one_session_per_identity,
        );
        let table = Table {
            admission,
            sessions: BTreeMap::new(),
            dialed: BTreeMap::new(),
            parked: BTreeMap::new(),
            queue: VecDeque::new(),
            doors: Doors::Open,
        };
        Arc::new(Self {
            table: Mutex::new(table),
            arrivals: Notify::new(),
            departures: Notify::new(),
            handshakes: Arc::default(),
            refused: AtomicU64::new(0),
            probes: Probes::default(),
            env,
        })
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    /// A slot for another connection, if one is free.
    pub(super) fn slot(&self) -> Option<Slot> {
        let slot = Slot(self.handshakes.clone());
        let taken = self.handshakes.fetch_add(1, Ordering::Relaxed);
        // Dropping the slot takes the count back.
        (taken < self.env.config.max_handshakes).then_some(slot)
    }

    /// Whether more than half of the slots are taken: from now on dialers prove their address first.
    pub(super) fn is_crowded(&self) -> bool {
        self.handshakes.load(Ordering::Relaxed) > self.env.config.max_handshakes / 2
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps a stranger until the application has decided.
    pub(super) fn park(&self, stranger: Parked) -> Parking {
        let mut table = self.table();
        let session = stranger.hello.session;
        if table.doors != Doors::Open {
            return Parking::Refused(stranger, refuse(CloseCode::Busy, "no new sessions are taken", true));
        }
        match table.parked.get(&session) {
            // Whoever knows the secret, and nobody else, may come again on another link.
            Some(known)
                if known.hello.secret != stranger.hello.secret
                    || known.established.info.binding != stranger.established.info.binding =>
            {
                let refuse = refuse(CloseCode::WrongProof, "the session belongs to somebody else", false);
                return Parking::Refused(stranger, refuse);
            }
            Some(known) if known.hello.counter >= stranger.hello.counter => {
                let retry = Retry::Stale(known.hello.counter);
                return Parking::Retry(stranger, retry);
            }
            Some(_) => {}
            None => table.queue.push_back(session),
        }
        let replaced = table.parked.insert(session, stranger);
        drop(table);
        self.arrivals.notify_one();
        Parking::Done(replaced)
    }

    /// The next stranger to decide about, or `None` when there will be none.
    pub(crate) async fn next_visitor(&self) -> Option<Visitor> {
        loop {
            if let Some(found) = self.pop_visitor() {
                return found;
            }
            self.arrivals.notified().await;
        }
    }

    /// `None`: wait.
    fn pop_visitor(&self) -> Option<Option<Visitor>> {
        let mut table = self.table();
        while let Some(session) = table.queue.pop_front() {
            if let Some(Parked { established, hello, .. }) = table.parked.get(&session) {
                let visitor = Visitor {
                    session,
                    peer: established.peer.clone(),
                    remote: established.connection.remote_address(),
                    credentials: hello.credentials.clone(),
                };
                if !table.queue.is_empty() {
                    // For whoever else waits.
                    self.arrivals.notify_one();
                }
                return Some(Some(visitor));
            }
        }
        if table.doors == Doors::Open {
            return None;
        }
        self.arrivals.notify_one();
        Some(None)
    }

    /// Takes out the stranger that wants this session, if it is (still) on this link.
    pub(super) fn unpark(&self, session: SessionId, link: Option<LinkId>) -> Option<Parked> {
        let mut table = self.table();
        let parked = table.parked.get(&session)?;
        if link.is_some_and(|link| link != parked.established.link) {
            return None;
        }
        table.queue.retain(|waiting| *waiting != session);
        table.parked.remove(&session)
    }

    /// Adds a session that is about to be dialed, unless it lives here already, or the endpoint is closed.
    pub(super) fn add_dialed(&self, session: Arc<Shared>) -> Result<(), ConnectError> {
        let mut table = self.table();
        if table.doors != Doors::Open {
            return Err(ConnectError::EndpointClosed);
        }
        match table.dialed.entry(session.id) {
            Entry::Occupied(_) => Err(ConnectError::AlreadyConnected),
            Entry::Vacant(place) => {
                place.insert(session);
                Ok(())
            }
        }
    }

    /// The sessions that were dialed.
    pub(crate) fn dialed(&self) -> Vec<Arc<Shared>> {
        self.table().dialed.values().cloned().collect()
    }

    /// Whether a dialed session lives here.
    pub(super) fn is_dialed(&self, session: SessionId) -> bool {
        self.table().dialed.contains_key(&session)
    }

    /// Adds an accepted session of an earlier process, unless it lives here already, or the endpoint is closed.
    pub(super) fn add_restored(&self, session: Arc<Shared>, secret: Secret, binding: Vec<u8>) -> bool {
        let mut table = self.table();
        let fresh = table.doors == Doors::Open && !table.sessions.contains_key(&session.id);
        if fresh {
            table.admission.insert(session.id, secret, binding);
            table.sessions.insert(session.id, session);
        }
        fresh
    }

    /// A dialed session is over.
    pub(super) fn forget_dialed(&self, session: SessionId) {
        self.table().dialed.remove(&session);
        self.departures.notify_waiters();
    }

    /// An accepted session is over.
    pub(super) fn forget(&self, session: SessionId, reason: CloseReason) {
        let now = self.env.now();
        let mut table = self.table();
        table.sessions.remove(&session);
        table.admission.remove(session, Some(reason), now);
        drop(table);
        self.departures.notify_waiters();
    }

    /// Lets nobody in any more, or only who is known. Yields who waited.
    pub(super) fn shut(&self, doors: Doors) -> Vec<Parked> {
        let mut table = self.table();
        if table.doors != Doors::Closed {
            table.doors = doors;
        }
        table.queue.clear();
        let waiting = std::mem::take(&mut table.parked).into_values().collect();
        drop(table);
        self.arrivals.notify_one();
        self.departures.notify_waiters();
        waiting
    }

    /// Whether no new sessions are made.
    pub(crate) fn is_closed(&self) -> bool {
        self.table().doors != Doors::Open
    }

    /// Ends all sessions, and waits until they have ended.
    pub(super) async fn close_sessions(&self, reason: &str, drain: Duration) {
        let sessions: Vec<_> = self.table().all().cloned().collect();
        for session in &sessions {
            session.close(CloseCode::Normal, reason, drain);
        }
        for session in sessions {
            session.ended().await;
        }
    }

    /// Waits until the listening socket serves nobody any more.
    pub(super) async fn deserted(&self) {
        loop {
            let mut departed = std::pin::pin!(self.departures.notified());
            departed.as_mut().enable();
            {
                let table = self.table();
                if table.doors == Doors::Closed
                    || table.doors == Doors::ForSessions && table.sessions.is_empty()
                {
                    return;
                }
            }
            departed.await;
        }
    }

    /// Waits until the endpoint's handles are gone or closed, and all sessions that it dialed are over.
    #[cfg(all(feature = "watch", target_os = "linux"))]
    pub(super) async fn dials_no_more(&self) {
        loop {
            let mut departed = std::pin::pin!(self.departures.notified());
            departed.as_mut().enable();
            {
                let table = self.table();
                if table.doors != Doors::Open && table.dialed.is_empty() {
                    return;
                }
            }
            departed.await;
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let table = self.table();
        let attached =
            |shared: &&Arc<Shared>| matches!(shared.look().machine.state(), SessionState::Connected);
        Figures {
            sessions: table.all().count(),
            attached: table.all().filter(attached).count(),
            handshakes: self.handshakes.load(Ordering::Relaxed),
            waiting: table.parked.len(),
            probes: self.probes.count(),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

pub(super) fn refuse(code: CloseCode, reason: &str, retry: bool) -> Refuse {
    Refuse { code: code.value(), reason: reason.to_owned(), retry }
}
