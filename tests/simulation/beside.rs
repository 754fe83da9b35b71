//! A large transfer, and what it does to the messages beside it (guarantee G14).

use std::time::Duration;

use bowline::{ChannelConfig, Config, Delivery, Message, Session};
use bowline_netsim::{Conditions, Scenario};
use bytes::Bytes;
use tokio::time::Instant;

use crate::world::{Ends, over};

const LARGE: usize = 64 * 1024 * 1024;
const EVERY: Duration = Duration::from_millis(5);
const LINES: usize = 500;

/// A good home connection: 200 Mbit/s, 40 ms of round trip, and a queue of 10 ms.
fn home() -> Scenario {
    let line = Conditions::new().delay(Duration::from_millis(20)).rate(200_000_000).queue_bytes(250_000);
    Scenario::new("home", Duration::from_secs(120)).both(line)
}

/// How long lines of a chat take one way, sorted: so many, or all that are said while a large message beside them is on its
/// way.
async fn chat(ends: Ends, beside: Option<Delivery>) -> Vec<Duration> {
    let (client, server) = ends.session(Config::default()).await;
    let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
    let (chat, _) = client.open("chat", ordered.clone()).await.unwrap();
    let (_keep, mut lines) = server.open("chat", ordered).await.unwrap();
    let transfer = beside.map(|delivery| tokio::spawn(transfer(client.clone(), server.clone(), delivery)));
    let mut ticks = tokio::time::interval(EVERY);
    let (mut said, mut took) = (Vec::<Instant>::new(), Vec::new());
    while transfer.as_ref().map_or(said.len() < LINES, |transfer| !transfer.is_finished()) {
        tokio::select! {
            biased;
            line = lines.recv() => took.push(said[number(&line.unwrap())].elapsed()),
            _ = ticks.tick() => {
                drop(chat.send(said.len().to_be_bytes().to_vec()).await.unwrap());
                said.push(Instant::now());
            }
        }
    }
    while took.len() < said.len() {
        took.push(said[number(&lines.recv().await.unwrap())].elapsed());
    }
    if let Some(transfer) = transfer {
        transfer.await.unwrap();
    }
    took.sort();
    took
}

fn number(line: &Message) -> usize {
    usize::from_be_bytes(line.payload()[..].try_into().unwrap())
}

async fn transfer(client: Session, server: Session, delivery: Delivery) {
    let config = ChannelConfig::new(delivery);
    let (files, _) = client.open("files", config.clone()).await.unwrap();
    let (_keep, mut inbox) = server.open("files", config).await.unwrap();
    let payload = Bytes::from(vec![7; LARGE]);
    let receipt = files.send(payload.clone()).await.unwrap();
    let message = inbox.recv().await.unwrap();
    assert_eq!(message.payload(), &payload);
    receipt.await.unwrap();
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[test]
fn a_chat_hardly_notices_a_transfer_of_64_mib_beside_it() {
    let alone = over(&home(), 1, async |ends| chat(ends, None).await).output.expect("in time");
    let beside = async |ends| chat(ends, Some(Delivery::ReliableUnordered)).await;
    let beside = over(&home(), 1, beside).output.expect("in time");
    assert!(beside.len() >= LINES, "the transfer took long enough: {} lines", beside.len());
    let figures = |sorted: &[Duration]| [50, 90, 99, 100].map(|percent| quantile(sorted, percent));
    println!("alone {:?}, beside {} lines {:?}", figures(&alone), beside.len(), figures(&beside));
    assert!(2 * quantile(&beside, 99) <= 3 * quantile(&alone, 99));
}
