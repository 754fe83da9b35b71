//! What the handles of every mode do: sends that never wait, messages taken back, given more time or skipped, and large ones
//! under way.

use std::time::Duration;

use bowline::error::{DeliveryError, ExtendError, Outcome};
use bowline::{ChannelConfig, Delivery, Progress, SendOptions};

use crate::support::{Line, line, line_with, ordered, pair, text, until, within};

/// One message, so that what is left out after it is seen to be missing.
async fn begin(line: &mut Line) {
    drop(line.out.send("first").await.unwrap());
    assert_eq!(text(&mut line.peer).await, "first");
}

fn mode(delivery: Delivery) -> ChannelConfig {
    ChannelConfig::new(delivery)
}

#[tokio::test]
async fn an_unreliable_channel_never_waits_and_drops_the_oldest() {
    let pair = pair().await;
    let config = mode(Delivery::UnreliableSequenced);
    let mut line =
        line_with(&pair.dialed, &pair.accepted, "now", config.clone().outbox(2, 64 * 1024), config).await;
    // A label that is met later is known later: what comes before that is lost on an unreliable channel.
    begin(&mut crate::support::line(&pair.dialed, &pair.accepted, "later").await).await;
    begin(&mut line).await;
    // Nothing else runs between these.
    let mut receipts = Vec::new();
    for number in 0..5 {
        receipts.push(line.out.send(number.to_string()).await.unwrap());
    }
    for dropped in &receipts[..3] {
        assert_eq!(dropped.progress(), Progress::Resolved(Outcome::Dropped));
        assert!(!dropped.cancel());
    }
    let message = within("a message", line.peer.recv()).await.unwrap();
    assert_eq!((&message.payload()[..], message.skipped()), (&b"3"[..], 3));
    assert_eq!(text(&mut line.peer).await, "4");
    for sent in &receipts[3..] {
        assert_eq!(within("an outcome", sent.outcome()).await, Outcome::Unknown);
    }
    let error = receipts.swap_remove(0).await.unwrap_err();
    assert_eq!(error, DeliveryError::Dropped);
    assert!(error.to_string().contains("a larger outbox"), "{error}");
    let stats = line.out.stats();
    assert_eq!((stats.accepted, stats.dropped, stats.unknown, stats.handled), (6, 3, 3, 0));
}

#[tokio::test]
async fn a_message_taken_back_in_time_never_comes_and_leaves_no_gap() {
    let pair = pair().await;
    for delivery in [Delivery::ReliableOrdered, Delivery::ReliableUnordered] {
        let mut line =
            line_with(&pair.dialed, &pair.accepted, &delivery.to_string(), mode(delivery), mode(delivery))
                .await;
        begin(&mut line).await;
        let sent = line.out.send("a mistake").await.unwrap();
        let after = line.out.send("after").await.unwrap();
        assert!(sent.cancel());
        assert_eq!(within("an outcome", sent.outcome()).await, Outcome::Cancelled);
        assert!(!sent.cancel(), "it is over");
        let message = within("a message", line.peer.recv()).await.unwrap();
        assert_eq!(message.payload()[..], *b"after");
        assert_eq!(message.skipped(), u64::from(delivery.is_ordered()));
        within("handled", after).await.unwrap();

        // Received and not taken yet: the peer is asked.
        let held = line.out.send("held").await.unwrap();
        within("received", held.received()).await.unwrap();
        assert!(held.cancel());
        assert_eq!(within("an outcome", held.outcome()).await, Outcome::Cancelled);
        drop(line.out.send("next").await.unwrap());
        assert_eq!(text(&mut line.peer).await, "next");

        // In the application's hands: it decides.
        let taken = line.out.send("taken").await.unwrap();
        let unacked = within("a message", line.peer.recv_unacked()).await.unwrap();
        assert!(taken.cancel());
        unacked.ack();
        assert_eq!(within("an outcome", taken.outcome()).await, Outcome::Handled);
        let stats = line.out.stats();
        assert_eq!((stats.accepted, stats.cancelled, stats.handled), (6, 2, 4));
    }
}

#[tokio::test]
async fn a_message_lives_until_its_deadline_wherever_it_is_then() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "perishable").await;
    let (soon, later) = (Duration::from_millis(500), Duration::from_secs(3600));
    let lost = line.out.send_with("lost", SendOptions::new().deadline(soon)).await.unwrap();
    let extended = line.out.send_with("extended", SendOptions::new().deadline(soon)).await.unwrap();
    let kept = line.out.send_with("kept", SendOptions::new().deadline(soon)).await.unwrap();
    extended.extend_deadline(later).unwrap();
    kept.remove_deadline().unwrap();
    assert_eq!(within("an outcome", lost.outcome()).await, Outcome::Expired);
    assert_eq!(lost.extend_deadline(later).unwrap_err(), ExtendError::Over(Outcome::Expired));
    let message = within("a message", line.peer.recv()).await.unwrap();
    assert_eq!((&message.payload()[..], message.skipped()), (&b"extended"[..], 1));
    let message = within("a message", line.peer.recv_unacked()).await.unwrap();
    assert_eq!((&message.payload()[..], message.skipped()), (&b"kept"[..], 0));
    message.ack();
    within("handled", extended).await.unwrap();
    within("handled", kept).await.unwrap();
    assert_eq!((line.out.stats().expired, line.out.stats().handled), (1, 2));

    // The channel's own deadline, and a message that has none.
    let config = ordered().deadline(Some(soon));
    let mut line = line_with(&pair.dialed, &pair.accepted, "all perish", config, ordered()).await;
    let lost = line.out.send("lost").await.unwrap();
    let kept = line.out.send_with("kept", SendOptions::new().no_deadline()).await.unwrap();
    let error = within("an outcome", lost).await.unwrap_err();
    assert_eq!(error, DeliveryError::Expired);
    assert_eq!(text(&mut line.peer).await, "kept");
    within("handled", kept).await.unwrap();
}

#[tokio::test]
async fn only_the_latest_state_needs_to_arrive() {
    let pair = pair().await;
    let config = mode(Delivery::ReliableLatest);
    let mut line = line_with(&pair.dialed, &pair.accepted, "state", config.clone(), config).await;
    begin(&mut line).await;
    let old = line.out.send("old").await.unwrap();
    let new = line.out.send("new").await.unwrap();
    let message = within("a message", line.peer.recv()).await.unwrap();
    assert_eq!((&message.payload()[..], message.skipped()), (&b"new"[..], 1));
    assert_eq!(within("an outcome", old.outcome()).await, Outcome::Superseded);
    within("handled", new).await.unwrap();
}

#[tokio::test]
async fn a_large_message_shows_its_progress_at_both_ends_and_others_pass_it() {
    const SIZE: usize = 24 << 20;
    let pair = pair().await;
    let config = mode(Delivery::ReliableUnordered);
    let mut line = line_with(&pair.dialed, &pair.accepted, "files", config.clone(), config).await;
    let receipt = line.out.send(vec![7; SIZE]).await.unwrap();
    let watching = tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            let next = receipt.progressed();
            match receipt.progress() {
                Progress::Partly { received, size } => seen.push((received, size)),
                Progress::Resolved(outcome) => break (seen, outcome),
                _ => {}
            }
            next.await;
        }
    });
    drop(line.out.send("small").await.unwrap());
    let (mut shown, mut arrived) = (Vec::new(), Vec::new());
    while arrived.len() < 2 {
        tokio::select! {
            true = line.peer.transfer_changed() => shown.extend(line.peer.transfers()),
            message = line.peer.recv() => arrived.push(message.expect("the channel goes on").into_payload().len()),
        }
    }
    assert_eq!(arrived, [5, SIZE]);
    let (seen, outcome) = within("the end", watching).await.unwrap();
    assert_eq!(outcome, Outcome::Handled);
    let size = SIZE as u64;
    assert!(!seen.is_empty() && seen.iter().all(|&(received, of)| received < size && of == size), "{seen:?}");
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(!shown.is_empty() && shown.iter().all(|it| it.received <= size && it.size == size), "{shown:?}");
    assert_eq!(line.peer.transfers(), []);
    assert_eq!(line.peer_out.stats().partial_bytes, 0);
}

#[tokio::test]
async fn a_large_message_can_be_refused_or_taken_back_halfway() {
    const SIZE: usize = 48 << 20;
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "files").await;
    for refused in [true, false] {
        let large = line.out.send(vec![7; SIZE]).await.unwrap();
        let after = line.out.send("after").await.unwrap();
        let transfer = within("a transfer", async {
            loop {
                let changed = line.peer.transfer_changed();
                if let Some(transfer) = line.peer.transfers().first() {
                    break *transfer;
                }
                assert!(changed.await);
            }
        })
        .await;
        assert_eq!(transfer.id, large.id());
        let outcome = if refused {
            assert!(!line.peer.reject_transfer(after.id(), "not this one"));
            assert!(line.peer.reject_transfer(large.id(), "no room on the disk"));
            assert!(!line.peer.reject_transfer(large.id(), "again"));
            Outcome::Rejected { reason: "no room on the disk".to_owned() }
        } else {
            assert!(large.cancel());
            Outcome::Cancelled
        };
        assert_eq!(within("an outcome", large.outcome()).await, outcome);
        assert_eq!(text(&mut line.peer).await, "after", "the order does not wait for it any more");
        within("handled", after).await.unwrap();
        until("nothing in part", || line.peer_out.stats().partial_bytes == 0).await;
        assert_eq!(line.peer.transfers(), []);
    }
}
