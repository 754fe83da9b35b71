//! Rules broken before any Hello is accepted: the link is closed, and no session is touched.

use bowline::wire::{Control, Hello};
use bytes::Bytes;

use super::assert_told;
use crate::host::{Bystander, Host, identity};
use crate::raw::{Claim, Face, Link};
use crate::rules::attach;

#[tokio::test]
async fn a_malformed_hello_closes_the_link_and_touches_no_session() {
    let mut host = Host::new();
    let bystander = Bystander::of(&mut host).await;
    let dialer = identity();
    for case in attach::malformed_hellos() {
        let (name, words) = (case.name, case.words());
        let mut link = Link::dial(host.address, Face::of(&dialer)).await;
        for act in case.acts {
            act.on(&mut link).await;
        }
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
