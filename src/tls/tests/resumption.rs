//! Handshakes without a network, which let a test see whether they were resumed.

use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection,
};

use super::{ALPN, NAME, identity};
use crate::tls::{ClientAuth, Trust, client_config, server_config};

/// What the client has to say, to the server.
fn speak(client: &mut ClientConnection, server: &mut ServerConnection) {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    let mut unread = bytes.as_slice();
    while !unread.is_empty() {
        server.read_tls(&mut unread).unwrap();
        server.process_new_packets().unwrap();
    }
}

/// What the server has to say, to the client, until the client objects.
fn answer(server: &mut ServerConnection, client: &mut ClientConnection) -> Result<(), rustls::Error> {
    let mut bytes = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut bytes).unwrap();
    }
    let mut unread = bytes.as_slice();
    while !unread.is_empty() {
        client.read_tls(&mut unread).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

fn pair(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> (ClientConnection, ServerConnection) {
    let client = ClientConnection::new(client.clone(), NAME.try_into().unwrap()).unwrap();
    (client, ServerConnection::new(server.clone()).unwrap())
}

#[test]
fn a_second_handshake_is_resumed_with_the_same_identities_and_without_early_data() {
    let (us, them) = (identity(), identity());
    let trust = Trust::fingerprint(them.fingerprint());
    let client = Arc::new(client_config(&us, &trust, ALPN).unwrap().0);
    let server = Arc::new(server_config(&them, &ClientAuth::Required, ALPN).unwrap());
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let (mut dialed, mut accepted) = pair(&client, &server);
        assert!(dialed.early_data().is_none());
        while dialed.wants_write() || accepted.wants_write() {
            speak(&mut dialed, &mut accepted);
            answer(&mut accepted, &mut dialed).unwrap();
        }
        assert_eq!(dialed.handshake_kind(), Some(expected));
        assert_eq!(accepted.handshake_kind(), Some(expected));
        assert_eq!(dialed.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(accepted.peer_certificates(), Some(us.certified().cert.as_slice()));
        assert_eq!(dialed.peer_certificates(), Some(them.certified().cert.as_slice()));
    }

    // Another configuration starts over even from the same store, so a narrower trust is not bypassed.
    let narrower = Trust::fingerprint(us.fingerprint());
    let mut other = client_config(&us, &narrower, ALPN).unwrap().0;
    other.resumption = client.resumption.clone();
    let (mut dialed, mut accepted) = pair(&Arc::new(other), &server);
    speak(&mut dialed, &mut accepted);
    let error = answer(&mut accepted, &mut dialed).unwrap_err().to_string();
    assert!(error.contains(&them.fingerprint().to_string()), "{error}");
}
