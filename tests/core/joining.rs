//! A Hello that nobody answers has another connection made beside it (rule T5).

use std::time::Duration;

use bowline::protocol::types::{Event, LinkId, LinkSample};

use crate::link::Side;
use crate::scene::{connected, ms, secs};
use crate::world::{Settings, World};

/// The link is lost, and of the next one nothing arrives for so long. When it was made the world stops.
fn unanswered(silence: Duration) -> (World, LinkId) {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    world.say(Side::Dialer, "chat", 10);
    let former = attached(&world);
    world.cut_now();
    assert!(world.run_until(secs(1), |world| newest(world) > former));
    let link = newest(&world).expect("a link");
    world.silence(link, silence);
    (world, link)
}

fn newest(world: &World) -> Option<LinkId> {
    world.links.keys().copied().max()
}

fn attached(world: &World) -> Option<LinkId> {
    world.dialer.machine.attached()
}

#[test]
fn joining_a_hello_that_is_not_answered_has_another_link_say_one() {
    let (mut world, silent) = unanswered(secs(1000));
    assert!(!world.run_until(ms(249), |world| world.tally.dials > 2), "it waits for a while");
    assert!(world.run_until(ms(2), |world| world.tally.dials == 3), "no longer than that");
    // Two ways for the handshake, two for Hello and Welcome, and the message.
    world.run(ms(60));
    assert!(attached(&world).is_some_and(|link| link != silent), "{:?}", attached(&world));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
    world.run(secs(5));
    assert_eq!(world.tally.dials, 3);
}

#[test]
fn joining_other_timers_make_no_connection() {
    let (mut world, _) = unanswered(secs(1000));
    (1..24).for_each(|n| _ = world.say_for(Side::Dialer, "chat", 10, 10 * n));
    assert!(!world.run_until(ms(249), |world| world.tally.dials > 2));
}

#[test]
fn joining_where_a_round_trip_takes_long_it_waits_for_three_of_them() {
    let mut world = connected(Settings::default(), &["chat"]);
    let sample = LinkSample { rtt: ms(200), ..LinkSample::default() };
    let link = attached(&world).expect("a link");
    world.dialer.machine.handle_link_sample(link, sample, world.now);
    world.cut_now();
    assert!(world.run_until(secs(1), |world| newest(world) > Some(link)));
    newest(&world).into_iter().for_each(|link| world.silence(link, secs(1000)));
    assert!(!world.run_until(ms(599), |world| world.tally.dials > 2));
    assert!(world.run_until(ms(2), |world| world.tally.dials == 3));
}

#[test]
fn joining_a_late_welcome_is_taken_while_the_other_connection_is_being_made() {
    let (mut world, late) = unanswered(ms(245));
    // Its Welcome arrives 10 ms later: the other handshake takes 20 from 250 on.
    world.run(secs(5));
    assert_eq!(attached(&world), Some(late));
    assert_eq!(world.tally.dials, 3);
    assert_eq!(world.events(Side::Dialer).last(), Some(&Event::Resumed { replayed: 1 }));
}

#[test]
fn joining_a_second_connection_that_comes_to_nothing_leaves_the_first() {
    let (mut world, late) = unanswered(ms(900));
    world.net_up = false;
    world.run(secs(5));
    assert_eq!(attached(&world), Some(late));
    assert_eq!(world.tally.dials, 3);
}

#[test]
fn joining_nobody_knocks_twice_a_second_at_a_peer_that_never_welcomes() {
    let (mut world, _) = unanswered(secs(1000));
    for _ in 0..4000 {
        newest(&world).into_iter().for_each(|link| world.silence(link, secs(1000)));
        world.run(ms(10));
    }
    // The first ever, and four attempts with a second connection each.
    assert_eq!((world.tally.dials, attached(&world)), (9, None));
}
