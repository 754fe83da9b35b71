//! What a slow receiver does to its sender: it waits, and nothing grows.

use bowline::config::Config;
use bowline::error::{Outcome, SendError};
use tokio::select;

use crate::support::{dialer, line, line_with, listen, meet, nimble, ordered, text, until, within};

const KIB: usize = 1024;

fn small() -> Config {
    nimble().max_message_size(16 * KIB)
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_bounds_both_sides_and_stops_no_other_channel() {
    let (client, server) = (dialer(small()), listen(small()));
    let (dialed, accepted) = meet(&client, &server).await;
    let sender = ordered().outbox(1_000_000, 256 * KIB);
    let receiver = ordered().inbox(1000, 96 * KIB);
    let mut stuck = line_with(&dialed, &accepted, "stuck", sender, receiver).await;
    let mut free = line(&dialed, &accepted, "free").await;

    let mut receipts = Vec::new();
    let full = loop {
        match stuck.out.try_send(vec![7; KIB]) {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => break error,
        }
    };
    assert_eq!(full, SendError::Full { messages: 256, bytes: 256 * KIB });
    assert_eq!(receipts.len(), 256);
    assert!(full.to_string().contains("`send`, which waits"), "{full}");

    // The window is full when as much is held over there as may be.
    until("a full window", || stuck.peer_out.stats().inbox_bytes == 96 * KIB).await;
    for turn in 0..200 {
        drop(free.out.send(format!("there {turn}")).await.unwrap());
        assert_eq!(text(&mut free.peer).await, format!("there {turn}"));
        drop(free.peer_out.send(format!("back {turn}")).await.unwrap());
        assert_eq!(text(&mut free.back).await, format!("back {turn}"));
        let (here, there) = (stuck.out.stats(), stuck.peer_out.stats());
        assert_eq!((here.outbox_messages, here.outbox_bytes), (256, 256 * KIB));
        assert!(there.inbox_bytes <= 96 * KIB && there.delivered == 0, "{there:?}");
    }
    assert!(matches!(stuck.out.try_send("one more"), Err(SendError::Full { .. })));

    for _ in 0..256 {
        assert_eq!(within("a message", stuck.peer.recv()).await.unwrap().payload().len(), KIB);
    }
    for receipt in receipts {
        assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
    }
    assert_eq!(stuck.out.stats().outbox_messages, 0);
    drop(stuck.out.try_send("there is room again").unwrap());
    assert_eq!(text(&mut stuck.peer).await, "there is room again");
}

#[tokio::test]
async fn send_waits_for_room_and_those_who_wait_are_served_in_turn() {
    let (client, server) = (dialer(small()), listen(small()));
    let (dialed, accepted) = meet(&client, &server).await;
    let mut line = line_with(&dialed, &accepted, "narrow", ordered().outbox(1, 16 * KIB), ordered()).await;
    drop(line.out.send("0").await.unwrap());
    let mut waiting = Vec::new();
    for number in 1..=10 {
        let mut send = Box::pin({
            let out = line.out.clone();
            async move { out.send(number.to_string()).await.unwrap() }
        });
        // Polled once, it has its place in the line.
        select! {
            biased;
            _ = &mut send => panic!("there is no room"),
            () = std::future::ready(()) => {}
        }
        waiting.push(send);
    }
    let overtaking = line.out.try_send("11").unwrap_err();
    assert!(matches!(overtaking, SendError::Full { .. }));
    let sends: Vec<_> = waiting.into_iter().map(tokio::spawn).collect();
    for number in 0..=10 {
        assert_eq!(text(&mut line.peer).await, number.to_string());
    }
    for send in sends {
        let receipt = within("a send", send).await.unwrap();
        assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
    }
}

#[tokio::test]
async fn a_send_that_is_cancelled_queued_nothing_and_leaves_no_hole() {
    let (client, server) = (dialer(small()), listen(small()));
    let (dialed, accepted) = meet(&client, &server).await;
    let mut line = line_with(&dialed, &accepted, "narrow", ordered().outbox(2, 32 * KIB), ordered()).await;
    let first = line.out.send("first").await.unwrap();
    let second = line.out.send("second").await.unwrap();
    for _ in 0..100 {
        select! {
            biased;
            _ = line.out.send("cancelled") => panic!("there is no room"),
            () = std::future::ready(()) => {}
        }
    }
    let stats = line.out.stats();
    assert_eq!((stats.accepted, stats.outbox_messages), (2, 2));
    assert_eq!(text(&mut line.peer).await, "first");
    assert_eq!(text(&mut line.peer).await, "second");
    let third = within("room", line.out.send("third")).await.unwrap();
    let message = within("a message", line.peer.recv()).await.unwrap();
    assert_eq!(message.payload()[..], *b"third");
    let sequences = [first.id(), second.id(), third.id(), message.id()].map(|id| id.sequence);
    assert_eq!(sequences, [0, 1, 2, 2], "the cancelled sends have taken no numbers");
}
