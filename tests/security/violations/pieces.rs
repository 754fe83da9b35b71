//! Body streams and datagrams that break the rules (W12, W14).

use bowline::wire::varint;

use super::{Act, Case, a_dialer_ends_the_session, an_acceptor_ends_the_session, case};
use crate::host::{Host, identity, ordered};
use crate::raw::{Claim, naming, records};

/// A message that travels in pieces.
const LARGE: u64 = 70_000;

fn varints(values: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|&value| varint::encode(value, &mut bytes));
    bytes
}

/// The header of a body stream of lane 0: size, offset, mask, and what comes with that.
fn body(numbers: &[u64]) -> Vec<u8> {
    varints(&[&[2, 0, 0], numbers].concat())
}

fn bodies() -> Vec<Case> {
    let held = |numbers: &[u64]| [Act::Say(naming(0, "chat")), Act::Stream(body(numbers))];
    vec![
        case("a body of a small message", held(&[65_536, 0, 0]), "at least 65537"),
        case("a body too large", held(&[(1 << 26) + 1, 0, 0]), "at most 67108864 are taken"),
        case("a body from beyond its end", held(&[LARGE, LARGE + 1, 0]), "which has 70000"),
        case("a body with unknown options", held(&[LARGE, 0, 2]), "unknown options"),
        case(
            "a body that ends in its header",
            [Act::FinishedStream(varints(&[2, 0, 0]))],
            "middle of a stream header",
        ),
        case(
            "a body that ends too soon",
            [Act::Say(naming(0, "chat")), Act::FinishedStream(body(&[LARGE, 0, 0]))],
            "middle of a body",
        ),
    ]
}

fn datagrams() -> Vec<Case> {
    let sent = |numbers: &[u64]| [Act::Say(naming(0, "chat")), Act::Datagram(varints(numbers))];
    let cut = "middle of a datagram";
    vec![
        case("an empty datagram", sent(&[]), cut),
        case("a datagram without a record", sent(&[1, 0, 0]), cut),
        case("a datagram of a channel beyond 2^32 - 1", sent(&[1, 1 << 32, 0, 0]), "channel is 4294967296"),
        case("a datagram that ends in a record", sent(&[1, 0, 0, 20, 7]), "middle of a"),
        case("a record too large", sent(&[1, 0, 0, 2 << 17]), "at most 65536 are taken"),
        case("a datagram with unknown options", sent(&[1, 0, 0, 3, 8, 7]), "unknown options"),
        case("a fragment of nothing", sent(&[2, 0, 0, 0, 0, 0, 7]), "at least 1"),
        case("a fragment without a byte", sent(&[2, 0, 0, 5, 0, 0]), cut),
        case("a fragment beyond its message", sent(&[2, 0, 0, 2, 1, 0, 7, 7]), "which has 2"),
        case("a fragment of a large message", sent(&[2, 0, 0, LARGE, 0, 0, 7]), "at most 65536 are taken"),
    ]
}

#[tokio::test]
async fn an_acceptor_ends_a_session_on_broken_bodies() {
    an_acceptor_ends_the_session(bodies()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_on_broken_bodies() {
    a_dialer_ends_the_session(bodies()).await;
}

#[tokio::test]
async fn an_acceptor_ends_a_session_on_broken_datagrams() {
    an_acceptor_ends_the_session(datagrams()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_on_broken_datagrams() {
    a_dialer_ends_the_session(datagrams()).await;
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
