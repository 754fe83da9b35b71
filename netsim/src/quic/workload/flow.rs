//! Datagrams at a steady pace, as in a call.

use std::time::Duration;

use bytes::Bytes;
use quinn::Connection;

use super::{Pace, Tally, until_closed};
use crate::quic::Sim;
use crate::time::Time;

const DATAGRAM: usize = 160;
const EVERY: Duration = Duration::from_millis(20);

/// Both sides do the same.
pub(super) async fn talk(sim: &Sim, connection: &Connection, silence: Option<Duration>, tally: &Tally) {
    tokio::select! {
        biased;
        () = until_closed(connection) => {}
        () = async { tokio::join!(speak(sim, connection, silence, tally), listen(sim, connection, tally)); } => {}
    }
}

async fn speak(sim: &Sim, connection: &Connection, silence: Option<Duration>, tally: &Tally) {
    let mut pace = Pace::new(EVERY, silence);
    loop {
        pace.tick().await;
        let mut datagram = vec![0; DATAGRAM];
        datagram[..8].copy_from_slice(&sim.now().as_nanos().to_le_bytes());
        if connection.send_datagram(Bytes::from(datagram)).is_err() {
            return;
        }
        tally.sent(1);
    }
}

async fn listen(sim: &Sim, connection: &Connection, tally: &Tally) {
    let mut last: Option<Time> = None;
    while let Ok(datagram) = connection.read_datagram().await {
        let now = sim.now();
        let mut stamp = [0; 8];
        stamp.copy_from_slice(&datagram[..8]);
        let spoken = Time::from_nanos(u64::from_le_bytes(stamp));
        tally.arrived(now.since(spoken));
        let gap = last.map_or(Duration::ZERO, |last| now.since(last));
        let mut total = tally.lock();
        total.longest_gap = total.longest_gap.max(gap);
        last = Some(now);
    }
}
