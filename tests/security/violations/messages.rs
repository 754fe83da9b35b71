//! Data streams and records that break the rules (W10, W11, C2, C3, N1).

use super::{a_dialer_ends_the_session, an_acceptor_ends_the_session};
use crate::host::{Host, identity};
use crate::raw::{Claim, lane, records, sending};
use crate::rules::{Act, data, varints};

#[tokio::test]
async fn an_acceptor_ends_a_session_on_broken_data_streams() {
    an_acceptor_ends_the_session(data::streams()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_on_broken_data_streams() {
    a_dialer_ends_the_session(data::streams()).await;
}

#[tokio::test]
async fn an_acceptor_ends_a_session_on_broken_records() {
    an_acceptor_ends_the_session(data::broken_records()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_on_broken_records() {
    a_dialer_ends_the_session(data::broken_records()).await;
}

/// What looks like a violation and is none.
#[tokio::test]
async fn empty_streams_and_stale_records_do_no_harm() {
    let mut host = Host::new();
    let (mut link, session) = host.raw(&identity(), &Claim::new(1)).await;
    let (_chat, mut inbox) = session.open("chat", crate::host::ordered()).await.unwrap();
    let mut floored = lane(0, "chat");
    floored.floor = 3;
    link.say(&bowline::wire::Control::Sending(sending([floored]))).await;
    Act::FinishedStream(Vec::new()).on(&mut link).await;
    Act::FinishedStream(varints(&[1, 0, 9])).on(&mut link).await;
    // Below the floor, and what was there before: dropped.
    Act::FinishedStream(records(0, 1, &[b"old", b"old", b"three"])).on(&mut link).await;
    assert_eq!(crate::soon(inbox.recv()).await.unwrap().payload(), "three");
    Act::FinishedStream(records(0, 3, &[b"again", b"four"])).on(&mut link).await;
    let four = crate::soon(inbox.recv()).await.unwrap();
    assert_eq!((four.id().sequence, &four.payload()[..]), (4, &b"four"[..]));
}
