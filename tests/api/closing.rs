//! How sessions end.

use std::time::Duration;

use bowline::error::{CloseCode, CloseReason, Outcome, SendError, Side};
use bowline::protocol::machine::InboxEnd;
use bowline::protocol::types::{Event, SessionState};

use crate::relay::{Relay, Way};
use crate::support::{dialer, event, line, listen, meet, meet_at, nimble, pair, text, until, within};

#[tokio::test]
async fn an_orderly_close_first_delivers_everything_that_was_accepted() {
    const COUNT: usize = 5000;
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "farewell").await;
    let mut receipts = Vec::new();
    for number in 0..COUNT {
        receipts.push(line.out.try_send(number.to_string()).unwrap());
    }
    let session = pair.dialed.clone();
    let closing =
        tokio::spawn(async move { session.close_with("good night", Duration::from_secs(40)).await });
    until("closing", || pair.dialed.state() == SessionState::Closing).await;
    assert!(matches!(line.out.try_send("too late"), Err(SendError::Closed(_))));
    for number in 0..COUNT {
        assert_eq!(text(&mut line.peer).await, number.to_string());
    }
    let reason = within("the close", closing).await.unwrap();
    assert_eq!((reason.code, reason.side, reason.clean), (CloseCode::Normal, Side::Local, true));
    for receipt in receipts {
        assert_eq!(receipt.outcome().await, Outcome::Handled);
    }
    let told = within("the peer's end", pair.accepted.closed()).await;
    let expected = CloseReason {
        code: CloseCode::Normal,
        side: Side::Remote,
        clean: true,
        retry: false,
        reason: "good night".to_owned(),
    };
    assert_eq!(told, expected);
    assert_eq!(told.to_string(), "closed by the peer: Normal (good night)");
    assert_eq!(line.peer.recv().await, None);
    assert_eq!(line.peer.end(), Some(InboxEnd::Closed(expected.clone())));
    assert!(
        matches!(line.peer_out.send("after").await, Err(SendError::Closed(reason)) if reason == expected)
    );
}

#[tokio::test]
async fn the_accepting_side_can_close_too() {
    let pair = pair().await;
    let mut events = pair.dialed.events();
    let reason = within("the close", pair.accepted.close_with("closing time", Duration::from_secs(5))).await;
    assert!(reason.clean && reason.side == Side::Local);
    let told = within("the dialer's end", pair.dialed.closed()).await;
    assert_eq!((told.code, told.side, told.clean), (CloseCode::Normal, Side::Remote, true));
    event(&mut events, "Closed", |it| matches!(it, Event::Closed(_))).await;
    assert_eq!(within("the end of the events", events.next()).await, None);
}

#[tokio::test]
async fn a_close_without_drain_leaves_the_untaken_unknown() {
    let pair = pair().await;
    let line = line(&pair.dialed, &pair.accepted, "hurry").await;
    let receipts: Vec<_> = (0..100).map(|_| line.out.try_send("untaken").unwrap()).collect();
    within("received", receipts[99].received()).await.unwrap();
    let reason = within("the close", pair.dialed.close_with("", Duration::ZERO)).await;
    assert_eq!((reason.code, reason.clean), (CloseCode::Normal, false));
    for receipt in receipts {
        assert_eq!(receipt.outcome().await, Outcome::Unknown);
    }
    assert_eq!(within("the peer's end", pair.accepted.closed()).await.code, CloseCode::Normal);
}

#[tokio::test]
async fn a_second_close_can_only_hurry_the_first() {
    let pair = pair().await;
    let line = line(&pair.dialed, &pair.accepted, "slow").await;
    drop(line.out.send("untaken").await.unwrap());
    let session = pair.dialed.clone();
    let first = tokio::spawn(async move { session.close_with("first", Duration::from_secs(3600)).await });
    until("closing", || pair.dialed.state() == SessionState::Closing).await;
    let second = within("the close", pair.dialed.close_with("second", Duration::ZERO)).await;
    let first = within("the close", first).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(first.reason, "first");
}

#[tokio::test]
async fn two_closes_that_cross_both_end_well() {
    for _ in 0..3 {
        let pair = pair().await;
        let (one, other) = tokio::join!(pair.dialed.close(), pair.accepted.close());
        assert_eq!((one.code, other.code), (CloseCode::Normal, CloseCode::Normal));
    }
}

#[tokio::test]
async fn a_close_without_a_network_reconnects_while_there_is_time() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let relay = Relay::to(server.local_addr().unwrap());
    let (dialed, accepted) = meet_at(&client, &server, relay.addr()).await;
    let mut line = line(&dialed, &accepted, "flaky").await;
    let mut events = dialed.events();
    relay.block(Some(Way::Both));
    dialed.network_changed();
    let receipt = line.out.send("just in time").await.unwrap();
    let session = dialed.clone();
    let closing = tokio::spawn(async move { session.close_with("", Duration::from_secs(40)).await });
    event(&mut events, "a second attempt", |it| matches!(it, Event::Reconnecting { attempt: 2, .. })).await;
    relay.block(None);
    assert_eq!(text(&mut line.peer).await, "just in time");
    assert_eq!(within("handled", receipt.outcome()).await, Outcome::Handled);
    let reason = within("the close", closing).await.unwrap();
    assert_eq!((reason.code, reason.clean), (CloseCode::Normal, true));
    assert!(within("the peer's end", accepted.closed()).await.clean);
}

#[tokio::test]
async fn a_close_without_a_network_gives_up_when_its_time_is_over_and_never_dials_again() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let relay = Relay::to(server.local_addr().unwrap());
    let (dialed, accepted) = meet_at(&client, &server, relay.addr()).await;
    let line = line(&dialed, &accepted, "gone").await;
    relay.block(Some(Way::Both));
    dialed.network_changed();
    let receipt = line.out.send("never arrives").await.unwrap();
    let reason = within("the close", dialed.close_with("bye", Duration::from_secs(1))).await;
    assert_eq!((reason.code, reason.side, reason.clean), (CloseCode::Normal, Side::Local, false));
    assert_eq!(receipt.outcome().await, Outcome::Unknown);
    // What is still on its way out of the old sockets may end; no new one appears.
    let flows = relay.counts().flows;
    relay.block(None);
    dialed.reconnect();
    dialed.network_changed();
    relay.until_quiet_for(Duration::from_millis(1500)).await;
    assert_eq!(relay.counts().flows, flows);
    assert!(matches!(dialed.state(), SessionState::Closed(_)));
}

#[tokio::test]
async fn dropping_every_handle_ends_the_session_as_dropped() {
    let pair = pair().await;
    let mut events = pair.dialed.events();
    let line = line(&pair.dialed, &pair.accepted, "handles").await;
    let receipt = line.out.send("untaken").await.unwrap();
    drop(pair.dialed);
    drop(line.out);
    drop(line.back);
    // A receipt is a handle too.
    assert_eq!(pair.accepted.state(), SessionState::Connected);
    within("received", receipt.received()).await.unwrap();
    drop(receipt);
    let reason = within("the peer's end", pair.accepted.closed()).await;
    assert_eq!((reason.code, reason.side), (CloseCode::Dropped, Side::Remote));
    event(&mut events, "Closed", |it| matches!(it, Event::Closed(_))).await;
}

#[tokio::test]
async fn closing_an_endpoint_ends_all_its_sessions_and_takes_no_more() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(meet(&client, &server).await);
    }
    let addr = server.local_addr().unwrap();
    let waiting = tokio::spawn({
        let server = server.clone();
        async move { server.accept().await.is_none() }
    });
    within("the endpoint's close", server.close("maintenance", Duration::from_secs(5))).await;
    assert!(within("the end of accept", waiting).await.unwrap(), "accept yields nothing any more");
    for (dialed, accepted) in sessions {
        let (here, there) = (within("the end", dialed.closed()).await, accepted.closed().await);
        assert_eq!((here.code, here.side, &*here.reason), (CloseCode::Normal, Side::Remote, "maintenance"));
        assert_eq!((there.side, there.clean), (Side::Local, true));
    }
    assert_eq!(server.stats().sessions, 0);
    let refused = server.connect(addr, crate::support::trust(&server)).await.unwrap_err();
    assert_eq!(refused.to_string(), "the endpoint is closed: bind another");
}

#[tokio::test]
async fn sessions_outlive_the_handles_of_their_endpoints() {
    let pair = pair().await;
    drop((pair.client, pair.server));
    let mut line = line(&pair.dialed, &pair.accepted, "orphans").await;
    drop(line.out.send("still here").await.unwrap());
    assert_eq!(text(&mut line.peer).await, "still here");
    let mut events = pair.dialed.events();
    pair.dialed.network_changed();
    event(&mut events, "Resumed", |it| matches!(it, Event::Resumed { .. })).await;
    drop(line.peer_out.send("and after a new connection").await.unwrap());
    assert_eq!(text(&mut line.back).await, "and after a new connection");
}
