//! Channels of protobuf messages, and peers that send something else.

use bowline::error::Outcome;
use bowline::{ChannelConfig, Delivery, InboxEnd, TypedChannel, TypedInbox};

use crate::support::{ordered, pair, until, within};

/// What one side asks for.
#[derive(Clone, PartialEq, prost::Message)]
struct Job {
    #[prost(uint32, tag = "1")]
    number: u32,
    #[prost(string, tag = "2")]
    what: String,
}

/// What the other side answers.
#[derive(Clone, PartialEq, prost::Message)]
struct Done {
    #[prost(uint32, repeated, tag = "1")]
    numbers: Vec<u32>,
}

fn job(number: u32) -> Job {
    Job { number, what: format!("job {number}") }
}

/// Bytes that are no [`Job`], and a word of what is wrong with them.
const WRONG: [(&[u8], &str); 4] = [
    (b"\x08", "varint"),
    (b"\x0a\x01a", "wire type"),
    (b"\x12\x02\xff\xfe", "UTF-8"),
    (b"\x12\x7f", "buffer underflow"),
];

#[tokio::test]
async fn each_side_sends_one_type_and_receives_another() {
    let pair = pair().await;
    let (jobs, mut answers): (TypedChannel<Job>, TypedInbox<Done>) =
        pair.dialed.open_typed("work", ordered()).await.unwrap();
    let (done, mut work) = pair.accepted.open_typed::<Done, Job>("work", ordered()).await.unwrap();
    assert_eq!([jobs.label(), answers.label(), done.label(), work.label()], ["work"; 4]);

    let receipt = jobs.clone().send(&job(1)).await.unwrap();
    let message = within("a job", work.recv()).await.unwrap();
    assert_eq!((message.id(), message.value()), (receipt.id(), &job(1)));
    assert_eq!((message.redelivered(), message.skipped()), (false, 0));
    assert_eq!(message.into_value().what, "job 1");
    within("handled", receipt).await.unwrap();

    let receipt = done.try_send(&Done { numbers: vec![1, 300] }).unwrap();
    assert_eq!(within("an answer", answers.recv()).await.unwrap().into_value().numbers, [1, 300]);
    within("handled", receipt).await.unwrap();
    assert!(answers.try_recv().is_none());

    let receipt = jobs.send(&Job::default()).await.unwrap();
    jobs.finish();
    let empty = within("a message of no bytes", work.recv()).await.unwrap();
    assert_eq!(empty.into_value(), Job::default());
    within("handled", receipt).await.unwrap();
    assert!(within("the end", work.recv()).await.is_none());
    assert_eq!((work.end(), work.undecodable()), (Some(InboxEnd::Finished), 0));
    assert_eq!((jobs.stats().accepted, jobs.channel().stats().handled), (2, 2));
}

#[tokio::test]
async fn what_does_not_decode_is_rejected_with_the_problem_and_the_next_message_follows() {
    let pair = pair().await;
    let (bytes, _back) = pair.dialed.open("work", ordered()).await.unwrap();
    let (_done, mut work) = pair.accepted.open_typed::<Done, Job>("work", ordered()).await.unwrap();
    for round in 0..2 {
        let mut wrong = Vec::new();
        for (payload, problem) in WRONG {
            wrong.push((bytes.send(payload).await.unwrap(), problem));
        }
        let right = bytes.send(prost::Message::encode_to_vec(&job(round))).await.unwrap();
        // Whichever way it is taken.
        if round == 0 {
            assert_eq!(within("a job", work.recv()).await.unwrap().into_value(), job(round));
        } else {
            let unacked = within("a job", work.recv_unacked()).await.unwrap();
            assert_eq!(unacked.value(), &job(round));
            unacked.ack();
        }
        within("handled", right).await.unwrap();
        for (receipt, problem) in wrong {
            match within("a verdict", receipt.outcome()).await {
                Outcome::Rejected { reason } => {
                    assert!(reason.starts_with("cannot decode Job: "), "{reason}");
                    assert!(reason.contains(problem), "{reason:?} does not say {problem:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(work.undecodable(), 8);
    assert_eq!((bytes.stats().handled, bytes.stats().rejected), (2, 8));
}

#[tokio::test]
async fn a_job_that_is_dropped_comes_again_and_one_that_is_refused_does_not() {
    let pair = pair().await;
    let (jobs, _answers) = pair.dialed.open_typed::<Job, Done>("work", ordered()).await.unwrap();
    let (_done, mut work) = pair.accepted.open_typed::<Done, Job>("work", ordered()).await.unwrap();
    let (first, second) = (jobs.send(&job(1)).await.unwrap(), jobs.send(&job(2)).await.unwrap());
    drop(within("a job", work.recv_unacked()).await.unwrap());
    let again = within("the job again", work.recv_unacked()).await.unwrap();
    assert_eq!((again.id(), again.attempt(), again.redelivered()), (first.id(), 2, false));
    again.reject("not today");
    let reason = "not today".to_owned();
    assert_eq!(within("a verdict", first.outcome()).await, Outcome::Rejected { reason });
    within("received", second.received()).await.unwrap();
    let (unacked, value) = work.try_recv_unacked().expect("it was received").into_inner();
    assert_eq!((unacked.skipped(), value), (0, job(2)));
    unacked.ack();
    within("handled", second).await.unwrap();
    assert!(work.try_recv_unacked().is_none());
}

#[tokio::test]
async fn every_mode_goes_on_after_what_does_not_decode() {
    let pair = pair().await;
    for delivery in Delivery::ALL {
        let (label, config) = (delivery.to_string(), ChannelConfig::new(delivery));
        let (bytes, _back) = pair.dialed.open(&label, config.clone()).await.unwrap();
        let (_done, mut work) = pair.accepted.open_typed::<Done, Job>(&label, config).await.unwrap();
        // An unreliable message that comes before the channel is known is lost.
        until("the channel is known", || {
            drop(bytes.try_send(&b"\x08"[..]));
            assert!(work.try_recv().is_none());
            work.undecodable() > 0
        })
        .await;
        let right = bytes.send(prost::Message::encode_to_vec(&job(7))).await.unwrap();
        assert_eq!(within("a job", work.recv()).await.unwrap().into_value(), job(7), "{delivery}");
        let expected = if delivery.is_reliable() { Outcome::Handled } else { Outcome::Unknown };
        assert_eq!(within("an outcome", right.outcome()).await, expected, "{delivery}");
    }
}

#[tokio::test]
async fn the_handles_of_bytes_are_below() {
    let pair = pair().await;
    let (jobs, answers) = pair.dialed.open_typed::<Job, Done>("work", ordered()).await.unwrap();
    let (_done, mut work) = pair.accepted.open_typed::<Done, Job>("work", ordered()).await.unwrap();
    assert_eq!(answers.inbox().transfers(), []);
    let (bytes, mut back) = (jobs.into_inner(), answers.into_inner());
    assert!(back.try_recv().is_none());
    drop(bytes.send(&b"\x08\x07"[..]).await.unwrap());
    assert_eq!(within("a job", work.recv()).await.unwrap().into_value().number, 7);
}
