//! Sessions outlive their process, with a store that does. A process is a runtime here: shut down, it is gone in the
//! middle of whatever it did, and no task of it says goodbye.

use std::net::SocketAddr;

use std::net::Ipv4Addr;
use std::time::Duration;

use bowline::protocol::journal::{Batch, Snapshot};
use bowline::{
    Config, ConnectError, Endpoint, EndpointBuilder, Event, Identity, Inbox, MemoryStore, ReconnectPolicy,
    Session, SessionId, SessionState, Store, Storing, Trust,
};
use tokio::runtime::Runtime;

use crate::support::{identity, ordered, trust, within};

/// One side, with what it keeps over its restarts.
pub(crate) struct Side {
    identity: Identity,
    store: MemoryStore,
    durable: bool,
}

/// A memory that outlives the process, as far as a test is concerned.
#[derive(Debug)]
struct Durable(MemoryStore);

impl Store for Durable {
    fn append(&self, batch: Batch) -> Storing<'_, ()> {
        self.0.append(batch)
    }

    fn forget(&self, session: SessionId) -> Storing<'_, ()> {
        self.0.forget(session)
    }

    fn load(&self) -> Storing<'_, Vec<(SessionId, Snapshot)>> {
        self.0.load()
    }

    fn is_durable(&self) -> bool {
        true
    }
}

impl Side {
    fn new(durable: bool) -> Self {
        Self { identity: identity(), store: MemoryStore::new(), durable }
    }

    pub(crate) fn builder(&self) -> EndpointBuilder {
        let quick =
            Config::default().heartbeat(Duration::from_secs(2)).reconnect(ReconnectPolicy::Responsive);
        let builder = Endpoint::builder(self.identity.clone()).config(quick);
        match self.durable {
            true => builder.store(Durable(self.store.clone())),
            false => builder.store(self.store.clone()),
        }
    }

    /// Listens, where an earlier process may not have let go of the port yet.
    pub(crate) async fn listen(&self, addr: SocketAddr) -> Endpoint {
        within("the port", async {
            loop {
                match self.builder().bind(addr) {
                    Ok(endpoint) => return endpoint,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        })
        .await
    }
}

pub(crate) fn process() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Both ends of a session, and the endpoints that they belong to.
pub(crate) struct Pair {
    pub(crate) listener: Endpoint,
    pub(crate) dialer: Endpoint,
    pub(crate) accepted: Session,
    pub(crate) dialed: Session,
}

/// A session between two processes.
pub(crate) struct Before {
    pub(crate) dialer: Side,
    pub(crate) acceptor: Side,
    pub(crate) addr: SocketAddr,
    pub(crate) trust: Trust,
    pub(crate) dialing: Runtime,
    pub(crate) accepting: Runtime,
    pub(crate) pair: Pair,
}

fn before() -> Before {
    between(Side::new(false), Side::new(false))
}

/// The same, with stores that tell the other side that they last.
pub(crate) fn before_durably() -> Before {
    between(Side::new(true), Side::new(true))
}

fn between(dialer: Side, acceptor: Side) -> Before {
    let (dialing, accepting) = (process(), process());
    let listener = accepting.block_on(acceptor.listen((Ipv4Addr::LOCALHOST, 0).into()));
    let (addr, trust) = (listener.local_addr().unwrap(), trust(&listener));
    let endpoint = {
        let _guard = dialing.enter();
        dialer.builder().client().unwrap()
    };
    let accepted = {
        let listener = listener.clone();
        accepting.spawn(async move { listener.accept().await.unwrap().accept().await.unwrap() })
    };
    let dialed = dialing.block_on(within("it happens", endpoint.connect(addr, trust.clone()))).unwrap();
    let accepted = accepting.block_on(within("it happens", accepted)).unwrap();
    let pair = Pair { listener, dialer: endpoint, accepted, dialed };
    Before { dialer, acceptor, addr, trust, dialing, accepting, pair }
}

async fn take(inbox: &mut Inbox, expected: &str) {
    assert_eq!(within("it happens", inbox.recv()).await.unwrap().into_payload(), expected);
}

async fn resumed(events: &mut bowline::Events) {
    loop {
        match within("it happens", events.next()).await.unwrap() {
            Event::Resumed { .. } => return,
            Event::Reset { .. } | Event::Closed(_) => panic!("the session should have been resumed"),
            _ => {}
        }
    }
}

#[test]
fn a_restarted_acceptor_hands_over_what_it_had_received() {
    let Before { acceptor, addr, dialing, accepting, pair, dialer, .. } = before();
    let (sender, mut answers) = dialing.block_on(pair.dialed.open("jobs", ordered())).unwrap();
    let (replies, mut inbox) = accepting.block_on(pair.accepted.open("jobs", ordered())).unwrap();
    let mut events = pair.dialed.events();
    let receipts: Vec<_> = ["one", "two", "three"]
        .map(|text| dialing.block_on(within("it happens", sender.send(text))).unwrap())
        .into_iter()
        .collect();
    accepting.block_on(take(&mut inbox, "one"));
    dialing.block_on(async { within("it happens", receipts[2].received()).await.unwrap() });
    let unsent = accepting.block_on(within("it happens", replies.send("a reply"))).unwrap();
    accepting.shutdown_timeout(Duration::from_secs(30));
    drop((pair.accepted, pair.listener, replies, inbox, unsent));

    let accepting = process();
    accepting.block_on(async {
        let listener = acceptor.listen(addr).await;
        let restored = listener.restore().await.unwrap();
        assert_eq!((restored.accepted.len(), restored.dialed.len()), (1, 0));
        let session = &restored.accepted[0];
        assert_eq!(session.id(), pair.dialed.id());
        let (_replies, mut inbox) = session.open("jobs", ordered()).await.unwrap();
        take(&mut inbox, "two").await;
        take(&mut inbox, "three").await;
        let at_the_dialer = dialing.spawn(async move {
            resumed(&mut events).await;
            take(&mut answers, "a reply").await;
            for receipt in receipts {
                within("it happens", receipt).await.unwrap();
            }
            let receipt = within("it happens", sender.send("four")).await.unwrap();
            assert_eq!(receipt.id().sequence, 3, "numbers go on");
            (answers, sender)
        });
        let _alive = within("it happens", at_the_dialer).await.unwrap();
        take(&mut inbox, "four").await;
        assert!(listener.restore().await.unwrap().accepted.is_empty(), "it lives already");
    });
    drop(dialer);
}

#[test]
fn a_restarted_dialer_sends_what_was_in_its_outbox() {
    let Before { dialer, addr, trust, dialing, accepting, pair, .. } = before();
    let (sender, _answers) = dialing.block_on(pair.dialed.open("jobs", ordered())).unwrap();
    let (_replies, mut inbox) = accepting.block_on(pair.accepted.open("jobs", ordered())).unwrap();
    for text in ["one", "two", "three"] {
        drop(dialing.block_on(within("it happens", sender.send(text))).unwrap());
    }
    accepting.block_on(take(&mut inbox, "one"));
    dialing.shutdown_timeout(Duration::from_secs(30));
    drop((pair.dialed, pair.dialer, sender));

    let dialing = process();
    dialing.block_on(async {
        let endpoint = dialer.builder().client().unwrap();
        let mut restored = endpoint.restore().await.unwrap();
        assert_eq!((restored.accepted.len(), restored.dialed.len()), (0, 1));
        let dormant = restored.dialed.remove(0);
        assert_eq!(dormant.id(), pair.accepted.id());
        let the_same = endpoint.restore().await.unwrap().dialed.remove(0);
        let session = dormant.connect(addr, trust.clone()).await.unwrap();
        assert!(matches!(the_same.connect(addr, trust).await, Err(ConnectError::AlreadyConnected)));
        let (sender, _answers) = session.open("jobs", ordered()).await.unwrap();
        let receipt = within("it happens", sender.send("four")).await.unwrap();
        let at_the_acceptor = accepting.spawn(async move {
            for text in ["two", "three", "four"] {
                take(&mut inbox, text).await;
            }
            inbox
        });
        let _alive = within("it happens", at_the_acceptor).await.unwrap();
        within("it happens", receipt).await.unwrap();
        assert_eq!((session.stats().resumes, session.stats().resets), (1, 0));
        assert!(within("it happens", session.close()).await.clean);
        assert!(endpoint.restore().await.unwrap().dialed.is_empty(), "what is over is forgotten");
    });
}

#[test]
fn a_restored_dialer_does_not_talk_to_another_peer() {
    let Before { dialer, dialing, accepting, pair, .. } = before();
    dialing.shutdown_timeout(Duration::from_secs(30));
    drop((pair.dialed, pair.dialer));
    let impostor = Side::new(false);
    let dialing = process();
    let _guard = accepting.enter();
    let listener = accepting.block_on(impostor.listen((Ipv4Addr::LOCALHOST, 0).into()));
    dialing.block_on(async {
        let endpoint = dialer.builder().client().unwrap();
        let dormant = endpoint.restore().await.unwrap().dialed.remove(0);
        let anyone = Trust::danger_accept_anyone();
        let session = dormant.connect(listener.local_addr().unwrap(), anyone).await.unwrap();
        let mut events = session.events();
        within("the first attempt fails", async {
            // The second attempt shows that the first one failed.
            while !matches!(events.next().await.unwrap(), Event::Reconnecting { attempt: 2.., .. }) {}
        })
        .await;
        assert_eq!(session.state(), SessionState::Detached);
    });
}
