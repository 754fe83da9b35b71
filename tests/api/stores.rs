//! Sessions that write down what they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bowline::Endpoint;
use bowline::SessionId;
use bowline::error::{CloseCode, Outcome, SendError, Side};
use bowline::protocol::journal::{Batch, Snapshot};
use bowline::protocol::types::Event;
use bowline::store::{MemoryStore, Store, StoreError, Storing};
use tokio::sync::watch;

use crate::support::{event, identity, line, listen, localhost, meet, nimble, text, until, within};

fn client_with(store: impl Store) -> Endpoint {
    Endpoint::builder(identity()).config(nimble()).store(store).client().unwrap()
}

/// Keeps what it is given for as long as the gate is shut.
#[derive(Debug)]
struct Gated {
    open: watch::Receiver<bool>,
    inner: MemoryStore,
}

impl Store for Gated {
    fn append(&self, batch: Batch) -> Storing<'_, ()> {
        let mut open = self.open.clone();
        Box::pin(async move {
            let _ = open.wait_for(|open| *open).await;
            self.inner.append(batch).await
        })
    }

    fn forget(&self, session: SessionId) -> Storing<'_, ()> {
        self.inner.forget(session)
    }

    fn load(&self) -> Storing<'_, Vec<(SessionId, Snapshot)>> {
        self.inner.load()
    }

    fn is_durable(&self) -> bool {
        false
    }
}

/// Takes everything until it is broken.
#[derive(Debug)]
struct Fragile(Arc<AtomicBool>);

impl Store for Fragile {
    fn append(&self, _batch: Batch) -> Storing<'_, ()> {
        let broken = self.0.load(Ordering::Relaxed);
        Box::pin(async move {
            if broken { Err(StoreError { reason: "the disk is full".to_owned() }) } else { Ok(()) }
        })
    }

    fn forget(&self, _session: SessionId) -> Storing<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn load(&self) -> Storing<'_, Vec<(SessionId, Snapshot)>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn is_durable(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn everything_works_with_a_memory_store_on_both_sides() {
    let client = client_with(MemoryStore::new());
    let server =
        Endpoint::builder(identity()).config(nimble()).store(MemoryStore::new()).bind(localhost()).unwrap();
    let (dialed, accepted) = meet(&client, &server).await;
    let mut line = line(&dialed, &accepted, "kept").await;
    let mut events = dialed.events();
    let mut receipts = Vec::new();
    for turn in 0..300 {
        receipts.push(line.out.send(format!("there {turn}")).await.unwrap());
        receipts.push(line.peer_out.send(format!("back {turn}")).await.unwrap());
        if turn % 100 == 50 {
            dialed.network_changed();
            event(&mut events, "Resumed", |it| matches!(it, Event::Resumed { .. })).await;
        }
    }
    for turn in 0..300 {
        assert_eq!(text(&mut line.peer).await, format!("there {turn}"));
        assert_eq!(text(&mut line.back).await, format!("back {turn}"));
    }
    for receipt in receipts {
        assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
    }
    let reason = within("the close", dialed.close()).await;
    assert!(reason.clean, "{reason}");
    assert!(within("the peer's end", accepted.closed()).await.clean);
}

#[tokio::test]
async fn a_send_resolves_and_leaves_only_when_it_is_durable() {
    let (gate, open) = watch::channel(true);
    let client = client_with(Gated { open, inner: MemoryStore::new() });
    let server = listen(nimble());
    let (dialed, accepted) = meet(&client, &server).await;
    let mut line = line(&dialed, &accepted, "slow disk").await;
    drop(line.out.send("warm").await.unwrap());
    assert_eq!(text(&mut line.peer).await, "warm");
    gate.send_replace(false);
    let sending = tokio::spawn({
        let out = line.out.clone();
        async move { out.send("on paper first").await.unwrap() }
    });
    until("the message's number", || line.out.stats().accepted == 2).await;
    // Another message makes the whole way there and back meanwhile.
    drop(line.peer_out.send("not held up").await.unwrap());
    assert_eq!(text(&mut line.back).await, "not held up");
    assert!(!sending.is_finished());
    assert_eq!(line.peer_out.stats().received, 1, "it left before it was durable");
    gate.send_replace(true);
    let receipt = within("the send", sending).await.unwrap();
    assert_eq!(text(&mut line.peer).await, "on paper first");
    assert_eq!(within("handled", receipt.outcome()).await, Outcome::Handled);
}

#[tokio::test]
async fn a_store_that_fails_ends_the_session_and_the_peer_is_told() {
    let broken = Arc::new(AtomicBool::new(false));
    let client = client_with(Fragile(broken.clone()));
    let server = listen(nimble());
    let (dialed, accepted) = meet(&client, &server).await;
    let mut line = line(&dialed, &accepted, "brittle").await;
    let receipt = line.out.send("before").await.unwrap();
    assert_eq!(text(&mut line.peer).await, "before");
    assert_eq!(within("handled", receipt.outcome()).await, Outcome::Handled);
    broken.store(true, Ordering::Relaxed);
    let error = within("the failure", line.out.send("after")).await.unwrap_err();
    assert!(matches!(&error, SendError::Closed(reason) if reason.code == CloseCode::StoreFailed), "{error}");
    let reason = within("the end", dialed.closed()).await;
    assert_eq!((reason.code, reason.side, reason.clean), (CloseCode::StoreFailed, Side::Local, false));
    assert!(reason.reason.contains("the disk is full"), "{reason}");
    let told = within("the peer's end", accepted.closed()).await;
    assert_eq!((told.code, told.side), (CloseCode::StoreFailed, Side::Remote));
    assert_eq!(line.peer.try_recv(), None, "what was not durable did not leave");
}
