//! Applications that take no messages, and those that only look like it (rule H8).

use bowline::config::Delivery;
use bowline::protocol::types::Event;
use bowline::wire::Health;

use crate::link::{Side, Weather};
use crate::scene::{BOTH, connected, connected_as, in_mode, ms, secs};
use crate::world::{Settings, World};

const STALLED: Event = Event::Service(Health::Stalled);
const OWN_STALLED: Event = Event::OwnService(Health::Stalled);

/// One side says something every tenth of a second, and the other takes nothing. When the speaker learns of that.
fn noticed_in(mode: Delivery, speaker: Side) -> std::time::Duration {
    let mut world = connected_as(Settings::default(), &in_mode(mode));
    world.forget_events();
    let begun = world.now;
    while !world.events(speaker).contains(&STALLED) {
        world.say(speaker, "chat", 10);
        world.run(ms(100));
        assert!(world.now < begun + secs(20), "{mode}: the {speaker:?} was told nothing");
    }
    assert_eq!(world.events(speaker), [STALLED], "{mode}");
    assert_eq!(world.events(speaker.other()), [OWN_STALLED], "{mode}");
    let noticed = world.now - begun;
    world.hear(speaker.other(), "chat");
    world.run(ms(100));
    assert_eq!(world.events(speaker), [STALLED, Event::Service(Health::Serving)], "{mode}");
    assert_eq!(world.events(speaker.other()), [OWN_STALLED, Event::OwnService(Health::Serving)], "{mode}");
    noticed
}

#[test]
fn service_that_takes_nothing_is_told_of_at_both_sides_in_every_mode() {
    let modes = [
        Delivery::ReliableOrdered,
        Delivery::ReliableUnordered,
        Delivery::ReliableLatest,
        Delivery::Unreliable,
        Delivery::UnreliableSequenced,
    ];
    for (mode, speaker) in modes.into_iter().flat_map(|mode| BOTH.map(|side| (mode, side))) {
        let noticed = noticed_in(mode, speaker);
        assert!(noticed <= ms(5200), "{mode}: the {speaker:?} learns of it after {noticed:?}");
    }
}

#[test]
fn service_that_does_not_take_a_single_message_is_told_of() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    world.say(Side::Dialer, "chat", 10);
    world.run(ms(4900));
    assert_eq!((world.events(Side::Dialer), world.events(Side::Acceptor)), (vec![], vec![]));
    world.run(ms(200));
    assert_eq!(
        (world.events(Side::Dialer), world.events(Side::Acceptor)),
        (vec![STALLED], vec![OWN_STALLED])
    );
    world.run(secs(20));
    assert_eq!(world.events(Side::Dialer), [STALLED], "it was said already");
    assert_eq!(world.hear(Side::Acceptor, "chat"), [0]);
    world.run(ms(100));
    assert_eq!(world.events(Side::Dialer).last(), Some(&Event::Service(Health::Serving)));
    assert_eq!(world.dialer.machine.stats().liveness.service, Health::Serving);
}

#[test]
fn service_news_that_is_lost_is_said_again() {
    let weather = Weather { datagram_loss: 60, ..Weather::CALM };
    for seed in 0..20 {
        let mut world = connected(Settings::default(), &["chat"]);
        world.forget_events();
        world.rng = crate::rng::Rng::new(seed);
        world.settings.weather = weather;
        let told = |world: &mut World, health| world.events(Side::Dialer).contains(&Event::Service(health));
        for health in [Health::Busy, Health::Draining, Health::Serving] {
            world.with(world.on(Side::Acceptor), |peer, _, now| peer.machine.set_health(health, now));
            assert!(world.run_until(secs(14), |world| told(world, health)), "seed {seed}: {health:?}");
        }
    }
}

#[test]
fn service_that_says_how_it_is_is_heard_at_once() {
    for side in BOTH {
        // No ordinary beat is due.
        let quiet = Settings { heartbeat: secs(60), ..Settings::default() };
        let mut world = connected(quiet, &["chat"]);
        world.forget_events();
        world.with(world.on(side), |peer, _, now| peer.machine.set_health(Health::Draining, now));
        world.run(ms(50));
        assert_eq!(world.events(side.other()), [Event::Service(Health::Draining)], "{side:?}");
        let beats = |world: &mut World| {
            world.with(world.on(side), |peer, _, _| peer.machine.stats().beats_sent).expect("a peer")
        };
        let before = beats(&mut world);
        world.run(secs(10));
        assert_eq!(beats(&mut world), before, "{side:?}: it was heard, and is not said again");
    }
}

#[test]
fn service_that_works_on_a_message_for_long_is_not_stalled() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    world.say(Side::Dialer, "chat", 10);
    world.run(secs(1));
    assert_eq!(world.take(Side::Acceptor, "chat"), 1);
    world.run(secs(30));
    assert_eq!((world.events(Side::Dialer), world.events(Side::Acceptor)), (vec![], vec![]));
}

#[test]
fn service_of_a_process_that_is_stopped_is_not_judged() {
    for stopped in BOTH {
        let mut world = connected(Settings::default(), &["chat"]);
        world.forget_events();
        world.say(stopped.other(), "chat", 10);
        world.run(secs(1));
        world.stop(world.on(stopped), secs(60));
        world.run(secs(50));
        let events = world.events(stopped.other());
        assert!(events.contains(&Event::Suspect), "{stopped:?}: {events:?}");
        assert!(!events.iter().any(|event| matches!(event, Event::Service(_))), "{stopped:?}: {events:?}");
    }
}

#[test]
fn service_whose_messages_expire_untaken_has_nothing_to_take() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.forget_events();
    world.say_for(Side::Dialer, "chat", 10, 2000);
    world.run(secs(20));
    assert_eq!(world.events(Side::Acceptor), []);
    world.say_for(Side::Dialer, "chat", 10, 8000);
    world.run(secs(20));
    assert_eq!(world.events(Side::Acceptor), [OWN_STALLED, Event::OwnService(Health::Serving)]);
}

#[test]
fn service_of_a_peer_that_forgot_is_not_stalled() {
    let mut world = connected(Settings::default(), &["chat"]);
    world.say(Side::Dialer, "chat", 10);
    world.run(secs(1));
    world.restart_acceptor(0, Some(ms(0)));
    world.run(secs(1));
    world.forget_events();
    world.run(secs(20));
    assert_eq!(world.events(Side::Dialer), []);
}
