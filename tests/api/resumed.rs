//! Every delivery mode through connections that die while messages are on their way.

use std::collections::BTreeSet;

use bowline::error::Outcome;
use bowline::{Channel, Delivery, Inbox, Receipt};
use tokio::sync::watch;

use crate::support::{Dice, channel, ended, is_empty, net, number, payload, take, until, within};

const COUNT: u32 = 2_000;
const KILLS: u64 = 8;

/// Small ones that share packets, some with a packet of their own, and some that need several.
fn size(number: u32) -> usize {
    4 + number as usize * 7919 % 1500 + if number.is_multiple_of(50) { 8_000 } else { 0 }
}

async fn send(channel: Channel) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for number in 0..COUNT {
        receipts.push(channel.send(payload(number, size(number))).await.unwrap());
    }
    receipts
}

/// Takes all messages, each once and whole, telling how many have come.
async fn receive(mut inbox: Inbox, progress: watch::Sender<u32>) -> Inbox {
    let mut missing: BTreeSet<u32> = (0..COUNT).collect();
    while !missing.is_empty() {
        let message = inbox.recv().await.expect("the channel goes on");
        let number = number(&message);
        assert!(missing.remove(&number), "{number} came twice");
        assert!(*message.payload() == payload(number, size(number)), "{number} is not what was sent");
        assert!(!message.redelivered());
        progress.send_modify(|count| *count += 1);
    }
    inbox
}

#[tokio::test]
async fn unordered_messages_arrive_once_each_through_dead_connections() {
    let net = net().await;
    // Small, so that there is always something under way, and never everything.
    let config = channel(Delivery::ReliableUnordered).outbox(200, 1 << 20);
    let line = net.line("unordered", config).await;
    let (out, peer_out) = (line.out.clone(), line.peer_out.clone());
    let (at_acceptor, mut seen) = watch::channel(0);
    let (at_dialer, _) = watch::channel(0);
    let there = tokio::spawn(receive(line.peer, at_acceptor));
    let back = tokio::spawn(receive(line.back, at_dialer));
    let sends = [tokio::spawn(send(line.out)), tokio::spawn(send(line.peer_out))];
    let mut dice = Dice::new(3);
    let mut points: Vec<u32> = (0..KILLS).map(|_| dice.below(u64::from(COUNT) * 9 / 10) as u32).collect();
    points.sort_unstable();
    for point in points {
        within("the next point", seen.wait_for(|count| *count >= point)).await.unwrap();
        net.kill_after_losing(1 + dice.below(4) as usize).await;
    }
    let _inboxes = within("all messages", async { (there.await.unwrap(), back.await.unwrap()) }).await;
    for receipts in sends {
        for receipt in within("all sends", receipts).await.unwrap() {
            assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
        }
    }
    for (here, there) in [(out.stats(), peer_out.stats()), (peer_out.stats(), out.stats())] {
        let all = u64::from(COUNT);
        assert_eq!((here.handled, there.delivered, there.received), (all, all, all));
        assert!(is_empty(&here, &there), "{here:?} {there:?}");
    }
    assert!(out.stats().replayed > 0, "nothing was under way when a connection died");
    assert!(net.dialed.stats().resumes >= KILLS);
}

#[tokio::test]
async fn the_newest_state_arrives_through_dead_connections() {
    let net = net().await;
    let mut line = net.line("states", channel(Delivery::ReliableLatest)).await;
    let (mut taken, mut receipts, mut next) = (BTreeSet::new(), Vec::new(), 0);
    for turn in 0..KILLS {
        for _ in 0..20 {
            receipts.push(line.out.send(payload(next, size(next))).await.unwrap());
            next += 1;
            tokio::task::yield_now().await;
        }
        // Some are sent while there is no connection.
        if turn % 4 != 1 {
            net.kill().await;
        } else {
            net.disconnect().await;
            for _ in 0..20 {
                receipts.push(line.out.send(payload(next, size(next))).await.unwrap());
                next += 1;
            }
            net.reconnect().await;
        }
        while taken.last() != Some(&(next - 1)) {
            let message = take(&mut line.peer).await;
            let number = number(&message);
            assert!(taken.last().is_none_or(|&last| last < number), "{number} is older than {taken:?}");
            assert!(*message.payload() == payload(number, size(number)));
            taken.insert(number);
        }
    }
    for (number, receipt) in (0..).zip(&receipts) {
        let expected = if taken.contains(&number) { Outcome::Handled } else { Outcome::Superseded };
        assert_eq!(within("an outcome", receipt.outcome()).await, expected, "of {number}");
    }
    let (here, there) = (line.out.stats(), line.peer_out.stats());
    assert_eq!((here.handled, here.superseded + here.handled), (taken.len() as u64, u64::from(next)));
    assert_eq!(there.delivered, taken.len() as u64);
    until("nothing is kept", || is_empty(&line.out.stats(), &line.peer_out.stats())).await;
}

#[tokio::test]
async fn unreliable_messages_go_on_after_a_dead_connection_and_none_comes_twice() {
    let net = net().await;
    for mode in [Delivery::Unreliable, Delivery::UnreliableSequenced] {
        let mut line = net.line(&mode.to_string(), channel(mode)).await;
        let (mut taken, mut next) = (BTreeSet::new(), 0);
        for _ in 0..4 {
            let begun = next;
            within("a message over this connection", async {
                while taken.last().is_none_or(|&last| last < begun) {
                    drop(line.out.send(payload(next, size(next))).await.unwrap());
                    next += 1;
                    let patience = std::time::Duration::from_millis(100);
                    while let Ok(message) = tokio::time::timeout(patience, line.peer.recv()).await {
                        let message = message.expect("the channel goes on");
                        let number = number(&message);
                        assert!(taken.insert(number), "{number} came twice");
                        assert_eq!(message.id().sequence, u64::from(number), "numbers go on");
                        assert!(*message.payload() == payload(number, size(number)));
                        if number >= begun {
                            break;
                        }
                    }
                }
            })
            .await;
            // These may be lost, but not doubled.
            for _ in 0..20 {
                drop(line.out.send(payload(next, size(next))).await.unwrap());
                next += 1;
            }
            net.kill().await;
        }
        let (here, there) = (line.out.stats(), line.peer_out.stats());
        assert_eq!((here.replayed, here.retransmitted, there.duplicates), (0, 0, 0));
        until("all receipts", || ended(&line.out.stats()) == u64::from(next)).await;
    }
}

#[tokio::test]
async fn what_was_sent_without_a_connection_arrives_with_the_next_one() {
    let net = net().await;
    let mut lines = Vec::new();
    for mode in Delivery::ALL {
        let mut line = net.line(&mode.to_string(), channel(mode)).await;
        drop(line.out.send(payload(0, 10)).await.unwrap());
        take(&mut line.peer).await;
        until("its receipt", || ended(&line.out.stats()) == 1).await;
        lines.push((mode, line));
    }
    net.disconnect().await;
    let mut sent = Vec::new();
    for (mode, line) in lines {
        let mut receipts = Vec::new();
        for number in 1..=20 {
            receipts.push(line.out.send(payload(number, 300)).await.unwrap());
        }
        let kept = if mode == Delivery::ReliableLatest { 1 } else { 20 };
        assert_eq!(line.out.stats().outbox_messages, kept, "{mode}");
        sent.push((mode, line, receipts));
    }
    net.reconnect().await;
    for (mode, mut line, receipts) in sent {
        let first = if mode == Delivery::ReliableLatest { 20 } else { 1 };
        for expected in first..=20 {
            assert_eq!(number(&take(&mut line.peer).await), expected, "{mode}");
        }
        for receipt in &receipts {
            let last = receipt.id().sequence == 20;
            let expected = match mode {
                Delivery::ReliableLatest if !last => Outcome::Superseded,
                mode if mode.is_reliable() => Outcome::Handled,
                _ => Outcome::Unknown,
            };
            assert_eq!(within("an outcome", receipt.outcome()).await, expected, "{mode}");
        }
        assert_eq!(line.out.stats().replayed, 0, "it was written once");
    }
}
