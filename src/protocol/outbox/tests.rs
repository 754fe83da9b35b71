//! Windows, resets, modes, and what is said of them.

use std::time::Duration;

use super::*;
use crate::error::ExtendError;
use crate::protocol::types::Window;
use crate::wire::{Carrier, Why};

mod accounts;
mod words;

const LIMITS: Limits = Limits { messages: 100, bytes: 1000, large: 1 << 20 };
const WINDOW: Window = Window { messages: 100, bytes: 1000, large: 1 << 20 };

fn to(window: Window) -> Writable {
    Writable { window, durable: 0, heard: true }
}

struct Test {
    outbox: Outbox,
    now: Instant,
}

impl Test {
    fn new(mode: Delivery) -> Self {
        Self { outbox: Outbox::new(mode, LIMITS), now: Instant::now() }
    }

    /// An ordered one of which this many messages were written.
    fn written(count: u64) -> Self {
        let mut test = Self::new(Delivery::ReliableOrdered);
        for sequence in 0..count {
            assert_eq!(test.push(), sequence);
        }
        while test.next().is_some() {}
        test
    }

    fn push(&mut self) -> Sequence {
        self.outbox.push(Bytes::from_static(b"four"), 0, None, self.now)
    }

    fn push_for(&mut self, ms: u64) -> Sequence {
        let deadline = Some(self.now + Duration::from_millis(ms));
        self.outbox.push(Bytes::from_static(b"four"), 0, deadline, self.now)
    }

    fn push_large(&mut self) -> Sequence {
        self.outbox.push(vec![7; 100_000].into(), 0, None, self.now)
    }

    fn later(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.outbox.expire(self.now);
    }

    fn next(&mut self) -> Option<(Sequence, bool)> {
        self.next_within(WINDOW)
    }

    fn next_within(&mut self, window: Window) -> Option<(Sequence, bool)> {
        self.outbox.next_record(to(window), self.now).map(|out| (out.sequence, out.redelivered))
    }

    fn all(&mut self) -> Vec<Sequence> {
        std::iter::from_fn(|| self.next()).map(|(sequence, _)| sequence).collect()
    }

    fn outcome(&self, sequence: Sequence) -> Option<Outcome> {
        match self.outbox.progress(sequence) {
            Progress::Resolved(outcome) => Some(outcome),
            _ => None,
        }
    }

    fn skips(&mut self) -> Vec<(Sequence, Sequence)> {
        self.outbox.tell_skipped(100, 100)
    }
}

#[test]
fn a_reset_passes_over_what_ends_with_the_message_before_it() {
    let mut test = Test::written(3);
    test.outbox.resolve(1, 2, &Outcome::Handled);
    test.outbox.on_received(0, 1, true);
    // The first was freed, and its end takes the floor over the second.
    assert_eq!(test.outbox.on_reset(true), ResetCount { unknown: 1, redelivered: 1 });
    assert_eq!(test.outbox.floor(), 2);
    assert_eq!(test.next(), Some((2, true)));
}

#[test]
fn what_the_peer_still_holds_is_not_in_doubt() {
    let mut test = Test::written(5);
    test.outbox.on_received(0, 4, false);
    test.outbox.rewind();
    assert_eq!(test.outbox.on_peer_holds(4, &[], 0, true), ResetCount::default());
    assert_eq!(test.outbox.on_peer_holds(1, &[(2, 4)], 0, true), ResetCount { unknown: 0, redelivered: 2 });
    assert_eq!((test.next(), test.next(), test.next()), (Some((1, true)), Some((4, true)), None));
}

#[test]
fn the_window_counts_what_is_unresolved_below_the_cursor() {
    let mut test = Test::written(4);
    let window = Window { bytes: 16, ..WINDOW };
    test.push();
    assert_eq!(test.next_within(window), None);
    test.outbox.resolve(1, 2, &Outcome::Handled);
    assert_eq!(test.next_within(window), Some((4, false)));
    test.push();
    test.outbox.rewind();
    test.outbox.on_received(0, 3, false);
    assert_eq!(test.next_within(window), Some((3, false)));
    assert_eq!(test.next_within(window), Some((4, false)));
    assert_eq!(test.next_within(window), None);
}

#[test]
fn what_the_peer_holds_beyond_a_gap_counts_in_its_window() {
    let mut test = Test::written(4);
    test.outbox.on_received(2, 4, false);
    test.outbox.rewind();
    let window = Window { bytes: 12, ..WINDOW };
    assert_eq!(test.next_within(window), Some((0, false)));
    assert_eq!(test.next_within(window), None);
    test.outbox.resolve(2, 3, &Outcome::Handled);
    assert_eq!(test.next_within(window), Some((1, false)));
}

#[test]
fn what_expires_unwritten_is_over_at_once_and_the_peer_is_told_to_go_on() {
    let mut test = Test::written(1);
    test.push_for(10);
    test.push();
    test.later(9);
    assert_eq!(test.outcome(1), None);
    test.later(1);
    assert_eq!(test.outcome(1), Some(Outcome::Expired));
    assert_eq!(test.outbox.held(), Held { messages: 2, bytes: 8, large: 0 });
    assert_eq!(test.skips(), [(1, 2)]);
    assert_eq!(test.all(), [2]);
    assert!(!test.outbox.has_skips_to_tell(100));
    test.outbox.rewind();
    assert_eq!(test.skips(), [(1, 2)], "a new link is told again");
    test.outbox.resolve(0, 1, &Outcome::Handled);
    test.outbox.rewind();
    assert_eq!(test.skips(), [], "the floor says it already");
}

#[test]
fn what_was_written_is_the_peers_to_end() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    test.push_for(10);
    assert_eq!(test.all(), [0]);
    test.later(10);
    assert_eq!((test.outcome(0), test.skips()), (None, vec![]), "it is on its way, with its deadline");
    test.outbox.rewind();
    assert!(test.all().is_empty(), "it is not written again");
    assert_eq!((test.outcome(0), test.skips()), (None, vec![(0, 1)]));
    test.outbox.on_verdict(0, 1, &Why::Skipped);
    assert_eq!(test.outcome(0), Some(Outcome::Expired));
    assert_eq!(test.outbox.held(), Held::default());
}

#[test]
fn a_deadline_can_be_moved_until_it_has_passed() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    test.push_for(10);
    test.push_for(10);
    assert_eq!(test.outbox.extend(0, Some(test.now + Duration::from_millis(20)), test.now), Ok(()));
    assert_eq!(test.outbox.tell_extended(9), [], "nobody knows of the first one");
    assert_eq!(test.all(), [0, 1]);
    let at = Some(test.now + Duration::from_millis(30));
    assert_eq!(test.outbox.extend(0, at, test.now), Ok(()));
    assert_eq!(test.outbox.tell_extended(9), [(0, at)]);
    test.later(10);
    assert_eq!(test.outbox.extend(1, None, test.now), Err(ExtendError::TooLate));
    test.outbox.resolve(0, 1, &Outcome::Handled);
    assert_eq!(test.outbox.extend(0, None, test.now), Err(ExtendError::Over(Outcome::Handled)));
}

#[test]
fn a_withdrawn_message_is_over_at_once_only_if_nobody_can_have_it() {
    let mut test = Test::written(2);
    test.push();
    assert!(test.outbox.cancel(2) && !test.outbox.cancel(2));
    assert_eq!(test.outcome(2), Some(Outcome::Cancelled));
    test.outbox.on_received(0, 1, false);
    assert!(test.outbox.cancel(0) && test.outbox.cancel(1));
    assert_eq!((test.outcome(0), test.outcome(1)), (None, None));
    assert_eq!(test.skips(), [(0, 3)]);
    test.outbox.resolve(0, 1, &Outcome::Handled);
    test.outbox.on_verdict(1, 2, &Why::Skipped);
    assert_eq!(test.outcome(0), Some(Outcome::Handled), "the peer was faster");
    assert_eq!(test.outcome(1), Some(Outcome::Cancelled));
}

#[test]
fn of_states_only_the_newest_is_kept() {
    let mut test = Test::new(Delivery::ReliableLatest);
    for _ in 0..60 {
        test.push();
    }
    assert_eq!(test.outbox.held(), Held { messages: 1, bytes: 4, large: 0 });
    assert_eq!(test.outbox.ended().superseded, 59);
    assert_eq!(test.all(), [59]);
    test.push();
    assert_eq!(test.outcome(59), None, "the peer may have it");
    test.outbox.rewind();
    assert_eq!(test.all(), [60], "only the newest is written again");
    assert_eq!(test.skips(), [], "the newer one speaks for the older");
    test.outbox.on_verdict(59, 60, &Why::Superseded);
    assert_eq!(test.outcome(59), Some(Outcome::Superseded));
    test.outbox.cancel(60);
    assert_eq!(test.skips(), [(60, 61)]);
}

#[test]
fn when_the_newest_state_is_given_up_the_peer_is_told_of_the_older_ones_too() {
    let mut test = Test::new(Delivery::ReliableLatest);
    test.push();
    assert_eq!(test.all(), [0]);
    test.push_for(10);
    test.later(10);
    assert_eq!((test.outcome(1), test.skips()), (Some(Outcome::Expired), vec![(0, 2)]));
    test.outbox.on_verdict(0, 1, &Why::Skipped);
    assert_eq!(test.outcome(0), Some(Outcome::Superseded));
}

#[test]
fn an_unreliable_message_is_written_once_and_then_nobody_knows() {
    let mut test = Test::new(Delivery::Unreliable);
    for _ in 0..3 {
        test.push();
    }
    let deaf = Writable { heard: false, ..to(WINDOW) };
    assert_eq!(test.outbox.next_record(deaf, test.now), None, "the peer would not know what it is");
    assert_eq!(test.all(), [0, 1, 2]);
    assert_eq!(test.outcome(1), Some(Outcome::Unknown));
    test.outbox.rewind();
    assert!(test.all().is_empty());
    assert!(!test.outbox.owes_floor(0));
}

#[test]
fn a_full_outbox_may_drop_its_oldest() {
    let mut test = Test::new(Delivery::Unreliable);
    for _ in 0..100 {
        test.push();
    }
    assert!(!test.outbox.has_room(4) && test.outbox.drop_oldest(4));
    test.push();
    assert_eq!((test.outcome(0), test.outcome(1)), (Some(Outcome::Dropped), None));
    assert_eq!(test.outbox.held().messages, 100);
    assert_eq!(test.all(), (1..101).collect::<Vec<_>>());
}

#[test]
fn what_a_datagram_lost_is_written_again_on_a_stream() {
    let mut test = Test::new(Delivery::ReliableUnordered);
    let rtt = Duration::from_millis(40);
    for _ in 0..3 {
        test.push();
    }
    let carriers: Vec<_> =
        std::iter::from_fn(|| test.outbox.next_record(to(WINDOW), test.now)).map(|out| out.carrier).collect();
    assert_eq!(carriers, [Carrier::Datagram; 3]);
    test.now += Duration::from_millis(10);
    test.push();
    assert_eq!(test.all(), [3]);
    test.outbox.on_received(1, 2, false);
    test.outbox.on_received(3, 4, false);
    test.now += Duration::from_millis(40);
    assert!(test.outbox.detect_loss(rtt, test.now));
    let again: Vec<_> = std::iter::from_fn(|| test.outbox.next_record(to(WINDOW), test.now)).collect();
    let again: Vec<_> = again.iter().map(|out| (out.sequence, out.carrier, out.retransmitted)).collect();
    assert_eq!(again, [(0, Carrier::Stream, true), (2, Carrier::Stream, true)]);
    assert_eq!(test.outbox.loss_deadline(rtt), None, "QUIC sends a stream again by itself");
}

#[test]
fn before_the_peer_has_spoken_nothing_travels_in_a_datagram() {
    let mut test = Test::new(Delivery::ReliableUnordered);
    test.push();
    let deaf = Writable { heard: false, ..to(WINDOW) };
    assert_eq!(test.outbox.next_record(deaf, test.now).map(|out| out.carrier), Some(Carrier::Stream));
}

#[test]
fn a_large_message_goes_in_pieces_beside_the_others_and_goes_on_where_it_was() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    test.push_large();
    test.push();
    assert_eq!(test.all(), [1]);
    let mut offset = 0;
    for _ in 0..3 {
        let piece = test.outbox.next_piece(to(WINDOW), test.now).unwrap();
        assert_eq!((piece.sequence, piece.size, piece.offset), (0, 100_000, offset));
        offset += piece.bytes.len() as u64;
    }
    assert!(test.outbox.on_partial(0, 20_000) && !test.outbox.on_partial(0, 10_000));
    assert!(!test.outbox.on_partial(0, 20_000), "it has said so before");
    assert!(!test.outbox.on_partial(0, 100_000), "a part is less than the whole");
    assert_eq!(test.outbox.progress(0), Progress::Partly { received: 20_000, size: 100_000 });
    test.outbox.rewind();
    assert_eq!(test.outbox.next_piece(to(WINDOW), test.now), None, "its turn has not come on this link");
    test.outbox.resume_bodies(&[(0, 30_000)]);
    assert_eq!(test.all(), [1]);
    let pieces: Vec<_> = std::iter::from_fn(|| test.outbox.next_piece(to(WINDOW), test.now)).collect();
    assert_eq!(pieces.first().map(|piece| piece.offset), Some(30_000));
    assert_eq!(pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>(), 70_000);
    test.outbox.on_received(0, 1, true);
    assert_eq!(test.outbox.held(), Held { messages: 2, bytes: 4, large: 0 });
}

#[test]
fn a_large_message_begins_when_the_peer_has_room_for_all_of_it() {
    let mut test = Test::new(Delivery::ReliableUnordered);
    for _ in 0..3 {
        test.push_large();
    }
    let window = to(Window { large: 250_000, ..WINDOW });
    test.all();
    let mut written = std::collections::BTreeMap::new();
    while let Some(piece) = test.outbox.next_piece(window, test.now) {
        *written.entry(piece.sequence).or_insert(0) += piece.bytes.len();
    }
    assert_eq!(written, [(0, 100_000), (1, 100_000)].into());
    test.outbox.resolve(1, 2, &Outcome::Handled);
    assert_eq!(test.outbox.next_piece(window, test.now).map(|piece| piece.sequence), Some(2));
}

#[test]
fn a_large_message_under_way_that_is_withdrawn_is_abandoned() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    test.push_large();
    test.all();
    test.outbox.next_piece(to(WINDOW), test.now).unwrap();
    assert!(test.outbox.cancel(0));
    assert_eq!(test.outbox.take_abandoned(), [0]);
    assert_eq!(test.outbox.next_piece(to(WINDOW), test.now), None);
    assert_eq!(test.skips(), [(0, 1)]);
    assert_eq!(test.outbox.held(), Held { messages: 1, bytes: 0, large: 0 });
}

#[test]
fn what_is_over_in_the_middle_takes_no_room() {
    let mut test = Test::written(1);
    for _ in 0..10_000 {
        test.push_for(1);
        test.later(1);
    }
    assert_eq!(test.outbox.floor(), 0);
    assert_eq!(test.outbox.held().messages, 1);
    assert!(test.outbox.entries.iter().count() < 200);
    assert_eq!(test.outcome(5000), Some(Outcome::Expired));
    test.outbox.resolve(0, 1, &Outcome::Handled);
    assert_eq!(test.outbox.floor(), 10_001);
}
