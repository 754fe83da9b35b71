//! What an application tells of its process and its network, and what its peer does then.

use bowline::error::Outcome;
use bowline::protocol::types::Event;
use bowline::{Health, SessionState, Whereabouts};

use crate::support::{event, line, pair, text, until, within};

#[tokio::test]
async fn a_peer_in_the_background_is_offline_and_what_waits_for_it_goes_another_way_or_waits() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "push").await;
    let mut events = pair.accepted.events();
    pair.client.going_to_background();
    event(&mut events, "PeerOffline", |it| *it == Event::PeerOffline { pending: 0 }).await;
    assert_eq!(pair.accepted.state(), SessionState::Detached);
    let pushed = line.peer_out.send("by push").await.unwrap();
    drop(line.peer_out.send("by push too").await.unwrap());
    let listed = line.peer_out.undelivered();
    let taken = line.peer_out.take_back().await;
    assert_eq!(listed, taken);
    let payloads: Vec<_> = taken.iter().map(|message| &message.payload[..]).collect();
    assert_eq!(payloads, [&b"by push"[..], b"by push too"]);
    assert_eq!((taken[0].id, taken[0].size), (pushed.id(), 7));
    assert_eq!(pushed.outcome().await, Outcome::Cancelled);
    let waits = line.peer_out.send("waits").await.unwrap();
    assert_eq!(line.peer_out.undelivered()[0].whereabouts, Whereabouts::Kept);
    // What the background still says arrives.
    drop(line.out.send("a last word").await.unwrap());
    assert_eq!(text(&mut line.peer).await, "a last word");
    assert_eq!(pair.accepted.state(), SessionState::Detached);

    pair.client.resumed();
    assert_eq!(text(&mut line.back).await, "waits");
    assert_eq!(within("handled", waits.outcome()).await, Outcome::Handled);
    event(&mut events, "Recovered", |it| *it == Event::Recovered).await;
    assert_eq!(pair.accepted.state(), SessionState::Connected);
    assert_eq!(pair.dialed.stats().attaches, 1);
}

#[tokio::test]
async fn messages_on_their_way_are_in_doubt_and_those_at_the_peer_are_there() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "where").await;
    let receipt = line.out.send("there").await.unwrap();
    within("received", receipt.received()).await.unwrap();
    assert_eq!(line.out.undelivered()[0].whereabouts, Whereabouts::AtPeer);
    assert_eq!(line.out.take_back().await, []);
    assert_eq!(text(&mut line.peer).await, "there");
    within("handled", receipt).await.unwrap();
    assert_eq!(line.out.undelivered(), []);
}

#[tokio::test]
async fn hints_without_need_change_nothing() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "hints").await;
    pair.dialed.resumed();
    pair.accepted.going_to_background();
    pair.server.going_to_background();
    pair.server.network_changed();
    pair.accepted.resumed();
    drop(line.out.send("there").await.unwrap());
    drop(line.peer_out.send("and back").await.unwrap());
    assert_eq!(text(&mut line.peer).await, "there");
    assert_eq!(text(&mut line.back).await, "and back");
    assert_eq!((pair.dialed.stats().attaches, pair.accepted.stats().attaches), (1, 1));
    assert_eq!(pair.dialed.stats().liveness.service, Health::Serving);
}

#[tokio::test]
async fn an_endpoint_tells_all_its_sessions_of_another_network() {
    let pair = pair().await;
    let (again, _accepted) = crate::support::meet(&pair.client, &pair.server).await;
    pair.client.network_changed();
    for session in [&pair.dialed, &again] {
        until("another connection", || session.stats().attaches == 2).await;
    }
}
