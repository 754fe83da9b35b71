//! What is noticed when a path, a process or a service falls silent.

use bowline::config::ReconnectPolicy;
use bowline::protocol::types::{Event, SessionState};
use bowline::stats::{PathLiveness, ProcessLiveness};
use bowline::wire::Health;

use crate::relay::{Relay, Way};
use crate::support::{
    Process, accept, dialer, event, line, listen, meet_at, nimble, pair, text, trust, until, within,
};

#[tokio::test]
async fn a_service_that_takes_nothing_is_stalled_until_it_takes() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "stall").await;
    let (mut events, mut at_peer) = (pair.dialed.events(), pair.accepted.events());
    let receipt = line.out.send("untaken").await.unwrap();
    event(&mut events, "Stalled", |it| *it == Event::Service(Health::Stalled)).await;
    let liveness = pair.dialed.stats().liveness;
    assert_eq!(
        (liveness.path, liveness.process, liveness.service),
        (PathLiveness::Alive, ProcessLiveness::Alive, Health::Stalled),
        "connected all the same"
    );
    assert_eq!(pair.dialed.state(), SessionState::Connected);
    assert_eq!(text(&mut line.peer).await, "untaken");
    event(&mut events, "Serving", |it| *it == Event::Service(Health::Serving)).await;
    within("handled", receipt).await.unwrap();
    assert_eq!(pair.dialed.stats().liveness.service, Health::Serving);
    drop(line.peer_out.send("the other direction is not concerned").await.unwrap());
    assert!(within("a message", line.back.recv()).await.is_some());
    pair.dialed.close().await;
    while let Some(event) = within("the end of the events", at_peer.next()).await {
        assert!(!matches!(event, Event::Service(Health::Stalled)), "the dialer was taken for stalled");
    }
}

#[tokio::test]
async fn an_application_says_itself_that_it_is_busy() {
    let pair = pair().await;
    let mut events = pair.dialed.events();
    pair.accepted.set_health(Health::Busy);
    event(&mut events, "Busy", |it| *it == Event::Service(Health::Busy)).await;
    pair.accepted.set_health(Health::Serving);
    event(&mut events, "Serving", |it| *it == Event::Service(Health::Serving)).await;
}

#[tokio::test]
async fn a_black_hole_is_suspected_then_dialed_around_and_both_sides_know() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let relay = Relay::to(server.local_addr().unwrap());
    let (dialed, accepted) = meet_at(&client, &server, relay.addr()).await;
    let mut line = line(&dialed, &accepted, "hole").await;
    let (mut here, mut there) = (dialed.events(), accepted.events());
    drop(line.out.send("before").await.unwrap());
    assert_eq!(text(&mut line.peer).await, "before");
    // Only a beat promises when the next one comes.
    until("the first beat", || accepted.stats().beats_received > 0).await;
    relay.block(Some(Way::Both));
    let receipt = line.out.send("through the hole").await.unwrap();
    event(&mut here, "Suspect", |it| *it == Event::Suspect).await;
    assert_eq!(dialed.stats().liveness.path, PathLiveness::Suspect);
    event(&mut here, "Reconnecting", |it| matches!(it, Event::Reconnecting { attempt: 1, .. })).await;
    assert_eq!(dialed.state(), SessionState::Detached);
    event(&mut here, "another attempt", |it| matches!(it, Event::Reconnecting { attempt: 2, .. })).await;
    assert_eq!(dialed.stats().liveness.process, ProcessLiveness::Unreachable);
    event(&mut there, "PeerOffline", |it| matches!(it, Event::PeerOffline { pending: 0 })).await;
    relay.block(None);
    event(&mut here, "Resumed", |it| matches!(it, Event::Resumed { .. } | Event::Recovered)).await;
    assert_eq!(text(&mut line.peer).await, "through the hole");
    within("handled", receipt).await.unwrap();
    assert_eq!(dialed.state(), SessionState::Connected);
    let liveness = dialed.stats().liveness;
    assert_eq!((liveness.path, liveness.process), (PathLiveness::Alive, ProcessLiveness::Alive));
    assert_eq!(accepted.stats().liveness.path, PathLiveness::Alive);
}

#[tokio::test]
async fn a_short_silence_is_suspected_and_forgiven_without_a_new_connection() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let relay = Relay::to(server.local_addr().unwrap());
    let (dialed, _accepted) = meet_at(&client, &server, relay.addr()).await;
    let mut events = dialed.events();
    relay.block(Some(Way::Both));
    event(&mut events, "Suspect", |it| *it == Event::Suspect).await;
    relay.block(None);
    event(&mut events, "Recovered", |it| *it == Event::Recovered).await;
    assert_eq!((dialed.stats().attaches, relay.counts().flows), (1, 1));
    assert_eq!(dialed.stats().liveness.path, PathLiveness::Alive);
}

#[tokio::test]
async fn a_dialer_that_is_gone_is_offline_to_its_acceptor_with_what_waits_for_it() {
    let server = listen(nimble());
    let (addr, trust) = (server.local_addr().unwrap(), trust(&server));
    let process = Process::start();
    let dial = process.run(async move {
        let client = dialer(nimble().reconnect(ReconnectPolicy::Standard));
        let session = client.connect(addr, trust).await.unwrap();
        (client, session)
    });
    let (_gone, accepted) = tokio::join!(dial, accept(&server));
    let mut events = accepted.events();
    let (out, _back) = accepted.open("orders", crate::support::ordered()).await.unwrap();
    until("the first beat", || accepted.stats().beats_received > 0).await;
    process.kill().await;
    for _ in 0..3 {
        drop(out.send("for later").await.unwrap());
    }
    event(&mut events, "PeerOffline", |it| *it == Event::PeerOffline { pending: 3 }).await;
    let liveness = accepted.stats().liveness;
    assert_eq!(liveness.process, ProcessLiveness::Unreachable);
    assert_ne!(liveness.path, PathLiveness::Alive);
}
