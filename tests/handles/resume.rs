//! Sessions outlive their connections.

use std::time::Duration;

use bowline::{Event, ReconnectPolicy, SessionState};

use super::relay::Relay;
use super::*;

struct Relayed {
    relay: Relay,
    pair: Pair,
}

async fn relayed() -> Relayed {
    let quick = || Config::default().heartbeat(Duration::from_secs(2)).reconnect(ReconnectPolicy::Responsive);
    let listener = listen(Endpoint::builder(identity()).config(quick()));
    let relay = Relay::to(listener.local_addr().unwrap()).await;
    let dialer = Endpoint::client(identity(), quick()).unwrap();
    let dialing = dialer.connect(relay.addr, trust(&listener));
    let accepting = async { listener.accept().await.unwrap().accept().await };
    let (dialed, accepted) = soon(async { tokio::join!(dialing.into_future(), accepting) }).await;
    let pair = Pair { accepted: accepted.unwrap(), dialed: dialed.unwrap(), listener, dialer };
    Relayed { relay, pair }
}

#[tokio::test]
async fn messages_on_their_way_survive_the_loss_of_the_connection() {
    let Relayed { relay, pair } = relayed().await;
    let ((sender, mut echoes), (echo, mut inbox)) = pair.channel("resume").await;
    let mut events = pair.dialed.events();
    drop(sender.send("0").await.unwrap());
    assert_eq!(soon(inbox.recv()).await.unwrap().into_payload(), "0");
    relay.cut();
    let mut receipts = Vec::new();
    for number in 1..200u32 {
        receipts.push(sender.send(number.to_string()).await.unwrap());
        drop(echo.send(number.to_string()).await.unwrap());
    }
    for number in 1..200u32 {
        assert_eq!(soon(inbox.recv()).await.unwrap().into_payload(), number.to_string());
        assert_eq!(soon(echoes.recv()).await.unwrap().into_payload(), number.to_string());
    }
    for receipt in receipts {
        soon(receipt).await.unwrap();
    }
    assert!(relay.lost() > 0);
    assert_eq!((pair.dialed.stats().resumes, pair.dialed.stats().resets), (1, 0));
    assert_eq!(pair.listener.stats().sessions, 1);
    soon(async {
        loop {
            if let Event::Resumed { replayed } = events.next().await.unwrap() {
                break assert!(replayed > 0);
            }
        }
    })
    .await;
    assert!(soon(pair.dialed.close()).await.clean);
}

#[tokio::test]
async fn a_rebinding_is_survived_on_the_same_connection() {
    let Relayed { relay, pair } = relayed().await;
    let ((sender, _inbox), (_other, mut inbox)) = pair.channel("rebind").await;
    let mut events = pair.accepted.events();
    for round in 0..3 {
        let receipt = sender.send(round.to_string()).await.unwrap();
        assert_eq!(soon(inbox.recv()).await.unwrap().into_payload(), round.to_string());
        soon(receipt).await.unwrap();
        relay.rebind();
    }
    let event = soon(events.next()).await.unwrap();
    assert!(matches!(event, Event::PathChanged { .. }), "{event:?}");
    assert_eq!(pair.dialed.stats().attaches, 1);
}

#[tokio::test]
async fn a_backlog_drains_after_a_blackout() {
    let Relayed { relay, pair } = relayed().await;
    let ((sender, _inbox), (_other, mut inbox)) = pair.channel("blackout").await;
    relay.blackout(true);
    let receipt = {
        let mut last = None;
        for number in 0..500u32 {
            last = Some(sender.send(number.to_string()).await.unwrap());
        }
        last.unwrap()
    };
    tokio::time::sleep(Duration::from_secs(4)).await;
    relay.blackout(false);
    for number in 0..500u32 {
        assert_eq!(soon(inbox.recv()).await.unwrap().into_payload(), number.to_string());
    }
    soon(receipt).await.unwrap();
    assert_eq!(pair.dialed.state(), SessionState::Connected);
    assert!(relay.lost() > 0);
}
