//! Peers without a session: a QUIC connection, a control stream, and no manners.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bowline::id::{ChannelId, Epoch, SessionId};
use bowline::protocol::proof;
use bowline::wire::control::{ControlDecoder, encode};
use bowline::wire::data::{RecordEncoder, RecordHead};
use bowline::wire::{ALPN, Confirm, Control, Hello, MAX_CONTROL, PeerLimits, Secret, VERSION, Welcome};
use bowline::wire::{Receiving, ReceivingLane, Retry, Sending, SendingLane};
use bowline::{Delivery, Identity};
use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig, VarInt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::soon;

/// What a raw peer shows of itself.
pub(crate) struct Face<'a> {
    pub(crate) identity: Option<&'a Identity>,
    pub(crate) alpn: &'a [u8],
    pub(crate) transport: TransportConfig,
}

impl<'a> Face<'a> {
    pub(crate) fn of(identity: &'a Identity) -> Self {
        Self { identity: Some(identity), ..Self::anonymous() }
    }

    pub(crate) fn anonymous() -> Self {
        Self { identity: None, alpn: ALPN, transport: TransportConfig::default() }
    }
}

impl<'a> Face<'a> {
    /// Bytes that a narrow peer has on their way, beyond what was taken from it.
    pub(crate) const NARROW: usize = 128 * 1024;

    /// A peer whose writes wait until the other side has taken almost everything before, and that lets the other side
    /// write next to nothing.
    pub(crate) fn narrow(identity: &'a Identity) -> Self {
        let mut transport = TransportConfig::default();
        transport.send_window(64 * 1024).stream_receive_window(VarInt::from_u32(2048));
        Self { transport, ..Self::of(identity) }
    }
}

/// A connection with a control stream.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) control: SendStream,
    pub(crate) answers: RecvStream,
    /// The epoch that the peer has said.
    pub(crate) peer_epoch: Option<Epoch>,
    /// Long enough for what was sent to have been read.
    pub(crate) pause: Duration,
    decoder: ControlDecoder,
    /// Streams that stay open.
    held: Vec<SendStream>,
    _endpoint: Endpoint,
}

impl Link {
    /// A connection to an acceptor, whoever that is.
    pub(crate) async fn dial(address: SocketAddr, face: Face<'_>) -> Self {
        Self::dial_from(loopback(), address, face).await
    }

    /// The same from a given endpoint.
    pub(crate) async fn dial_from(endpoint: Endpoint, address: SocketAddr, face: Face<'_>) -> Self {
        let connection = connect_from(&endpoint, address, face).await.expect("the handshake succeeds");
        let streams = soon(connection.open_bi()).await.unwrap();
        Self::over(endpoint, connection, streams)
    }

    fn over(
        endpoint: Endpoint,
        connection: Connection,
        (control, answers): (SendStream, RecvStream),
    ) -> Self {
        Self {
            connection,
            control,
            answers,
            peer_epoch: None,
            pause: Duration::from_millis(50),
            decoder: ControlDecoder::new(MAX_CONTROL),
            held: Vec::new(),
            _endpoint: endpoint,
        }
    }

    pub(crate) fn exporter(&self) -> [u8; 32] {
        let mut exporter = [0; 32];
        let label = b"EXPORTER-bowline-attach";
        self.connection.export_keying_material(&mut exporter, label, b"").unwrap();
        exporter
    }

    /// Says a frame. Whether the peer still listens is for `hear` to find out.
    pub(crate) async fn say(&mut self, frame: &Control) {
        let mut bytes = BytesMut::new();
        encode(frame, &mut bytes);
        self.say_bytes(&bytes).await;
    }

    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) {
        let _ = soon(self.control.write_all(bytes)).await;
    }

    /// Writes to the control stream until nothing more is taken. How much was.
    pub(crate) async fn write_while_taken(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        let short = Duration::from_millis(300);
        while let Ok(Ok(written)) = tokio::time::timeout(short, self.control.write(bytes)).await {
            taken += written;
        }
        taken
    }

    /// The next frame, or none when the connection is gone.
    pub(crate) async fn listen(&mut self) -> Option<Control> {
        loop {
            if let Some(frame) = self.decoder.next().expect("bowline keeps its own rules") {
                match &frame {
                    Control::Hello(hello) => self.peer_epoch = Some(hello.epoch),
                    Control::Welcome(welcome) => self.peer_epoch = Some(welcome.epoch),
                    _ => {}
                }
                return Some(frame);
            }
            match soon(self.answers.read_chunk(MAX_CONTROL, true)).await {
                Ok(Some(chunk)) => self.decoder.push(&chunk.bytes),
                _ => return None,
            }
        }
    }

    pub(crate) async fn hear(&mut self) -> Control {
        match self.listen().await {
            Some(frame) => frame,
            None => panic!("nothing more is said: {:?}", self.connection.close_reason()),
        }
    }

    /// The next news of a lane.
    pub(crate) async fn hear_of(&mut self, channel: u32) -> ReceivingLane {
        loop {
            if let Control::Receiving(Receiving { lanes, .. }) = self.hear().await
                && let Some(lane) = lanes.into_iter().find(|lane| lane.channel.0 == channel)
            {
                return lane;
            }
        }
    }

    /// With what code and words the peer closed the connection.
    pub(crate) async fn end(&self) -> (u64, String) {
        match soon(self.connection.closed()).await {
            ConnectionError::ApplicationClosed(close) => {
                (close.error_code.into_inner(), String::from_utf8(close.reason.to_vec()).unwrap())
            }
            other => panic!("not closed by the application: {other}"),
        }
    }

    /// Says Hello, and is welcomed.
    pub(crate) async fn attach(&mut self, claim: &Claim) -> Welcome {
        let hello = claim.hello(self);
        self.say(&Control::Hello(Box::new(hello))).await;
        let Control::Welcome(welcome) = self.hear().await else { panic!("not welcome") };
        self.say(&Control::Confirm(Confirm { counter: claim.counter, durable: false })).await;
        welcome
    }

    /// Says Hello, and is told to try again.
    pub(crate) async fn hear_retry(&mut self, hello: Hello) -> Retry {
        self.say(&Control::Hello(Box::new(hello))).await;
        match self.hear().await {
            Control::Retry(retry) => retry,
            other => panic!("{other:?}"),
        }
    }

    /// Asks for another Hello, and hears it.
    pub(crate) async fn hear_again(&mut self, retry: Retry) -> Hello {
        self.say(&Control::Retry(retry)).await;
        match self.hear().await {
            Control::Hello(hello) => *hello,
            other => panic!("{other:?}"),
        }
    }

    /// A data stream with these bytes that is neither finished nor reset.
    pub(crate) async fn hold_data(&mut self, bytes: &[u8]) {
        let stream = self.open_data(bytes).await;
        self.held.push(stream);
    }

    /// A data stream with these bytes so far.
    pub(crate) async fn open_data(&self, bytes: &[u8]) -> SendStream {
        let mut stream = soon(self.connection.open_uni()).await.unwrap();
        let _ = soon(stream.write_all(bytes)).await;
        stream
    }
}

/// Many dialers behind one socket.
#[derive(Clone)]
pub(crate) struct Crowd {
    endpoint: Endpoint,
    config: quinn::ClientConfig,
}

impl Crowd {
    pub(crate) fn new() -> Self {
        let identity = Identity::generate().unwrap();
        Self { endpoint: loopback(), config: client_config(Face::of(&identity)) }
    }

    pub(crate) fn dial(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = Result<Connection, ConnectionError>> + use<> {
        soon(self.endpoint.connect_with(self.config.clone(), address, "peer.invalid").unwrap())
    }

    pub(crate) async fn link(&self, address: SocketAddr) -> Link {
        let connection = self.dial(address).await.unwrap();
        let streams = soon(connection.open_bi()).await.unwrap();
        Link::over(self.endpoint.clone(), connection, streams)
    }
}

/// Dials, and yields what came of the handshake.
pub(crate) async fn connect(
    address: SocketAddr,
    face: Face<'_>,
) -> (Endpoint, Result<Connection, ConnectionError>) {
    let endpoint = loopback();
    let connection = connect_from(&endpoint, address, face).await;
    (endpoint, connection)
}

async fn connect_from(
    endpoint: &Endpoint,
    address: SocketAddr,
    face: Face<'_>,
) -> Result<Connection, ConnectionError> {
    soon(endpoint.connect_with(client_config(face), address, "peer.invalid").unwrap()).await
}

fn loopback() -> Endpoint {
    Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap()
}

/// A session that a raw dialer says is its own.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) session: SessionId,
    pub(crate) secret: Secret,
    pub(crate) counter: u64,
}

pub(crate) const EPOCH: u64 = 0x0BAD_0BAD;

impl Claim {
    pub(crate) fn new(name: u8) -> Self {
        Self { session: SessionId::from_bytes([name; 16]), secret: Secret([name; 32]), counter: 1 }
    }

    pub(crate) fn at(&self, counter: u64) -> Self {
        Self { counter, ..self.clone() }
    }

    /// The Hello that proves it on this link.
    pub(crate) fn hello(&self, link: &Link) -> Hello {
        Hello {
            version_min: VERSION,
            version_max: VERSION,
            session: self.session,
            secret: Some(self.secret.clone()),
            epoch: Epoch::new(EPOCH).unwrap(),
            peer_epoch: None,
            counter: self.counter,
            proof: proof::prove(&self.secret, &link.exporter(), self.counter),
            limits: PeerLimits { max_message_size: 1 << 20, max_channels: 256 },
            credentials: Bytes::new(),
        }
    }
}

/// An acceptor without a session.
pub(crate) struct Listener {
    endpoint: Endpoint,
    pub(crate) address: SocketAddr,
}

impl Listener {
    pub(crate) fn new(identity: &Identity) -> Self {
        Self::with(Face::of(identity))
    }

    pub(crate) fn with(face: Face<'_>) -> Self {
        Self::on(Endpoint::server(server_config(face), (Ipv4Addr::LOCALHOST, 0).into()).unwrap())
    }

    /// The same on a given endpoint.
    pub(crate) fn on(endpoint: Endpoint) -> Self {
        let address = endpoint.local_addr().unwrap();
        Self { endpoint, address }
    }

    /// From the next handshake on it has this key.
    pub(crate) fn become_another(&self, identity: &Identity) {
        self.endpoint.set_server_config(Some(server_config(Face::of(identity))));
    }

    /// The next connection, whose control stream has been opened.
    pub(crate) async fn accept(&self) -> Link {
        let connection = self.accept_connection().await;
        let streams = soon(connection.accept_bi()).await.unwrap();
        Link::over(self.endpoint.clone(), connection, streams)
    }

    pub(crate) async fn accept_connection(&self) -> Connection {
        let incoming = soon(self.endpoint.accept()).await.unwrap();
        soon(incoming).await.unwrap()
    }

    /// The next connection, which does not come about.
    pub(crate) async fn refuse_one(&self) {
        let incoming = soon(self.endpoint.accept()).await.unwrap();
        soon(incoming).await.unwrap_err();
    }

    /// The next connection, and the Hello on it.
    pub(crate) async fn greet(&self) -> (Link, Hello) {
        let mut link = self.accept().await;
        match link.hear().await {
            Control::Hello(hello) => (link, *hello),
            other => panic!("{other:?}"),
        }
    }

    /// The next connection, welcomed.
    pub(crate) async fn welcome(&self) -> (Link, Hello) {
        let (mut link, hello) = self.greet().await;
        link.say(&Control::Welcome(welcome(hello.counter))).await;
        (link, hello)
    }
}

pub(crate) fn welcome(counter: u64) -> Welcome {
    let limits = PeerLimits { max_message_size: 1 << 20, max_channels: 256 };
    Welcome { version: VERSION, epoch: Epoch::new(EPOCH).unwrap(), counter, limits, durable: false }
}

/// The naming of one lane.
pub(crate) fn naming(channel: u32, label: &str) -> Control {
    Control::Sending(sending([lane(channel, label)]))
}

pub(crate) fn sending(lanes: impl IntoIterator<Item = SendingLane>) -> Sending {
    Sending { epoch: Epoch::new(EPOCH).unwrap(), clock_ms: 0, lanes: lanes.into_iter().collect() }
}

pub(crate) fn lane(channel: u32, label: &str) -> SendingLane {
    let (channel, label) = (ChannelId(channel), label.to_owned());
    SendingLane {
        channel,
        label,
        delivery: Ok(Delivery::ReliableOrdered),
        floor: 0,
        end: None,
        skipped: Vec::new(),
        extended: Vec::new(),
    }
}

/// News of a lane of the peer, to begin with.
pub(crate) fn news(channel: u32) -> ReceivingLane {
    ReceivingLane {
        channel: ChannelId(channel),
        received_below: 0,
        received: Vec::new(),
        handled_below: 0,
        handled: Vec::new(),
        verdicts: Vec::new(),
        window_messages: 1024,
        window_bytes: 65_536,
        window_large: 0,
        partial: Vec::new(),
        refused: None,
        ended: false,
    }
}

/// A data stream with these payloads, from `first` on.
pub(crate) fn records(channel: u32, first: u64, payloads: &[&[u8]]) -> Vec<u8> {
    let mut encoder = RecordEncoder::new(ChannelId(channel), first);
    let mut bytes = BytesMut::new();
    for (sequence, payload) in (first..).zip(payloads) {
        let head = RecordHead { sequence, redelivered: false, deadline: None, length: payload.len() };
        encoder.put(&mut bytes, &head).unwrap();
        bytes.extend_from_slice(payload);
    }
    bytes.to_vec()
}

// ---- TLS that believes everything ----

fn client_config(face: Face<'_>) -> quinn::ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believer(provider)));
    let mut tls = match face.identity.map(parts) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![face.alpn.to_vec()];
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(face.transport));
    config
}

pub(crate) fn server_config(mut face: Face<'_>) -> quinn::ServerConfig {
    let (chain, key) = parts(face.identity.expect("an acceptor needs a key"));
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![face.alpn.to_vec()];
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    face.transport.max_concurrent_bidi_streams(VarInt::from_u32(1));
    config.transport_config(Arc::new(face.transport));
    config
}

fn parts(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let pem = identity.to_pem();
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().unwrap();
    (chain, PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap())
}

#[derive(Debug)]
struct Believer(Arc<CryptoProvider>);

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("QUIC has no TLS 1.2")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
