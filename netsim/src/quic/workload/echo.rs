//! Messages on one stream, each of which comes back.

use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};

use super::{Client, Pace, until_closed};
use crate::time::Time;

const MESSAGE: usize = 200;
const EVERY: Duration = Duration::from_millis(50);

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
    loop {
        pace.tick().await;
        let mut message = [0; MESSAGE];
        message[..8].copy_from_slice(&client.sim.now().as_nanos().to_le_bytes());
        if send.write_all(&message).await.is_err() {
            return;
        }
        client.tally.sent(1);
    }
}

async fn listen(client: &Client, mut receive: RecvStream) {
    let mut message = [0; MESSAGE];
    let mut last: Option<Time> = None;
    while receive.read_exact(&mut message).await.is_ok() {
        let now = client.sim.now();
        let mut stamp = [0; 8];
        stamp.copy_from_slice(&message[..8]);
        let spoken = Time::from_nanos(u64::from_le_bytes(stamp));
        client.tally.arrived(now.since(spoken));
        // A gap began when the last answer came, but not before somebody spoke again.
        let began = last.map_or(spoken, |last| last.max(spoken));
        let mut total = client.tally.lock();
        total.longest_gap = total.longest_gap.max(now.since(began));
        last = Some(now);
    }
}

pub(super) async fn answer(connection: &Connection) {
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        let mut message = [0; MESSAGE];
        while receive.read_exact(&mut message).await.is_ok() {
            if send.write_all(&message).await.is_err() {
                break;
            }
        }
    }
}
