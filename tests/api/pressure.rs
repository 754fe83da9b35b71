//! What a slow receiver does to its sender: it waits, and nothing grows.

use std::time::{Duration, Instant};

use bowline::config::{Config, SendOptions, WhenFull};
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
    assert!(full.to_string().contains("or use `send` with `WhenFull::Wait`"), "{full}");

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

#[tokio::test]
async fn waiting_for_room_is_part_of_a_messages_life() {
    let (client, server) = (dialer(small()), listen(small()));
    let (dialed, accepted) = meet(&client, &server).await;
    let narrow = ordered().outbox(1, 16 * KIB);
    let mut line = line_with(&dialed, &accepted, "narrow", narrow.clone(), ordered()).await;
    let first = line.out.send("first").await.unwrap();
    let (patient, hasty) = (SendOptions::new().no_deadline(), Duration::from_millis(250));
    let mut waiting = Box::pin(line.out.send_with("patient", patient));
    let mut late = Box::pin(line.out.send_with("hasty", SendOptions::new().deadline(hasty)));
    select! {
        biased;
        _ = &mut late => panic!("there is no room, and there is time"),
        _ = &mut waiting => panic!("there is no room"),
        () = std::future::ready(()) => {}
    }
    // The one that is late stood first in the line, and lets the other one pass.
    assert_eq!(within("the deadline", late).await.unwrap_err(), SendError::DeadlinePassed);
    let stats = line.out.stats();
    assert_eq!((stats.accepted, stats.outbox_messages), (1, 1));
    assert_eq!(text(&mut line.peer).await, "first");
    within("handled", first).await.unwrap();
    let second = within("room", waiting).await.unwrap();
    assert_eq!(text(&mut line.peer).await, "patient");
    assert_eq!(second.id().sequence, 1);

    // The channel's own deadline counts in the same way.
    let config = narrow.deadline(Some(hasty));
    let line = line_with(&dialed, &accepted, "short-lived", config, ordered()).await;
    let _first = line.out.send_with("first", patient).await.unwrap();
    let late = within("the deadline", line.out.send("hasty")).await;
    assert_eq!(late.unwrap_err(), SendError::DeadlinePassed);
    assert_eq!(line.out.stats().accepted, 1);
}

#[tokio::test]
async fn a_message_without_a_future_is_not_taken() {
    let (client, server) = (dialer(small()), listen(small()));
    let (dialed, accepted) = meet(&client, &server).await;
    let mut line = line(&dialed, &accepted, "late").await;
    #[allow(clippy::disallowed_methods, reason = "the endpoint's clock is the system's")]
    let now = Instant::now();
    for options in [SendOptions::new().deadline(Duration::ZERO), SendOptions::new().deadline_at(now)] {
        let error = line.out.send_with("late", options).await.unwrap_err();
        assert_eq!(error, SendError::DeadlinePassed);
        assert!(error.to_string().contains("give it more time, or do not send it"), "{error}");
        assert_eq!(line.out.try_send_with("late", options).unwrap_err(), SendError::DeadlinePassed);
    }
    for options in [
        SendOptions::new().deadline(Duration::MAX),
        SendOptions::new().deadline(Duration::from_secs(3600)),
        SendOptions::new().deadline_at(now + Duration::from_secs(3600)),
        SendOptions::new().no_deadline(),
    ] {
        let receipt = line.out.send_with("in time", options).await.unwrap();
        assert_eq!(text(&mut line.peer).await, "in time");
        assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
    }
    assert_eq!(line.out.stats().accepted, 4);
}

#[tokio::test]
async fn a_channel_that_does_not_wait_says_at_once_that_it_is_full() {
    let (client, server) = (dialer(small()), listen(small()));
    let (dialed, accepted) = meet(&client, &server).await;
    let config = ordered().outbox(2, 32 * KIB).when_full(WhenFull::Error);
    let mut line = line_with(&dialed, &accepted, "impatient", config, ordered()).await;
    let first = line.out.send("first").await.unwrap();
    drop(line.out.send("second").await.unwrap());
    let full = SendError::Full { messages: 2, bytes: 11 };
    select! {
        biased;
        result = line.out.send("third") => assert_eq!(result.unwrap_err(), full),
        () = std::future::ready(()) => panic!("it waits"),
    }
    assert_eq!(line.out.try_send("third").unwrap_err(), full);
    assert_eq!(text(&mut line.peer).await, "first");
    assert_eq!(within("an outcome", first.outcome()).await, Outcome::Handled);
    drop(line.out.send("third").await.unwrap());
    assert_eq!(text(&mut line.peer).await, "second");
    assert_eq!(text(&mut line.peer).await, "third");
}
