//! Peers whose QUIC is not what Bowline needs (W3).

use bowline::wire::Control;
use bowline::{CloseCode, Config, ConnectError, Endpoint, Trust};
use quinn::{ConnectionError, TransportConfig};

use crate::host::{Bystander, Host, identity};
use crate::raw::{Claim, Face, Link, Listener, connect};
use crate::soon;

fn without_datagrams() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.datagram_receive_buffer_size(None);
    transport
}

#[tokio::test]
async fn an_acceptor_refuses_a_dialer_without_datagrams() {
    let mut host = Host::new();
    let dialer = identity();
    let face = Face { transport: without_datagrams(), ..Face::of(&dialer) };
    let mut link = Link::dial(host.address, face).await;
    let hello = Claim::new(1).hello(&link);
    link.say(&Control::Hello(Box::new(hello))).await;
    let (code, reason) = link.end().await;
    assert_eq!(code, u64::from(CloseCode::NoDatagrams.value()));
    assert!(reason.contains("DATAGRAM"), "{reason}");
    assert!(host.has_no_more() && host.endpoint.stats().sessions == 0);
}

#[tokio::test]
async fn a_dialer_refuses_an_acceptor_without_datagrams() {
    let key = identity();
    let face = Face { transport: without_datagrams(), ..Face::of(&key) };
    let listener = Listener::with(face);
    let endpoint = Endpoint::client(identity(), Config::default()).unwrap();
    let dial = endpoint.connect(listener.address, Trust::fingerprint(key.fingerprint()));
    let (result, connection) = tokio::join!(soon(dial), listener.accept_connection());
    assert!(matches!(result, Err(ConnectError::NoDatagrams { addr }) if addr == listener.address));
    match soon(connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => assert_eq!(close.error_code, 8u32.into()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn whoever_speaks_another_protocol_is_turned_away_by_both_sides() {
    let mut host = Host::new();
    let bystander = Bystander::of(&mut host).await;
    let dialer = identity();
    let face = Face { alpn: b"bowline/2", ..Face::of(&dialer) };
    let (_endpoint, connection) = connect(host.address, face).await;
    let error = connection.unwrap_err().to_string();
    assert!(error.contains("error 120"), "not the alert no_application_protocol: {error}");
    bystander.is_unharmed().await;

    let key = identity();
    let listener = Listener::with(Face { alpn: b"h3", ..Face::of(&key) });
    let endpoint = Endpoint::client(identity(), Config::default()).unwrap();
    let dial = soon(endpoint.connect(listener.address, Trust::fingerprint(key.fingerprint())));
    let (result, _) = tokio::join!(dial, listener.refuse_one());
    assert!(matches!(result, Err(ConnectError::WrongProtocol { addr }) if addr == listener.address));
}
