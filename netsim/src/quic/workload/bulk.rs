//! One large download.

use quinn::{Connection, ConnectionError};

use super::{Client, Tally};

const BYTES: usize = 16 << 20;
const CHUNK: usize = 64 << 10;

/// Asks for it, and reads until it is complete.
pub(super) async fn fetch(client: &Client, connection: &Connection) -> Result<(), ConnectionError> {
    let (mut ask, mut receive) = connection.open_bi().await?;
    // An empty request that is finished is answered as well; what fails is seen by the reading.
    ask.finish().ok();
    let mut got = 0;
    while let Ok(Some(chunk)) = receive.read_chunk(CHUNK, true).await {
        got += chunk.bytes.len();
        let now = client.sim.now();
        client.tally.arrived(now, chunk.bytes.len() as u64, None);
        client.gap.ends(now);
        if got < BYTES {
            client.gap.waits(now);
        }
    }
    match connection.close_reason() {
        Some(reason) if got < BYTES => Err(reason),
        _ => Ok(()),
    }
}

pub(super) async fn give(connection: &Connection, tally: &Tally) {
    while let Ok((mut send, _)) = connection.accept_bi().await {
        let chunk = vec![0; CHUNK];
        for _ in 0..BYTES / CHUNK {
            if send.write_all(&chunk).await.is_err() {
                break;
            }
            tally.sent(CHUNK as u64);
        }
        // Whoever is gone does not need the end of it.
        send.finish().ok();
    }
}
