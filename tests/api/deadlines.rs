//! Messages that are worth something for a while only: nothing is handed over later, both sides say so, and forget it.

use std::time::Duration;

use bowline::error::{ExtendError, Outcome, SendError};
use bowline::{ChannelConfig, Delivery, Receipt, SendOptions};

use crate::relay::Way;
use crate::support::{
    Line, Net, channel, ended, is_empty, net, number, ordered, payload, take, until, within,
};

const KIB: usize = 1024;

const RELIABLE: [Delivery; 3] =
    [Delivery::ReliableUnordered, Delivery::ReliableOrdered, Delivery::ReliableLatest];

/// Long enough to be received in, on a machine that is busy.
const BRIEF: Duration = Duration::from_millis(700);
const LONG: Duration = Duration::from_secs(3600);

fn brief() -> SendOptions {
    SendOptions::new().deadline(BRIEF)
}

/// A label on which a message has been exchanged: what is unreliable may leave, and gaps are seen.
async fn begun(net: &Net, label: &str, config: ChannelConfig) -> Line {
    let mut line = net.line(label, config).await;
    drop(line.out.send_with(payload(0, 10), SendOptions::new().no_deadline()).await.unwrap());
    assert_eq!(number(&take(&mut line.peer).await), 0);
    until("its receipt", || ended(&line.out.stats()) == 1).await;
    line
}

async fn is_over(receipt: &Receipt) -> Outcome {
    within("an outcome", receipt.outcome()).await
}

#[tokio::test]
async fn what_a_slow_application_does_not_take_in_time_is_gone_at_both_ends() {
    let net = net().await;
    for mode in RELIABLE {
        // The first has its channel's deadline, and the other one its own.
        for options in [SendOptions::new(), brief()] {
            let own = options != SendOptions::new();
            let config = channel(mode).deadline((!own).then_some(BRIEF));
            let mut line = begun(&net, &format!("{mode}, {own}"), config).await;
            let small = line.out.send_with(payload(1, 500), options).await.unwrap();
            let large = line.out.send_with(payload(2, 200 * KIB), options).await.unwrap();
            within("received", large.received()).await.unwrap();
            assert!(line.peer_out.stats().inbox_bytes >= 200 * KIB, "{mode}");
            let expected =
                if mode == Delivery::ReliableLatest { Outcome::Superseded } else { Outcome::Expired };
            assert_eq!(is_over(&small).await, expected, "{mode}");
            assert_eq!(is_over(&large).await, Outcome::Expired, "{mode}");
            assert_eq!(line.peer.try_recv(), None, "{mode}: it is too late");
            let (here, there) = (line.out.stats(), line.peer_out.stats());
            assert!(is_empty(&here, &there), "{mode}: {here:?} {there:?}");
            assert_eq!((here.expired + here.superseded, there.late + there.stale), (2, 2), "{mode}");
            let last = line.out.send_with(payload(3, 10), SendOptions::new().no_deadline()).await.unwrap();
            let message = take(&mut line.peer).await;
            assert_eq!((number(&message), message.skipped()), (3, if mode.is_ordered() { 2 } else { 0 }));
            within("handled", last).await.unwrap();
        }
    }
}

#[tokio::test]
async fn unreliable_messages_that_are_not_taken_in_time_are_gone_too() {
    let net = net().await;
    for mode in [Delivery::Unreliable, Delivery::UnreliableSequenced] {
        let mut line = begun(&net, &mode.to_string(), channel(mode).deadline(Some(BRIEF))).await;
        for number in 1..=20 {
            let size = if number % 5 == 0 { 5_000 } else { 300 };
            drop(line.out.send(payload(number, size)).await.unwrap());
        }
        until("their arrival", || line.peer_out.stats().received == 21).await;
        until("their end", || line.peer_out.stats().late == 20).await;
        assert_eq!(line.peer.try_recv(), None, "{mode}: it is too late");
        assert!(is_empty(&line.out.stats(), &line.peer_out.stats()));
        // Nobody was asked.
        assert_eq!((line.out.stats().unknown, line.out.stats().expired), (21, 0));
        let forever = SendOptions::new().no_deadline();
        drop(line.out.send_with(payload(21, 100), forever).await.unwrap());
        let message = take(&mut line.peer).await;
        assert_eq!((number(&message), message.skipped()), (21, if mode.is_ordered() { 20 } else { 0 }));
    }
}

#[tokio::test]
async fn what_expires_without_a_connection_is_over_at_once_and_never_comes() {
    let net = net().await;
    let mut lines = Vec::new();
    for mode in Delivery::ALL {
        lines.push((mode, begun(&net, &mode.to_string(), channel(mode).deadline(Some(BRIEF / 5))).await));
    }
    net.disconnect().await;
    let forever = SendOptions::new().no_deadline();
    let mut left = Vec::new();
    for (mode, line) in lines {
        let mut receipts = Vec::new();
        for number in 1..=10 {
            receipts.push(line.out.send(payload(number, 1_000)).await.unwrap());
        }
        if mode.is_reliable() {
            receipts.push(line.out.send(payload(11, 100 * KIB)).await.unwrap());
        }
        let (last, superseded) = (receipts.pop().unwrap(), mode == Delivery::ReliableLatest);
        for receipt in &receipts {
            let expected = if superseded { Outcome::Superseded } else { Outcome::Expired };
            assert_eq!(is_over(receipt).await, expected, "{mode}");
        }
        assert_eq!(is_over(&last).await, Outcome::Expired, "{mode}");
        assert_eq!(last.extend_deadline(LONG), Err(ExtendError::Over(Outcome::Expired)));
        let stats = line.out.stats();
        assert_eq!((stats.outbox_messages, stats.outbox_bytes), (0, 0), "{mode}");
        let kept = line.out.send_with(payload(12, 10), forever).await.unwrap();
        left.push((mode, line, kept, receipts.len() as u64 + 1));
    }
    net.reconnect().await;
    for (mode, mut line, kept, gone) in left {
        let message = take(&mut line.peer).await;
        assert_eq!(number(&message), 12, "{mode}");
        assert_eq!(message.skipped(), if mode.is_ordered() { gone } else { 0 }, "{mode}");
        let expected = if mode.is_reliable() { Outcome::Handled } else { Outcome::Unknown };
        assert_eq!(is_over(&kept).await, expected, "{mode}");
        assert!(is_empty(&line.out.stats(), &line.peer_out.stats()), "{mode}");
    }
}

#[tokio::test]
async fn a_deadline_that_passes_between_two_connections_holds_wherever_the_message_was() {
    let net = net().await;
    for mode in RELIABLE {
        let mut untaken = begun(&net, &format!("{mode}, untaken"), channel(mode)).await;
        let mut taken = begun(&net, &format!("{mode}, taken"), channel(mode)).await;
        let mut lost = begun(&net, &format!("{mode}, lost"), channel(mode)).await;
        // At the peer, and it does not take it in time.
        let first = untaken.out.send_with(payload(1, 2_000), brief()).await.unwrap();
        within("received", first.received()).await.unwrap();
        // At the peer, which takes it in time, but cannot tell.
        let second = taken.out.send_with(payload(1, 2_000), brief()).await.unwrap();
        within("received", second.received()).await.unwrap();
        net.relay.cut(Way::Both);
        assert_eq!(number(&take(&mut taken.peer).await), 1);
        // Written, and lost with its connection.
        let third = lost.out.send_with(payload(1, 2_000), brief()).await.unwrap();
        until("the deadline at the peer", || untaken.peer_out.stats().late == 1).await;
        until("the deadline at the sender", || lost.out.stats().outbox_bytes == 0).await;
        // Unless a new connection was so fast that the peer has ended it already.
        let extended = third.extend_deadline(LONG);
        assert!(matches!(extended, Err(ExtendError::TooLate | ExtendError::Over(_))), "{mode}: {extended:?}");
        let after = lost.out.send(payload(2, 10)).await.unwrap();
        net.kill().await;
        assert_eq!(is_over(&first).await, Outcome::Expired, "{mode}");
        assert_eq!(is_over(&second).await, Outcome::Handled, "{mode}");
        let ended_as = if mode == Delivery::ReliableLatest { Outcome::Superseded } else { Outcome::Expired };
        let third = is_over(&third).await;
        assert!(third == Outcome::Expired || third == ended_as, "{mode}: {third:?}");
        let message = take(&mut lost.peer).await;
        assert_eq!(
            (number(&message), message.skipped()),
            (2, if mode.is_ordered() { 1 } else { 0 }),
            "{mode}"
        );
        assert_eq!(is_over(&after).await, Outcome::Handled);
        assert_eq!(untaken.peer.try_recv(), None, "{mode}");
        for line in [&untaken, &taken, &lost] {
            until("nothing is kept", || is_empty(&line.out.stats(), &line.peer_out.stats())).await;
        }
    }
}

#[tokio::test]
async fn more_time_given_before_or_after_writing_counts_and_less_time_too() {
    let net = net().await;
    for mode in [Delivery::ReliableUnordered, Delivery::ReliableOrdered] {
        let mut line = begun(&net, &mode.to_string(), channel(mode)).await;
        let mut expected = Vec::new();
        // At the peer, untaken.
        let witness = line.out.send_with(payload(1, 100), brief()).await.unwrap();
        let mut kept = Vec::new();
        for number in 2..5 {
            let size = if number == 3 { 100 * KIB } else { 100 };
            kept.push(line.out.send_with(payload(number, size), brief()).await.unwrap());
        }
        let shortened = line.out.send_with(payload(5, 100), SendOptions::new().deadline(LONG)).await.unwrap();
        for receipt in kept.iter().chain([&shortened]) {
            within("received", receipt.received()).await.unwrap();
        }
        kept[0].extend_deadline(LONG).unwrap();
        kept[1].extend_deadline(LONG).unwrap();
        kept[2].remove_deadline().unwrap();
        shortened.extend_deadline(Duration::from_millis(1)).unwrap();
        assert_eq!(is_over(&shortened).await, Outcome::Expired, "{mode}");
        assert_eq!(is_over(&witness).await, Outcome::Expired, "{mode}");
        assert_eq!(witness.extend_deadline(LONG), Err(ExtendError::Over(Outcome::Expired)));
        for _ in 0..3 {
            expected.push(number(&take(&mut line.peer).await));
        }
        expected.sort_unstable();
        assert_eq!(expected, [2, 3, 4], "{mode}");
        for receipt in kept {
            assert_eq!(is_over(&receipt).await, Outcome::Handled, "{mode}");
        }
        assert!(is_empty(&line.out.stats(), &line.peer_out.stats()));
    }
}

#[tokio::test]
async fn more_time_given_without_a_connection_counts_in_every_mode() {
    let net = net().await;
    let mut lines = Vec::new();
    for mode in Delivery::ALL {
        lines.push((mode, begun(&net, &mode.to_string(), channel(mode)).await));
    }
    // Another channel shows that the time is over.
    let line = begun(&net, "witness", ordered()).await;
    net.disconnect().await;
    let mut kept = Vec::new();
    for (mode, line) in lines {
        let receipt = line.out.send_with(payload(1, 100), brief()).await.unwrap();
        receipt.extend_deadline(LONG).unwrap();
        kept.push((mode, line, receipt));
    }
    let witness = line.out.send_with(payload(1, 100), brief()).await.unwrap();
    assert_eq!(is_over(&witness).await, Outcome::Expired);
    net.reconnect().await;
    for (mode, mut line, receipt) in kept {
        assert_eq!(number(&take(&mut line.peer).await), 1, "{mode}");
        let expected = if mode.is_reliable() { Outcome::Handled } else { Outcome::Unknown };
        assert_eq!(is_over(&receipt).await, expected, "{mode}");
    }
}

#[tokio::test]
async fn more_time_survives_the_connection_that_was_to_tell_it() {
    let net = net().await;
    let mut line = begun(&net, "extended", ordered()).await;
    let life = SendOptions::new().deadline(4 * BRIEF);
    let receipt = line.out.send_with(payload(1, 100), life).await.unwrap();
    let witness = line.out.send_with(payload(2, 100), life).await.unwrap();
    within("received", witness.received()).await.unwrap();
    net.relay.cut(Way::Both);
    receipt.extend_deadline(LONG).unwrap();
    net.kill().await;
    assert_eq!(is_over(&witness).await, Outcome::Expired);
    assert_eq!(number(&take(&mut line.peer).await), 1);
    assert_eq!(is_over(&receipt).await, Outcome::Handled);
    assert!(is_empty(&line.out.stats(), &line.peer_out.stats()));
}

#[tokio::test]
async fn a_large_message_that_expires_halfway_is_freed_at_both_ends() {
    const SIZE: usize = 8 * KIB * KIB;
    let net = net().await;
    for mode in RELIABLE {
        let mut line = begun(&net, &mode.to_string(), channel(mode)).await;
        // So much of it passes, and no more until it is over.
        net.relay.allow(Way::ToAcceptor, 2 * KIB * KIB);
        let large = line.out.send_with(payload(1, SIZE), brief()).await.unwrap();
        until("a part", || line.peer_out.stats().partial_bytes > 0).await;
        assert!(line.out.stats().outbox_bytes >= SIZE);
        until("the end at the sender", || line.out.stats().outbox_bytes == 0).await;
        until("the end at the receiver", || line.peer_out.stats().partial_bytes == 0).await;
        assert_eq!(line.peer.transfers(), []);
        net.relay.allow_all();
        assert_eq!(is_over(&large).await, Outcome::Expired, "{mode}");
        let after = line.out.send(payload(2, 10)).await.unwrap();
        let message = take(&mut line.peer).await;
        assert_eq!(
            (number(&message), message.skipped()),
            (2, if mode.is_ordered() { 1 } else { 0 }),
            "{mode}"
        );
        assert_eq!(is_over(&after).await, Outcome::Handled);
        assert!(is_empty(&line.out.stats(), &line.peer_out.stats()), "{mode}");
    }
}

#[tokio::test]
async fn what_cannot_be_reassembled_in_time_is_freed() {
    let net = net().await;
    for mode in [Delivery::Unreliable, Delivery::UnreliableSequenced] {
        let mut line = begun(&net, &mode.to_string(), channel(mode).deadline(Some(BRIEF))).await;
        // Some of its pieces pass.
        net.relay.allow(Way::ToAcceptor, 8_000);
        drop(line.out.send(payload(1, 30_000)).await.unwrap());
        until("a part", || line.peer_out.stats().partial_bytes > 0).await;
        until("its end", || line.peer_out.stats().partial_bytes == 0).await;
        net.relay.allow_all();
        within("another one", async {
            loop {
                drop(line.out.send(payload(2, 100)).await.unwrap());
                if tokio::time::timeout(BRIEF / 2, line.peer.recv()).await.is_ok() {
                    break;
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_message_in_the_hands_of_the_application_is_its_own_affair() {
    let net = net().await;
    for mode in RELIABLE {
        let mut line = begun(&net, &mode.to_string(), channel(mode)).await;
        let receipt = line.out.send_with(payload(1, 100), brief()).await.unwrap();
        let unacked = within("a message", line.peer.recv_unacked()).await.unwrap();
        until("the deadline at the sender", || line.out.stats().outbox_bytes == 0).await;
        unacked.ack();
        assert_eq!(is_over(&receipt).await, Outcome::Handled, "{mode}");
        // Given back in time it comes again, and given back too late it does not.
        for (number, in_time) in [(2, true), (3, false)] {
            let receipt = line.out.send_with(payload(number, 100), brief()).await.unwrap();
            drop(within("a message", line.peer.recv_unacked()).await);
            let unacked = within("a message", line.peer.recv_unacked()).await.unwrap();
            assert_eq!(unacked.attempt(), 2);
            if !in_time {
                until("the deadline at the sender", || line.out.stats().outbox_bytes == 0).await;
            }
            drop(unacked);
            assert_eq!(is_over(&receipt).await, Outcome::Expired, "{mode}");
            assert_eq!(line.peer.try_recv(), None);
        }
        // More time counts for it too.
        let receipt = line.out.send_with(payload(4, 100), brief()).await.unwrap();
        let unacked = within("a message", line.peer.recv_unacked()).await.unwrap();
        receipt.extend_deadline(LONG).unwrap();
        let witness = line.peer_out.send_with(payload(1, 10), brief()).await.unwrap();
        assert_eq!(is_over(&witness).await, Outcome::Expired);
        drop(unacked);
        assert_eq!(number(&take(&mut line.peer).await), 4);
        assert_eq!(is_over(&receipt).await, Outcome::Handled);
        assert!(is_empty(&line.out.stats(), &line.peer_out.stats()));
    }
}

#[tokio::test]
async fn a_message_that_had_no_room_until_its_deadline_is_not_accepted() {
    let net = net().await;
    for mode in [Delivery::ReliableUnordered, Delivery::ReliableOrdered] {
        let line = begun(&net, &mode.to_string(), channel(mode).outbox(1, 64 * KIB)).await;
        let first = line.out.send(payload(1, 100)).await.unwrap();
        let error = within("the deadline", line.out.send_with(payload(2, 100), brief())).await.unwrap_err();
        assert_eq!(error, SendError::DeadlinePassed, "{mode}");
        assert_eq!(line.out.stats().accepted, 2);
        drop(first);
    }
}
