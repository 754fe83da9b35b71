//! Messages there and back, on one channel and on many.

use std::collections::BTreeSet;

use bowline::error::OpenError;

use crate::support::{line, ordered, pair, text, until, within};

#[tokio::test]
async fn what_one_side_sends_the_other_can_send_back() {
    let pair = pair().await;
    assert_eq!(pair.dialed.id(), pair.accepted.id());
    let mut line = line(&pair.dialed, &pair.accepted, "echo").await;
    let receipt = line.out.send("there").await.unwrap();
    assert_eq!(text(&mut line.peer).await, "there");
    let answer = line.peer_out.send("and back").await.unwrap();
    assert_eq!(text(&mut line.back).await, "and back");
    within("both receipts", async {
        receipt.await.unwrap();
        answer.await.unwrap();
    })
    .await;
    let message = line.out.send("").await.unwrap();
    let empty = within("an empty message", line.peer.recv()).await.unwrap();
    assert!(empty.payload().is_empty() && !empty.redelivered());
    assert_eq!(empty.id(), message.id(), "both ends call the message the same");
}

#[tokio::test]
async fn many_channels_carry_their_own_messages_in_both_directions() {
    let pair = pair().await;
    let labels: Vec<String> = (0..40).map(|number| format!("channel {number}")).collect();
    let mut lines = Vec::new();
    for label in &labels {
        lines.push(line(&pair.dialed, &pair.accepted, label).await);
    }
    for (line, label) in lines.iter().zip(&labels) {
        for turn in 0..5 {
            drop(line.out.send(format!("{label} there {turn}")).await.unwrap());
            drop(line.peer_out.send(format!("{label} back {turn}")).await.unwrap());
        }
    }
    for (line, label) in lines.iter_mut().zip(&labels).rev() {
        for turn in 0..5 {
            assert_eq!(text(&mut line.peer).await, format!("{label} there {turn}"));
            assert_eq!(text(&mut line.back).await, format!("{label} back {turn}"));
        }
    }
}

#[tokio::test]
async fn a_label_meets_whoever_opens_it_first() {
    let pair = pair().await;
    let (early, _early_back) = pair.dialed.open("dialer first", ordered()).await.unwrap();
    drop(early.send("sent before the acceptor opened").await.unwrap());
    let (late, _late_back) = pair.accepted.open("acceptor first", ordered()).await.unwrap();
    drop(late.send("sent before the dialer opened").await.unwrap());

    let mut at_acceptor = pair.accepted.incoming_channels();
    let mut at_dialer = pair.dialed.incoming_channels();
    let label = within("the dialer's label", at_acceptor.next()).await.unwrap().label;
    assert_eq!(label, "dialer first");
    let (_out, mut inbox) = pair.accepted.open(&label, ordered()).await.unwrap();
    assert_eq!(text(&mut inbox).await, "sent before the acceptor opened");
    let label = within("the acceptor's label", at_dialer.next()).await.unwrap().label;
    assert_eq!(label, "acceptor first");
    let (_out, mut inbox) = pair.dialed.open(&label, ordered()).await.unwrap();
    assert_eq!(text(&mut inbox).await, "sent before the dialer opened");
}

#[tokio::test]
async fn incoming_channels_yields_each_label_once_and_only_those_not_opened_here() {
    let pair = pair().await;
    let (_mine, _mine_back) = pair.accepted.open("opened here already", ordered()).await.unwrap();
    let mut kept = Vec::new();
    for label in ["opened here already", "a", "b", "c"] {
        kept.push(pair.dialed.open(label, ordered()).await.unwrap());
    }
    let mut incoming = pair.accepted.incoming_channels();
    let mut labels = BTreeSet::new();
    for _ in 0..3 {
        let channel = within("a label", incoming.next()).await.unwrap();
        assert!(labels.insert(channel.label), "a label came twice");
    }
    assert_eq!(labels, BTreeSet::from(["a", "b", "c"].map(str::to_owned)));
    let next = tokio::spawn(async move { incoming.next().await });
    within("the close", pair.dialed.close()).await;
    assert_eq!(within("the end of the labels", next).await.unwrap(), None);
}

#[tokio::test]
async fn ten_thousand_messages_each_way_arrive_in_order() {
    const COUNT: u32 = 10_000;
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "numbers").await;
    let send = |channel: bowline::Channel| async move {
        for number in 0..COUNT {
            drop(channel.send(number.to_be_bytes().to_vec()).await.unwrap());
        }
    };
    let (there, back) = (tokio::spawn(send(line.out.clone())), tokio::spawn(send(line.peer_out.clone())));
    within("all messages", async {
        for number in 0..COUNT {
            let (there, back) = tokio::join!(line.peer.recv(), line.back.recv());
            assert_eq!(there.unwrap().payload()[..], number.to_be_bytes());
            assert_eq!(back.unwrap().payload()[..], number.to_be_bytes());
        }
    })
    .await;
    there.await.unwrap();
    back.await.unwrap();
    assert_eq!(line.peer.try_recv(), None);
}

#[tokio::test]
async fn a_label_can_be_used_again_when_both_sides_have_finished_it() {
    let pair = pair().await;
    for turn in 0..20 {
        // The other side's last word may still be under way.
        let mut again = None;
        within("the label", async {
            while again.is_none() {
                match pair.dialed.open("again", ordered()).await {
                    Ok(handles) => again = Some(handles),
                    Err(OpenError::AlreadyOpen(_)) => tokio::task::yield_now().await,
                    Err(other) => panic!("{other}"),
                }
            }
        })
        .await;
        let (out, mut back) = again.unwrap();
        let mut incoming = pair.accepted.incoming_channels();
        let label = within("the label", incoming.next()).await.unwrap().label;
        let (peer_out, mut peer) = pair.accepted.open(&label, ordered()).await.unwrap();
        let receipt = out.send(turn.to_string()).await.unwrap();
        drop(out);
        drop(peer_out);
        assert_eq!(text(&mut peer).await, turn.to_string());
        assert_eq!(within("the end of the inbox", peer.recv()).await, None);
        assert_eq!(within("the end of the inbox", back.recv()).await, None);
        within("handled", receipt).await.unwrap();
    }
    until("no channel", || pair.dialed.stats().channels + pair.accepted.stats().channels == 0).await;
}
