//! The world that a scenario describes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::plan::{ClientPlan, Planned};
use super::{NatStep, Plan, Scenario};
use crate::nat::NatConfig;
use crate::values::BadValue;
use crate::world::{Change, HostId, Link, LinkId, NatChange, NetworkId, World};

/// The world of a scenario, with the hosts that a program wants to run on.
#[derive(Debug)]
#[non_exhaustive]
pub struct Path {
    /// The world, with everything that is going to happen.
    pub world: World,
    /// The clients, each on a path of its own.
    pub clients: Vec<HostId>,
    /// The server, in the internet.
    pub server: HostId,
    /// The server's address.
    pub server_address: IpAddr,
    /// The server's link, which is perfect: for whoever wants a delay beyond the NATs.
    pub server_link: LinkId,
    /// What is going to happen.
    pub plan: Plan,
}

/// Each client may have this many public addresses, one after the other.
const ADDRESSES_PER_CLIENT: u32 = 64;

impl Scenario {
    /// The world of one client and a server.
    pub fn build(&self, seed: u64) -> Result<Path, BadValue> {
        self.build_clients(seed, 1)
    }

    /// The world of many clients, each on its own path to one server, with its own luck.
    pub fn build_clients(&self, seed: u64, clients: usize) -> Result<Path, BadValue> {
        self.check()?;
        if clients == 0 || clients > 1_000 {
            return Err(BadValue::new(format!("{clients} clients"), "are not between 1 and 1000"));
        }
        let mut world = World::new(seed);
        let server = world.host("server");
        let server_address = self.address(Ipv4Addr::new(198, 51, 100, 1), 0xffff, 1);
        let server_link = world.attach(server, World::INTERNET, [server_address], Link::perfect())?;
        let plan = Plan { scenario: self.clone(), clients: Vec::new() };
        let mut path = Path { world, clients: Vec::new(), server, server_address, server_link, plan };
        for number in 0..clients {
            self.add_client(&mut path, seed, number as u32)?;
        }
        Ok(path)
    }

    fn add_client(&self, path: &mut Path, seed: u64, number: u32) -> Result<(), BadValue> {
        let name = if number == 0 { "client".to_owned() } else { format!("client{number}") };
        let client = path.world.host(&name);
        let mut public = (0..ADDRESSES_PER_CLIENT).map(|index| self.public(number, index));
        let mut fresh =
            || public.next().ok_or_else(|| BadValue::new("at", "rebinds the address more than 60 times"));

        let (up, down) = self.first();
        let link = Link::new(up, down);
        let (first, nat) = self.add_access(&mut path.world, client, &name, &self.nat, link, fresh()?)?;
        let mut other = None;
        if let Some(access) = &self.other {
            let (up, down) = access.conditions();
            let (link, name) = (Link::new(up, down), format!("{name}.other"));
            let (link, _) = self.add_access(&mut path.world, client, &name, &access.nat, link, fresh()?)?;
            other = Some(link);
        }
        let occurrences = self.occurrences(seed, &name);
        for (at, planned) in self.schedule(&occurrences) {
            let mut plan = |change| path.world.change_at(at, change);
            match (planned, nat, other) {
                (Planned::Link(direction, conditions), ..) => {
                    plan(Change::Link(first, direction, conditions))?;
                }
                (Planned::Leave, _, Some(other)) => {
                    plan(Change::Interface(client, first, false))?;
                    plan(Change::Interface(client, other, false))?;
                }
                (Planned::Arrive, _, Some(other)) => plan(Change::Interface(client, other, true))?,
                (Planned::Nat(what), Some(nat), _) => plan(Change::Nat(nat, what.change(&mut fresh)?))?,
                // The check has refused moves without another network, and NATs that are not there.
                _ => {}
            }
        }
        path.clients.push(client);
        path.plan.clients.push(ClientPlan { first, other, nat, occurrences });
        Ok(())
    }

    /// An interface behind these NATs; says which NAT is nearest to the internet.
    fn add_access(
        &self,
        world: &mut World,
        client: HostId,
        name: &str,
        nats: &[NatConfig],
        link: Link,
        public: IpAddr,
    ) -> Result<(LinkId, Option<NetworkId>), BadValue> {
        let mut network = World::INTERNET;
        let mut outermost = None;
        for (realm, config) in nats.iter().enumerate().rev() {
            let outside = if network == World::INTERNET { public } else { self.private(realm + 1) };
            let name = format!("{name}.nat{realm}");
            network = world.nat(&name, network, [outside], config.clone(), Link::perfect())?;
            outermost.get_or_insert(network);
        }
        let address = if nats.is_empty() { public } else { self.private(0) };
        Ok((world.attach(client, network, [address], link)?, outermost))
    }

    /// An address inside, the same for every client: each is behind NATs of its own.
    fn private(&self, realm: usize) -> IpAddr {
        self.address(Ipv4Addr::new(10, realm as u8, 0, 2), 0xfd00 + realm as u16, 2)
    }

    /// The public addresses of a client, from the range for benchmarks (RFC 2544).
    fn public(&self, client: u32, index: u32) -> IpAddr {
        let offset = client * ADDRESSES_PER_CLIENT + index + 1;
        let four = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + offset);
        self.address(four, client as u16, index as u16 + 1)
    }

    fn address(&self, four: Ipv4Addr, group: u16, host: u16) -> IpAddr {
        if self.ipv6 { Ipv6Addr::new(0x2001, 0xdb8, group, 0, 0, 0, 0, host).into() } else { four.into() }
    }
}

impl NatStep {
    fn change(self, mut fresh: impl FnMut() -> Result<IpAddr, BadValue>) -> Result<NatChange, BadValue> {
        Ok(match self {
            Self::RebindPorts => NatChange::RebindPorts,
            Self::RebindAddress => NatChange::RebindAddress(fresh()?),
            Self::Forget => NatChange::Forget,
            Self::Reboot => NatChange::Reboot,
        })
    }
}
