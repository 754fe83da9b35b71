//! The questions asked of the NAT box.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use bowline_netsim::{Delivery, HostId, Link, NatConfig, Packet, Time, World};

use super::probe::{Lab, Verdict, probe};

struct Simulated {
    world: World,
    clients: [(HostId, IpAddr); 2],
    server: HostId,
    now: Time,
}

pub(crate) fn verdict(config: &NatConfig, six: bool) -> Verdict {
    let ip = |four: &str, in_six: &str| -> IpAddr { if six { in_six } else { four }.parse().unwrap() };
    let mut world = World::new(1);
    let outside = ip("203.0.113.1", "2001:db8:1::1");
    let home = world.nat("home", World::INTERNET, [outside], config.clone(), Link::perfect()).unwrap();
    let clients = [("10.0.0.2", "fd00::2"), ("10.0.0.3", "fd00::3")].map(|(four, in_six)| {
        let (host, address) = (world.host(four), ip(four, in_six));
        world.attach(host, home, [address], Link::perfect()).unwrap();
        (host, address)
    });
    let remotes = [ip("198.51.100.1", "2001:db8:2::1"), ip("198.51.100.2", "2001:db8:2::2")];
    let server = world.host("server");
    world.attach(server, World::INTERNET, remotes, Link::perfect()).unwrap();
    let mut lab = Simulated { world, clients, server, now: Time::ZERO };
    let Ok(verdict) = probe(&mut lab, remotes);
    verdict.expect("packets go out")
}

impl Simulated {
    /// Sends, and says what arrived where.
    fn send(&mut self, host: HostId, from: SocketAddr, to: SocketAddr) -> Option<Delivery> {
        self.now = Time::from_nanos(self.now.as_nanos() + 1_000_000);
        self.world.send(self.now, host, Packet::new(from, to, "probe"));
        self.world.pop(self.now)
    }
}

impl Lab for Simulated {
    type Error = Infallible;

    fn outbound(
        &mut self,
        client: usize,
        port: u16,
        remote: SocketAddr,
    ) -> Result<Option<SocketAddr>, Infallible> {
        let (host, address) = self.clients[client];
        let delivery = self.send(host, SocketAddr::new(address, port), remote);
        Ok(delivery.filter(|it| it.host == self.server).map(|it| it.packet.from))
    }

    fn inbound(
        &mut self,
        client: usize,
        port: u16,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<bool, Infallible> {
        let (host, address) = self.clients[client];
        let delivery = self.send(self.server, from, to);
        Ok(delivery.is_some_and(|it| it.host == host && it.packet.to == SocketAddr::new(address, port)))
    }

    fn hairpin(&mut self, from_port: u16, to: SocketAddr, to_port: u16) -> Result<bool, Infallible> {
        let [(from_host, from), (to_host, address)] = self.clients;
        let delivery = self.send(from_host, SocketAddr::new(from, from_port), to);
        Ok(delivery.is_some_and(|it| it.host == to_host && it.packet.to == SocketAddr::new(address, to_port)))
    }
}
