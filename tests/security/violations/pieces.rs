//! Body streams and datagrams that break the rules (W12, W14).

use super::{a_dialer_ends_the_session, an_acceptor_ends_the_session};
use crate::host::{Host, identity, ordered};
use crate::raw::{Claim, naming, records};
use crate::rules::pieces::{self, LARGE, body};
use crate::rules::{Act, varints};

#[tokio::test]
async fn an_acceptor_ends_a_session_on_broken_bodies() {
    an_acceptor_ends_the_session(pieces::bodies()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_on_broken_bodies() {
    a_dialer_ends_the_session(pieces::bodies()).await;
}

#[tokio::test]
async fn an_acceptor_ends_a_session_on_broken_datagrams() {
    an_acceptor_ends_the_session(pieces::datagrams()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_on_broken_datagrams() {
    a_dialer_ends_the_session(pieces::datagrams()).await;
}

/// What looks like a violation and is none.
#[tokio::test]
async fn what_is_given_up_does_no_harm() {
    let mut host = Host::new();
    let (mut link, session) = host.raw(&identity(), &Claim::new(1)).await;
    let (_chat, mut inbox) = session.open("chat", ordered()).await.unwrap();
    link.say(&naming(0, "chat")).await;
    // With nothing of the message, and with nothing but the kind.
    Act::ResetStream(body(&[LARGE, 0, 0])).on(&mut link).await;
    Act::ResetStream(varints(&[2])).on(&mut link).await;
    // With a part of it.
    Act::ResetStream([body(&[LARGE, 0, 0]), vec![7; 5000]].concat()).on(&mut link).await;
    Act::FinishedStream(records(0, 0, &[b"a small one instead"])).on(&mut link).await;
    assert_eq!(crate::soon(inbox.recv()).await.unwrap().payload(), "a small one instead");
    assert_eq!(session.state(), bowline::SessionState::Connected);
}
