//! Making a connection to a peer: resolve, race the addresses, shake hands.

mod explain;
mod race;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

pub(super) use explain::explain_loss;

use super::credentials::Credentials;
use super::environment::{BoxFuture, Environment};
use super::link::{self, ControlStream, Established};
use super::target::Target;
use super::transport;
use crate::error::{CloseCode, ConnectError};
use crate::protocol::types::LinkInfo;
use crate::tls::{self, PeerIdentity, Presented, Trust};
use crate::wire::ALPN;

/// How to reach one peer, for all the dials of a session.
pub(crate) struct Dialer(Arc<Plan>);

/// What a connection is for.
#[derive(Clone, Copy)]
enum Purpose {
    Session,
    /// To be silent (rule H6).
    Probe,
}

struct Plan {
    env: Arc<Environment>,
    target: Target,
    server_name: String,
    trust: Trust,
    client: quinn::ClientConfig,
    presented: Presented,
    credentials: Credentials,
    /// What the peer of the first attach proved to be (rule S2).
    bound_to: OnceLock<Vec<u8>>,
}

impl Dialer {
    /// A dialer for `target`, whose certificate must be for `server_name` or else for the target's host.
    pub(crate) fn new(
        env: Arc<Environment>,
        target: Target,
        server_name: Option<String>,
        trust: Trust,
        credentials: Credentials,
    ) -> Result<Self, ConnectError> {
        let host = target.server_name()?;
        let unusable = |problem| ConnectError::BadTarget { target: target.to_string(), problem };
        let (config, presented) = tls::client_config(&env.identity, &trust, ALPN)
            .map_err(|error| unusable(format!("no TLS for it: {error}")))?;
        let client = transport::client(&env, config).map_err(unusable)?;
        let server_name = server_name.unwrap_or(host);
        let bound_to = OnceLock::new();
        Ok(Self(Arc::new(Plan { env, target, server_name, trust, client, presented, credentials, bound_to })))
    }

    /// Makes a connection within `timeout`, from a socket of its own.
    pub(super) fn dial(&self, timeout: Duration) -> BoxFuture<Result<Established, ConnectError>> {
        let plan = self.0.clone();
        Box::pin(async move {
            let env = plan.env.clone();
            let begun = env.now();
            let left = || timeout.saturating_sub(env.now().saturating_duration_since(begun));
            let renewed = env.timeout(timeout, plan.credentials.renew()).await;
            let credentials = renewed.unwrap_or_else(|| {
                let reason = format!("the callback took longer than {timeout:?}");
                Err(ConnectError::Credentials { reason })
            })?;
            let resolved = env.timeout(left(), plan.target.resolve()).await;
            let addresses = resolved.unwrap_or_else(|| Err(plan.target.unresolved()))?;
            let attempts = || -> Vec<BoxFuture<_>> {
                let connect = |address: &SocketAddr| {
                    plan.clone().connect(*address, credentials.clone(), Purpose::Session)
                };
                addresses.iter().map(|address| Box::pin(connect(address)) as BoxFuture<_>).collect()
            };
            // Whoever was there before is missed by somebody.
            let again = plan.bound_to.get().map(|_| attempts()).unwrap_or_default();
            let silence = || ConnectError::Unreachable { addrs: addresses.clone(), waited: timeout };
            race::first(&env, left(), attempts(), again)
                .await
                .map_err(|failure| failure.unwrap_or_else(silence))
        })
    }

    /// Makes a connection for a lifetime probe within `timeout`, from a socket of its own, to where the session's leads.
    pub(super) fn dial_probe(
        &self,
        address: SocketAddr,
        timeout: Duration,
    ) -> BoxFuture<Result<Established, ConnectError>> {
        let plan = self.0.clone();
        Box::pin(async move {
            let env = plan.env.clone();
            let connecting = plan.connect(address, Bytes::new(), Purpose::Probe);
            let silence = || ConnectError::Unreachable { addrs: vec![address], waited: timeout };
            env.timeout(timeout, connecting).await.unwrap_or_else(|| Err(silence()))
        })
    }

    /// Dials must find the peer that the session was with before a restart.
    pub(super) fn bind_to_known(&self, binding: Vec<u8>) {
        self.0.bound_to.get_or_init(|| binding);
    }

    /// Later dials of the session must find this peer again.
    pub(super) fn bind_to(&self, peer: Option<&PeerIdentity>) {
        if let Some(peer) = peer {
            self.0.bound_to.get_or_init(|| peer.binding());
        }
    }
}

impl Plan {
    async fn connect(
        self: Arc<Self>,
        address: SocketAddr,
        credentials: Bytes,
        purpose: Purpose,
    ) -> Result<Established, ConnectError> {
        let socket = self.endpoint(address, purpose)?;
        let explain = |error| explain::explain(&self.presented, &error, address);
        let mut client = self.client.clone();
        match purpose {
            Purpose::Probe => _ = client.transport_config(transport::probe()),
            Purpose::Session if self.bound_to.get().is_some() => {
                client.transport_config(transport::redial());
            }
            Purpose::Session => {}
        }
        let connection = socket
            .connect_with(client, address, &self.server_name)
            .map_err(|error| self.explain_refusal(error, address))?
            .await
            .map_err(explain)?;
        if connection.max_datagram_size().is_none() {
            link::close(&connection, CloseCode::NoDatagrams, "the peer takes no DATAGRAM frames");
            return Err(ConnectError::NoDatagrams { addr: address });
        }
        let failed = |reason| ConnectError::Failed { addr: address, reason };
        let peer = PeerIdentity::of_acceptor(&connection, &self.trust, &self.server_name)
            .ok_or_else(|| failed("the peer showed no certificate".to_owned()))?;
        let binding = peer.binding();
        if self.bound_to.get().is_some_and(|bound| *bound != binding) {
            link::close(&connection, CloseCode::WrongProof, "this session is with another peer");
            return Err(failed(format!("the session is with another peer than {peer}")));
        }
        let info = LinkInfo { exporter: link::exporter(&connection).map_err(failed)?, binding, credentials };
        let control = ControlStream::new(connection.open_bi().await.map_err(explain)?);
        let link = self.env.next_link();
        Ok(Established { link, connection, socket: Some(socket), control, info, peer: Some(peer) })
    }

    /// A fresh socket: whatever happened to the mapping of the one before does not concern it.
    fn endpoint(&self, address: SocketAddr, purpose: Purpose) -> Result<quinn::Endpoint, ConnectError> {
        let unspecified: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let mut config = transport::dialing_endpoint(&self.env);
        if matches!(purpose, Purpose::Probe) {
            transport::fix_mtu(&mut config);
        }
        let socket = self.env.sockets.bind(unspecified);
        socket
            .and_then(|it| quinn::Endpoint::new_with_abstract_socket(config, None, it, self.env.runtime()))
            .map_err(|source| ConnectError::Socket { addr: address, source })
    }

    /// Why quinn would not even try.
    fn explain_refusal(&self, error: quinn::ConnectError, address: SocketAddr) -> ConnectError {
        match error {
            quinn::ConnectError::InvalidServerName(name) => ConnectError::BadTarget {
                target: self.target.to_string(),
                problem: format!("{name:?} is not a server name"),
            },
            other => ConnectError::Failed { addr: address, reason: other.to_string() },
        }
    }
}
