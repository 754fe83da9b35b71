//! Ways of breaking G1 to G4.

use super::Guarantee::*;
use super::*;

/// Builds a history that breaks these guarantees, in this order, with these words.
pub(super) type Case = (&'static str, Mode, fn(&mut Scene), &'static [Guarantee], &'static str);

pub(super) fn all_break(cases: &[Case]) {
    for (name, mode, build, guarantees, says) in cases {
        let mut scene = Scene::new(*mode);
        build(&mut scene);
        scene.breaks(name, guarantees, says);
    }
}

use Mode::{ReliableLatest, ReliableOrdered, ReliableUnordered, Unreliable, UnreliableSequenced};
use Outcome::{Expired, Handled, Unknown};

#[test]
fn g1_and_g2_are_broken() {
    all_break(&[
        (
            "silence",
            ReliableUnordered,
            |s| {
                s.send(0, 1);
            },
            &[G1, G8],
            "neither delivered nor explained",
        ),
        (
            "a lie in place of a delivery",
            ReliableUnordered,
            |s| {
                s.send(0, 1).tell(9, 1, Handled);
            },
            &[G1, G5],
            "never delivered, although its receipt says Handled",
        ),
        (
            "a gap at the end",
            ReliableOrdered,
            |s| {
                s.whole(0, 1).send(30, 2);
            },
            &[G1, G8],
            "epoch 7, message 2: accepted at 0.030000 s",
        ),
        (
            "invented",
            Unreliable,
            |s| {
                s.take(5, 1);
            },
            &[G2],
            "nobody sent it",
        ),
        (
            "garbled",
            Unreliable,
            |s| {
                let message = s.send(0, 1).m(1);
                s.history.handled(ms(5), message, "something else");
            },
            &[G2],
            "another payload",
        ),
        (
            "before it was sent",
            Unreliable,
            |s| {
                s.send(6, 1).take(5, 1);
            },
            &[G2],
            "before it was sent",
        ),
        (
            "another epoch",
            Unreliable,
            |s| {
                let lane = s.send(0, 1).lane;
                s.history.handled(ms(5), lane.message(8, 1), &1_u64.to_le_bytes());
            },
            &[G2],
            "epoch 8, message 1: handed over, and nobody sent it",
        ),
        (
            "a number given twice",
            ReliableUnordered,
            |s| {
                s.whole(0, 1).send(40, 1);
            },
            &[G2],
            "accepted again under a number that was given at 0.000000 s",
        ),
    ]);
}

#[test]
fn g3_is_broken() {
    all_break(&[
        (
            "twice",
            ReliableUnordered,
            |s| {
                s.whole(0, 1).give(30, 1, 1, false);
            },
            &[G3],
            "handed over again although acknowledged at 0.010000 s",
        ),
        (
            "twice, before it was acknowledged",
            ReliableUnordered,
            |s| {
                s.send(0, 1).give(5, 1, 1, false).take(30, 1).tell(40, 1, Handled);
            },
            &[G3],
            "handed over twice, without a mark; first at 0.005000 s",
        ),
        (
            "the same attempt",
            ReliableUnordered,
            |s| {
                s.send(0, 1).give(5, 1, 1, false).give(6, 1, 2, false).give(7, 1, 2, false);
                s.acknowledge(8, 1).tell(9, 1, Handled);
            },
            &[G3],
            "attempt 2 after attempt 2",
        ),
        (
            "a second attempt without a first",
            ReliableUnordered,
            |s| {
                s.send(0, 1).give(5, 1, 2, false).acknowledge(8, 1).tell(9, 1, Handled);
            },
            &[G3],
            "marked as attempt 2, and there was none before it",
        ),
        (
            "sent again, and nobody asked for it",
            ReliableUnordered,
            |s| {
                s.history.forgot(ms(3), BOB);
                s.send(0, 1).give(5, 1, 1, true).acknowledge(8, 1).tell(9, 1, Handled);
            },
            &[G3],
            "not at-least-once",
        ),
        (
            "sent again to one who forgot nothing",
            ReliableUnordered,
            |s| {
                s.history.at_least_once(s.lane);
                s.send(0, 1).give(5, 1, 1, true).acknowledge(8, 1).tell(9, 1, Handled);
            },
            &[G3],
            "its receiver forgot nothing",
        ),
        (
            "sent again twice to one who forgot once",
            ReliableUnordered,
            |s| {
                s.history.at_least_once(s.lane);
                s.history.forgot(ms(3), BOB);
                s.send(0, 1).give(5, 1, 1, true).give(6, 1, 1, true).acknowledge(8, 1).tell(9, 1, Handled);
            },
            &[G3],
            "attempt 1 after attempt 1",
        ),
        (
            "without a mark after all was forgotten",
            ReliableUnordered,
            |s| {
                s.send(0, 1).give(5, 1, 1, false);
                s.history.forgot(ms(6), BOB);
                s.take(20, 1).tell(30, 1, Handled);
            },
            &[G3],
            "without a mark",
        ),
    ]);
}

#[test]
fn g4_is_broken() {
    all_break(&[
        (
            "backwards",
            ReliableOrdered,
            |s| {
                s.send(0, 1).send(1, 2).take(10, 2).take(11, 1);
                s.tell(20, 1, Handled).tell(20, 2, Handled);
            },
            &[G4],
            "message 1: handed over after message 2",
        ),
        (
            "backwards, where only the newest counts",
            ReliableLatest,
            |s| {
                s.send(0, 1).send(1, 2).take(10, 2).take(11, 1);
                s.tell(20, 1, Handled).tell(20, 2, Handled);
            },
            &[G4],
            "handed over after message 2",
        ),
        (
            "backwards, unreliably",
            UnreliableSequenced,
            |s| {
                s.send(0, 1).send(1, 2).take(10, 2).take(11, 1);
            },
            &[G4],
            "handed over after message 2",
        ),
        (
            "skipped before its time",
            ReliableOrdered,
            |s| {
                s.send_until(0, 1, 50).skip(20, 1..=1).tell(60, 1, Expired);
                s.whole(30, 2);
            },
            &[G4],
            "message 1: skipped although it had not expired",
        ),
        (
            "skipped without a deadline",
            ReliableOrdered,
            |s| {
                s.send(0, 1).skip(20, 1..=1).tell(60, 1, Unknown);
                s.whole(30, 2);
            },
            &[G4],
            "skipped although it had not expired",
        ),
        (
            "expired, and not a word",
            ReliableOrdered,
            |s| {
                s.send_until(0, 1, 5).tell(25, 1, Expired);
                s.whole(30, 2);
            },
            &[G4],
            "message 1: passed over by the next ones without a word",
        ),
        (
            "delivered after it was skipped",
            ReliableOrdered,
            |s| {
                s.send_until(0, 1, 50).skip(50, 1..=1);
                s.take(50, 1).tell(60, 1, Handled);
            },
            &[G4],
            "that it would not come",
        ),
        (
            "skipped after it was delivered",
            ReliableOrdered,
            |s| {
                s.send_until(0, 1, 20).take(10, 1).tell(25, 1, Handled).skip(30, 1..=1);
            },
            &[G4],
            "skipped after its delivery",
        ),
        (
            "an epoch that is over",
            UnreliableSequenced,
            |s| {
                let lane = s.lane;
                s.send(0, 1).send(0, 2).take(10, 1);
                s.history.sent(ms(20), lane.message(3, 1), Sent::new("new"));
                s.history.handled(ms(30), lane.message(3, 1), "new");
                s.take(40, 2);
            },
            &[G4],
            "its epoch was over",
        ),
    ]);
}

#[test]
fn what_its_sender_knows_to_be_handled_is_not_taken_again() {
    let mut scene = Scene::new(ReliableOrdered);
    scene.send(0, 1).take(10, 1).tell(20, 1, Handled);
    scene.history.restarted(ms(25), BOB);
    scene.take(30, 1);
    scene.breaks("a store that broke its word", &[G3], "told at 0.020");
}
