//! Figures and events.

use std::time::Duration;

use bowline::protocol::types::{Event, SessionState};
use bowline::stats::{PathLiveness, ProcessLiveness};

use crate::relay::{Relay, Way};
use crate::support::{dialer, event, line, listen, meet, meet_at, nimble, pair, text, until, within};

#[tokio::test]
async fn an_endpoint_counts_its_sessions() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    assert_eq!(server.stats(), bowline::stats::EndpointStats::default());
    let connect = client.connect(server.local_addr().unwrap(), crate::support::trust(&server));
    let dialing = tokio::spawn(async move { connect.await });
    let incoming = within("a dialer", server.accept()).await.unwrap();
    let stats = server.stats();
    assert_eq!((stats.sessions, stats.handshakes, stats.waiting), (0, 1, 1));
    let accepted = within("a session", incoming.accept()).await.unwrap();
    let dialed = within("a session", dialing).await.unwrap().unwrap();
    let other = meet(&client, &server).await;
    for endpoint in [&client, &server] {
        let stats = endpoint.stats();
        assert_eq!((stats.sessions, stats.attached, stats.handshakes, stats.waiting), (2, 2, 0, 0));
    }
    within("a close", dialed.close()).await;
    within("its other end", accepted.closed()).await;
    assert_eq!((client.stats().sessions, server.stats().sessions), (1, 1));
    drop(other);
    until("the end of the other", || client.stats().sessions + server.stats().sessions == 0).await;
}

#[tokio::test]
async fn a_channel_counts_its_messages_at_both_ends() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "counted").await;
    let mut receipts = Vec::new();
    for _ in 0..10 {
        receipts.push(line.out.send(vec![1; 100]).await.unwrap());
    }
    for receipt in &receipts {
        within("received", receipt.received()).await.unwrap();
    }
    let (here, there) = (line.out.stats(), line.peer_out.stats());
    assert_eq!((here.accepted, here.outbox_messages, here.outbox_bytes), (10, 10, 1000));
    assert_eq!((there.received, there.inbox_messages, there.inbox_bytes), (10, 10, 1000));
    assert_eq!((there.delivered, there.accepted), (0, 0));
    for _ in 0..8 {
        within("a message", line.peer.recv()).await.unwrap();
    }
    within("a message", line.peer.recv_unacked()).await.unwrap().reject("no");
    let held = within("a message", line.peer.recv_unacked()).await.unwrap();
    for receipt in &receipts[..9] {
        within("an outcome", receipt.outcome()).await;
    }
    let (here, there) = (line.out.stats(), line.peer_out.stats());
    assert_eq!((here.handled, here.rejected, here.unknown, here.replayed), (8, 1, 0, 0));
    assert_eq!((here.outbox_messages, here.outbox_bytes), (1, 100));
    assert_eq!((there.delivered, there.duplicates), (10, 0));
    assert_eq!((there.inbox_messages, there.inbox_bytes), (1, 100), "what the application holds counts");
    held.ack();
}

#[tokio::test]
async fn the_figures_of_a_channel_outlive_it() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "short").await;
    let receipt = line.out.send("a").await.unwrap();
    assert_eq!(text(&mut line.peer).await, "a");
    within("handled", receipt).await.unwrap();
    line.out.finish();
    line.peer_out.finish();
    until("no channel", || pair.dialed.stats().channels + pair.accepted.stats().channels == 0).await;
    let (here, there) = (line.out.stats(), line.peer_out.stats());
    assert_eq!((here.accepted, here.handled, here.outbox_messages), (1, 1, 0));
    assert_eq!((there.received, there.delivered, there.accepted), (1, 1, 0));
}

#[tokio::test]
async fn a_session_counts_its_connections_and_what_it_sent_again() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let relay = Relay::to(server.local_addr().unwrap());
    let (dialed, accepted) = meet_at(&client, &server, relay.addr()).await;
    let mut line = line(&dialed, &accepted, "again").await;
    let first = line.out.send("first").await.unwrap();
    assert_eq!(text(&mut line.peer).await, "first");
    within("handled", first).await.unwrap();
    let stats = dialed.stats();
    assert_eq!((stats.attaches, stats.resumes, stats.resets, stats.channels), (1, 0, 0, 1));
    assert_eq!(stats.heartbeat.interval, Duration::from_secs(2));
    assert_eq!((stats.liveness.path, stats.liveness.process), (PathLiveness::Alive, ProcessLiveness::Alive));

    let mut events = dialed.events();
    relay.cut(Way::Both);
    for _ in 0..5 {
        drop(line.out.send("lost at first").await.unwrap());
    }
    assert_eq!(dialed.stats().unresolved, 5);
    until("all given to the network", || line.out.stats().outbox_delay.is_zero()).await;
    let dropped = relay.counts().dropped;
    within("a loss", relay.until(|counts| counts.dropped > dropped)).await;
    dialed.network_changed();
    let resumed = event(&mut events, "Resumed", |it| matches!(it, Event::Resumed { .. })).await;
    for _ in 0..5 {
        assert_eq!(text(&mut line.peer).await, "lost at first");
    }
    assert_eq!(resumed, Event::Resumed { replayed: 5 });
    until("all outcomes", || dialed.stats().unresolved == 0).await;
    let stats = dialed.stats();
    assert_eq!((stats.attaches, stats.resumes, accepted.stats().resumes), (2, 1, 1));
    assert!(stats.rtt < Duration::from_secs(10));
    assert_eq!((line.out.stats().replayed, line.out.stats().handled), (5, 6));
    assert_eq!((stats.total.replayed, stats.total.handled, accepted.stats().total.delivered), (5, 6, 6));
}

#[tokio::test]
async fn a_subscriber_that_is_too_slow_is_told_how_much_it_missed() {
    let pair = pair().await;
    let (mut slow, mut counting) = (pair.dialed.events(), pair.dialed.events());
    let counted = tokio::spawn(async move {
        let mut count = 0u64;
        while counting.next().await.is_some() {
            count += 1;
        }
        count
    });
    for turn in 1..=100 {
        let mut events = pair.dialed.events();
        pair.dialed.network_changed();
        event(&mut events, "Resumed", |it| matches!(it, Event::Resumed { .. })).await;
        assert_eq!(pair.dialed.stats().resumes, turn);
    }
    within("the close", pair.dialed.close()).await;
    let all = within("the end of the events", counted).await.unwrap();
    let Some(Event::Lagged { missed }) = slow.next().await else { panic!("nothing was missed") };
    let mut rest = Vec::new();
    while let Some(event) = slow.next().await {
        rest.push(event);
    }
    println!("{all} events, {missed} missed");
    assert_eq!(missed + rest.len() as u64, all);
    assert!(matches!(rest.last(), Some(Event::Closed(_))), "the latest are kept");
    assert!(matches!(pair.dialed.state(), SessionState::Closed(_)));
    assert_eq!(pair.dialed.events().next().await, None, "a subscriber after the end gets nothing");
}
