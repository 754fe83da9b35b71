//! How much quinn holds of what was not yet acknowledged.
//!
//! quinn takes whatever fits its send window, sent or not. A window of twice the congestion window keeps the
//! connection busy, and leaves the rest to us: there it can still be overtaken by control frames.
//!
//! What is on its way already cannot be overtaken. While a large message alone is written that is nobody's loss. But beside
//! other messages the window also keeps out of the queues of the network and of the peer's socket, as TCP Vegas does (Brakmo
//! and Peterson 1995): when the round trip grows well beyond the shortest one seen it is halved, else it grows. What
//! remains is about what the path itself holds, so the transfer hardly gets slower.

use std::time::{Duration, Instant};

use quinn::Connection;

const WINDOW_MIN: u64 = 64 * 1024;

/// What control frames may use when channel data has filled the window.
const RESERVE: u64 = 64 * 1024;

/// For how long a message has others stay out of its way.
const BESIDE: Duration = Duration::from_secs(1);

/// How far the round trip may exceed one and a half times the shortest: what timers and schedulers do by themselves.
const SLACK: Duration = Duration::from_micros(250);

/// How long the shortest round trip counts. Paths change.
const SHORTEST_FOR: Duration = Duration::from_secs(60);

/// The send window of one connection.
#[derive(Debug)]
pub(super) struct SendWindow {
    bytes: u64,
    reserve_open: bool,
    /// The shortest round trip, and when it was seen.
    shortest: Option<(Duration, Instant)>,
    /// When a message that is not large, and a piece of one that is, were last written.
    message: Option<Instant>,
    piece: Option<Instant>,
    /// When the window last gave way, or grew again.
    adjusted: Option<Instant>,
}

impl SendWindow {
    pub(super) fn new(connection: &Connection) -> Self {
        let (shortest, message, piece, adjusted) = (None, None, None, None);
        let mut window = Self { bytes: 0, reserve_open: false, shortest, message, piece, adjusted };
        window.bytes = most(connection.stats().path.cwnd);
        window.apply(connection);
        window
    }

    /// What has come to be written: messages that are not large, or pieces of one that is.
    pub(super) fn note(&mut self, messages: bool, pieces: bool, now: Instant) {
        if messages {
            self.message = Some(now);
        }
        if pieces {
            self.piece = Some(now);
        }
    }

    /// The round trip as it is.
    pub(super) fn note_rtt(&mut self, rtt: Duration, now: Instant) {
        let counts = |&(shortest, at): &(Duration, Instant)| {
            shortest <= rtt && now.saturating_duration_since(at) < SHORTEST_FOR
        };
        if !rtt.is_zero() && !self.shortest.as_ref().is_some_and(counts) {
            self.shortest = Some((rtt, now));
        }
    }

    /// Follows the congestion window, and beside other messages the round trip. Whether there is more room now.
    pub(super) fn refresh(&mut self, connection: &Connection, now: Instant) -> bool {
        let path = connection.stats().path;
        self.note_rtt(path.rtt, now);
        let wanted = self.wanted(path.rtt, most(path.cwnd), now);
        // Each change wakes the connection, so small ones are left alone.
        if wanted.abs_diff(self.bytes) <= self.bytes / 8 {
            return false;
        }
        let grows = wanted > self.bytes;
        self.bytes = wanted;
        self.apply(connection);
        grows
    }

    fn wanted(&mut self, rtt: Duration, most: u64, now: Instant) -> u64 {
        let is_beside = |at| now.saturating_duration_since(at) < BESIDE;
        if !self.message.is_some_and(is_beside) || !self.piece.is_some_and(is_beside) {
            return most;
        }
        let bytes = self.bytes.min(most);
        if self.adjusted.is_some_and(|at| now < at + rtt) {
            return bytes;
        }
        self.adjusted = Some(now);
        let shortest = self.shortest.map_or(rtt, |(shortest, _)| shortest);
        let queues = rtt > shortest * 3 / 2 + SLACK;
        let wanted = if queues { bytes / 2 } else { bytes + bytes / 4 };
        wanted.clamp(WINDOW_MIN, most)
    }

    /// Opens or closes what is kept for control frames. Whether that changed anything.
    pub(super) fn set_reserve(&mut self, connection: &Connection, open: bool) -> bool {
        let changed = std::mem::replace(&mut self.reserve_open, open) != open;
        if changed {
            self.apply(connection);
        }
        changed
    }

    fn apply(&self, connection: &Connection) {
        connection.set_send_window(self.bytes + if self.reserve_open { RESERVE } else { 0 });
    }
}

fn most(congestion_window: u64) -> u64 {
    WINDOW_MIN.max(2 * congestion_window)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 1 << 22;

    fn window(bytes: u64) -> (SendWindow, Instant) {
        let (shortest, message, piece, adjusted) = (None, None, None, None);
        let now = Instant::now();
        let mut window = SendWindow { bytes, reserve_open: false, shortest, message, piece, adjusted };
        window.note_rtt(Duration::from_millis(40), now);
        (window, now)
    }

    #[test]
    fn alone_a_transfer_may_use_all_of_it() {
        let (mut window, now) = window(WINDOW_MIN);
        assert_eq!(window.wanted(Duration::from_millis(400), MOST, now), MOST);
        window.note(true, false, now);
        window.note(false, true, now + BESIDE);
        let later = now + BESIDE;
        assert_eq!(window.wanted(Duration::from_millis(400), MOST, later), MOST, "the message is long gone");
    }

    #[test]
    fn messages_alone_may_use_all_of_it() {
        let (mut window, now) = window(WINDOW_MIN);
        window.note(true, false, now);
        assert_eq!(window.wanted(Duration::from_millis(400), MOST, now), MOST);
    }

    #[test]
    fn beside_messages_it_keeps_out_of_the_queues_and_comes_back() {
        let (mut window, mut now) = window(MOST);
        let mut step = |rtt_ms: u64| {
            now += Duration::from_secs(1) / 2;
            window.note(true, true, now);
            window.bytes = window.wanted(Duration::from_millis(rtt_ms), MOST, now);
            window.bytes
        };
        assert_eq!([step(400), step(61)], [MOST / 2, MOST / 4]);
        assert_eq!(step(60), MOST / 4 + MOST / 16);
        for _ in 0..20 {
            step(100);
        }
        assert_eq!(step(100), WINDOW_MIN);
        for _ in 0..50 {
            step(41);
        }
        assert_eq!(step(41), MOST);
    }

    #[test]
    fn it_gives_way_once_in_a_round_trip() {
        let (mut window, now) = window(MOST);
        window.note(true, true, now);
        let rtt = Duration::from_millis(100);
        window.bytes = window.wanted(rtt, MOST, now);
        assert_eq!(window.wanted(rtt, MOST, now + rtt / 2), MOST / 2);
        assert_eq!(window.wanted(rtt, MOST, now + rtt), MOST / 4);
    }

    #[test]
    fn the_shortest_round_trip_is_forgotten_after_a_while() {
        let (mut window, now) = window(MOST);
        window.note_rtt(Duration::from_millis(90), now + SHORTEST_FOR / 2);
        assert_eq!(window.shortest.map(|(rtt, _)| rtt), Some(Duration::from_millis(40)));
        window.note_rtt(Duration::from_millis(90), now + SHORTEST_FOR);
        assert_eq!(window.shortest.map(|(rtt, _)| rtt), Some(Duration::from_millis(90)));
    }
}
