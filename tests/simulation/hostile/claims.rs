//! Peers that want somebody else's session, or have two links of one (G9, G11; S2, S4, S5), or have no datagrams (W3).

use bowline::wire::{Control, Hello, Retry};
use bowline::{Config, Identity, SessionState};

use super::field::{Field, key, told};
use super::raw::{Claim, Face};
use super::{beside, soon};

/// Three seeds: what is lost, and what comes first, is another each time.
const SEEDS: std::ops::Range<u64> = 0..3;

#[test]
fn who_is_somebody_else_gets_no_session_and_its_owner_does_not_notice() {
    for seed in SEEDS {
        let (found, ..) = beside(seed, &Config::default(), async |field| (theft(field).await, ()));
        assert_eq!(found, [""; 0], "seed {seed}");
    }
}

async fn theft(field: &Field) -> Vec<String> {
    let claim = Claim::new(1);
    let (owner, session) = field.dialed(&claim).await;
    let thief = Identity::generate().expect("randomness");
    let captured = claim.at(2).hello(&owner);
    let mut found = Vec::new();
    for (name, face, replayed) in [
        ("the secret, and another identity", Face::of(&thief), false),
        ("the secret, and no identity", Face::anonymous(), false),
        ("a Hello of another connection", Face::of(key()), true),
    ] {
        let mut link = field.stranger(face).await;
        let hello = if replayed { captured.clone() } else { claim.at(1000).hello(&link) };
        link.say(&Control::Hello(Box::new(hello))).await;
        let told = told(&mut link).await;
        if !matches!(told, Ok((6, _))) {
            found.push(format!("{name}: {told:?}"));
        }
    }
    if session.state() != SessionState::Connected || session.stats().attaches != 1 {
        found.push(format!("the owner noticed: {:?}", session.state()));
    }
    // Its very next counter is still good.
    let mut next = field.stranger(Face::of(key())).await;
    next.attach(&claim.at(2)).await;
    found
}

#[test]
fn the_newest_link_wins_and_the_older_one_is_told_by_which() {
    for seed in SEEDS {
        let (found, ..) = beside(seed, &Config::default(), async |field| (racing(field).await, ()));
        assert_eq!(found, [""; 0], "seed {seed}");
    }
}

async fn racing(field: &Field) -> Vec<String> {
    let claim = Claim::new(1);
    let (mut first, session) = field.dialed(&claim.at(41)).await;
    let mut second = field.stranger(Face::of(key())).await;
    let stale: Hello = claim.at(41).hello(&second);
    let retry = second.hear_retry(stale).await;
    let mut found = Vec::new();
    if retry != Retry::Stale(41) {
        found.push(format!("a counter that was used is answered {retry:?}"));
    }
    second.attach(&claim.at(42)).await;
    let told = told(&mut first).await;
    if told != Ok((2, "42".to_owned())) {
        found.push(format!("the older link was told {told:?}"));
    }
    while session.stats().attaches < 2 {
        soon(tokio::time::sleep(std::time::Duration::from_millis(10))).await;
    }
    if session.state() != SessionState::Connected {
        found.push(format!("the session is {:?}", session.state()));
    }
    found
}

#[test]
fn a_peer_without_datagrams_is_turned_away() {
    for seed in SEEDS {
        let (found, ..) = beside(seed, &Config::default(), async |field| {
            let mut face = Face::of(key());
            face.transport.datagram_receive_buffer_size(None);
            let told = told(&mut field.stranger(face).await).await;
            let expected = matches!(told, Ok((8, _)));
            (if expected { Vec::new() } else { vec![format!("it was told {told:?}")] }, ())
        });
        assert_eq!(found, [""; 0], "seed {seed}");
    }
}
