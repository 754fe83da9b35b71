//! Peers of another version: what they speak is refused with a reason, and harms nobody.

use bowline::wire::{Control, Hello, Refuse, Retry};
use bowline::{CloseCode, ConnectError, Delivery, InboxEnd, OpenError};

use crate::host::{Host, identity, ordered};
use crate::raw::{Claim, Face, Link, Listener, lane, sending};
use crate::soon;

/// The naming of a lane in a mode that this version does not know.
fn in_another_mode() -> Control {
    let mut lane = lane(0, "chat");
    lane.delivery = Err(77);
    Control::Sending(sending([lane]))
}

#[tokio::test]
async fn a_dialer_of_a_later_version_is_told_which_one_is_spoken_here() {
    let host = Host::new();
    let mut link = Link::dial(host.address, Face::of(&identity())).await;
    let hello = Hello { version_min: 2, version_max: 3, ..Claim::new(1).hello(&link) };
    link.say(&Control::Hello(Box::new(hello))).await;
    let Control::Refuse(refuse) = link.hear().await else { panic!("not refused") };
    assert_eq!((CloseCode::from_value(refuse.code), refuse.retry), (CloseCode::VersionMismatch, false));
    assert!(refuse.reason.contains("version 1") && refuse.reason.contains("2 to 3"), "{}", refuse.reason);
    assert_eq!(link.end().await.0, u64::from(CloseCode::VersionMismatch.value()));
    assert_eq!(host.endpoint.stats().sessions, 0);
}

#[tokio::test]
async fn a_dialer_is_told_that_the_acceptor_speaks_another_version() {
    let (key, host) = (identity(), Host::new());
    let listener = Listener::new(&key);
    let trust = bowline::Trust::fingerprint(key.fingerprint());
    let dial =
        tokio::spawn(std::future::IntoFuture::into_future(host.endpoint.connect(listener.address, trust)));
    let (mut link, hello) = listener.greet().await;
    // One retry, so that a Refuse is understood after it too.
    let again = link.hear_again(Retry::Stale(hello.counter)).await;
    assert!(again.counter > hello.counter);
    let refuse =
        Refuse { code: CloseCode::VersionMismatch.value(), reason: "only version 9".into(), retry: false };
    link.say(&Control::Refuse(refuse)).await;
    match soon(dial).await.unwrap() {
        Err(ConnectError::Refused(reason)) => {
            assert_eq!((reason.code, reason.reason.as_str()), (CloseCode::VersionMismatch, "only version 9"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_label_that_the_peer_announced_in_another_mode_cannot_be_opened() {
    let mut host = Host::new();
    let (mut link, session) = host.raw(&identity(), &Claim::new(1)).await;
    link.say(&in_another_mode()).await;
    link.hear_of(0).await;
    match session.open("chat", ordered()).await {
        Err(OpenError::ChannelMismatch { label, expected, found }) => {
            assert_eq!((label.as_str(), expected), ("chat", Delivery::ReliableOrdered));
            assert!(found.contains("77"), "{found}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_label_that_is_open_here_is_refused_to_a_peer_in_another_mode() {
    let mut host = Host::new();
    let (mut link, session) = host.raw(&identity(), &Claim::new(1)).await;
    let (_chat, mut inbox) = session.open("chat", ordered()).await.unwrap();
    link.say(&in_another_mode()).await;
    let refused = link.hear_of(0).await.refused.expect("the lane is refused");
    assert!(refused.contains("77") && refused.contains("reliable-ordered"), "{refused}");
    assert!(soon(inbox.recv()).await.is_none());
    assert!(matches!(inbox.end(), Some(InboxEnd::Refused(why)) if why == refused));
}
