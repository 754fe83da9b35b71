//! What becomes of messages: every outcome in every mode that has it, told once, and counted alike at both ends.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline::error::Outcome;
use bowline::{Delivery, Inbox, Progress, Receipt, SendOptions};

use crate::support::{
    Dice, Line, Net, channel, ended, is_empty, net, number, pair, payload, take, until, within,
};

const RELIABLE: [Delivery; 3] =
    [Delivery::ReliableUnordered, Delivery::ReliableOrdered, Delivery::ReliableLatest];

fn rejected(reason: &str) -> Outcome {
    Outcome::Rejected { reason: reason.to_owned() }
}

/// A label on which a message has been exchanged: what is unreliable may leave.
async fn begun(net: &Net, mode: Delivery, config: bowline::ChannelConfig) -> Line {
    let mut line = net.line(&mode.to_string(), config).await;
    drop(line.out.send(payload(0, 10)).await.unwrap());
    assert_eq!(number(&take(&mut line.peer).await), 0);
    until("its receipt", || ended(&line.out.stats()) == 1).await;
    line
}

async fn outcome(receipt: &Receipt) -> Outcome {
    let outcome = within("an outcome", receipt.outcome()).await;
    assert_eq!(receipt.progress(), Progress::Resolved(outcome.clone()));
    assert_eq!(within("the same again", receipt.outcome()).await, outcome);
    assert!(!receipt.cancel(), "it is over");
    outcome
}

#[tokio::test]
async fn what_was_never_written_ends_as_its_sender_wants_in_every_mode() {
    let net = net().await;
    let mut lines = Vec::new();
    for mode in Delivery::ALL {
        lines.push((mode, begun(&net, mode, channel(mode)).await));
    }
    net.disconnect().await;
    for (mode, line) in &lines {
        let before = line.out.stats();
        let cancelled = line.out.send(payload(1, 100)).await.unwrap();
        assert!(cancelled.cancel());
        assert_eq!(outcome(&cancelled).await, Outcome::Cancelled, "{mode}");
        let brief = SendOptions::new().deadline(Duration::from_millis(30));
        let expired = line.out.send_with(payload(2, 100), brief).await.unwrap();
        assert_eq!(outcome(&expired).await, Outcome::Expired, "{mode}");
        let stats = line.out.stats();
        assert_eq!((stats.outbox_messages, stats.outbox_bytes), (0, 0), "{mode}");
        assert_eq!((stats.cancelled, stats.expired), (1, 1), "{mode}");
        assert_eq!(ended(&stats), ended(&before) + 2);
    }
    net.reconnect().await;
    for (mode, mut line) in lines {
        let last = line.out.send(payload(3, 100)).await.unwrap();
        let message = take(&mut line.peer).await;
        assert_eq!(number(&message), 3, "{mode}: the others do not come");
        assert_eq!(message.skipped(), if mode.is_ordered() { 2 } else { 0 }, "{mode}");
        let expected = if mode.is_reliable() { Outcome::Handled } else { Outcome::Unknown };
        assert_eq!(outcome(&last).await, expected, "{mode}");
    }
}

#[tokio::test]
async fn an_unreliable_outbox_that_is_full_drops_the_oldest_and_says_so() {
    let net = net().await;
    let mut lines = Vec::new();
    for mode in [Delivery::Unreliable, Delivery::UnreliableSequenced] {
        lines.push((mode, begun(&net, mode, channel(mode).outbox(4, 64 * 1024)).await));
    }
    net.disconnect().await;
    let mut kept = Vec::new();
    for (mode, line) in lines {
        let mut receipts = Vec::new();
        for number in 1..=10 {
            receipts.push(line.out.send(payload(number, 100)).await.unwrap());
        }
        // By bytes too: this one has room for itself alone.
        let large = line.out.send(payload(11, 64 * 1024)).await.unwrap();
        for receipt in &receipts {
            assert_eq!(outcome(receipt).await, Outcome::Dropped, "{mode}");
        }
        let stats = line.out.stats();
        assert_eq!((stats.dropped, stats.outbox_messages, stats.outbox_bytes), (10, 1, 64 * 1024));
        kept.push((mode, line, large));
    }
    net.reconnect().await;
    for (mode, mut line, large) in kept {
        let message = take(&mut line.peer).await;
        assert_eq!(number(&message), 11);
        assert_eq!(message.skipped(), if mode.is_ordered() { 10 } else { 0 });
        assert_eq!(outcome(&large).await, Outcome::Unknown);
    }
}

#[tokio::test]
async fn each_reliable_mode_tells_handled_from_rejected_and_withdrawn() {
    let net = net().await;
    for mode in RELIABLE {
        let mut line = begun(&net, mode, channel(mode)).await;
        let handled = line.out.send(payload(1, 100)).await.unwrap();
        within("a message", line.peer.recv_unacked()).await.unwrap().ack();
        assert_eq!(outcome(&handled).await, Outcome::Handled, "{mode}");
        let refused = line.out.send(payload(2, 100)).await.unwrap();
        within("a message", line.peer.recv_unacked()).await.unwrap().reject("not today");
        assert_eq!(outcome(&refused).await, rejected("not today"), "{mode}");
        let withdrawn = line.out.send(payload(3, 100)).await.unwrap();
        within("received", withdrawn.received()).await.unwrap();
        assert!(withdrawn.cancel());
        assert_eq!(outcome(&withdrawn).await, Outcome::Cancelled, "{mode}");
        // Too late: it is in the application's hands.
        let taken = line.out.send(payload(4, 100)).await.unwrap();
        let unacked = within("a message", line.peer.recv_unacked()).await.unwrap();
        assert_eq!(unacked.skipped(), if mode.is_ordered() { 1 } else { 0 }, "{mode}");
        assert!(taken.cancel());
        unacked.reject("after all");
        assert_eq!(outcome(&taken).await, rejected("after all"), "{mode}");
        let (here, there) = (line.out.stats(), line.peer_out.stats());
        assert_eq!((here.accepted, here.handled, here.rejected, here.cancelled), (5, 2, 2, 1), "{mode}");
        assert_eq!((there.received, there.delivered), (5, 4), "{mode}");
        assert!(is_empty(&here, &there), "{mode}: {here:?} {there:?}");
    }
}

#[tokio::test]
async fn an_unreliable_message_that_is_rejected_stays_unknown() {
    let net = net().await;
    for mode in [Delivery::Unreliable, Delivery::UnreliableSequenced] {
        let mut line = begun(&net, mode, channel(mode)).await;
        let receipt = line.out.send(payload(1, 100)).await.unwrap();
        within("a message", line.peer.recv_unacked()).await.unwrap().reject("no");
        assert_eq!(outcome(&receipt).await, Outcome::Unknown);
        let stats = line.out.stats();
        assert_eq!((stats.unknown, stats.rejected, stats.handled), (2, 0, 0));
        assert!(is_empty(&stats, &line.peer_out.stats()));
    }
}

#[tokio::test]
async fn states_that_a_newer_one_replaces_end_as_superseded_wherever_they_are() {
    let net = net().await;
    let mut line = begun(&net, Delivery::ReliableLatest, channel(Delivery::ReliableLatest)).await;
    // At the peer, untaken.
    let received = line.out.send(payload(1, 100)).await.unwrap();
    within("received", received.received()).await.unwrap();
    let newer = line.out.send(payload(2, 100)).await.unwrap();
    assert_eq!(outcome(&received).await, Outcome::Superseded);
    // In its application's hands: that decides.
    let unacked = within("a message", line.peer.recv_unacked()).await.unwrap();
    assert_eq!((unacked.skipped(), &unacked.payload()[..]), (1, &payload(2, 100)[..]));
    let newest = line.out.send(payload(3, 100)).await.unwrap();
    within("received", newest.received()).await.unwrap();
    unacked.ack();
    assert_eq!(outcome(&newer).await, Outcome::Handled);
    // Never written.
    net.disconnect().await;
    let unwritten = line.out.send(payload(4, 100)).await.unwrap();
    let last = line.out.send(payload(5, 100)).await.unwrap();
    assert_eq!(outcome(&unwritten).await, Outcome::Superseded);
    net.reconnect().await;
    assert_eq!(outcome(&newest).await, Outcome::Superseded);
    let message = take(&mut line.peer).await;
    assert_eq!((number(&message), message.skipped()), (5, 2));
    assert_eq!(outcome(&last).await, Outcome::Handled);
    let (here, there) = (line.out.stats(), line.peer_out.stats());
    assert_eq!((here.accepted, here.handled, here.superseded), (6, 3, 3));
    assert_eq!((there.delivered, there.stale), (3, here.superseded), "one of them never left and counts too");
    assert!(is_empty(&here, &there));
}

#[tokio::test]
async fn what_is_not_over_when_a_session_ends_is_unknown_in_every_mode() {
    let net = net().await;
    let mut left = Vec::new();
    for mode in Delivery::ALL {
        let line = begun(&net, mode, channel(mode)).await;
        if mode.is_reliable() {
            let receipt = line.out.send(payload(1, 100)).await.unwrap();
            within("received", receipt.received()).await.unwrap();
            left.push((receipt, line));
        } else {
            left.push((line.out.send(payload(1, 100)).await.unwrap(), line));
        }
    }
    net.disconnect().await;
    let mut unwritten = Vec::new();
    for (_, line) in &left {
        unwritten.push(line.out.send(payload(2, 100)).await.unwrap());
    }
    // A newer state has taken the place of the one that was received; nobody can tell whether in time.
    within("the end", net.dialed.close_with("", Duration::ZERO)).await;
    for receipt in left.iter().map(|(receipt, _)| receipt).chain(&unwritten) {
        assert_eq!(outcome(receipt).await, Outcome::Unknown);
    }
    for (_, line) in &left {
        let stats = line.out.stats();
        assert_eq!((ended(&stats), stats.accepted), (3, 3));
        assert_eq!((stats.outbox_messages, stats.outbox_bytes), (0, 0));
    }
}

/// What an application did with a message in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Acked,
    Rejected,
}

/// Takes everything: acknowledges, refuses, or drops it for another turn.
async fn decide(mut inbox: Inbox, seed: u64, until: u32) -> (Inbox, BTreeMap<u32, Done>) {
    let (mut dice, mut done) = (Dice::new(seed), BTreeMap::new());
    loop {
        let unacked = inbox.recv_unacked().await.expect("the channel goes on");
        let number = u32::from_be_bytes(*unacked.payload().first_chunk().unwrap());
        let decision = match dice.below(10) {
            0 | 1 if number != until => continue,
            2 => Done::Rejected,
            _ => Done::Acked,
        };
        match decision {
            Done::Acked => unacked.ack(),
            Done::Rejected => unacked.reject("no"),
        }
        assert_eq!(done.insert(number, decision), None, "{number} was decided twice");
        if number == until {
            return (inbox, done);
        }
        if dice.below(4) == 0 {
            tokio::time::sleep(Duration::from_millis(dice.below(8))).await;
        }
    }
}

/// Messages that are withdrawn, perish or are replaced at any moment, while connections die.
async fn every_receipt_tells_the_truth(mode: Delivery) {
    const COUNT: u32 = 400;
    let net = net().await;
    let line = net.line("truth", channel(mode).max_attempts(1000)).await;
    let deciding = tokio::spawn(decide(line.peer, 5, COUNT));
    let mut dice = Dice::new(mode as u64);
    let mut receipts = Vec::new();
    for number in 0..COUNT {
        let options = match dice.below(3) {
            0 => SendOptions::new().deadline(Duration::from_millis(1 + dice.below(60))),
            _ => SendOptions::new(),
        };
        let size = 10 + dice.below(2_000) as usize;
        receipts.push(line.out.send_with(payload(number, size), options).await.unwrap());
        if dice.below(4) == 0 {
            let which = dice.below(receipts.len() as u64) as usize;
            receipts[which.max(receipts.len().saturating_sub(10))].cancel();
        }
        if number % 130 == 129 {
            net.kill_after_losing(1).await;
        }
        if dice.below(3) == 0 {
            tokio::time::sleep(Duration::from_millis(dice.below(4))).await;
        }
    }
    // The last one stays, or the other side would never know the end.
    let last = within("the last one", line.out.send(payload(COUNT, 10))).await.unwrap();
    let (_inbox, done) = within("all decisions", deciding).await.unwrap();
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    receipts.push(last);
    for (number, receipt) in (0..).zip(&receipts) {
        let outcome = outcome(receipt).await;
        let truth = match &outcome {
            Outcome::Handled => Some(Done::Acked),
            Outcome::Rejected { .. } => Some(Done::Rejected),
            Outcome::Expired | Outcome::Cancelled => None,
            Outcome::Superseded if mode == Delivery::ReliableLatest => None,
            other => panic!("{number} ended as {other:?}"),
        };
        assert_eq!(done.get(&number).copied(), truth, "{number} ended as {outcome:?}");
        *found.entry(format!("{outcome:?}")).or_default() += 1;
    }
    println!("{mode}: {found:?}");
    let (here, there) = (line.out.stats(), line.peer_out.stats());
    let count = |outcome: &Outcome| found.get(&format!("{outcome:?}")).copied().unwrap_or(0);
    assert_eq!(here.handled, count(&Outcome::Handled));
    assert_eq!(here.rejected, count(&rejected("no")));
    assert_eq!(here.expired, count(&Outcome::Expired));
    assert_eq!(here.cancelled, count(&Outcome::Cancelled));
    assert_eq!(here.superseded, count(&Outcome::Superseded));
    assert_eq!((ended(&here), here.accepted), (u64::from(COUNT) + 1, u64::from(COUNT) + 1));
    match mode {
        Delivery::ReliableLatest => assert!(here.handled > 0 && here.superseded > 0, "{found:?}"),
        _ => assert!(here.handled > 0 && here.expired > 0 && here.cancelled > 0, "{found:?}"),
    }
    assert!(there.delivered >= here.handled + here.rejected);
    until("nothing is kept", || is_empty(&line.out.stats(), &line.peer_out.stats())).await;
}

#[tokio::test]
async fn receipts_of_an_ordered_channel_tell_the_truth_whatever_happens() {
    every_receipt_tells_the_truth(Delivery::ReliableOrdered).await;
}

#[tokio::test]
async fn receipts_of_an_unordered_channel_tell_the_truth_whatever_happens() {
    every_receipt_tells_the_truth(Delivery::ReliableUnordered).await;
}

#[tokio::test]
async fn receipts_of_states_tell_the_truth_whatever_happens() {
    every_receipt_tells_the_truth(Delivery::ReliableLatest).await;
}

#[tokio::test]
async fn an_inbox_that_is_dropped_rejects_what_waits_in_every_reliable_mode() {
    let pair = pair().await;
    for mode in RELIABLE {
        let line =
            crate::support::line_of(&pair.dialed, &pair.accepted, &mode.to_string(), channel(mode)).await;
        let small = line.out.send(payload(1, 100)).await.unwrap();
        within("received", small.received()).await.unwrap();
        drop(line.peer);
        assert_eq!(outcome(&small).await, rejected("the receiver closed this channel"), "{mode}");
        let there = line.peer_out.stats();
        assert_eq!((there.inbox_messages, there.inbox_bytes, there.partial_bytes), (0, 0, 0));
    }
}
