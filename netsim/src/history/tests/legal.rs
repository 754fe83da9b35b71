//! What is allowed.

use std::time::Duration;

use super::Guarantee::*;
use super::*;
use crate::history::Mode::*;
use crate::history::Outcome::*;

#[test]
fn every_mode_does_what_it_may() {
    for mode in [ReliableOrdered, ReliableUnordered, ReliableLatest, Unreliable, UnreliableSequenced] {
        let mut scene = Scene::new(mode);
        scene.whole(0, 1).whole(30, 2).whole(60, 3);
        scene.keeps("all arrive", &[G2, G3, G5, G8]);
    }
    for mode in [ReliableUnordered, Unreliable] {
        let mut scene = Scene::new(mode);
        scene.send(0, 1).send(0, 2).take(5, 2).take(6, 1).tell(9, 1, Handled).tell(9, 2, Handled);
        scene.keeps("out of order", &[G2, G3]);
    }
    for mode in [Unreliable, UnreliableSequenced] {
        let mut scene = Scene::new(mode);
        let lost = scene.send(0, 1).m(1);
        scene.history.transmitted(ms(0), lost);
        scene.send(1, 2).take(9, 2);
        scene.keeps("lost", &[G6]);
    }
    let mut scene = Scene::new(ReliableLatest);
    scene.send(0, 1).send(1, 2).tell(1, 1, Superseded).take(9, 2).tell(20, 2, Handled);
    scene.keeps("superseded", &[G1, G4, G7]);
}

#[test]
fn an_ordered_channel_may_skip_what_has_expired_and_says_so() {
    let mut scene = Scene::new(ReliableOrdered);
    scene.whole(0, 1).send_until(30, 2, 50).send_until(31, 3, 50).send(32, 5);
    scene.skip(60, 2..=3).take(61, 5).tell(70, 2, Expired).tell(70, 3, Expired).tell(71, 5, Handled);
    scene.keeps("4 was a number that nobody used", &[G1, G4, G7]);
    // The receiver's clock is a little ahead.
    let mut scene = Scene::new(ReliableOrdered);
    scene.send_until(0, 1, 50).skip(45, 1..=1).tell(48, 1, Expired).whole(60, 2);
    scene.bounds = Bounds::new().tolerance(Duration::from_millis(5));
    scene.keeps("tolerance", &[G4, G7]);
}

#[test]
fn what_nobody_acknowledged_comes_again_with_a_mark() {
    let mut scene = Scene::new(ReliableOrdered);
    scene.send(0, 1).send(1, 2).give(10, 1, 1, false).give(11, 2, 1, false).give(12, 1, 2, false);
    scene.acknowledge(20, 1).acknowledge(21, 2).tell(30, 1, Handled).tell(30, 2, Handled);
    scene.keeps("a second attempt", &[G3, G4]);

    let mut scene = Scene::new(ReliableUnordered);
    scene.send(0, 1).give(10, 1, 1, false).give(12, 1, 2, false).tell(30, 1, Rejected);
    scene.keeps("refused in the end", &[G3, G5]);

    let mut scene = Scene::new(ReliableOrdered);
    scene.send_until(0, 1, 20).give(10, 1, 1, false).tell(30, 1, Expired);
    scene.keeps("given back, and expired", &[G7]);

    // The receiver's process died between taking and remembering.
    let mut scene = Scene::new(ReliableOrdered);
    scene.send(0, 1).give(10, 1, 1, false).acknowledge(11, 1);
    scene.history.restarted(ms(12), BOB);
    scene.give(20, 1, 2, false).acknowledge(21, 1).tell(30, 1, Handled);
    scene.keeps("a crash", &[G3]);
}

#[test]
fn a_peer_that_forgets_changes_what_can_be_promised() {
    // The receiver forgot: unknown, and the next number goes on without the missing ones.
    let mut scene = Scene::new(ReliableOrdered);
    scene.whole(0, 1).send(30, 2).send(31, 3);
    scene.history.forgot(ms(40), BOB);
    scene.tell(50, 2, Unknown).tell(50, 3, Unknown).whole(60, 4);
    scene.keeps("the receiver", &[G1, G4, G8]);

    // The sender was told that it is unknown, and does not send it any more.
    let mut scene = Scene::new(ReliableOrdered);
    scene.send(0, 1).send(1, 2).tell(10, 1, Unknown).skip(20, 1..=1).take(20, 2).tell(30, 2, Handled);
    scene.keeps("given up", &[G4]);

    // On a channel that asked for it, sent again with a mark.
    let mut scene = Scene::new(ReliableOrdered);
    scene.history.at_least_once(scene.lane);
    scene.send(0, 1).give(10, 1, 1, false).acknowledge(10, 1);
    scene.history.forgot(ms(12), BOB);
    scene.give(20, 1, 1, true).acknowledge(20, 1).tell(30, 1, Handled);
    scene.keeps("at least once", &[G3]);

    // A word that neither process lived to keep.
    let mut scene = Scene::new(ReliableOrdered);
    scene.history.at_least_once(scene.lane);
    scene.send(0, 1).give(10, 1, 1, false).tell(20, 1, Rejected);
    scene.history.restarted(ms(22), ALICE);
    scene.history.forgot(ms(24), BOB);
    scene.give(30, 1, 1, true).acknowledge(31, 1);
    scene.keeps("rejected, and both died", &[G5]);

    // The sender forgot: there is nobody to be told, and the numbers begin anew in another epoch.
    let mut scene = Scene::new(ReliableOrdered);
    scene.whole(0, 1).send(30, 2);
    scene.history.forgot(ms(40), ALICE);
    let anew = scene.lane.message(3, 1);
    scene.history.sent(ms(50), anew, Sent::new("new"));
    scene.history.handled(ms(60), anew, "new");
    scene.history.receipt(ms(70), anew, Handled);
    scene.keeps("the sender", &[G1, G4, G8]);
}

#[test]
fn acknowledgements_may_tell_the_truth_at_once() {
    let mut scene = Scene::new(ReliableOrdered);
    let message = scene.send(0, 1).m(1);
    scene.history.held(ms(5), message);
    scene.history.received(ms(5), message);
    scene.take(10, 1).tell(10, 1, Handled);
    scene.keeps("at the same moment", &[G5]);

    let mut scene = Scene::new(ReliableOrdered);
    let message = scene.send_until(0, 1, 20).m(1);
    scene.history.received(ms(5), message);
    scene.tell(20, 1, Expired);
    scene.keeps("held, and expired there", &[G5, G7]);
}

#[test]
fn a_history_that_ends_in_the_middle_may_leave_things_open() {
    let mut scene = Scene::new(ReliableOrdered);
    scene.whole(0, 1).send(30, 2).take(40, 2).send(41, 3);
    scene.bounds = Bounds::new().open_at_end();
    scene.keeps("open", &[G1, G8]);
    scene.bounds = Bounds::new();
    scene.breaks("closed", &[G1, G8, G8], "message 3");
}

#[test]
fn what_was_withdrawn_is_skipped_and_told() {
    let mut scene = Scene::new(ReliableOrdered);
    let message = scene.send(0, 1).m(1);
    scene.history.withdrawn(ms(5), message);
    scene.send(6, 2).skip(20, 1..=1).take(20, 2).tell(25, 1, Cancelled).tell(30, 2, Handled);
    scene.keeps("withdrawn", &[G1, G4, G7, G8]);

    let mut scene = Scene::new(Unreliable);
    scene.send(0, 1).tell(0, 1, Dropped).send(1, 2).take(9, 2).tell(1, 2, Unknown);
    scene.keeps("no room", &[G7, G8]);
    let mut scene = Scene::new(UnreliableSequenced);
    scene.send(0, 1).send(1, 2).tell(1, 1, Superseded).take(9, 2);
    scene.keeps("sequenced", &[G7]);
}

#[test]
fn a_process_takes_again_what_its_store_did_not_have() {
    let mut scene = Scene::new(ReliableOrdered);
    scene.send(0, 1).send(1, 2).take(10, 1).take(10, 2);
    scene.history.restarted(ms(12), BOB);
    scene.take(20, 1).take(20, 2).tell(30, 1, Handled).tell(30, 2, Handled);
    scene.keeps("both again, in order", &[G3, G4, G5]);

    // An older state, when the store had not heard of the newer one.
    let mut scene = Scene::new(ReliableLatest);
    scene.send(0, 1).send(1, 2).take(10, 2);
    scene.history.restarted(ms(12), BOB);
    scene.take(20, 1).tell(30, 1, Handled).take(40, 2).tell(50, 2, Handled);
    scene.keeps("an older one and a newer one", &[G3, G4, G5]);

    let mut scene = Scene::new(ReliableOrdered);
    let message = scene.send(0, 1).take(10, 1).m(1);
    scene.history.withdrawn(ms(11), message);
    scene.history.restarted(ms(12), BOB);
    scene.tell(30, 1, Cancelled);
    scene.keeps("withdrawn from the process that knows nothing of it", &[G7]);
    let mut scene = Scene::new(ReliableOrdered);
    scene.send(0, 1).take(10, 1);
    scene.history.restarted(ms(12), BOB);
    scene.give(20, 1, 1, false).tell(30, 1, Rejected);
    scene.keeps("refused by the process that knows nothing of it", &[G3, G5]);
}

#[test]
fn of_a_message_whose_sender_began_again_nobody_need_be_told() {
    let restarted = |mode| {
        let mut scene = Scene::new(mode);
        let message = scene.send_until(0, 1, 50).m(1);
        scene.history.restarted(ms(5), ALICE);
        scene.history.unattended(ms(5), message);
        scene.bounds = Bounds::new().drained_within(Duration::from_millis(100));
        scene
    };
    let mut scene = restarted(ReliableOrdered);
    scene.take(20, 1).history.ended(ms(500));
    scene.keeps("it arrived", &[G2]);
    let mut scene = restarted(ReliableOrdered);
    scene.history.ended(ms(500));
    scene.keeps("it expired", &[]);

    let mut scene = Scene::new(ReliableLatest);
    let message = scene.send(0, 1).m(1);
    scene.history.unattended(ms(5), message);
    scene.send(6, 2).take(9, 2).tell(20, 2, Handled);
    scene.keeps("a newer one took its place", &[G1]);
}
