//! Datagrams at a steady pace, as in a call.

use std::time::Duration;

use bytes::Bytes;
use quinn::Connection;

use super::{Gap, Pace, Tally, until_closed};
use crate::quic::Sim;
use crate::time::Time;

const DATAGRAM: usize = 160;
const EVERY: Duration = Duration::from_millis(20);

/// One of the two that talk; both do the same.
pub(super) struct Side {
    pub(super) sim: Sim,
    pub(super) silence: Option<Duration>,
    pub(super) tally: Tally,
    /// Only the clients' waiting counts.
    pub(super) gap: Option<Gap>,
}

pub(super) async fn talk(side: &Side, connection: &Connection) {
    tokio::select! {
        biased;
        () = until_closed(connection) => {}
        () = async { tokio::join!(speak(side, connection), listen(side, connection)); } => {}
    }
}

async fn speak(side: &Side, connection: &Connection) {
    let mut pace = Pace::new(EVERY, side.silence);
    loop {
        pace.tick().await;
        let mut datagram = vec![0; DATAGRAM];
        let now = side.sim.now();
        datagram[..8].copy_from_slice(&now.as_nanos().to_le_bytes());
        if connection.send_datagram(Bytes::from(datagram)).is_err() {
            return;
        }
        side.tally.sent(1);
        side.gap.iter().for_each(|gap| gap.waits(now));
    }
}

async fn listen(side: &Side, connection: &Connection) {
    while let Ok(datagram) = connection.read_datagram().await {
        let now = side.sim.now();
        let mut stamp = [0; 8];
        stamp.copy_from_slice(&datagram[..8]);
        let spoken = Time::from_nanos(u64::from_le_bytes(stamp));
        side.tally.arrived(now, 1, Some(now.since(spoken)));
        side.gap.iter().for_each(|gap| gap.ends(now));
    }
}
