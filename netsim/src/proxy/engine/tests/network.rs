//! What happens to the network, and to the mappings in it.

use std::collections::BTreeMap;

use super::*;
use crate::scenario::{Access, Step};

#[test]
fn a_rebind_silences_the_server_until_each_client_speaks_from_another_socket() {
    let mut engine = clean();
    let (one, two) = (map(&mut engine, at(0), client(1)), map(&mut engine, at(0), client(2)));
    assert_eq!(engine.rebind(at(10)), 2);
    assert!(!reaches(&mut engine, at(11), one, client(1)));
    assert!(!reaches(&mut engine, at(11), two, client(2)));
    let new = map(&mut engine, at(12), client(1));
    assert_ne!(new, one);
    assert!(reaches(&mut engine, at(13), new, client(1)));
    assert!(!reaches(&mut engine, at(13), one, client(1)), "the old socket hears in vain");
    assert!(!reaches(&mut engine, at(13), two, client(2)), "the other one has not spoken yet");
    let status = engine.status(at(14));
    assert_eq!((status.rebinds, status.expiries, status.mappings, status.mappings_made), (1, 0, 1, 3));
    assert_eq!(status.down.dropped.nat_unmapped, 4);
    assert_eq!(engine.take_events(), [Event::Rebound { mappings: 2 }]);
    assert_eq!(engine.rebind(at(20)), 1);
    assert_eq!(engine.rebind(at(21)), 0, "those that have not spoken since have nothing to lose");
}

#[test]
fn an_expired_mapping_is_silent_until_the_client_speaks() {
    let scenario = Scenario::new("short", Duration::from_secs(600))
        .nat(NatConfig::new().timeout(Duration::from_secs(30)));
    let mut engine = playing(scenario);
    let old = map(&mut engine, at(0), client(1));
    // Only what comes from inside refreshes this one.
    assert_eq!(map(&mut engine, at(20_000), client(1)), old);
    assert!(reaches(&mut engine, at(40_000), old, client(1)));
    assert!(reaches(&mut engine, at(49_999), old, client(1)));
    assert_eq!(engine.take_events(), []);
    assert!(!reaches(&mut engine, at(50_000), old, client(1)));
    assert_eq!(engine.take_events(), [Event::Expired { mappings: 1 }]);
    let new = map(&mut engine, at(60_000), client(1));
    assert_ne!(new, old, "the port is the same inside, but not the socket");
    assert!(reaches(&mut engine, at(60_001), new, client(1)));
    assert!(!reaches(&mut engine, at(60_001), old, client(1)));
    let status = engine.status(at(60_001));
    assert_eq!((status.expiries, status.rebinds, status.mappings), (1, 0, 1));
}

#[test]
fn a_mapping_expires_without_any_packet_and_says_so_in_time() {
    let nat = NatConfig::new().timeout(Duration::from_secs(30));
    let mut engine = playing(Scenario::new("short", Duration::from_secs(600)).nat(nat));
    map(&mut engine, at(1_000), client(1));
    assert_eq!(engine.next_wakeup(), Some(at(31_000)));
    until(&mut engine, at(31_000));
    assert_eq!(engine.take_events(), [Event::Expired { mappings: 1 }]);
    assert_eq!(engine.next_wakeup(), Some(Time::from_secs(600)));
}

#[test]
fn another_clients_port_is_not_reached_through_a_dead_socket() {
    let nat = NatConfig::new().timeout(Duration::from_secs(30));
    let mut engine = playing(Scenario::new("short", Duration::from_secs(600)).nat(nat));
    let (one, two) = (addr("192.0.2.1:7000"), addr("192.0.2.2:7000"));
    let dead = map(&mut engine, at(0), one);
    // The second client gets the outside port that the first one had.
    let alive = map(&mut engine, at(40_000), two);
    assert!(!reaches(&mut engine, at(40_001), dead, one));
    assert!(reaches(&mut engine, at(40_001), alive, two));
}

#[test]
fn both_nats_of_a_carrier_expire_and_the_shorter_one_decides() {
    let mut engine = playing(Scenario::cgn_30s());
    say_up(&mut engine, at(0), client(1));
    let seen = until(&mut engine, at(20));
    let id = seen.server[0].0;
    say_down(&mut engine, at(29_000), id);
    assert_eq!(until(&mut engine, at(29_500)).clients.len(), 1);
    say_down(&mut engine, at(30_021), id);
    assert_eq!(until(&mut engine, at(31_000)).clients.len(), 0);
    assert_eq!(engine.status(at(31_000)).expiries, 1);
}

#[test]
fn expire_and_reset_and_scenarios_treat_living_mappings_as_they_say() {
    let mut engine = clean();
    let first = map(&mut engine, at(0), client(1));
    engine.play(at(10), Scenario::super_sim()).unwrap();
    engine.set(at(10), Side::Both, &Conditions::new().delay(ms(0))).unwrap();
    assert!(reaches(&mut engine, at(11), first, client(1)), "the mapping goes on in the scenario's NAT");
    engine.reset(at(20)).unwrap();
    assert_eq!(map(&mut engine, at(21), client(1)), first, "and in the clean one");
    assert!(reaches(&mut engine, Time::from_secs(10_000), first, client(1)), "where nothing expires");
    let now = Time::from_secs(10_001);
    assert_eq!(engine.expire(now), 1);
    assert!(!reaches(&mut engine, now, first, client(1)));
    assert_ne!(map(&mut engine, now, client(1)), first);
    assert_eq!(engine.status(now).expiries, 1);
    let names: Vec<_> = engine.take_events();
    assert_eq!(names.first(), Some(&Event::Scenario { name: "super-sim".into(), duration_ms: 120_000 }));
    assert!(names.contains(&Event::Reset) && names.contains(&Event::Expired { mappings: 1 }));
}

#[test]
fn a_scenario_that_is_begun_later_runs_from_then() {
    let scenario = Scenario::new("later", Duration::from_secs(30)).step(
        Step::at(Duration::from_secs(5)).lasting(Duration::from_secs(2)).up(Conditions::new().block(true)),
    );
    let mut engine = clean();
    map(&mut engine, at(100_000), client(1));
    engine.play(at(100_000), scenario).unwrap();
    let mut arrived = BTreeMap::new();
    for second in 0..35 {
        let now = at(100_500 + second * 1_000);
        say_up(&mut engine, now, client(1));
        arrived.insert(second, !until(&mut engine, now).server.is_empty());
    }
    let lost: Vec<_> =
        arrived.into_iter().filter(|(_, arrived)| !arrived).map(|(second, _)| second).collect();
    assert_eq!(lost, [5, 6]);
    assert_eq!(
        engine.take_events(),
        [
            Event::Scenario { name: "later".into(), duration_ms: 30_000 },
            Event::Blocked { direction: Direction::Up, for_ms: None },
            Event::Unblocked { direction: Direction::Up },
            Event::ScenarioEnded { name: "later".into() },
        ]
    );
    let playing = engine.status(at(135_000)).scenario.unwrap();
    assert_eq!((playing.name.as_str(), playing.at), ("later", Duration::from_secs(35)));
}

#[test]
fn the_lift_blocks_for_the_time_that_the_virtual_world_draws_and_gives_another_port() {
    let mut path = Scenario::elevator().build(7).unwrap();
    while path.world.pop(Time::from_secs(150)).is_some() {}
    let opens = path.world.happenings().last().unwrap().at;
    let mut engine =
        Engine::new(addr(SERVER), Options::new().seed(7).scenario(Scenario::elevator())).unwrap();
    say_up(&mut engine, at(0), client(1));
    let before = until(&mut engine, at(9_999)).server[0].0;
    until(&mut engine, opens);
    let events = engine.take_events();
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Blocked { .. })).count(), 2);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Unblocked { .. })).count(), 2);
    assert!(events.contains(&Event::Rebound { mappings: 1 }), "{events:?}");
    say_up(&mut engine, opens, client(1));
    let after = until(&mut engine, opens + ms(100)).server[0].0;
    assert_ne!(before, after);
}

#[test]
fn out_of_the_door_there_is_nothing_and_then_another_address() {
    let lte = Access::new().both(Conditions::new().delay(ms(30))).nat(NatConfig::linux());
    let scenario = Scenario::new("move", Duration::from_secs(60))
        .both(Conditions::new().delay(ms(10)))
        .nat(NatConfig::linux())
        .other(lte)
        .step(Step::at(Duration::from_secs(5)).move_after(Duration::from_secs(2), Duration::from_secs(2)));
    let mut engine = playing(scenario);
    say_up(&mut engine, at(0), client(1));
    let before = until(&mut engine, at(4_000)).server[0].0;
    say_up(&mut engine, at(4_995), client(1));
    say_down(&mut engine, at(4_995), before);
    let seen = until(&mut engine, at(5_500));
    assert_eq!(
        (seen.server.len(), seen.clients.len()),
        (1, 0),
        "what left in time arrives; nobody is there to hear"
    );
    say_up(&mut engine, at(6_000), client(1));
    say_down(&mut engine, at(6_999), before);
    assert_eq!(until(&mut engine, at(7_500)), Seen::default());
    say_down(&mut engine, at(7_600), before);
    assert_eq!(until(&mut engine, at(7_700)), Seen::default(), "nothing goes to the old address");
    say_up(&mut engine, at(8_000), client(1));
    let seen = until(&mut engine, at(9_000));
    assert_eq!(seen.server[0].1, at(8_030));
    assert_ne!(seen.server[0].0, before);
    let status = engine.status(at(9_000));
    assert_eq!((status.up.dropped.network_gone, status.down.dropped.network_gone), (1, 2));
    balance(&status.up);
    balance(&status.down);
    let events = engine.take_events();
    assert!(events.contains(&Event::Left) && events.contains(&Event::Arrived));
}

#[test]
fn a_block_is_of_its_direction_and_ends_by_itself_or_by_word() {
    let mut engine = clean();
    let id = map(&mut engine, at(0), client(1));
    let open = |engine: &mut Engine, now| {
        say_up(engine, now, client(1));
        let up = !until(engine, now).server.is_empty();
        (up, reaches(engine, now, id, client(1)))
    };
    assert_eq!(open(&mut engine, at(1)), (true, true));
    engine.block(at(10), Side::Up, None);
    assert_eq!(open(&mut engine, at(1_000_000)), (false, true));
    engine.block(at(1_000_000), Side::Down, Some(ms(500)));
    assert_eq!(open(&mut engine, at(1_000_499)), (false, false));
    assert_eq!(open(&mut engine, at(1_000_500)), (false, true));
    engine.unblock(at(1_000_600), Side::Both);
    assert_eq!(open(&mut engine, at(1_000_600)), (true, true));
    engine.block(at(1_000_700), Side::Both, Some(ms(50)));
    assert_eq!(engine.next_wakeup(), Some(at(1_000_750)));
    assert_eq!(open(&mut engine, at(1_000_749)), (false, false));
    assert_eq!(open(&mut engine, at(1_000_750)), (true, true));
    let (up, down) = (Direction::Up, Direction::Down);
    assert_eq!(
        engine.take_events(),
        [
            Event::Blocked { direction: up, for_ms: None },
            Event::Blocked { direction: down, for_ms: Some(500) },
            Event::Unblocked { direction: down },
            Event::Unblocked { direction: up },
            Event::Blocked { direction: up, for_ms: Some(50) },
            Event::Blocked { direction: down, for_ms: Some(50) },
            Event::Unblocked { direction: up },
            Event::Unblocked { direction: down },
        ]
    );
}

#[test]
fn a_commands_block_outlasts_the_scenarios_and_unblock_ends_both() {
    let hole = || Conditions::new().block(true);
    let scenario = Scenario::new("holes", Duration::from_secs(60))
        .step(Step::at(Duration::from_secs(1)).lasting(Duration::from_secs(1)).both(hole()))
        .step(Step::at(Duration::from_secs(10)).lasting(Duration::from_secs(10)).both(hole()));
    let mut engine = playing(scenario);
    engine.block(at(1_500), Side::Both, Some(ms(1_500)));
    assert!(engine.status(at(2_500)).up.blocked, "the step is over, the command is not");
    assert!(!engine.status(at(3_000)).up.blocked);
    assert!(engine.status(at(11_000)).up.blocked);
    engine.unblock(at(12_000), Side::Up);
    let status = engine.status(at(12_000));
    assert!(!status.up.blocked && status.down.blocked);
}
