//! The state of one session, shared by its task, the readers of its links and the application's handles.

use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, broadcast};
use tracing::Span;

use super::environment::{Environment, lock};
use super::link::{self, Established, Writer};
use super::waiting::Waiting;
use crate::config::HeartbeatPolicy;
use crate::error::{CloseCode, CloseReason, ConnectError, Side};
use crate::id::SessionId;
use crate::protocol::machine::Machine;
use crate::protocol::types::{Event, LinkId, LinkSample, Role, SessionState};
use crate::tls::PeerIdentity;
use crate::wire::{Control, Frame, Hello};

/// Events that a subscriber may be behind before it misses some.
const EVENTS_MAX: usize = 256;

/// How often a busy link's transport is looked at: often enough to tell a lost datagram from a late one.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(5);

/// See the module. Whoever holds it keeps the memory, not the session: that is what [`Handle`] is for.
pub(crate) struct Shared {
    pub(crate) env: Arc<Environment>,
    pub(crate) id: SessionId,
    pub(crate) role: Role,
    pub(super) span: Span,
    state: Mutex<State>,
    /// Told when something has changed that a future in [`Shared::until`] may be looking for.
    changed: Notify,
}

pub(crate) struct State {
    pub(crate) machine: Machine,
    pub(crate) waiting: Waiting,
    /// Who the peer has proved to be.
    pub(crate) peer: Option<PeerIdentity>,
    /// Where the last link led to when it was made.
    remote: Option<SocketAddr>,
    /// The address of this machine from which it led there, if somebody watches it.
    #[cfg(all(feature = "watch", target_os = "linux"))]
    source: Option<std::net::IpAddr>,
    /// Links that the session's task has yet to take over.
    pub(super) arrivals: Vec<Writer>,
    /// Links whose connection is gone, which the task has yet to drop.
    pub(super) departures: Vec<LinkId>,
    /// Made for the first who asks: it costs some 20 KiB. `None` once the task has ended.
    pub(super) events: Option<broadcast::Sender<Event>>,
    /// When the machine was last told how a link's transport is.
    sampled: Option<(LinkId, Instant)>,
    /// Since when the application is in the background: by the calendar, and by the clock.
    pub(crate) background: Option<(SystemTime, Instant)>,
    /// Why the first attach came to nothing.
    failure: Option<ConnectError>,
    /// The task has done everything that there was to do.
    pub(super) ended: bool,
    /// The task has been told to look.
    flagged: bool,
    /// How to tell it.
    task: Option<Waker>,
}

impl State {
    /// Notes that the task has something to look at, if it has. Yields its waker unless it knows already.
    fn flag(&mut self, now: Instant) -> Option<Waker> {
        if self.flagged
            || (self.arrivals.is_empty() && self.departures.is_empty() && !self.machine.needs_poll(now))
        {
            return None;
        }
        self.flagged = true;
        self.task.take()
    }

    /// For the task, before it goes to sleep: whether there is something to look at.
    pub(super) fn take_flag(&mut self, waker: &Waker) -> bool {
        match &mut self.task {
            Some(task) => task.clone_from(waker),
            task => *task = Some(waker.clone()),
        }
        std::mem::take(&mut self.flagged)
    }

    /// Tells the machine how the attached link's transport is, unless it was told a moment ago: looking is not free.
    pub(super) fn sample(&mut self, link: LinkId, now: Instant, look: impl FnOnce() -> LinkSample) {
        let is_recent = |(sampled, at)| sampled == link && now < at + SAMPLE_INTERVAL;
        if self.machine.attached() == Some(link) && !self.sampled.is_some_and(is_recent) {
            self.sampled = Some((link, now));
            self.machine.handle_link_sample(link, look(), now);
        }
    }

    /// Why the session is over, if it is.
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        match self.machine.state() {
            SessionState::Closed(reason) => Some(reason),
            _ => None,
        }
    }
}

impl Shared {
    pub(super) fn new(
        env: Arc<Environment>,
        id: SessionId,
        role: Role,
        machine: Machine,
        span: Span,
    ) -> Arc<Self> {
        let state = State {
            machine,
            waiting: Waiting::default(),
            peer: None,
            remote: None,
            #[cfg(all(feature = "watch", target_os = "linux"))]
            source: None,
            arrivals: Vec::new(),
            departures: Vec::new(),
            events: None,
            sampled: None,
            background: None,
            failure: None,
            ended: false,
            flagged: true,
            task: None,
        };
        Arc::new(Self { env, id, role, span, state: Mutex::new(state), changed: Notify::new() })
    }

    /// The state, to look at. What changes it goes through [`feed`](Self::feed).
    pub(crate) fn look(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Changes the state, and has the session's task see to what follows from it.
    pub(crate) fn feed<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = self.env.now();
        let (result, task) = {
            let mut state = self.look();
            (change(&mut state, now), state.flag(now))
        };
        if let Some(task) = task {
            task.wake();
        }
        result
    }

    /// The same for the task itself, which need not be told.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = self.env.now();
        change(&mut self.look(), now)
    }

    /// Has all futures in [`until`](Self::until) look again.
    pub(super) fn notify_changed(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until `check`, asked after every change of the session's state, yields something.
    pub(crate) async fn until<T>(&self, mut check: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = check(&mut self.look()) {
                return found;
            }
            changed.await;
        }
    }

    /// Hands a connection to the session, with the Hello that came on it if this side accepted it. Gives both back if
    /// the session is over.
    pub(super) fn attach(
        self: &Arc<Self>,
        established: Box<Established>,
        hello: Option<Box<Hello>>,
    ) -> Result<(), (Box<Established>, Option<Box<Hello>>)> {
        let link = established.link;
        let split = self.feed(|state, now| {
            if state.closed().is_some() {
                return Err((established, hello));
            }
            state.peer.clone_from(&established.peer);
            let remote = established.connection.remote_address();
            state.remote = Some(remote);
            #[cfg(all(feature = "watch", target_os = "linux"))]
            if self.role == Role::Dialer {
                state.source = self.env.source_to(remote);
            }
            let (info, writer, reader) = established.split();
            state.machine.handle_link_up(link, info, now);
            if let Some(hello) = hello {
                state.machine.handle_frame(link, Frame::Control(Control::Hello(hello)), now);
            }
            state.arrivals.push(writer);
            Ok(reader)
        });
        split.map(|reader| link::spawn_readers(self, link, reader))
    }

    /// Tells the machine of a dialer in which network it is, and what is remembered of it.
    pub(super) fn enter_network(&self, state: &mut State, remote: SocketAddr, now: Instant) {
        if self.role == Role::Dialer && matches!(self.env.config.heartbeat, HeartbeatPolicy::Adaptive { .. })
        {
            let network = self.env.networks.identify(self.env.sockets.local_ip(remote), remote.ip());
            state.machine.enter_network(network, self.env.networks.recall(network), now);
        }
    }

    /// Tells whoever makes this session that it came to nothing. Without effect once a link was attached.
    pub(super) fn fail(&self, error: ConnectError) {
        let mut state = self.look();
        if state.failure.is_none() && state.machine.state() == SessionState::Connecting {
            state.failure = Some(error);
            drop(state);
            self.notify_changed();
        }
    }

    /// Waits for the first attach of a dialed session.
    pub(crate) async fn attached(&self) -> Result<(), ConnectError> {
        self.until(|state| match (state.failure.take(), state.machine.state()) {
            (Some(failure), _) => Some(Err(failure)),
            (None, SessionState::Closed(reason)) => Some(Err(match (reason.side, state.remote) {
                (Side::Local, Some(addr)) => ConnectError::Failed { addr, reason: reason.to_string() },
                _ => ConnectError::Refused(reason),
            })),
            (None, SessionState::Connecting) => None,
            (None, _) => Some(Ok(())),
        })
        .await
    }

    /// Why a dial that nobody answered came to nothing.
    pub(super) fn unanswered(&self, waited: Duration) -> ConnectError {
        match self.look().remote {
            Some(addr) => {
                let reason = format!("it did not take the session within {waited:?}");
                ConnectError::Failed { addr, reason }
            }
            None => ConnectError::Unreachable { addrs: Vec::new(), waited },
        }
    }

    /// Whether the dialer has confirmed an accepted session.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.look().machine.is_confirmed()
    }

    /// Waits until the dialer has confirmed an accepted session.
    pub(crate) async fn confirmed(&self) -> Result<(), CloseReason> {
        self.until(|state| match state.closed() {
            Some(reason) => Some(Err(reason)),
            None => state.machine.is_confirmed().then_some(Ok(())),
        })
        .await
    }

    /// Waits until a journal batch is durable, or the session is over.
    pub(crate) async fn durable(&self, batch: u64) -> Result<(), CloseReason> {
        self.until(|state| match state.closed() {
            _ if state.machine.durable_batch() >= batch => Some(Ok(())),
            Some(reason) => Some(Err(reason)),
            None => None,
        })
        .await
    }

    /// Waits until the session is over, the peer told as far as it could be, and its task done.
    pub(crate) async fn ended(&self) -> CloseReason {
        self.until(|state| if state.ended { state.closed() } else { None }).await
    }

    pub(crate) fn close(&self, code: CloseCode, reason: &str, drain: Duration) {
        self.feed(|state, now| state.machine.close(code, reason, drain, now));
    }

    pub(crate) fn network_changed(&self) {
        self.feed(|state, now| state.machine.network_changed(now));
    }

    /// Looks from which address this machine speaks to the peer now. Whether that is another one than before, and not none.
    #[cfg(all(feature = "watch", target_os = "linux"))]
    pub(super) fn source_changed(&self) -> bool {
        let Some(remote) = self.look().remote else { return false };
        let source = self.env.source_to(remote);
        let before = std::mem::replace(&mut self.look().source, source);
        source.is_some() && source != before
    }

    pub(crate) fn going_to_background(&self) {
        let wall = self.env.clock.wall();
        self.feed(|state, now| {
            state.background.get_or_insert((wall, now));
            state.machine.going_to_background();
        });
    }

    pub(crate) fn resumed(&self) {
        let wall = self.env.clock.wall();
        self.feed(|state, now| {
            let Some((before, began)) = state.background.take() else { return };
            // Some clocks stand still while the machine sleeps, and some are set.
            let asleep = wall.duration_since(before).unwrap_or_default();
            state.machine.resumed(asleep.max(now.saturating_duration_since(began)), now);
        });
    }

    /// The events from now on; `None` when there will be none.
    pub(crate) fn subscribe(&self) -> Option<broadcast::Receiver<Event>> {
        let mut state = self.look();
        if state.ended {
            return None;
        }
        Some(state.events.get_or_insert_with(|| broadcast::Sender::new(EVENTS_MAX)).subscribe())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id).field("role", &self.role).finish_non_exhaustive()
    }
}

/// What an application's handles have in common: when the last one is dropped, the session ends.
#[derive(Debug)]
pub(crate) struct Handle(Arc<Shared>);

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self(shared))
    }
}

impl std::ops::Deref for Handle {
    type Target = Arc<Shared>;

    fn deref(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.0.look().closed().is_none() {
            self.0.close(CloseCode::Dropped, "the last handle was dropped", Duration::ZERO);
        }
    }
}
