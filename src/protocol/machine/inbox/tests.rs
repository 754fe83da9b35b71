//! What an inbox counts, what it has room for, and what is left in it when its sender begins anew.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::wire::{Body, Carrier};

const MARK: Mark = Mark { batch: 0, durable: u64::MAX };
const WINDOW: Window = Window { messages: 100, bytes: 1000, large: 300_000 };

struct Test {
    inbox: Inbox,
    now: Instant,
}

fn epoch(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

fn name(sequence: Sequence) -> MessageId {
    MessageId { session: SessionId::from_bytes([0; 16]), epoch: epoch(1), channel: ChannelId(0), sequence }
}

fn message(sequence: Sequence, size: usize) -> Delivered {
    let payload = vec![0; size].into();
    Delivered { id: name(sequence), payload, redelivered: false, attempt: 1, skipped: 0, deadline: None }
}

impl Test {
    fn new(mode: Delivery) -> Self {
        let mut inbox = Inbox::new();
        inbox.set_mode(mode);
        inbox.grant(WINDOW);
        Self { inbox, now: Instant::now() }
    }

    fn arrive(&mut self, sequence: Sequence, size: usize) -> Arrival {
        self.inbox.arrive(message(sequence, size), MARK, self.now)
    }

    fn piece(&mut self, sequence: Sequence, size: u64, carrier: Carrier) -> Arrival {
        let (redelivered, deadline, offset, bytes) = (false, None, 0, Bytes::from(vec![0; 100]));
        let channel = ChannelId(0);
        let body = Body { channel, sequence, redelivered, deadline, carrier, size, offset, bytes };
        self.inbox.piece(name(sequence), body, None).0
    }

    /// Sequence and skipped of all there is to take.
    fn all(&mut self) -> Vec<(Sequence, u64)> {
        let next =
            |inbox: &mut Inbox| inbox.next(self.now).map(|message| (message.id.sequence, message.skipped));
        std::iter::from_fn(|| next(&mut self.inbox)).collect()
    }

    fn taken(&mut self) -> Delivered {
        let message = self.inbox.next(self.now).unwrap();
        self.inbox.take(message.clone());
        message
    }
}

#[test]
fn a_floor_is_news_once_and_only_where_there_is_one() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    assert!(test.inbox.raise_floor(epoch(1), 3));
    assert!(!test.inbox.raise_floor(epoch(1), 3) && !test.inbox.raise_floor(epoch(1), 2));
    let mut test = Test::new(Delivery::Unreliable);
    assert!(!test.inbox.raise_floor(epoch(1), 3));
}

#[test]
fn a_floor_above_all_that_came_leaves_no_gap_before_the_first_and_one_below_does() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    test.inbox.raise_floor(epoch(1), 3);
    test.arrive(4, 1);
    test.inbox.raise_floor(epoch(1), 4);
    assert_eq!((test.all(), test.inbox.counts.delivered), (vec![(4, 1)], 1));
}

#[test]
fn what_a_former_epoch_left_takes_of_the_window_until_it_is_over() {
    let mut test = Test::new(Delivery::ReliableUnordered);
    test.arrive(0, 100_000);
    test.arrive(1, 10);
    assert_eq!(test.inbox.figures(), (2, 100_010, 0));
    test.inbox.begin_epoch();
    assert_eq!(test.inbox.figures(), (2, 100_010, 0));
    test.inbox.grant(Window { bytes: 1 << 20, ..WINDOW });
    let left = test.inbox.granted;
    assert_eq!((left.bytes, left.large), ((1 << 20) - 10, 200_000));
    let large = test.inbox.next(test.now).unwrap();
    test.inbox.resolve(&large, Some(epoch(2)), None, MARK);
    test.inbox.grant(WINDOW);
    assert_eq!(test.inbox.granted.large, 300_000);
    assert_eq!(test.inbox.figures(), (1, 10, 0));
    test.all();
    assert_eq!(test.inbox.counts.delivered, 2);
}

#[test]
fn former_epochs_may_leave_twice_a_window_of_each_kind_and_no_more() {
    let left = |sizes: &[usize]| {
        let mut test = Test::new(Delivery::ReliableUnordered);
        for (sequence, &size) in (0..).zip(sizes) {
            assert_eq!(test.arrive(sequence, size), Arrival::New);
        }
        test
    };
    let wide = Window { messages: 9, bytes: 900, large: 1 << 20 };
    for (sizes, fits, over) in [
        (&[1, 1, 1, 1][..], Window { messages: 2, ..wide }, Window { messages: 1, ..wide }),
        (&[10, 10], Window { bytes: 10, ..wide }, Window { bytes: 9, ..wide }),
        (&[100_000], Window { large: 50_000, ..wide }, Window { large: 49_999, ..wide }),
    ] {
        let mut test = left(sizes);
        assert!(!test.inbox.is_overfull(over), "none of it is of a former epoch: {sizes:?}");
        test.inbox.begin_epoch();
        assert!(!test.inbox.is_overfull(fits), "G13: {sizes:?}");
        assert!(test.inbox.is_overfull(over), "G10: {sizes:?}");
    }
}

#[test]
fn what_is_known_already_is_counted_as_what_it_is() {
    let mut test = Test::new(Delivery::ReliableUnordered);
    for _ in 0..3 {
        test.arrive(0, 1);
    }
    let counts = test.inbox.counts;
    assert_eq!((counts.received, counts.duplicates, counts.stale), (1, 2, 0));
    // Of states one that is known may be an older one, which the newest has taken the place of.
    let mut test = Test::new(Delivery::ReliableLatest);
    test.arrive(2, 1);
    test.inbox.supersede(2, epoch(1));
    assert_eq!(test.inbox.counts.stale, 2);
    assert_eq!((test.arrive(0, 1), test.arrive(1, 1)), (Arrival::Duplicate, Arrival::Duplicate));
    let counts = test.inbox.counts;
    assert_eq!((counts.received, counts.duplicates, counts.stale), (1, 0, 4));
    test.arrive(5, 1);
    test.inbox.supersede(5, epoch(1));
    assert_eq!(test.inbox.counts.stale, 4 + 3, "the one that is here, and two that will not be taken");
    let mut test = Test::new(Delivery::Unreliable);
    test.arrive(3, 1);
    test.arrive(5, 1);
    assert_eq!((test.arrive(5, 1), test.arrive(3, 1)), (Arrival::Duplicate, Arrival::Duplicate));
    assert_eq!((test.inbox.counts.received, test.inbox.counts.duplicates), (2, 2));
}

#[test]
fn an_unreliable_message_that_came_too_late_is_counted() {
    let mut test = Test::new(Delivery::Unreliable);
    for sequence in 0..2 {
        let late = Delivered { deadline: Some(test.now), ..message(sequence, 1) };
        assert_eq!(test.inbox.arrive(late, MARK, test.now), Arrival::Dropped);
    }
    assert_eq!((test.inbox.counts.late, test.all()), (2, vec![]));
    let deadline = Some(test.now + Duration::from_millis(1));
    test.inbox.arrive(Delivered { deadline, ..message(2, 1) }, MARK, test.now);
    assert_eq!(test.all(), [(2, 0)]);
}

#[test]
fn unreliable_messages_fill_their_room_to_the_last_byte_and_the_oldest_make_more() {
    let mut test = Test::new(Delivery::Unreliable);
    (0..10).for_each(|sequence| assert_eq!(test.arrive(sequence, 100), Arrival::New));
    assert_eq!((test.inbox.figures().1, test.inbox.counts.overflowed), (1000, 0));
    assert_eq!(test.arrive(10, 101), Arrival::New);
    assert_eq!((test.inbox.figures().1, test.inbox.counts.overflowed), (901, 2));
    let mut test = Test::new(Delivery::Unreliable);
    assert_eq!((test.arrive(0, 1001), test.arrive(1, 1001)), (Arrival::Dropped, Arrival::Dropped));
    assert_eq!(test.inbox.counts.overflowed, 2);
    // What the application has in its hands stays there.
    assert_eq!(test.arrive(2, 600), Arrival::New);
    test.taken();
    assert_eq!((test.arrive(3, 401), test.arrive(4, 400)), (Arrival::Dropped, Arrival::New));
    assert_eq!(test.inbox.counts.overflowed, 3);
}

#[test]
fn unreliable_messages_that_never_came_are_missed() {
    let mut test = Test::new(Delivery::Unreliable);
    for sequence in [0].into_iter().chain(4..1100) {
        test.arrive(sequence, 0);
        test.all();
    }
    assert_eq!(test.inbox.missing(), 3);
}

#[test]
fn parts_are_held_until_something_newer_comes_where_that_counts() {
    for (mode, left) in [(Delivery::Unreliable, true), (Delivery::UnreliableSequenced, false)] {
        let mut test = Test::new(mode);
        assert_eq!(test.piece(3, 200, Carrier::Fragments), Arrival::Part);
        assert!(test.inbox.figures().2 >= 100);
        test.arrive(5, 1);
        assert_eq!(test.inbox.figures().2 > 0, left, "{mode:?}");
    }
    let mut test = Test::new(Delivery::ReliableOrdered);
    assert_eq!(test.piece(3, 90_000, Carrier::Stream), Arrival::Part);
    assert_eq!(test.inbox.figures().2, 100);
}

#[test]
fn a_message_that_is_given_back_waits_for_somebody_to_take_it() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    test.arrive(0, 1);
    let message = test.taken();
    assert_eq!(test.inbox.watch.deadline(), None);
    let release = |test: &mut Test, max| test.inbox.release(message.id.epoch, 0, max, test.now);
    assert_eq!(release(&mut test, 1), Released::Exhausted);
    assert_eq!(test.inbox.watch.deadline(), None, "it does not come again");
    assert_eq!(release(&mut test, 2), Released::Again);
    assert_eq!(test.inbox.watch.deadline(), Some(test.now + Duration::from_secs(5)), "H8");
}

#[test]
fn what_a_former_epoch_left_expires_though_nobody_looked_in_time() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    let deadline = Some(test.now + Duration::from_millis(10));
    test.inbox.arrive(Delivered { deadline, ..message(0, 1) }, MARK, test.now);
    test.arrive(1, 1);
    test.inbox.begin_epoch();
    test.inbox.expire(test.now + Duration::from_millis(9));
    assert_eq!((test.inbox.figures().0, test.inbox.counts.late), (2, 0));
    test.inbox.expire(test.now + Duration::from_millis(11));
    assert_eq!((test.inbox.figures().0, test.inbox.counts.late), (1, 1));
    assert_eq!(test.all(), [(1, 1)]);
}

#[test]
fn another_deadline_is_remembered_only_for_what_may_still_come() {
    let mut test = Test::new(Delivery::ReliableOrdered);
    let (window, deadline) = (test.inbox.granted.messages, Some(test.now + Duration::from_secs(1)));
    test.arrive(0, 1);
    test.all();
    for sequence in [0, window, window + 1, Sequence::MAX] {
        test.inbox.extend(epoch(1), sequence, deadline);
        assert!(test.inbox.extensions.is_empty(), "G10: {sequence}");
    }
    for sequence in [1, window - 1] {
        test.inbox.extend(epoch(1), sequence, deadline);
    }
    assert_eq!(test.inbox.extensions.len(), 2);
    test.arrive(1, 1);
    assert_eq!(test.inbox.next(test.now).unwrap().deadline, deadline);
}

#[test]
fn what_is_over_is_told_once_and_never_of_unreliable_messages() {
    let rejected = || Why::Rejected("no".to_owned());
    let mut test = Test::new(Delivery::ReliableUnordered);
    test.piece(0, 90_000, Carrier::Stream);
    test.piece(3, 90_000, Carrier::Stream);
    let gone = [0, 3].map(|start| Gone { start, end: start + 1, why: rejected() });
    assert_eq!(test.inbox.reject_parts("no"), gone);
    assert_eq!((test.inbox.figures().2, test.inbox.reject_parts("no")), (0, vec![]));
    // Around what the application has in its hands there is nothing to tell of no message.
    test.arrive(1, 1);
    test.taken();
    assert_eq!(test.inbox.skip(1, 3, epoch(1)), [Gone { start: 2, end: 3, why: Why::Skipped }]);
    let mut test = Test::new(Delivery::Unreliable);
    let deadline = Some(test.now + Duration::from_millis(10));
    test.inbox.arrive(Delivered { deadline, ..message(0, 1) }, MARK, test.now);
    assert_eq!(test.inbox.expire(test.now + Duration::from_millis(10)), []);
    assert_eq!((test.inbox.counts.late, test.all()), (1, vec![]));
}
