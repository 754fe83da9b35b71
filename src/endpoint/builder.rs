//! Everything that can be said about an endpoint before it is made.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Endpoint, Inner};
use crate::config::Config;
use crate::driver::acceptor::{Acceptor, Authorize};
use crate::driver::environment::{Environment, system_seed};
use crate::driver::registry::Registry;
use crate::driver::{AttachRequest, Clock, SocketFactory, SystemClock, UdpSockets};
use crate::error::BindError;
use crate::store::Store;
use crate::tls::{ClientAuth, Identity};

/// Everything that an endpoint takes from the outside. A simulation gives its own.
#[derive(Debug)]
pub struct Parts {
    /// Where sockets come from.
    pub sockets: Arc<dyn SocketFactory>,
    /// Tasks, timers and the instants that these agree with.
    pub runtime: Arc<dyn quinn::Runtime>,
    /// The calendar time.
    pub clock: Arc<dyn Clock>,
    /// All the randomness that the endpoint uses, except that of TLS.
    pub seed: [u8; 32],
    /// Who it is.
    pub identity: Identity,
    /// Settings.
    pub config: Config,
}

/// Makes an [`Endpoint`].
#[derive(Debug)]
#[must_use = "it makes an endpoint when `bind` or `client` is called"]
pub struct EndpointBuilder {
    identity: Identity,
    config: Config,
    client_auth: ClientAuth,
    authorize: Option<Authorize>,
    store: Option<Arc<dyn Store>>,
    sockets: Option<Arc<dyn SocketFactory>>,
    runtime: Option<Arc<dyn quinn::Runtime>>,
    clock: Arc<dyn Clock>,
    seed: Option<[u8; 32]>,
}

impl EndpointBuilder {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            config: Config::default(),
            client_auth: ClientAuth::default(),
            authorize: None,
            store: None,
            sockets: None,
            runtime: None,
            clock: Arc::new(SystemClock),
            seed: None,
        }
    }

    pub(super) fn with_parts(parts: Parts) -> Self {
        let Parts { sockets, runtime, clock, seed, identity, config } = parts;
        let (sockets, runtime, seed) = (Some(sockets), Some(runtime), Some(seed));
        Self { config, sockets, runtime, clock, seed, ..Self::new(identity) }
    }

    /// Settings. Default: [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// What is asked of those who dial. Default: [`ClientAuth::Any`].
    pub fn client_auth(mut self, auth: ClientAuth) -> Self {
        self.client_auth = auth;
        self
    }

    /// Decides about each attach, of new sessions and of those that reconnect, with the peer's identity and credentials
    /// at hand. Its error is the reason that the dialer is told, of at most 256 bytes: the session is refused for
    /// good as [`Unauthorized`](crate::error::CloseCode::Unauthorized). It has `handshake_timeout` to decide. Default:
    /// everyone may attach whom TLS let in.
    pub fn authorize<F, R>(mut self, decide: F) -> Self
    where
        F: Fn(AttachRequest) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.authorize = Some(Authorize::new(decide));
        self
    }

    /// Where sessions are kept. Default: nowhere but in the session itself.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// An endpoint that listens on `addr` (port 0 takes any free one) and can dial.
    ///
    /// # Errors
    ///
    /// See [`BindError`].
    pub fn bind(mut self, addr: impl Into<SocketAddr>) -> Result<Endpoint, BindError> {
        let (client_auth, authorize) = (self.client_auth.clone(), self.authorize.take());
        let registry = self.registry()?;
        let acceptor = Acceptor::bind(registry.clone(), addr.into(), client_auth, authorize)?;
        Ok(Endpoint(Arc::new(Inner { registry, acceptor: Some(acceptor) })))
    }

    /// An endpoint that only dials.
    ///
    /// # Errors
    ///
    /// See [`BindError`].
    pub fn client(self) -> Result<Endpoint, BindError> {
        Ok(Endpoint(Arc::new(Inner { registry: self.registry()?, acceptor: None })))
    }

    fn registry(self) -> Result<Arc<Registry>, BindError> {
        self.config.validate()?;
        let runtime = match self.runtime {
            Some(runtime) => runtime,
            None => quinn::default_runtime().ok_or(BindError::NoRuntime)?,
        };
        let sockets = match self.sockets {
            Some(sockets) => sockets,
            None => Arc::new(UdpSockets::new(runtime.clone())),
        };
        let seed = match self.seed {
            Some(seed) => seed,
            None => system_seed()?,
        };
        let Self { identity, config, store, clock, .. } = self;
        let env = Environment::new(identity, config, store, sockets, clock, runtime, seed);
        Ok(Registry::new(Arc::new(env)))
    }
}
