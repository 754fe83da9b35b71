//! Limits that are reached: who waits, who is told, what makes room, and that nobody else notices.

use std::future::Future;
use std::task::{Context, Waker};

use bowline::error::{Outcome, SendError};
use bowline::{ChannelConfig, Delivery, WhenFull};

use crate::support::{
    channel, ended, is_empty, net, net_with, nimble, number, ordered, payload, take, text, until, within,
};

const KIB: usize = 1024;

/// What the two that were accepted say when a third one comes.
const FULL: SendError = SendError::Full { messages: 2, bytes: 200 };

#[tokio::test]
async fn a_full_outbox_waits_or_says_so_as_its_channel_wants_in_every_mode() {
    let net = net().await;
    let mut lines = Vec::new();
    for mode in Delivery::ALL.into_iter().filter(|&mode| mode != Delivery::ReliableLatest) {
        for when_full in [WhenFull::Wait, WhenFull::Error] {
            let config = channel(mode).outbox(2, 64 * KIB).when_full(when_full);
            lines.push((mode, when_full, net.line(&format!("{mode}, {when_full:?}"), config).await));
        }
    }
    net.disconnect().await;
    let mut sent = Vec::new();
    for (mode, when_full, line) in &mut lines {
        let first = line.out.send(payload(0, 100)).await.unwrap();
        let second = line.out.send(payload(1, 100)).await.unwrap();
        assert_eq!(line.out.try_send(payload(2, 100)).unwrap_err(), FULL, "{mode}, {when_full:?}");
        {
            let mut third = Box::pin(line.out.send(payload(2, 100)));
            let mut cx = Context::from_waker(Waker::noop());
            match when_full {
                WhenFull::Error => assert_eq!(third.await.unwrap_err(), FULL, "{mode}"),
                _ => {
                    assert!(third.as_mut().poll(&mut cx).is_pending(), "{mode}");
                    // It has its place in the line, and gets the room of one that is withdrawn.
                    assert!(first.cancel());
                    drop(within("room", third).await.unwrap());
                }
            }
        }
        let stats = line.out.stats();
        assert_eq!((stats.outbox_messages, stats.outbox_bytes, stats.dropped), (2, 200, 0), "{mode}");
        sent.push([first, second]);
    }
    net.reconnect().await;
    for ((mode, when_full, mut line), [first, second]) in lines.into_iter().zip(sent) {
        let expected = if when_full == WhenFull::Wait { [1, 2] } else { [0, 1] };
        for expected in expected {
            assert_eq!(number(&take(&mut line.peer).await), expected, "{mode}, {when_full:?}");
        }
        let withdrawn = within("an outcome", first.outcome()).await;
        assert_eq!(withdrawn == Outcome::Cancelled, when_full == WhenFull::Wait, "{mode}: {withdrawn:?}");
        let delivered = if mode.is_reliable() { Outcome::Handled } else { Outcome::Unknown };
        assert_eq!(within("an outcome", second.outcome()).await, delivered);
        until("room for all", || is_empty(&line.out.stats(), &line.peer_out.stats())).await;
        drop(line.out.try_send(payload(3, 100)).unwrap());
    }
}

#[tokio::test]
async fn states_always_have_room() {
    let net = net().await;
    let mut line = net.line("states", channel(Delivery::ReliableLatest).outbox(1, 64 * KIB)).await;
    net.disconnect().await;
    for number in 0..100 {
        drop(line.out.try_send(payload(number, 40 * KIB)).unwrap());
        let stats = line.out.stats();
        assert_eq!((stats.outbox_messages, stats.outbox_bytes), (1, 40 * KIB));
    }
    assert_eq!(line.out.stats().superseded, 99);
    net.reconnect().await;
    assert_eq!(number(&take(&mut line.peer).await), 99);
}

#[tokio::test]
async fn a_full_inbox_of_an_unreliable_channel_keeps_the_newest_and_counts_the_others() {
    let net = net().await;
    for mode in [Delivery::Unreliable, Delivery::UnreliableSequenced] {
        for (messages, bytes, size) in [(10, 1 << 20, 100), (1000, 64 * KIB, 6_400)] {
            let config = channel(mode).inbox(messages, bytes);
            let mut line = net.line(&format!("{mode}, {size}"), config).await;
            drop(line.out.send(payload(0, 10)).await.unwrap());
            take(&mut line.peer).await;
            for number in 1..=30 {
                drop(line.out.send(payload(number, size)).await.unwrap());
                // One at a time, so that the network has no reason to lose one.
                until("its arrival", || line.peer_out.stats().received == u64::from(number) + 1).await;
                let stats = line.peer_out.stats();
                assert!(stats.inbox_messages <= messages && stats.inbox_bytes <= bytes, "{stats:?}");
            }
            let stats = line.peer_out.stats();
            assert_eq!((stats.overflowed, stats.inbox_messages), (20, 10), "{mode}: {stats:?}");
            for expected in 21..=30 {
                let message = take(&mut line.peer).await;
                let skipped = if expected == 21 && mode.is_ordered() { 20 } else { 0 };
                assert_eq!((number(&message), message.skipped()), (expected, skipped), "{mode}");
            }
            assert!(is_empty(&line.out.stats(), &line.peer_out.stats()));
        }
    }
}

#[tokio::test]
async fn an_application_that_holds_everything_leaves_no_room_for_unreliable_messages() {
    let net = net().await;
    let mut line = net.line("held", channel(Delivery::Unreliable).inbox(1, 64 * KIB)).await;
    drop(line.out.send(payload(0, 10)).await.unwrap());
    let held = within("a message", line.peer.recv_unacked()).await.unwrap();
    drop(line.out.send(payload(1, 10)).await.unwrap());
    until("its arrival", || line.peer_out.stats().overflowed == 1).await;
    held.ack();
    drop(line.out.send(payload(2, 10)).await.unwrap());
    assert_eq!(number(&take(&mut line.peer).await), 2);
}

#[tokio::test]
async fn the_room_for_large_messages_is_their_own() {
    let size = 300 * KIB;
    let net = net_with(nimble().max_message_size(size)).await;
    for mode in [Delivery::ReliableOrdered, Delivery::ReliableUnordered] {
        let config = channel(mode).outbox(4, 64 * KIB).large(2 * size, size);
        let mut line = net.line(&mode.to_string(), config).await;
        let mut receipts = Vec::new();
        for number in 0..2 {
            receipts.push(line.out.try_send(payload(number, size)).unwrap());
        }
        let full = line.out.try_send(payload(9, 64 * KIB + 1)).unwrap_err();
        assert_eq!(full, SendError::Full { messages: 2, bytes: 2 * size }, "{mode}");
        for number in 2..4 {
            receipts.push(line.out.try_send(payload(number, 32 * KIB)).unwrap());
        }
        let full = line.out.try_send(payload(9, 10)).unwrap_err();
        assert_eq!(full, SendError::Full { messages: 4, bytes: 2 * size + 64 * KIB }, "{mode}");
        // The receiver has room for one of the large ones at a time.
        let mut taken = Vec::new();
        for _ in 0..4 {
            let there = line.peer_out.stats();
            assert!(there.partial_bytes + there.inbox_bytes <= size + 64 * KIB, "{there:?}");
            let message = take(&mut line.peer).await;
            let number = number(&message);
            assert!(*message.payload() == payload(number, if number < 2 { size } else { 32 * KIB }));
            taken.push(number);
        }
        if mode.is_ordered() {
            assert_eq!(taken, [0, 1, 2, 3]);
        }
        for receipt in receipts {
            assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
        }
        until("room for all", || is_empty(&line.out.stats(), &line.peer_out.stats())).await;
    }
}

#[tokio::test]
async fn channels_that_stand_still_stop_no_other_one() {
    let size = 1024 * KIB;
    let net = net_with(nimble().max_message_size(size)).await;
    // Nobody takes anything of these: the windows of messages and of large ones are used up.
    let narrow = |mode| channel(mode).inbox(100, 64 * KIB).large(3 * size, size).outbox(1000, 256 * KIB);
    let mut stalled = net.line("stalled", narrow(Delivery::ReliableOrdered)).await;
    let mut receipts = Vec::new();
    while let Ok(receipt) = stalled.out.try_send(payload(receipts.len() as u32, KIB)) {
        receipts.push(receipt);
    }
    let mut giants = net.line("giants", narrow(Delivery::ReliableUnordered)).await;
    let large = [giants.out.send(payload(0, size)).await, giants.out.send(payload(1, size)).await];
    until("full windows", || {
        let (stalled, giants) = (stalled.peer_out.stats(), giants.peer_out.stats());
        stalled.inbox_bytes == 64 * KIB && giants.inbox_bytes == size
    })
    .await;
    assert!(matches!(stalled.out.try_send("full"), Err(SendError::Full { .. })));

    // All the others go on, both ways, large messages too, and small ones of the channel of the giants.
    for mode in Delivery::ALL {
        let mut line = net.line(&mode.to_string(), channel(mode).large(size, size)).await;
        for turn in 0..50 {
            drop(line.out.send(payload(turn, 200)).await.unwrap());
            assert_eq!(number(&take(&mut line.peer).await), turn, "{mode}");
            drop(line.peer_out.send(payload(turn, 200)).await.unwrap());
            assert_eq!(number(&take(&mut line.back).await), turn, "{mode}");
        }
        if mode.is_reliable() {
            drop(line.out.send(payload(50, size)).await.unwrap());
            assert_eq!(take(&mut line.peer).await.payload().len(), size, "{mode}");
        }
    }
    let small = giants.out.send(payload(2, 100)).await.unwrap();
    within("received", small.received()).await.unwrap();
    let (first, second) = (stalled.peer_out.stats(), giants.peer_out.stats());
    assert_eq!(
        (first.delivered, second.delivered, second.partial_bytes),
        (0, 0, 0),
        "the second giant waits"
    );

    let mut expected = 0;
    while expected < receipts.len() as u32 {
        assert_eq!(number(&take(&mut stalled.peer).await), expected);
        expected += 1;
    }
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(number(&take(&mut giants.peer).await));
    }
    taken.sort_unstable();
    assert_eq!(taken, [0, 1, 2]);
    for receipt in receipts.into_iter().chain(large.map(Result::unwrap)) {
        assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
    }
}

#[tokio::test]
async fn before_the_peer_opens_a_label_a_little_travels_ahead_and_the_rest_waits() {
    let net = net().await;
    for mode in [Delivery::ReliableOrdered, Delivery::ReliableUnordered, Delivery::ReliableLatest] {
        let label = mode.to_string();
        let (out, _back) = net.dialed.open(&label, channel(mode)).await.unwrap();
        let mut receipts = Vec::new();
        for number in 0..100 {
            receipts.push(out.send(payload(number, 2 * KIB)).await.unwrap());
        }
        receipts.push(out.send(payload(100, 100 * KIB)).await.unwrap());
        if mode == Delivery::ReliableLatest {
            // Older states give way before they leave.
            until("the others", || out.stats().superseded > 0).await;
        } else {
            within("received", receipts[0].received()).await.unwrap();
        }
        let (peer_out, mut peer) = net.accepted.open(&label, channel(mode)).await.unwrap();
        let stats = peer_out.stats();
        assert!(stats.inbox_bytes <= 64 * KIB && stats.partial_bytes == 0, "{mode}: {stats:?}");
        let mut taken = Vec::new();
        while taken.len() < if mode == Delivery::ReliableLatest { 1 } else { 101 } {
            let message = take(&mut peer).await;
            let number = number(&message);
            if mode != Delivery::ReliableLatest || number == 100 {
                taken.push(number);
            }
        }
        if mode == Delivery::ReliableOrdered {
            assert_eq!(taken, (0..=100).collect::<Vec<_>>());
        }
        until("all receipts", || ended(&out.stats()) == 101).await;
    }
}

#[tokio::test]
async fn the_channels_own_bounds_hold_for_text_too() {
    // A bound in messages alone: empty ones take no bytes.
    let net = net().await;
    let config: ChannelConfig = ordered().outbox(3, 64 * KIB);
    let mut line = net.line("empty", config).await;
    let receipts: Vec<_> = (0..3).map(|_| line.out.try_send("").unwrap()).collect();
    assert_eq!(line.out.try_send("").unwrap_err(), SendError::Full { messages: 3, bytes: 0 });
    for receipt in receipts {
        assert_eq!(text(&mut line.peer).await, "");
        assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
    }
}
