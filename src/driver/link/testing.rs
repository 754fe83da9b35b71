//! Two connected ends for the tests of the writing side.

use std::any::Any;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::congestion::{Controller, ControllerFactory, CubicConfig};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, ReadError, RecvStream, TransportConfig, VarInt};

use crate::driver::transport::DATAGRAMS_SENT;
use crate::id::ChannelId;
use crate::tls::{ClientAuth, Identity, Trust, client_config, server_config};
use crate::wire::data::{Limits, StreamDecoder};
use crate::wire::{Carrier, Data, Frame};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// As large as messages may be here.
pub(super) const LIMITS: Limits = Limits { record: 64 * 1024, body: 1 << 20 };

/// One writes, the other reads.
pub(super) struct Pair {
    pub(super) writing: Connection,
    pub(super) reading: Connection,
    _endpoints: [Endpoint; 2],
}

/// Two ends of which the reading one permits so many streams. Small congestion windows, and no packet grows.
pub(super) async fn pair(streams: u32) -> Pair {
    let mut cubic = CubicConfig::default();
    cubic.initial_window(16 * 1024);
    pair_with(streams, Arc::new(cubic)).await
}

/// The same, with no more than two packets on their way.
pub(super) async fn congested_pair(streams: u32) -> Pair {
    pair_with(streams, Arc::new(TwoPackets)).await
}

async fn pair_with(streams: u32, congestion: Arc<dyn ControllerFactory + Send + Sync>) -> Pair {
    let mut transport = TransportConfig::default();
    transport
        .congestion_controller_factory(congestion)
        .mtu_discovery_config(None)
        .max_concurrent_uni_streams(VarInt::from_u32(streams))
        .datagram_send_buffer_size(DATAGRAMS_SENT);
    let transport = Arc::new(transport);
    let identity = Identity::generate().unwrap();
    let tls = server_config(&identity, &ClientAuth::default(), b"test").unwrap();
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    server.transport_config(transport.clone());
    let trust = Trust::fingerprint(identity.fingerprint());
    let (tls, _) = client_config(&Identity::generate().unwrap(), &trust, b"test").unwrap();
    let mut client = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    client.transport_config(transport);
    let acceptor = Endpoint::server(server, LOOPBACK).unwrap();
    let dialer = Endpoint::client(LOOPBACK).unwrap();
    let address = acceptor.local_addr().unwrap();
    let dial = async { dialer.connect_with(client, address, "test").unwrap().await.unwrap() };
    let accept = async { acceptor.accept().await.unwrap().await.unwrap() };
    let (writing, reading) = soon(async { tokio::join!(dial, accept) }).await;
    Pair { writing, reading, _endpoints: [acceptor, dialer] }
}

/// A path that is always congested.
#[derive(Clone, Debug)]
struct TwoPackets;

impl ControllerFactory for TwoPackets {
    fn build(self: Arc<Self>, _now: Instant, _mtu: u16) -> Box<dyn Controller> {
        Box::new(Self)
    }
}

impl Controller for TwoPackets {
    fn on_congestion_event(&mut self, _now: Instant, _sent: Instant, _persistent: bool, _lost: u64) {}

    fn on_mtu_update(&mut self, _mtu: u16) {}

    fn window(&self) -> u64 {
        2400
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self)
    }

    fn initial_window(&self) -> u64 {
        2400
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// What a test waits for takes no longer than this.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it does not take so long")
}

/// Polls once, outside of any task: quinn has no turn in between.
pub(super) fn at_once<T>(poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
    poll(&mut Context::from_waker(Waker::noop()))
}

pub(super) fn data(channel: u32, sequence: u64, size: usize, carrier: Carrier) -> Data {
    Data {
        channel: ChannelId(channel),
        sequence,
        redelivered: false,
        deadline: None,
        carrier,
        payload: Bytes::from(vec![sequence as u8; size]),
    }
}

/// Everything that comes on a stream until it ends, and how that is.
pub(super) async fn read(mut stream: RecvStream) -> (Vec<Frame>, Result<(), ReadError>) {
    let mut decoder = StreamDecoder::new(LIMITS);
    let mut frames = Vec::new();
    loop {
        match soon(stream.read_chunk(usize::MAX, true)).await {
            Ok(Some(chunk)) => decoder.push(chunk.bytes),
            Ok(None) => {
                decoder.finish().unwrap();
                return (frames, Ok(()));
            }
            Err(error) => return (frames, Err(error)),
        }
        while let Some(frame) = decoder.next().unwrap() {
            frames.push(frame);
        }
    }
}
