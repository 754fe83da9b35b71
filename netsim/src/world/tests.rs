//! Packets through small worlds.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::*;
use crate::link::Conditions;
use crate::nat::NatConfig;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn slow(millis: u64) -> Link {
    Link::both(Conditions::new().delay(ms(millis)))
}

fn run(world: &mut World) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while let Some(now) = world.next_wakeup() {
        deliveries.extend(std::iter::from_fn(|| world.pop(now)));
    }
    deliveries
}

/// Sends one packet and says when, and from whom, it reached this host.
#[track_caller]
fn reach(
    world: &mut World,
    host: HostId,
    from: &str,
    to: SocketAddr,
) -> Option<(HostId, SocketAddr, SocketAddr)> {
    let now = world.now;
    world.send(now, host, Packet::new(addr(from), to, "x"));
    let delivery = run(world).pop()?;
    Some((delivery.host, delivery.packet.from, delivery.packet.to))
}

/// A phone behind a home NAT behind a carrier's NAT, and a server.
struct Nested {
    world: World,
    phone: HostId,
    server: HostId,
    home: NetworkId,
    carrier: NetworkId,
    wifi: LinkId,
}

const PHONE: &str = "192.168.0.2:5000";
const SERVER: &str = "198.51.100.1:443";

/// REQ-7 of RFC 4787: the inner and the outer realm use the same addresses.
fn nested(config: &NatConfig) -> Nested {
    let mut world = World::new(1);
    let carrier =
        world.nat("carrier", World::INTERNET, [ip("203.0.113.1")], config.clone(), slow(10)).unwrap();
    let home = world.nat("home", carrier, [ip("192.168.0.2")], config.clone(), slow(5)).unwrap();
    let (phone, server) = (world.host("phone"), world.host("server"));
    let wifi = world.attach(phone, home, [ip("192.168.0.2")], slow(2)).unwrap();
    world.attach(server, World::INTERNET, [ip("198.51.100.1")], slow(1)).unwrap();
    Nested { world, phone, server, home, carrier, wifi }
}

#[test]
fn req_7_a_nat_behind_a_nat_may_use_the_same_addresses() {
    let Nested { mut world, phone, server, home, carrier, .. } = nested(&NatConfig::new());
    let seen = addr("203.0.113.1:5000");
    assert_eq!(reach(&mut world, phone, PHONE, addr(SERVER)), Some((server, seen, addr(SERVER))));
    assert_eq!(world.now, Time::from_millis(18));
    assert_eq!(reach(&mut world, server, SERVER, seen), Some((phone, addr(SERVER), addr(PHONE))));
    assert_eq!(world.now, Time::from_millis(36));
    assert_eq!(world.mapped(home, addr(PHONE), addr(SERVER)), Some(addr("192.168.0.2:5000")));
    assert_eq!(world.nat_counts(carrier).unwrap().inbound, 1);
}

#[test]
fn what_nobody_asked_for_is_not_let_in() {
    let Nested { mut world, phone, server, .. } = nested(&NatConfig::linux());
    assert_eq!(reach(&mut world, server, SERVER, addr("203.0.113.1:5000")), None);
    assert_eq!(world.trace().fates()[&Fate::NatUnmapped], 1);
    reach(&mut world, phone, PHONE, addr(SERVER));
    assert_eq!(reach(&mut world, server, "198.51.100.1:444", addr("203.0.113.1:5000")), None);
    assert_eq!(world.trace().fates()[&Fate::NatFiltered], 1);
}

#[test]
fn nobody_there_is_no_route() {
    let Nested { mut world, phone, .. } = nested(&NatConfig::linux());
    assert_eq!(reach(&mut world, phone, PHONE, addr("192.0.2.99:1")), None);
    assert_eq!(world.trace().fates()[&Fate::NoRoute], 1);
}

#[test]
fn a_new_address_of_the_carrier_is_seen_by_the_server() {
    let Nested { mut world, phone, server, carrier, .. } = nested(&NatConfig::linux());
    reach(&mut world, phone, PHONE, addr(SERVER));
    let change = Change::Nat(carrier, NatChange::RebindAddress(ip("203.0.113.9")));
    world.change(world.now, change.clone()).unwrap();
    assert_eq!(reach(&mut world, server, SERVER, addr("203.0.113.1:5000")), None, "the old one is gone");
    let new = addr("203.0.113.9:5000");
    assert_eq!(reach(&mut world, phone, PHONE, addr(SERVER)), Some((server, new, addr(SERVER))));
    assert_eq!(reach(&mut world, server, SERVER, new).unwrap().0, phone);
    assert_eq!(world.happenings().len(), 1);
    assert!(world.change(world.now, change).unwrap_err().to_string().contains("is taken"));
}

#[test]
fn two_hosts_behind_one_nat_meet_by_hairpinning() {
    let mut world = World::new(1);
    let home = world.nat("home", World::INTERNET, [ip("203.0.113.1")], NatConfig::new(), slow(10)).unwrap();
    let (a, b, server) = (world.host("a"), world.host("b"), world.host("server"));
    world.attach(a, home, [ip("10.0.0.1")], slow(2)).unwrap();
    world.attach(b, home, [ip("10.0.0.2")], slow(2)).unwrap();
    world.attach(server, World::INTERNET, [ip("198.51.100.1")], slow(1)).unwrap();
    let (_, b_outside, _) = reach(&mut world, b, "10.0.0.2:7000", addr(SERVER)).unwrap();
    let before = world.now;
    let (host, from, to) = reach(&mut world, a, "10.0.0.1:6000", b_outside).unwrap();
    assert_eq!((host, from, to), (b, addr("203.0.113.1:6000"), addr("10.0.0.2:7000")));
    assert_eq!(world.now - before, ms(4), "it never left the house");
    // Inside, they can also be direct.
    assert_eq!(
        reach(&mut world, a, "10.0.0.1:6000", addr("10.0.0.2:7000")).unwrap().1,
        addr("10.0.0.1:6000")
    );
}

#[test]
fn routers_pass_both_families_and_nats_only_translate_their_own() {
    let mut world = World::new(1);
    let office = world.network("office", World::INTERNET, slow(3)).unwrap();
    let lab = world.nat("lab", office, [ip("203.0.113.7")], NatConfig::linux(), slow(3)).unwrap();
    let (pc, server) = (world.host("pc"), world.host("server"));
    world.attach(pc, lab, [ip("10.0.0.1"), ip("2001:db8::1")], Link::perfect()).unwrap();
    world.attach(server, World::INTERNET, [ip("198.51.100.1"), ip("2001:db8:9::1")], slow(1)).unwrap();
    let six = addr("[2001:db8:9::1]:443");
    assert_eq!(reach(&mut world, pc, "[2001:db8::1]:5000", six).unwrap().1, addr("[2001:db8::1]:5000"));
    assert_eq!(reach(&mut world, server, "[2001:db8:9::1]:443", addr("[2001:db8::1]:5")).unwrap().0, pc);
    assert_eq!(reach(&mut world, pc, "10.0.0.1:5000", addr(SERVER)).unwrap().1, addr("203.0.113.7:5000"));
    assert_eq!(world.source_address(pc, six.ip()), Some(ip("2001:db8::1")));
}

#[test]
fn a_phone_changes_networks() {
    let Nested { mut world, phone, server, wifi, .. } = nested(&NatConfig::linux());
    let mobile =
        world.nat("mobile", World::INTERNET, [ip("203.0.113.50")], NatConfig::linux(), slow(30)).unwrap();
    let lte = world.attach(phone, mobile, [ip("100.64.0.2")], slow(1)).unwrap();
    let to = addr(SERVER);
    assert_eq!(world.source_address(phone, to.ip()), Some(ip("192.168.0.2")));
    world.change(world.now, Change::Interface(phone, wifi, false)).unwrap();
    assert_eq!(world.source_address(phone, to.ip()), Some(ip("100.64.0.2")));
    assert_eq!(reach(&mut world, phone, PHONE, to), None);
    assert_eq!(world.trace().fates()[&Fate::InterfaceDown], 1);
    assert_eq!(reach(&mut world, phone, "100.64.0.2:5000", to).unwrap().1, addr("203.0.113.50:5000"));
    world.change(world.now, Change::Interface(phone, lte, false)).unwrap();
    assert_eq!(world.source_address(phone, to.ip()), None);
    assert_eq!(reach(&mut world, server, SERVER, addr("203.0.113.50:5000")), None, "nobody takes it");
}

#[test]
fn planned_changes_happen_at_their_moment() {
    let mut world = World::new(1);
    let (a, b) = (world.host("a"), world.host("b"));
    let link = world.attach(a, World::INTERNET, [ip("192.0.2.1")], slow(10)).unwrap();
    world.attach(b, World::INTERNET, [ip("192.0.2.2")], Link::perfect()).unwrap();
    let block = |blocked| Change::Link(link, Direction::Up, Conditions::new().block(blocked).into());
    world.change_at(Time::from_secs(1), block(true)).unwrap();
    world.change_at(Time::from_secs(2), block(false)).unwrap();
    for millis in (0..3_000).step_by(100) {
        world.send(Time::from_millis(millis), a, Packet::new(addr("192.0.2.1:1"), addr("192.0.2.2:2"), "x"));
    }
    let arrived: Vec<_> = run(&mut world).iter().map(|delivery| delivery.at).collect();
    assert_eq!(arrived.len(), 20);
    assert!(arrived.iter().all(|at| *at <= Time::from_secs(1) || *at > Time::from_secs(2)));
    assert_eq!(world.link_counts(link, Direction::Up).blocked, 10);
    assert_eq!(world.happenings().iter().map(|it| it.at).collect::<Vec<_>>(), [1, 2].map(Time::from_secs));
}

#[test]
fn the_same_seed_gives_the_same_world_and_another_one_another() {
    let hash = |seed| {
        let mut world = World::new(seed);
        let (a, b) = (world.host("a"), world.host("b"));
        let noisy =
            Conditions::new().delay(ms(20)).jitter(ms(5)).loss(10.0).duplicate(2.0).reorder(2.0, ms(9));
        world.attach(a, World::INTERNET, [ip("192.0.2.1")], Link::both(noisy)).unwrap();
        world.attach(b, World::INTERNET, [ip("192.0.2.2")], Link::perfect()).unwrap();
        for millis in 0..500 {
            let packet = Packet::new(addr("192.0.2.1:1"), addr("192.0.2.2:2"), "x");
            world.send(Time::from_millis(millis), a, packet);
        }
        run(&mut world);
        world.trace().hash()
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
    assert_eq!(hash(1).to_string(), RECORDED, "the same on every machine and in every profile");
}

const RECORDED: &str = "09a0e054f317b5a0";

#[test]
fn what_is_taken_is_taken() {
    let mut world = World::new(1);
    let (a, b) = (world.host("a"), world.host("b"));
    world.attach(a, World::INTERNET, [ip("192.0.2.1")], Link::perfect()).unwrap();
    let again = world.attach(b, World::INTERNET, [ip("192.0.2.1")], Link::perfect());
    assert_eq!(again.unwrap_err().to_string(), "the address 192.0.2.1 in \"internet\" is taken");
    world.network("n", World::INTERNET, Link::perfect()).unwrap();
    assert!(world.network("n", World::INTERNET, Link::perfect()).is_err());
    let no_nat = world.change(Time::ZERO, Change::Nat(World::INTERNET, NatChange::Reboot));
    assert!(no_nat.unwrap_err().to_string().contains("has no NAT"));
}
