//! A [`World`] under unmodified quinn 0.11: its sockets, its clock, and everything random pinned.
//!
//! | file | what it holds |
//! |---|---|
//! | `socket` | quinn's socket and runtime traits; the only file that implements them |
//! | `pinned` | endpoint and TLS configurations without randomness that shows on the wire |
//! | `workload` | programs that talk over quinn and report how it went |
//!
//! Time is tokio's paused clock, which moves in steps of 1 ms when everybody waits. The world's own events keep
//! their exact nanoseconds; a socket hears of a packet at the next whole millisecond.

mod pinned;
mod socket;
#[cfg(test)]
mod tests;
mod workload;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use quinn::{Endpoint, ServerConfig};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::packet::{Fate, Packet};
use crate::time::Time;
use crate::world::{HostId, World};

pub use pinned::{PinnedError, client_config, endpoint_config, server_config};
pub use socket::{SimRuntime, SimSocket};
pub use workload::{Run, RunError, Sample, Summary, Workload, run};

/// The first port given to sockets that do not ask for one (RFC 6335, section 6).
const FIRST_EPHEMERAL: u16 = 49_152;

/// Bytes of payload that wait for a program to read them before a socket drops more: Linux's `rmem_default`.
const SOCKET_BYTES: usize = 212_992;

/// A simulation that runs: sockets and endpoints on the hosts of a [`World`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sim {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    sent: Notify,
    start: Instant,
}

#[derive(Debug)]
struct State {
    world: World,
    sockets: BTreeMap<(HostId, u16), Inbox>,
    next_ephemeral: u16,
}

/// What has reached a socket and was not yet read.
#[derive(Debug)]
struct Inbox {
    packets: VecDeque<Packet>,
    bytes: usize,
    bound: SocketAddr,
    waker: Option<Waker>,
}

/// A simulation that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished<T> {
    /// The world as it is now, with its trace and its counts.
    pub world: World,
    /// When it ended.
    pub at: Time,
    /// What the program came to; nothing if the limit ended it.
    pub output: Option<T>,
}

/// Runs a program over a world in virtual time, at most until the limit.
///
/// Inside, tokio's clock is virtual: `tokio::time::sleep` costs nothing. The program must not wait for anything
/// outside the simulation. For runs that can be replayed it writes `biased;` into every `select!`, does not walk
/// through hash maps, and takes its randomness from a seed.
///
/// Fails only if the operating system gives no runtime.
pub fn simulate<T>(
    world: World,
    limit: Duration,
    program: impl AsyncFnOnce(Sim) -> T,
) -> io::Result<Finished<T>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(async {
        let state = State { world, sockets: BTreeMap::new(), next_ephemeral: FIRST_EPHEMERAL };
        let shared = Shared { state: Mutex::new(state), sent: Notify::new(), start: Instant::now() };
        let sim = Sim { shared: Arc::new(shared) };
        let pump = tokio::spawn(pump(Arc::clone(&sim.shared)));
        let output = tokio::time::timeout(limit, program(sim.clone())).await.ok();
        pump.abort();
        let at = sim.now();
        let world = std::mem::replace(&mut sim.shared.lock().world, World::new(0));
        Finished { world, at, output }
    }))
}

impl Sim {
    /// The virtual time.
    pub fn now(&self) -> Time {
        self.shared.now()
    }

    /// Looks at the world, or changes it, at this moment.
    pub fn with_world<T>(&self, look: impl FnOnce(Time, &mut World) -> T) -> T {
        let result = look(self.now(), &mut self.shared.lock().world);
        self.shared.sent.notify_one();
        result
    }

    /// A socket on a host. An unspecified address takes what comes in for any address of the host, and sends
    /// from the host's first interface that is up; port 0 asks for any free port.
    pub fn bind(&self, host: HostId, address: SocketAddr) -> io::Result<Arc<SimSocket>> {
        let mut state = self.shared.lock();
        let port = match address.port() {
            0 => state.free_port(host)?,
            port => port,
        };
        if state.sockets.contains_key(&(host, port)) {
            let why = format!("port {port} is in use on this host");
            return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
        }
        let bound = SocketAddr::new(address.ip(), port);
        let inbox = Inbox { packets: VecDeque::new(), bytes: 0, bound, waker: None };
        state.sockets.insert((host, port), inbox);
        Ok(Arc::new(SimSocket::new(Arc::clone(&self.shared), host, bound)))
    }

    /// A quinn endpoint on a host, with everything random in it pinned, see [`endpoint_config`].
    pub fn endpoint(
        &self,
        host: HostId,
        address: SocketAddr,
        server: Option<ServerConfig>,
    ) -> io::Result<Endpoint> {
        let socket = self.bind(host, address)?;
        let config = endpoint_config(&format!("{host:?}:{}", socket.bound().port()));
        Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(SimRuntime))
    }

    /// Moves an endpoint to a new socket on the same host, as a program does that was told of a new network.
    pub fn rebind(&self, endpoint: &Endpoint, host: HostId, address: SocketAddr) -> io::Result<()> {
        endpoint.rebind_abstract(self.bind(host, address)?)
    }
}

impl Shared {
    fn now(&self) -> Time {
        Time::from(Instant::now() - self.start)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what has arrived by now, and says when to come again.
    fn step(&self) -> Option<Time> {
        let now = self.now();
        let mut wakers = Vec::new();
        let next = {
            let mut state = self.lock();
            while let Some(delivery) = state.world.pop(now) {
                wakers.extend(state.hand_over(delivery.at, delivery.host, delivery.packet));
            }
            state.world.next_wakeup()
        };
        wakers.into_iter().for_each(Waker::wake);
        next
    }
}

impl State {
    fn hand_over(&mut self, at: Time, host: HostId, packet: Packet) -> Option<Waker> {
        let fits = |inbox: &&mut Inbox| {
            inbox.bound.ip() == packet.to.ip()
                || (inbox.bound.ip().is_unspecified() && inbox.bound.is_ipv4() == packet.to.is_ipv4())
        };
        let Some(inbox) = self.sockets.get_mut(&(host, packet.to.port())).filter(fits) else {
            self.world.undeliverable(at, &packet, Fate::NoSocket);
            return None;
        };
        if inbox.bytes + packet.payload.len() > SOCKET_BYTES {
            self.world.undeliverable(at, &packet, Fate::SocketFull);
            return None;
        }
        inbox.bytes += packet.payload.len();
        inbox.packets.push_back(packet);
        inbox.waker.take()
    }

    fn free_port(&mut self, host: HostId) -> io::Result<u16> {
        for _ in FIRST_EPHEMERAL..=u16::MAX {
            let port = self.next_ephemeral;
            self.next_ephemeral = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL);
            if !self.sockets.contains_key(&(host, port)) {
                return Ok(port);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "all ports of this host are in use"))
    }
}

/// Moves the world along with tokio's clock.
async fn pump(shared: Arc<Shared>) {
    loop {
        let next = shared.step();
        let due = next.map(|at| shared.start + at.since_start());
        tokio::select! {
            biased;
            () = shared.sent.notified() => {}
            () = async { tokio::time::sleep_until(due.unwrap_or(shared.start)).await }, if due.is_some() => {}
        }
    }
}
