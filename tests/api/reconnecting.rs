//! How a lost connection is dialed again.

use std::net::UdpSocket;
use std::time::Duration;

use bowline::config::ReconnectPolicy;
use bowline::error::{CloseCode, ConnectError, Outcome, Side};
use bowline::protocol::types::{Event, SessionState};

use crate::relay::{Relay, Way};
use crate::support::{
    dialer, event, line, listen, localhost, meet, meet_at, nimble, text, trust, until, within,
};

/// The waits of the standard policy, in seconds.
const STANDARD: [u64; 7] = [0, 2, 4, 8, 16, 32, 64];

#[tokio::test]
async fn the_standard_policy_gives_up_after_its_last_attempt_and_goes_on_when_asked() {
    let config = nimble().reconnect(ReconnectPolicy::Standard);
    let (client, server) = (dialer(config), listen(nimble()));
    let relay = Relay::to(server.local_addr().unwrap());
    let (dialed, accepted) = meet_at(&client, &server, relay.addr()).await;
    let mut line = line(&dialed, &accepted, "patience").await;
    let mut events = dialed.events();
    relay.block(Some(Way::Both));
    let receipt = line.out.send("kept all the while").await.unwrap();
    // Two minutes pass in no time: with nothing to do, the clock jumps to the next timer.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    dialed.network_changed();
    for (attempt, wait) in (1..).zip(STANDARD.map(Duration::from_secs)) {
        match events.next().await {
            Some(Event::Suspect) if attempt == 1 => {}
            Some(other) => check(&other, attempt, wait),
            None => panic!("the session ended"),
        }
        if attempt == 1 {
            let next = events.next().await.unwrap();
            check(&next, attempt, wait);
        }
    }
    while events.next().await != Some(Event::GaveUp) {}
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(126 * 3 / 4), "{took:?}");
    assert_eq!(dialed.state(), SessionState::Detached);
    tokio::time::resume();

    assert!(!matches!(receipt.progress(), bowline::protocol::types::Progress::Resolved(_)));
    relay.block(None);
    dialed.reconnect();
    event(&mut events, "Resumed", |it| matches!(it, Event::Resumed { .. })).await;
    assert_eq!(text(&mut line.peer).await, "kept all the while");
    assert_eq!(within("handled", receipt.outcome()).await, Outcome::Handled);
}

fn check(event: &Event, number: u32, wait: Duration) {
    match event {
        Event::Reconnecting { attempt, after } => {
            assert_eq!(*attempt, number);
            assert!(*after <= wait && *after >= wait * 3 / 4, "attempt {attempt} after {after:?}");
        }
        other => panic!("attempt {number}: {other:?}"),
    }
}

#[tokio::test]
async fn reconnect_does_nothing_while_connected_and_dials_at_once_when_detached() {
    let config = nimble().reconnect(ReconnectPolicy::Standard);
    let (client, server) = (dialer(config), listen(nimble()));
    let relay = Relay::to(server.local_addr().unwrap());
    let (dialed, accepted) = meet_at(&client, &server, relay.addr()).await;
    let mut line = line(&dialed, &accepted, "on request").await;
    let mut events = dialed.events();
    dialed.reconnect();
    accepted.reconnect();
    drop(line.out.send("no need").await.unwrap());
    assert_eq!(text(&mut line.peer).await, "no need");
    assert_eq!((dialed.stats().attaches, relay.counts().flows), (1, 1));

    relay.block(Some(Way::Both));
    dialed.network_changed();
    event(&mut events, "a long wait", |it| matches!(it, Event::Reconnecting { attempt: 3, .. })).await;
    relay.block(None);
    dialed.reconnect();
    let next = event(&mut events, "an attempt", |it| matches!(it, Event::Reconnecting { .. })).await;
    assert_eq!(next, Event::Reconnecting { attempt: 1, after: Duration::ZERO });
    event(&mut events, "Resumed", |it| matches!(it, Event::Resumed { .. })).await;
}

#[tokio::test]
async fn a_changed_network_costs_nothing_when_the_old_one_was_good() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let (dialed, accepted) = meet(&client, &server).await;
    let mut line = line(&dialed, &accepted, "roaming").await;
    for turn in 1..=20 {
        let mut events = dialed.events();
        let before = line.out.send(format!("before {turn}")).await.unwrap();
        dialed.network_changed();
        drop(line.out.send(format!("after {turn}")).await.unwrap());
        assert_eq!(text(&mut line.peer).await, format!("before {turn}"));
        assert_eq!(text(&mut line.peer).await, format!("after {turn}"));
        event(&mut events, "Resumed", |it| matches!(it, Event::Resumed { .. })).await;
        assert_eq!(within("handled", before.outcome()).await, Outcome::Handled);
    }
    assert_eq!((dialed.stats().attaches, accepted.stats().attaches), (21, 21));
    assert_eq!(dialed.state(), SessionState::Connected);
    accepted.network_changed();
    assert_eq!(accepted.state(), SessionState::Connected, "the accepting side cannot dial");
}

#[tokio::test]
async fn news_of_the_network_one_after_the_other_start_over_each_time() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let (dialed, accepted) = meet(&client, &server).await;
    let mut line = line(&dialed, &accepted, "flapping").await;
    for turn in 0..50 {
        dialed.network_changed();
        // At every stage of the attempt before.
        for _ in 0..turn {
            tokio::task::yield_now().await;
        }
    }
    let receipt = line.out.send("settled").await.unwrap();
    assert_eq!(text(&mut line.peer).await, "settled");
    assert_eq!(within("handled", receipt.outcome()).await, Outcome::Handled);
    until("a connection", || dialed.state() == SessionState::Connected).await;
}

#[tokio::test]
async fn a_session_without_a_connection_expires_at_both_ends() {
    let short = nimble().session_expiry(Duration::from_secs(2));
    let (client, server) = (dialer(short.clone()), listen(short));
    let relay = Relay::to(server.local_addr().unwrap());
    let (dialed, accepted) = meet_at(&client, &server, relay.addr()).await;
    let line = line(&dialed, &accepted, "forgotten").await;
    // Only a beat promises when the next one comes.
    until("the first beat", || accepted.stats().beats_received > 0).await;
    relay.block(Some(Way::Both));
    let receipt = line.out.send("never arrives").await.unwrap();
    let reason = within("the dialer's end", dialed.closed()).await;
    assert_eq!((reason.code, reason.side, reason.retry), (CloseCode::Expired, Side::Local, true));
    assert_eq!(receipt.outcome().await, Outcome::Unknown);
    // It was told nothing, and has a connection still; but nobody is heard on it.
    let reason = within("the acceptor's end", accepted.closed()).await;
    assert_eq!((reason.code, reason.side), (CloseCode::Expired, Side::Local));
}

#[tokio::test]
async fn a_first_dial_that_nobody_answers_says_so_after_ten_seconds() {
    let silent = UdpSocket::bind(localhost()).unwrap();
    let addr = silent.local_addr().unwrap();
    let (client, server) = (dialer(nimble()), listen(nimble()));
    tokio::time::pause();
    let error = client.connect(addr, trust(&server)).await.unwrap_err();
    match &error {
        ConnectError::Unreachable { addrs, waited } => {
            assert_eq!((&addrs[..], *waited), (&[addr][..], Duration::from_secs(10)));
        }
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().contains("is it listening there"), "{error}");
}
