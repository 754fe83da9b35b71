//! Several links of one session: the newest wins, and what is said on an older one does not count (S5, G9).

use std::time::Duration;

use bowline::wire::{Close, Control};
use bowline::{CloseCode, Config, Endpoint, SessionState, Trust};

use crate::host::{Dialed, Host, a_while, end, identity, ordered};
use crate::raw::{Claim, Face, Link, Listener, naming, records};
use crate::soon;

#[tokio::test]
async fn the_newer_link_wins_and_what_comes_on_the_older_does_not_apply() {
    let mut host = Host::new();
    let (owner, claim) = (identity(), Claim::new(1));
    let (mut old, session) = host.raw(&owner, &claim).await;
    let (_chat, mut inbox) = session.open("chat", ordered()).await.unwrap();
    old.say(&naming(0, "chat")).await;
    old.hear_of(0).await;
    let mut stream = old.open_data(&records(0, 0, &[])).await;

    let mut new = Link::dial(host.address, Face::of(&owner)).await;
    let hello = claim.at(2).hello(&new);
    // On its way when the other link says Hello, and read after it.
    let on_old = async {
        stream.write_all(&records(0, 0, &[b"from the old link"])).await.unwrap();
        old.say(&Control::Close(Close { code: 0, reason: "from the old link".to_owned() })).await;
    };
    new.say(&Control::Hello(Box::new(hello))).await;
    let welcome = new.hear().await;
    assert!(matches!(welcome, Control::Welcome(_)), "{welcome:?}");
    on_old.await;
    assert_eq!(old.end().await, (2, "2".to_owned()));

    new.say(&Control::Confirm(bowline::wire::Confirm { counter: 2, durable: false })).await;
    new.say(&naming(0, "chat")).await;
    let _stream = new.open_data(&records(0, 0, &[b"from the new link"])).await;
    assert_eq!(soon(inbox.recv()).await.unwrap().payload(), "from the new link");
    a_while().await;
    assert!(inbox.try_recv().is_none());
    assert_eq!(session.state(), SessionState::Connected);
}

#[tokio::test]
async fn single_login_tells_the_older_session_that_it_was_superseded() {
    let mut host = Host::with(Config::default().one_session_per_identity(true));
    let owner = identity();
    let (mut old, session) = host.raw(&owner, &Claim::new(1)).await;
    let _new = host.raw(&owner, &Claim::new(2)).await;
    assert_eq!(end(&session).await.code, CloseCode::Superseded);
    loop {
        if let Control::Close(close) = old.hear().await {
            break assert_eq!(CloseCode::from_value(close.code), CloseCode::Superseded);
        }
    }
}

/// No further connection comes.
async fn is_left_alone(listener: &Listener) {
    let nobody = tokio::time::timeout(Duration::from_millis(300), listener.accept_connection()).await;
    assert!(nobody.is_err(), "it dials again");
}

#[tokio::test]
async fn a_dialer_superseded_by_a_counter_it_never_issued_ends_and_does_not_dial_again() {
    for winner in ["2", "4611686018427387903", "", "one", "-1", "99999999999999999999"] {
        let peer = Dialed::new().await;
        assert_eq!(peer.counter, 1);
        peer.link.connection.close(2u32.into(), winner.as_bytes());
        assert_eq!(end(&peer.session).await.code, CloseCode::Superseded, "{winner:?}");
        if winner == "2" {
            is_left_alone(&peer.listener).await;
        }
    }
}

#[tokio::test]
async fn a_dialer_superseded_by_its_own_counter_dials_again_with_a_higher_one() {
    let peer = Dialed::new().await;
    peer.link.connection.close(2u32.into(), b"1");
    let (_link, hello) = peer.listener.welcome().await;
    assert_eq!((hello.session, hello.counter), (peer.session.id(), 2));
    assert_eq!(hello.secret, None, "the secret is told until the first Welcome only");
}

#[tokio::test]
async fn codes_that_end_a_session_are_not_answered_with_another_dial() {
    for code in [0, 1, 3, 4, 6, 7, 8, 9, 10, 12] {
        let peer = Dialed::new().await;
        peer.link.connection.close(u32::into(code), b"over");
        let reason = end(&peer.session).await;
        assert_eq!((reason.code, reason.reason.as_str()), (CloseCode::from_value(code), "over"));
        if code == 4 {
            is_left_alone(&peer.listener).await;
        }
    }
    for code in [5, 11, 13, 4_000_000_000] {
        let peer = Dialed::new().await;
        peer.link.connection.close(u32::into(code), b"for now");
        peer.listener.welcome().await;
    }
}

#[tokio::test]
async fn a_dialer_tells_nothing_to_somebody_else_at_the_same_address() {
    let listener = Listener::new(&identity());
    let endpoint = Endpoint::client(identity(), Config::default()).unwrap();
    // Whoever it is at first: afterwards it must be the same.
    let dial = endpoint.connect(listener.address, Trust::danger_accept_anyone());
    let (session, (link, _)) = tokio::join!(soon(dial), listener.welcome());
    let session = session.unwrap();
    listener.become_another(&identity());
    link.connection.close(11u32.into(), b"");
    let connection = listener.accept_connection().await;
    let quinn::ConnectionError::ApplicationClosed(close) = soon(connection.closed()).await else {
        panic!("not closed by the dialer");
    };
    assert_eq!(close.error_code, u32::into(CloseCode::WrongProof.value()));
    assert!(connection.accept_bi().await.is_err(), "something was said");
    assert!(!matches!(session.state(), SessionState::Connected | SessionState::Closed(_)));
}
