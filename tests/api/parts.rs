//! An endpoint whose sockets, runtime, clock and randomness are given to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bowline::endpoint::Parts;
use bowline::error::ConnectError;
use bowline::protocol::types::Event;
use bowline::{Endpoint, SocketFactory, SystemClock, UdpSockets};

use crate::support::{accept, event, identity, line, listen, meet, nimble, text, trust, within};

/// Counts the sockets it makes, and makes none while it is out of order.
#[derive(Debug)]
struct Factory {
    sockets: UdpSockets,
    made: AtomicUsize,
    broken: AtomicBool,
}

impl SocketFactory for Factory {
    fn bind(&self, local: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::NetworkDown, "no network here"));
        }
        self.made.fetch_add(1, Ordering::Relaxed);
        self.sockets.bind(local)
    }
}

fn client() -> (Endpoint, Arc<Factory>) {
    let runtime = quinn::default_runtime().expect("a test runs in tokio");
    let factory = Arc::new(Factory {
        sockets: UdpSockets::new(runtime.clone()),
        made: AtomicUsize::new(0),
        broken: AtomicBool::new(false),
    });
    let parts = Parts {
        sockets: factory.clone(),
        runtime,
        clock: Arc::new(SystemClock),
        seed: [7; 32],
        identity: identity(),
        config: nimble(),
    };
    (Endpoint::with_parts(parts).client().unwrap(), factory)
}

#[tokio::test]
async fn every_dial_has_a_socket_of_its_own() {
    let ((client, factory), server) = (client(), listen(nimble()));
    assert_eq!(factory.made.load(Ordering::Relaxed), 0, "who only dials needs none before");
    let (first, _first_peer) = meet(&client, &server).await;
    let (_second, _second_peer) = meet(&client, &server).await;
    assert_eq!(factory.made.load(Ordering::Relaxed), 2);
    let mut events = first.events();
    first.network_changed();
    event(&mut events, "Resumed", |it| matches!(it, Event::Resumed { .. })).await;
    // One for another connection, and one for the old one, which may have lost its own.
    assert_eq!(factory.made.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn the_seed_decides_what_a_session_is_called() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        // Another acceptor each time: the first one would know the session by its name.
        let ((client, _), server) = (client(), listen(nimble()));
        let (session, _accepted) = meet(&client, &server).await;
        ids.push(session.id());
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_network_that_is_down_fails_the_first_dial_and_not_a_session() {
    let ((client, factory), server) = (client(), listen(nimble()));
    let addr = server.local_addr().unwrap();
    factory.broken.store(true, Ordering::Relaxed);
    let error = within("the failure", client.connect(addr, trust(&server))).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Socket { addr: it, .. } if *it == addr), "{error:?}");
    assert!(error.to_string().contains("no network here"), "{error}");

    factory.broken.store(false, Ordering::Relaxed);
    let dial = within("a session", client.connect(addr, trust(&server)));
    let (dialed, accepted) = tokio::join!(dial, accept(&server));
    let dialed = dialed.unwrap();
    let mut line = line(&dialed, &accepted, "offline").await;
    let mut events = dialed.events();
    factory.broken.store(true, Ordering::Relaxed);
    dialed.network_changed();
    event(&mut events, "an attempt", |it| matches!(it, Event::Reconnecting { attempt: 1, .. })).await;
    // The old connection is still good, which its answers show: nothing else is needed.
    drop(line.out.send("the old way").await.unwrap());
    assert_eq!(text(&mut line.peer).await, "the old way");
    event(&mut events, "Recovered", |it| *it == Event::Recovered).await;
    assert_eq!(dialed.stats().attaches, 1);
    factory.broken.store(false, Ordering::Relaxed);
    dialed.network_changed();
    event(&mut events, "Resumed", |it| matches!(it, Event::Resumed { .. })).await;
}
