//! Many messages at once, and those that are still on their way.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use bowline::error::Outcome;
use bowline::{InboxEnd, Unacked};
use tokio::select;

use crate::support::{Line, line, pair, text, within};

/// A line on which that many messages wait to be taken, called by their numbers.
async fn filled(pair: &crate::support::Pair, label: &str, messages: usize) -> (Line, Vec<bowline::Receipt>) {
    let line = line(&pair.dialed, &pair.accepted, label).await;
    let mut receipts = Vec::new();
    for number in 0..messages {
        receipts.push(line.out.send(number.to_string()).await.unwrap());
    }
    for receipt in &receipts {
        within("received", receipt.received()).await.unwrap();
    }
    (line, receipts)
}

fn numbers(payloads: impl Iterator<Item = bytes::Bytes>) -> Vec<usize> {
    payloads.map(|payload| std::str::from_utf8(&payload).unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn all_that_is_there_is_taken_at_once_and_handled() {
    let pair = pair().await;
    let (mut line, receipts) = filled(&pair, "many", 10).await;
    let mut taken = Vec::new();
    assert_eq!(line.peer.recv_many(&mut taken, 0).await, 0, "none were asked for");
    assert_eq!(within("some", line.peer.recv_many(&mut taken, 4)).await, 4);
    assert_eq!(within("the rest", line.peer.recv_many(&mut taken, usize::MAX)).await, 6);
    assert_eq!(numbers(taken.drain(..).map(|it| it.into_payload())), (0..10).collect::<Vec<_>>());
    for receipt in receipts {
        within("handled", receipt).await.unwrap();
    }
    // With nothing there it waits, takes nothing when it is given up, and tells the end.
    select! {
        biased;
        _ = line.peer.recv_many(&mut taken, 10) => panic!("nothing is there"),
        () = std::future::ready(()) => {}
    }
    drop(line.out.send("last").await.unwrap());
    line.out.finish();
    assert_eq!(within("the last", line.peer.recv_many(&mut taken, 10)).await, 1);
    assert_eq!(within("the end", line.peer.recv_many(&mut taken, 10)).await, 0);
    assert_eq!((taken.len(), line.peer.end()), (1, Some(InboxEnd::Finished)));
}

#[tokio::test]
async fn one_batch_is_bounded_whatever_was_asked_for() {
    let pair = pair().await;
    let (mut line, _receipts) = filled(&pair, "bounded", 1500).await;
    let mut taken = Vec::new();
    assert_eq!(within("a batch", line.peer.recv_many(&mut taken, 1_000_000)).await, 1024);
    assert_eq!(within("the rest", line.peer.recv_many(&mut taken, 1_000_000)).await, 476);
}

#[tokio::test]
async fn a_batch_is_acknowledged_together_or_comes_again() {
    let pair = pair().await;
    let (mut line, receipts) = filled(&pair, "jobs", 6).await;
    let mut jobs = Vec::new();
    assert_eq!(within("jobs", line.peer.recv_unacked_many(&mut jobs, 4)).await, 4);
    let again = jobs.split_off(2);
    Unacked::ack_all(jobs);
    drop(again);
    for receipt in &receipts[..2] {
        assert_eq!(within("handled", receipt.outcome()).await, Outcome::Handled);
    }
    let mut jobs = Vec::new();
    assert_eq!(within("jobs", line.peer.recv_unacked_many(&mut jobs, 100)).await, 4);
    assert_eq!(jobs.iter().map(Unacked::attempt).collect::<Vec<_>>(), [2, 2, 1, 1]);
    assert_eq!(numbers(jobs.iter().map(|it| it.payload().clone())), [2, 3, 4, 5]);
    Unacked::ack_all(jobs);
    for receipt in receipts {
        within("handled", receipt).await.unwrap();
    }
    assert!(line.peer.try_recv_unacked().is_none());
}

#[tokio::test]
async fn messages_of_several_sessions_are_acknowledged_together() {
    let (here, there) = (pair().await, pair().await);
    let ((mut one, first), (mut two, second)) =
        (filled(&here, "one", 2).await, filled(&there, "two", 2).await);
    let mut jobs = Vec::new();
    for _ in 0..2 {
        jobs.push(one.peer.try_recv_unacked().expect("it was received"));
        jobs.push(two.peer.try_recv_unacked().expect("it was received"));
    }
    Unacked::ack_all(jobs);
    for receipt in first.into_iter().chain(second) {
        within("handled", receipt).await.unwrap();
    }
}

#[tokio::test]
async fn without_large_messages_there_are_no_transfers_and_waiting_for_them_ends_with_the_inbox() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "small").await;
    let receipt = line.out.send("small").await.unwrap();
    assert_eq!(line.peer.transfers(), []);
    assert!(!line.peer.reject_transfer(receipt.id(), "it is no transfer"));
    let mut changed = pin!(line.peer.transfer_changed());
    assert_eq!(text(&mut line.peer).await, "small");
    assert!(changed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    line.out.finish();
    assert!(!within("the end", changed).await);
    assert!(!within("the end", line.peer.transfer_changed()).await);

    let orphan = tokio::spawn(line.back.transfer_changed());
    tokio::task::yield_now().await;
    drop(line.back);
    assert!(!within("the end of an inbox that is gone", orphan).await.unwrap());
}
