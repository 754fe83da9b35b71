//! Control frames that are not what they should be (W2, W5, W6, W7).

use bowline::wire::control::encode;
use bowline::wire::{Confirm, Control, Receiving, Verdict, Why};
use bytes::BytesMut;

use super::{a_dialer_ends_the_session, an_acceptor_ends_the_session};
use crate::host::{Host, identity};
use crate::raw::{Claim, news};
use crate::rules::{control, framed, message};

#[tokio::test]
async fn an_acceptor_ends_a_session_on_malformed_frames() {
    an_acceptor_ends_the_session(control::frames()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_on_malformed_frames() {
    a_dialer_ends_the_session(control::frames()).await;
}

#[tokio::test]
async fn a_session_ends_on_labels_that_break_the_rules() {
    an_acceptor_ends_the_session(control::labels()).await;
}

#[tokio::test]
async fn an_acceptor_ends_a_session_on_impossible_ranges() {
    an_acceptor_ends_the_session(control::ranges()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_on_impossible_ranges() {
    a_dialer_ends_the_session(control::ranges()).await;
}

/// What looks like a violation and is none.
#[tokio::test]
async fn what_later_versions_may_say_is_skipped() {
    let mut host = Host::new();
    let (mut link, session) = host.raw(&identity(), &Claim::new(1)).await;
    link.say_bytes(&framed(&[])).await;
    link.say_bytes(&framed(&message(99, b"from the future"))).await;
    let mut extended = BytesMut::new();
    encode(&Control::Confirm(Confirm { counter: 1, durable: false }), &mut extended);
    let body = [&extended[1..], &message(77, b"more")].concat();
    link.say_bytes(&framed(&body)).await;
    // Of another epoch, and so not meant for this one.
    let mut foreign = news(3);
    foreign.verdicts = vec![Verdict { start: 1, end: 2, why: Why::Rejected("no".to_owned()) }];
    let epoch = bowline::id::Epoch::new(1).unwrap();
    link.say(&Control::Receiving(Receiving { epoch, lanes: vec![foreign] })).await;
    link.say(&crate::raw::naming(0, "chat")).await;
    assert_eq!(link.hear_of(0).await.window_messages, 1024);
    assert_eq!(session.state(), bowline::SessionState::Connected);
}
