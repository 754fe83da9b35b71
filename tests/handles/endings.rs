//! How sessions and endpoints end, and that both sides know.

use std::time::Duration;

use bowline::{CloseCode, DeliveryError, Event, SendError, SessionState, Side};

use super::*;

#[tokio::test]
async fn an_orderly_close_delivers_what_was_accepted_and_both_sides_know() {
    let pair = Pair::new().await;
    let ((sender, _inbox), (_other, mut inbox)) = pair.channel("close").await;
    let mut events = pair.accepted.events();
    let receipt = sender.send("last words").await.unwrap();
    let closing = tokio::spawn({
        let session = pair.dialed.clone();
        async move { session.close_with("done", PATIENCE).await }
    });
    assert_eq!(soon(inbox.recv()).await.unwrap().into_payload(), "last words");
    soon(receipt).await.unwrap();
    let here = soon(closing).await.unwrap();
    let there = soon(pair.accepted.closed()).await;
    assert_eq!((here.code, here.side, here.clean), (CloseCode::Normal, Side::Local, true));
    assert_eq!((there.code, there.side, there.clean), (CloseCode::Normal, Side::Remote, true));
    assert_eq!(there.reason, "done");
    assert!(matches!(sender.send("more").await, Err(SendError::Closed(_))));
    assert!(soon(inbox.recv()).await.is_none());
    assert_eq!(soon(events.next()).await, Some(Event::Closed(there.clone())));
    assert_eq!(soon(events.next()).await, None);
    assert_eq!(pair.accepted.state(), SessionState::Closed(there));
}

#[tokio::test]
async fn what_was_not_handled_in_time_ends_as_unknown() {
    let pair = Pair::new().await;
    let ((sender, _inbox), (_other, _untaken)) = pair.channel("unknown").await;
    let receipt = sender.send("nobody takes this").await.unwrap();
    soon(receipt.received()).await.unwrap();
    let reason = soon(pair.dialed.close_with("", Duration::from_millis(50))).await;
    assert!(!reason.clean);
    assert_eq!(soon(receipt).await, Err(DeliveryError::Unknown));
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_session() {
    let Pair { listener: _listener, dialer: _dialer, accepted, dialed } = Pair::new().await;
    let (channel, inbox) = dialed.open("held", ordered()).await.unwrap();
    drop(dialed);
    drop(channel);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(accepted.state(), SessionState::Connected);
    drop(inbox);
    assert_eq!(soon(accepted.closed()).await.code, CloseCode::Dropped);
}

#[tokio::test]
async fn an_endpoint_that_closes_ends_its_sessions_and_takes_no_more() {
    let pair = Pair::new().await;
    let waiting = tokio::spawn({
        let listener = pair.listener.clone();
        async move { listener.accept().await.is_none() }
    });
    soon(pair.listener.close("maintenance", Duration::ZERO)).await;
    assert!(soon(waiting).await.unwrap());
    let reason = soon(pair.dialed.closed()).await;
    assert_eq!((reason.code, reason.reason.as_str()), (CloseCode::Normal, "maintenance"));
    assert_eq!(pair.listener.stats().sessions, 0);
}

#[tokio::test]
async fn sessions_outlive_the_handle_of_their_endpoint() {
    let Pair { listener, dialer, accepted, dialed } = Pair::new().await;
    drop((listener, dialer));
    let (sender, _inbox) = dialed.open("orphans", ordered()).await.unwrap();
    let (_other, mut inbox) = accepted.open("orphans", ordered()).await.unwrap();
    let receipt = sender.send("still here").await.unwrap();
    assert_eq!(soon(inbox.recv()).await.unwrap().into_payload(), "still here");
    soon(receipt).await.unwrap();
}
