//! What each delivery mode promises while nothing goes wrong: both ways, and in every size.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline::config::LARGE;
use bowline::error::{Outcome, SendError};
use bowline::{Channel, Delivery, Inbox, Receipt};

use crate::support::{channel, ended, is_empty, line_of, number, pair, payload, take, until, within};

const KIB: usize = 1024;

/// Nothing, little, about as much as a datagram holds, more, the largest that is not large, and large.
const SIZES: [usize; 18] = [
    0,
    1,
    100,
    1_000,
    1_100,
    1_101,
    1_150,
    1_200,
    1_252,
    1_300,
    1_350,
    1_400,
    2_000,
    16 * KIB,
    LARGE - 1,
    LARGE,
    LARGE + 1,
    3 * KIB * KIB + 7,
];

/// Sends one of each size.
async fn send_all(channel: &Channel) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for (number, size) in (1..).zip(SIZES) {
        receipts.push(within("room", channel.send(payload(number, size))).await.unwrap());
    }
    receipts
}

async fn all_are_handled(channel: &Channel, receipts: Vec<Receipt>) {
    for receipt in receipts {
        assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
    }
    let stats = channel.stats();
    assert_eq!((stats.accepted, stats.handled), (SIZES.len() as u64, SIZES.len() as u64));
    assert_eq!((stats.outbox_messages, stats.outbox_bytes), (0, 0));
}

#[tokio::test]
async fn an_ordered_channel_delivers_every_size_whole_and_in_order_both_ways() {
    let pair = pair().await;
    let config = channel(Delivery::ReliableOrdered);
    let mut line = line_of(&pair.dialed, &pair.accepted, "ordered", config).await;
    for (out, inbox) in [(&line.out, &mut line.peer), (&line.peer_out, &mut line.back)] {
        let receipts = send_all(out).await;
        for (number, size) in (1..).zip(SIZES) {
            let message = take(inbox).await;
            assert!(*message.payload() == payload(number, size), "{size} bytes, {}", message.payload().len());
            assert_eq!((message.skipped(), message.redelivered()), (0, false));
        }
        all_are_handled(out, receipts).await;
    }
}

#[tokio::test]
async fn an_unordered_channel_delivers_every_size_whole_and_once_both_ways() {
    let pair = pair().await;
    let config = channel(Delivery::ReliableUnordered);
    let mut line = line_of(&pair.dialed, &pair.accepted, "unordered", config).await;
    for (out, inbox) in [(&line.out, &mut line.peer), (&line.peer_out, &mut line.back)] {
        let receipts = send_all(out).await;
        let mut missing: BTreeSet<_> = (1..).zip(SIZES).map(|(number, size)| payload(number, size)).collect();
        while !missing.is_empty() {
            let message = take(inbox).await;
            assert!(missing.remove(message.payload()), "{} bytes come twice", message.payload().len());
            assert_eq!(message.skipped(), 0);
        }
        all_are_handled(out, receipts).await;
    }
}

#[tokio::test]
async fn a_state_of_any_size_arrives_both_ways() {
    let pair = pair().await;
    let config = channel(Delivery::ReliableLatest);
    let mut line = line_of(&pair.dialed, &pair.accepted, "states", config).await;
    for (out, inbox) in [(&line.out, &mut line.peer), (&line.peer_out, &mut line.back)] {
        let mut receipts = Vec::new();
        for (number, size) in (1..).zip(SIZES) {
            receipts.push(out.send(payload(number, size)).await.unwrap());
            let message = take(inbox).await;
            assert!(*message.payload() == payload(number, size), "{size} bytes, {}", message.payload().len());
        }
        all_are_handled(out, receipts).await;
    }
}

/// Sends a message of this size until one arrives: on an unreliable channel nobody does that for us.
async fn until_one_arrives(channel: &Channel, inbox: &mut Inbox, size: usize, sent: &mut u32) {
    within("an unreliable message", async {
        loop {
            *sent += 1;
            let receipt = channel.send(payload(*sent, size)).await.unwrap();
            assert_eq!(receipt.outcome().await, Outcome::Unknown, "nobody tells what became of it");
            let patience = Duration::from_millis(500);
            while let Ok(message) = tokio::time::timeout(patience, inbox.recv()).await {
                let message = message.expect("the channel goes on");
                let number = u32::try_from(message.id().sequence).unwrap() + 1;
                assert!(number <= *sent);
                if message.payload().len() == size {
                    assert!(
                        *message.payload() == payload(number, size),
                        "{size} bytes are not what was sent"
                    );
                    return;
                }
            }
        }
    })
    .await;
}

async fn unreliable_messages_of_every_size_arrive(mode: Delivery) {
    let pair = pair().await;
    let mut line = line_of(&pair.dialed, &pair.accepted, "samples", channel(mode)).await;
    for (out, inbox) in [(&line.out, &mut line.peer), (&line.peer_out, &mut line.back)] {
        let mut sent = 0;
        for size in SIZES.into_iter().filter(|&size| size <= LARGE) {
            until_one_arrives(out, inbox, size, &mut sent).await;
        }
        let error = out.send(payload(0, LARGE + 1)).await.unwrap_err();
        assert_eq!(error, SendError::TooLargeUnreliable { size: LARGE + 1, limit: LARGE, delivery: mode });
        assert!(error.to_string().contains("send it on a reliable channel"), "{error}");
        let stats = out.stats();
        assert_eq!((stats.accepted, stats.unknown), (sent.into(), sent.into()));
        assert_eq!((stats.outbox_messages, stats.outbox_bytes, stats.retransmitted), (0, 0, 0));
    }
}

#[tokio::test]
async fn an_unreliable_channel_carries_every_size_up_to_64_kib() {
    unreliable_messages_of_every_size_arrive(Delivery::Unreliable).await;
}

#[tokio::test]
async fn a_sequenced_channel_carries_every_size_up_to_64_kib() {
    unreliable_messages_of_every_size_arrive(Delivery::UnreliableSequenced).await;
}

#[tokio::test]
async fn the_newest_state_arrives_and_the_figures_of_both_sides_agree_on_the_others() {
    const COUNT: u32 = 2_000;
    let pair = pair().await;
    let config = channel(Delivery::ReliableLatest);
    let mut line = line_of(&pair.dialed, &pair.accepted, "states", config).await;
    for (out, inbox, there) in
        [(&line.out, &mut line.peer, &line.peer_out), (&line.peer_out, &mut line.back, &line.out)]
    {
        let out = out.clone();
        let sending = tokio::spawn(async move {
            let mut receipts = Vec::new();
            for number in 0..COUNT {
                receipts.push(out.send(payload(number, 40)).await.unwrap());
                if number % 16 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            (out, receipts)
        });
        let (mut taken, mut skipped, mut first) = (Vec::new(), 0, None);
        while taken.last() != Some(&(COUNT - 1)) {
            let message = take(inbox).await;
            let number = number(&message);
            assert_eq!(*message.payload(), payload(number, 40));
            assert!(taken.last().is_none_or(|&last| last < number), "{number} is older than {taken:?}");
            // What was over before anything was taken may or may not be known here.
            skipped += if first.is_some() { message.skipped() } else { 0 };
            first.get_or_insert(number);
            taken.push(number);
        }
        let (out, receipts) = within("all sends", sending).await.unwrap();
        let first = u64::from(first.unwrap());
        assert_eq!(taken.len() as u64 + skipped, u64::from(COUNT) - first, "every gap is counted");
        let taken: BTreeSet<u32> = taken.into_iter().collect();
        for (number, receipt) in (0..).zip(&receipts) {
            let expected = if taken.contains(&number) { Outcome::Handled } else { Outcome::Superseded };
            assert_eq!(within("an outcome", receipt.outcome()).await, expected, "of {number}");
        }
        let (here, there) = (out.stats(), there.stats());
        assert_eq!((here.handled, there.delivered), (taken.len() as u64, taken.len() as u64));
        assert_eq!((here.handled + here.superseded, here.accepted), (COUNT.into(), COUNT.into()));
        assert!(here.superseded > 0, "sixteen at a time: no old one was ever passed over");
        assert!(is_empty(&here, &there), "{here:?} {there:?}");
    }
}

/// How many numbers there are in a row, from the first that came to the last.
fn span(taken: &BTreeSet<u32>) -> u64 {
    taken.last().zip(taken.first()).map_or(0, |(last, first)| u64::from(last - first) + 1)
}

#[tokio::test]
async fn unreliable_messages_come_at_most_once_and_those_that_do_not_are_counted() {
    const COUNT: u32 = 1_000;
    for mode in [Delivery::Unreliable, Delivery::UnreliableSequenced] {
        let pair = pair().await;
        let mut line = line_of(&pair.dialed, &pair.accepted, "samples", channel(mode)).await;
        let mut taken = BTreeSet::new();
        for number in 0..COUNT {
            drop(line.out.send(payload(number, 20 + number as usize % 1_000)).await.unwrap());
            // One is followed by the next before it is taken, so that they may share packets.
            if number % 5 == 4 {
                tokio::task::yield_now().await;
            }
            while let Some(message) = line.peer.try_recv() {
                note(&message, mode, &mut taken);
            }
        }
        within("the last ones", async {
            while taken.last() != Some(&(COUNT - 1)) {
                let message = tokio::time::timeout(Duration::from_millis(500), line.peer.recv()).await;
                match message {
                    Ok(message) => note(&message.unwrap(), mode, &mut taken),
                    Err(_) => drop(line.out.send(payload(COUNT - 1, 20)).await.unwrap()),
                }
            }
        })
        .await;
        let stats = line.peer_out.stats();
        assert_eq!((stats.delivered, stats.duplicates), (taken.len() as u64, 0));
        assert_eq!(
            stats.delivered + stats.missing + stats.stale + stats.overflowed,
            span(&taken),
            "{stats:?}"
        );
        let here = line.out.stats();
        assert_eq!((ended(&here), here.unknown + here.dropped), (here.accepted, here.accepted));
        until("nothing is kept", || is_empty(&line.out.stats(), &line.peer_out.stats())).await;
    }
}

fn note(message: &bowline::Message, mode: Delivery, taken: &mut BTreeSet<u32>) {
    let number = number(message);
    let size = message.payload().len();
    assert_eq!(*message.payload(), payload(number, size), "not what was sent");
    if mode == Delivery::UnreliableSequenced {
        assert!(taken.last().is_none_or(|&last| last < number), "{number} after {:?}", taken.last());
    }
    assert!(taken.insert(number), "{number} came twice");
}
