//! The sockets of a proxy, and the thread that moves packets between them and the engine.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Notify, broadcast, oneshot, watch};
use tokio::task::AbortHandle;

use super::clock::{Alarm, Clock};
use super::engine::{Datagram, Engine, Output};
use super::event::{EVENTS_WAITING, Event, Events, Happened};
use super::mappings::MappingId;
use super::socket::{Buffers, Socket};
use crate::time::Time;
use crate::world::Direction;

/// How long a socket is left alone after an error that is not about one packet.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(10);

/// What the thread of a proxy and its handle share.
#[derive(Debug)]
pub(super) struct Shared {
    front: Mutex<Front>,
    clock: Clock,
    /// There may be something to do, or there is no more to do.
    pub(super) work: Arc<Notify>,
    pub(super) stop: Notify,
    /// Closed when the thread has ended.
    stopped: watch::Receiver<()>,
}

#[derive(Debug)]
struct Front {
    engine: Engine,
    server: SocketAddr,
    addr: SocketAddr,
    listener: Option<Arc<Socket>>,
    upstreams: BTreeMap<MappingId, Upstream>,
    buffers: Buffers,
    runtime: Option<Handle>,
    alarm: Alarm,
    clock: Clock,
    /// None when the proxy has ended.
    events: Option<broadcast::Sender<Happened>>,
}

/// The socket of one mapping.
#[derive(Debug)]
struct Upstream {
    client: SocketAddr,
    /// None if the operating system gave none.
    socket: Option<(Arc<Socket>, AbortHandle)>,
    said_refused: bool,
    said_failed: bool,
}

impl Shared {
    /// Takes the first steps of a proxy; nothing moves before [`run`] does.
    pub(super) fn new(
        engine: Engine,
        addr: SocketAddr,
        server: SocketAddr,
        stopped: watch::Receiver<()>,
    ) -> io::Result<Self> {
        let (clock, work) = (Clock::start(), Arc::new(Notify::new()));
        let front = Front {
            engine,
            server,
            addr,
            listener: None,
            upstreams: BTreeMap::new(),
            buffers: Buffers::new(),
            runtime: None,
            alarm: Alarm::new(clock, Arc::clone(&work))?,
            clock,
            events: Some(broadcast::Sender::new(EVENTS_WAITING)),
        };
        Ok(Self { front: Mutex::new(front), clock, work, stop: Notify::new(), stopped })
    }

    /// Does something to the engine at this moment.
    pub(super) fn with_engine<T>(&self, act: impl FnOnce(Time, &mut Engine) -> T) -> T {
        let mut front = self.lock();
        let result = act(self.clock.now(), &mut front.engine);
        front.tell();
        drop(front);
        self.work.notify_one();
        result
    }

    /// Waits for the thread to end.
    pub(super) async fn stopped(&self) {
        // No value is ever sent.
        self.stopped.clone().changed().await.ok();
    }

    /// What happens from now on; nothing if the proxy has ended.
    pub(super) fn events(&self) -> Events {
        let ended = || broadcast::channel(1).1;
        Events::new(self.lock().events.as_ref().map_or_else(ended, broadcast::Sender::subscribe))
    }

    fn lock(&self) -> MutexGuard<'_, Front> {
        self.front.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Front {
    /// Tells of the events that have happened.
    fn tell(&mut self) {
        for event in self.engine.take_events() {
            self.say(event);
        }
    }

    fn say(&self, event: Event) {
        if let Some(events) = &self.events {
            // Nobody needs to listen.
            events.send(Happened { at: self.clock.now().since_start(), event }).ok();
        }
    }

    fn account(&mut self, direction: Direction, datagram: &Datagram, sent: bool) {
        if sent {
            self.engine.sent(direction, datagram.entered, self.clock.now(), datagram.payload.len());
        } else {
            self.engine.unsent(direction);
        }
    }

    /// A refusal of an earlier packet shows as the error of a later one, which has not been sent then.
    fn send_up(&mut self, socket: &Socket, id: MappingId, datagram: &Datagram) -> io::Result<()> {
        match socket.send(self.server, None, datagram) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.refused(id);
                socket.send(self.server, None, datagram)
            }
            sent => sent,
        }
    }

    fn refused(&mut self, id: MappingId) {
        let upstream = self.server;
        if let Some(mapping) = self.upstreams.get_mut(&id).filter(|mapping| !mapping.said_refused) {
            mapping.said_refused = true;
            let client = mapping.client;
            self.say(Event::UpstreamRefused { upstream, client });
        }
    }

    fn failed(&mut self, id: MappingId, error: &io::Error) {
        // A full buffer of the operating system is a matter of the moment; it shows in the figures.
        if error.kind() == io::ErrorKind::WouldBlock {
            return;
        }
        if let Some(mapping) = self.upstreams.get_mut(&id).filter(|mapping| !mapping.said_failed) {
            mapping.said_failed = true;
            let client = mapping.client;
            self.say(Event::SocketFailed { client, reason: error.to_string() });
        }
    }
}

/// Runs a proxy in a thread of its own, so that whatever the program under test does to its own runtime, be it that
/// it blocks it or stops its clock, the network goes on.
pub(super) async fn run(
    shared: &Arc<Shared>,
    listener: std::net::UdpSocket,
    stopped: watch::Sender<()>,
) -> io::Result<()> {
    let (began, begins) = oneshot::channel();
    let of_thread = Arc::clone(shared);
    let body = move || match prepare(&of_thread, listener) {
        Ok((runtime, listener)) => {
            // Who does not wait for this has dropped the proxy, which then ends at once.
            began.send(Ok(())).ok();
            live(runtime, &of_thread, listener);
            drop(stopped);
        }
        Err(error) => {
            began.send(Err(error)).ok();
        }
    };
    thread::Builder::new().name("netsim-proxy".into()).spawn(body)?;
    begins.await.unwrap_or_else(|_| Err(io::Error::other("its thread has ended")))
}

fn prepare(shared: &Shared, listener: std::net::UdpSocket) -> io::Result<(Runtime, Arc<Socket>)> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    let inside = runtime.enter();
    let listener = Arc::new(Socket::new(listener)?);
    drop(inside);
    let mut front = shared.lock();
    front.listener = Some(Arc::clone(&listener));
    front.runtime = Some(runtime.handle().clone());
    drop(front);
    Ok((runtime, listener))
}

fn live(runtime: Runtime, shared: &Arc<Shared>, listener: Arc<Socket>) {
    runtime.block_on(async {
        tokio::spawn(read_clients(Arc::clone(shared), listener));
        loop {
            tokio::select! {
                biased;
                () = shared.stop.notified() => break,
                () = shared.work.notified() => flush(shared, &mut shared.lock()),
            }
        }
    });
    let mut front = shared.lock();
    front.listener = None;
    front.runtime = None;
    front.upstreams.clear();
    front.events = None;
    drop(front);
    // With their tasks go the sockets.
    drop(runtime);
}

async fn read_clients(shared: Arc<Shared>, listener: Arc<Socket>) {
    loop {
        let taken = listener.readable(|| {
            let mut front = shared.lock();
            let front = &mut *front;
            let received = front.buffers.receive(&listener)?;
            let now = shared.clock.now();
            for datagram in received {
                let to = SocketAddr::new(datagram.to.unwrap_or(front.addr.ip()), front.addr.port());
                front.engine.client_sent(now, datagram.from, to, datagram.ecn, datagram.payload);
            }
            flush(&shared, front);
            Ok(())
        });
        if taken.await.is_err() {
            // Some systems report here that a client's port is closed. That is no news to us.
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
        }
    }
}

async fn read_server(shared: Arc<Shared>, id: MappingId, socket: Arc<Socket>) {
    loop {
        let taken = socket.readable(|| {
            let mut front = shared.lock();
            let front = &mut *front;
            let received = front.buffers.receive(&socket)?;
            let now = shared.clock.now();
            for datagram in received {
                front.engine.server_sent(now, id, datagram.ecn, datagram.payload);
            }
            flush(&shared, front);
            Ok(())
        });
        match taken.await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => shared.lock().refused(id),
            Err(error) => {
                shared.lock().failed(id, &error);
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
}

/// Sends what is due, tells what happened, and sets the alarm for what comes next.
fn flush(shared: &Arc<Shared>, front: &mut Front) {
    while let Some(output) = front.engine.pop(shared.clock.now()) {
        match output {
            Output::ToClient { client, source, datagram } => {
                let Some(listener) = &front.listener else { continue };
                let sent = listener.send(client, source, &datagram);
                front.account(Direction::Down, &datagram, sent.is_ok());
            }
            Output::ToServer { mapping, client, datagram } => {
                let sent = socket_of(shared, front, mapping, client)
                    .and_then(|socket| front.send_up(&socket, mapping, &datagram));
                front.account(Direction::Up, &datagram, sent.is_ok());
                if let Err(error) = sent {
                    front.failed(mapping, &error);
                }
            }
            Output::Close(id) => {
                if let Some(upstream) = front.upstreams.remove(&id) {
                    upstream.close();
                }
            }
        }
    }
    front.tell();
    front.alarm.set(front.engine.next_wakeup());
}

/// The socket of a mapping, opened with its first packet, and again if that failed.
fn socket_of(
    shared: &Arc<Shared>,
    front: &mut Front,
    id: MappingId,
    client: SocketAddr,
) -> io::Result<Arc<Socket>> {
    let new = Upstream { client, socket: None, said_refused: false, said_failed: false };
    let upstream = front.upstreams.entry(id).or_insert(new);
    if let Some((socket, _)) = &upstream.socket {
        return Ok(Arc::clone(socket));
    }
    let Some(runtime) = &front.runtime else { return Err(io::ErrorKind::NotConnected.into()) };
    let _inside = runtime.enter();
    let socket = Arc::new(Socket::connect(front.server)?);
    let reader = runtime.spawn(read_server(Arc::clone(shared), id, Arc::clone(&socket)));
    upstream.socket = Some((Arc::clone(&socket), reader.abort_handle()));
    let source = socket.local_addr()?;
    front.say(Event::Mapped { client, source });
    Ok(socket)
}

impl Upstream {
    fn close(self) {
        if let Some((_, reader)) = self.socket {
            reader.abort();
        }
    }
}
