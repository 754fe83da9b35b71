//! How quinn is set up: transport settings, connection ids and keys.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use quinn_proto::InvalidCid;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ring::hmac;

use super::clock::Clock;
use super::environment::{Environment, lock};
use crate::protocol::types::Role;

/// Streams that a peer may have open at once, to begin with. It grows with the channels that the session has.
pub(crate) const UNI_STREAMS: u32 = 32;

/// What a peer may send on one stream before this side has read it, in bytes: the bandwidth of one channel times its
/// round trip. Readers hand on at once, so quinn holds this much only while a reader is told to wait.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;

/// The same for all streams together, before the link is attached to a session: all that a stranger gets. A dialer knows
/// whom it has dialed, and lets it begin.
const STRANGER_WINDOW: u32 = 64 * 1024;
const ACCEPTOR_WINDOW: u32 = 256 * 1024;

/// The same, once it is attached.
const SESSION_WINDOW: u32 = 16 * 1024 * 1024;

/// Datagrams that wait to be read, in bytes: what comes while the reader has no turn. quinn drops the oldest beyond that.
/// It is fixed at the handshake, so a stranger has it too.
const DATAGRAMS_RECEIVED: usize = 256 * 1024;

/// Datagrams that wait in quinn to be sent, in bytes: one full batch of segmentation offload. The rest waits with us, where
/// heartbeats overtake it (rule H3).
pub(crate) const DATAGRAMS_SENT: usize = 16 * 1024;

/// Bytes to have on the way before the first acknowledgement: enough that a backlog survives a blackout of seconds
/// without waiting for backed-off probes afterwards.
const INITIAL_WINDOW: u64 = 128 * 1024;

/// A safety net only (rule T2): sessions find out by themselves that a link is dead.
const IDLE_TIMEOUT_MS: u32 = 12 * 60 * 1000;

/// The shortest time between two stateless resets, which tell clients of a process that is no more.
const RESET_INTERVAL: Duration = Duration::from_millis(1);

/// The round trip that a dial begins with when its peer was reached before: what gets lost is sent again three times as
/// often as without. RFC 9002 section 6.2.2 lets a new connection use what is known of the path, and begins with 333 ms
/// where nothing is.
const KNOWN_RTT: Duration = Duration::from_millis(100);

/// The smallest packet that every path of QUIC takes, in bytes (RFC 9000 section 14).
const INITIAL_MTU: u16 = 1200;

/// The settings of every connection that this side has in `role`.
fn transport(role: Role) -> TransportConfig {
    // The control stream is the dialer's, and there is no other (rule W3).
    let (bidi_streams, window) = match role {
        Role::Dialer => (0, ACCEPTOR_WINDOW),
        Role::Acceptor => (1, STRANGER_WINDOW),
    };
    let mut cubic = CubicConfig::default();
    cubic.initial_window(INITIAL_WINDOW);
    let mut transport = TransportConfig::default();
    transport
        .congestion_controller_factory(Arc::new(cubic))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(None)
        .max_concurrent_bidi_streams(VarInt::from_u32(bidi_streams))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(window))
        .send_window(2 * INITIAL_WINDOW)
        .datagram_receive_buffer_size(Some(DATAGRAMS_RECEIVED))
        .datagram_send_buffer_size(DATAGRAMS_SENT);
    transport
}

/// The settings of a connection that is dialed to a peer that was reached before.
pub(crate) fn redial() -> Arc<TransportConfig> {
    let mut transport = transport(Role::Dialer);
    transport.initial_rtt(KNOWN_RTT);
    Arc::new(transport)
}

/// The settings of a connection that is dialed to be silent: nothing leaves unless it is told to, or has to be answered.
pub(crate) fn probe() -> Arc<TransportConfig> {
    let mut transport = transport(Role::Dialer);
    transport
        .initial_rtt(KNOWN_RTT)
        .mtu_discovery_config(None)
        .receive_window(VarInt::from_u32(STRANGER_WINDOW));
    Arc::new(transport)
}

/// Has the peer look for no larger packets either, which would have to be acknowledged.
pub(crate) fn fix_mtu(config: &mut EndpointConfig) {
    // Refused only for less than this.
    let _ = config.max_udp_payload_size(INITIAL_MTU);
}

/// Lets the peer of an attached link have as much on its way as sessions need.
pub(crate) fn widen(connection: &quinn::Connection) {
    connection.set_receive_window(VarInt::from_u32(SESSION_WINDOW));
}

/// An endpoint that only dials. Its connection ids are empty: it has one connection, and packets to it stay short.
pub(crate) fn dialing_endpoint(env: &Environment) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &env.random::<32>())));
    config.rng_seed(Some(env.random())).cid_generator(|| Box::new(EmptyIds));
    config
}

/// An endpoint that listens as `instance`. Whoever listens there next with the same identity can tell the clients of
/// this process at once that it is gone.
pub(crate) fn listening_endpoint(env: &Environment, instance: &[u8]) -> EndpointConfig {
    let key = |label| hmac::Key::new(hmac::HMAC_SHA256, &env.identity.derive_secret(label, instance));
    let ids = SignedIds { key: key("connection ids"), random: Arc::new(Mutex::new(seeded(env))) };
    let mut config = EndpointConfig::new(Arc::new(key("stateless reset")));
    config
        .rng_seed(Some(env.random()))
        .cid_generator(move || Box::new(ids.clone()))
        .min_reset_interval(RESET_INTERVAL);
    config
}

/// What accepted connections are made with.
pub(crate) fn server(env: &Environment, tls: rustls::ServerConfig) -> Result<quinn::ServerConfig, String> {
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| error.to_string())?;
    let tokens = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, &[]).extract(&env.random::<64>());
    let mut config = quinn::ServerConfig::new(Arc::new(crypto), Arc::new(tokens));
    config
        .transport_config(Arc::new(transport(Role::Acceptor)))
        .time_source(Arc::new(Wall(env.clock.clone())));
    Ok(config)
}

/// What dialed connections are made with.
pub(crate) fn client(
    env: &Arc<Environment>,
    tls: rustls::ClientConfig,
) -> Result<quinn::ClientConfig, String> {
    let crypto = QuicClientConfig::try_from(tls).map_err(|error| error.to_string())?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    let ids = env.clone();
    config
        .transport_config(Arc::new(transport(Role::Dialer)))
        .initial_dst_cid_provider(Arc::new(move || ConnectionId::new(&ids.random::<16>())));
    Ok(config)
}

/// The endpoint's clock, as quinn asks for it.
#[derive(Debug)]
struct Wall(Arc<dyn Clock>);

impl quinn::TimeSource for Wall {
    fn now(&self) -> SystemTime {
        self.0.wall()
    }
}

fn seeded(env: &Environment) -> StdRng {
    StdRng::from_seed(env.random())
}

/// Ids of no bytes.
struct EmptyIds;

impl ConnectionIdGenerator for EmptyIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&[])
    }

    fn cid_len(&self) -> usize {
        0
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

const RANDOM_BYTES: usize = 8;
const TAG_BYTES: usize = 4;

/// Ids of random bytes and a tag that only this identity can make: packets to ids of a former process on this address
/// are told from noise, and answered with a stateless reset.
#[derive(Clone)]
struct SignedIds {
    key: hmac::Key,
    random: Arc<Mutex<StdRng>>,
}

impl SignedIds {
    fn tag(&self, random: &[u8]) -> [u8; TAG_BYTES] {
        let mut tag = [0; TAG_BYTES];
        for (to, from) in tag.iter_mut().zip(hmac::sign(&self.key, random).as_ref()) {
            *to = *from;
        }
        tag
    }
}

impl ConnectionIdGenerator for SignedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut random = [0; RANDOM_BYTES];
        lock(&self.random).fill_bytes(&mut random);
        ConnectionId::new(&[&random[..], &self.tag(&random)].concat())
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        match id.split_at_checked(RANDOM_BYTES) {
            Some((random, tag)) if self.tag(random) == tag => Ok(()),
            _ => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        RANDOM_BYTES + TAG_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
