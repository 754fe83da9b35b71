//! Where it happens: an honest server and an honest client on a bad network, and beside each of them a host that is not.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bowline::wire::{Close, Control};
use bowline::{
    ChannelConfig, CloseCode, Config, Delivery, Endpoint, Identity, Inbox, Outcome, Receipt, Session,
    SessionId, SessionState, Trust,
};
use bowline_netsim::{Conditions, NatConfig, Scenario};
use bytes::Bytes;
use tokio::sync::Notify;

use super::raw::{Claim, Face, Link, Listener, naming, server_config};
use super::rules::{Act, Case, Scene, Then, name_chat};
use super::soon;
use crate::process::Process;
use crate::world::{Ends, Who};

/// Where the hostile acceptor listens, on the server's host.
const HOSTILE_PORT: u16 = 4434;

/// Until what was sent has been read, however often it was lost.
const PAUSE: Duration = Duration::from_millis(800);

/// How often datagrams are sent again, and how many times.
const AGAIN: Duration = Duration::from_millis(30);
const AGAIN_TIMES: usize = 1000;

/// A lane that is named to see whether anybody still listens.
const AFTER: u32 = 99;

/// Loss, and packets that overtake each other, in both directions.
pub(super) fn network() -> Scenario {
    let bad = Conditions::new()
        .delay(Duration::from_millis(20))
        .jitter(Duration::from_millis(5))
        .loss(3.0)
        .reorder(10.0, Duration::from_millis(15));
    Scenario::new("hostile", Duration::from_secs(600)).both(bad).nat(NatConfig::linux())
}

/// Who the hostile peers are.
pub(super) fn key() -> &'static Identity {
    static KEY: LazyLock<Identity> = LazyLock::new(|| Identity::generate().unwrap());
    &KEY
}

pub(super) struct Field {
    pub(super) ends: Ends,
    pub(super) server: Process,
    pub(super) client: Process,
    dialer: quinn::Endpoint,
    listener: Listener,
    hostile: SocketAddr,
    accepted: Arc<(Mutex<BTreeMap<SessionId, Session>>, Notify)>,
}

impl Field {
    pub(super) fn new(ends: Ends, config: Config) -> Self {
        let server = ends.start(Who::Server, config.clone(), None);
        let client = ends.start(Who::Client, config, None);
        let any = |port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        let dialer = ends.sim.endpoint(ends.host(Who::Client), any(0), None).unwrap();
        let tls = server_config(Face::of(key()));
        let listener = ends.sim.endpoint(ends.host(Who::Server), any(HOSTILE_PORT), Some(tls)).unwrap();
        let hostile = SocketAddr::new(ends.server_address().ip(), HOSTILE_PORT);
        let accepted = Arc::default();
        server.spawn(take_sessions(server.endpoint.clone(), Arc::clone(&accepted)));
        Self { ends, server, client, dialer, listener: Listener::on(listener), hostile, accepted }
    }

    /// A session of the server's, as soon as it has been accepted.
    pub(super) async fn session(&self, id: SessionId) -> Session {
        let (sessions, arrived) = &*self.accepted;
        soon(async {
            loop {
                let news = arrived.notified();
                if let Some(session) = sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&id) {
                    return session;
                }
                news.await;
            }
        })
        .await
    }

    /// A raw dialer that has opened its control stream.
    pub(super) async fn stranger(&self, face: Face<'_>) -> Link {
        let mut link = Link::dial_from(self.dialer.clone(), self.ends.server_address(), face).await;
        link.pause = PAUSE;
        link
    }

    /// A raw dialer with a session of its own.
    pub(super) async fn dialed(&self, claim: &Claim) -> (Link, Session) {
        let mut link = self.stranger(Face::of(key())).await;
        link.attach(claim).await;
        (link, self.session(claim.session).await)
    }

    /// A session of the client's whose acceptor is raw.
    pub(super) async fn hailed(&self) -> (Link, Session) {
        let (session, (mut link, _)) = tokio::join!(biased; soon(self.dial()), self.listener.welcome());
        link.pause = PAUSE;
        (link, session.expect("it is welcomed"))
    }

    fn dial(&self) -> impl Future<Output = Result<Session, bowline::ConnectError>> {
        self.client.endpoint.connect(self.hostile, Trust::fingerprint(key().fingerprint())).into_future()
    }

    /// A raw dialer does it to the server. What should have been otherwise.
    pub(super) async fn by_dialer(&self, number: u8, case: Case) -> Result<(), String> {
        let server = &self.server.endpoint;
        if case.scene == Scene::Stranger {
            let mut link = self.stranger(Face::of(key())).await;
            let before = server.stats().sessions;
            for act in case.acts.clone() {
                act.on(&mut link).await;
            }
            is_told(&mut link, &case).await?;
            return require(server.stats().sessions == before, "a session came of it");
        }
        let claim = Claim::new(number);
        let (mut link, session) = self.dialed(&claim).await;
        happens(&mut link, &session, server, &case).await?;
        if let Then::Lost(..) = case.then {
            let mut again = self.stranger(Face::of(key())).await;
            again.attach(&claim.at(2)).await;
            require(session.state() == SessionState::Connected, "the session is not attached again")?;
        }
        Ok(())
    }

    /// A raw acceptor does it to the client.
    pub(super) async fn by_acceptor(&self, case: Case) -> Result<(), String> {
        let client = &self.client.endpoint;
        if case.scene == Scene::Hailed {
            let act = async {
                let (mut link, _) = self.listener.greet().await;
                for act in case.acts.clone() {
                    act.on(&mut link).await;
                }
                is_told(&mut link, &case).await
            };
            let (dialed, told) = tokio::join!(biased; soon(self.dial()), act);
            told?;
            return require(dialed.is_err(), "the dialer is content");
        }
        let (mut link, session) = self.hailed().await;
        happens(&mut link, &session, client, &case).await?;
        if let Then::Lost(..) = case.then {
            let (_again, hello) = self.listener.welcome().await;
            require(hello.session == session.id(), "the session is not dialed again")?;
        }
        Ok(())
    }
}

async fn take_sessions(endpoint: Endpoint, accepted: Arc<(Mutex<BTreeMap<SessionId, Session>>, Notify)>) {
    while let Some(incoming) = endpoint.accept().await {
        let accepted = Arc::clone(&accepted);
        tokio::spawn(async move {
            if let Ok(session) = incoming.accept().await {
                let (sessions, arrived) = &*accepted;
                sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(session.id(), session);
                arrived.notify_waiters();
            }
        });
    }
}

fn require(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// What there is before a peer does something.
async fn prepare(link: &mut Link, session: &Session, scene: Scene) -> (Option<Inbox>, Option<Receipt>) {
    let delivery = match scene {
        Scene::Open(delivery) => delivery,
        Scene::Sent => Delivery::ReliableOrdered,
        Scene::Stranger | Scene::Hailed | Scene::Attached => return (None, None),
    };
    let (chat, inbox) = session.open("chat", ChannelConfig::new(delivery)).await.unwrap();
    let receipt = match scene {
        Scene::Sent => Some(chat.send("only one").await.unwrap()),
        _ => {
            name_chat(link, delivery).await;
            None
        }
    };
    (Some(inbox), receipt)
}

/// Does it on an attached link, and sees what the other side says to it.
async fn happens(link: &mut Link, session: &Session, victim: &Endpoint, case: &Case) -> Result<(), String> {
    let (_inbox, receipt) = prepare(link, session, case.scene).await;
    let dropped = victim.stats().dropped_datagrams;
    for act in case.acts.clone() {
        act.on(link).await;
    }
    match case.then {
        Then::Violation(words) => {
            is_told(link, case).await?;
            let reason = soon(session.closed()).await;
            let fits = reason.code == CloseCode::ProtocolViolation && reason.reason.contains(words);
            require(fits, &format!("the session ended otherwise: {reason}"))?;
            if let Some(receipt) = receipt {
                let outcome = soon(receipt.outcome()).await;
                require(outcome == Outcome::Unknown, &format!("a receipt lies: {outcome:?}"))?;
            }
            Ok(())
        }
        Then::Refused(..) => is_told(link, case).await,
        Then::Lost(..) => {
            is_told(link, case).await?;
            require(!matches!(session.state(), SessionState::Closed(_)), "the session is over")
        }
        Then::Ignored => goes_on(link, session).await,
        Then::Counted => {
            for _ in 0..AGAIN_TIMES {
                if victim.stats().dropped_datagrams > dropped {
                    return goes_on(link, session).await;
                }
                tokio::time::sleep(AGAIN).await;
                say_again(link, case).await;
            }
            Err("no datagram was counted".to_owned())
        }
    }
}

/// Somebody still listens, and answers.
async fn goes_on(link: &mut Link, session: &Session) -> Result<(), String> {
    link.say(&naming(AFTER, "after")).await;
    link.hear_of(AFTER).await;
    tokio::time::sleep(PAUSE).await;
    require(session.state() == SessionState::Connected, "the session has lost its link")?;
    require(session.stats().attaches == 1, "the session has attached again")?;
    say_goodbye(link, session).await;
    Ok(())
}

/// Ends a session as one should.
pub(super) async fn say_goodbye(link: &mut Link, session: &Session) {
    link.say(&Control::Close(Close { code: 0, reason: "enough".to_owned() })).await;
    soon(session.closed()).await;
}

/// What is lost of a datagram is lost: it is sent until somebody has heard it.
async fn say_again(link: &mut Link, case: &Case) {
    for act in case.acts.iter().filter(|act| matches!(act, Act::Datagram(_))) {
        act.clone().on(link).await;
    }
}

/// With what code and words the connection is closed. A close may be lost, and whoever goes on to speak hears it again.
pub(super) async fn told(link: &mut Link) -> Result<(u64, String), String> {
    for _ in 0..AGAIN_TIMES {
        if tokio::time::timeout(AGAIN, link.connection.closed()).await.is_ok() {
            return Ok(link.end().await);
        }
        // A beat; and where there are no datagrams, a frame that says nothing.
        if link.connection.send_datagram(Bytes::from_static(b"\x06")).is_err() {
            link.say_bytes(&[0]).await;
        }
    }
    Err("nobody minds".to_owned())
}

/// The connection is closed, with the code and the words that belong to the case.
async fn is_told(link: &mut Link, case: &Case) -> Result<(), String> {
    let (expected, words) = match case.then {
        Then::Refused(code, words) | Then::Lost(code, words) => (code, words),
        _ => (1, case.words()),
    };
    // With datagrams it is known when one was heard; for everything else QUIC cares.
    if case.acts.iter().any(|act| matches!(act, Act::Datagram(_))) {
        for _ in 0..AGAIN_TIMES {
            if link.connection.close_reason().is_some() {
                break;
            }
            tokio::time::sleep(AGAIN).await;
            say_again(link, case).await;
        }
    }
    let (code, reason) = told(link).await?;
    let fits = code == expected && reason.contains(words);
    require(fits, &format!("closed with {code} {reason:?}, and not with {expected} {words:?}"))
}
