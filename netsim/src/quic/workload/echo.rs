//! Messages on one stream, each of which comes back.

use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};

use super::{Client, Pace, until_closed};
use crate::time::Time;

const EVERY: Duration = Duration::from_millis(50);

/// The length of a message by its number in its stream: words, and once a second something that fills packets.
fn length(number: usize) -> usize {
    if number % 20 == 19 { 4_000 } else { 200 }
}

pub(super) async fn talk(client: &Client, connection: &Connection) {
    let Ok((send, receive)) = connection.open_bi().await else { return };
    tokio::select! {
        biased;
        () = until_closed(connection) => {}
        () = async { tokio::join!(speak(client, send), listen(client, receive)); } => {}
    }
}

async fn speak(client: &Client, mut send: SendStream) {
    let mut pace = Pace::new(EVERY, client.silence);
    for number in 0.. {
        pace.tick().await;
        let mut message = vec![0; length(number)];
        message[..8].copy_from_slice(&client.sim.now().as_nanos().to_le_bytes());
        if send.write_all(&message).await.is_err() {
            return;
        }
        client.tally.sent(1);
        client.gap.waits(client.sim.now());
    }
}

async fn listen(client: &Client, mut receive: RecvStream) {
    for number in 0.. {
        let mut message = vec![0; length(number)];
        if receive.read_exact(&mut message).await.is_err() {
            return;
        }
        let now = client.sim.now();
        let mut stamp = [0; 8];
        stamp.copy_from_slice(&message[..8]);
        let spoken = Time::from_nanos(u64::from_le_bytes(stamp));
        client.tally.arrived(now, 1, Some(now.since(spoken)));
        client.gap.ends(now);
    }
}

pub(super) async fn answer(connection: &Connection) {
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        for number in 0.. {
            let mut message = vec![0; length(number)];
            if receive.read_exact(&mut message).await.is_err() || send.write_all(&message).await.is_err() {
                break;
            }
        }
    }
}
