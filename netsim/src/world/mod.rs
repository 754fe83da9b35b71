//! A world of hosts, links, routers and NATs through which packets pass in virtual time.
//!
//! | file | what it holds |
//! |---|---|
//! | `build` | networks, hosts and the links between them |
//! | `change` | what can happen to them while packets are on their way |
//!
//! Networks form a tree whose root is the internet. A network is a router with a link to its parent; there may be
//! a NAT on its side of that link. Hosts hang on networks by links of their own. Each NAT opens an address realm:
//! the same address may exist on both of its sides.

mod build;
mod change;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use crate::link::{Exit, LinkCounts, Phase, Pipe};
use crate::nat::{Nat, NatCounts, Outbound};
use crate::packet::{Fate, Packet};
use crate::queue::EventHeap;
use crate::time::Time;
use crate::trace::{Capture, Trace};

pub use build::Link;
pub use change::{Change, Happening, NatChange};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(super) usize);
    )*};
}

ids! {
    /// A network of a [`World`]; with a NAT before it, also that NAT.
    NetworkId
    /// A host of a [`World`].
    HostId
    /// A link of a [`World`]. A host has one for each interface, and so it names the interface, too.
    LinkId
}

/// One of the two directions of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Towards the internet.
    Up,
    /// Away from the internet.
    Down,
}

/// Hosts, links, routers and NATs; what moves packets between sans-IO machines.
///
/// ```
/// # use bowline_netsim::{Conditions, Link, Packet, Time, World};
/// # use std::time::Duration;
/// let mut world = World::new(1);
/// let (alice, bob) = (world.host("alice"), world.host("bob"));
/// let slow = Link::both(Conditions::new().delay(Duration::from_millis(20)));
/// world.attach(alice, World::INTERNET, ["192.0.2.1".parse().unwrap()], slow).unwrap();
/// world.attach(bob, World::INTERNET, ["192.0.2.2".parse().unwrap()], Link::perfect()).unwrap();
///
/// let (from, to) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap());
/// world.send(Time::ZERO, alice, Packet::new(from, to, "hello"));
/// while let Some(now) = world.next_wakeup() {
///     while let Some(delivery) = world.pop(now) {
///         assert_eq!((delivery.host, delivery.at), (bob, Time::from_millis(20)));
///     }
/// }
/// assert_eq!(world.trace().count(), 2);
/// ```
#[derive(Debug)]
pub struct World {
    seed: u64,
    networks: Vec<Network>,
    hosts: Vec<Host>,
    wires: Vec<Wire>,
    due: EventHeap<Due>,
    deliveries: VecDeque<Delivery>,
    trace: Trace,
    capture: Option<Capture>,
    happenings: Vec<Happening>,
    sent: u64,
    now: Time,
}

/// A packet has reached a host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// When.
    pub at: Time,
    /// Whom.
    pub host: HostId,
    /// The packet.
    pub packet: Packet,
}

#[derive(Debug)]
struct Network {
    name: String,
    /// The link to the parent; the internet has none.
    uplink: Option<LinkId>,
    nat: Option<Nat>,
    /// Behind which link each address lies.
    routes: BTreeMap<IpAddr, LinkId>,
}

#[derive(Debug)]
struct Host {
    name: String,
    interfaces: Vec<Interface>,
}

#[derive(Debug)]
struct Interface {
    link: LinkId,
    addresses: Vec<IpAddr>,
    up: bool,
}

/// A link in place.
#[derive(Debug)]
struct Wire {
    name: String,
    /// What hangs on it.
    below: Below,
    /// On what it hangs.
    above: NetworkId,
    up: Pipe,
    down: Pipe,
    /// When each direction is to be looked after next.
    up_due: Option<Time>,
    down_due: Option<Time>,
}

#[derive(Clone, Copy, Debug)]
enum Below {
    Host(HostId),
    Network(NetworkId),
}

#[derive(Debug)]
enum Due {
    Pipe(LinkId, Direction),
    Change(Change),
}

impl World {
    /// The root of all networks, where addresses are public.
    pub const INTERNET: NetworkId = NetworkId(0);

    /// A host sends a packet. Time must not run backwards between calls.
    pub fn send(&mut self, now: Time, host: HostId, mut packet: Packet) {
        self.run_until(now);
        self.sent += 1;
        packet.id = self.sent;
        self.record(now, &packet, Fate::Sent);
        let from = packet.from.ip();
        let interfaces = &self.hosts[host.0].interfaces;
        match interfaces.iter().find(|interface| interface.up && interface.addresses.contains(&from)) {
            Some(interface) => self.enter(now, interface.link, Direction::Up, packet),
            None => self.record(now, &packet, Fate::InterfaceDown),
        }
    }

    /// The next packet that has reached a host by now. Ask until there is nothing more.
    pub fn pop(&mut self, now: Time) -> Option<Delivery> {
        self.run_until(now);
        self.deliveries.pop_front()
    }

    /// When something happens next, as far as is known; sooner if something is sent.
    pub fn next_wakeup(&self) -> Option<Time> {
        if self.deliveries.is_empty() { self.due.next_due() } else { Some(self.now) }
    }

    /// The source address that this host's packets to that remote have if the application names none: that of
    /// the first interface that is up, in the order in which they were attached.
    pub fn source_address(&self, host: HostId, remote: IpAddr) -> Option<IpAddr> {
        let up = self.hosts[host.0].interfaces.iter().filter(|interface| interface.up);
        let mut addresses = up.flat_map(|interface| &interface.addresses);
        addresses.find(|address| address.is_ipv4() == remote.is_ipv4()).copied()
    }

    /// Records that a packet that was delivered found nobody at its port.
    pub fn undeliverable(&mut self, now: Time, packet: &Packet, fate: Fate) {
        self.record(now, packet, fate);
    }

    /// What happened to packets so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What happened to packets; the world is no longer needed.
    pub fn into_trace(self) -> Trace {
        self.trace
    }

    /// The packets themselves; none if they were not to be kept.
    pub fn capture(&self) -> Capture {
        self.capture.clone().unwrap_or_default()
    }

    /// The changes that were made so far.
    pub fn happenings(&self) -> &[Happening] {
        &self.happenings
    }

    /// What a direction of a link did so far.
    pub fn link_counts(&self, link: LinkId, direction: Direction) -> LinkCounts {
        self.wires[link.0].pipe(direction).counts()
    }

    /// What a direction of a link met, from one change of its conditions to the next.
    pub fn phases(&self, link: LinkId, direction: Direction) -> &[Phase] {
        self.wires[link.0].pipe(direction).phases()
    }

    /// The numbers of the packets that a direction of a link lost or blocked so far; 1 is the first that it was
    /// offered.
    pub fn taken(&self, link: LinkId, direction: Direction) -> &[u64] {
        self.wires[link.0].pipe(direction).taken()
    }

    /// When a direction of a link was last offered a packet.
    pub fn last_offered(&self, link: LinkId, direction: Direction) -> Option<Time> {
        self.wires[link.0].pipe(direction).last_offered()
    }

    /// What all directions of all links did so far, together.
    pub fn counts(&self) -> LinkCounts {
        let mut sum = LinkCounts::default();
        for wire in &self.wires {
            sum += wire.up.counts();
            sum += wire.down.counts();
        }
        sum
    }

    /// What the NAT of a network did so far, if there is one.
    pub fn nat_counts(&self, network: NetworkId) -> Option<NatCounts> {
        self.networks[network.0].nat.as_ref().map(Nat::counts)
    }

    /// What all NATs did so far, together.
    pub fn all_nat_counts(&self) -> NatCounts {
        let mut sum = NatCounts::default();
        self.networks.iter().filter_map(|network| network.nat.as_ref()).for_each(|nat| sum += nat.counts());
        sum
    }

    /// Whom remotes see behind this network's NAT, if there is a NAT and a mapping.
    pub fn mapped(&self, network: NetworkId, inside: SocketAddr, remote: SocketAddr) -> Option<SocketAddr> {
        self.networks[network.0].nat.as_ref()?.mapped(self.now, inside, remote)
    }

    fn record(&mut self, at: Time, packet: &Packet, fate: Fate) {
        self.trace.record(at, packet, fate);
        if let Some(capture) = &mut self.capture {
            capture.packets.push((at, packet.clone(), fate));
        }
    }

    /// Lets everything happen that is due by now, each at its own moment.
    fn run_until(&mut self, now: Time) {
        while let Some((at, due)) = self.due.pop(now) {
            self.now = at;
            match due {
                Due::Pipe(link, direction) => {
                    let wire = &mut self.wires[link.0];
                    if *wire.due(direction) == Some(at) {
                        *wire.due(direction) = None;
                    }
                    self.leave(at, link, direction);
                }
                Due::Change(change) => self.make(at, change),
            }
        }
        self.now = self.now.max(now);
    }

    /// A packet enters a link.
    fn enter(&mut self, now: Time, link: LinkId, direction: Direction, packet: Packet) {
        self.wires[link.0].pipe_mut(direction).push(now, packet);
        self.look_after(link, direction);
    }

    /// Makes sure that a direction is looked at when it has something.
    fn look_after(&mut self, link: LinkId, direction: Direction) {
        let wire = &mut self.wires[link.0];
        let Some(next) = wire.pipe(direction).next_wakeup() else { return };
        let due = wire.due(direction);
        if due.is_none_or(|due| next < due) {
            *due = Some(next);
            self.due.push(next, Due::Pipe(link, direction));
        }
    }

    /// Takes out of a link what has come through.
    fn leave(&mut self, now: Time, link: LinkId, direction: Direction) {
        while let Some(exit) = self.wires[link.0].pipe_mut(direction).pop(now) {
            let wire = &self.wires[link.0];
            let (below, above) = (wire.below, wire.above);
            match (direction, below) {
                _ if !exit.fate.arrives() => self.record(exit.at, &exit.packet, exit.fate),
                (Direction::Up, _) => {
                    self.note_damage(&exit);
                    self.route(now, above, exit.packet);
                }
                (Direction::Down, Below::Network(network)) => {
                    self.note_damage(&exit);
                    self.enter_realm(now, network, exit.packet);
                }
                (Direction::Down, Below::Host(host)) => self.arrive(host, link, exit),
            }
        }
        self.look_after(link, direction);
    }

    /// Damage done on the way is an event of its own; at the last link the arrival says it.
    fn note_damage(&mut self, exit: &Exit) {
        if exit.fate != Fate::Delivered {
            self.record(exit.at, &exit.packet, exit.fate);
        }
    }

    fn arrive(&mut self, host: HostId, link: LinkId, exit: Exit) {
        let Exit { at, packet, fate, .. } = exit;
        let up = self.hosts[host.0].interfaces.iter().any(|interface| interface.link == link && interface.up);
        self.record(at, &packet, if up { fate } else { Fate::InterfaceDown });
        if up {
            self.deliveries.push_back(Delivery { at, host, packet });
        }
    }

    /// A packet from inside a network looks for its way.
    fn route(&mut self, now: Time, network: NetworkId, packet: Packet) {
        let here = &mut self.networks[network.0];
        if let Some(link) = here.routes.get(&packet.to.ip()) {
            let link = *link;
            return self.enter(now, link, Direction::Down, packet);
        }
        let Some(uplink) = here.uplink else { return self.record(now, &packet, Fate::NoRoute) };
        let translated = match &mut here.nat {
            Some(nat) => nat.outbound(now, packet.clone()),
            None => Ok(Outbound::Out(packet.clone())),
        };
        match translated {
            Ok(Outbound::Out(packet)) => self.enter(now, uplink, Direction::Up, packet),
            Ok(Outbound::Back(packet)) => self.route(now, network, packet),
            Err(fate) => self.record(now, &packet, fate),
        }
    }

    /// A packet from the parent enters a network.
    fn enter_realm(&mut self, now: Time, network: NetworkId, packet: Packet) {
        let here = &mut self.networks[network.0];
        let translated = match &mut here.nat {
            Some(nat) => nat.inbound(now, packet.clone()),
            None => Ok(packet.clone()),
        };
        match translated {
            Ok(packet) => match here.routes.get(&packet.to.ip()).copied() {
                Some(link) => self.enter(now, link, Direction::Down, packet),
                None => self.record(now, &packet, Fate::NoRoute),
            },
            Err(fate) => self.record(now, &packet, fate),
        }
    }
}

impl Wire {
    fn pipe(&self, direction: Direction) -> &Pipe {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn pipe_mut(&mut self, direction: Direction) -> &mut Pipe {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }

    fn due(&mut self, direction: Direction) -> &mut Option<Time> {
        match direction {
            Direction::Up => &mut self.up_due,
            Direction::Down => &mut self.down_due,
        }
    }
}
