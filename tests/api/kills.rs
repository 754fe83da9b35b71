//! Connections that die, at any moment and in either direction, while messages are on their way.

use std::time::Duration;

use bowline::error::Outcome;
use bowline::protocol::types::Event;
use bowline::session::Events;
use bowline::{Channel, Inbox, Receipt};
use tokio::sync::watch;

use crate::relay::{Relay, Way};
use crate::support::{Dice, dialer, event, line_with, listen, meet_at, nimble, ordered, within};

const COUNT: u32 = 10_000;
const KILLS: u64 = 24;

/// A message that nobody mistakes for another one: some are in a packet with many, some take one of their own.
fn message(number: u32) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.resize(4 + number as usize * 7919 % 1500, number as u8);
    message
}

/// Sends the numbers from 0, and keeps the receipts.
async fn send(channel: Channel) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for number in 0..COUNT {
        receipts.push(channel.send(message(number)).await.unwrap());
    }
    receipts
}

/// Receives the numbers from 0, each once and in order, telling how many have come.
async fn receive(mut inbox: Inbox, progress: watch::Sender<u32>) -> Inbox {
    for number in 0..COUNT {
        let received = inbox.recv().await.expect("the channel goes on");
        assert_eq!(received.payload()[..], message(number), "a message is lost, doubled or out of order");
        assert!(!received.redelivered());
        progress.send_replace(number + 1);
    }
    inbox
}

/// Counts attempts and resumptions until the session ends.
async fn count(mut events: Events) -> (u64, u64) {
    let (mut attempts, mut resumed) = (0, 0);
    while let Some(event) = events.next().await {
        match event {
            Event::Reconnecting { .. } => attempts += 1,
            Event::Resumed { .. } => resumed += 1,
            Event::Reset { .. } => panic!("nobody has forgotten the session"),
            _ => {}
        }
    }
    (attempts, resumed)
}

async fn kill_again_and_again(seed: u64) {
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let relay = Relay::to(server.local_addr().unwrap());
    let (dialed, accepted) = meet_at(&client, &server, relay.addr()).await;
    // Small, so that there is always something under way, and never everything.
    let config = ordered().outbox(300, 8 << 20);
    let line = line_with(&dialed, &accepted, "numbers", config.clone(), config).await;
    let counting = tokio::spawn(count(dialed.events()));
    let (at_acceptor, mut seen) = watch::channel(0);
    let (at_dialer, _) = watch::channel(0);
    let there = tokio::spawn(receive(line.peer, at_acceptor));
    let back = tokio::spawn(receive(line.back, at_dialer));
    let sending = tokio::spawn(send(line.out));
    let answering = tokio::spawn(send(line.peer_out));

    let mut points: Vec<u32> = (0..KILLS).map(|_| dice.below(u64::from(COUNT) * 9 / 10) as u32).collect();
    points.sort_unstable();
    for point in points {
        within("the next point", seen.wait_for(|count| *count >= point)).await.unwrap();
        let mut events = dialed.events();
        let way = [Way::ToAcceptor, Way::ToDialer, Way::Both][dice.below(3) as usize];
        let wanted = relay.counts().dropped + 1 + dice.below(4) as usize;
        relay.cut(way);
        within("packets that are lost", relay.until(|counts| counts.dropped >= wanted)).await;
        dialed.network_changed();
        event(&mut events, "Reconnecting", |it| matches!(it, Event::Reconnecting { attempt: 1, .. })).await;
        event(&mut events, "Resumed", |it| matches!(it, Event::Resumed { .. })).await;
    }

    let _line = within("all messages", async { (there.await.unwrap(), back.await.unwrap()) }).await;
    let receipts = within("all sends", async { [sending.await.unwrap(), answering.await.unwrap()] }).await;
    for receipt in receipts.iter().flatten() {
        assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
    }
    assert!(dialed.stats().resumes >= KILLS && accepted.stats().resumes >= KILLS);
    assert!(dialed.close().await.clean);
    let (attempts, resumed) = within("the end of the events", counting).await.unwrap();
    println!("{:?}, attempts {attempts}, resumed {resumed}", relay.counts());
    assert!(attempts >= KILLS && resumed >= KILLS);
}

#[tokio::test]
async fn ten_thousand_messages_each_way_survive_two_dozen_dead_connections() {
    kill_again_and_again(1).await;
}

#[tokio::test]
async fn they_survive_them_at_other_moments_too() {
    kill_again_and_again(0xB0A7).await;
}

#[tokio::test]
async fn messages_survive_loss_delay_and_a_rebinding_without_a_new_connection() {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let relay = Relay::to(server.local_addr().unwrap());
    let (dialed, accepted) = meet_at(&client, &server, relay.addr()).await;
    let line = line_with(&dialed, &accepted, "numbers", ordered(), ordered()).await;
    let mut events = accepted.events();
    relay.delay(Duration::from_millis(2));
    relay.lose(13, 7);
    let (progress, mut seen) = watch::channel(0);
    let there = tokio::spawn(receive(line.peer, progress));
    let sending = tokio::spawn(send(line.out));
    within("half of it", seen.wait_for(|count| *count >= COUNT / 2)).await.unwrap();
    relay.rebind();
    let _line = within("all messages", there).await.unwrap();
    for receipt in within("all sends", sending).await.unwrap() {
        assert_eq!(within("an outcome", receipt.outcome()).await, Outcome::Handled);
    }
    event(&mut events, "PathChanged", |it| matches!(it, Event::PathChanged { .. })).await;
    assert!(relay.counts().dropped > 0, "nothing was lost");
    assert_eq!((dialed.stats().attaches, accepted.stats().attaches), (1, 1));
}
