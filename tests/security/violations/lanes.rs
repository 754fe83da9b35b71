//! Lanes that are not what they were said to be (C1, N1).

use bowline::wire::{Control, Receiving, ReceivingLane, Verdict, Why};

use super::{Act, Case, an_acceptor_ends_the_session, assert_told, case};
use crate::host::{Dialed, Host, assert_violation, end, identity, ordered};
use crate::raw::{Claim, lane, naming, news, sending};
use crate::soon;

fn lanes() -> Vec<Case> {
    let said = |lanes: Vec<bowline::wire::SendingLane>| Act::Say(Control::Sending(sending(lanes)));
    let ended = |end| {
        let mut ended = lane(0, "a");
        ended.end = end;
        said(vec![ended])
    };
    let mut other_mode = lane(0, "a");
    other_mode.delivery = Err(3);
    let label = |n: u32| format!("lane {n}");
    vec![
        case("one label for two lanes", [naming(0, "a"), naming(1, "a")].map(Act::Say), "announced already"),
        case("another label for a lane", [naming(0, "a"), naming(0, "b")].map(Act::Say), "changed its label"),
        case("another end for a lane", [ended(Some(5)), ended(Some(6))], "changed its label or its end"),
        case(
            "another mode for a lane",
            [Act::Say(naming(0, "a")), said(vec![other_mode])],
            "changed its delivery",
        ),
        case(
            "one lane too many",
            [said((0..=256).map(|n| lane(n, &label(n))).collect())],
            "more channels than",
        ),
    ]
}

#[tokio::test]
async fn a_session_ends_when_a_lane_changes_or_there_are_too_many() {
    an_acceptor_ends_the_session(lanes()).await;
}

/// News of a lane of the victim's, on which one message was sent.
fn impossible_news() -> Vec<(&'static str, ReceivingLane, &'static str)> {
    let with = |change: fn(&mut ReceivingLane)| {
        let mut lane = news(0);
        change(&mut lane);
        lane
    };
    let verdict = || Verdict { start: 1, end: 2, why: Why::Rejected("no".to_owned()) };
    let never_sent = "never sent";
    let mut rejected = news(0);
    rejected.verdicts = vec![verdict()];
    vec![
        ("news of a lane never opened", news(7), "never opened"),
        ("more received than sent", with(|lane| lane.received_below = 2), never_sent),
        ("a range beyond what was sent", with(|lane| lane.received = vec![(3, 4)]), never_sent),
        ("more handled than sent", with(|lane| lane.handled_below = 2), never_sent),
        ("a range handled beyond", with(|lane| lane.handled = vec![(3, 4)]), never_sent),
        ("a verdict on what was never sent", rejected, never_sent),
    ]
}

#[tokio::test]
async fn an_acceptor_ends_a_session_whose_peer_acknowledges_what_was_never_sent() {
    for (name, lane, words) in impossible_news() {
        let mut host = Host::new();
        let (mut link, session) = host.raw(&identity(), &Claim::new(1)).await;
        let (chat, _inbox) = session.open("chat", ordered()).await.unwrap();
        let receipt = soon(chat.send("only one")).await.unwrap();
        let epoch = receipt.id().epoch;
        link.say(&Control::Receiving(Receiving { epoch, lanes: vec![lane] })).await;
        assert_told(&link, name, words).await;
        assert_violation(&end(&session).await, words);
        assert_eq!(soon(receipt.outcome()).await, bowline::Outcome::Unknown);
    }
}

#[tokio::test]
async fn a_dialer_ends_a_session_whose_peer_acknowledges_what_was_never_sent() {
    for (name, lane, words) in impossible_news() {
        let mut peer = Dialed::new().await;
        let (chat, _inbox) = peer.session.open("chat", ordered()).await.unwrap();
        let receipt = soon(chat.send("only one")).await.unwrap();
        let epoch = receipt.id().epoch;
        peer.link.say(&Control::Receiving(Receiving { epoch, lanes: vec![lane] })).await;
        assert_told(&peer.link, name, words).await;
        assert_violation(&end(&peer.session).await, words);
        assert_eq!(soon(receipt.outcome()).await, bowline::Outcome::Unknown);
    }
}
