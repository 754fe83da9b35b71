//! A large transfer, and what it does to the messages beside it (guarantee G14).

use std::time::Duration;

use bowline::{ChannelConfig, Config, Delivery};
use bowline_netsim::{Conditions, Scenario};
use bytes::Bytes;

use crate::world::{Ends, over};

const LARGE: usize = 64 * 1024 * 1024;
const EVERY: Duration = Duration::from_millis(50);
const LINES: usize = 400;

/// A good home connection: 200 Mbit/s, 40 ms of round trip, and a queue of 10 ms.
fn home() -> Scenario {
    let line = Conditions::new().delay(Duration::from_millis(20)).rate(200_000_000).queue_bytes(250_000);
    Scenario::new("home", Duration::from_secs(120)).both(line)
}

/// How long lines of a chat take one way, sorted, and whether a large message beside them arrived.
async fn chat(ends: Ends, beside: Option<Delivery>) -> (Vec<Duration>, bool) {
    let (client, server) = ends.session(Config::default()).await;
    let ordered = ChannelConfig::new(Delivery::ReliableOrdered);
    let (chat, _) = client.open("chat", ordered.clone()).await.unwrap();
    let (_keep, mut lines) = server.open("chat", ordered).await.unwrap();
    let transfer = beside.map(|delivery| {
        let (client, server) = (client.clone(), server.clone());
        tokio::spawn(async move {
            let config = ChannelConfig::new(delivery);
            let (files, _) = client.open("files", config.clone()).await.unwrap();
            let (_keep, mut inbox) = server.open("files", config).await.unwrap();
            let payload = Bytes::from(vec![7; LARGE]);
            let receipt = files.send(payload.clone()).await.unwrap();
            let message = inbox.recv().await.unwrap();
            assert_eq!(message.payload(), &payload);
            receipt.await.unwrap();
        })
    });
    let mut took = Vec::new();
    for number in 0..LINES {
        let sent = tokio::time::Instant::now();
        drop(chat.send(format!("line {number}")).await.unwrap());
        let line = lines.recv().await.unwrap();
        assert_eq!(line.payload(), &format!("line {number}"));
        took.push(sent.elapsed());
        tokio::time::sleep_until(sent + EVERY).await;
    }
    let arrived = match transfer {
        Some(transfer) => transfer.await.is_ok(),
        None => false,
    };
    took.sort();
    (took, arrived)
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[test]
fn a_chat_hardly_notices_a_transfer_of_64_mib_beside_it() {
    let (alone, _) = over(&home(), 1, async |ends| chat(ends, None).await).output.expect("in time");
    let beside = async |ends| chat(ends, Some(Delivery::ReliableUnordered)).await;
    let (beside, arrived) = over(&home(), 1, beside).output.expect("in time");
    assert!(arrived, "the large message is here");
    let figures = |sorted: &[Duration]| [50, 90, 99, 100].map(|percent| quantile(sorted, percent));
    println!("alone {:?}, beside {:?}", figures(&alone), figures(&beside));
    assert!(quantile(&beside, 99) <= 2 * quantile(&alone, 99));
}
