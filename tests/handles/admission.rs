//! Who gets in, and what those are told who do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::{CloseCode, ConnectError, Credentials, Fingerprint};
use bytes::Bytes;

use super::*;

fn client() -> Endpoint {
    Endpoint::client(identity(), Config::default()).unwrap()
}

async fn refused(connect: bowline::Connect) -> (CloseCode, String, bool) {
    match soon(connect).await {
        Err(ConnectError::Refused(reason)) => (reason.code, reason.reason, reason.retry),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_key_is_named_beside_the_expected_one() {
    let listener = listen(Endpoint::builder(identity()));
    let expected = Fingerprint::from_bytes([7; 32]);
    let dial = client().connect(listener.local_addr().unwrap(), Trust::fingerprint(expected));
    match soon(dial).await {
        Err(ConnectError::WrongFingerprint { expected: named, presented }) => {
            assert_eq!(named, expected.to_string());
            assert_eq!(presented, listener.fingerprint().to_string());
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_peer_that_speaks_another_protocol_is_told_apart() {
    let certified = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap();
    let key = certified.signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let other = quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let addr = other.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = other.accept().await.map(IntoFuture::into_future) {
            let _ = incoming.await;
        }
    });
    match soon(client().connect(addr, Trust::danger_accept_anyone())).await {
        Err(ConnectError::WrongProtocol { addr: named }) => assert_eq!(named, addr),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn targets_that_cannot_be_dialed_say_why() {
    let anyone = Trust::danger_accept_anyone;
    let bad = soon(client().connect("nowhere", anyone())).await;
    assert!(matches!(bad, Err(ConnectError::BadTarget { .. })), "{bad:?}");
    let unknown = soon(client().connect("host.invalid:4433", anyone())).await;
    assert!(matches!(unknown, Err(ConnectError::Unresolvable { .. })), "{unknown:?}");
}

#[tokio::test]
async fn the_application_sees_credentials_and_may_refuse() {
    let listener = listen(Endpoint::builder(identity()).authorize(|request| async move {
        match &request.credentials[..] {
            b"open sesame" => Ok(()),
            _ => Err(format!("{} does not open", request.credentials.len())),
        }
    }));
    let addr = listener.local_addr().unwrap();
    let endpoint = client();
    let dial = endpoint.connect(addr, trust(&listener)).credentials("open barley");
    assert_eq!(refused(dial).await, (CloseCode::Unauthorized, "11 does not open".to_owned(), false));

    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let renewed = Credentials::renewed_by(move || {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok(Bytes::from_static(b"open sesame")) }
    });
    let dial = endpoint.connect(addr, trust(&listener)).credentials(renewed);
    let accepting = async {
        let incoming = listener.accept().await.unwrap();
        assert_eq!(incoming.credentials(), "open sesame");
        incoming.accept().await.unwrap()
    };
    let (dialed, _accepted) = soon(async { tokio::join!(dial.into_future(), accepting) }).await;
    dialed.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let too_many = endpoint.connect(addr, trust(&listener)).credentials(vec![0; 4097]);
    assert!(matches!(soon(too_many).await, Err(ConnectError::Config(_))));
}

#[tokio::test]
async fn an_incoming_session_is_refused_dropped_or_left_waiting() {
    let patient = Config::default().handshake_timeout(Duration::from_millis(300));
    let listener = listen(Endpoint::builder(identity()).config(patient));
    let addr = listener.local_addr().unwrap();
    let endpoint = client();
    let dial = || endpoint.connect(addr, trust(&listener));

    let deciding = async { listener.accept().await.unwrap().refuse("not you") };
    let (answer, ()) = tokio::join!(refused(dial()), deciding);
    assert_eq!(answer, (CloseCode::Unauthorized, "not you".to_owned(), false));

    let dropping = async { drop(listener.accept().await.unwrap()) };
    let (answer, ()) = tokio::join!(refused(dial()), dropping);
    assert_eq!((answer.0, answer.2), (CloseCode::Busy, true));

    let answer = refused(dial()).await;
    assert_eq!((answer.0, answer.2), (CloseCode::Busy, true));
    assert_eq!(listener.stats().refused, 3);
    assert_eq!((listener.stats().waiting, listener.stats().sessions), (0, 0));
}

#[tokio::test]
async fn dialers_get_in_when_it_is_crowded_and_no_more_than_may() {
    let narrow = Config::default().max_handshakes(3);
    let listener = listen(Endpoint::builder(identity()).config(narrow));
    let addr = listener.local_addr().unwrap();
    let endpoint = client();
    let dialing: Vec<_> =
        (0..3).map(|_| tokio::spawn(endpoint.connect(addr, trust(&listener)).into_future())).collect();
    soon(async {
        while listener.stats().waiting < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let (code, _, retry) = refused(endpoint.connect(addr, trust(&listener))).await;
    assert_eq!((code, retry), (CloseCode::Busy, true));
    for _ in 0..3 {
        drop(soon(soon(listener.accept()).await.unwrap().accept()).await.unwrap());
    }
    for dial in dialing {
        soon(dial).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn single_login_ends_the_older_session_of_the_same_identity() {
    let single = Config::default().one_session_per_identity(true);
    let listener = listen(Endpoint::builder(identity()).config(single));
    let dialer = client();
    let first = Pair::between(listener.clone(), dialer.clone()).await;
    let second = Pair::between(listener.clone(), dialer).await;
    assert_eq!(soon(first.dialed.closed()).await.code, CloseCode::Superseded);
    assert_eq!(soon(first.accepted.closed()).await.code, CloseCode::Superseded);
    assert_eq!(second.dialed.state(), bowline::SessionState::Connected);
}

#[tokio::test]
async fn a_dialer_that_gives_up_leaves_nothing_behind() {
    let listener = listen(Endpoint::builder(identity()));
    let endpoint = client();
    let dial = endpoint.connect(listener.local_addr().unwrap(), trust(&listener));
    assert!(tokio::time::timeout(Duration::from_millis(200), dial.into_future()).await.is_err());
    let incoming = soon(listener.accept()).await.unwrap();
    assert!(soon(incoming.accept()).await.is_err());
    soon(async {
        while endpoint.stats().sessions + listener.stats().sessions > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
