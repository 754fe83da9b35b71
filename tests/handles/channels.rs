//! Channels: what is sent arrives, in order, and the receipts tell the truth.

use std::time::Duration;

use bowline::{DeliveryError, InboxEnd, MemoryStore, OpenError, Progress, SendError};
use bytes::Bytes;

use super::*;

#[tokio::test]
async fn messages_of_all_sizes_arrive_in_order_both_ways() {
    let pair = Pair::new().await;
    let ((one, mut one_inbox), (other, mut other_inbox)) = pair.channel("sizes").await;
    let sizes = [0, 1, 31, 32, 1200, 8191, 8192, 8193, 70_000, 1024 * 1024, 5];
    let payload = |at: usize, size: usize| Bytes::from(vec![at as u8; size]);
    for (at, size) in sizes.into_iter().enumerate() {
        drop(one.send(payload(at, size)).await.unwrap());
        drop(other.send(payload(at, size)).await.unwrap());
    }
    for inbox in [&mut one_inbox, &mut other_inbox] {
        for (at, size) in sizes.into_iter().enumerate() {
            let message = soon(inbox.recv()).await.unwrap();
            assert_eq!((message.id().sequence, message.payload()), (at as u64, &payload(at, size)));
        }
    }
}

#[tokio::test]
async fn receipts_resolve_when_the_application_takes_the_message_and_not_before() {
    let pair = Pair::new().await;
    let ((sender, _inbox), (_other, mut inbox)) = pair.channel("receipts").await;
    let receipts: Vec<_> = {
        let mut receipts = Vec::new();
        for number in 0..1000u32 {
            receipts.push(sender.send(number.to_string()).await.unwrap());
        }
        receipts
    };
    soon(receipts[999].received()).await.unwrap();
    assert_eq!(receipts[0].progress(), Progress::Received);
    for number in 0..1000u32 {
        assert_eq!(soon(inbox.recv()).await.unwrap().into_payload(), number.to_string());
    }
    for receipt in receipts {
        soon(receipt).await.unwrap();
    }
    assert_eq!(sender.stats().handled, 1000);
}

#[tokio::test]
async fn an_unacknowledged_message_comes_again_and_a_rejection_is_told() {
    let pair = Pair::new().await;
    let ((sender, _inbox), (_other, mut inbox)) = pair.channel("jobs").await;
    let first = sender.send("first").await.unwrap();
    let second = sender.send("second").await.unwrap();
    drop(soon(inbox.recv_unacked()).await.unwrap());
    let again = soon(inbox.recv_unacked()).await.unwrap();
    assert_eq!((again.payload().as_ref(), again.attempt()), (b"first".as_slice(), 2));
    again.ack();
    soon(first).await.unwrap();
    soon(inbox.recv_unacked()).await.unwrap().reject("no thanks");
    let rejected = DeliveryError::Rejected { reason: "no thanks".to_owned() };
    assert_eq!(soon(second).await, Err(rejected));
}

#[tokio::test]
async fn a_dropped_inbox_refuses_the_channel() {
    let pair = Pair::new().await;
    let ((sender, _inbox), (_other, inbox)) = pair.channel("refused").await;
    let receipt = sender.send("untaken").await.unwrap();
    soon(receipt.received()).await.unwrap();
    drop(inbox);
    let reason = "the receiver closed this channel".to_owned();
    assert_eq!(soon(receipt).await, Err(DeliveryError::Rejected { reason: reason.clone() }));
    assert_eq!(sender.send("too late").await.unwrap_err(), SendError::Refused { reason });
}

#[tokio::test]
async fn a_finished_channel_delivers_what_was_accepted_and_ends() {
    let pair = Pair::new().await;
    let ((sender, _inbox), (_other, mut inbox)) = pair.channel("finite").await;
    let receipt = sender.send("last").await.unwrap();
    sender.finish();
    assert_eq!(sender.send("more").await.unwrap_err(), SendError::Finished);
    assert_eq!(soon(inbox.recv()).await.unwrap().into_payload(), "last");
    assert!(soon(inbox.recv()).await.is_none());
    assert_eq!(inbox.end(), Some(InboxEnd::Finished));
    soon(receipt).await.unwrap();
}

#[tokio::test]
async fn a_full_outbox_makes_senders_wait_in_line() {
    let pair = Pair::new().await;
    let narrow = ordered().outbox(2, 1024 * 1024);
    let ((sender, _inbox), (_other, mut inbox)) = pair.channel_with("narrow", narrow, ordered()).await;
    drop(sender.send("0").await.unwrap());
    drop(sender.send("1").await.unwrap());
    assert!(matches!(sender.try_send("2"), Err(SendError::Full { messages: 2, .. })));
    // One that gives up while it waits queues nothing, and does not hold up those behind it.
    let given_up = tokio::time::timeout(Duration::from_millis(20), sender.send("never")).await;
    assert!(given_up.is_err());
    let waiting: Vec<_> = (2..6)
        .map(|number: u32| {
            let sender = sender.clone();
            tokio::spawn(async move { drop(sender.send(number.to_string()).await.unwrap()) })
        })
        .collect();
    tokio::task::yield_now().await;
    for number in 0..6 {
        assert_eq!(soon(inbox.recv()).await.unwrap().into_payload(), number.to_string());
    }
    for task in waiting {
        soon(task).await.unwrap();
    }
}

#[tokio::test]
async fn more_channels_than_streams_carry_messages_side_by_side() {
    let pair = Pair::new().await;
    let mut ends = Vec::new();
    for number in 0..100 {
        ends.push(pair.channel(&format!("lane {number}")).await);
    }
    for round in 0..3 {
        let mut receipts = Vec::new();
        for ((sender, _), _) in &ends {
            receipts.push(sender.send(format!("{round}")).await.unwrap());
        }
        for (_, (_, inbox)) in &mut ends {
            assert_eq!(soon(inbox.recv()).await.unwrap().into_payload(), format!("{round}"));
        }
        for receipt in receipts {
            soon(receipt).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_stalled_channel_holds_back_does_not_stop_another() {
    let pair = Pair::new().await;
    let (sender_and_inbox, (_stalled, _untaken)) = pair.channel("stalled").await;
    let ((lively, _inbox), (_other, mut taken)) = pair.channel("lively").await;
    let stalled = sender_and_inbox.0;
    while stalled.try_send(vec![0; 60_000]).is_ok() {}
    let receipt = lively.send("through").await.unwrap();
    assert_eq!(soon(taken.recv()).await.unwrap().into_payload(), "through");
    soon(receipt).await.unwrap();
}

#[tokio::test]
async fn labels_that_the_peer_opens_are_shown_once() {
    let pair = Pair::new().await;
    let mut incoming = pair.accepted.incoming_channels();
    let (sender, _inbox) = pair.dialed.open("surprise", ordered()).await.unwrap();
    let shown = soon(incoming.next()).await.unwrap();
    assert_eq!(shown.label, "surprise");
    let receipt = sender.send("ahead").await.unwrap();
    let (_other, mut inbox) = pair.accepted.open(&shown.label, ordered()).await.unwrap();
    assert_eq!(soon(inbox.recv()).await.unwrap().into_payload(), "ahead");
    soon(receipt).await.unwrap();
    assert!(matches!(pair.dialed.open("surprise", ordered()).await, Err(OpenError::AlreadyOpen(_))));
    pair.dialed.close().await;
    assert!(soon(incoming.next()).await.is_none());
}

#[tokio::test]
async fn a_session_with_a_store_does_the_same() {
    let listener = listen(Endpoint::builder(identity()).store(MemoryStore::new()));
    let dialer = Endpoint::builder(identity()).store(MemoryStore::new()).client().unwrap();
    let pair = Pair::between(listener, dialer).await;
    let ((sender, _inbox), (_other, mut inbox)) = pair.channel("journaled").await;
    for number in 0..50u32 {
        let receipt = soon(sender.send(number.to_string())).await.unwrap();
        assert_eq!(soon(inbox.recv()).await.unwrap().into_payload(), number.to_string());
        soon(receipt).await.unwrap();
    }
    assert!(soon(pair.dialed.close()).await.clean);
}
