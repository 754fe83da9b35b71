//! Handshakes between two quinn endpoints on the loopback interface, and what each side learns from them.

mod resumption;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, ConnectionError, Endpoint};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig, SignatureScheme};

use super::*;

const ALPN: &[u8] = b"bowline/1";
const NAME: &str = "chat.example";
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

type Dialer = (ClientConfig, Presented);

/// What came of a dial on each side.
struct Meeting {
    dialed: Result<Connection, HandshakeProblem>,
    accepted: Result<Connection, ConnectionError>,
    _endpoints: [Endpoint; 2],
}

impl Meeting {
    fn connections(&self) -> (&Connection, &Connection) {
        match (&self.dialed, &self.accepted) {
            (Ok(dialed), Ok(accepted)) => (dialed, accepted),
            (dialed, accepted) => panic!("dialed: {dialed:?}, accepted: {accepted:?}"),
        }
    }

    /// Why the dialer could not come in. The acceptor must not have let it in either.
    fn problem(&self) -> &HandshakeProblem {
        assert!(self.accepted.is_err(), "the acceptor believes to be connected");
        self.dialed.as_ref().expect_err("the dialer believes to be connected")
    }
}

/// One dial. The acceptor opens a stream once it is content, so that its verdict reaches the dialer.
async fn meet(server: ServerConfig, (client, presented): Dialer, name: &str) -> Meeting {
    let crypto = QuicServerConfig::try_from(server).unwrap();
    let acceptor = Endpoint::server(quinn::ServerConfig::with_crypto(Arc::new(crypto)), LOOPBACK).unwrap();
    let dialer = Endpoint::client(LOOPBACK).unwrap();
    let crypto = QuicClientConfig::try_from(client).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));

    let accept = async {
        let connection = acceptor.accept().await.expect("the endpoint is open").await?;
        connection.open_uni().await?.finish().expect("the stream is new");
        Ok(connection)
    };
    let dial = async {
        let connection = dialer.connect_with(config, acceptor.local_addr().unwrap(), name).unwrap().await?;
        connection.accept_uni().await?;
        Ok(connection)
    };
    let both = async { tokio::join!(dial, accept) };
    let (dialed, accepted) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("no deadlock");
    let explain = |error: ConnectionError| presented.explain(&error).unwrap_or_else(|| panic!("{error}"));
    Meeting { dialed: dialed.map_err(explain), accepted, _endpoints: [acceptor, dialer] }
}

fn identity() -> Identity {
    Identity::generate().unwrap()
}

fn acceptor(identity: &Identity) -> ServerConfig {
    server_config(identity, &ClientAuth::default(), ALPN).unwrap()
}

fn dialer(trust: &Trust) -> Dialer {
    client_config(&identity(), trust, ALPN).unwrap()
}

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn trust(&self) -> Trust {
        Trust::ca_pem(&self.0.pem()).unwrap()
    }

    fn issue(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> Identity {
        self.issue_until(name, purpose, 4000)
    }

    fn issue_until(&self, name: &str, purpose: ExtendedKeyUsagePurpose, year: i32) -> Identity {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity::from_pem(&(key.serialize_pem() + &certificate.pem())).unwrap()
    }
}

const FOR_CLIENTS: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ClientAuth;
const FOR_SERVERS: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ServerAuth;

#[tokio::test]
async fn the_holder_of_the_pinned_key_is_accepted() {
    let server = identity();
    for trust in [
        Trust::fingerprint(server.fingerprint()),
        Trust::any_of([identity().fingerprint(), server.fingerprint()]),
    ] {
        let meeting = meet(acceptor(&server), dialer(&trust), NAME).await;
        let (dialed, _) = meeting.connections();
        let peer = PeerIdentity::of_acceptor(dialed, &trust, NAME).unwrap();
        assert_eq!(peer.fingerprint(), server.fingerprint());
        assert_eq!(peer.verified_name(), None);
    }
}

#[tokio::test]
async fn another_key_than_the_pinned_is_refused_and_both_are_told() {
    let server = identity();
    let presented = server.fingerprint();
    let pins = [identity().fingerprint(), identity().fingerprint()];
    for expected in [&pins[..0], &pins[..1], &pins[..]] {
        let trust = Trust::any_of(expected.iter().copied());
        let meeting = meet(acceptor(&server), dialer(&trust), NAME).await;
        let wrong = WrongFingerprint { expected: expected.to_vec(), presented };
        assert_eq!(*meeting.problem(), HandshakeProblem::WrongFingerprint(wrong.clone()));
        let told = wrong.to_string();
        assert!([presented].iter().chain(expected).all(|named| told.contains(&named.to_string())), "{told}");
    }
}

#[tokio::test]
async fn the_pinned_certificate_without_its_key_is_refused() {
    let (victim, thief) = (identity(), identity());
    let stolen = CertifiedKey::new(victim.certified().cert.clone(), thief.certified().key.clone());
    for trust in [Trust::fingerprint(victim.fingerprint()), Trust::danger_accept_anyone()] {
        let mut server = acceptor(&thief);
        server.cert_resolver = Arc::new(SingleCertAndKey::from(stolen.clone()));
        let meeting = meet(server, dialer(&trust), NAME).await;
        assert!(matches!(meeting.problem(), HandshakeProblem::PeerRefused { .. }), "{:?}", meeting.problem());
    }
}

#[tokio::test]
async fn under_a_ca_the_dialed_name_is_verified() {
    let ca = Ca::new("ours");
    let server = ca.issue(NAME, FOR_SERVERS);
    let meeting = meet(acceptor(&server), dialer(&ca.trust()), "CHAT.example").await;
    let (dialed, _) = meeting.connections();
    let peer = PeerIdentity::of_acceptor(dialed, &ca.trust(), "CHAT.example").unwrap();
    assert_eq!(peer.verified_name(), Some(NAME));
    assert_eq!(peer.fingerprint(), server.fingerprint());

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, ca.0.pem()).unwrap();
    let meeting = meet(acceptor(&server), dialer(&Trust::ca_file(&path).unwrap()), NAME).await;
    meeting.connections();
}

#[tokio::test]
async fn under_a_ca_an_address_can_be_the_name() {
    let ca = Ca::new("ours");
    let server = ca.issue("127.0.0.1", FOR_SERVERS);
    let meeting = meet(acceptor(&server), dialer(&ca.trust()), "127.0.0.1").await;
    let (dialed, _) = meeting.connections();
    let peer = PeerIdentity::of_acceptor(dialed, &ca.trust(), "127.0.0.1").unwrap();
    assert_eq!(peer.verified_name(), Some("127.0.0.1"));
}

#[tokio::test]
async fn under_a_ca_anything_else_is_refused() {
    let ca = Ca::new("ours");
    for (server, why) in [
        (identity(), "issuer"),
        (Ca::new("theirs").issue(NAME, FOR_SERVERS), "issuer"),
        (Ca::new("ours").issue(NAME, FOR_SERVERS), "signature"),
        (ca.issue("other.example", FOR_SERVERS), NAME),
        (ca.issue(NAME, FOR_CLIENTS), "extended key usage"),
        (ca.issue_until(NAME, FOR_SERVERS, 2001), "expired"),
    ] {
        let meeting = meet(acceptor(&server), dialer(&ca.trust()), NAME).await;
        match meeting.problem() {
            HandshakeProblem::PeerRefused { reason } => {
                assert!(reason.to_lowercase().contains(why), "{reason}: no word of {why}");
            }
            other => panic!("{other:?} for {why}"),
        }
    }
}

#[tokio::test]
async fn the_platform_refuses_a_self_signed_server() {
    let trust = Trust::platform().expect("this machine has CA certificates");
    let meeting = meet(acceptor(&identity()), dialer(&trust), NAME).await;
    assert!(matches!(meeting.problem(), HandshakeProblem::PeerRefused { .. }), "{:?}", meeting.problem());
}

#[tokio::test]
async fn anyone_means_anyone() {
    let (server, trust) = (identity(), Trust::danger_accept_anyone());
    let meeting = meet(acceptor(&server), dialer(&trust), NAME).await;
    let (dialed, _) = meeting.connections();
    let peer = PeerIdentity::of_acceptor(dialed, &trust, NAME).unwrap();
    assert_eq!((peer.fingerprint(), peer.verified_name()), (server.fingerprint(), None));
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Dials an acceptor that asks `auth`, as `client` or as nobody.
async fn knock(auth: &ClientAuth, client: Option<&Identity>) -> Meeting {
    let server = identity();
    let trust = Trust::fingerprint(server.fingerprint());
    let mut dialer = client_config(client.unwrap_or(&server), &trust, ALPN).unwrap();
    if client.is_none() {
        dialer.0.client_auth_cert_resolver = Arc::new(NoCertificate);
    }
    meet(server_config(&server, auth, ALPN).unwrap(), dialer, NAME).await
}

/// Who the acceptor holds the dialer for.
async fn admitted(auth: &ClientAuth, client: Option<&Identity>) -> Option<PeerIdentity> {
    let meeting = knock(auth, client).await;
    PeerIdentity::of_dialer(meeting.connections().1, auth)
}

#[tokio::test]
async fn the_acceptor_asks_what_it_is_told_to_ask() {
    let client = identity();
    let pinned = ClientAuth::Trusted(Trust::fingerprint(client.fingerprint()));
    let anyone = ClientAuth::Trusted(Trust::danger_accept_anyone());

    assert_eq!(admitted(&ClientAuth::Off, Some(&client)).await, None);
    assert_eq!(admitted(&ClientAuth::Off, None).await, None);
    assert_eq!(admitted(&ClientAuth::Any, None).await, None);
    for auth in [&ClientAuth::Any, &ClientAuth::Required, &pinned, &anyone] {
        let peer = admitted(auth, Some(&client)).await.unwrap();
        assert_eq!((peer.fingerprint(), peer.verified_name()), (client.fingerprint(), None), "{auth:?}");
    }
    for auth in [&ClientAuth::Required, &pinned, &anyone] {
        let meeting = knock(auth, None).await;
        assert_eq!(*meeting.problem(), HandshakeProblem::IdentityDemanded, "{auth:?}");
    }
}

#[tokio::test]
async fn a_dialer_with_another_key_is_refused_and_the_acceptor_is_told_which() {
    let (client, friend) = (identity(), identity());
    let meeting = knock(&ClientAuth::Trusted(Trust::fingerprint(friend.fingerprint())), Some(&client)).await;
    assert_eq!(*meeting.problem(), HandshakeProblem::IdentityRefused);
    match HandshakeProblem::of(meeting.accepted.as_ref().unwrap_err()) {
        Some(HandshakeProblem::PeerRefused { reason }) => {
            for named in [&friend, &client] {
                assert!(reason.contains(&named.fingerprint().to_string()), "{reason}");
            }
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn under_a_ca_a_dialer_is_known_by_the_name_in_its_certificate() {
    let ca = Ca::new("ours");
    let auth = ClientAuth::Trusted(ca.trust());
    let client = ca.issue("alice.example", FOR_CLIENTS);
    let peer = admitted(&auth, Some(&client)).await.unwrap();
    assert_eq!(peer.verified_name(), Some("alice.example"));
    assert_eq!(peer.fingerprint(), client.fingerprint());
    assert_eq!(peer.to_string(), format!("alice.example ({})", client.fingerprint()));

    // Without a CA that vouches for it, the same name is a mere claim.
    assert_eq!(admitted(&ClientAuth::Any, Some(&client)).await.unwrap().verified_name(), None);

    for stranger in [
        identity(),
        Ca::new("theirs").issue("alice.example", FOR_CLIENTS),
        ca.issue("alice.example", FOR_SERVERS),
    ] {
        assert_eq!(*knock(&auth, Some(&stranger)).await.problem(), HandshakeProblem::IdentityRefused);
    }
    assert_eq!(*knock(&auth, None).await.problem(), HandshakeProblem::IdentityDemanded);
}

#[tokio::test]
async fn a_dialer_cannot_show_a_certificate_without_its_key() {
    let (server, victim, thief) = (identity(), identity(), identity());
    let stolen = CertifiedKey::new(victim.certified().cert.clone(), thief.certified().key.clone());
    for auth in [ClientAuth::Any, ClientAuth::Trusted(Trust::fingerprint(victim.fingerprint()))] {
        let mut dialer = dialer(&Trust::fingerprint(server.fingerprint()));
        dialer.0.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(stolen.clone()));
        let meeting = meet(server_config(&server, &auth, ALPN).unwrap(), dialer, NAME).await;
        assert_eq!(*meeting.problem(), HandshakeProblem::IdentityRefused);
    }
}

#[test]
fn the_platform_cannot_vouch_for_dialers() {
    let auth = ClientAuth::Trusted(Trust::platform().expect("this machine has CA certificates"));
    assert!(matches!(server_config(&identity(), &auth, ALPN), Err(TlsConfigError::PlatformForClients)));
}

#[tokio::test]
async fn peers_without_a_common_protocol_part() {
    let server = identity();
    let trust = Trust::fingerprint(server.fingerprint());
    let with_alpn = |protocols: &[&[u8]]| {
        let (mut config, presented) = dialer(&trust);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        (config, presented)
    };
    for protocols in [&[b"h3".as_slice()][..], &[b"bowline/2"], &[]] {
        let meeting = meet(acceptor(&server), with_alpn(protocols), NAME).await;
        assert_eq!(*meeting.problem(), HandshakeProblem::NoCommonProtocol);
    }
    let both: &[&[u8]] = &[b"bowline/2", ALPN];
    let meeting = meet(acceptor(&server), with_alpn(both), NAME).await;
    meeting.connections();

    // An acceptor that picks no protocol at all is refused by the dialer.
    let mut silent = acceptor(&server);
    silent.alpn_protocols.clear();
    let meeting = meet(silent, dialer(&trust), NAME).await;
    assert_eq!(*meeting.problem(), HandshakeProblem::NoCommonProtocol);
}

#[test]
fn a_connection_lost_for_other_reasons_is_no_handshake_problem() {
    let presented = Presented::default();
    presented.note(WrongFingerprint { expected: vec![], presented: identity().fingerprint() });
    for error in [ConnectionError::TimedOut, ConnectionError::Reset, ConnectionError::LocallyClosed] {
        assert_eq!(presented.explain(&error), None);
    }
}
