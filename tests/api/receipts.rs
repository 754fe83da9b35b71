//! What receipts say, and when.

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use bowline::error::{DeliveryError, ExtendError, Outcome};
use bowline::protocol::types::Progress;

use crate::support::{line, line_with, ordered, pair, text, within};

#[tokio::test]
async fn a_message_is_accepted_then_received_then_handled() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "steps").await;
    let receipt = line.out.send("step by step").await.unwrap();
    // Nothing else has run since.
    assert_eq!(receipt.progress(), Progress::Accepted);
    within("received", receipt.received()).await.unwrap();
    assert_eq!(receipt.progress(), Progress::Received);
    let mut outcome = pin!(receipt.outcome());
    assert!(outcome.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(text(&mut line.peer).await, "step by step");
    assert_eq!(within("handled", outcome).await, Outcome::Handled);
    assert_eq!(receipt.progress(), Progress::Resolved(Outcome::Handled));
}

#[tokio::test]
async fn each_step_of_a_message_can_be_awaited() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "steps").await;
    let receipt = line.out.send("step by step").await.unwrap();
    // What was true at the call counts, not at the first poll.
    let next = receipt.progressed();
    within("received", receipt.received()).await.unwrap();
    assert_eq!(within("the first step", next).await, Progress::Received);
    let (mut next, mut dropped) = (pin!(receipt.progressed()), Box::pin(receipt.progressed()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(next.as_mut().poll(&mut cx).is_pending() && dropped.as_mut().poll(&mut cx).is_pending());
    drop(dropped);
    assert_eq!(text(&mut line.peer).await, "step by step");
    let over = Progress::Resolved(Outcome::Handled);
    assert_eq!(within("the last step", next).await, over);
    assert_eq!(within("no further step", receipt.progressed()).await, over);
}

#[tokio::test]
async fn what_is_over_can_neither_be_withdrawn_nor_extended() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "over").await;
    let receipt = line.out.send("taken").await.unwrap();
    let error = receipt.extend_deadline(Duration::ZERO).unwrap_err();
    assert_eq!(error, ExtendError::DeadlinePassed);
    assert!(error.to_string().contains("use `cancel`"), "{error}");
    assert_eq!(text(&mut line.peer).await, "taken");
    assert_eq!(within("handled", receipt.outcome()).await, Outcome::Handled);
    assert!(!receipt.cancel());
    assert_eq!(receipt.outcome().await, Outcome::Handled);
}

#[tokio::test]
async fn a_rejected_message_says_why() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "jobs").await;
    let (bad, good) = (line.out.send("bad").await.unwrap(), line.out.send("good").await.unwrap());
    within("a job", line.peer.recv_unacked()).await.unwrap().reject("no such job");
    within("a job", line.peer.recv_unacked()).await.unwrap().ack();
    let reason = "no such job".to_owned();
    assert_eq!(within("the verdict", bad.outcome()).await, Outcome::Rejected { reason: reason.clone() });
    within("the other job", good).await.unwrap();
    let error = within("the verdict", bad).await.unwrap_err();
    assert!(error.to_string().contains("no such job"), "{error}");
    assert_eq!(error, DeliveryError::Rejected { reason });
    let stats = line.out.stats();
    assert_eq!((stats.rejected, stats.handled), (1, 1));
}

#[tokio::test]
async fn a_message_that_nobody_acknowledges_is_rejected_after_its_attempts() {
    let pair = pair().await;
    let mut line =
        line_with(&pair.dialed, &pair.accepted, "jobs", ordered(), ordered().max_attempts(3)).await;
    let receipt = line.out.send("too hot to touch").await.unwrap();
    for attempt in 1..=3 {
        let job = within("a job", line.peer.recv_unacked()).await.unwrap();
        assert_eq!(job.attempt(), attempt);
        drop(job);
    }
    match within("the verdict", receipt.outcome()).await {
        Outcome::Rejected { reason } => assert!(reason.contains("3 times"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let after = line.out.send("next").await.unwrap();
    assert_eq!(text(&mut line.peer).await, "next");
    within("handled", after).await.unwrap();
}

#[tokio::test]
async fn a_dropped_inbox_rejects_what_waited_and_what_still_comes() {
    let pair = pair().await;
    let line = line(&pair.dialed, &pair.accepted, "deaf").await;
    let waited = line.out.send("untaken").await.unwrap();
    within("received", waited.received()).await.unwrap();
    drop(line.peer);
    let reason = "the receiver closed this channel".to_owned();
    assert_eq!(within("the verdict", waited.outcome()).await, Outcome::Rejected { reason });
    within("the refusal", async {
        while let Ok(receipt) = line.out.send("more").await {
            assert!(matches!(receipt.outcome().await, Outcome::Rejected { .. }));
        }
    })
    .await;
    let error = line.out.try_send("more").unwrap_err();
    assert!(error.to_string().contains("the receiver closed this channel"), "{error}");
}

#[tokio::test]
async fn a_session_that_closes_first_leaves_the_fate_unknown() {
    let pair = pair().await;
    let line = line(&pair.dialed, &pair.accepted, "late").await;
    let receipt = line.out.send("never taken").await.unwrap();
    within("received", receipt.received()).await.unwrap();
    let reason = within("the end", pair.dialed.close_with("in a hurry", Duration::ZERO)).await;
    assert!(!reason.clean, "{reason}");
    assert_eq!(receipt.outcome().await, Outcome::Unknown);
    assert_eq!(line.out.stats().unknown, 1);
    let error = receipt.await.unwrap_err();
    assert!(error.to_string().contains("ask the peer before sending it again"), "{error}");
}

#[tokio::test]
async fn an_outcome_is_kept_and_given_to_everyone_who_asks() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "once").await;
    let receipt = std::sync::Arc::new(line.out.send("once").await.unwrap());
    let asking: Vec<_> = (0..5)
        .map(|_| {
            let receipt = receipt.clone();
            tokio::spawn(async move { receipt.outcome().await })
        })
        .collect();
    assert_eq!(text(&mut line.peer).await, "once");
    for asked in asking {
        assert_eq!(within("an outcome", asked).await.unwrap(), Outcome::Handled);
    }
    within("the end", pair.dialed.close()).await;
    assert_eq!(receipt.outcome().await, Outcome::Handled, "it was handled before the session ended");
    assert_eq!(receipt.received().await, Ok(()));
}

#[tokio::test]
async fn dropping_a_receipt_does_not_take_the_message_back() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "dropped").await;
    for number in 0..100 {
        let receipt = line.out.send(number.to_string()).await.unwrap();
        if number % 2 == 0 {
            // Also one that was being waited for.
            let mut handled = pin!(receipt.into_future());
            assert!(handled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    }
    for number in 0..100 {
        assert_eq!(text(&mut line.peer).await, number.to_string());
    }
}

#[tokio::test]
async fn receipts_of_a_finished_channel_still_resolve() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "short").await;
    let receipts = [line.out.send("a").await.unwrap(), line.out.send("b").await.unwrap()];
    line.out.finish();
    line.peer_out.finish();
    assert_eq!(text(&mut line.peer).await, "a");
    assert_eq!(text(&mut line.peer).await, "b");
    assert_eq!(within("the end of the inbox", line.peer.recv()).await, None);
    assert_eq!(within("the end of the inbox", line.back.recv()).await, None);
    for receipt in receipts {
        within("handled", receipt).await.unwrap();
    }
}
