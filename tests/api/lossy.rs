//! Every delivery mode through packets that are lost, held back, or too large for the path.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline::error::Outcome;
use bowline::{Channel, ChannelConfig, Delivery, Inbox, Receipt};

use crate::relay::{Packet, Way};
use crate::support::{Net, channel, ended, is_empty, net, number, payload, take, until, within};

const KIB: usize = 1024;

/// Mostly small, some with a packet of their own, a few of several packets, and now and then a large one.
fn size(number: u32) -> usize {
    match number % 100 {
        99 => 100 * KIB,
        33 | 66 => 9_000,
        rest if rest % 10 == 7 => 1_350,
        rest => 4 + rest as usize * 7,
    }
}

async fn send(channel: Channel, count: u32) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for number in 0..count {
        receipts.push(channel.send(payload(number, size(number))).await.unwrap());
    }
    receipts
}

/// Takes `count` messages, each whole and once, in order if there is one.
async fn receive(mut inbox: Inbox, count: u32, in_order: bool) -> Inbox {
    let mut missing: BTreeSet<u32> = (0..count).collect();
    while let Some(&next) = missing.first() {
        let message = inbox.recv().await.expect("the channel goes on");
        let number = number(&message);
        assert!(missing.remove(&number), "{number} came twice");
        assert!(!in_order || number == next, "{number} instead of {next}");
        assert!(*message.payload() == payload(number, size(number)), "{number} is not what was sent");
    }
    inbox
}

/// Both ways at once, through what the network does.
async fn all_arrive(net: &Net, label: &str, mode: Delivery, count: u32) {
    let line = net.line(label, channel(mode)).await;
    let in_order = mode == Delivery::ReliableOrdered;
    let (out, peer_out) = (line.out.clone(), line.peer_out.clone());
    let there = tokio::spawn(receive(line.peer, count, in_order));
    let back = tokio::spawn(receive(line.back, count, in_order));
    let receipts = [tokio::spawn(send(line.out, count)), tokio::spawn(send(line.peer_out, count))];
    let _inboxes = within("all messages", async { (there.await.unwrap(), back.await.unwrap()) }).await;
    for receipts in receipts {
        for receipt in within("all sends", receipts).await.unwrap() {
            assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
        }
    }
    for (here, there) in [(out.stats(), peer_out.stats()), (peer_out.stats(), out.stats())] {
        assert_eq!((here.handled, there.delivered), (count.into(), count.into()));
        assert!(is_empty(&here, &there), "{here:?} {there:?}");
    }
}

#[tokio::test]
async fn every_reliable_message_survives_one_lost_packet_in_seven() {
    let net = net().await;
    net.relay.lose(37, 5);
    let ordered = all_arrive(&net, "ordered", Delivery::ReliableOrdered, 400);
    let unordered = all_arrive(&net, "unordered", Delivery::ReliableUnordered, 400);
    tokio::join!(ordered, unordered);
    assert!(net.relay.counts().dropped > 50, "{:?}", net.relay.counts());
    assert_eq!(net.dialed.stats().attaches, 1, "loss is no reason for a new connection");
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again_and_counted() {
    let net = net().await;
    let mut line = net.line("unordered", channel(Delivery::ReliableUnordered)).await;
    warm_up(&line.out, &mut line.peer).await;
    net.relay.record();
    net.relay.block(Some(Way::ToAcceptor));
    let receipt = line.out.send(payload(1, 500)).await.unwrap();
    let is_it = |packet: &Packet| packet.way == Way::ToAcceptor && (500..600).contains(&packet.bytes);
    within("its loss", net.relay.until(|_| net.relay.recorded().iter().any(is_it))).await;
    net.relay.block(None);
    assert_eq!(number(&take(&mut line.peer).await), 1);
    within("handled", receipt).await.unwrap();
    assert_eq!((line.out.stats().retransmitted, line.out.stats().replayed), (1, 0));
    assert_eq!(line.peer_out.stats().received, 2);
}

/// The first message of a lane may wait for its announcement.
async fn warm_up(out: &Channel, inbox: &mut Inbox) {
    let receipt = out.send(payload(0, 10)).await.unwrap();
    assert_eq!(number(&take(inbox).await), 0);
    assert!(matches!(within("over", receipt.outcome()).await, Outcome::Handled | Outcome::Unknown));
}

#[tokio::test]
async fn a_packet_that_is_missing_delays_no_other_unordered_message() {
    let net = net().await;
    for mode in [Delivery::ReliableUnordered, Delivery::Unreliable] {
        let mut line = net.line(&mode.to_string(), channel(mode)).await;
        warm_up(&line.out, &mut line.peer).await;
        // The message has a large packet of its own, and so has each repetition of it. The others fit in small ones.
        net.relay.hold(Way::ToAcceptor, 900);
        let first = line.out.send(payload(1, 1_000)).await.unwrap();
        within("a packet held back", net.relay.until(|counts| counts.held > 0)).await;
        let mut receipts = Vec::new();
        for number in 2..30 {
            receipts.push(line.out.send(payload(number, 100)).await.unwrap());
            let taken = crate::support::number(&take(&mut line.peer).await);
            assert_eq!(taken, number, "only the first one is held back");
        }
        for receipt in receipts {
            assert!(matches!(within("over", receipt.outcome()).await, Outcome::Handled | Outcome::Unknown));
        }
        net.relay.release().await;
        let late = take(&mut line.peer).await;
        assert_eq!((number(&late), late.skipped()), (1, 0));
        assert!(matches!(within("over", first.outcome()).await, Outcome::Handled | Outcome::Unknown));
        let stats = line.peer_out.stats();
        assert_eq!((stats.delivered, stats.missing, stats.stale), (30, 0, 0), "{mode}");
    }
}

#[tokio::test]
async fn an_older_sample_that_is_late_is_not_handed_over_and_counted() {
    let net = net().await;
    let mut line = net.line("samples", channel(Delivery::UnreliableSequenced)).await;
    warm_up(&line.out, &mut line.peer).await;
    net.relay.hold(Way::ToAcceptor, 900);
    drop(line.out.send(payload(1, 1_000)).await.unwrap());
    within("a packet held back", net.relay.until(|counts| counts.held > 0)).await;
    drop(line.out.send(payload(2, 100)).await.unwrap());
    let newer = take(&mut line.peer).await;
    assert_eq!((number(&newer), newer.skipped()), (2, 1));
    assert_eq!(line.peer_out.stats().missing, 0, "it may still come");
    net.relay.release().await;
    until("the late one", || line.peer_out.stats().stale == 1).await;
    drop(line.out.send(payload(3, 100)).await.unwrap());
    let next = take(&mut line.peer).await;
    assert_eq!((number(&next), next.skipped()), (3, 0));
    let stats = line.peer_out.stats();
    assert_eq!((stats.delivered, stats.stale, stats.missing, stats.duplicates), (3, 1, 0, 0));
}

#[tokio::test]
async fn what_the_network_loses_of_an_unreliable_channel_is_lost_and_counted() {
    for mode in [Delivery::Unreliable, Delivery::UnreliableSequenced] {
        let net = net().await;
        let mut line = net.line("samples", channel(mode)).await;
        warm_up(&line.out, &mut line.peer).await;
        net.relay.lose(37, 11);
        let (mut taken, mut last) = (BTreeSet::from([0]), 0);
        while last < 600 {
            last += 1;
            let size = if last % 10 == 0 { 3_000 } else { 200 };
            let receipt = line.out.send(payload(last, size)).await.unwrap();
            assert_eq!(within("over", receipt.outcome()).await, Outcome::Unknown);
            while let Some(message) = line.peer.try_recv() {
                keep(&message, mode, &mut taken);
            }
        }
        net.relay.lose(0, 0);
        // A message is missing when it is so late that it could not be taken any more: 1,024 numbers.
        for _ in 0..2_000 {
            last += 1;
            drop(line.out.send(payload(last, 200)).await.unwrap());
            if let Ok(message) = tokio::time::timeout(Duration::from_millis(300), line.peer.recv()).await {
                keep(&message.unwrap(), mode, &mut taken);
            }
        }
        until("all receipts", || ended(&line.out.stats()) == line.out.stats().accepted).await;
        let (here, there) = (line.out.stats(), line.peer_out.stats());
        assert!(here.dropped == 0 && there.missing > 0, "nothing was lost: {here:?} {there:?}");
        assert_eq!((there.delivered, there.duplicates), (taken.len() as u64, 0));
        let last_taken = *taken.last().unwrap();
        let recent = (last_taken - 1023..=last_taken).filter(|number| !taken.contains(number)).count() as u64;
        let all = there.delivered + there.missing + there.stale + recent;
        assert_eq!(all, u64::from(last_taken) + 1, "{there:?}");
        assert_eq!((here.unknown, here.retransmitted, here.replayed), (here.accepted, 0, 0));
    }
}

fn keep(message: &bowline::Message, mode: Delivery, taken: &mut BTreeSet<u32>) {
    let number = number(message);
    assert!(*message.payload() == payload(number, message.payload().len()), "{number} is not what was sent");
    if mode == Delivery::UnreliableSequenced {
        assert!(taken.last().is_none_or(|&last| last < number), "{number} after {:?}", taken.last());
    }
    assert!(taken.insert(number), "{number} came twice");
}

#[tokio::test]
async fn the_newest_state_arrives_through_loss() {
    let net = net().await;
    net.relay.lose(37, 3);
    let line = net.line("states", channel(Delivery::ReliableLatest)).await;
    for (out, mut inbox) in [(line.out, line.peer), (line.peer_out, line.back)] {
        let sending = tokio::spawn(async move {
            let mut receipts = Vec::new();
            for number in 0..500 {
                receipts.push(out.send(payload(number, 300)).await.unwrap());
                tokio::task::yield_now().await;
            }
            (out, receipts)
        });
        let mut taken = BTreeSet::new();
        while taken.last() != Some(&499) {
            let number = number(&take(&mut inbox).await);
            assert!(taken.last().is_none_or(|&last| last < number), "{number} is older than {taken:?}");
            taken.insert(number);
        }
        let (out, receipts) = within("all sends", sending).await.unwrap();
        for (number, receipt) in (0..).zip(receipts) {
            let expected = if taken.contains(&number) { Outcome::Handled } else { Outcome::Superseded };
            assert_eq!(within("an outcome", receipt.outcome()).await, expected, "of {number}");
        }
        assert_eq!(ended(&out.stats()), 500);
    }
}

/// Sends messages of this size, each another one, until one arrives. How many that took.
async fn until_one_arrives(out: &Channel, inbox: &mut Inbox, next: &mut u32, size: usize) -> u32 {
    let begun = *next;
    within("an unreliable message", async {
        loop {
            *next += 1;
            drop(out.send(payload(*next, size)).await.unwrap());
            let patience = Duration::from_millis(20);
            while let Ok(message) = tokio::time::timeout(patience, inbox.recv()).await {
                let message = message.expect("the channel goes on");
                let number = number(&message);
                assert!(*message.payload() == payload(number, message.payload().len()), "not what was sent");
                if message.payload().len() == size && number > begun {
                    return;
                }
            }
        }
    })
    .await;
    *next - begun
}

#[tokio::test]
async fn a_path_that_becomes_narrower_carries_unreliable_messages_in_more_pieces() {
    /// Fits one packet of the path as it is at first, and none of the narrow one.
    const SIZE: usize = 1_350;
    const NARROW: usize = 1_252;
    let net = net().await;
    let config = channel(Delivery::Unreliable);
    let mut line = net.line("samples", config).await;
    let mut next = 0;
    // Until the path is known to be wide, a message of this size takes two packets.
    within("a wide packet", async {
        net.relay.record();
        loop {
            until_one_arrives(&line.out, &mut line.peer, &mut next, SIZE).await;
            let wide = |packet: &Packet| packet.way == Way::ToAcceptor && packet.bytes > SIZE;
            // One is the probe that has found it out.
            if net.relay.recorded().into_iter().filter(wide).count() > 3 {
                break;
            }
        }
    })
    .await;
    net.relay.narrow(NARROW);
    let lost = until_one_arrives(&line.out, &mut line.peer, &mut next, SIZE).await;
    println!("{lost} messages until the narrow path was known");
    let dropped = net.relay.counts().dropped;
    assert!(dropped > 0, "no packet was too wide");
    for _ in 0..20 {
        until_one_arrives(&line.out, &mut line.peer, &mut next, SIZE).await;
    }
    let reliable = net.line("reliable", ChannelConfig::new(Delivery::ReliableUnordered)).await;
    let mut inbox = reliable.peer;
    for (number, size) in [(1, 1_100), (2, SIZE), (3, 64 * KIB), (4, 300 * KIB)] {
        let receipt = reliable.out.send(payload(number, size)).await.unwrap();
        assert!(*take(&mut inbox).await.payload() == payload(number, size), "{size} bytes");
        within("handled", receipt).await.unwrap();
    }
    assert_eq!(net.dialed.stats().attaches, 1, "a narrow path is no reason for a new connection");
}
