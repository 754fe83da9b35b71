//! What boxes in the field do beyond the RFC.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::*;

/// A box, and the time.
pub(super) struct Pair {
    pub(super) nat: Nat,
    pub(super) now: Time,
}

impl Pair {
    pub(super) fn new(config: NatConfig) -> Self {
        Self::with_pool(config, vec!["203.0.113.1".parse().unwrap()])
    }

    pub(super) fn with_pool(config: NatConfig, outside: Vec<IpAddr>) -> Self {
        Self { nat: Nat::new("nat", 1, config, outside).unwrap(), now: Time::ZERO }
    }

    /// Sends from inside and says whom the remote sees.
    #[track_caller]
    pub(super) fn send(&mut self, from: &str, to: &str) -> SocketAddr {
        match self.nat.outbound(self.now, Packet::new(addr(from), addr(to), "x")) {
            Ok(Outbound::Out(packet)) => packet.from,
            other => panic!("{from} to {to}: {other:?}"),
        }
    }

    /// Sends from outside and says who inside gets it.
    pub(super) fn receive(&mut self, from: &str, to: SocketAddr) -> Result<SocketAddr, Fate> {
        self.nat.inbound(self.now, Packet::new(addr(from), to, "x")).map(|packet| packet.to)
    }
}

pub(super) fn open(pair: &mut Pair, outside: SocketAddr, from: &str) -> bool {
    pair.receive(from, outside).is_ok()
}

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const HOST: &str = "10.0.0.2:5000";
const PEER: &str = "198.51.100.1:80";

#[test]
fn mappings_depend_on_what_they_should() {
    let remotes = [PEER, "198.51.100.1:81", "198.51.100.2:80"];
    let seen = |mapping| {
        let mut nat = Pair::new(NatConfig::new().mapping(mapping));
        remotes.map(|remote| nat.send(HOST, remote))
    };
    let [a, b, c] = seen(Dependence::EndpointIndependent);
    assert!(a == b && b == c);
    let [a, b, c] = seen(Dependence::AddressDependent);
    assert!(a == b && b != c);
    let [a, b, c] = seen(Dependence::AddressAndPortDependent);
    assert!(a != b && b != c && a != c);
}

#[test]
fn ports_are_preserved_if_wished() {
    assert_eq!(Pair::new(NatConfig::new()).send(HOST, PEER).port(), 5000);
    assert_ne!(Pair::new(NatConfig::new().preserve_ports(false)).send(HOST, PEER).port(), 5000);
}

#[test]
fn linux_has_a_short_timer_for_the_cold_and_a_long_one_for_streams() {
    // Nobody answers: 30 s.
    let mut cold = Pair::new(NatConfig::linux());
    let outside = cold.send(HOST, PEER);
    cold.now = Time::from_millis(30_000);
    assert_eq!(cold.receive(PEER, outside), Err(Fate::NatUnmapped));

    // One exchange within two seconds: still 30 s, counted from the answer.
    let mut brief = Pair::new(NatConfig::linux());
    let outside = brief.send(HOST, PEER);
    brief.now = Time::from_millis(1_000);
    assert!(open(&mut brief, outside, PEER));
    brief.now = Time::from_millis(31_000);
    assert!(!open(&mut brief, outside, PEER));

    // Exchanges more than two seconds apart: 120 s, and what comes in counts.
    let mut warm = Pair::new(NatConfig::linux());
    let outside = warm.send(HOST, PEER);
    warm.now = Time::from_millis(2_500);
    assert!(open(&mut warm, outside, PEER));
    warm.now = Time::from_millis(122_000);
    assert!(open(&mut warm, outside, PEER));
    warm.now = Time::from_millis(242_000);
    assert!(!open(&mut warm, outside, PEER));
}

#[test]
fn a_stranger_inside_the_filter_is_let_in_only_while_the_session_lives() {
    let mut nat = Pair::new(NatConfig::linux());
    let outside = nat.send(HOST, PEER);
    nat.now = Time::from_secs(20);
    assert_eq!(nat.send(HOST, "198.51.100.9:9"), outside);
    assert_eq!(nat.receive("192.0.2.66:6", outside), Err(Fate::NatFiltered));
    // The mapping lives on because of the second remote; the first one's session has ended.
    nat.now = Time::from_secs(35);
    assert_eq!(nat.receive(PEER, outside), Err(Fate::NatFiltered));
    assert_eq!(nat.nat.counts().filtered, 2);
}

#[test]
fn a_forced_rebind_of_ports_closes_the_old_and_opens_another() {
    let mut nat = Pair::new(NatConfig::linux());
    let before = nat.send(HOST, PEER);
    nat.nat.rebind_ports();
    assert_eq!(nat.receive(PEER, before), Err(Fate::NatUnmapped));
    let after = nat.send(HOST, PEER);
    assert_eq!((after.ip(), after.port() == before.port()), (before.ip(), false));
    assert!(open(&mut nat, after, PEER));
    assert_eq!(nat.nat.counts().rebound, 1);
    // And each time again.
    nat.nat.rebind_ports();
    assert_ne!(nat.send(HOST, PEER), after);
}

#[test]
fn a_forced_rebind_of_the_address_keeps_the_port_where_it_can() {
    let mut nat = Pair::new(NatConfig::linux());
    let before = nat.send(HOST, PEER);
    nat.nat.rebind_address("203.0.113.99".parse().unwrap());
    assert_eq!(nat.receive(PEER, before), Err(Fate::NatUnmapped));
    assert_eq!(nat.send(HOST, PEER), addr("203.0.113.99:5000"));
}

#[test]
fn a_reboot_forgets_everything() {
    let mut nat = Pair::new(NatConfig::linux());
    let before = nat.send(HOST, PEER);
    nat.nat.reboot();
    assert_eq!(nat.receive(PEER, before), Err(Fate::NatUnmapped));
    assert_eq!(nat.nat.counts().forgotten, 1);
    assert_eq!(nat.send(HOST, PEER), before, "the port is preserved again");
}

#[test]
fn when_the_ports_are_used_up_new_flows_get_nothing_until_one_expires() {
    let mut nat = Pair::new(NatConfig::linux().ports(40_000, 40_009));
    for host in 2..12 {
        nat.send(&format!("10.0.0.{host}:5000"), PEER);
    }
    let packet = || Packet::new(addr("10.0.0.99:5000"), addr(PEER), "x");
    assert_eq!(nat.nat.outbound(nat.now, packet()), Err(Fate::NatExhausted));
    assert_eq!(nat.nat.counts().exhausted, 1);
    nat.send("10.0.0.2:5000", "198.51.100.2:80");
    nat.now = Time::from_secs(30);
    assert!(nat.nat.outbound(nat.now, packet()).is_ok());
}

#[test]
fn a_family_without_an_outside_address_passes_as_it_is() {
    let mut nat = Pair::new(NatConfig::linux());
    assert_eq!(nat.send("[2001:db8::2]:5000", "[2001:db8:1::1]:80"), addr("[2001:db8::2]:5000"));
    assert_eq!(nat.receive("[2001:db8:1::1]:80", addr("[2001:db8::2]:7")), Ok(addr("[2001:db8::2]:7")));
    let both = ["203.0.113.1", "2001:db8:ffff::1"].map(|ip| ip.parse().unwrap()).to_vec();
    let mut nat = Pair::with_pool(NatConfig::linux(), both);
    assert_eq!(nat.send("[2001:db8::2]:5000", "[2001:db8:1::1]:80"), addr("[2001:db8:ffff::1]:5000"));
    assert_eq!(nat.send(HOST, PEER), addr("203.0.113.1:5000"));
}

#[test]
fn impossible_boxes_are_refused() {
    for (config, says) in [
        (NatConfig::new().timeout(ms(0)), "nat timeout = 0s is impossible"),
        (NatConfig::new().unreplied_timeout(ms(0)), "nat unreplied-timeout = 0s"),
        (NatConfig::new().ports(9, 8), "nat ports = [9, 8]"),
        (NatConfig::new().ports(0, 8), "nat ports = [0, 8]"),
    ] {
        let error = Nat::new("nat", 1, config, vec![]).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
