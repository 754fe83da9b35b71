//! A process on a host of the simulation: an endpoint and tasks that can all be killed at once, and a disk that stays.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bowline::protocol::journal::{Batch, Snapshot};
use bowline::store::Storing;
use bowline::{Endpoint, MemoryStore, SessionId, SocketFactory, Store};
use bowline_netsim::quic::{Sim, SimRuntime, SimSocket};
use bowline_netsim::{HostId, Time};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};
use tokio::task::AbortHandle;

use crate::gate::{Gate, Way};
use crate::world::Who;

/// Polls of one process in one millisecond of virtual time: beyond that it spins (G15).
const POLLS_MAX: u64 = 300_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A process that runs.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) endpoint: Endpoint,
    pub(crate) life: Arc<Life>,
}

/// What dies with a process.
pub(crate) struct Life {
    sim: Sim,
    who: Who,
    host: HostId,
    gate: Arc<Gate>,
    dead: AtomicBool,
    /// While it is stopped: who would have done something.
    stopped: Mutex<Option<Vec<Waker>>>,
    tasks: Mutex<Vec<AbortHandle>>,
    /// When it bound a socket to any port: that is, dialed.
    dials: Arc<Mutex<Vec<Time>>>,
    /// When a task of it panicked.
    panics: Arc<Mutex<Vec<Time>>>,
    polls: Mutex<(Time, u64)>,
}

impl Process {
    /// A task of this process.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.life.start(Box::pin(task));
    }

    /// Stops the process, as a SIGSTOP does: it does nothing, and what comes for it waits.
    pub(crate) fn stop(&self) {
        lock(&self.life.stopped).get_or_insert_default();
    }

    /// It goes on after a [`stop`](Self::stop).
    pub(crate) fn go_on(&self) {
        lock(&self.life.stopped).take().into_iter().flatten().for_each(Waker::wake);
    }

    /// Ends the process as a crash does: nothing more leaves it, nobody is told. Its port is free afterwards.
    pub(crate) async fn crash(self) {
        let Self { endpoint, life } = self;
        life.dead.store(true, Ordering::Relaxed);
        loop {
            let mut tasks = std::mem::take(&mut *lock(&life.tasks));
            tasks.retain(|task| !task.is_finished());
            if tasks.is_empty() {
                break;
            }
            tasks.iter().for_each(AbortHandle::abort);
            lock(&life.tasks).extend(tasks);
            tokio::task::yield_now().await;
        }
        drop(endpoint);
        // Handles that were dropped just now may have woken somebody.
        tokio::task::yield_now().await;
    }
}

impl Life {
    pub(crate) fn new(
        sim: Sim,
        (who, host): (Who, HostId),
        gate: Arc<Gate>,
        dials: Arc<Mutex<Vec<Time>>>,
        panics: Arc<Mutex<Vec<Time>>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            sim,
            who,
            host,
            gate,
            dead: AtomicBool::new(false),
            stopped: Mutex::default(),
            tasks: Mutex::default(),
            dials,
            panics,
            polls: Mutex::new((Time::ZERO, 0)),
        })
    }

    pub(crate) fn start(self: &Arc<Self>, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        if self.dead.load(Ordering::Relaxed) {
            return;
        }
        let counted = Counted { task, life: self.clone() };
        let handle = tokio::spawn(counted).abort_handle();
        let mut tasks = lock(&self.tasks);
        if tasks.len() % 64 == 63 {
            tasks.retain(|task| !task.is_finished());
        }
        tasks.push(handle);
    }

    /// Whether the process is stopped. Whoever asks is woken when it goes on.
    fn is_stopped(&self, cx: &Context<'_>) -> bool {
        let mut stopped = lock(&self.stopped);
        if let Some(waiting) = &mut *stopped {
            waiting.push(cx.waker().clone());
        }
        stopped.is_some()
    }

    fn count_poll(&self) {
        let now = self.sim.now();
        let mut polls = lock(&self.polls);
        *polls = if polls.0 == now { (now, polls.1 + 1) } else { (now, 1) };
        if polls.1 > POLLS_MAX {
            // Whoever spins in virtual time never comes to an end by itself, and neither would the test.
            eprintln!(
                "G15 no storm, at {now}: the {} was polled {POLLS_MAX} times, and time stands still",
                self.who.name()
            );
            std::process::abort();
        }
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").field("who", &self.who).finish_non_exhaustive()
    }
}

thread_local! {
    /// Whose task is polled now.
    static RUNNING: RefCell<Option<Arc<Life>>> = const { RefCell::new(None) };
}

/// The process whose task is polled now sends a frame, or has received it: the gate of its world hears of it.
pub(crate) fn note_step(way: Way, frame: String) {
    RUNNING.with_borrow(|life| {
        let life = life.as_ref().expect("what endpoints do they do in tasks of their processes");
        life.gate.step(life.who, way, frame);
    });
}

/// A task that counts how often it is polled.
struct Counted {
    task: Pin<Box<dyn Future<Output = ()> + Send>>,
    life: Arc<Life>,
}

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.life.is_stopped(cx) {
            return Poll::Pending;
        }
        self.life.count_poll();
        let _witness = Witness(self.life.clone());
        let before = RUNNING.replace(Some(self.life.clone()));
        let polled = self.task.as_mut().poll(cx);
        RUNNING.set(before);
        polled
    }
}

/// Notes a panic that passes by: tokio keeps it to itself.
struct Witness(Arc<Life>);

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(&self.0.panics).push(self.0.sim.now());
        }
    }
}

/// Quinn's runtime inside a process.
#[derive(Debug)]
pub(crate) struct Inside(pub(crate) Arc<Life>);

impl Runtime for Inside {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        SimRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.start(future);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        SimRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        SimRuntime.now()
    }
}

/// Sockets of a process.
#[derive(Debug)]
pub(crate) struct Sockets(pub(crate) Arc<Life>);

impl SocketFactory for Sockets {
    fn bind(&self, local: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let life = self.0.clone();
        let inner = life.sim.bind(life.host, local)?;
        if local.port() == 0 {
            lock(&life.dials).push(life.sim.now());
        }
        let cut = Arc::new(AtomicBool::new(false));
        if life.who == Who::Client {
            life.gate.guard(cut.clone());
        }
        Ok(Arc::new(Plug { inner, life, cut }))
    }
}

/// A socket that can be cut off, and is when its process dies.
#[derive(Debug)]
struct Plug {
    inner: Arc<SimSocket>,
    life: Arc<Life>,
    cut: Arc<AtomicBool>,
}

impl Plug {
    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed) || self.life.dead.load(Ordering::Relaxed)
    }
}

impl AsyncUdpSocket for Plug {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let packets = transmit.segment_size.map_or(1, |size| transmit.contents.len().div_ceil(size));
        self.life.gate.looks();
        if !self.is_cut() {
            self.life.gate.passes(self.life.who, packets as u64);
        }
        if self.is_cut() { Ok(()) } else { self.inner.try_send(transmit) }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            self.life.gate.looks();
            match self.inner.poll_recv(cx, bufs, meta) {
                Poll::Ready(Ok(_)) if self.is_cut() => {}
                other => return other,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

/// What stays when a process dies: sessions, each batch written a while after it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    sessions: MemoryStore,
    delay: Duration,
    /// Whether it says that what it has survives a restart, so that peers may forget what was received (rule R3).
    durable: bool,
}

impl Disk {
    pub(crate) fn new(delay: Duration, durable: bool) -> Self {
        Self { sessions: MemoryStore::new(), delay, durable }
    }
}

impl Store for Disk {
    fn append(&self, batch: Batch) -> Storing<'_, ()> {
        Box::pin(async move {
            // A crash in the meantime finds it written, or not.
            if batch.number.is_multiple_of(3) {
                self.sessions.append(batch).await?;
                tokio::time::sleep(self.delay).await;
                return Ok(());
            }
            tokio::time::sleep(self.delay).await;
            self.sessions.append(batch).await
        })
    }

    fn forget(&self, session: SessionId) -> Storing<'_, ()> {
        self.sessions.forget(session)
    }

    fn load(&self) -> Storing<'_, Vec<(SessionId, Snapshot)>> {
        self.sessions.load()
    }

    fn is_durable(&self) -> bool {
        self.durable
    }
}

/// How often something happened, by name.
pub(crate) type Counts = BTreeMap<&'static str, u64>;
