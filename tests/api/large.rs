//! Messages of megabytes: they share the line, go on where a dead connection left them, and can be stopped halfway.

use bowline::error::Outcome;
use bowline::{Delivery, Progress};

use crate::relay::{Counts, Way};
use crate::support::{Net, channel, is_empty, net, number, ordered, payload, take, until, within};

const MIB: usize = 1024 * 1024;

const RELIABLE: [Delivery; 3] =
    [Delivery::ReliableUnordered, Delivery::ReliableOrdered, Delivery::ReliableLatest];

/// UDP payload that was passed on this way.
fn passed(counts: &Counts, way: Way) -> usize {
    match way {
        Way::ToAcceptor => counts.to_acceptor,
        _ => counts.to_dialer,
    }
}

async fn goes_on_where_it_was(net: &Net, way: Way, mode: Delivery) {
    const SIZE: usize = 24 * MIB;
    let line = net.line(&format!("{mode}, {way:?}"), channel(mode)).await;
    let (out, mut inbox, peer) = match way {
        Way::ToAcceptor => (line.out.clone(), line.peer, line.peer_out.clone()),
        _ => (line.peer_out.clone(), line.back, line.out.clone()),
    };
    net.relay.allow(way, 9 * MIB);
    let receipt = out.send(payload(1, SIZE)).await.unwrap();
    let mut before = 0;
    // Less than may pass: a dead connection may use some of that up before it is given up.
    for (round, part) in [(1, 6), (2, 14)] {
        until("a part", || peer.stats().partial_bytes > part * MIB).await;
        // What is there is shown at both ends.
        let transfer = inbox.transfers()[0];
        assert_eq!((transfer.id, transfer.size), (receipt.id(), SIZE as u64));
        assert!(transfer.received > before, "{transfer:?}");
        net.relay.cut(Way::Both);
        let (held, counts) = (peer.stats().partial_bytes, net.relay.counts());
        before = held as u64;
        match round {
            1 => net.relay.allow(way, 12 * MIB),
            _ => net.relay.allow_all(),
        }
        net.kill().await;
        if round == 2 {
            assert_eq!(*take(&mut inbox).await.payload(), payload(1, SIZE), "not what was sent");
            let again = passed(&net.relay.counts(), way) - passed(&counts, way);
            let rest = SIZE - held;
            assert!(rest < 10 * MIB, "too little was there to tell the difference");
            assert!((rest..rest + rest / 4 + MIB).contains(&again), "{again} bytes for the missing {rest}");
        } else {
            // What survived is known, and more comes.
            let knows =
                |progress| matches!(progress, Progress::Partly { received, .. } if received >= before);
            until("its progress", || knows(receipt.progress())).await;
        }
    }
    assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
    until("nothing is kept", || is_empty(&out.stats(), &peer.stats())).await;
}

#[tokio::test]
async fn after_a_dead_connection_only_the_rest_is_sent_to_the_acceptor() {
    let net = net().await;
    for mode in RELIABLE {
        goes_on_where_it_was(&net, Way::ToAcceptor, mode).await;
    }
}

#[tokio::test]
async fn after_a_dead_connection_only_the_rest_is_sent_to_the_dialer() {
    let net = net().await;
    goes_on_where_it_was(&net, Way::ToDialer, Delivery::ReliableOrdered).await;
}

/// What to do with a message that is halfway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    BySender,
    ByReceiver,
}

#[tokio::test]
async fn a_large_message_can_be_stopped_halfway_with_and_without_a_connection() {
    let net = net().await;
    for mode in RELIABLE {
        for stop in [Stop::BySender, Stop::ByReceiver] {
            for connected in [true, false] {
                let label = format!("{mode}, {stop:?}, {connected}");
                let mut line = net.line(&label, channel(mode)).await;
                drop(line.out.send(payload(0, 10)).await.unwrap());
                take(&mut line.peer).await;
                let bytes = net.relay.counts().to_acceptor;
                net.relay.allow(Way::ToAcceptor, MIB);
                let large = line.out.send(payload(1, 8 * MIB)).await.unwrap();
                until("a part", || line.peer_out.stats().partial_bytes > 0).await;
                if !connected {
                    net.relay.cut(Way::Both);
                }
                let outcome = match stop {
                    Stop::BySender => {
                        assert!(large.cancel());
                        assert_eq!(line.out.stats().outbox_bytes, 0, "{label}");
                        Outcome::Cancelled
                    }
                    Stop::ByReceiver => {
                        assert!(line.peer.reject_transfer(large.id(), "no room"));
                        assert_eq!(line.peer_out.stats().partial_bytes, 0, "{label}");
                        Outcome::Rejected { reason: "no room".to_owned() }
                    }
                };
                net.relay.allow_all();
                if !connected {
                    net.kill().await;
                }
                assert_eq!(within("an outcome", large.outcome()).await, outcome, "{label}");
                let after = line.out.send(payload(2, 10)).await.unwrap();
                let message = take(&mut line.peer).await;
                assert_eq!(
                    (number(&message), message.skipped()),
                    (2, u64::from(mode.is_ordered())),
                    "{label}"
                );
                within("handled", after).await.unwrap();
                assert_eq!(line.peer.transfers(), []);
                until("nothing is kept", || is_empty(&line.out.stats(), &line.peer_out.stats())).await;
                let sent = net.relay.counts().to_acceptor - bytes;
                assert!(sent < 4 * MIB, "{label}: the rest was sent all the same, {sent} bytes");
            }
        }
    }
}

#[tokio::test]
async fn a_newer_state_stops_a_large_one_halfway() {
    let net = net().await;
    let mut line = net.line("states", channel(Delivery::ReliableLatest)).await;
    let bytes = net.relay.counts().to_acceptor;
    net.relay.allow(Way::ToAcceptor, MIB);
    let large = line.out.send(payload(1, 8 * MIB)).await.unwrap();
    until("a part", || line.peer_out.stats().partial_bytes > 0).await;
    let newer = line.out.send(payload(2, 100_000)).await.unwrap();
    net.relay.allow_all();
    assert_eq!(number(&take(&mut line.peer).await), 2);
    assert_eq!(within("an outcome", large.outcome()).await, Outcome::Superseded);
    within("handled", newer).await.unwrap();
    assert!(net.relay.counts().to_acceptor - bytes < 4 * MIB, "the rest was sent all the same");
    until("nothing is kept", || is_empty(&line.out.stats(), &line.peer_out.stats())).await;
}

#[tokio::test]
async fn two_giants_at_once_both_get_on() {
    const SIZE: usize = 8 * MIB;
    let net = net().await;
    let mut first = net.line("first", ordered()).await;
    let mut second = net.line("second", channel(Delivery::ReliableUnordered)).await;
    net.relay.allow(Way::ToAcceptor, 4 * MIB);
    let receipts = [first.out.send(payload(1, SIZE)).await, second.out.send(payload(2, SIZE)).await];
    // Of the four megabytes that pass, each gets its share.
    until("both have begun", || {
        let parts = [first.peer_out.stats().partial_bytes, second.peer_out.stats().partial_bytes];
        parts.into_iter().all(|part| part > MIB)
    })
    .await;
    net.relay.allow_all();
    assert_eq!(*take(&mut second.peer).await.payload(), payload(2, SIZE), "not what was sent");
    assert_eq!(*take(&mut first.peer).await.payload(), payload(1, SIZE), "not what was sent");
    for receipt in receipts {
        within("handled", receipt.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn what_follows_a_giant_waits_for_it_only_where_there_is_an_order() {
    let net = net().await;
    let mut ordered = net.line("ordered", ordered()).await;
    let mut unordered = net.line("unordered", channel(Delivery::ReliableUnordered)).await;
    net.relay.allow(Way::ToAcceptor, 2 * MIB);
    for line in [&ordered, &unordered] {
        drop(line.out.send(payload(1, 8 * MIB)).await.unwrap());
        drop(line.out.send(payload(2, 100)).await.unwrap());
    }
    assert_eq!(number(&take(&mut unordered.peer).await), 2, "it passes the giant");
    // In an order it is there as well, and waits for its turn.
    until("its arrival", || ordered.peer_out.stats().received > 0).await;
    assert!(ordered.peer_out.stats().partial_bytes < 8 * MIB);
    assert_eq!(ordered.peer.try_recv(), None);
    net.relay.allow_all();
    assert_eq!(number(&take(&mut ordered.peer).await), 1);
    assert_eq!(number(&take(&mut ordered.peer).await), 2);
    assert_eq!(number(&take(&mut unordered.peer).await), 1);
}

#[tokio::test]
async fn a_giant_arrives_through_loss() {
    let net = net().await;
    net.relay.lose(8, 21);
    let mut line = net.line("lossy", channel(Delivery::ReliableUnordered)).await;
    let receipt = line.out.send(payload(1, 4 * MIB)).await.unwrap();
    assert_eq!(*take(&mut line.peer).await.payload(), payload(1, 4 * MIB), "not what was sent");
    within("handled", receipt).await.unwrap();
    assert!(net.relay.counts().dropped > 10);
}

#[tokio::test]
async fn an_inbox_that_is_dropped_stops_a_giant_halfway() {
    for mode in RELIABLE {
        let net = net().await;
        let line = net.line(&mode.to_string(), channel(mode)).await;
        net.relay.allow(Way::ToAcceptor, MIB);
        let large = line.out.send(payload(1, 8 * MIB)).await.unwrap();
        until("a part", || line.peer_out.stats().partial_bytes > 0).await;
        net.relay.allow_all();
        drop(line.peer);
        let expected = Outcome::Rejected { reason: "the receiver closed this channel".to_owned() };
        assert_eq!(within("an outcome", large.outcome()).await, expected, "{mode}");
        until("nothing is kept", || is_empty(&line.out.stats(), &line.peer_out.stats())).await;
        assert_eq!(net.dialed.stats().attaches, 1);
    }
}
