//! Large messages: they travel beside the others, and go on where a link was lost (rule C2, guarantee G14).

use bowline::config::Delivery;
use bowline::error::Outcome;
use bowline::protocol::types::Progress;

use crate::link::Side::{Acceptor, Dialer};
use crate::scene::{connected, connected_as, in_mode, ms, secs, stored};
use crate::world::{MAX_BODY, Settings, Shape, World};

const RELIABLE: [Delivery; 3] =
    [Delivery::ReliableOrdered, Delivery::ReliableUnordered, Delivery::ReliableLatest];

/// A link that takes 64 KiB in 10 ms.
fn slow() -> Settings {
    Settings { max_message: [MAX_BODY; 2], ..Settings::default() }
}

fn shape(mode: Delivery) -> Shape {
    Shape { large: (MAX_BODY * 2, MAX_BODY * 2), ..in_mode(mode) }
}

/// A large message of which a part has come, and its link is lost.
fn torn(mode: Delivery, settings: Settings) -> (World, bowline::id::MessageId) {
    let mut world = connected_as(settings, &shape(mode));
    let id = world.say(Dialer, "chat", MAX_BODY);
    world.run(ms(35));
    world.cut_now();
    world.run(ms(0));
    (world, id)
}

#[test]
fn large_messages_go_on_where_their_link_was_lost() {
    for mode in RELIABLE {
        let (mut world, id) = torn(mode, slow());
        let transfers = |world: &mut World| {
            world.with(world.on(Acceptor), |peer, _, _| peer.machine.transfers(peer.channels["chat"].key))
        };
        let here = transfers(&mut world).expect("a peer");
        assert_eq!((here.len(), here[0].id, here[0].size), (1, id, MAX_BODY as u64));
        let received = here[0].received;
        assert!(received > 60_000 && received < MAX_BODY as u64, "{received}");
        let before = world.tally.pieces;
        world.run(secs(5));
        assert_eq!(world.tally.resumed_bodies, 1);
        let rest = (MAX_BODY as u64 - received).div_ceil(16 * 1024);
        assert_eq!(world.tally.pieces - before, rest, "no byte comes twice");
        assert_eq!(world.hear(Acceptor, "chat"), [0]);
        world.run(secs(1));
        assert_eq!(world.outcome(Dialer, id), Some(Outcome::Handled));
        assert_eq!(world.stats(Acceptor, "chat").partial_bytes, 0);
    }
}

#[test]
fn large_messages_go_on_after_their_sender_was_restarted() {
    let settings = Settings { stores: [true, false], ..slow() };
    let (mut world, id) = torn(Delivery::ReliableOrdered, settings);
    world.restart_dialer(0, Some(ms(0)));
    world.run(secs(10));
    assert_eq!(world.tally.resumed_bodies, 1);
    assert_eq!(world.hear(Acceptor, "chat"), [0]);
    world.run(secs(1));
    assert_eq!(world.outcome(Dialer, id), Some(Outcome::Handled));
}

#[test]
fn large_messages_begin_anew_where_the_part_was_forgotten() {
    let settings = Settings { stores: [true, true], ..slow() };
    let (mut world, id) = torn(Delivery::ReliableOrdered, settings);
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(10));
    world.open(Acceptor, "chat", &shape(Delivery::ReliableOrdered));
    world.run(secs(10));
    assert_eq!(world.tally.resumed_bodies, 0);
    assert_eq!(world.hear(Acceptor, "chat"), [0]);
    world.run(secs(1));
    assert_eq!(world.outcome(Dialer, id), Some(Outcome::Handled));
}

#[test]
fn large_messages_tell_how_far_they_are() {
    let settings = Settings { room: (16 * 1024, 16 * 1024), ..slow() };
    let mut world = connected_as(settings, &shape(Delivery::ReliableUnordered));
    let id = world.say(Dialer, "chat", MAX_BODY);
    let mut seen = Vec::new();
    for _ in 0..100 {
        world.run(ms(5));
        match world.progress(Dialer, id) {
            Progress::Partly { received, .. } => seen.push(received),
            Progress::Accepted => assert!(seen.is_empty()),
            _ => break,
        }
    }
    seen.dedup();
    assert!(seen.len() > 1 && seen.is_sorted(), "{seen:?}");
    world.run(secs(1));
    assert_eq!(world.progress(Dialer, id), Progress::Received);
}

#[test]
fn large_messages_that_are_not_wanted_end_on_both_sides() {
    for mode in RELIABLE {
        let mut world = connected_as(slow(), &shape(mode));
        let id = world.say(Dialer, "chat", MAX_BODY);
        world.run(ms(25));
        world.with(world.on(Acceptor), |peer, model, now| peer.reject_transfer("chat", 0, model, now));
        let next = world.say(Dialer, "chat", MAX_BODY);
        world.run(secs(2));
        assert_eq!(world.hear(Acceptor, "chat"), [1]);
        world.run(secs(1));
        let rejected = Outcome::Rejected { reason: "too much".to_owned() };
        assert_eq!(world.outcome(Dialer, id), Some(rejected));
        assert_eq!(world.outcome(Dialer, next), Some(Outcome::Handled));
    }
}

#[test]
fn large_messages_that_are_given_up_free_both_sides() {
    for (mode, link_dies) in RELIABLE.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
        let mut world = connected_as(slow(), &shape(mode));
        let id = world.say(Dialer, "chat", MAX_BODY);
        world.run(ms(25));
        if link_dies {
            world.cut_now();
            world.run(ms(0));
        }
        assert!(world.cancel(Dialer, id));
        assert_eq!(world.stats(Dialer, "chat").outbox_bytes, 0);
        world.settle();
        assert_eq!(world.tally.abandoned_bodies, u64::from(!link_dies), "a stream that is there is reset");
        // Two that fill the window to the brim: the one that was given up has left it.
        let ids = [(); 2].map(|()| world.say(Dialer, "chat", MAX_BODY));
        world.run(secs(10));
        assert!(world.dialer.closed().is_none(), "{:?}", world.dialer.closed());
        let newest = mode == Delivery::ReliableLatest;
        assert_eq!(world.hear(Acceptor, "chat"), if newest { vec![2] } else { vec![1, 2] });
        world.run(secs(1));
        assert_eq!(world.outcome(Dialer, id), Some(Outcome::Cancelled));
        assert_eq!(world.outcome(Dialer, ids[1]), Some(Outcome::Handled));
        assert_eq!(world.stats(Acceptor, "chat").partial_bytes, 0);
    }
}

#[test]
fn large_messages_that_expire_leave_nothing_behind() {
    for mode in RELIABLE {
        let mut world = connected_as(slow(), &shape(mode));
        let id = world.say_for(Dialer, "chat", MAX_BODY, 30);
        world.run(secs(1));
        assert_eq!(world.outcome(Dialer, id), Some(Outcome::Expired));
        assert_eq!(world.stats(Acceptor, "chat").partial_bytes, 0, "G7: what has expired is kept");
        assert_eq!(world.hear(Acceptor, "chat"), [0; 0]);
    }
}

#[test]
fn large_messages_wait_for_credit_without_a_stir() {
    // Until its application opens the channel a receiver takes none.
    let mut world = connected(slow(), &[]);
    world.open(Dialer, "chat", &shape(Delivery::ReliableOrdered));
    let id = world.say(Dialer, "chat", MAX_BODY);
    world.run(secs(10));
    assert_eq!(world.tally.pieces, 0);
    assert!(world.steps < 500, "{} steps", world.steps);
    world.open(Acceptor, "chat", &shape(Delivery::ReliableOrdered));
    world.run(secs(1));
    assert_eq!(world.hear(Acceptor, "chat"), [0]);
    world.run(secs(1));
    assert_eq!(world.outcome(Dialer, id), Some(Outcome::Handled));
}

#[test]
fn large_states_make_way_for_newer_ones() {
    // The window holds two; each new state finds the one before it half there.
    let mut world = connected_as(slow(), &shape(Delivery::ReliableLatest));
    for sequence in 0..6 {
        let id = world.say(Dialer, "chat", MAX_BODY);
        assert_eq!(id.sequence, sequence);
        world.run(ms(15));
    }
    world.run(secs(2));
    assert_eq!(world.hear(Acceptor, "chat"), [5]);
    assert!(world.tally.abandoned_bodies >= 2, "{}", world.tally.abandoned_bodies);
}

#[test]
fn large_states_that_are_not_wanted_leave_no_older_one_without_an_end() {
    let (mut world, first) = torn(Delivery::ReliableLatest, slow());
    let second = world.say(Dialer, "chat", MAX_BODY);
    // Of the first a part is here, and then it is skipped; the second is refused when its beginning has come.
    let begun = |world: &mut World| {
        world.with(world.on(Acceptor), |peer, _, _| {
            let here = peer.machine.transfers(peer.channels["chat"].key);
            here.iter().any(|transfer| transfer.id == second)
        }) == Some(true)
    };
    assert!(world.run_until(secs(5), begun));
    for _ in 0..2 {
        world.with(world.on(Acceptor), |peer, model, now| peer.reject_transfer("chat", 1, model, now));
    }
    world.run(secs(5));
    assert!(world.outcome(Dialer, first).is_some());
    assert!(matches!(world.outcome(Dialer, second), Some(Outcome::Rejected { .. })));
    assert_eq!(world.stats(Dialer, "chat").outbox_messages, 0);
}

#[test]
fn large_states_that_were_torn_count_in_the_window_until_they_are_over() {
    let (mut world, first) = torn(Delivery::ReliableLatest, slow());
    let ids = [(); 2].map(|()| world.say(Dialer, "chat", MAX_BODY));
    world.run(secs(5));
    assert!(world.dialer.closed().is_none(), "{:?}", world.dialer.closed());
    assert_eq!(world.hear(Acceptor, "chat"), [2]);
    world.run(secs(1));
    assert_eq!(world.outcome(Dialer, first), Some(Outcome::Superseded));
    assert_eq!(world.outcome(Dialer, ids[1]), Some(Outcome::Handled));
}

#[test]
fn large_messages_and_stalled_channels_hold_up_no_others() {
    let mut world = connected(slow(), &["chat", "jobs", "bulk"]);
    // Nobody takes what is in "jobs", and its window is full; a giant is on its way in "bulk".
    (0..10).for_each(|_| {
        world.say_for(Dialer, "jobs", 60_000, 600_000);
    });
    world.run(secs(1));
    for mode in [Delivery::ReliableOrdered, Delivery::Unreliable] {
        let label = format!("{mode}");
        for side in [Dialer, Acceptor] {
            world.open(side, &label, &in_mode(mode));
        }
        world.run(secs(1));
        world.say(Dialer, "bulk", 90_000);
        world.say(Dialer, "bulk", 90_000);
        world.say(Dialer, "bulk", 90_000);
        world.say(Dialer, &label, 10);
        let there = |world: &mut World| world.stats(Acceptor, &label).received == 1;
        assert!(world.run_until(ms(40), there), "G14: a message of another channel waits, {mode}");
        world.run(secs(1));
        assert_eq!(world.hear(Acceptor, "bulk").len(), 3);
    }
    // A small one of the same unordered channel does not wait either.
    let mut world = connected_as(slow(), &shape(Delivery::ReliableUnordered));
    world.say(Dialer, "chat", MAX_BODY);
    world.run(ms(5));
    world.say(Dialer, "chat", 10);
    let there = |world: &mut World| world.stats(Acceptor, "chat").received == 1;
    assert!(world.run_until(ms(40), there), "G14: a small message waits for a large one");
    assert_eq!(world.hear(Acceptor, "chat"), [1]);
}

#[test]
fn large_messages_keep_their_place_in_the_order() {
    let mut world =
        connected_as(stored(1), &Shape { large: (200_000, 200_000), ..in_mode(Delivery::ReliableOrdered) });
    let sizes = [10, 90_000, 10, 90_000, 10];
    sizes.into_iter().for_each(|size| {
        world.say_for(Dialer, "chat", size, 600_000);
    });
    world.run(ms(15));
    // The last one is here long before the large ones.
    assert_eq!(world.stats(Acceptor, "chat").received, 3);
    assert_eq!(world.hear(Acceptor, "chat"), [0]);
    world.run(secs(2));
    assert_eq!(world.hear(Acceptor, "chat"), [1, 2, 3, 4]);
}

#[test]
fn large_messages_that_never_become_whole_do_not_lock_a_peer_that_forgot_out() {
    // Two may wait here, and behind one in part wait more: the first credit was for as many.
    let shape = Shape { inbox: (2, 65_536), ..shape(Delivery::ReliableOrdered) };
    let mut world = connected_as(slow(), &shape);
    world.say(Acceptor, "chat", MAX_BODY);
    (0..8).for_each(|_| drop(world.say(Acceptor, "chat", 10)));
    world.run(ms(35));
    assert_eq!(world.stats(Dialer, "chat").inbox_messages, 8, "they wait for the large one");
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(5));
    world.open(Acceptor, "chat", &shape);
    world.run(secs(1));
    assert!(world.is_channel_there(Acceptor, "chat"), "there is a session");
    assert_eq!(world.hear(Dialer, "chat"), [1, 2, 3, 4, 5, 6, 7, 8]);
    world.say(Acceptor, "chat", 10);
    world.run(secs(1));
    assert_eq!(world.hear(Dialer, "chat"), [0]);
}
