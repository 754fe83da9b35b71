//! What an outbox counts and keeps: figures, limits, and what it has to say of changes.

use super::*;

const HANDLED: Outcome = Outcome::Handled;

fn rejected() -> Outcome {
    Outcome::Rejected { reason: "no".into() }
}

#[test]
fn a_message_of_64_kib_is_not_large_and_one_byte_more_is() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    let window = Window { bytes: 1 << 20, ..WINDOW };
    let deadline = Some(test.now + Duration::from_millis(10));
    test.outbox.push(vec![0; LARGE].into(), 0, deadline, test.now);
    assert_eq!(test.outbox.held(), Held { messages: 1, bytes: LARGE, large: 0 });
    assert_eq!(test.next_within(window), Some((0, false)));
    assert!(!test.outbox.has_body());
    test.outbox.resume_bodies(&[(0, 5)]);
    assert_eq!(test.outbox.progress(0), Progress::Accepted, "of what travels whole there are no parts");
    test.later(10);
    assert_eq!(test.skips(), [], "it is on its way, with its deadline");
    test.outbox.push(vec![0; LARGE + 1].into(), 0, None, test.now);
    assert_eq!(test.outbox.held(), Held { messages: 2, bytes: 0, large: LARGE + 1 });
    assert_eq!(test.next_within(window), None);
    assert!(test.outbox.has_body());
    test.outbox.resolve(1, 2, &HANDLED);
    assert!(!test.outbox.has_body() && test.outbox.bodies.is_empty());
}

#[test]
fn what_is_handled_takes_no_room() {
    let mut test = Test::written(10);
    for sequence in 0..10 {
        assert_eq!(test.outbox.resolve(sequence, sequence + 1, &HANDLED), 1);
        assert_eq!(test.outbox.entries.iter().count() as u64, 9 - sequence);
    }
}

#[test]
fn what_is_over_between_others_takes_little_room_however_many_end_at_once() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    for _ in 0..10 {
        let first = test.push();
        (0..100).for_each(|_| _ = test.push());
        test.outbox.resolve(first + 1, first + 101, &HANDLED);
        let held = test.outbox.held().messages;
        assert!(test.outbox.entries.iter().count() <= held + 64, "G10");
    }
    assert_eq!(test.outbox.held().messages, 10);
}

#[test]
fn of_a_channel_that_is_gone_only_the_latest_exceptions_are_known() {
    let mut test = Test::written(200);
    for sequence in 0..200 {
        let outcome = if sequence % 2 == 0 { rejected() } else { HANDLED };
        test.outbox.resolve(sequence, sequence + 1, &outcome);
    }
    assert_eq!(test.outcome(0), Some(rejected()));
    test.outbox.retire();
    assert_eq!(test.outcome(0), Some(Outcome::Unknown), "G10");
    assert_eq!((test.outcome(198), test.outcome(199)), (Some(rejected()), Some(HANDLED)));
}

#[test]
fn a_renewed_outbox_goes_on_counting_and_has_the_same_limits() {
    let mut test = Test::written(2);
    test.outbox.resolve(0, 1, &HANDLED);
    test.outbox.resolve(1, 2, &rejected());
    let renewed = test.outbox.renewed();
    assert_eq!(renewed.ended(), Ended { handled: 1, rejected: 1, ..Ended::default() });
    assert!(renewed.has_room(1000) && !renewed.has_room(1001));
}

#[test]
fn a_restored_outbox_has_the_limits_that_it_is_given() {
    let now = Instant::now();
    let payload = Bytes::from_static(b"four");
    let mut outbox =
        Outbox::restore(Delivery::ReliableOrdered, 1, [(0, payload, None)], &RangeSet::default(), now);
    assert!(outbox.has_room(1001), "nobody has said what its limits are");
    outbox.set_limits(LIMITS);
    assert!(outbox.has_room(996) && !outbox.has_room(997));
}

#[test]
fn the_oldest_unwritten_is_the_oldest_of_which_no_link_had_anything() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    assert_eq!(test.outbox.oldest_unwritten(), None);
    assert!(!test.outbox.ever_written());
    test.push();
    assert_eq!(test.all(), [0]);
    assert!(test.outbox.ever_written());
    test.later(5);
    assert_eq!(test.outbox.oldest_unwritten(), None, "it was written");
    test.outbox.rewind();
    assert_eq!(test.outbox.oldest_unwritten(), None, "to another link");
    let (withdrawn, since) = (test.push(), test.now + Duration::from_millis(5));
    test.later(5);
    test.push();
    test.outbox.cancel(withdrawn);
    test.later(5);
    test.push();
    assert_eq!(test.outbox.oldest_unwritten(), Some(since));
}

#[test]
fn what_the_peer_holds_or_has_ended_is_received() {
    let mut test = Test::written(4);
    test.outbox.on_received(0, 2, false);
    assert_eq!(test.outbox.received_below(), 2);
    test.outbox.resolve(0, 3, &HANDLED);
    assert_eq!(test.outbox.received_below(), 3);
}

#[test]
fn only_what_was_never_written_is_ended_without_the_peer() {
    let mut test = Test::written(2);
    test.push();
    test.push();
    assert!(test.outbox.cancel(2));
    assert_eq!(test.outbox.resolve_unwritten(&rejected()), 1);
    assert_eq!((test.outcome(0), test.outcome(1)), (None, None));
    assert_eq!((test.outcome(2), test.outcome(3)), (Some(Outcome::Cancelled), Some(rejected())));
}

#[test]
fn what_is_too_large_is_ended_and_counted() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    for size in [10, 11, 12] {
        test.outbox.push(vec![0; size].into(), 0, None, test.now);
    }
    assert_eq!(test.next(), Some((0, false)));
    assert_eq!(test.next(), Some((1, false)));
    assert_eq!(test.outbox.resolve_too_large(10, &rejected()), 2);
    assert_eq!((test.outcome(0), test.outcome(1)), (None, Some(Outcome::Unknown)));
    assert_eq!(test.outcome(2), Some(rejected()), "of this one the peer cannot have anything");
}

#[test]
fn dropping_the_oldest_spares_what_was_written() {
    let mut test = Test::written(50);
    (0..50).for_each(|_| _ = test.push());
    assert!(test.outbox.drop_oldest(4));
    assert_eq!((test.outcome(0), test.outcome(50)), (None, Some(Outcome::Dropped)), "R1");
}

#[test]
fn each_kind_of_change_is_one() {
    let mut test = Test::written(2);
    assert!(!test.outbox.has_changes());
    test.outbox.resolve(0, 1, &HANDLED);
    assert!(test.outbox.has_changes());
    assert_eq!(test.outbox.take_changes(), Changes { resolved: vec![(0, 1)], ..Changes::default() });
    test.outbox.on_reset(true);
    assert!(test.outbox.has_changes());
    assert_eq!(test.outbox.take_changes(), Changes { doubted: vec![(1, 2)], ..Changes::default() });
    assert!(!test.outbox.has_changes());
    assert_eq!(test.all(), [1]);
    test.outbox.cancel(1);
    assert!(test.outbox.has_changes(), "the peer is to be told that it does not come");
    assert_eq!(test.outbox.take_changes(), Changes::default());
    assert!(!test.outbox.has_changes());
    test.push_large();
    test.all();
    test.outbox.next_piece(to(WINDOW), test.now).unwrap();
    test.outbox.cancel(2);
    test.outbox.take_changes();
    assert!(test.outbox.has_changes(), "its stream is to be reset");
}

#[test]
fn changes_side_by_side_are_one_and_progress_is_exact_up_to_1024_places() {
    let mut test = Test::new(Delivery::ReliableUnordered);
    (0..5000).for_each(|_| _ = test.push());
    (0..10).for_each(|sequence| _ = test.outbox.resolve(sequence, sequence + 1, &rejected()));
    assert_eq!(test.outbox.take_changes().resolved, [(0, 10)]);
    assert_eq!(test.outbox.take_progressed(), [(0, 10)]);
    let mut apart = |from: u64, count: u64| {
        (0..count).for_each(|n| _ = test.outbox.resolve(from + 2 * n, from + 2 * n + 1, &rejected()));
        test.outbox.take_progressed()
    };
    assert_eq!(apart(20, 1024), (10..1034).map(|n| (2 * n, 2 * n + 1)).collect::<Vec<_>>());
    assert_eq!(apart(2500, 1025), [(2500, 4549)], "G10");
}

#[test]
fn what_is_written_again_on_a_new_link_is_what_the_peer_does_not_have() {
    let mut test = Test::written(4);
    test.push();
    test.outbox.rewind();
    test.outbox.on_received(1, 2, false);
    assert_eq!(test.outbox.to_replay(), 3);
    assert_eq!(test.next(), Some((0, false)));
    assert_eq!(test.outbox.to_replay(), 2);
}

#[test]
fn states_on_their_way_are_as_many_as_the_outbox_holds_and_the_newest_waits() {
    let limits = Limits { messages: 2, ..LIMITS };
    let mut test =
        Test { outbox: Outbox::new(Delivery::ReliableLatest, limits), ..Test::new(Delivery::ReliableLatest) };
    for sequence in 0..2 {
        test.push();
        assert_eq!(test.all(), [sequence]);
    }
    test.push();
    assert_eq!(test.all(), [0; 0], "G10");
    test.outbox.on_verdict(0, 1, &Why::Superseded);
    assert_eq!(test.all(), [2]);
}
