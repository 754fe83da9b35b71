//! A peer that restarts without memory.

use std::net::SocketAddr;
use std::time::Duration;

use bowline::config::OnReset;
use bowline::error::Outcome;
use bowline::protocol::types::Event;
use bowline::{Channel, ChannelConfig, Config, Delivery, Endpoint, Identity, Inbox, Session, Trust};

use crate::support::{
    Process, accept, channel, dialer, event, identity, localhost, nimble, ordered, payload, text, until,
    within,
};

/// The acceptor in a process of its own, with the session and one channel that the dialer has opened too.
struct Acceptor {
    process: Process,
    addr: SocketAddr,
    session: Session,
    out: Channel,
    inbox: Inbox,
    endpoint: Endpoint,
    config: ChannelConfig,
}

impl Acceptor {
    /// Ends the process without a farewell. Yields where it listened.
    async fn kill(self) -> SocketAddr {
        self.process.kill().await;
        // Nothing drives these any more, but they keep the socket.
        drop((self.session, self.out, self.inbox, self.endpoint));
        self.addr
    }
}

async fn start(identity: &Identity, addr: SocketAddr) -> (Process, Endpoint) {
    let process = Process::start();
    let identity = identity.clone();
    let endpoint = process.run(async move { Endpoint::bind(addr, identity, nimble()).unwrap() }).await;
    (process, endpoint)
}

async fn take(process: Process, endpoint: Endpoint, config: ChannelConfig) -> Acceptor {
    let addr = endpoint.local_addr().unwrap();
    let opened = config.clone();
    let (session, out, inbox, endpoint) = process
        .run(async move {
            let session = accept(&endpoint).await;
            let (out, inbox) = session.open("work", opened).await.unwrap();
            (session, out, inbox, endpoint)
        })
        .await;
    Acceptor { process, addr, session, out, inbox, endpoint, config }
}

/// A dialer with one channel to an acceptor that can be killed.
async fn begin(identity: &Identity, config: ChannelConfig) -> (Endpoint, Session, Channel, Inbox, Acceptor) {
    let (process, endpoint) = start(identity, localhost()).await;
    let (addr, trust) = (endpoint.local_addr().unwrap(), Trust::fingerprint(endpoint.fingerprint()));
    let client = dialer(nimble());
    let dial = async { within("the session", client.connect(addr, trust)).await.unwrap() };
    let (session, acceptor) = tokio::join!(dial, take(process, endpoint, config.clone()));
    let (out, back) = session.open("work", config).await.unwrap();
    (client, session, out, back, acceptor)
}

/// Kills the acceptor, and starts another one with the same identity on the same port.
async fn restart(identity: &Identity, old: Acceptor) -> Acceptor {
    let config = old.config.clone();
    let addr = old.kill().await;
    let (process, endpoint) = start(identity, addr).await;
    take(process, endpoint, config).await
}

#[tokio::test]
async fn a_restarted_peer_is_noticed_and_what_it_may_have_handled_ends_unknown() {
    let identity = identity();
    let (_client, session, out, _back, mut acceptor) =
        begin(&identity, ordered().outbox(2000, 8 << 20)).await;
    let handled = out.send("handled before").await.unwrap();
    assert_eq!(text(&mut acceptor.inbox).await, "handled before");
    within("handled", handled.outcome()).await;
    let taken = out.send("received, not handled").await.unwrap();
    within("received", taken.received()).await.unwrap();

    let mut events = session.events();
    let mut acceptor = restart(&identity, acceptor).await;
    let reset = event(&mut events, "Reset", |it| matches!(it, Event::Reset { .. })).await;
    assert_eq!(reset, Event::Reset { undelivered: 1, redelivered: 0 });
    assert_eq!(taken.outcome().await, Outcome::Unknown);
    assert_eq!(handled.outcome().await, Outcome::Handled, "what was known stays known");
    let after = out.send("after").await.unwrap();
    assert_eq!(text(&mut acceptor.inbox).await, "after");
    within("handled", after).await.unwrap();
    drop(acceptor.out.send("and back").await.unwrap());
    assert_eq!(session.stats().resets, 1);
    assert_eq!(session.id(), acceptor.session.id());
}

#[tokio::test]
async fn a_restart_is_told_by_the_answer_to_the_first_packet_and_dialed_at_once() {
    let identity = identity();
    let (process, endpoint) = start(&identity, localhost()).await;
    let (addr, trust) = (endpoint.local_addr().unwrap(), Trust::fingerprint(endpoint.fingerprint()));
    // Its next beat is due in minutes, and nothing flows: it can only be told.
    let client = dialer(Config::default().heartbeat(Duration::from_secs(270)));
    let dial = async { within("the session", client.connect(addr, trust)).await.unwrap() };
    let (session, mut acceptor) = tokio::join!(dial, take(process, endpoint, ordered()));
    let (out, mut back) = session.open("work", ordered()).await.unwrap();
    drop(acceptor.out.send("of the first").await.unwrap());
    let first = within("a message", back.recv()).await.unwrap().id();
    let handled = out.send("handled").await.unwrap();
    assert_eq!(text(&mut acceptor.inbox).await, "handled");
    within("handled", handled.outcome()).await;
    let mut open = Vec::new();
    for number in 0..5 {
        open.push(out.send(format!("open {number}")).await.unwrap());
        within("received", open[number].received()).await.unwrap();
    }
    let mut events = session.events();
    let (process, endpoint) = start(&identity, acceptor.kill().await).await;
    open.push(out.send("to whoever is there").await.unwrap());
    let next = within("an event", events.next()).await;
    assert_eq!(
        next,
        Some(Event::Reconnecting { attempt: 1, after: Duration::ZERO }),
        "nothing was suspected"
    );
    let mut acceptor = take(process, endpoint, ordered()).await;
    let next = within("an event", events.next()).await;
    assert_eq!(next, Some(Event::Reset { undelivered: 6, redelivered: 0 }));
    for receipt in open {
        assert_eq!(receipt.outcome().await, Outcome::Unknown);
    }
    assert_eq!(handled.outcome().await, Outcome::Handled);
    let after = out.send("after").await.unwrap();
    assert_eq!(text(&mut acceptor.inbox).await, "after");
    within("handled", after).await.unwrap();
    drop(acceptor.out.send("of the second").await.unwrap());
    let second = within("a message", back.recv()).await.unwrap().id();
    assert_ne!(first.epoch, second.epoch, "what the restarted peer sends is numbered anew");
}

#[tokio::test]
async fn messages_that_were_never_written_reach_the_restarted_peer() {
    let identity = identity();
    let (_client, session, out, mut back, acceptor) = begin(&identity, ordered()).await;
    let mut events = session.events();
    let addr = acceptor.kill().await;
    // Something has to be sent for the loss to be noticed; what follows it waits in the outbox.
    let lost = out.send("written to the dead").await.unwrap();
    let (process, endpoint) = start(&identity, addr).await;
    event(&mut events, "Reconnecting", |it| matches!(it, Event::Reconnecting { .. })).await;
    let kept = out.send("never written").await.unwrap();
    let mut acceptor = take(process, endpoint, ordered()).await;
    event(&mut events, "Reset", |it| matches!(it, Event::Reset { undelivered: 1, .. })).await;
    assert_eq!(text(&mut acceptor.inbox).await, "never written");
    within("handled", kept).await.unwrap();
    assert_eq!(lost.outcome().await, Outcome::Unknown);
    drop(acceptor.out.send("and back").await.unwrap());
    assert_eq!(text(&mut back).await, "and back");
}

#[tokio::test]
async fn messages_in_doubt_come_again_and_say_so_where_the_channel_asked_for_it() {
    let identity = identity();
    let config = ordered().on_reset(OnReset::Redeliver);
    let (_client, session, out, _back, mut acceptor) = begin(&identity, config).await;
    let handled = out.send("handled before").await.unwrap();
    assert_eq!(text(&mut acceptor.inbox).await, "handled before");
    within("handled", handled).await.unwrap();
    let doubtful = out.send("in doubt").await.unwrap();
    within("received", doubtful.received()).await.unwrap();

    let mut events = session.events();
    let mut acceptor = restart(&identity, acceptor).await;
    event(&mut events, "Reset", |it| *it == Event::Reset { undelivered: 0, redelivered: 1 }).await;
    let again = within("the message", acceptor.inbox.recv()).await.unwrap();
    assert_eq!((&again.payload()[..], again.redelivered()), (&b"in doubt"[..], true));
    assert_eq!(again.id(), doubtful.id(), "it keeps its name");
    assert_eq!(within("an outcome", doubtful.outcome()).await, Outcome::Handled);
    drop(out.send("new").await.unwrap());
    let new = within("the message", acceptor.inbox.recv()).await.unwrap();
    assert_eq!((&new.payload()[..], new.redelivered()), (&b"new"[..], false));
}

#[tokio::test]
async fn every_mode_goes_on_with_a_peer_that_forgot_it() {
    for mode in Delivery::ALL {
        let identity = identity();
        let config = channel(mode);
        let (_client, session, out, mut back, mut acceptor) = begin(&identity, config).await;
        drop(out.send("before").await.unwrap());
        assert_eq!(text(&mut acceptor.inbox).await, "before");
        drop(acceptor.out.send("and back").await.unwrap());
        assert_eq!(text(&mut back).await, "and back");
        let doubtful = out.send("untaken").await.unwrap();
        if mode.is_reliable() {
            within("received", doubtful.received()).await.unwrap();
        }
        let mut events = session.events();
        let mut acceptor = restart(&identity, acceptor).await;
        let undelivered = u64::from(mode.is_reliable());
        event(&mut events, "Reset", |it| *it == Event::Reset { undelivered, redelivered: 0 }).await;
        assert_eq!(within("an outcome", doubtful.outcome()).await, Outcome::Unknown, "{mode}");
        let after = out.send("after").await.unwrap();
        assert_eq!(text(&mut acceptor.inbox).await, "after", "{mode}");
        let expected = if mode.is_reliable() { Outcome::Handled } else { Outcome::Unknown };
        assert_eq!(within("an outcome", after.outcome()).await, expected, "{mode}");
        drop(acceptor.out.send("and back again").await.unwrap());
        assert_eq!(text(&mut back).await, "and back again", "{mode}");
        assert_eq!((out.stats().outbox_messages, back.try_recv()), (0, None), "{mode}");
    }
}

#[tokio::test]
async fn a_giant_that_its_receiver_forgot_halfway_comes_again_where_the_channel_asked_for_it() {
    const SIZE: usize = 24 << 20;
    for on_reset in [OnReset::Unknown, OnReset::Redeliver] {
        let identity = identity();
        let config = channel(Delivery::ReliableUnordered).on_reset(on_reset);
        let (_client, session, out, _back, acceptor) = begin(&identity, config).await;
        let mut events = session.events();
        let giant = out.send(payload(1, SIZE)).await.unwrap();
        until("a part", || acceptor.out.stats().partial_bytes > 0).await;
        let mut acceptor = restart(&identity, acceptor).await;
        let (undelivered, redelivered) = if on_reset == OnReset::Unknown { (1, 0) } else { (0, 1) };
        event(&mut events, "Reset", |it| *it == Event::Reset { undelivered, redelivered }).await;
        if on_reset == OnReset::Redeliver {
            let message = within("the giant", acceptor.inbox.recv()).await.unwrap();
            assert!(*message.payload() == payload(1, SIZE) && message.redelivered());
            assert_eq!(within("an outcome", giant.outcome()).await, Outcome::Handled);
        } else {
            assert_eq!(within("an outcome", giant.outcome()).await, Outcome::Unknown);
        }
        assert_eq!((out.stats().outbox_messages, out.stats().outbox_bytes), (0, 0));
    }
}
