//! What the peer says, also what it has no reason to say, and what it is to be told.

use super::*;

const HANDLED: Outcome = Outcome::Handled;
const EXPIRED: Outcome = Outcome::Expired;

#[test]
fn the_floor_is_owed_only_where_the_peer_cannot_know_it() {
    let mut test = Test::written(6);
    test.outbox.resolve(0, 1, &HANDLED);
    assert!(!test.outbox.owes_floor(0), "the peer has handled it");
    test.outbox.resolve(3, 4, &EXPIRED);
    assert!(!test.outbox.owes_floor(1), "the floor is no news, though something above it is over");
    test.outbox.resolve(1, 3, &HANDLED);
    assert!(test.outbox.owes_floor(1), "it has passed a message that the peer did not handle");
    test.outbox.resolve(4, 5, &HANDLED);
    assert!(!test.outbox.owes_floor(4), "since then it has passed only what the peer handled");
}

#[test]
fn the_floor_is_told_at_once_when_half_the_window_waits_for_it() {
    let mut test = Test::new(Delivery::ReliableUnordered);
    (0..10).for_each(|_| _ = test.push());
    test.all();
    test.outbox.resolve(0, 6, &HANDLED);
    test.outbox.on_acknowledged(6);
    test.outbox.resolve(6, 7, &EXPIRED);
    assert!(test.outbox.owes_floor(0));
    assert!(!test.outbox.needs_floor(0, 10, false), "4 of 10");
    assert!(test.outbox.needs_floor(0, 10, true), "the end waits for it");
    test.push();
    assert!(test.outbox.needs_floor(0, 10, false), "5 of 10");
}

#[test]
fn a_peer_that_has_nothing_of_what_is_over_is_told_the_floor_and_another_is_not() {
    let reset = |below, ranges: &[(u64, u64)]| {
        let mut test = Test::written(8);
        test.outbox.resolve(0, 4, &HANDLED);
        test.outbox.resolve(5, 6, &HANDLED);
        test.outbox.rewind();
        test.outbox.on_peer_holds(below, ranges, below, false);
        test.outbox.owes_floor(0)
    };
    assert!(!reset(4, &[(5, 6)]), "it has all of it");
    assert!(reset(3, &[(5, 6)]), "it has forgotten one, and is to hear that it does not come again");
    assert!(!reset(6, &[]));
}

#[test]
fn the_word_of_the_peer_ends_a_message_once() {
    let mut test = Test::written(4);
    assert_eq!(test.outbox.on_verdict(0, 1, &Why::Rejected("no".into())), 1);
    assert_eq!(test.outbox.on_verdict(0, 2, &Why::Skipped), 1);
    assert_eq!(test.outbox.on_reset(true), ResetCount { unknown: 0, redelivered: 2 });
    assert_eq!(test.all(), [2, 3]);
    assert_eq!(test.outbox.on_verdict(2, 3, &Why::Expired), 1);
    assert_eq!(test.outcome(2), Some(Outcome::Unknown), "it may have been handled before the peer forgot");
}

#[test]
fn a_skip_that_an_earlier_process_asked_for_has_the_reason_that_is_left() {
    let now = Instant::now();
    let after = |ms| Some(now + Duration::from_millis(ms));
    let open = [(0, after(10)), (1, after(20)), (2, None)];
    let open = open.map(|(sequence, deadline)| (sequence, Bytes::from_static(b"four"), deadline));
    let restored = |mode| Outbox::restore(mode, 3, open.clone(), &RangeSet::default(), now);
    let outcome = |outbox: &Outbox, sequence| outbox.progress(sequence);
    let mut outbox = restored(Delivery::ReliableOrdered);
    outbox.expire(now + Duration::from_millis(10));
    assert_eq!(outbox.on_verdict(0, 3, &Why::Skipped), 3);
    assert_eq!(outcome(&outbox, 0), Progress::Resolved(EXPIRED));
    assert_eq!(outcome(&outbox, 1), Progress::Resolved(Outcome::Cancelled), "its time was not over");
    assert_eq!(outcome(&outbox, 2), Progress::Resolved(Outcome::Cancelled));
    let mut outbox = restored(Delivery::ReliableLatest);
    assert_eq!(outbox.on_verdict(0, 3, &Why::Skipped), 3);
    assert_eq!(outcome(&outbox, 1), Progress::Resolved(Outcome::Superseded));
    assert_eq!(outcome(&outbox, 2), Progress::Resolved(Outcome::Cancelled), "nothing took its place");
}

#[test]
fn other_deadlines_are_told_a_few_at_a_time() {
    let mut test = Test::written(3);
    let at = Some(test.now + Duration::from_millis(50));
    (0..3).for_each(|sequence| test.outbox.extend(sequence, at, test.now).unwrap());
    assert_eq!(test.outbox.tell_extended(2), [(0, at), (1, at)]);
    assert!(test.outbox.has_extensions_to_tell());
    assert_eq!(test.outbox.tell_extended(2), [(2, at)]);
    assert!(!test.outbox.has_extensions_to_tell());
}

#[test]
fn a_part_that_the_peer_has_lost_is_progress_too() {
    let mut test = Test::new(Delivery::ReliableUnordered);
    (0..2).for_each(|_| _ = test.push_large());
    test.all();
    while test.outbox.next_piece(to(WINDOW), test.now).is_some() {}
    assert!(test.outbox.on_partial(0, 20_000));
    test.outbox.take_progressed();
    test.outbox.rewind();
    test.outbox.resume_bodies(&[]);
    assert_eq!(test.outbox.take_progressed(), [(0, 1)], "nobody ever said that any of the other was there");
    assert_eq!(test.outbox.progress(0), Progress::Accepted);
    test.outbox.resume_bodies(&[(1, 30_000)]);
    assert_eq!(test.outbox.take_progressed(), [(1, 2)]);
    assert_eq!(test.outbox.progress(1), Progress::Partly { received: 30_000, size: 100_000 });
}

#[test]
fn parts_of_what_never_was_under_way_are_no_parts() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    test.push();
    test.push_large();
    assert_eq!(test.next(), Some((0, false)));
    // Of the first there are no parts, and of the second no link ever had anything.
    test.outbox.resume_bodies(&[(0, 2), (1, 50_000)]);
    assert_eq!((test.outbox.progress(0), test.outbox.progress(1)), (Progress::Accepted, Progress::Accepted));
    test.all();
    assert_eq!(test.outbox.next_piece(to(WINDOW), test.now).map(|piece| piece.offset), Some(0));
    // The whole of it is not a part.
    test.outbox.rewind();
    test.outbox.resume_bodies(&[(1, 100_000)]);
    test.all();
    assert_eq!(test.outbox.next_piece(to(WINDOW), test.now).map(|piece| piece.offset), Some(0));
}
