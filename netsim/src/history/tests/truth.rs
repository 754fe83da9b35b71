//! Ways of breaking G5 to G8.

use super::Guarantee::*;
use super::Mode::{ReliableLatest, ReliableOrdered, ReliableUnordered, Unreliable, UnreliableSequenced};
use super::Outcome::{Cancelled, Dropped, Expired, Handled, Rejected, Superseded, Unknown};
use super::safety::all_break;
use super::*;

#[test]
fn g5_is_broken() {
    all_break(&[
        (
            "said too early",
            ReliableOrdered,
            |s| {
                s.send(0, 1).tell(9, 1, Handled).take(10, 1);
            },
            &[G5],
            "Handled before it was handed over, at 0.010000 s",
        ),
        (
            "handed over, not yet acknowledged",
            ReliableOrdered,
            |s| {
                s.send(0, 1).give(5, 1, 1, false).tell(9, 1, Handled).acknowledge(10, 1);
            },
            &[G5],
            "Handled before it was, at 0.010000 s",
        ),
        (
            "never acknowledged",
            ReliableOrdered,
            |s| {
                s.send(0, 1).give(5, 1, 1, false).tell(9, 1, Handled);
            },
            &[G5],
            "was never acknowledged",
        ),
        (
            "rejected what it had acknowledged",
            ReliableOrdered,
            |s| {
                s.send(0, 1).take(5, 1).tell(9, 1, Rejected);
            },
            &[G5],
            "the application had acknowledged it",
        ),
        (
            "an ack of another epoch",
            ReliableOrdered,
            |s| {
                let other = s.whole(0, 1).lane.message(8, 1);
                s.history.receipt(ms(30), other, Unknown);
            },
            &[G5],
            "epoch 8, message 1: said to be Unknown, and was never sent",
        ),
        (
            "received before it was held",
            ReliableOrdered,
            |s| {
                let message = s.send(0, 1).m(1);
                s.history.received(ms(5), message);
                s.history.held(ms(6), message);
                s.take(10, 1).tell(20, 1, Handled);
            },
            &[G5],
            "before the other side held it, at 0.006000 s",
        ),
        (
            "received, and lost by the holder",
            ReliableOrdered,
            |s| {
                let message = s.send(0, 1).m(1);
                s.history.received(ms(5), message);
            },
            &[G1, G5, G8],
            "said to be received, and never handed over",
        ),
        (
            "received, and never sent",
            Unreliable,
            |s| {
                let message = s.m(1);
                s.history.held(ms(4), message);
                s.history.received(ms(5), message);
            },
            &[G5],
            "said to be received, and was never sent",
        ),
    ]);
}

#[test]
fn g6_is_broken() {
    all_break(&[
        (
            "transmitted again",
            Unreliable,
            |s| {
                let message = s.send(0, 1).m(1);
                s.history.transmitted(ms(0), message);
                s.history.transmitted(ms(9), message);
            },
            &[G6],
            "transmitted again",
        ),
        (
            "delivered again",
            UnreliableSequenced,
            |s| {
                s.send(0, 1).take(5, 1).give(6, 1, 1, false);
            },
            &[G3, G6],
            "delivered again",
        ),
        (
            "offered again",
            Unreliable,
            |s| {
                s.send(0, 1).give(5, 1, 1, false).give(6, 1, 2, false);
            },
            &[G6],
            "delivered again",
        ),
    ]);
}

#[test]
fn g7_is_broken() {
    all_break(&[
        (
            "late",
            Unreliable,
            |s| {
                s.send_until(0, 1, 20).take(21, 1);
            },
            &[G7],
            "handed over after its deadline, 0.020000 s",
        ),
        (
            "expired early",
            ReliableUnordered,
            |s| {
                s.send_until(0, 1, 20).tell(19, 1, Expired);
            },
            &[G7],
            "before its deadline",
        ),
        (
            "expired without a deadline",
            ReliableUnordered,
            |s| {
                s.send(0, 1).tell(19, 1, Expired);
            },
            &[G7],
            "has no deadline",
        ),
        (
            "expired, and handled",
            ReliableUnordered,
            |s| {
                s.send_until(0, 1, 20).take(10, 1).tell(30, 1, Expired);
            },
            &[G7],
            "said to be Expired, and the application has it",
        ),
        (
            "superseded, and handled",
            ReliableLatest,
            |s| {
                s.send(0, 1).take(10, 1).whole(20, 2).tell(30, 1, Superseded);
            },
            &[G7],
            "said to be Superseded, and the application has it",
        ),
        (
            "superseded by nothing",
            ReliableLatest,
            |s| {
                s.whole(0, 1).send(30, 2).tell(40, 2, Superseded);
            },
            &[G7],
            "nothing newer was sent",
        ),
        (
            "superseded by what comes later",
            ReliableLatest,
            |s| {
                s.send(0, 1).tell(10, 1, Superseded).whole(20, 2);
            },
            &[G7],
            "nothing newer was sent",
        ),
        (
            "superseded where every message counts",
            ReliableUnordered,
            |s| {
                s.send(0, 1).whole(1, 2).tell(10, 1, Superseded);
            },
            &[G7],
            "its channel keeps every message",
        ),
    ]);
}

#[test]
fn g8_is_broken() {
    all_break(&[
        (
            "resolved twice",
            ReliableUnordered,
            |s| {
                s.whole(0, 1).tell(30, 1, Handled);
            },
            &[G8],
            "resolved again, as Handled, after Handled at 0.020000 s",
        ),
        (
            "resolved in two ways",
            ReliableUnordered,
            |s| {
                s.whole(0, 1).tell(30, 1, Unknown);
            },
            &[G8],
            "resolved again, as Unknown",
        ),
        (
            "never resolved",
            ReliableUnordered,
            |s| {
                s.send(0, 1).take(10, 1);
            },
            &[G8],
            "its receipt never resolved",
        ),
        (
            "an unreliable message's, twice",
            Unreliable,
            |s| {
                s.whole(0, 1).tell(30, 1, Handled);
            },
            &[G8],
            "resolved again",
        ),
    ]);
}

#[test]
fn what_was_withdrawn_was_withdrawn() {
    let mut scene = Scene::new(ReliableOrdered);
    scene.send(0, 1).tell(20, 1, Cancelled);
    scene.breaks("nobody asked", &[G7], "said to be Cancelled, and nobody withdrew it");

    let mut scene = Scene::new(ReliableOrdered);
    let message = scene.send(0, 1).take(10, 1).m(1);
    scene.history.withdrawn(ms(11), message);
    scene.tell(20, 1, Cancelled);
    scene.breaks("too late", &[G7], "said to be Cancelled, and the application has it");

    let mut scene = Scene::new(ReliableOrdered);
    scene.send(0, 1).tell(20, 1, Dropped);
    scene.breaks("reliable", &[G7], "its channel keeps every message");
}

#[test]
fn what_nobody_attends_must_arrive_all_the_same() {
    let mut scene = Scene::new(ReliableOrdered);
    let message = scene.send(0, 1).m(1);
    scene.history.restarted(ms(5), ALICE);
    scene.history.unattended(ms(5), message);
    scene.history.ended(ms(500));
    scene.breaks("lost", &[G1], "neither delivered nor explained");
}
