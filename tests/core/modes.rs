//! What each mode of delivery promises (rules N1, N2, N3, R1).

use bowline::config::{Delivery, WhenFull};
use bowline::error::Outcome;
use bowline::id::ChannelId;
use bowline::protocol::types::Progress;
use bowline::wire::{Body, Carrier, Data, Frame};

use crate::link::Side::{Acceptor, Dialer};
use crate::scene::{BOTH, connected, connected_as, in_mode, ms, secs, stored};
use crate::world::{Settings, Shape, World};

const UNRELIABLE: [Delivery; 2] = [Delivery::Unreliable, Delivery::UnreliableSequenced];

/// Everything that goes in a datagram is lost, or nothing.
fn lose(world: &mut World, percent: u64) {
    world.settings.weather.datagram_loss = percent;
}

/// A message of the first channel, and the beginning of another, as they come from the network.
fn whole(sequence: u64, size: usize) -> Frame {
    let (channel, redelivered, deadline, carrier) = (ChannelId(0), false, None, Carrier::Datagram);
    Frame::Data(Data { channel, sequence, redelivered, deadline, carrier, payload: vec![0; size].into() })
}

fn fragment(sequence: u64, size: u64) -> Frame {
    let (channel, redelivered, deadline, carrier) = (ChannelId(0), false, None, Carrier::Fragments);
    let bytes = vec![0; 1000].into();
    Frame::Body(Body { channel, sequence, redelivered, deadline, carrier, size, offset: 0, bytes })
}

fn handled(world: &mut World, id: bowline::id::MessageId) -> bool {
    world.outcome(Dialer, id) == Some(Outcome::Handled)
}

#[test]
fn modes_an_unreliable_message_is_given_once_and_its_fate_unknown() {
    for mode in UNRELIABLE {
        let mut world = connected_as(Settings::default(), &in_mode(mode));
        lose(&mut world, 100);
        let lost = world.say(Dialer, "chat", 5000);
        world.run(secs(30));
        lose(&mut world, 0);
        let kept = world.say(Dialer, "chat", 5000);
        world.run(secs(30));
        assert_eq!(world.hear(Acceptor, "chat"), [1]);
        for id in [lost, kept] {
            assert_eq!(world.outcome(Dialer, id), Some(Outcome::Unknown));
        }
        assert_eq!(world.stats(Acceptor, "chat").missing, 0, "what came before the first is nobody's loss");
        assert_eq!(world.dialer.frames.iter().filter(|frame| **frame == "Data").count(), 2);
    }
}

#[test]
fn modes_a_full_inbox_of_an_unreliable_channel_keeps_the_newest() {
    let shape = Shape { inbox: (5, 100_000), ..in_mode(Delivery::Unreliable) };
    let mut world = connected_as(Settings::default(), &shape);
    (0..12).for_each(|_| {
        world.say_for(Dialer, "chat", 10, 10_000);
    });
    world.run(secs(1));
    assert_eq!(world.hear(Acceptor, "chat"), [7, 8, 9, 10, 11]);
    let stats = world.stats(Acceptor, "chat");
    assert_eq!((stats.overflowed, stats.inbox_messages, stats.inbox_bytes), (7, 0, 0));
}

#[test]
fn modes_a_full_outbox_drops_the_oldest_where_that_is_allowed() {
    let shape =
        Shape { outbox: (3, 100_000), when_full: WhenFull::DropOldest, ..in_mode(Delivery::Unreliable) };
    let mut world = connected_as(Settings::default(), &shape);
    world.net_up = false;
    world.cut_now();
    world.run(ms(1));
    let ids = [(); 5].map(|()| world.say(Dialer, "chat", 10));
    assert_eq!(world.outcome(Dialer, ids[1]), Some(Outcome::Dropped));
    assert_eq!(world.progress(Dialer, ids[2]), Progress::Accepted);
    world.net_up = true;
    world.run(secs(60));
    let mut heard = world.hear(Acceptor, "chat");
    heard.sort_unstable();
    assert_eq!(heard, [2, 3, 4]);
}

#[test]
fn modes_a_sequenced_channel_hands_nothing_over_that_is_older() {
    let mut world = connected_as(Settings::default(), &in_mode(Delivery::UnreliableSequenced));
    world.settings.weather.delay_ms = (1, 400);
    let mut heard = Vec::new();
    for _ in 0..60 {
        world.say(Dialer, "chat", 10);
        world.run(ms(20));
        heard.extend(world.hear(Acceptor, "chat"));
    }
    assert!(heard.is_sorted(), "G4: {heard:?}");
    assert!(heard.len() > 5, "{heard:?}");
    assert!(world.stats(Acceptor, "chat").stale > 5);
}

#[test]
fn modes_the_end_of_an_unreliable_channel_comes_after_its_messages() {
    for mode in UNRELIABLE {
        for settings in [Settings::default(), stored(50)] {
            let mut world = connected(settings, &[]);
            let shape = in_mode(mode);
            world.open(Acceptor, "chat", &shape);
            world.run(secs(1));
            world.open(Dialer, "chat", &shape);
            // The peer has not heard of the lane: none of these may leave yet.
            let ids = [(); 3].map(|()| world.say(Dialer, "chat", 10));
            world.finish(Dialer, "chat");
            world.run(secs(2));
            assert_eq!(world.hear(Acceptor, "chat"), [0, 1, 2]);
            assert!(ids.iter().all(|&id| world.outcome(Dialer, id) == Some(Outcome::Unknown)));
            world.finish(Acceptor, "chat");
            world.run(secs(2));
            assert!(BOTH.iter().all(|&side| !world.is_channel_there(side, "chat")));
        }
    }
}

#[test]
fn modes_what_outlives_the_end_of_an_unreliable_channel_is_not_taken() {
    for mode in UNRELIABLE {
        let mut world = connected_as(Settings::default(), &in_mode(mode));
        let link = world.dialer.machine.attached().expect("a link");
        lose(&mut world, 100);
        let (small, large) = (world.say(Dialer, "chat", 10), world.say(Dialer, "chat", 5000));
        world.finish(Dialer, "chat");
        world.run(secs(1));
        // It was told that nothing is awaited, and may have forgotten the channel when these come.
        for frame in [whole(small.sequence, 10), fragment(large.sequence, 5000)] {
            world.feed(link, Acceptor, frame);
        }
        assert_eq!(world.hear(Acceptor, "chat"), []);
        let stats = world.stats(Acceptor, "chat");
        assert_eq!((stats.stale, stats.partial_bytes), (2, 0));
        world.finish(Acceptor, "chat");
        world.run(secs(1));
        assert!(BOTH.iter().all(|&side| !world.is_channel_there(side, "chat")));
    }
}

#[test]
fn modes_an_unreliable_channel_ends_when_what_is_left_expires() {
    let mut world = connected_as(Settings::default(), &in_mode(Delivery::Unreliable));
    world.say_for(Dialer, "chat", 10, 300);
    BOTH.into_iter().for_each(|side| world.finish(side, "chat"));
    // It lies in the inbox, untaken, when the end is told.
    world.run(secs(5));
    assert_eq!(world.model.counts.delivered, 0);
    assert!(BOTH.iter().all(|&side| !world.is_channel_there(side, "chat")));
}

#[test]
fn modes_numbers_of_an_unreliable_channel_outlive_a_restart() {
    let mut world = connected_as(stored(1), &in_mode(Delivery::Unreliable));
    (0..3).for_each(|_| {
        world.say_for(Dialer, "chat", 10, 60_000);
    });
    world.run(secs(1));
    assert_eq!(world.hear(Acceptor, "chat"), [0, 1, 2]);
    world.finish(Dialer, "chat");
    world.run(secs(1));
    // The end that was told is the end after the restart as well.
    world.restart_dialer(0, Some(ms(0)));
    world.run(secs(20));
    assert!(world.dialer.closed().is_none(), "{:?}", world.dialer.closed());

    let mut world = connected_as(stored(1), &in_mode(Delivery::Unreliable));
    world.say(Dialer, "chat", 10);
    world.run(secs(1));
    world.restart_dialer(0, Some(ms(0)));
    world.run(secs(20));
    let next = world.say(Dialer, "chat", 10);
    world.run(secs(1));
    assert!(next.sequence >= 4096, "{next}");
    assert_eq!(world.hear(Acceptor, "chat"), [0, next.sequence]);
}

#[test]
fn modes_a_lost_datagram_is_sent_again_after_a_round_trip_or_a_probe_timeout() {
    for mode in [Delivery::ReliableUnordered, Delivery::ReliableLatest] {
        let mut world = connected_as(Settings::default(), &in_mode(mode));
        // The first beat has measured 20 ms.
        world.run(secs(20));
        lose(&mut world, 100);
        let id = world.say(Dialer, "chat", 10);
        world.run(ms(1));
        lose(&mut world, 0);
        world.run(ms(108));
        assert_eq!(world.stats(Dialer, "chat").retransmitted, 0);
        world.run(ms(2));
        assert_eq!(world.stats(Dialer, "chat").retransmitted, 1, "three round trips and 50 ms");
        world.run(ms(20));
        assert_eq!(world.hear(Acceptor, "chat"), [0]);
        world.run(secs(1));
        assert!(handled(&mut world, id));
    }
    let mut world = connected_as(Settings::default(), &in_mode(Delivery::ReliableUnordered));
    world.run(secs(20));
    lose(&mut world, 100);
    world.say(Dialer, "chat", 10);
    world.run(ms(2));
    lose(&mut world, 0);
    world.say(Dialer, "chat", 10);
    // It arrives after 10 ms, the news of it waits for 25 ms, and is back after 47.
    world.run(ms(44));
    assert_eq!(world.stats(Dialer, "chat").retransmitted, 0);
    world.run(ms(4));
    assert_eq!(world.stats(Dialer, "chat").retransmitted, 1);
}

#[test]
fn modes_an_unordered_message_waits_for_no_other() {
    let mut world = connected_as(Settings::default(), &in_mode(Delivery::ReliableUnordered));
    lose(&mut world, 100);
    let first = world.say(Dialer, "chat", 10);
    world.run(ms(1));
    lose(&mut world, 0);
    world.say(Dialer, "chat", 10);
    world.run(ms(11));
    assert_eq!(world.hear(Acceptor, "chat"), [1]);
    world.run(secs(1));
    assert_eq!(world.hear(Acceptor, "chat"), [0]);
    world.run(secs(1));
    assert!(handled(&mut world, first));
}

/// States that nobody will ever see are given up one after the other, beyond every window.
fn many_states(world: &mut World, count: usize) -> bowline::id::MessageId {
    (0..count).for_each(|_| {
        world.say_for(Dialer, "chat", 100, 600_000);
    });
    world.say(Dialer, "chat", 100)
}

#[test]
fn modes_the_newest_state_arrives_whatever_became_of_thousands_before_it() {
    for (count, limit) in [(5000, 1000), (5000, 1), (3, 1)] {
        let shape = Shape { outbox: (limit, 1 << 20), ..in_mode(Delivery::ReliableLatest) };
        let mut world = connected_as(Settings::default(), &shape);
        // One is lost with the link, the others never leave.
        let first = world.say(Dialer, "chat", 10);
        world.cut_now();
        world.run(ms(0));
        let newest = many_states(&mut world, count);
        world.run(secs(10));
        assert_eq!(world.hear(Acceptor, "chat"), [newest.sequence], "{count} states, at most {limit}");
        world.run(secs(1));
        assert_eq!(world.outcome(Dialer, first), Some(Outcome::Superseded));
        assert!(handled(&mut world, newest));
    }
}

#[test]
fn modes_a_lost_state_makes_way_for_the_next() {
    // One message at a time: the lost one is outdated, and nobody sends it again.
    let shape = Shape { outbox: (1, 1 << 20), ..in_mode(Delivery::ReliableLatest) };
    let mut world = connected_as(Settings::default(), &shape);
    lose(&mut world, 100);
    let ids = [(); 3].map(|()| {
        let id = world.say(Dialer, "chat", 10);
        world.run(ms(1));
        id
    });
    world.run(ms(100));
    lose(&mut world, 0);
    world.run(secs(2));
    assert_eq!(world.hear(Acceptor, "chat"), [2]);
    world.run(secs(1));
    assert_eq!(ids.map(|id| handled(&mut world, id)), [false, false, true]);
}

#[test]
fn modes_a_newer_state_takes_the_place_of_one_that_is_not_taken() {
    let mut world = connected_as(Settings::default(), &in_mode(Delivery::ReliableLatest));
    let ids = [(); 3].map(|()| {
        let id = world.say(Dialer, "chat", 10);
        world.run(secs(1));
        id
    });
    assert_eq!(world.hear(Acceptor, "chat"), [2], "G4: an older state is handed over");
    world.run(secs(1));
    assert_eq!(world.outcome(Dialer, ids[0]), Some(Outcome::Superseded));
    assert_eq!(world.outcome(Dialer, ids[1]), Some(Outcome::Superseded));
    // One that the application has in its hands is not taken away.
    let held = world.say(Dialer, "chat", 10);
    world.run(secs(1));
    assert_eq!(world.take(Acceptor, "chat"), 1);
    world.say(Dialer, "chat", 10);
    world.run(secs(1));
    assert_eq!(world.progress(Dialer, held), Progress::Received);
    world.settle_taken(Acceptor, "chat", 0);
    world.run(secs(1));
    assert!(handled(&mut world, held));
}

#[test]
fn modes_a_restarted_sender_knows_which_state_is_the_newest() {
    let shape = Shape { outbox: (1, 1 << 20), ..in_mode(Delivery::ReliableLatest) };
    let settings = Settings { stores: [true, false], ..Settings::default() };
    let mut world = connected_as(settings, &shape);
    // The first is written; of the others all but the last are over before they leave.
    world.say(Dialer, "chat", 10);
    world.settle();
    world.cut_now();
    for _ in 0..3 {
        world.say(Dialer, "chat", 10);
    }
    world.run(ms(10));
    world.restart_dialer(0, Some(ms(0)));
    world.run(secs(10));
    assert_eq!(world.hear(Acceptor, "chat"), [3]);
    world.run(secs(1));
    assert_eq!(world.stats(Dialer, "chat").outbox_messages, 0);
}

#[test]
fn modes_a_refused_newest_state_leaves_no_older_one_without_an_end() {
    let mut world = connected_as(Settings::default(), &in_mode(Delivery::ReliableLatest));
    let first = world.say(Dialer, "chat", 10);
    world.cut_now();
    let second = world.say(Dialer, "chat", 10);
    world.refuse(Acceptor, "chat");
    world.run(secs(10));
    assert!(matches!(world.outcome(Dialer, second), Some(Outcome::Rejected { .. })));
    assert_eq!(world.outcome(Dialer, first), Some(Outcome::Superseded));
}

#[test]
fn modes_a_peer_that_forgot_is_sent_the_newest_state_only() {
    let shape = Shape { redeliver: true, outbox: (1, 1 << 20), ..in_mode(Delivery::ReliableLatest) };
    let mut world = connected_as(Settings::default(), &shape);
    let first = world.say(Dialer, "chat", 10);
    world.run(secs(1));
    world.cut_now();
    world.restart_acceptor(0, None);
    let second = world.say(Dialer, "chat", 10);
    world.run(secs(10));
    world.open(Acceptor, "chat", &shape);
    world.run(secs(1));
    assert_eq!(world.hear(Acceptor, "chat"), [1]);
    world.run(secs(1));
    assert_eq!(world.outcome(Dialer, first), Some(Outcome::Unknown));
    assert!(handled(&mut world, second));
}

#[test]
fn modes_what_the_peer_holds_counts_in_its_window_on_the_next_link() {
    let shape =
        Shape { inbox: (1000, 100_000), outbox: (1000, 1 << 20), ..in_mode(Delivery::ReliableLatest) };
    let mut world = connected_as(Settings::default(), &shape);
    world.say(Dialer, "chat", 60_000);
    world.run(secs(1));
    world.cut_now();
    world.run(ms(0));
    // The first is outdated, and still at the peer when the second is written.
    world.say(Dialer, "chat", 60_000);
    world.run(secs(5));
    assert!(world.dialer.closed().is_none(), "{:?}", world.dialer.closed());
    assert_eq!(world.hear(Acceptor, "chat"), [1]);
}
