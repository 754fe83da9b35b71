//! Windows, resets and what is said of both.

use super::*;

const WINDOW: Window = Window { messages: 100, bytes: 1000, large: 0 };

fn written(count: usize) -> Outbox {
    let mut outbox = Outbox::new(100, 1000);
    for sequence in 0..count as u64 {
        assert_eq!(outbox.push(Bytes::from_static(b"four"), 0), sequence);
    }
    while outbox.next_outgoing(WINDOW, 0).is_some() {}
    outbox
}

#[test]
fn a_reset_passes_over_what_ends_with_the_message_before_it() {
    let mut outbox = written(3);
    outbox.resolve(1, 2, &Outcome::Handled);
    outbox.on_received(0, 1, true);
    // The first was freed, and its end takes the floor over the second.
    assert_eq!(outbox.on_reset(true), ResetCount { unknown: 1, redelivered: 1 });
    assert_eq!(outbox.floor(), 2);
    assert_eq!(outbox.next_outgoing(WINDOW, 0).map(|out| (out.sequence, out.redelivered)), Some((2, true)));
}

#[test]
fn what_the_peer_still_holds_is_not_in_doubt() {
    let mut outbox = written(5);
    outbox.on_received(0, 4, false);
    outbox.rewind();
    assert_eq!(outbox.on_peer_holds(4, &[], 0, true), ResetCount::default());
    assert_eq!(outbox.on_peer_holds(1, &[(2, 4)], 0, true), ResetCount { unknown: 0, redelivered: 2 });
    let resent: Vec<_> = std::iter::from_fn(|| outbox.next_outgoing(WINDOW, 0)).collect();
    let resent: Vec<_> = resent.iter().map(|out| (out.sequence, out.redelivered)).collect();
    assert_eq!(resent, [(1, true), (4, true)]);
}

#[test]
fn the_window_counts_what_is_unresolved_below_the_cursor() {
    let mut outbox = written(4);
    let window = Window { messages: 100, bytes: 16, large: 0 };
    outbox.push(Bytes::from_static(b"four"), 0);
    assert_eq!(outbox.next_outgoing(window, 0), None);
    outbox.resolve(1, 2, &Outcome::Handled);
    assert_eq!(outbox.next_outgoing(window, 0).map(|out| out.sequence), Some(4));
    outbox.push(Bytes::from_static(b"four"), 0);
    outbox.rewind();
    outbox.on_received(0, 3, false);
    assert_eq!(outbox.next_outgoing(window, 0).map(|out| out.sequence), Some(3));
    assert_eq!(outbox.next_outgoing(window, 0).map(|out| out.sequence), Some(4));
    assert_eq!(outbox.next_outgoing(window, 0), None);
}

#[test]
fn what_the_peer_holds_beyond_a_gap_counts_in_its_window() {
    let mut outbox = written(4);
    outbox.on_received(2, 4, false);
    outbox.rewind();
    let window = Window { messages: 100, bytes: 12, large: 0 };
    assert_eq!(outbox.next_outgoing(window, 0).map(|out| out.sequence), Some(0));
    assert_eq!(outbox.next_outgoing(window, 0), None);
    outbox.resolve(2, 3, &Outcome::Handled);
    assert_eq!(outbox.next_outgoing(window, 0).map(|out| out.sequence), Some(1));
}
