//! How much quinn holds of what was not yet acknowledged.
//!
//! quinn takes whatever fits its send window, sent or not. A window of twice the congestion window keeps the
//! connection busy, and leaves the rest to us: there it can still be overtaken by control frames.
//!
//! What is on its way already cannot be overtaken. While a large message alone is written that is nobody's loss. But beside
//! other messages the window also keeps out of the queues of the network and of the peer's socket, as TCP Vegas does (Brakmo
//! and Peterson 1995): when the round trip is longer than the shortest one seen the window shrinks, else it grows, in small steps,
//! so that no queue overflows and no message is lost in it. What remains is about what the path itself holds, so the transfer
//! hardly gets slower. Where a smaller window makes the round trip no shorter, the queue is another's, or the path is another: then
//! this round trip is the one to compare with.
//!
//! A large message begins with a small window, since a whole one at once fills every queue before a round trip can tell of
//! it. And as long as its pieces fill the window, messages pass them by what is kept for control frames.

use std::time::{Duration, Instant};

use quinn::Connection;

const WINDOW_MIN: u64 = 64 * 1024;

/// What control frames may use when channel data has filled the window, and messages when a large one has.
const RESERVE: u64 = 64 * 1024;

/// For how long a message has others stay out of its way.
const BESIDE: Duration = Duration::from_secs(1);

/// How far the round trip may exceed seventeen sixteenths of the shortest: what timers and schedulers do by themselves.
const SLACK: Duration = Duration::from_micros(250);

/// On a path shorter than this the least window is half a gigabit a second and more, and round trips are those of schedulers.
const NEAR: Duration = Duration::from_millis(1);

/// The steps of the window, as parts of it: down, up, and up as long as it has not been too large since the large message began.
const DOWN: u64 = 8;
const UP: u64 = 32;
const UP_AT_FIRST: u64 = 8;

/// What a large message begins with, as a part of the window that the last one ended with.
const BEGIN: u64 = 4;

/// The round trips after which nothing of a large message is on its way any more.
const PAUSE: u32 = 4;

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
    /// It has been too large since the large message began.
    exceeded: bool,
    /// What it was when a large message was last written beside others.
    beside: Option<u64>,
    /// The window and the round trip when it began to give way.
    giving_way: Option<(u64, Duration)>,
    /// What quinn was told.
    applied: u64,
}

impl SendWindow {
    pub(super) fn new(connection: &Connection) -> Self {
        let mut window = Self::of(most(connection.stats().path.cwnd));
        window.apply(connection);
        window
    }

    fn of(bytes: u64) -> Self {
        Self {
            bytes,
            reserve_open: false,
            shortest: None,
            message: None,
            piece: None,
            adjusted: None,
            exceeded: false,
            beside: None,
            giving_way: None,
            applied: 0,
        }
    }

    /// What has come to be written: messages that are not large, or pieces of one that is.
    pub(super) fn note(&mut self, messages: bool, pieces: bool, now: Instant) {
        if messages {
            self.message = Some(now);
        }
        if pieces {
            let pause = self.piece.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
            let shortest = self.shortest.map_or(Duration::ZERO, |(shortest, _)| shortest);
            if is_beside(self.message, now) && pause > PAUSE * shortest {
                // All of the window at once would fill every queue on the way before the first round trip tells of it.
                self.bytes =
                    self.bytes.min(self.beside.map_or(WINDOW_MIN, |bytes| WINDOW_MIN.max(bytes / BEGIN)));
                self.exceeded = false;
            }
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
        self.bytes = self.wanted(path.rtt, most(path.cwnd), now);
        // Each change wakes the connection, so the smallest are left alone.
        if self.bytes.abs_diff(self.applied) <= self.applied / 64 {
            return false;
        }
        let grows = self.bytes > self.applied;
        self.apply(connection);
        grows
    }

    fn wanted(&mut self, rtt: Duration, most: u64, now: Instant) -> u64 {
        if !is_beside(self.message, now) || !is_beside(self.piece, now) {
            self.giving_way = None;
            return most;
        }
        let shortest = self.shortest.map_or(rtt, |(shortest, _)| shortest);
        if shortest < NEAR {
            return most.min(WINDOW_MIN);
        }
        let bytes = self.bytes.min(most);
        let since = self.adjusted.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let is_crowded = rtt > shortest * 17 / 16 + SLACK;
        // What a smaller window does shows a round trip later.
        if since < if is_crowded { 2 * rtt } else { rtt } {
            return bytes;
        }
        self.adjusted = Some(now);
        let wanted = match is_crowded {
            true => self.give_way(bytes, rtt, shortest, now),
            false => {
                self.giving_way = None;
                bytes + bytes / if self.exceeded { UP } else { UP_AT_FIRST }
            }
        };
        let wanted = wanted.clamp(WINDOW_MIN.min(most), most);
        self.beside = Some(wanted);
        wanted
    }

    fn give_way(&mut self, bytes: u64, rtt: Duration, shortest: Duration, now: Instant) -> u64 {
        self.exceeded = true;
        let (window, before) = *self.giving_way.get_or_insert((bytes, rtt));
        if bytes <= window / 2 {
            self.giving_way = None;
            if rtt > before * 3 / 4 {
                self.shortest = Some((rtt, now));
                return bytes;
            }
        }
        let is_far = rtt > shortest * 3 / 2 + SLACK;
        if is_far { bytes / 2 } else { bytes - bytes / DOWN }
    }

    /// Whether messages may use what is kept for control frames: when pieces of a large one have filled the window, it is a round
    /// trip until it has room again.
    pub(super) fn lets_pass(&self, now: Instant) -> bool {
        is_beside(self.piece, now)
    }

    /// Opens or closes what is kept for control frames. Whether that changed anything.
    pub(super) fn set_reserve(&mut self, connection: &Connection, open: bool) -> bool {
        let changed = std::mem::replace(&mut self.reserve_open, open) != open;
        if changed {
            self.apply(connection);
        }
        changed
    }

    fn apply(&mut self, connection: &Connection) {
        self.applied = self.bytes;
        connection.set_send_window(self.bytes + if self.reserve_open { RESERVE } else { 0 });
    }
}

/// Whether this was written so recently that others are beside it.
fn is_beside(written: Option<Instant>, now: Instant) -> bool {
    written.is_some_and(|at| now.saturating_duration_since(at) < BESIDE)
}

fn most(congestion_window: u64) -> u64 {
    WINDOW_MIN.max(2 * congestion_window)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 1 << 22;

    fn window(bytes: u64) -> (SendWindow, Instant) {
        let (mut window, now) = (SendWindow::of(bytes), Instant::now());
        window.note_rtt(Duration::from_millis(40), now);
        (window, now)
    }

    /// One under way.
    fn under_way(bytes: u64) -> (SendWindow, Instant) {
        let (mut window, now) = window(bytes);
        window.note(false, true, now);
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

    /// Another round trip is measured, a second later, beside messages.
    fn step(window: &mut SendWindow, now: &mut Instant, rtt_ms: u64) -> u64 {
        for _ in 0..5 {
            *now += Duration::from_millis(100);
            window.note(true, true, *now);
        }
        window.bytes = window.wanted(Duration::from_millis(rtt_ms), MOST, *now);
        window.bytes
    }

    #[test]
    fn beside_messages_it_keeps_out_of_the_queues_and_comes_back() {
        let (mut window, mut now) = under_way(MOST);
        let mut step = |rtt_ms| step(&mut window, &mut now, rtt_ms);
        assert_eq!([step(200), step(61)], [MOST / 2, MOST / 4], "far too long");
        assert_eq!(step(43), MOST / 4 - MOST / 32, "a little too long");
        let before = step(42);
        assert_eq!(step(41), before + before / UP);
        for _ in 0..150 {
            step(41);
        }
        assert_eq!(step(41), MOST);
    }

    #[test]
    fn on_a_short_path_the_least_window_is_enough_beside_messages() {
        let (mut window, mut now) = under_way(MOST);
        window.note_rtt(Duration::from_micros(80), now);
        assert_eq!(step(&mut window, &mut now, 5), WINDOW_MIN);
    }

    #[test]
    fn as_long_as_it_was_never_too_large_it_grows_faster() {
        let (mut window, mut now) = window(WINDOW_MIN);
        assert_eq!(step(&mut window, &mut now, 40), WINDOW_MIN + WINDOW_MIN / UP_AT_FIRST);
    }

    #[test]
    fn a_large_message_begins_small_and_the_next_with_a_part_of_what_the_last_had() {
        let (mut window, mut now) = window(MOST);
        window.note(true, false, now);
        window.note(false, true, now);
        assert_eq!(window.bytes, WINDOW_MIN);
        for _ in 0..40 {
            step(&mut window, &mut now, 40);
        }
        assert_eq!(window.bytes, MOST);
        window.note(true, true, now + PAUSE * Duration::from_millis(40));
        assert_eq!(window.bytes, MOST, "the same message");
        window.note(true, true, now + 3 * PAUSE * Duration::from_millis(40));
        assert_eq!(window.bytes, MOST / BEGIN);
    }

    #[test]
    fn a_large_message_that_is_on_its_way_alone_gives_way_in_steps_when_others_come() {
        let (mut window, now) = window(MOST);
        window.note(false, true, now);
        window.note(true, true, now + Duration::from_millis(40));
        assert_eq!(window.bytes, MOST);
    }

    #[test]
    fn a_queue_that_does_not_shorten_is_not_its_own() {
        let (mut window, mut now) = under_way(MOST);
        let mut halved = 0;
        while step(&mut window, &mut now, 48) > MOST / 2 {
            halved += 1;
            assert!(halved < 10);
        }
        step(&mut window, &mut now, 48);
        let least = window.bytes;
        assert_eq!(window.shortest.map(|(rtt, _)| rtt), Some(Duration::from_millis(48)));
        assert_eq!(step(&mut window, &mut now, 48), least + least / UP);
    }

    #[test]
    fn it_grows_once_in_a_round_trip_and_gives_way_once_in_two() {
        let (mut window, now) = under_way(MOST / 2);
        window.note(true, false, now);
        let (short, long) = (Duration::from_millis(40), Duration::from_millis(100));
        window.bytes = window.wanted(short, MOST, now);
        let grown = window.bytes;
        assert_eq!(window.wanted(short, MOST, now + short / 2), grown);
        assert_eq!(window.wanted(long, MOST, now + long), grown);
        window.bytes = window.wanted(long, MOST, now + 2 * long);
        assert_eq!(window.bytes, grown / 2);
        assert_eq!(window.wanted(long, MOST, now + 3 * long), grown / 2);
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
