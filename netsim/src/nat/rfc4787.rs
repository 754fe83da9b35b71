//! The requirements of RFC 4787, one test each, against the box that the RFC asks for.
//!
//! Not here: REQ-7 (overlapping address realms) is tested with the world, where networks meet. REQ-12 and REQ-13
//! are about ICMP and REQ-14 about IP fragments; neither exists in this simulation, where a packet that is too
//! large vanishes.

use std::net::IpAddr;

use super::tests::{Pair, addr, ms, open};
use super::*;

#[test]
fn req_1_the_mapping_is_endpoint_independent() {
    let mut nat = Pair::new(NatConfig::new());
    let outside = nat.send("10.0.0.2:5000", "198.51.100.1:80");
    assert_eq!(nat.send("10.0.0.2:5000", "198.51.100.1:81"), outside);
    assert_eq!(nat.send("10.0.0.2:5000", "198.51.100.2:80"), outside);
}

#[test]
fn req_2_one_inside_address_has_one_outside_address() {
    let pool: Vec<IpAddr> = ["203.0.113.1", "203.0.113.2"].map(|ip| ip.parse().unwrap()).to_vec();
    let mut nat = Pair::with_pool(NatConfig::new(), pool);
    let first = nat.send("10.0.0.2:5000", "198.51.100.1:80");
    let second = nat.send("10.0.0.3:5000", "198.51.100.1:80");
    assert_ne!(first.ip(), second.ip(), "the pool is used");
    for port in 5001..5040 {
        assert_eq!(nat.send(&format!("10.0.0.2:{port}"), "198.51.100.2:80").ip(), first.ip());
        assert_eq!(nat.send(&format!("10.0.0.3:{port}"), "198.51.100.2:80").ip(), second.ip());
    }
}

#[test]
fn req_3_ports_are_never_overloaded_and_keep_their_range() {
    let mut nat = Pair::new(NatConfig::new());
    let mut seen = std::collections::BTreeSet::new();
    for host in 2..=200 {
        for port in [600, 5000] {
            let outside = nat.send(&format!("10.0.0.{host}:{port}"), "198.51.100.1:80");
            assert!(seen.insert(outside), "{outside} is used twice");
            assert_eq!(outside.port() < 1024, port < 1024, "{port} became {outside}");
        }
    }
}

#[test]
fn req_4_ports_keep_their_parity() {
    for preserve in [true, false] {
        let mut nat = Pair::new(NatConfig::new().preserve_ports(preserve));
        for host in 2..=60 {
            for port in [5000, 5001] {
                let outside = nat.send(&format!("10.0.0.{host}:{port}"), "198.51.100.1:80");
                assert_eq!(outside.port() % 2, port % 2);
            }
        }
    }
}

#[test]
fn req_5_a_mapping_lives_five_minutes_and_the_time_can_be_configured() {
    for (config, lives) in [
        (NatConfig::new(), ms(300_000)),
        (NatConfig::new().timeout(std::time::Duration::from_secs(120)), ms(120_000)),
    ] {
        let mut nat = Pair::new(config);
        let outside = nat.send("10.0.0.2:5000", "198.51.100.1:80");
        nat.now = Time::ZERO + (lives - std::time::Duration::from_nanos(1));
        assert_eq!(nat.receive("198.51.100.1:80", outside), Ok(addr("10.0.0.2:5000")));
        nat.now = Time::ZERO + lives;
        assert_eq!(nat.receive("198.51.100.1:80", outside), Err(Fate::NatUnmapped));
        assert_eq!(nat.nat.counts().expired, 1);
    }
}

#[test]
fn req_6_packets_from_inside_refresh_a_mapping_and_from_outside_if_wished() {
    for (refresh, answer) in [(Refresh::Outbound, Err(Fate::NatUnmapped)), (Refresh::Both, Ok(()))] {
        let mut nat = Pair::new(NatConfig::new().refresh(refresh));
        let outside = nat.send("10.0.0.2:5000", "198.51.100.1:80");
        nat.now = Time::from_secs(299);
        assert_eq!(nat.send("10.0.0.2:5000", "198.51.100.1:80"), outside);
        nat.now = Time::from_secs(598);
        assert!(nat.receive("198.51.100.1:80", outside).is_ok(), "the packet from inside counted");
        nat.now = Time::from_secs(897);
        assert_eq!(nat.receive("198.51.100.1:80", outside).map(|_| ()), answer);
    }
}

#[test]
fn req_8_the_filter_is_open_or_asks_for_the_address() {
    let answers = |filtering| {
        let mut nat = Pair::new(NatConfig::new().filtering(filtering));
        let outside = nat.send("10.0.0.2:5000", "198.51.100.1:80");
        ["198.51.100.1:80", "198.51.100.1:81", "198.51.100.2:80"]
            .map(|from| nat.receive(from, outside).is_ok())
    };
    assert_eq!(answers(Dependence::EndpointIndependent), [true, true, true]);
    assert_eq!(answers(Dependence::AddressDependent), [true, true, false]);
    assert_eq!(answers(Dependence::AddressAndPortDependent), [true, false, false]);
    assert_eq!(NatConfig::new().filtering, Dependence::EndpointIndependent);
}

#[test]
fn req_9_hairpinned_packets_come_from_the_outside_endpoint() {
    let mut nat = Pair::new(NatConfig::new());
    let first = nat.send("10.0.0.2:5000", "198.51.100.1:80");
    let second = nat.send("10.0.0.3:6000", "198.51.100.1:80");
    let packet = Packet::new(addr("10.0.0.2:5000"), second, "hi");
    let back = Packet::new(first, addr("10.0.0.3:6000"), "hi");
    assert_eq!(nat.nat.outbound(nat.now, packet.clone()), Ok(Outbound::Back(back)));
    assert_eq!(nat.nat.counts().hairpinned, 1);

    let mut nat = Pair::new(NatConfig::new().hairpin(false));
    nat.send("10.0.0.3:6000", "198.51.100.1:80");
    assert_eq!(nat.nat.outbound(nat.now, packet), Err(Fate::NoRoute));
}

#[test]
fn req_10_no_payload_is_touched() {
    let mut nat = Pair::new(NatConfig::new());
    let payload = "INVITE sip:a@10.0.0.2:5060 SIP/2.0";
    let packet = Packet::new(addr("10.0.0.2:5060"), addr("198.51.100.1:5060"), payload);
    let Ok(Outbound::Out(packet)) = nat.nat.outbound(nat.now, packet) else { panic!("it does not go out") };
    assert_eq!(packet.payload, payload);
}

#[test]
fn req_11_a_conflict_changes_no_behaviour() {
    let mut nat = Pair::new(NatConfig::new());
    let (hosts, remotes) = (["10.0.0.2:5000", "10.0.0.3:5000"], ["198.51.100.1:80", "198.51.100.2:90"]);
    let [preserved, other] = hosts.map(|host| {
        let outside = nat.send(host, remotes[0]);
        assert_eq!(nat.send(host, remotes[1]), outside, "still independent of the endpoint");
        assert!(open(&mut nat, outside, "192.0.2.77:7"), "and still open to all");
        outside
    });
    assert_eq!(preserved.port(), 5000);
    assert_ne!(other.port(), 5000);
}
