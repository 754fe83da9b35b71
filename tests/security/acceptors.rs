//! Acceptors that do not answer a Hello as they should: the dial ends, and says why.

use bowline::wire::control::encode;
use bowline::wire::{Close, Control, MAX_HELLO, Refuse, Retry, Welcome, varint};
use bowline::{CloseCode, Config, ConnectError, Endpoint, Session, Trust};
use bytes::{Bytes, BytesMut};

use crate::host::{a_while, identity, ordered};
use crate::raw::{Link, Listener, naming, records, welcome};
use crate::soon;

struct Dialer {
    listener: Listener,
    endpoint: Endpoint,
    trust: Trust,
}

impl Dialer {
    fn new() -> Self {
        let key = identity();
        let listener = Listener::new(&key);
        let endpoint = Endpoint::client(identity(), Config::default()).unwrap();
        Self { listener, endpoint, trust: Trust::fingerprint(key.fingerprint()) }
    }

    /// What comes of a dial whose Hello is answered so.
    async fn answered<A>(&self, answer: impl FnOnce(Link) -> A) -> (Result<Session, ConnectError>, Link)
    where
        A: Future<Output = Link>,
    {
        let dial = self.endpoint.connect(self.listener.address, self.trust.clone());
        let answer = async {
            let (link, hello) = self.listener.greet().await;
            assert!(hello.secret.is_some() && hello.counter == 1);
            answer(link).await
        };
        tokio::join!(soon(dial), answer)
    }
}

fn said(frame: &Control) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    encode(frame, &mut bytes);
    bytes.to_vec()
}

async fn the_dial_ends(cases: impl IntoIterator<Item = (&'static str, Vec<u8>, &'static str)>) {
    for (name, bytes, words) in cases {
        let dialer = Dialer::new();
        let (result, link) = dialer
            .answered(|mut link| async move {
                link.say_bytes(&bytes).await;
                link
            })
            .await;
        let error = result.unwrap_err();
        assert!(matches!(error, ConnectError::Failed { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains(words), "{name}: {error}");
        let (code, reason) = link.end().await;
        assert!(code == 1 && reason.contains(words), "{name}: {code} {reason}");
        assert_eq!(dialer.endpoint.stats().sessions, 0);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_the_rules_ends_the_dial_and_is_named_to_both() {
    let close = Control::Close(Close { code: 0, reason: String::new() });
    let mut large = Vec::new();
    varint::encode(MAX_HELLO as u64 + 1, &mut large);
    the_dial_ends([
        ("state before the Welcome", said(&naming(0, "chat")), "before the Welcome"),
        ("a Close before the Welcome", said(&close), "before the Welcome"),
        ("a frame too large for now", large, "8193 bytes"),
        ("no protobuf", [&[30][..], &[0xff; 30]].concat(), "not valid protobuf"),
    ])
    .await;
}

#[tokio::test]
async fn a_welcome_to_another_hello_ends_the_dial_and_is_named_to_both() {
    let version = Control::Welcome(Welcome { version: 2, ..welcome(1) });
    the_dial_ends([
        ("a Welcome to another Hello", said(&Control::Welcome(welcome(2))), "answers no Hello"),
        ("a Welcome in another version", said(&version), "answers no Hello"),
    ])
    .await;
}

#[tokio::test]
async fn retries_are_followed_four_times_and_no_further() {
    let dialer = Dialer::new();
    let (result, link) = dialer
        .answered(|mut link| async move {
            for counter in [10, 20, 30] {
                link.say(&Control::Retry(Retry::Stale(counter))).await;
                let Control::Hello(hello) = link.hear().await else { panic!("not a Hello") };
                assert_eq!(hello.counter, counter + 1);
            }
            link.say(&Control::Retry(Retry::Forgotten)).await;
            link
        })
        .await;
    assert_eq!(link.end().await.0, 1);
    drop(result);
}

#[tokio::test]
async fn a_refusal_ends_the_dial_with_its_reason() {
    for (code, retry) in [(4, false), (5, true), (6, false), (99, false)] {
        let (result, _) = Dialer::new()
            .answered(|mut link| async move {
                let refuse = Refuse { code, reason: "not you\u{1b}[2J".to_owned(), retry };
                link.say(&Control::Refuse(refuse)).await;
                link
            })
            .await;
        let Err(error @ ConnectError::Refused(_)) = result else { panic!("{result:?}") };
        assert!(!error.to_string().contains('\u{1b}'), "what a peer says is not for terminals");
        let ConnectError::Refused(reason) = error else { unreachable!() };
        assert_eq!((reason.code, reason.retry), (CloseCode::from_value(code), retry));
    }
}

#[tokio::test]
async fn data_before_the_welcome_waits_unread() {
    let dialer = Dialer::new();
    let (result, link) = dialer
        .answered(|mut link| async move {
            for lane in 0..8 {
                link.hold_data(&records(lane, 0, &[b"early"])).await;
            }
            let _ = link.connection.send_datagram(Bytes::from_static(b"\x46"));
            a_while().await;
            link.say(&Control::Welcome(welcome(1))).await;
            link
        })
        .await;
    let session = result.unwrap();
    let (_chat, mut inbox) = session.open("lane 3", ordered()).await.unwrap();
    let mut link = link;
    link.say(&naming(3, "lane 3")).await;
    assert_eq!(soon(inbox.recv()).await.unwrap().payload(), "early");
}
