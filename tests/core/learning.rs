//! The interval between beats: learned, told to the peer, and spread over time (rules H1, H6 and H7).

use std::net::SocketAddr;

use bowline::config::Power;
use bowline::protocol::machine::Machine;
use bowline::protocol::types::{
    Event, Finding, HeartbeatReason, HeartbeatState, HeartbeatStats, Lifetime, LinkId, NetworkId,
};

use crate::link::Side;
use crate::scene::{connected, ms, secs};
use crate::world::{Settings, Who, World};

fn on(power: Power) -> World {
    let mut world = connected(Settings { adaptive: Some(power), ..Settings::default() }, &["chat"]);
    enter(&mut world, 1, None);
    world.forget_events();
    world
}

fn enter(world: &mut World, network: u8, remembered: Option<Lifetime>) {
    let network = NetworkId([network; 16]);
    world.with(Who::Dialer, |peer, _, now| peer.machine.enter_network(network, remembered, now));
}

fn finds(world: &mut World, silence_s: u64, finding: Finding) {
    world.probes.retain(|silence| *silence != secs(silence_s));
    world.with(Who::Dialer, |peer, _, now| peer.machine.handle_finding(secs(silence_s), finding, now));
}

fn heartbeat(world: &World) -> HeartbeatStats {
    world.dialer.machine.stats().heartbeat
}

fn beats(world: &World) -> u64 {
    world.dialer.machine.stats().beats_sent
}

#[test]
fn the_peer_hears_of_a_longer_interval_before_the_dialer_goes_by_it() {
    let mut world = on(Power::Mains);
    world.run(secs(31));
    assert_eq!(world.probes, [30, 45, 60, 90].map(secs));
    assert_eq!((heartbeat(&world).state, heartbeat(&world).interval), (HeartbeatState::Probe, secs(10)));
    // The beat that promises it is late.
    let link = world.dialer.machine.attached().expect("a link");
    let before = beats(&world);
    world.silence(link, ms(200));
    finds(&mut world, 60, Finding::Alive);
    world.run(ms(200));
    assert_eq!((beats(&world), heartbeat(&world).interval), (before + 1, secs(10)));
    world.run(secs(1));
    assert_eq!(heartbeat(&world).interval, secs(45));
    // The acceptor waits for one and a half of them, and not of the shorter one.
    let told = world.now;
    world.silence(link, secs(10_000));
    world.net_up = false;
    let offline = |world: &mut World| {
        let events = world.events(Side::Acceptor);
        events.iter().any(|event| matches!(event, Event::PeerOffline { .. }))
    };
    world.forget_events();
    assert!(world.run_until(secs(140), offline));
    let waited = world.now - told;
    assert!(waited > secs(65), "{waited:?}");
}

#[test]
fn a_shorter_interval_holds_at_once() {
    let mut world = on(Power::Mains);
    world.run(secs(31));
    for silence in [30, 30, 20, 20, 15, 15, 12, 12] {
        finds(&mut world, silence, Finding::Dead);
        world.run(ms(1));
    }
    // Eight may be survived; so much less than that is safe.
    assert_eq!(heartbeat(&world).interval, secs(3));
    let before = beats(&world);
    world.run(secs(30));
    assert!((10..=13).contains(&(beats(&world) - before)), "{} beats in 30 s", beats(&world) - before);
    finds(&mut world, 8, Finding::Alive);
    finds(&mut world, 9, Finding::Dead);
    world.run(ms(1));
    finds(&mut world, 9, Finding::Dead);
    world.run(ms(100));
    let stats = heartbeat(&world);
    assert_eq!((stats.state, stats.why), (HeartbeatState::Stable, HeartbeatReason::Learned));
    let known = Lifetime { survived: Some(secs(8)), forgotten: Some(secs(9)) };
    assert_eq!((stats.survived, stats.forgotten), (known.survived, known.forgotten));
    assert_eq!(world.learned, Some(Some(known)));
}

#[test]
fn on_battery_a_probe_begins_beside_a_beat_or_a_message() {
    let mut world = on(Power::Battery);
    // Beats came at 20 to 30 s; the one before the time is up begins nothing.
    world.run_until(secs(60), |world| !world.probes.is_empty());
    assert_eq!(world.probes, [secs(30)]);
    let quiet = world.now;
    finds(&mut world, 30, Finding::Alive);
    world.run(ms(100));
    assert_eq!(world.probes, [secs(45)], "the beat that tells of the longer interval was one");
    finds(&mut world, 45, Finding::Unclear);
    assert!(world.run_until(secs(200), |world| !world.probes.is_empty()), "{:?}", world.now - quiet);
    finds(&mut world, 45, Finding::Dead);
    world.run(secs(1));
    assert!(world.probes.is_empty(), "nothing has left or arrived");
    world.say(Side::Acceptor, "chat", 10);
    world.run(ms(100));
    assert_eq!(world.probes, [secs(45)]);
}

#[test]
fn in_the_background_nothing_is_probed_and_what_fails_says_nothing() {
    let mut world = on(Power::Mains);
    world.run(secs(31));
    assert_eq!(world.probes.len(), 4);
    world.with(Who::Dialer, |peer, _, _| peer.machine.going_to_background());
    for silence in [30, 45, 60, 90] {
        finds(&mut world, silence, Finding::Dead);
    }
    world.run(secs(600));
    assert!(world.probes.is_empty(), "{:?}", world.probes);
    assert_eq!((heartbeat(&world).forgotten, heartbeat(&world).state), (None, HeartbeatState::Probe));
    world.with(Who::Dialer, |peer, _, now| peer.machine.resumed(secs(600), now));
    world.run(secs(1));
    assert_eq!(world.probes.len(), 4);
}

#[test]
fn nothing_is_probed_while_the_path_is_in_doubt_or_the_session_ends() {
    let mut world = on(Power::Mains);
    let link = world.dialer.machine.attached().expect("a link");
    world.run(secs(25));
    world.silence(link, secs(10_000));
    world.net_up = false;
    world.run(secs(100));
    assert!(world.probes.is_empty(), "{:?}", world.probes);
    world.net_up = true;
    world.run(secs(100));
    enter(&mut world, 1, None);
    world.run(secs(31));
    assert_eq!(world.probes.len(), 4);
}

/// The acceptor sees another address.
fn change_address(world: &mut World, link: LinkId) {
    let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
    let change = |machine: &mut Machine| machine.handle_path_changed(link, address(1), address(2));
    world.with(world.on(Side::Acceptor), |peer, _, _| change(&mut peer.machine));
}

/// The acceptor sees another address when it hears the next beat after a rest.
fn changes_with_a_beat(world: &mut World, link: LinkId) {
    let beats = |world: &World| world.dialer.machine.stats().beats_received;
    let before = beats(world);
    // The first beat of a link follows no rest.
    assert!(world.run_until(secs(100), |world| beats(world) > before + 1));
    change_address(world, link);
    world.run(secs(1));
}

#[test]
fn addresses_that_change_without_the_dialers_doing_are_lost_mappings() {
    let mut world = on(Power::Mains);
    let link = world.dialer.machine.attached().expect("a link");
    // Under traffic it says nothing of time.
    for _ in 0..2 {
        world.say(Side::Dialer, "chat", 10);
        world.run(ms(500));
        change_address(&mut world, link);
        world.run(ms(500));
    }
    assert_eq!((heartbeat(&world).mappings_lost, heartbeat(&world).why), (2, HeartbeatReason::NewNetwork));
    changes_with_a_beat(&mut world, link);
    assert_eq!((heartbeat(&world).mappings_lost, heartbeat(&world).why), (3, HeartbeatReason::NewNetwork));
    // The dialer takes another socket, and lives.
    world.run(secs(5));
    world.with(Who::Dialer, |peer, _, now| peer.machine.network_changed(now));
    world.run(secs(1));
    let moved = world.dialer.machine.attached().expect("a link");
    assert_ne!(moved, link, "it has another link as well");
    enter(&mut world, 1, None);
    for lost in [4, 5] {
        changes_with_a_beat(&mut world, moved);
        assert_eq!(heartbeat(&world).mappings_lost, lost);
    }
    let stats = heartbeat(&world);
    assert_eq!((stats.state, stats.why), (HeartbeatState::Probe, HeartbeatReason::MappingsLost));
    assert_eq!((stats.interval, world.learned), (secs(5), Some(None)));
}

#[test]
fn a_socket_that_the_dialer_replaced_is_no_lost_mapping() {
    let mut world = on(Power::Mains);
    let link = world.dialer.machine.attached().expect("a link");
    // Five answers are missing, so that the socket is replaced before the link is given up.
    world.silence(link, ms(15_500));
    world.net_up = false;
    let mut suspect = secs(0);
    while world.events(Side::Dialer).is_empty() {
        world.run(ms(10));
        suspect += ms(10);
    }
    // Four probes, 100 ms apart, and the one from the new socket.
    world.run(ms(420));
    world.silence(link, ms(1));
    world.run(secs(2));
    assert_eq!(world.events(Side::Dialer), [Event::Suspect, Event::Recovered], "after {suspect:?}");
    for lost in [0, 1] {
        change_address(&mut world, link);
        world.run(secs(1));
        assert_eq!(heartbeat(&world).mappings_lost, lost);
    }
}

#[test]
fn what_was_learned_elsewhere_is_not_believed_here() {
    let mut world = on(Power::Mains);
    let known = Lifetime { survived: Some(secs(120)), forgotten: None };
    enter(&mut world, 2, Some(known));
    assert_eq!(
        (heartbeat(&world).why, heartbeat(&world).survived),
        (HeartbeatReason::Remembered, Some(secs(120)))
    );
    world.run(ms(100));
    assert_eq!(heartbeat(&world).interval, secs(60));
    world.with(Who::Dialer, |peer, _, now| peer.machine.network_changed(now));
    world.run(secs(1));
    assert_eq!((heartbeat(&world).interval, heartbeat(&world).survived), (secs(10), None));
    assert!(world.probes.is_empty(), "{:?}", world.probes);
}

#[test]
fn a_thousand_dialers_that_attach_together_do_not_beat_together() {
    let mut worlds: Vec<World> = (0..1000).map(|seed| World::new(Settings::default(), seed)).collect();
    let total = |worlds: &[World]| worlds.iter().map(beats).sum::<u64>();
    let in_seconds = |worlds: &mut [World], seconds: usize| -> Vec<u64> {
        let mut counts = Vec::new();
        for _ in 0..seconds {
            let before = total(worlds);
            worlds.iter_mut().for_each(|world| world.run(secs(1)));
            counts.push(total(worlds) - before);
        }
        counts
    };
    worlds.iter_mut().for_each(|world| world.run(secs(3)));
    assert!(worlds.iter().all(|world| world.dialer.machine.attached().is_some()));
    let first = in_seconds(&mut worlds, 30);
    worlds.iter_mut().for_each(|world| world.run(secs(267)));
    let later = in_seconds(&mut worlds, 15);
    println!("beats of 1,000 dialers in each second: {first:?}; after five minutes: {later:?}");
    assert!(first.iter().all(|count| *count <= 250), "{first:?}");
    assert!(later.iter().all(|count| (35..=110).contains(count)), "{later:?}");
}
