//! Each rule of the wire specification that a peer can break, broken: the link is closed with code 1 and a reason that
//! names the problem, the session is over, and another session of the endpoint does not notice (W13, G12).

mod bytes;
mod deliveries;
mod lanes;
mod messages;
mod pieces;
mod strangers;

use bowline::{ChannelConfig, CloseCode, Delivery, Inbox, Outcome, Receipt, Session, SessionState};

use crate::host::{Bystander, Dialed, Host, assert_violation, end, identity, ordered};
use crate::raw::{Claim, Face, Link};
use crate::rules::{By, Case, Scene, attach, name_chat};
use crate::soon;

/// A raw dialer breaks each rule on a link and session of its own.
async fn an_acceptor_ends_the_session(cases: Vec<Case>) {
    let mut host = Host::new();
    let bystander = Bystander::of(&mut host).await;
    let dialer = identity();
    for (number, case) in (1..).zip(cases.into_iter().filter(|case| case.is_by(By::Dialer))) {
        let (name, words) = (case.name, case.words());
        let (mut link, session) = host.raw(&dialer, &Claim::new(number)).await;
        let (_inbox, receipt) = prepare(&mut link, &session, case.scene).await;
        for act in case.acts {
            act.on(&mut link).await;
        }
        assert_told(&link, name, words).await;
        assert_violation(&end(&session).await, words);
        assert_unknown(receipt).await;
        bystander.is_unharmed().await;
    }
    assert!(host.has_no_more());
    assert_eq!(host.endpoint.stats().sessions, 1);
}

/// A raw acceptor breaks each rule on a link and session of its own.
async fn a_dialer_ends_the_session(cases: Vec<Case>) {
    for case in cases.into_iter().filter(|case| case.is_by(By::Acceptor)) {
        let (name, words) = (case.name, case.words());
        let mut peer = Dialed::new().await;
        let (_inbox, receipt) = prepare(&mut peer.link, &peer.session, case.scene).await;
        for act in case.acts {
            act.on(&mut peer.link).await;
        }
        assert_told(&peer.link, name, words).await;
        assert_violation(&end(&peer.session).await, words);
        assert_unknown(receipt).await;
    }
}

/// A raw dialer whose lane 0 is open on both sides.
async fn opened(host: &mut Host, number: u8, delivery: Delivery) -> (Link, Session, Inbox) {
    let (mut link, session) = host.raw(&identity(), &Claim::new(number)).await;
    let (inbox, _) = prepare(&mut link, &session, Scene::Open(delivery)).await;
    (link, session, inbox.expect("it is open"))
}

/// What there is before a peer does something: with an open channel, and with a message of its own.
async fn prepare(link: &mut Link, session: &Session, scene: Scene) -> (Option<Inbox>, Option<Receipt>) {
    match scene {
        Scene::Open(delivery) => {
            let (_chat, inbox) = session.open("chat", ChannelConfig::new(delivery)).await.unwrap();
            name_chat(link, delivery).await;
            (Some(inbox), None)
        }
        Scene::Sent => {
            let (chat, inbox) = session.open("chat", ordered()).await.unwrap();
            let receipt = soon(chat.send("only one")).await.unwrap();
            (Some(inbox), Some(receipt))
        }
        Scene::Stranger | Scene::Hailed | Scene::Attached => (None, None),
    }
}

/// What became of a message is not known when the session was ended.
async fn assert_unknown(receipt: Option<Receipt>) {
    if let Some(receipt) = receipt {
        assert_eq!(soon(receipt.outcome()).await, Outcome::Unknown);
    }
}

async fn assert_told(link: &Link, name: &str, words: &str) {
    let (code, reason) = link.end().await;
    assert_eq!(code, 1, "{name}: {reason}");
    assert!(reason.contains(words), "{name}: {words:?} is not in {reason:?}");
}

#[tokio::test]
async fn an_acceptor_ends_a_session_that_attaches_what_is_attached() {
    an_acceptor_ends_the_session(attach::attach_frames()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_that_attaches_what_is_attached() {
    a_dialer_ends_the_session(attach::attach_frames()).await;
}

#[tokio::test]
async fn an_acceptor_ends_a_session_whose_control_stream_is_not_kept() {
    an_acceptor_ends_the_session(attach::control_stream()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_whose_control_stream_is_not_kept() {
    a_dialer_ends_the_session(attach::control_stream()).await;
}

/// A close that a bad network keeps back looks the same.
#[tokio::test]
async fn a_link_whose_control_stream_ends_is_closed_and_its_session_goes_on() {
    let told = || (u64::from(CloseCode::Reattach.value()), "the control stream ended".to_owned());
    let mut host = Host::new();
    let (dialer, claim) = (identity(), Claim::new(1));
    let (mut link, session) = host.raw(&dialer, &claim).await;
    link.control.finish().unwrap();
    assert_eq!(link.end().await, told());
    let mut next = Link::dial(host.address, Face::of(&dialer)).await;
    next.attach(&claim.at(2)).await;
    assert_eq!(session.state(), SessionState::Connected);
    let mut peer = Dialed::new().await;
    peer.link.control.finish().unwrap();
    let (end, (_next, hello)) = tokio::join!(peer.link.end(), peer.listener.welcome());
    assert_eq!(end, told());
    assert_eq!(hello.session, peer.session.id());
}

#[tokio::test]
async fn no_further_bidirectional_stream_can_be_opened_by_either_side() {
    let mut host = Host::new();
    let (link, _session) = host.raw(&identity(), &Claim::new(1)).await;
    let dialed = Dialed::new().await;
    let short = std::time::Duration::from_millis(200);
    let second = tokio::time::timeout(short, link.connection.open_bi());
    let from_acceptor = tokio::time::timeout(short, dialed.link.connection.open_bi());
    let (second, from_acceptor) = soon(async { tokio::join!(second, from_acceptor) }).await;
    assert!(second.is_err(), "the dialer has a second one");
    assert!(from_acceptor.is_err(), "the acceptor has one");
}
