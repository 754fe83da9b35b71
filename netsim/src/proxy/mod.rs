//! A UDP proxy that puts the links, NATs and scenarios of this crate between real programs.
//!
//! | file | what it holds |
//! |---|---|
//! | `engine` | the proxy without its sockets: packets in, packets out, `now` as an argument |
//! | `way` | one direction: its link, who blocks it, its figures |
//! | `nats`, `mappings` | the NATs on the way, and which client speaks from which socket |
//! | `command`, `event`, `figures` | what can be said to it, what it tells, what it really did |
//! | `front`, `socket`, `clock` | the sockets, the thread that serves them, and what wakes it in time |
//!
//! Clients send to the proxy as if it were the server. All of them share one link, with the conditions and the luck
//! of a [`Scenario`]'s first client, and the NATs behind it. To the server each mapping of the outermost NAT is a UDP
//! socket of its own: when a mapping is rebound, or has expired, the client's next packet comes from another source
//! port. What the server sends to the old one is lost, as it would be.
//!
//! ```
//! # use std::net::UdpSocket;
//! # use bowline_netsim::proxy::{Event, Options, Proxy, Side};
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # runtime.block_on(async {
//! let server = UdpSocket::bind("127.0.0.1:0").unwrap();
//! let listen = "127.0.0.1:0".parse().unwrap();
//! let proxy = Proxy::bind(listen, server.local_addr().unwrap(), Options::new().seed(7)).await.unwrap();
//! let mut events = proxy.events();
//!
//! let client = UdpSocket::bind("127.0.0.1:0").unwrap();
//! client.connect(proxy.addr()).unwrap();
//! client.send(b"hello").unwrap();
//! let (_, before) = server.recv_from(&mut [0; 16]).unwrap();
//!
//! assert_eq!(proxy.rebind(), 1);
//! client.send(b"hello again").unwrap();
//! let (_, after) = server.recv_from(&mut [0; 16]).unwrap();
//! assert_ne!(before, after);
//!
//! assert!(matches!(events.next().await.unwrap().event, Event::Mapped { .. }));
//! assert_eq!(events.next().await.unwrap().event, Event::Rebound { mappings: 1 });
//! assert_eq!(proxy.stop().await.up.packets_out, 2);
//! # });
//! ```
//!
//! Limits: a packet counts as in when the proxy has read it; what the operating system drops before that, because
//! the socket's buffer is full, nobody counts. Packets are not fragmented: one that is larger than the MTU of the
//! interface that it leaves by counts as `unsent`.

mod clock;
mod command;
mod engine;
mod event;
mod figures;
mod front;
mod mappings;
mod nats;
mod socket;
mod way;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use command::{Command, CommandError};
use engine::Engine;
pub use event::{Event, Events, Happened};
pub use figures::{Delays, Dropped, Playing, Status, Traffic};
use front::Shared;
use tokio::sync::watch;

use crate::link::Conditions;
use crate::scenario::Scenario;
use crate::values::BadValue;
use crate::world::Direction;

/// A proxy that runs, in a thread of its own. It ends when this is dropped.
///
/// Everything but [`stop`](Self::stop) takes effect at once, and blocks no longer than it takes to send a few
/// packets.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    addr: SocketAddr,
    upstream: SocketAddr,
}

/// How a proxy begins, and how large it may become.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    scenario: Option<Scenario>,
    seed: u64,
    max_mappings: usize,
    max_queued_bytes: u64,
}

/// Which directions are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Towards the server.
    Up,
    /// Towards the clients.
    Down,
    /// Both.
    Both,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// It was done.
    Done,
    /// It was done to so many mappings.
    Mappings(usize),
    /// What the proxy does and did.
    Status(Box<Status>),
}

/// Why a proxy did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// It cannot listen there.
    #[error("cannot listen on {addr}: {source}{}", if source.kind() == io::ErrorKind::AddrInUse {
        "; choose another port, or 0 for any that is free"
    } else {
        ""
    })]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Nobody can be reached there.
    #[error("cannot forward to {addr}: {reason}")]
    Upstream {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        reason: &'static str,
    },
    /// The options make no sense.
    #[error(transparent)]
    Value(#[from] BadValue),
    /// The operating system gave no thread or no runtime.
    #[error("the proxy did not start: {0}")]
    Start(io::Error),
}

impl Proxy {
    /// Listens for clients and forwards what they send, with the conditions of the scenario from now on. Port 0
    /// takes any port that is free; [`addr`](Self::addr) says which.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it leaves nothing behind.
    pub async fn bind(listen: SocketAddr, upstream: SocketAddr, options: Options) -> Result<Self, BindError> {
        options.check()?;
        let listen_error = |source| BindError::Listen { addr: listen, source };
        let socket = socket::listen(listen).map_err(listen_error)?;
        let addr = socket.local_addr().map_err(listen_error)?;
        check_upstream(addr, upstream)?;
        let engine = Engine::new(upstream, options)?;
        let (ends, stopped) = watch::channel(());
        let shared = Arc::new(Shared::new(engine, addr, upstream, stopped).map_err(BindError::Start)?);
        let proxy = Self { shared, addr, upstream };
        front::run(&proxy.shared, socket, ends).await.map_err(BindError::Start)?;
        // The scenario may have begun with something to wait for.
        proxy.shared.work.notify_one();
        Ok(proxy)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it forwards to.
    pub fn upstream(&self) -> SocketAddr {
        self.upstream
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        self.shared.events()
    }

    /// Changes the conditions, until a step of the scenario or another change says otherwise. Fails, and changes
    /// nothing, if they make no sense together with what holds already.
    pub fn set(&self, side: Side, change: &Conditions) -> Result<(), BadValue> {
        self.shared.with_engine(|now, engine| engine.set(now, side, change))
    }

    /// Loses this share of the packets, in per cent.
    pub fn set_loss(&self, side: Side, percent: f64) -> Result<(), BadValue> {
        self.set(side, &Conditions::new().loss(percent))
    }

    /// Delays every packet by this much.
    pub fn set_delay(&self, side: Side, delay: Duration) -> Result<(), BadValue> {
        self.set(side, &Conditions::new().delay(delay))
    }

    /// Gives every mapping another port, which it gets with its client's next packet; until then nothing from the
    /// server gets in. Says how many mappings there were.
    pub fn rebind(&self) -> usize {
        self.shared.with_engine(|now, engine| engine.rebind(now))
    }

    /// Lets every mapping expire: nothing from the server gets in until the client speaks, from another port then.
    /// Says how many mappings there were.
    pub fn expire(&self) -> usize {
        self.shared.with_engine(|now, engine| engine.expire(now))
    }

    /// Makes a black hole, for this long or until [`unblock`](Self::unblock), whatever the scenario does meanwhile.
    /// What is on its way already still arrives.
    pub fn block(&self, side: Side, length: Option<Duration>) {
        self.shared.with_engine(|now, engine| engine.block(now, side, length));
    }

    /// Lets packets through again, whether a command or the scenario has blocked them.
    pub fn unblock(&self, side: Side) {
        self.shared.with_engine(|now, engine| engine.unblock(now, side));
    }

    /// Begins a scenario, whose time runs from now on. The conditions become the scenario's; mappings that live go
    /// on in its NATs.
    pub fn play(&self, scenario: Scenario) -> Result<(), BadValue> {
        self.shared.with_engine(|now, engine| engine.play(now, scenario))
    }

    /// A clean network again, in which nothing expires. Mappings that live go on.
    pub fn reset(&self) -> Result<(), BadValue> {
        self.shared.with_engine(|now, engine| engine.reset(now))
    }

    /// What it is doing, and what it did so far.
    pub fn status(&self) -> Status {
        self.shared.with_engine(|now, engine| engine.status(now))
    }

    /// Does what a command says. A scenario's file is read here and now.
    pub fn command(&self, command: &Command) -> Result<Reply, CommandError> {
        match command {
            Command::Set(side, change) => self.set(*side, change)?,
            Command::Rebind => return Ok(Reply::Mappings(self.rebind())),
            Command::Expire => return Ok(Reply::Mappings(self.expire())),
            Command::Block(side, length) => self.block(*side, *length),
            Command::Unblock(side) => self.unblock(*side),
            Command::Scenario(name) => self.play(Scenario::find(name)?)?,
            Command::Reset => self.reset()?,
            Command::Status => return Ok(Reply::Status(Box::new(self.status()))),
        }
        Ok(Reply::Done)
    }

    /// Ends it: its ports are free, and what was on its way is gone. Says what it did. May be called again.
    ///
    /// # Cancel safety
    ///
    /// The proxy ends even if the future is dropped.
    pub async fn stop(&self) -> Status {
        self.shared.stop.notify_one();
        self.shared.stopped().await;
        self.status()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.notify_one();
    }
}

impl Options {
    /// A clean network, seed 1, at most 512 mappings and 64 MiB on their way.
    pub fn new() -> Self {
        Self { scenario: None, seed: 1, max_mappings: 512, max_queued_bytes: 64 << 20 }
    }

    /// What the network does. Without a scenario it does nothing, until it is told to.
    #[must_use]
    pub fn scenario(mut self, scenario: Scenario) -> Self {
        self.scenario = Some(scenario);
        self
    }

    /// The seed of all luck. The n-th packet of a direction has the same luck under the same seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// So many mappings at once, from 1 to 60 000, and a socket for each; mind the limit of open files. When there
    /// are as many, the sockets of mappings that are dead are closed, the longest dead first; if none is dead,
    /// packets of further clients are dropped and counted ([`Dropped::mappings_full`]).
    #[must_use]
    pub fn max_mappings(mut self, mappings: usize) -> Self {
        self.max_mappings = mappings;
        self
    }

    /// So many bytes may be on their way at once, in both directions together, from 64 KiB on; a packet counts as
    /// its length and 256 bytes more. When there are as many, packets that come in are dropped and counted
    /// ([`Dropped::proxy_full`]).
    #[must_use]
    pub fn max_queued_bytes(mut self, bytes: u64) -> Self {
        self.max_queued_bytes = bytes;
        self
    }

    fn check(&self) -> Result<(), BadValue> {
        if !(1..=60_000).contains(&self.max_mappings) {
            return Err(BadValue::new(
                format!("{} mappings", self.max_mappings),
                "are not between 1 and 60000",
            ));
        }
        if self.max_queued_bytes < 64 << 10 {
            let what = format!("{} queued bytes", self.max_queued_bytes);
            return Err(BadValue::new(what, "are too few: at least 65536, the largest packet"));
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Side {
    fn directions(self) -> &'static [Direction] {
        match self {
            Self::Up => &[Direction::Up],
            Self::Down => &[Direction::Down],
            Self::Both => &[Direction::Up, Direction::Down],
        }
    }
}

impl From<Direction> for Side {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Up => Self::Up,
            Direction::Down => Self::Down,
        }
    }
}

fn check_upstream(listen: SocketAddr, upstream: SocketAddr) -> Result<(), BindError> {
    let refuse = |reason| Err(BindError::Upstream { addr: upstream, reason });
    if upstream.port() == 0 {
        return refuse("port 0 is nobody's; give the port that the server listens on");
    }
    if upstream.ip().is_unspecified() {
        return refuse("that is no address to send to; give one, such as 127.0.0.1");
    }
    let own_ip =
        listen.ip() == upstream.ip() || (listen.ip().is_unspecified() && upstream.ip().is_loopback());
    if own_ip && listen.port() == upstream.port() {
        return refuse("that is where the proxy itself listens");
    }
    Ok(())
}
