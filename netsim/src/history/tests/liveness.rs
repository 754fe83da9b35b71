//! G13 to G15: in time, one by one, and not too much.

use std::time::Duration;

use super::Guarantee::*;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn scene(bounds: Bounds) -> Scene {
    let mut scene = Scene::new(Mode::ReliableOrdered);
    scene.bounds = bounds;
    scene
}

/// The network is gone from 1 s to 5 s; a message is sent at 2 s and resolved then.
fn through_an_outage(resolved: u64) -> Scene {
    let mut scene = scene(Bounds::new().drained_within(SECOND));
    scene.history.broke(ms(1_000));
    scene.history.healed(ms(5_000));
    scene.send(2_000, 1).take(resolved - 10, 1).tell(resolved, 1, Outcome::Handled);
    scene.history.ended(ms(20_000));
    scene
}

#[test]
fn g13_the_backlog_drains_once_the_network_has_healed() {
    through_an_outage(6_000).keeps("in time", &[G13]);
    through_an_outage(6_001).breaks("late", &[G13], "1s after 5.000000 s");
    let mut open = through_an_outage(6_000);
    open.send(7_000, 2).take(7_500, 2);
    open.bounds = open.bounds.open_at_end();
    open.breaks("never", &[G13], "it was not");
}

#[test]
fn g13_waits_while_something_is_in_the_way() {
    // It breaks again before the time is over, and never heals.
    let mut again = through_an_outage(9_000);
    again.history.broke(ms(5_900));
    again.keeps("broken again", &[]);
    assert_eq!(again.history.check(&again.bounds).judged(G13), 0);
    // The receiver takes nothing until 8 s.
    let mut stalled = through_an_outage(9_000);
    stalled.history.stalled(ms(500), stalled.lane);
    stalled.history.resumed(ms(8_000), stalled.lane);
    stalled.keeps("stalled", &[G13]);
    let mut late = through_an_outage(9_001);
    late.history.stalled(ms(500), late.lane);
    late.history.resumed(ms(8_000), late.lane);
    late.breaks("stalled, and late", &[G13], "after 8.000000 s");
    // Whoever was told to give up owes nothing.
    let mut gave_up = through_an_outage(15_000);
    gave_up.history.gave_up(ms(5_500), ALICE);
    gave_up.keeps("gave up", &[]);
    gave_up.history.connected(ms(5_600), ALICE);
    gave_up.breaks("gave up, and came back", &[G13], "1s after 5.000000 s");
    // The history ends before the time is over.
    let mut short = scene(Bounds::new().drained_within(SECOND).open_at_end());
    short.send(0, 1).history.ended(ms(999));
    short.keeps("too short to tell", &[]);
    short.history.ended(ms(1_000));
    short.breaks("long enough", &[G13], "not resolved 1s after 0.000000 s");
}

#[test]
fn g13_peers_are_connected_once_the_network_has_healed() {
    let connected = |at| {
        let mut scene = scene(Bounds::new().connected_within(SECOND));
        scene.history.connected(ms(0), ALICE);
        scene.history.broke(ms(1_000));
        scene.history.disconnected(ms(3_000), ALICE);
        scene.history.healed(ms(5_000));
        scene.history.connected(ms(at), ALICE);
        scene.history.ended(ms(20_000));
        scene
    };
    connected(6_000).keeps("in time", &[G13]);
    connected(6_001).breaks("late", &[G13], "alice: not connected 1s after the network healed");
    let mut lost_again = connected(5_500);
    lost_again.history.disconnected(ms(5_900), ALICE);
    lost_again.breaks("lost again", &[G13], "not connected");
}

/// bob takes nothing of "chat" from 1 s to 9 s; a message of another channel is sent at 2 s and arrives then.
fn beside_a_stall(from: &str, to: &str, arrives: u64) -> Scene {
    let mut scene = scene(Bounds::new().independent_within(SECOND));
    scene.history.stalled(ms(1_000), scene.lane);
    scene.history.resumed(ms(9_000), scene.lane);
    let other = scene.history.channel(from, to, "files", Mode::ReliableUnordered).message(0, 1);
    scene.history.sent(ms(2_000), other, Sent::new("x"));
    scene.history.handled(ms(arrives), other, "x");
    scene.history.receipt(ms(arrives), other, Outcome::Handled);
    scene.history.ended(ms(20_000));
    scene
}

#[test]
fn g14_one_stall_does_not_become_two() {
    for (from, to) in [(ALICE, BOB), (BOB, ALICE)] {
        beside_a_stall(from, to, 3_000).keeps("in time", &[G14]);
        beside_a_stall(from, to, 3_001).breaks("late", &[G14], "while \"chat\" was stalled");
    }
    let mut own = beside_a_stall(ALICE, BOB, 2_500);
    own.send(2_000, 1).take(9_500, 1).tell(9_600, 1, Outcome::Handled);
    own.keeps("the stalled channel itself may wait", &[G14]);
    let mut broken = beside_a_stall(ALICE, BOB, 8_000);
    broken.history.broke(ms(2_500));
    broken.history.healed(ms(7_000));
    broken.keeps("an outage excuses", &[]);
    beside_a_stall(ALICE, "carol", 8_000).keeps("another pair of peers", &[]);
}

/// "chat" is stalled; alice sends three messages at once on another channel, of which bob takes one at each of these times.
fn one_after_the_other(taken: [u64; 3], order: [u64; 3]) -> Scene {
    let mut scene = scene(Bounds::new().independent_within(SECOND));
    scene.history.stalled(ms(1_000), scene.lane);
    let files = scene.history.channel(ALICE, BOB, "files", Mode::ReliableUnordered);
    (1..=3).for_each(|number| scene.history.sent(ms(2_000), files.message(0, number), Sent::new("x")));
    for (at, number) in taken.into_iter().zip(order) {
        let message = files.message(0, number);
        scene.history.handled(ms(at), message, "x");
        scene.history.receipt(ms(at), message, Outcome::Handled);
    }
    scene.history.ended(ms(20_000));
    scene
}

#[test]
fn g14_a_message_waits_for_those_before_it_on_its_own_channel() {
    one_after_the_other([3_000, 4_000, 5_000], [1, 2, 3]).keeps("a slow receiver", &[G14]);
    one_after_the_other([3_000, 4_000, 5_001], [1, 2, 3]).breaks("a gap", &[G14], "1s after 4.000000 s");
    one_after_the_other([3_000, 3_500, 4_501], [1, 2, 3]).breaks("a gap", &[G14], "1s after 3.500000 s");
    one_after_the_other([2_500, 3_000, 3_500], [2, 3, 1]).breaks("passed by later ones", &[G14], "message 1");
    // What comes again has its place before the next ones.
    let mut again = one_after_the_other([2_900, 3_900, 5_500], [1, 2, 3]);
    let first = again.history.channel(ALICE, BOB, "files", Mode::ReliableUnordered).message(0, 1);
    again.history.handed_over(ms(4_700), first, Handover::new("x").attempt(2));
    assert!(again.history.check(&again.bounds).violations().iter().all(|it| it.guarantee != G14));
}

#[test]
fn g14_asks_for_what_nobody_waits_for_unless_it_may_be_missing() {
    let unattended = |deadline: Option<u64>| {
        let mut scene = beside_a_stall(ALICE, BOB, 2_500);
        let files = scene.history.channel(ALICE, BOB, "files", Mode::ReliableUnordered);
        let sent = Sent::new("y");
        let sent = deadline.map_or(sent, |at| sent.deadline(ms(at)));
        scene.history.sent(ms(2_000), files.message(0, 2), sent);
        scene.history.unattended(ms(2_000), files.message(0, 2));
        scene.bounds = scene.bounds.open_at_end();
        scene
    };
    unattended(Some(2_000)).keeps("perhaps never accepted", &[G14]);
    unattended(None).breaks("accepted", &[G14], "message 2");
}

#[test]
fn g15_dials_and_packets_are_bounded_in_every_window() {
    let dials = |moments: &[u64]| {
        let mut scene = scene(Bounds::new().dials(3, SECOND).packets(3, SECOND));
        for at in moments {
            scene.history.dialed(ms(*at), ALICE);
            scene.history.packet(ms(*at), BOB);
        }
        scene
    };
    dials(&[0, 10, 20, 1_000, 1_010, 1_020]).keeps("three in each", &[G15]);
    dials(&[0, 10, 20, 999]).breaks("four in one", &[G15, G15], "alice: more than 3 dials within 1s");
    dials(&[999, 20, 0, 10]).breaks("in any order", &[G15, G15], "bob: more than 3 packets within 1s");
    let storm: Vec<u64> = (0..500).collect();
    dials(&storm).breaks("one storm is one finding", &[G15, G15], "alice");
}
