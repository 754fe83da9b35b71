//! Taking over a session that is somebody else's, and coming back to one's own (S1 to S4, G11).

use std::net::Ipv4Addr;
use std::time::Duration;

use bowline::wire::{Control, Hello, Retry};
use bowline::{CloseCode, Config, Endpoint, Identity, Inbox, Session, SessionState};

use crate::host::{Host, a_while, end, identity, ordered};
use crate::raw::{Claim, Face, Link, naming, records};
use crate::soon;

/// A session whose dialer is attached, and that somebody else would like to have.
struct Victim {
    host: Host,
    owner: Identity,
    claim: Claim,
    link: Link,
    session: Session,
    inbox: Inbox,
    _chat: bowline::Channel,
    stream: quinn::SendStream,
    told: u64,
}

impl Victim {
    async fn new() -> Self {
        let mut host = Host::new();
        let (owner, claim) = (identity(), Claim::new(1));
        let (mut link, session) = host.raw(&owner, &claim).await;
        let (_chat, inbox) = session.open("chat", ordered()).await.unwrap();
        link.say(&naming(0, "chat")).await;
        let stream = link.open_data(&records(0, 0, &[b"hello"])).await;
        let mut victim = Self { host, owner, claim, link, session, inbox, _chat, stream, told: 0 };
        victim.hears("hello").await;
        victim
    }

    async fn hears(&mut self, words: &str) {
        let message = soon(self.inbox.recv()).await.unwrap();
        assert_eq!((&message.payload()[..], message.id().sequence), (words.as_bytes(), self.told));
        self.told += 1;
    }

    /// The Hello of this face is refused as a wrong proof, and nothing else happens.
    async fn refuses(mut self, face: Face<'_>, hello: impl FnOnce(&Self, &Link) -> Hello) {
        let before = self.session.stats();
        let mut thief = Link::dial(self.host.address, face).await;
        let hello = hello(&self, &thief);
        thief.say(&Control::Hello(Box::new(hello))).await;
        let Control::Refuse(refuse) = thief.hear().await else { panic!("not refused") };
        assert_eq!((CloseCode::from_value(refuse.code), refuse.retry), (CloseCode::WrongProof, false));
        assert_eq!(thief.end().await.0, u64::from(CloseCode::WrongProof.value()));

        // The same link goes on,
        self.stream.write_all(&[10, b'a', b'g', b'a', b'i', b'n']).await.unwrap();
        self.hears("again").await;
        let after = self.session.stats();
        assert_eq!((after.attaches, after.fenced_frames), (before.attaches, before.fenced_frames));
        assert_eq!(self.session.state(), SessionState::Connected);
        assert_eq!(self.session.peer().unwrap().fingerprint(), self.owner.fingerprint());
        assert!(self.host.has_no_more());
        // and the very next counter is still good.
        let mut next = Link::dial(self.host.address, Face::of(&self.owner)).await;
        next.attach(&self.claim.at(2)).await;
        assert_eq!(self.session.stats().resets, 0);
    }
}

#[tokio::test]
async fn who_does_not_know_the_secret_cannot_resume_and_the_session_does_not_notice() {
    let victim = Victim::new().await;
    let owner = Identity::from_pem(&victim.owner.to_pem()).unwrap();
    let guess = |victim: &Victim, link: &Link| {
        let guess = Claim { secret: bowline::wire::Secret([9; 32]), ..victim.claim.at(1000) };
        guess.hello(link)
    };
    victim.refuses(Face::of(&owner), guess).await;
}

#[tokio::test]
async fn a_hello_that_was_captured_on_another_connection_cannot_be_replayed() {
    let victim = Victim::new().await;
    let owner = Identity::from_pem(&victim.owner.to_pem()).unwrap();
    let captured = |victim: &Victim, _: &Link| victim.claim.at(2).hello(&victim.link);
    victim.refuses(Face::of(&owner), captured).await;
}

#[tokio::test]
async fn a_proof_is_worth_nothing_under_another_counter() {
    let victim = Victim::new().await;
    let owner = Identity::from_pem(&victim.owner.to_pem()).unwrap();
    let raised = |victim: &Victim, link: &Link| Hello { counter: 7, ..victim.claim.at(2).hello(link) };
    victim.refuses(Face::of(&owner), raised).await;
}

#[tokio::test]
async fn another_identity_cannot_resume_with_the_stolen_secret() {
    let victim = Victim::new().await;
    let thief = identity();
    victim.refuses(Face::of(&thief), |victim, link| victim.claim.at(2).hello(link)).await;
}

#[tokio::test]
async fn nobody_without_an_identity_can_resume_with_the_stolen_secret() {
    let victim = Victim::new().await;
    victim.refuses(Face::anonymous(), |victim, link| victim.claim.at(2).hello(link)).await;
}

#[tokio::test]
async fn a_stale_counter_is_told_and_the_next_one_attaches_on_the_same_link() {
    let mut host = Host::new();
    let (owner, claim) = (identity(), Claim::new(1));
    let (_old, session) = host.raw(&owner, &claim.at(41)).await;
    let mut link = Link::dial(host.address, Face::of(&owner)).await;
    let hello = claim.at(41).hello(&link);
    assert_eq!(link.hear_retry(hello).await, Retry::Stale(41));
    let hello = claim.at(3).hello(&link);
    assert_eq!(link.hear_retry(hello).await, Retry::Stale(41));
    assert_eq!(link.attach(&claim.at(42)).await.counter, 42);
    assert_eq!(session.stats().attaches, 2);
    assert!(host.has_no_more());
}

#[tokio::test]
async fn a_session_that_is_not_known_is_forgotten_until_the_secret_comes() {
    let mut host = Host::new();
    let claim = Claim::new(1);
    let mut link = Link::dial(host.address, Face::of(&identity())).await;
    let hello = Hello { secret: None, ..claim.at(7).hello(&link) };
    assert_eq!(link.hear_retry(hello).await, Retry::Forgotten);
    link.attach(&claim.at(8)).await;
    host.session().await;
}

#[tokio::test]
async fn a_link_is_closed_after_four_hellos_whether_the_session_is_known_or_not() {
    let mut host = Host::new();
    let (owner, claim) = (identity(), Claim::new(1));
    let (_link, session) = host.raw(&owner, &claim).await;
    for (session, secret) in [(claim.session, true), (Claim::new(2).session, false)] {
        let mut link = Link::dial(host.address, Face::of(&owner)).await;
        let hello = claim.hello(&link);
        let hello = Hello { session, secret: hello.secret.clone().filter(|_| secret), ..hello };
        for _ in 0..4 {
            link.say(&Control::Hello(Box::new(hello.clone()))).await;
        }
        let (code, reason) = link.end().await;
        assert_eq!((code, reason.as_str()), (1, "too many Hellos on one connection"));
    }
    assert_eq!(session.state(), SessionState::Connected);
    assert_eq!(session.stats().attaches, 1);
}

#[tokio::test]
async fn a_link_of_a_known_session_must_attach_in_time_too() {
    let mut host = Host::with(Config::default().handshake_timeout(Duration::from_millis(300)));
    let (owner, claim) = (identity(), Claim::new(1));
    let (_link, session) = host.raw(&owner, &claim).await;
    let mut waiting = Link::dial(host.address, Face::of(&owner)).await;
    let stale = claim.hello(&waiting);
    assert_eq!(waiting.hear_retry(stale).await, Retry::Stale(1));
    assert_eq!(waiting.end().await, (5, "it took too long to attach".to_owned()));
    assert_eq!(session.state(), SessionState::Connected);
}

#[tokio::test]
async fn a_welcome_that_was_lost_makes_no_second_session() {
    let mut host = Host::new();
    let (owner, claim) = (identity(), Claim::new(1));
    let mut first = Link::dial(host.address, Face::of(&owner)).await;
    let hello = claim.hello(&first);
    first.say(&Control::Hello(Box::new(hello))).await;
    assert!(matches!(first.hear().await, Control::Welcome(_)));
    // The session is not shown to the application before the dialer has confirmed.
    a_while().await;
    assert!(host.has_no_more());
    // It has never read that, and dials again.
    let mut second = Link::dial(host.address, Face::of(&owner)).await;
    second.attach(&claim.at(2)).await;
    let session = host.session().await;
    assert_eq!((session.id(), session.stats().attaches), (claim.session, 2));
    a_while().await;
    assert!(host.has_no_more());
    assert_eq!(host.endpoint.stats().sessions, 1);
}

#[tokio::test]
async fn a_dialer_that_comes_again_before_it_is_accepted_is_accepted_once() {
    let endpoint = Endpoint::bind((Ipv4Addr::LOCALHOST, 0), identity(), Config::default()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let (owner, claim) = (identity(), Claim::new(1));
    let mut first = Link::dial(address, Face::of(&owner)).await;
    let hello = claim.hello(&first);
    first.say(&Control::Hello(Box::new(hello))).await;
    while endpoint.stats().waiting == 0 {
        tokio::task::yield_now().await;
    }
    // Nobody else gets its place, though the secret be known.
    let mut thief = Link::dial(address, Face::of(&identity())).await;
    let hello = claim.at(2).hello(&thief);
    thief.say(&Control::Hello(Box::new(hello))).await;
    assert_eq!(thief.end().await.0, u64::from(CloseCode::WrongProof.value()));

    let mut second = Link::dial(address, Face::of(&owner)).await;
    let stale = claim.hello(&second);
    assert_eq!(second.hear_retry(stale).await, Retry::Stale(1));
    let claim = claim.at(2);
    let accept = async {
        assert_eq!(first.end().await.0, u64::from(CloseCode::Reattach.value()));
        soon(endpoint.accept()).await.unwrap().accept().await.unwrap()
    };
    let (session, _) = tokio::join!(accept, second.attach(&claim));
    assert_eq!((session.id(), session.stats().attaches), (claim.session, 1));
    assert_eq!((endpoint.stats().sessions, endpoint.stats().waiting), (1, 0));
}

#[tokio::test]
async fn a_session_that_is_over_is_over_for_its_dialer_and_unknown_to_others() {
    let mut host = Host::new();
    let (owner, claim) = (identity(), Claim::new(1));
    let (mut link, session) = host.raw(&owner, &claim).await;
    let close = bowline::wire::Close { code: 0, reason: "bye".to_owned() };
    link.say(&Control::Close(close)).await;
    assert_eq!(end(&session).await.code, CloseCode::Normal);
    for (face, code) in [(Face::of(&owner), CloseCode::Normal), (Face::anonymous(), CloseCode::WrongProof)] {
        let mut link = Link::dial(host.address, face).await;
        let hello = claim.at(2).hello(&link);
        link.say(&Control::Hello(Box::new(hello))).await;
        assert_eq!(link.end().await.0, u64::from(code.value()));
    }
    assert_eq!(host.endpoint.stats().sessions, 0);
}

/// A Hello may come late, from a process that is gone: nobody confirms what comes of it.
#[tokio::test]
async fn single_login_an_older_session_ends_when_the_new_one_is_confirmed_and_not_before() {
    let mut host = Host::with(Config::default().one_session_per_identity(true));
    let owner = identity();
    let (link, session) = host.raw(&owner, &Claim::new(1)).await;
    let mut unconfirmed = Vec::new();
    for name in 2..5 {
        let mut ghost = Link::dial(host.address, Face::of(&owner)).await;
        let hello = Claim::new(name).hello(&ghost);
        ghost.say(&Control::Hello(Box::new(hello))).await;
        assert!(matches!(ghost.hear().await, Control::Welcome(_)));
        unconfirmed.push(ghost);
    }
    assert_eq!(session.state(), SessionState::Connected);
    // Few wait at once.
    let superseded = u64::from(CloseCode::Superseded.value());
    assert_eq!(soon(unconfirmed[0].end()).await.0, superseded);
    assert_eq!(host.endpoint.stats().sessions, 3);
    host.raw(&owner, &Claim::new(9)).await;
    assert_eq!(soon(session.closed()).await.code, CloseCode::Superseded);
    assert_eq!(soon(link.end()).await.0, superseded);
}
