//! Each rule of the wire specification that a peer can break, broken: the link is closed with code 1 and a reason that
//! names the problem, the session is over, and another session of the endpoint does not notice (W13, G12).

mod bytes;
mod deliveries;
mod lanes;
mod messages;
mod pieces;
mod strangers;

use bowline::wire::{Confirm, Control, Refuse, Retry};
use bowline::{CloseCode, SessionState};
use quinn::VarInt;

use crate::host::{Bystander, Dialed, Host, assert_violation, end, identity};
use crate::raw::{Claim, Face, Link, welcome};
use crate::soon;

/// What a peer does to break a rule.
enum Act {
    Say(Control),
    /// Bytes on the control stream.
    Write(Vec<u8>),
    FinishControl,
    ResetControl,
    /// STOP_SENDING for the other side's control stream.
    StopControl,
    /// A data stream that stays open.
    Stream(Vec<u8>),
    FinishedStream(Vec<u8>),
    ResetStream(Vec<u8>),
    Datagram(Vec<u8>),
}

struct Case {
    name: &'static str,
    acts: Vec<Act>,
    /// What the reason says.
    words: &'static str,
}

fn case(name: &'static str, acts: impl Into<Vec<Act>>, words: &'static str) -> Case {
    Case { name, acts: acts.into(), words }
}

impl Act {
    async fn on(self, link: &mut Link) {
        match self {
            Self::Say(frame) => link.say(&frame).await,
            Self::Write(bytes) => link.say_bytes(&bytes).await,
            Self::FinishControl => link.control.finish().unwrap(),
            Self::ResetControl => link.control.reset(VarInt::from_u32(0)).unwrap(),
            Self::StopControl => link.answers.stop(VarInt::from_u32(0)).unwrap(),
            Self::Stream(bytes) => link.hold_data(&bytes).await,
            Self::FinishedStream(bytes) => link.open_data(&bytes).await.finish().unwrap(),
            Self::Datagram(bytes) => link.connection.send_datagram(bytes.into()).unwrap(),
            Self::ResetStream(bytes) => {
                let mut stream = link.open_data(&bytes).await;
                if !bytes.is_empty() {
                    // What is reset before it is read was never said.
                    crate::host::a_while().await;
                }
                stream.reset(VarInt::from_u32(0)).unwrap();
            }
        }
    }
}

/// A raw dialer breaks each rule on a link and session of its own.
async fn an_acceptor_ends_the_session(cases: Vec<Case>) {
    let mut host = Host::new();
    let bystander = Bystander::of(&mut host).await;
    let dialer = identity();
    for (number, Case { name, acts, words }) in (1..).zip(cases) {
        let (mut link, session) = host.raw(&dialer, &Claim::new(number)).await;
        for act in acts {
            act.on(&mut link).await;
        }
        assert_told(&link, name, words).await;
        assert_violation(&end(&session).await, words);
        bystander.is_unharmed().await;
    }
    assert!(host.has_no_more());
    assert_eq!(host.endpoint.stats().sessions, 1);
}

/// A raw acceptor breaks each rule on a link and session of its own.
async fn a_dialer_ends_the_session(cases: Vec<Case>) {
    for Case { name, acts, words } in cases {
        let mut peer = Dialed::new().await;
        for act in acts {
            act.on(&mut peer.link).await;
        }
        assert_told(&peer.link, name, words).await;
        assert_violation(&end(&peer.session).await, words);
    }
}

async fn assert_told(link: &Link, name: &str, words: &str) {
    let (code, reason) = link.end().await;
    assert_eq!(code, 1, "{name}: {reason}");
    assert!(reason.contains(words), "{name}: {words:?} is not in {reason:?}");
}

// ---- Attach frames where they do not belong ----

fn attach_frames() -> Vec<Case> {
    let refuse = Refuse { code: 4, reason: "because".to_owned(), retry: false };
    vec![
        case("a second Welcome", [Act::Say(Control::Welcome(welcome(1)))], "attach message"),
        case("a Retry", [Act::Say(Control::Retry(Retry::Stale(7)))], "attach message"),
        case("a Refuse", [Act::Say(Control::Refuse(refuse))], "attach message"),
        case("an answer to no Close", [Act::Say(Control::CloseAck)], "CloseAck without a Close"),
    ]
}

#[tokio::test]
async fn an_acceptor_ends_a_session_that_attaches_what_is_attached() {
    let mut cases = attach_frames();
    let confirm = Control::Confirm(Confirm { counter: 9, durable: false });
    cases.push(case("a Confirm of another Welcome", [Act::Say(confirm)], "Confirm that answers no Welcome"));
    an_acceptor_ends_the_session(cases).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_that_attaches_what_is_attached() {
    let mut cases = attach_frames();
    let confirm = Control::Confirm(Confirm { counter: 1, durable: false });
    cases.push(case("a Confirm from the acceptor", [Act::Say(confirm)], "Confirm that answers no Welcome"));
    a_dialer_ends_the_session(cases).await;
}

#[tokio::test]
async fn a_second_hello_on_an_attached_link_ends_the_session() {
    let mut host = Host::new();
    let claim = Claim::new(1);
    let (mut link, session) = host.raw(&identity(), &claim).await;
    let hello = claim.at(2).hello(&link);
    link.say(&Control::Hello(Box::new(hello))).await;
    assert_told(&link, "a second Hello", "attach message").await;
    assert_violation(&end(&session).await, "attach message");
}

// ---- The control stream itself ----

fn control_stream() -> Vec<Case> {
    vec![
        case("the control stream reset", [Act::ResetControl], "the control stream was reset"),
        case("the control stream unread", [Act::StopControl, nudge()], "the control stream is not read"),
    ]
}

/// Something that is answered on the control stream.
fn nudge() -> Act {
    Act::Say(crate::raw::naming(0, "chat"))
}

#[tokio::test]
async fn an_acceptor_ends_a_session_whose_control_stream_is_not_kept() {
    an_acceptor_ends_the_session(control_stream()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_whose_control_stream_is_not_kept() {
    a_dialer_ends_the_session(control_stream()).await;
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
