//! Time: heartbeat, suspicion, dialing again, expiry, services that stall (rules H1, H4, H8, T2, T3, T5).

use bowline::protocol::types::{Event, SessionState};
use bowline::wire::Health;

use crate::link::Side;
use crate::scene::{connected, ms, secs};
use crate::settings::Settings;

/// The one link that is attached on the dialing side.
fn link(world: &crate::world::World) -> bowline::protocol::types::LinkId {
    world.dialer.machine.attached().expect("a link")
}

#[test]
fn life_a_racing_attempt_that_fails_leaves_the_recovered_link_alone() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    let first = link(&world);
    world.silence(first, secs(1000));
    // Dead after 15 s and six answers; the racing link hangs as well, and the old one recovers while it does.
    world.run_until(secs(40), |world| world.links.len() > 1);
    let second = world.links.keys().copied().max().expect("a link");
    world.silence(second, secs(1000));
    world.silence(first, ms(500));
    world.net_up = false;
    world.run(secs(300));
    let events = world.events(Side::Dialer);
    assert!(events.contains(&Event::Recovered), "{events:?}");
    assert!(!events.contains(&Event::GaveUp), "{events:?}");
    assert_eq!(link(&world), first);
    assert_eq!(world.dialer.machine.state(), SessionState::Connected);
    world.say(Side::Dialer, "chat", 10);
    world.run(ms(100));
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
}

#[test]
fn life_a_service_that_takes_nothing_is_told_from_both_sides() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    world.say(Side::Dialer, "chat", 10);
    world.run(ms(4900));
    assert_eq!(world.events(Side::Dialer), []);
    world.run(ms(500));
    assert_eq!(world.events(Side::Dialer), [Event::Service(Health::Stalled)]);
    // The acceptor's own verdict travels with its next answer, and agrees.
    world.run(secs(20));
    assert_eq!(world.events(Side::Dialer), [Event::Service(Health::Stalled)]);
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
    world.run(ms(100));
    assert_eq!(world.events(Side::Dialer).last(), Some(&Event::Service(Health::Serving)));
    assert_eq!(world.dialer.machine.stats().liveness.service, Health::Serving);
}

#[test]
fn life_a_peer_that_forgot_is_no_stalled_service() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.say(Side::Dialer, "chat", 10);
    world.run(secs(1));
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(1));
    world.forget_events();
    world.run(secs(20));
    assert_eq!(world.events(Side::Dialer), []);
}
