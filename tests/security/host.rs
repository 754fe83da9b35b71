//! The victims: endpoints whose application takes every session, and sessions that must go on unharmed meanwhile.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bowline::{
    Channel, ChannelConfig, CloseCode, CloseReason, Config, Delivery, Endpoint, EndpointBuilder, Identity,
    Inbox, Session, Trust,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::raw::{Claim, Face, Link, Listener};
use crate::soon;

pub(crate) fn identity() -> Identity {
    Identity::generate().unwrap()
}

pub(crate) fn ordered() -> ChannelConfig {
    ChannelConfig::new(Delivery::ReliableOrdered)
}

/// An endpoint that accepts whoever proves to be somebody.
pub(crate) struct Host {
    pub(crate) endpoint: Endpoint,
    pub(crate) address: SocketAddr,
    accepted: UnboundedReceiver<Session>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        Self::built(Endpoint::builder(identity()).config(config))
    }

    pub(crate) fn built(builder: EndpointBuilder) -> Self {
        let endpoint = builder.bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = endpoint.local_addr().unwrap();
        let (sessions, accepted) = unbounded_channel();
        let door = endpoint.clone();
        tokio::spawn(async move {
            while let Some(incoming) = door.accept().await {
                let sessions = sessions.clone();
                tokio::spawn(async move {
                    if let Ok(session) = incoming.accept().await {
                        let _ = sessions.send(session);
                    }
                });
            }
        });
        Self { endpoint, address, accepted }
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::fingerprint(self.endpoint.fingerprint())
    }

    /// The next session that was made.
    pub(crate) async fn session(&mut self) -> Session {
        soon(self.accepted.recv()).await.expect("the endpoint is open")
    }

    /// No session but those that were asked for.
    pub(crate) fn has_no_more(&mut self) -> bool {
        self.accepted.try_recv().is_err()
    }

    /// A raw dialer with a session of its own.
    pub(crate) async fn raw(&mut self, identity: &Identity, claim: &Claim) -> (Link, Session) {
        let mut link = Link::dial(self.address, Face::of(identity)).await;
        link.attach(claim).await;
        (link, self.session().await)
    }
}

/// A session on the same endpoint that has nothing to do with all this.
pub(crate) struct Bystander {
    session: Session,
    chat: Channel,
    _inbox: Inbox,
    _endpoint: Endpoint,
}

impl Bystander {
    pub(crate) async fn of(host: &mut Host) -> Self {
        let endpoint = Endpoint::client(identity(), Config::default()).unwrap();
        let session = soon(endpoint.connect(host.address, host.trust())).await.unwrap();
        take_everything(host.session().await, "chat").await;
        let (chat, inbox) = session.open("chat", ordered()).await.unwrap();
        let bystander = Self { session, chat, _inbox: inbox, _endpoint: endpoint };
        bystander.is_unharmed().await;
        bystander
    }

    /// Its messages are handled, on the link that it always had.
    pub(crate) async fn is_unharmed(&self) {
        soon(soon(self.chat.send("still here")).await.unwrap()).await.unwrap();
        assert_eq!(self.session.stats().attaches, 1, "it had to connect again");
    }
}

/// An application that takes all messages of a channel, as long as the session lives.
pub(crate) async fn take_everything(session: Session, label: &str) {
    let (chat, mut inbox) = session.open(label, ordered()).await.unwrap();
    tokio::spawn(async move {
        while inbox.recv().await.is_some() {}
        drop((chat, session));
    });
}

/// A dialed session whose acceptor is raw.
pub(crate) struct Dialed {
    pub(crate) session: Session,
    pub(crate) link: Link,
    pub(crate) counter: u64,
    pub(crate) listener: Listener,
    _endpoint: Endpoint,
}

impl Dialed {
    pub(crate) async fn new() -> Self {
        let key = identity();
        let listener = Listener::new(&key);
        let endpoint = Endpoint::client(identity(), Config::default()).unwrap();
        let dial = endpoint.connect(listener.address, Trust::fingerprint(key.fingerprint()));
        let (session, (link, hello)) = tokio::join!(soon(dial), listener.welcome());
        Self { session: session.unwrap(), link, counter: hello.counter, listener, _endpoint: endpoint }
    }
}

/// Why the session is over.
pub(crate) async fn end(session: &Session) -> CloseReason {
    soon(session.closed()).await
}

pub(crate) fn assert_violation(reason: &CloseReason, words: &str) {
    assert_eq!(reason.code, CloseCode::ProtocolViolation, "{reason}");
    assert!(reason.reason.contains(words), "{words:?} is not in {:?}", reason.reason);
}

/// Gives everybody else a turn or two: for what must not happen, and so cannot be awaited.
pub(crate) async fn a_while() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
