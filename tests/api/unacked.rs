//! Messages that the application acknowledges itself.

use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Waker};

use bowline::Unacked;
use bowline::error::Outcome;

use crate::support::{Line, line, pair, text, within};

async fn take(line: &mut Line) -> Unacked {
    within("a message", line.peer.recv_unacked()).await.expect("the channel goes on")
}

#[tokio::test]
async fn a_message_is_handled_when_it_is_acknowledged_and_not_before() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "jobs").await;
    let receipt = line.out.send("job").await.unwrap();
    let job = take(&mut line).await;
    assert_eq!((&job.payload()[..], job.attempt(), job.redelivered()), (&b"job"[..], 1, false));
    // A whole exchange later it is still not handled.
    let later = line.out.send("later").await.unwrap();
    assert_eq!(text(&mut line.peer).await, "later");
    within("handled", later.outcome()).await;
    let mut outcome = pin!(receipt.outcome());
    assert!(outcome.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    job.ack();
    assert_eq!(within("handled", outcome).await, Outcome::Handled);
}

#[tokio::test]
async fn messages_may_be_acknowledged_in_any_order() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "jobs").await;
    let mut receipts = Vec::new();
    let mut jobs = Vec::new();
    for number in 0..20 {
        receipts.push(line.out.send(number.to_string()).await.unwrap());
        let job = take(&mut line).await;
        assert_eq!(job.payload()[..], *number.to_string().as_bytes());
        jobs.push(job);
    }
    while let (Some(job), Some(receipt)) = (jobs.pop(), receipts.pop()) {
        assert_eq!(job.id(), receipt.id());
        job.ack();
        assert_eq!(within("handled", receipt.outcome()).await, Outcome::Handled);
        if let Some(earlier) = receipts.last() {
            let mut outcome = pin!(earlier.outcome());
            assert!(outcome.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    }
}

#[tokio::test]
async fn a_dropped_message_comes_again_first_under_the_same_name() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "jobs").await;
    for number in 0..4 {
        drop(line.out.send(number.to_string()).await.unwrap());
    }
    let (zero, one) = (take(&mut line).await, take(&mut line).await);
    let (zero_id, one_id) = (zero.id(), one.id());
    drop(one);
    drop(zero);
    for (id, attempt) in [(zero_id, 2), (one_id, 2)] {
        let again = take(&mut line).await;
        assert_eq!((again.id(), again.attempt()), (id, attempt), "before anything not delivered yet");
        again.ack();
    }
    // First deliveries are in order and once each (guarantees G3 and G4).
    for number in 2..4 {
        let job = take(&mut line).await;
        assert_eq!((&job.payload()[..], job.attempt()), (number.to_string().as_bytes(), 1));
        job.ack();
    }
    assert_eq!(line.peer_out.stats().delivered, 4);
}

#[tokio::test]
async fn both_ways_of_receiving_can_be_mixed() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "mixed").await;
    let receipts = [line.out.send("a").await.unwrap(), line.out.send("b").await.unwrap()];
    drop(take(&mut line).await);
    // What came back is taken by whoever asks next.
    assert_eq!(text(&mut line.peer).await, "a");
    let b = take(&mut line).await;
    b.ack();
    for receipt in receipts {
        within("handled", receipt).await.unwrap();
    }
}

#[tokio::test]
async fn a_cancelled_receive_takes_nothing() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "calm").await;
    for number in 0..50 {
        tokio::select! {
            biased;
            _ = line.peer.recv_unacked() => panic!("nothing was sent"),
            () = ready(()) => {}
        }
        drop(line.out.send(number.to_string()).await.unwrap());
        assert_eq!(text(&mut line.peer).await, number.to_string());
    }
}

#[tokio::test]
async fn what_is_held_by_the_application_survives_a_new_connection() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "jobs").await;
    let receipt = line.out.send("long job").await.unwrap();
    let job = take(&mut line).await;
    let mut events = pair.dialed.events();
    pair.dialed.network_changed();
    crate::support::event(&mut events, "Resumed", |it| {
        matches!(it, bowline::protocol::types::Event::Resumed { replayed: 0 })
    })
    .await;
    job.ack();
    assert_eq!(within("handled", receipt.outcome()).await, Outcome::Handled);
    assert_eq!(line.peer.try_recv(), None, "it does not come twice");
}
