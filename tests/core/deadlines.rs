//! Deadlines, withdrawal, and what becomes of the order (rules T1, R1, N1).

use bowline::config::Delivery;
use bowline::error::{ExtendError, Outcome};
use bowline::id::MessageId;
use bowline::protocol::types::Progress;

use crate::link::Side::{self, Acceptor, Dialer};
use crate::scene::{BOTH, connected_as, in_mode, ms, secs, stored};
use crate::world::{Settings, Shape, World};

const RELIABLE: [Delivery; 2] = [Delivery::ReliableOrdered, Delivery::ReliableUnordered];

fn in_order() -> World {
    connected_as(Settings::default(), &in_mode(Delivery::ReliableOrdered))
}

/// Sequence and skipped of what there is to take.
fn heard(world: &mut World) -> Vec<(u64, u64)> {
    heard_by(world, Acceptor)
}

fn heard_by(world: &mut World, side: Side) -> Vec<(u64, u64)> {
    let mut heard = Vec::new();
    world.with(world.on(side), |peer, model, now| {
        let key = peer.channels["chat"].key;
        while let Some(message) = peer.machine.recv(key, now) {
            model.delivered(&mut peer.handed, &message, now);
            model.handled(message.id);
            heard.push((message.id.sequence, message.skipped));
        }
    });
    heard
}

fn outcomes(world: &mut World, ids: &[MessageId]) -> Vec<Option<Outcome>> {
    ids.iter().map(|&id| world.outcome(Dialer, id)).collect()
}

#[test]
fn deadlines_what_expires_on_the_way_does_not_hold_up_what_follows() {
    let mut world = in_order();
    let link = world.dialer.machine.attached().expect("a link");
    world.silence(link, ms(200));
    let ids =
        [world.say_for(Dialer, "chat", 10, 50), world.say(Dialer, "chat", 10), world.say(Dialer, "chat", 10)];
    world.run(ms(150));
    world.say_for(Dialer, "chat", 10, 1);
    world.say(Dialer, "chat", 10);
    world.run(ms(200));
    let all = heard(&mut world);
    // Nothing else has told this side the time: by the slowest message a deadline may seem later, never earlier.
    assert_eq!(all, [(1, 1), (2, 0), (4, 1)]);
    world.run(secs(1));
    let expired = Some(Outcome::Expired);
    assert_eq!(outcomes(&mut world, &ids), [expired, Some(Outcome::Handled), Some(Outcome::Handled)]);
}

#[test]
fn deadlines_and_losses_before_the_first_message_leave_no_gap() {
    for mode in [Delivery::ReliableOrdered, Delivery::UnreliableSequenced] {
        let mut world = connected_as(Settings::default(), &in_mode(mode));
        world.settings.weather.datagram_loss = if mode.is_reliable() { 0 } else { 100 };
        (0..3).for_each(|_| _ = world.say(Dialer, "chat", 10));
        world.run(secs(1));
        world.settings.weather.datagram_loss = 0;
        if mode.is_reliable() {
            // What another process of the receiver handed over, this one need not know.
            assert_eq!(heard(&mut world), [(0, 0), (1, 0), (2, 0)]);
            world.restart_acceptor(0, Some(ms(0)));
            world.run(secs(5));
            world.open(Acceptor, "chat", &in_mode(mode));
        }
        world.say(Dialer, "chat", 10);
        world.run(secs(1));
        assert_eq!(heard(&mut world), [(3, 0)], "{mode:?}");
    }
}

#[test]
fn deadlines_count_on_across_links_and_what_was_lost_with_one_is_skipped() {
    for mode in RELIABLE {
        let mut world = connected_as(Settings::default(), &in_mode(mode));
        let ids = [world.say_for(Dialer, "chat", 10, 500), world.say_for(Dialer, "chat", 10, 60_000)];
        // Both are written, and lost.
        world.settle();
        world.net_up = false;
        world.cut_now();
        world.run(secs(1));
        assert_eq!(world.progress(Dialer, ids[0]), Progress::Accepted, "the peer may have it");
        world.net_up = true;
        world.run(secs(10));
        let skipped = if mode.is_ordered() { 1 } else { 0 };
        assert_eq!(heard(&mut world), [(1, skipped)]);
        world.run(secs(1));
        assert_eq!(outcomes(&mut world, &ids), [Some(Outcome::Expired), Some(Outcome::Handled)]);
        assert_eq!(world.stats(Dialer, "chat").outbox_messages, 0);
    }
}

#[test]
fn deadlines_are_exact_to_the_shortest_way() {
    for (taken_at, there) in [(109, true), (110, false)] {
        let mut world = in_order();
        let id = world.say_for(Dialer, "chat", 10, 100);
        world.run(ms(taken_at));
        assert_eq!(heard(&mut world).len(), usize::from(there), "after {taken_at} ms");
        world.run(secs(1));
        let outcome = if there { Outcome::Handled } else { Outcome::Expired };
        assert_eq!(world.outcome(Dialer, id), Some(outcome));
        assert_eq!(world.stats(Acceptor, "chat").late, u64::from(!there));
    }
}

#[test]
fn deadlines_pass_for_what_was_given_back() {
    let mut world = in_order();
    let id = world.say_for(Dialer, "chat", 10, 500);
    world.run(ms(100));
    assert_eq!(world.take(Acceptor, "chat"), 1);
    world.run(secs(1));
    // In the application's hands it does not expire; given back it does.
    assert_eq!(world.progress(Dialer, id), Progress::Received);
    world.settle_taken(Acceptor, "chat", 2);
    assert_eq!(world.take(Acceptor, "chat"), 0);
    world.run(secs(1));
    assert_eq!(world.outcome(Dialer, id), Some(Outcome::Expired));
}

#[test]
fn deadlines_beyond_every_window_leave_no_hole_behind() {
    for mode in RELIABLE {
        // Nothing is in flight; only numbers run on.
        let shape = Shape { outbox: (10_000, 8 << 20), ..in_mode(mode) };
        let mut world = connected_as(Settings::default(), &shape);
        world.net_up = false;
        world.cut_now();
        world.run(ms(1));
        let first = world.say_for(Dialer, "chat", 10, 60_000);
        (0..6000).for_each(|_| {
            world.say_for(Dialer, "chat", 10, 20);
        });
        let last = world.say(Dialer, "chat", 10);
        world.run(secs(1));
        world.net_up = true;
        world.run(secs(10));
        // The window counts from what the application has not taken.
        assert_eq!(heard(&mut world), [(0, 0)]);
        world.run(secs(1));
        let skipped = if mode.is_ordered() { 6000 } else { 0 };
        assert_eq!(heard(&mut world), [(6001, skipped)]);
        world.run(secs(1));
        assert_eq!(outcomes(&mut world, &[first, last]), [Some(Outcome::Handled), Some(Outcome::Handled)]);
        assert!(world.steps < 2000, "{} steps", world.steps);
    }
}

/// For the next 300 ms the link is taken by what is more urgent.
fn busy(mode: Delivery) -> World {
    let mut world = connected_as(Settings { room: (1, 1), ..Settings::default() }, &in_mode(mode));
    let urgent = Shape { priority: 1, ..Shape::plain() };
    BOTH.into_iter().for_each(|side| world.open(side, "jobs", &urgent));
    world.run(secs(1));
    (0..30).for_each(|_| {
        world.say(Dialer, "jobs", 10);
    });
    world
}

#[test]
fn deadlines_that_pass_before_a_message_left_do_not_hold_up_the_next_for_a_round_trip() {
    let mut world = busy(Delivery::ReliableOrdered);
    world.say_for(Dialer, "chat", 10, 100);
    world.run(ms(200));
    world.say(Dialer, "chat", 10);
    world.run_until(secs(5), |world| world.stats(Acceptor, "chat").received > 0);
    assert_eq!(world.hear(Acceptor, "chat"), [1]);
}

#[test]
fn deadlines_that_pass_before_the_last_message_left_do_not_hold_up_the_end() {
    for mode in [Delivery::ReliableOrdered, Delivery::ReliableUnordered, Delivery::ReliableLatest] {
        let mut world = busy(mode);
        world.say_for(Dialer, "chat", 10, 100);
        BOTH.into_iter().for_each(|side| world.finish(side, "chat"));
        world.run(secs(5));
        assert!(BOTH.iter().all(|&side| !world.is_channel_there(side, "chat")), "{mode}");
    }
}

#[test]
fn deadlines_are_extended_before_and_after_the_message_came() {
    // After: it lies in the inbox.
    let mut world = in_order();
    let id = world.say_for(Dialer, "chat", 10, 100);
    world.run(ms(50));
    assert_eq!(world.extend(Dialer, id, Some(1000)), Ok(()));
    world.run(ms(500));
    assert_eq!(heard(&mut world), [(0, 0)]);
    // Before: its datagram is lost, and it comes later.
    let mut world = connected_as(Settings::default(), &in_mode(Delivery::ReliableUnordered));
    world.run(secs(20));
    world.settings.weather.datagram_loss = 100;
    let id = world.say_for(Dialer, "chat", 10, 105);
    world.run(ms(20));
    world.settings.weather.datagram_loss = 0;
    assert_eq!(world.extend(Dialer, id, Some(1000)), Ok(()));
    world.run(ms(500));
    assert_eq!(world.model.counts.extended_before, 1);
    assert_eq!(heard(&mut world), [(0, 0)]);
    // For ever, and shorter.
    let mut world = in_order();
    let ids = [world.say_for(Dialer, "chat", 10, 100), world.say(Dialer, "chat", 10)];
    world.run(ms(50));
    assert_eq!(world.extend(Dialer, ids[0], None), Ok(()));
    assert_eq!(world.extend(Dialer, ids[1], Some(20)), Ok(()));
    world.run(secs(100));
    assert_eq!(heard(&mut world), [(0, 0)]);
    assert_eq!(world.outcome(Dialer, ids[1]), Some(Outcome::Expired));
    let over = world.extend(Dialer, ids[1], Some(20));
    assert_eq!(over, Err(ExtendError::Over(Outcome::Expired)));
}

#[test]
fn deadlines_that_were_extended_are_told_again_on_the_next_link() {
    let mut world = in_order();
    let id = world.say_for(Dialer, "chat", 10, 5000);
    world.run(ms(50));
    // The word of it is lost with the link.
    assert_eq!(world.extend(Dialer, id, Some(100_000)), Ok(()));
    world.settle();
    world.cut_now();
    world.run(secs(30));
    assert_eq!(heard(&mut world), [(0, 0)]);
}

#[test]
fn deadlines_survive_a_restart_as_times_of_the_calendar() {
    for (back_after, there) in [(40, true), (80, false)] {
        for receiver in [false, true] {
            let mut world = connected_as(stored(1), &in_mode(Delivery::ReliableOrdered));
            if !receiver {
                world.net_up = false;
                world.cut_now();
                world.run(ms(1));
            }
            let id = world.say_for(Dialer, "chat", 10, 60_000);
            world.run(secs(1));
            // The process is gone while the deadline passes, or does not.
            world.net_up = false;
            world.stop(world.on(if receiver { Acceptor } else { Dialer }), secs(back_after));
            world.run(secs(back_after - 1));
            if receiver {
                world.restart_acceptor(0, Some(ms(0)));
            } else {
                world.restart_dialer(0, Some(ms(0)));
            }
            world.net_up = true;
            world.open(Acceptor, "chat", &in_mode(Delivery::ReliableOrdered));
            if receiver {
                assert_eq!(heard(&mut world).len(), usize::from(there), "after {back_after} s");
            }
            world.run(secs(5));
            if !receiver {
                assert_eq!(heard(&mut world).len(), usize::from(there), "after {back_after} s");
            }
            world.run(secs(100));
            let outcome = if there { Outcome::Handled } else { Outcome::Expired };
            assert_eq!(world.outcome(Dialer, id), Some(outcome), "after {back_after} s, {receiver}");
        }
    }
}

#[test]
fn deadlines_of_a_former_epoch_leave_no_gap_in_the_next_one() {
    let mut world = in_order();
    for life in [10_000, 600_000, 10_000] {
        world.say_for(Acceptor, "chat", 10, life);
    }
    world.run(secs(1));
    // Twice the acceptor forgets. What it sent before stays, and some of that expires.
    for _ in 0..2 {
        world.restart_acceptor(0, Some(ms(0)));
        world.run(secs(1));
        world.open_plainly(Acceptor, "chat");
        world.say_for(Acceptor, "chat", 10, 600_000);
        world.run(secs(1));
    }
    world.run(secs(20));
    assert_eq!(heard_by(&mut world, Dialer), [(1, 1), (0, 0), (0, 0)]);
}

#[test]
fn deadlines_do_not_turn_doubt_into_certainty() {
    // The acceptor handles it, forgets that, and is sent it again; then the deadline passes.
    let shape = Shape { redeliver: true, ..in_mode(Delivery::ReliableOrdered) };
    let mut world = connected_as(Settings::default(), &shape);
    let id = world.say_for(Dialer, "chat", 10, 20_000);
    world.run(ms(100));
    let link = world.dialer.machine.attached().expect("a link");
    world.silence(link, secs(100));
    assert_eq!(heard(&mut world), [(0, 0)]);
    world.cut_now();
    world.restart_acceptor(0, None);
    world.run(secs(10));
    world.open(Acceptor, "chat", &shape);
    world.run(secs(60));
    assert_eq!(world.outcome(Dialer, id), Some(Outcome::Unknown));
}

#[test]
fn cancelled_before_it_left_it_is_over_at_once() {
    let mut world = in_order();
    world.net_up = false;
    world.cut_now();
    world.run(ms(1));
    let ids = [(); 3].map(|()| world.say(Dialer, "chat", 10));
    assert!(world.cancel(Dialer, ids[1]));
    assert_eq!(world.outcome(Dialer, ids[1]), Some(Outcome::Cancelled));
    assert!(!world.cancel(Dialer, ids[1]));
    world.net_up = true;
    world.run(secs(10));
    assert_eq!(heard(&mut world), [(0, 0), (2, 1)]);
}

#[test]
fn cancelled_on_the_way_or_untaken_it_is_not_handed_over() {
    for mode in RELIABLE {
        for wait in [0, 5, 15, 100] {
            let mut world = connected_as(Settings::default(), &in_mode(mode));
            let ids = [(); 2].map(|()| world.say(Dialer, "chat", 10));
            world.run(ms(wait));
            assert!(world.cancel(Dialer, ids[0]), "after {wait} ms");
            world.run(secs(1));
            let skipped = u64::from(mode.is_ordered());
            assert_eq!(heard(&mut world), [(1, skipped)], "after {wait} ms");
            world.run(secs(1));
            assert_eq!(outcomes(&mut world, &ids), [Some(Outcome::Cancelled), Some(Outcome::Handled)]);
        }
    }
}

#[test]
fn cancelled_too_late_the_peer_s_word_counts() {
    // The application has it in its hands, or has handled it and the word is on its way.
    for taken in [true, false] {
        let mut world = in_order();
        let id = world.say(Dialer, "chat", 10);
        world.run(ms(100));
        if taken {
            assert_eq!(world.take(Acceptor, "chat"), 1);
        } else {
            assert_eq!(heard(&mut world), [(0, 0)]);
        }
        assert!(world.cancel(Dialer, id));
        world.run(secs(1));
        if taken {
            assert_eq!(world.progress(Dialer, id), Progress::Received);
            world.settle_taken(Acceptor, "chat", 0);
            world.run(secs(1));
        }
        assert_eq!(world.outcome(Dialer, id), Some(Outcome::Handled), "taken: {taken}");
    }
}

#[test]
fn cancelled_it_is_not_sent_to_a_peer_that_forgot() {
    let shape = Shape { redeliver: true, ..in_mode(Delivery::ReliableOrdered) };
    let mut world = connected_as(Settings::default(), &shape);
    let ids = [(); 2].map(|()| world.say(Dialer, "chat", 10));
    world.run(ms(100));
    world.cut_now();
    assert!(world.cancel(Dialer, ids[0]));
    world.restart_acceptor(0, None);
    world.run(secs(10));
    world.open(Acceptor, "chat", &shape);
    world.run(secs(1));
    let first: Vec<u64> = heard(&mut world).into_iter().map(|(sequence, _)| sequence).collect();
    assert_eq!(first, [1]);
    assert_eq!(world.outcome(Dialer, ids[0]), Some(Outcome::Unknown));
}

#[test]
fn cancelled_twice_over_the_word_of_a_skip_is_told_again_as_a_whole() {
    // Several in a row, right at the floor, lost with one link and told of on the next two.
    let mut world = in_order();
    let ids = [(); 4].map(|()| world.say(Dialer, "chat", 10));
    world.settle();
    world.cut_now();
    ids[..3].iter().for_each(|&id| assert!(world.cancel(Dialer, id)));
    world.run(ms(55));
    world.cut_now();
    world.run(secs(10));
    assert_eq!(heard(&mut world), [(3, 3)]);
    world.run(secs(1));
    assert!(ids[..3].iter().all(|&id| world.outcome(Dialer, id) == Some(Outcome::Cancelled)));
}
