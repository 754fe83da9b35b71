//! Rules broken before any Hello is accepted: the link is closed, and no session is touched.

use bowline::wire::{Control, Hello, MAX_CREDENTIALS, MAX_HELLO, varint};
use bytes::Bytes;

use super::assert_told;
use super::bytes::{framed, message};
use crate::host::{Bystander, Host, identity};
use crate::raw::{Claim, Face, Link};

/// How to make a bad Hello out of a good one.
type Spoil<'a> = &'a dyn Fn(&Hello) -> Vec<u8>;

fn announced(size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::encode(size as u64, &mut bytes);
    bytes
}

/// A Hello with one field replaced by these bytes.
fn with(hello: &Hello, field: u32, bytes: &[u8]) -> Vec<u8> {
    let mut encoded = bytes::BytesMut::new();
    bowline::wire::control::encode(&Control::Hello(Box::new(hello.clone())), &mut encoded);
    // In protobuf the last of two fields counts, and the last of two messages is merged into the first.
    let size = encoded.len() - if encoded.len() < 66 { 1 } else { 2 };
    let first = &encoded[encoded.len() - size..];
    framed(&[first, &message(1, &message(field, bytes))].concat())
}

#[tokio::test]
async fn a_malformed_hello_closes_the_link_and_touches_no_session() {
    let mut host = Host::new();
    let bystander = Bystander::of(&mut host).await;
    let dialer = identity();
    let reversed = |hello: &Hello| {
        let mut encoded = bytes::BytesMut::new();
        let reversed = Hello { version_min: 3, version_max: 1, ..hello.clone() };
        bowline::wire::control::encode(&Control::Hello(Box::new(reversed)), &mut encoded);
        encoded.to_vec()
    };
    let cases: [(&str, Spoil<'_>, &str); 8] = [
        ("a short session", &|hello| with(hello, 3, &[7; 15]), "Hello.session has 15 bytes"),
        ("a long secret", &|hello| with(hello, 4, &[7; 33]), "Hello.secret has 33 bytes"),
        ("no proof", &|hello| with(hello, 8, &[]), "Hello.proof has 0 bytes"),
        (
            "long credentials",
            &|hello| with(hello, 10, &[7; MAX_CREDENTIALS + 1]),
            "Hello.credentials has 4097",
        ),
        ("reversed versions", &reversed, "reversed range"),
        ("a Hello too large", &|_| announced(MAX_HELLO + 1), "control frame of 8193 bytes"),
        ("a Hello of 2^62 - 1 bytes", &|_| [0xff; 8].to_vec(), "control frame of 4611686018427387903 bytes"),
        ("no protobuf", &|_| framed(&[0xff; 20]), "not valid protobuf"),
    ];
    for (name, bytes, words) in cases {
        let mut link = Link::dial(host.address, Face::of(&dialer)).await;
        let hello = Claim::new(1).hello(&link);
        link.say_bytes(&bytes(&hello)).await;
        assert_told(&link, name, words).await;
    }
    bystander.is_unharmed().await;
    assert!(host.has_no_more());
    assert_eq!(host.endpoint.stats().sessions, 1);
}

#[tokio::test]
async fn a_control_stream_that_breaks_off_before_the_hello_closes_the_link() {
    let host = Host::new();
    let dialer = identity();
    for (finish, name) in [(true, "finished"), (false, "reset")] {
        let mut link = Link::dial(host.address, Face::of(&dialer)).await;
        link.say_bytes(&[40, 1, 2]).await;
        if finish {
            link.control.finish().unwrap();
        } else {
            crate::host::a_while().await;
            link.control.reset(quinn::VarInt::from_u32(0)).unwrap();
        }
        assert_told(&link, name, "in the middle of a control").await;
    }
    assert_eq!(host.endpoint.stats().sessions, 0);
}

#[tokio::test]
async fn frames_before_the_hello_are_ignored() {
    let mut host = Host::new();
    let dialer = identity();
    let mut link = Link::dial(host.address, Face::of(&dialer)).await;
    link.say(&crate::raw::naming(0, "early")).await;
    link.say(&Control::CloseAck).await;
    let claim = Claim::new(1);
    let hello = Hello { secret: None, credentials: Bytes::from_static(b"token"), ..claim.hello(&link) };
    assert_eq!(link.hear_retry(hello).await, bowline::wire::Retry::Forgotten);
    // State that came with the Hello that was not accepted.
    link.say(&crate::raw::naming(0, "early")).await;
    link.attach(&claim.at(2)).await;
    host.session().await;
}
