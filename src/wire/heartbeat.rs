//! The heartbeat: a datagram of exactly one byte, in which every value means something (rules H1 and W12).
//!
//! ```text
//!   7      6        5 4      3 2 1 0
//!  kind  parity    health    interval     kind: 0 beat, 1 answer
//! ```

use std::time::Duration;

use super::frame::{BeatKind, Health, Heartbeat};

/// The intervals that a beat can promise, in seconds, by index.
pub const INTERVALS_S: [u16; 16] = [2, 3, 5, 8, 10, 12, 15, 20, 25, 30, 45, 60, 90, 120, 180, 270];

const ANSWER: u8 = 0x80;
const PARITY: u8 = 0x40;
const HEALTH_SHIFT: u8 = 4;
const INTERVAL: u8 = 0x0F;

/// The byte that says this. An interval index above 15 counts as 15.
pub fn encode(heartbeat: Heartbeat) -> u8 {
    let kind = match heartbeat.kind {
        BeatKind::Beat => 0,
        BeatKind::Answer => ANSWER,
    };
    let parity = if heartbeat.parity { PARITY } else { 0 };
    let health = match heartbeat.health {
        Health::Serving => 0,
        Health::Stalled => 1,
        Health::Busy => 2,
        Health::Draining => 3,
    };
    kind | parity | (health << HEALTH_SHIFT) | heartbeat.interval.min(INTERVAL)
}

/// What the byte says.
pub fn decode(byte: u8) -> Heartbeat {
    Heartbeat {
        kind: if byte & ANSWER == 0 { BeatKind::Beat } else { BeatKind::Answer },
        parity: byte & PARITY != 0,
        health: match (byte >> HEALTH_SHIFT) & 0b11 {
            0 => Health::Serving,
            1 => Health::Stalled,
            2 => Health::Busy,
            _ => Health::Draining,
        },
        interval: byte & INTERVAL,
    }
}

/// The index of the longest interval that is not longer than `wanted`; 0 if all are.
pub fn index_at_most(wanted: Duration) -> u8 {
    let fitting = INTERVALS_S.iter().filter(|&&s| Duration::from_secs(s.into()) <= wanted).count();
    fitting.saturating_sub(1) as u8
}

/// The interval with this index; the longest for an index above 15.
pub fn interval(index: u8) -> Duration {
    let [.., longest] = INTERVALS_S;
    Duration::from_secs(INTERVALS_S.get(usize::from(index)).copied().unwrap_or(longest).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_rounded_down() {
        for (index, &seconds) in (0..).zip(&INTERVALS_S) {
            let exact = Duration::from_secs(seconds.into());
            assert_eq!(interval(index), exact);
            assert_eq!(index_at_most(exact), index);
            assert_eq!(index_at_most(exact + Duration::from_millis(1)), index);
            assert_eq!(index_at_most(exact - Duration::from_millis(1)), index.saturating_sub(1));
        }
        assert_eq!(index_at_most(Duration::ZERO), 0);
        assert_eq!(index_at_most(Duration::MAX), 15);
    }

    #[test]
    fn an_index_beyond_the_table_is_the_last() {
        assert_eq!(interval(16), Duration::from_secs(270));
        assert_eq!(interval(u8::MAX), Duration::from_secs(270));
        let far =
            Heartbeat { kind: BeatKind::Beat, parity: false, health: Health::Serving, interval: u8::MAX };
        assert_eq!(encode(far), 0x0F);
    }
}
