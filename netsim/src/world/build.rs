//! Building a world: networks, hosts and the links between them.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::{Below, Direction, Host, HostId, Interface, LinkId, Network, NetworkId, Wire, World};
use crate::link::{Conditions, Pipe};
use crate::nat::{Nat, NatConfig};
use crate::packet::Packet;
use crate::queue::EventHeap;
use crate::time::Time;
use crate::trace::{Capture, Trace};
use crate::values::BadValue;

/// A link to be: the conditions of its two directions.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Link {
    /// Towards the internet.
    pub up: Conditions,
    /// Away from the internet.
    pub down: Conditions,
}

impl Link {
    /// A link that does nothing to packets.
    pub fn perfect() -> Self {
        Self::default()
    }

    /// A link that is alike in both directions. Their luck differs all the same.
    pub fn both(conditions: Conditions) -> Self {
        Self { up: conditions.clone(), down: conditions }
    }

    /// A link with these conditions up and those down.
    pub fn new(up: Conditions, down: Conditions) -> Self {
        Self { up, down }
    }
}

impl World {
    /// A world with nothing but the internet.
    pub fn new(seed: u64) -> Self {
        let internet = Network { name: "internet".into(), uplink: None, nat: None, routes: BTreeMap::new() };
        Self {
            seed,
            networks: vec![internet],
            hosts: Vec::new(),
            wires: Vec::new(),
            due: EventHeap::new(),
            deliveries: VecDeque::new(),
            trace: Trace::new(true),
            capture: None,
            happenings: Vec::new(),
            sent: 0,
            now: Time::ZERO,
        }
    }

    /// Keeps only the hash and the counts of events, not the events. For runs of millions of packets.
    #[must_use]
    pub fn without_events(mut self) -> Self {
        self.trace = Trace::new(false);
        self
    }

    /// Keeps the packets themselves, payloads included.
    #[must_use]
    pub fn with_capture(mut self) -> Self {
        self.capture = Some(Capture::default());
        self
    }

    /// A router: a network behind another. Its name must be its own; the luck of its link is drawn by it.
    pub fn network(&mut self, name: &str, parent: NetworkId, link: Link) -> Result<NetworkId, BadValue> {
        self.add_network(name, parent, link, None)
    }

    /// A network behind a NAT with these outside addresses in its parent.
    pub fn nat(
        &mut self,
        name: &str,
        parent: NetworkId,
        outside: impl IntoIterator<Item = IpAddr>,
        config: NatConfig,
        link: Link,
    ) -> Result<NetworkId, BadValue> {
        let nat = Nat::new(name, self.seed, config, outside.into_iter().collect())?;
        self.add_network(name, parent, link, Some(nat))
    }

    fn add_network(
        &mut self,
        name: &str,
        parent: NetworkId,
        link: Link,
        nat: Option<Nat>,
    ) -> Result<NetworkId, BadValue> {
        let id = NetworkId(self.networks.len());
        let outside = nat.as_ref().map(|nat| nat.outside().to_vec()).unwrap_or_default();
        let uplink = LinkId(self.wires.len());
        self.check_free(parent, &outside)?;
        self.add_wire(name, Below::Network(id), parent, &link)?;
        self.networks.push(Network { name: name.into(), uplink: Some(uplink), nat, routes: BTreeMap::new() });
        outside.into_iter().for_each(|address| self.announce(parent, address, uplink));
        Ok(id)
    }

    /// A host without an interface.
    pub fn host(&mut self, name: &str) -> HostId {
        self.hosts.push(Host { name: name.into(), interfaces: Vec::new() });
        HostId(self.hosts.len() - 1)
    }

    /// Gives a host an interface in a network, up and with these addresses. The first interface of a host that
    /// is up is the one that it sends from.
    pub fn attach(
        &mut self,
        host: HostId,
        network: NetworkId,
        addresses: impl IntoIterator<Item = IpAddr>,
        link: Link,
    ) -> Result<LinkId, BadValue> {
        let addresses: Vec<_> = addresses.into_iter().collect();
        self.check_free(network, &addresses)?;
        let name = format!("{}.{}", self.hosts[host.0].name, self.hosts[host.0].interfaces.len());
        let id = LinkId(self.wires.len());
        self.add_wire(&name, Below::Host(host), network, &link)?;
        addresses.iter().for_each(|address| self.announce(network, *address, id));
        self.hosts[host.0].interfaces.push(Interface { link: id, addresses, up: true });
        Ok(id)
    }

    /// The link between a network and its parent; the internet has none.
    pub fn uplink(&self, network: NetworkId) -> Option<LinkId> {
        self.networks[network.0].uplink
    }

    /// Loses every packet in this direction, besides those that the conditions take, for which this is true.
    pub fn drop_if(
        &mut self,
        link: LinkId,
        direction: Direction,
        predicate: impl FnMut(u64, &Packet) -> bool + Send + 'static,
    ) {
        self.wires[link.0].pipe_mut(direction).drop_if(predicate);
    }

    fn add_wire(&mut self, name: &str, below: Below, above: NetworkId, link: &Link) -> Result<(), BadValue> {
        if self.wires.iter().any(|wire| wire.name == name) {
            return Err(BadValue::new(
                format!("the name {name:?}"),
                "is taken: each draws its luck by its name",
            ));
        }
        let pipe = |direction, conditions| Pipe::new(&format!("{name}.{direction}"), self.seed, conditions);
        let (up, down) = (pipe("up", &link.up)?, pipe("down", &link.down)?);
        self.wires.push(Wire { name: name.into(), below, above, up, down, up_due: None, down_due: None });
        Ok(())
    }

    pub(super) fn check_free(&self, network: NetworkId, addresses: &[IpAddr]) -> Result<(), BadValue> {
        let routes = &self.networks[network.0].routes;
        match addresses.iter().find(|address| routes.contains_key(address)) {
            Some(taken) => {
                let what = format!("the address {taken} in {:?}", self.networks[network.0].name);
                Err(BadValue::new(what, "is taken"))
            }
            None => Ok(()),
        }
    }

    /// Makes an address known in a network, and in those above it as far as no NAT hides it.
    pub(super) fn announce(&mut self, network: NetworkId, address: IpAddr, link: LinkId) {
        let here = &mut self.networks[network.0];
        here.routes.insert(address, link);
        let hidden = here.nat.as_ref().is_some_and(|nat| nat.translates(address));
        if let Some(uplink) = here.uplink.filter(|_| !hidden) {
            self.announce(self.wires[uplink.0].above, address, uplink);
        }
    }

    /// Takes back what was announced.
    pub(super) fn withdraw(&mut self, network: NetworkId, address: IpAddr) {
        let here = &mut self.networks[network.0];
        here.routes.remove(&address);
        let hidden = here.nat.as_ref().is_some_and(|nat| nat.translates(address));
        if let Some(uplink) = here.uplink.filter(|_| !hidden) {
            self.withdraw(self.wires[uplink.0].above, address);
        }
    }
}
