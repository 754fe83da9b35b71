//! Whom a dialer believes and whom an acceptor lets in, from one end to the other.

use bowline::{
    ClientAuth, Config, ConnectError, Endpoint, Fingerprint, Identity, PeerIdentity, Session, Trust,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

use crate::host::{Host, identity};
use crate::raw::{Claim, Face, Link, connect};
use crate::soon;

const NAME: &str = "chat.example";

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a CA of these tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity::from_pem(&(key.serialize_pem() + &certificate.pem())).unwrap()
    }

    fn trust(&self) -> Trust {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, self.0.pem()).unwrap();
        Trust::ca_file(path).unwrap()
    }
}

async fn dial(host: &Host, trust: Trust, name: &str) -> Result<Session, ConnectError> {
    dial_as(identity(), host, trust, name).await
}

async fn dial_as(who: Identity, host: &Host, trust: Trust, name: &str) -> Result<Session, ConnectError> {
    let endpoint = Endpoint::client(who, Config::default()).unwrap();
    soon(endpoint.connect(host.address, trust).server_name(name)).await
}

#[tokio::test]
async fn the_pinned_key_is_believed_and_both_sides_know_each_other() {
    let mut host = Host::new();
    let who = identity();
    let known = who.fingerprint();
    let other = Fingerprint::from_bytes([7; 32]);
    let trust = Trust::any_of([other, host.endpoint.fingerprint()]);
    let session = dial_as(who, &host, trust, NAME).await.unwrap();
    assert_eq!(session.peer().unwrap().fingerprint(), host.endpoint.fingerprint());
    assert_eq!(session.peer().unwrap().verified_name(), None, "a pin vouches for no name");
    assert_eq!(host.session().await.peer().unwrap().fingerprint(), known);
}

#[tokio::test]
async fn another_key_than_the_pinned_one_is_not_believed() {
    let mut host = Host::new();
    let pinned = Fingerprint::from_bytes([7; 32]);
    match dial(&host, Trust::fingerprint(pinned), NAME).await {
        Err(error @ ConnectError::WrongFingerprint { .. }) => {
            let text = error.to_string();
            assert!(text.contains(&pinned.to_string()), "{text}");
            assert!(text.contains(&host.endpoint.fingerprint().to_string()), "{text}");
        }
        other => panic!("{other:?}"),
    }
    match dial(&host, Trust::any_of([]), NAME).await {
        Err(ConnectError::WrongFingerprint { expected, .. }) => assert_eq!(expected, "none"),
        other => panic!("{other:?}"),
    }
    assert!(host.has_no_more());
}

#[tokio::test]
async fn a_ca_vouches_for_the_name_that_was_dialed_and_for_no_other() {
    let ca = Ca::new();
    let identity = ca.issue(NAME, ExtendedKeyUsagePurpose::ServerAuth);
    let mut host = Host::built(Endpoint::builder(identity));
    let session = dial(&host, ca.trust(), NAME).await.unwrap();
    assert_eq!(session.peer().unwrap().verified_name(), Some(NAME));
    host.session().await;
    for (trust, name) in [(ca.trust(), "other.example"), (Ca::new().trust(), NAME)] {
        match dial(&host, trust, name).await {
            Err(ConnectError::Tls { addr, .. }) => assert_eq!(addr, host.address),
            other => panic!("{other:?}"),
        }
    }
    assert!(host.has_no_more());
}

#[tokio::test]
async fn a_certificate_for_dialers_does_not_make_an_acceptor() {
    let ca = Ca::new();
    let host = Host::built(Endpoint::builder(ca.issue(NAME, ExtendedKeyUsagePurpose::ClientAuth)));
    assert!(matches!(dial(&host, ca.trust(), NAME).await, Err(ConnectError::Tls { .. })));
}

#[tokio::test]
async fn the_platform_does_not_vouch_for_a_key_that_signed_itself() {
    // A machine without any CA says so when asked for them.
    let Ok(trust) = Trust::platform() else { return };
    let host = Host::new();
    assert!(matches!(dial(&host, trust, NAME).await, Err(ConnectError::Tls { .. })));
}

#[tokio::test]
async fn who_trusts_anyone_still_learns_whom_it_got() {
    let mut host = Host::new();
    let session = dial(&host, Trust::danger_accept_anyone(), NAME).await.unwrap();
    assert_eq!(session.peer().unwrap().fingerprint(), host.endpoint.fingerprint());
    host.session().await;
}

// ---- Acceptors ----

fn asking(auth: ClientAuth) -> Host {
    Host::built(Endpoint::builder(identity()).client_auth(auth))
}

/// Who the accepting side believes a dialer to be that shows an identity.
async fn seen_by(host: &mut Host, who: Identity) -> Result<Option<PeerIdentity>, ConnectError> {
    let _session = dial_as(who, host, host.trust(), NAME).await?;
    Ok(host.session().await.peer())
}

#[tokio::test]
async fn who_is_not_asked_stays_anonymous() {
    assert_eq!(seen_by(&mut asking(ClientAuth::Off), identity()).await.unwrap(), None);
}

#[tokio::test]
async fn any_key_is_known_by_its_fingerprint_and_none_is_anonymous() {
    let mut host = asking(ClientAuth::Any);
    let who = identity();
    let known = who.fingerprint();
    assert_eq!(seen_by(&mut host, who).await.unwrap().unwrap().fingerprint(), known);
    let mut link = Link::dial(host.address, Face::anonymous()).await;
    link.attach(&Claim::new(1)).await;
    assert_eq!(host.session().await.peer(), None);
}

#[tokio::test]
async fn where_a_key_is_required_nobody_comes_in_without_one() {
    let mut host = asking(ClientAuth::Required);
    let (_endpoint, connection) = connect(host.address, Face::anonymous()).await;
    // The dialer's handshake is over before the acceptor has seen its certificate.
    if let Ok(connection) = connection {
        let error = soon(connection.closed()).await.to_string();
        assert!(error.contains("certificate") || error.contains("peer sent no certificates"), "{error}");
    }
    assert!(seen_by(&mut host, identity()).await.unwrap().is_some());
    assert!(host.has_no_more());
}

#[tokio::test]
async fn only_trusted_keys_come_in_where_keys_are_pinned() {
    let friend = identity();
    let mut host = asking(ClientAuth::Trusted(Trust::fingerprint(friend.fingerprint())));
    assert!(matches!(seen_by(&mut host, identity()).await, Err(ConnectError::Tls { .. })));
    let known = friend.fingerprint();
    assert_eq!(seen_by(&mut host, friend).await.unwrap().unwrap().fingerprint(), known);
    assert!(host.has_no_more());
}

#[tokio::test]
async fn dialers_under_a_ca_are_known_by_the_name_in_their_certificate() {
    let ca = Ca::new();
    let mut host = asking(ClientAuth::Trusted(ca.trust()));
    let ada = ca.issue("ada.example", ExtendedKeyUsagePurpose::ClientAuth);
    let seen = seen_by(&mut host, ada).await.unwrap().unwrap();
    assert_eq!(seen.verified_name(), Some("ada.example"));
    let server = ca.issue("ada.example", ExtendedKeyUsagePurpose::ServerAuth);
    let stranger = Ca::new().issue("ada.example", ExtendedKeyUsagePurpose::ClientAuth);
    for who in [server, stranger, identity()] {
        assert!(matches!(seen_by(&mut host, who).await, Err(ConnectError::Tls { .. })));
    }
    assert!(host.has_no_more());
}

#[tokio::test]
async fn a_renewed_certificate_of_the_same_name_keeps_its_session() {
    let ca = Ca::new();
    let mut host = asking(ClientAuth::Trusted(ca.trust()));
    let name = |name: &str| ca.issue(name, ExtendedKeyUsagePurpose::ClientAuth);
    let claim = Claim::new(1);
    let (_old, session) = host.raw(&name("ada.example"), &claim).await;
    let renewed = name("ada.example");
    let mut link = Link::dial(host.address, Face::of(&renewed)).await;
    link.attach(&claim.at(2)).await;
    assert_eq!(session.stats().attaches, 2);
    let mut link = Link::dial(host.address, Face::of(&name("eve.example"))).await;
    let hello = claim.at(3).hello(&link);
    link.say(&bowline::wire::Control::Hello(Box::new(hello))).await;
    assert_eq!(link.end().await.0, 6);
}
