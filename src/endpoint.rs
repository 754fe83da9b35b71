//! The handle of an endpoint: it dials, and it accepts.

mod builder;
mod connect;
mod incoming;
mod restored;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use builder::{EndpointBuilder, Parts};
pub use connect::Connect;
pub use incoming::Incoming;
pub use restored::{Dormant, Restored};

use crate::config::Config;
use crate::driver::acceptor::{self, Acceptor};
use crate::driver::registry::Registry;
use crate::driver::{Target, restore};
use crate::error::BindError;
use crate::session::Session;
use crate::stats::EndpointStats;
use crate::store::StoreError;
use crate::tls::{Fingerprint, Identity, Trust};

/// How long closed connections may take to tell their peers, when an endpoint closes.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// Where sessions begin: one identity, a UDP socket that listens, and a fresh one for each session that is dialed.
///
/// Cheap to clone. When the last clone is dropped, no new sessions are taken; those that live go on, and are still
/// resumed by their dialers, until they end.
#[derive(Clone, Debug)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    registry: Arc<Registry>,
    /// `None`: dials only.
    acceptor: Option<Arc<Acceptor>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { registry, acceptor } = self;
        f.debug_struct("Inner").field("env", &registry.env).field("acceptor", acceptor).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        acceptor::abandon(&self.registry);
    }
}

impl Endpoint {
    /// An endpoint that listens on `addr` (port 0 takes any free one) and can dial. The rest is as
    /// [`builder`](Self::builder) has it by default.
    ///
    /// # Errors
    ///
    /// See [`BindError`]. It needs a tokio runtime.
    pub fn bind(addr: impl Into<SocketAddr>, identity: Identity, config: Config) -> Result<Self, BindError> {
        Self::builder(identity).config(config).bind(addr)
    }

    /// An endpoint that only dials.
    ///
    /// # Errors
    ///
    /// See [`BindError`]. It needs a tokio runtime.
    pub fn client(identity: Identity, config: Config) -> Result<Self, BindError> {
        Self::builder(identity).config(config).client()
    }

    /// An endpoint with more to be said about it: who may come in, and where sessions are kept.
    pub fn builder(identity: Identity) -> EndpointBuilder {
        EndpointBuilder::new(identity)
    }

    /// The same with everything that it takes from the outside given: sockets, runtime, clock and randomness. This is
    /// how a simulation runs it.
    pub fn with_parts(parts: Parts) -> EndpointBuilder {
        EndpointBuilder::with_parts(parts)
    }

    /// Dials a peer and makes a session with it: await what this yields, or say more first.
    ///
    /// The target is `host:port` or an address. It is resolved again at every dial, also when the session reconnects;
    /// IPv6 and IPv4 addresses race. Under a CA the peer's certificate must be for the host, unless
    /// [`server_name`](Connect::server_name) says otherwise.
    ///
    /// ```no_run
    /// # async fn example(endpoint: bowline::Endpoint, fingerprint: bowline::Fingerprint)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// use bowline::Trust;
    ///
    /// let session = endpoint.connect("peer.example:4433", Trust::fingerprint(fingerprint)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(&self, target: impl Into<Target>, trust: Trust) -> Connect {
        Connect::new(self.clone(), target.into(), trust, None)
    }

    /// Brings back the sessions that the [store](EndpointBuilder::store) remembers from before a restart, with all
    /// that was in their outboxes and inboxes. Call it before [`accept`](Self::accept): until then their dialers are told
    /// that they are forgotten. Without a store there are none; sessions that live already are left out. An accepted session that
    /// its dialer had not confirmed when the process died is among them, and `Connecting` until it does.
    ///
    /// Channels are there under their labels: [`open`](Session::open) them again to send and to receive.
    ///
    /// # Errors
    ///
    /// What the store says. No session was brought back.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, no session was brought back.
    pub async fn restore(&self) -> Result<Restored, StoreError> {
        let (accepted, dialed) = restore::load(&self.0.registry).await?;
        let accepted = accepted.into_iter().map(Session::new).collect();
        let dormant = |remembered| Dormant { endpoint: self.clone(), remembered };
        Ok(Restored { accepted, dialed: dialed.into_iter().map(dormant).collect() })
    }

    /// Waits for the next dialer that wants a new session and has proved that it may have one. Sessions that
    /// reconnect are not shown: they attach by themselves. `None` when the endpoint is closed, or only dials.
    ///
    /// At most `max_handshakes` wait here, each for at most `handshake_timeout`.
    ///
    /// # Cancel safety
    ///
    /// Safe: if it does not resolve, no dialer was taken.
    pub async fn accept(&self) -> Option<Incoming> {
        self.0.acceptor.as_ref()?;
        let visitor = self.0.registry.next_visitor().await?;
        Some(Incoming::new(self.0.registry.clone(), visitor))
    }

    /// Tells all sessions that were dialed here that the network is another one: [`Session::network_changed`].
    pub fn network_changed(&self) {
        self.0.registry.dialed().iter().for_each(|session| session.network_changed());
    }

    /// Has the sessions that are dialed here, now and later, told of other networks without the application's doing, until
    /// there are none and the endpoint's handles are gone: when the system notices that it has other addresses or
    /// routes, and would speak to a peer from another address than before. Needs the feature `watch`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] on systems other than Linux, or what the system says: it may allow no netlink socket.
    /// It needs a tokio runtime.
    #[cfg(feature = "watch")]
    pub fn watch_network(&self) -> io::Result<()> {
        crate::driver::watch::watch(&self.0.registry)
    }

    /// Tells all sessions that were dialed here that this process is about to be stopped by its system:
    /// [`Session::going_to_background`].
    pub fn going_to_background(&self) {
        self.0.registry.dialed().iter().for_each(|session| session.going_to_background());
    }

    /// Tells all sessions that were dialed here that this process runs again: [`Session::resumed`].
    pub fn resumed(&self) {
        self.0.registry.dialed().iter().for_each(|session| session.resumed());
    }

    /// Names the network that this host is in from now on, as the system or the user may know it: the name of a Wi-Fi, an
    /// operator. What dialers with an adaptive heartbeat learn is remembered under it, see
    /// [`Config::network_memory`]. `None`: known by the host's address. Sessions look at their next connection, so call
    /// this before [`network_changed`](Session::network_changed).
    pub fn set_network(&self, name: Option<&str>) {
        self.0.registry.env.networks.set_name(name.map(str::to_owned));
    }

    /// The address of the socket that listens.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotConnected`] if the endpoint only dials, or what the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0.acceptor {
            Some(acceptor) => acceptor.local_addr(),
            None => Err(io::Error::new(io::ErrorKind::NotConnected, "this endpoint only dials")),
        }
    }

    /// By what peers recognise this endpoint's identity.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.registry.env.identity.fingerprint()
    }

    /// Figures of the endpoint.
    pub fn stats(&self) -> EndpointStats {
        let figures = self.0.registry.figures();
        EndpointStats {
            sessions: figures.sessions,
            attached: figures.attached,
            handshakes: figures.handshakes,
            waiting: figures.waiting,
            probes: figures.probes,
            refused: figures.refused,
            dropped_datagrams: self.0.registry.env.dropped_datagrams(),
        }
    }

    /// Ends everything: takes no more sessions, closes all there are in an orderly way, each within `drain`, telling
    /// the peers why, and waits until they know, if they can be reached.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the endpoint is closing whether this resolves or not. Who does not wait for it may end the process
    /// before the peers are told.
    pub async fn close(&self, reason: &str, drain: Duration) {
        let env = &self.0.registry.env;
        acceptor::close(&self.0.registry, reason, drain).await;
        let farewells = async {
            env.closed().await;
            if let Some(acceptor) = &self.0.acceptor {
                acceptor.idle().await;
            }
        };
        env.timeout(FAREWELL_MAX, farewells).await;
    }
}
