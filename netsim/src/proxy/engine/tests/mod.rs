//! The proxy in virtual time: no socket, no clock.

mod network;

use super::*;
use crate::nat::NatConfig;

const SERVER: &str = "198.51.100.1:443";
const PROXY: &str = "127.0.0.1:9000";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn client(number: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 5000 + number))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn clean() -> Engine {
    Engine::new(addr(SERVER), Options::new()).unwrap()
}

fn playing(scenario: Scenario) -> Engine {
    Engine::new(addr(SERVER), Options::new().scenario(scenario)).unwrap()
}

/// What came out: at the server by mapping, at the clients.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    server: Vec<(MappingId, Time, Bytes)>,
    clients: Vec<(SocketAddr, Time, Bytes)>,
    closed: Vec<MappingId>,
}

/// Takes out what is due by then, at the moment when it is due.
fn until(engine: &mut Engine, end: Time) -> Seen {
    let mut seen = Seen::default();
    while let Some(now) = engine.next_wakeup().filter(|now| *now <= end) {
        while let Some(output) = engine.pop(now) {
            match output {
                Output::ToServer { mapping, datagram, .. } => {
                    engine.sent(Direction::Up, datagram.entered, now, datagram.payload.len());
                    seen.server.push((mapping, now, datagram.payload));
                }
                Output::ToClient { client, datagram, .. } => {
                    engine.sent(Direction::Down, datagram.entered, now, datagram.payload.len());
                    seen.clients.push((client, now, datagram.payload));
                }
                Output::Close(id) => seen.closed.push(id),
            }
        }
    }
    engine.advance(end);
    seen
}

fn say_up(engine: &mut Engine, now: Time, from: SocketAddr) {
    engine.client_sent(now, from, addr(PROXY), Ecn::Ect0, Bytes::from_static(b"up"));
}

fn say_down(engine: &mut Engine, now: Time, mapping: MappingId) {
    engine.server_sent(now, mapping, Ecn::Ect0, Bytes::from_static(b"down"));
}

/// The mapping by which this client's packet reaches the server at once.
#[track_caller]
fn map(engine: &mut Engine, now: Time, from: SocketAddr) -> MappingId {
    say_up(engine, now, from);
    let seen = until(engine, now);
    assert_eq!(seen.server.len(), 1, "{seen:?}");
    seen.server[0].0
}

/// Whether what the server says to this mapping reaches the client.
fn reaches(engine: &mut Engine, now: Time, mapping: MappingId, who: SocketAddr) -> bool {
    say_down(engine, now, mapping);
    let seen = until(engine, now);
    assert!(seen.clients.iter().all(|(client, ..)| *client == who), "{seen:?}");
    !seen.clients.is_empty()
}

/// Everything is accounted for.
fn balance(traffic: &super::super::Traffic) {
    let came = traffic.packets_in + traffic.duplicated;
    assert_eq!(came, traffic.packets_out + traffic.dropped.sum() + traffic.held, "{traffic:?}");
}

#[test]
fn a_clean_network_passes_everything_at_once_for_ever() {
    let mut engine = clean();
    let ids: Vec<_> = (0..100).map(|number| map(&mut engine, at(1), client(number))).collect();
    let year = Time::from_secs(365 * 86_400);
    for (number, id) in (0..).zip(&ids) {
        assert!(reaches(&mut engine, year, *id, client(number)));
    }
    let status = engine.status(year);
    assert_eq!((status.mappings, status.mappings_made, status.expiries), (100, 100, 0));
    assert_eq!((status.up.packets_out, status.down.packets_out), (100, 100));
    assert_eq!(engine.take_events(), []);
}

#[test]
fn delays_are_exact_in_each_direction() {
    let mut engine = clean();
    engine.set(at(0), Side::Up, &Conditions::new().delay(ms(20))).unwrap();
    engine.set(at(0), Side::Down, &Conditions::new().delay(ms(35))).unwrap();
    say_up(&mut engine, at(5), client(0));
    let seen = until(&mut engine, at(100));
    assert_eq!(seen.server.len(), 1);
    assert_eq!(seen.server[0].1, at(25));
    say_down(&mut engine, at(100), seen.server[0].0);
    let seen = until(&mut engine, at(1_000));
    assert_eq!(seen.clients, [(client(0), at(135), Bytes::from_static(b"down"))]);
    let status = engine.status(at(1_000));
    let (up, down) = (status.up.delay_ms.unwrap(), status.down.delay_ms.unwrap());
    assert!((up.p50 - 20.0).abs() < 0.1 && (down.p50 - 35.0).abs() < 0.1, "{up:?} {down:?}");
}

#[test]
fn the_same_seed_loses_the_same_packets_and_the_share_is_as_asked() {
    let run = |seed| {
        let mut engine = Engine::new(addr(SERVER), Options::new().seed(seed)).unwrap();
        engine.set(at(0), Side::Both, &Conditions::new().loss(20.0)).unwrap();
        let mut arrived = Vec::new();
        for number in 0..5_000_u64 {
            engine.client_sent(
                at(number),
                client(0),
                addr(PROXY),
                Ecn::NotEct,
                number.to_be_bytes().to_vec().into(),
            );
            arrived.extend(until(&mut engine, at(number)).server.into_iter().map(|(.., payload)| payload));
        }
        let status = engine.status(at(5_000));
        balance(&status.up);
        assert_eq!(status.up.packets_out, arrived.len() as u64);
        (arrived, status.up.loss_percent)
    };
    let (arrived, loss) = run(7);
    assert!((18.0..22.0).contains(&loss), "{loss}");
    assert_eq!(run(7).0, arrived);
    assert_ne!(run(8).0, arrived);
}

#[test]
fn its_luck_is_that_of_the_virtual_world() {
    let scenario = Scenario::new("lossy", Duration::from_secs(60)).both(Conditions::new().loss(10.0));
    let (mut path, mut engine) = (scenario.build(3).unwrap(), playing(scenario));
    let mut engine_seed_3 =
        Engine::new(addr(SERVER), Options::new().seed(3).scenario(engine.scenario.take().unwrap().scenario))
            .unwrap();
    let from = (path.world.source_address(path.clients[0], path.server_address).unwrap(), 5000).into();
    let to = (path.server_address, 443).into();
    let (mut world, mut proxy) = (Vec::new(), Vec::new());
    for number in 0..1_000 {
        path.world.send(at(number), path.clients[0], Packet::new(from, to, "up"));
        world.push(path.world.pop(at(number)).is_some());
        say_up(&mut engine_seed_3, at(number), client(0));
        proxy.push(!until(&mut engine_seed_3, at(number)).server.is_empty());
    }
    assert!(world.contains(&false));
    assert_eq!(world, proxy);
}

#[test]
fn impossible_conditions_change_nothing() {
    let mut engine = clean();
    let refused =
        |engine: &mut Engine, change| engine.set(at(0), Side::Both, &change).unwrap_err().to_string();
    assert!(refused(&mut engine, Conditions::new().loss(140.0)).contains("loss = 140 % is impossible"));
    engine.set(at(0), Side::Down, &Conditions::new().loss(90.0)).unwrap();
    assert!(refused(&mut engine, Conditions::new().burst(2.0)).contains("too short"));
    let status = engine.status(at(0));
    assert_eq!(status.up.conditions, Way::new(Direction::Up, 1).traffic().conditions);
    let short = Scenario::new("bad", Duration::from_secs(1)).nat(NatConfig::new().timeout(Duration::ZERO));
    assert!(engine.play(at(1), short).unwrap_err().to_string().contains("nat timeout = 0s is impossible"));
    assert_eq!(engine.status(at(1)).scenario, None);
}

#[test]
fn mappings_are_limited_and_the_dead_make_room() {
    let mut engine = Engine::new(addr(SERVER), Options::new().max_mappings(3)).unwrap();
    let ids: Vec<_> = (0..3).map(|number| map(&mut engine, at(0), client(number))).collect();
    for _ in 0..2 {
        say_up(&mut engine, at(1), client(9));
        assert_eq!(until(&mut engine, at(1)), Seen::default());
    }
    assert_eq!(engine.take_events(), [Event::MappingsFull { limit: 3 }], "said once");
    engine.rebind(at(2));
    engine.take_events();
    say_up(&mut engine, at(3), client(2));
    let seen = until(&mut engine, at(3));
    assert_eq!(seen.closed, [ids[0]], "the longest dead goes first");
    say_up(&mut engine, at(4), client(9));
    assert_eq!(until(&mut engine, at(4)).closed, [ids[1]]);
    assert!(reaches(&mut engine, at(5), seen.server[0].0, client(2)));
    say_down(&mut engine, at(5), ids[0]);
    let status = engine.status(at(5));
    assert_eq!(status.up.dropped.mappings_full, 2);
    assert_eq!((status.mappings, status.down.dropped.nat_unmapped), (2, 1));
    balance(&status.up);
    balance(&status.down);
}

#[test]
fn what_strangers_leave_behind_does_not_pile_up() {
    let mut engine = Engine::new(addr(SERVER), Options::new().max_mappings(4)).unwrap();
    for round in 0..5_000_u16 {
        let from = SocketAddr::from(([10, 0, (round >> 8) as u8, round as u8], 1000));
        map(&mut engine, at(u64::from(round)), from);
        engine.rebind(at(u64::from(round)));
    }
    assert_eq!(engine.status(at(5_000)).mappings_made, 5_000);
    let remembered = format!("{:?} {:?}", engine.nats, engine.mappings);
    assert!(remembered.len() < 4_000, "{} bytes", remembered.len());
}

#[test]
fn bytes_on_their_way_are_limited() {
    let mut engine = Engine::new(addr(SERVER), Options::new().max_queued_bytes(65_536)).unwrap();
    engine.set(at(0), Side::Both, &Conditions::new().delay(ms(1_000))).unwrap();
    let payload = Bytes::from(vec![0; 1_000]);
    for _ in 0..100 {
        engine.client_sent(at(0), client(1), addr(PROXY), Ecn::NotEct, payload.clone());
    }
    let status = engine.status(at(1));
    // A packet costs 1000 + 28 + 256 bytes.
    assert_eq!((status.up.held, status.up.dropped.proxy_full), (52, 48));
    balance(&status.up);
    assert_eq!(until(&mut engine, at(1_000)).server.len(), 52);
    say_up(&mut engine, at(1_001), client(1));
    assert_eq!(until(&mut engine, at(2_001)).server.len(), 1);
    let full = Event::QueueFull { limit_bytes: 65_536 };
    assert_eq!(engine.take_events().iter().filter(|event| **event == full).count(), 1);
}

#[test]
fn every_model_is_there_and_counted() {
    let mut engine = clean();
    let everything = Conditions::new()
        .loss(5.0)
        .duplicate(5.0)
        .corrupt(5.0)
        .reorder(5.0, ms(5))
        .jitter(ms(3))
        .delay(ms(10))
        .rate(1_000_000)
        .queue_bytes(20_000)
        .mtu(1_300);
    engine.set(at(0), Side::Both, &everything).unwrap();
    for number in 0..3_000_u64 {
        let len = if number % 50 == 0 { 1_400 } else { 200 + (number % 7) as usize };
        engine.client_sent(at(number), client(1), addr(PROXY), Ecn::NotEct, vec![0; len].into());
        until(&mut engine, at(number));
    }
    until(&mut engine, at(60_000));
    let up = engine.status(at(60_000)).up;
    assert!(up.duplicated > 0 && up.corrupted > 0 && up.reordered > 0, "{up:?}");
    assert_eq!((up.held, up.dropped.too_big), (0, 60));
    assert!(up.dropped.lost > 0 && up.dropped.queue_full > 0, "{up:?}");
    balance(&up);
}

#[test]
fn six_and_four_may_mix() {
    let mut engine =
        Engine::new(addr("[2001:db8::1]:443"), Options::new().scenario(Scenario::cgn_30s())).unwrap();
    for from in ["[2001:db8::2]:5000", "192.0.2.1:5000"] {
        say_up(&mut engine, at(0), addr(from));
    }
    let seen = until(&mut engine, at(100));
    assert_eq!(seen.server.len(), 2);
    assert_ne!(seen.server[0].0, seen.server[1].0);
    seen.server.iter().for_each(|(id, ..)| say_down(&mut engine, at(200), *id));
    assert_eq!(until(&mut engine, at(400)).clients.len(), 2);
}

#[test]
fn the_mark_and_the_address_that_was_spoken_to_are_kept() {
    let mut engine = clean();
    engine.client_sent(at(0), client(1), addr("127.0.0.2:9000"), Ecn::Ce, Bytes::new());
    let Some(Output::ToServer { mapping, datagram, .. }) = engine.pop(at(0)) else { panic!("nothing") };
    assert_eq!((datagram.ecn, datagram.payload.len()), (Ecn::Ce, 0));
    engine.server_sent(at(0), mapping, Ecn::Ect1, Bytes::new());
    let Some(Output::ToClient { source, datagram, .. }) = engine.pop(at(0)) else { panic!("nothing") };
    assert_eq!((datagram.ecn, source), (Ecn::Ect1, Some(IpAddr::from([127, 0, 0, 2]))));
}
