//! What can happen to a world while packets are on their way.

use std::fmt;
use std::net::IpAddr;

use super::{Direction, Due, HostId, LinkId, NetworkId, World};
use crate::link::Conditions;
use crate::time::Time;
use crate::values::BadValue;

/// Something that happens to a world.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// One direction of a link changes its conditions.
    Link(LinkId, Direction, Box<Conditions>),
    /// An interface goes up or down.
    Interface(HostId, LinkId, bool),
    /// Something happens to the NAT of a network.
    Nat(NetworkId, NatChange),
}

/// Something that happens to a NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatChange {
    /// Every flow gets another outside port.
    RebindPorts,
    /// It gets another outside address.
    RebindAddress(IpAddr),
    /// All mappings are gone, as if they had expired.
    Forget,
    /// It restarts.
    Reboot,
}

impl fmt::Display for NatChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RebindPorts => f.write_str("rebind-ports"),
            Self::RebindAddress(new) => write!(f, "rebind-address {new}"),
            Self::Forget => f.write_str("forget"),
            Self::Reboot => f.write_str("reboot"),
        }
    }
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Happening {
    /// When.
    pub at: Time,
    /// What.
    pub change: Change,
    /// How many mappings a change of a NAT took away.
    pub mappings: u64,
}

impl World {
    /// Makes a change now.
    pub fn change(&mut self, now: Time, change: Change) -> Result<(), BadValue> {
        self.check(&change)?;
        self.run_until(now);
        self.make(now, change);
        Ok(())
    }

    /// Makes a change at a moment to come. Changes for the same moment are made in the order of the calls.
    pub fn change_at(&mut self, at: Time, change: Change) -> Result<(), BadValue> {
        self.check(&change)?;
        self.due.push(at, Due::Change(change));
        Ok(())
    }

    fn check(&self, change: &Change) -> Result<(), BadValue> {
        match change {
            Change::Link(_, _, conditions) => conditions.check(),
            Change::Interface(host, link, _) => {
                let known = self.hosts[host.0].interfaces.iter().any(|interface| interface.link == *link);
                let what = || format!("that link at {:?}", self.hosts[host.0].name);
                if known { Ok(()) } else { Err(BadValue::new(what(), "is no interface of that host")) }
            }
            Change::Nat(network, change) => {
                let here = &self.networks[network.0];
                if here.nat.is_none() {
                    return Err(BadValue::new(format!("the network {:?}", here.name), "has no NAT"));
                }
                match (change, here.uplink) {
                    (NatChange::RebindAddress(new), Some(uplink)) => {
                        self.check_free(self.wires[uplink.0].above, &[*new])
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    pub(super) fn make(&mut self, now: Time, change: Change) {
        let before = self.mappings_taken(&change);
        match &change {
            Change::Link(link, direction, conditions) => {
                self.wires[link.0].pipe_mut(*direction).impose(now, conditions);
                self.look_after(*link, *direction);
            }
            Change::Interface(host, link, up) => {
                let interfaces = self.hosts[host.0].interfaces.iter_mut();
                interfaces
                    .filter(|interface| interface.link == *link)
                    .for_each(|interface| interface.up = *up);
            }
            Change::Nat(network, NatChange::RebindAddress(new)) => self.readdress(*network, *new),
            Change::Nat(network, change) => {
                if let Some(nat) = &mut self.networks[network.0].nat {
                    match change {
                        NatChange::RebindPorts | NatChange::RebindAddress(_) => nat.rebind_ports(),
                        NatChange::Forget => nat.forget(),
                        NatChange::Reboot => nat.reboot(),
                    }
                }
            }
        }
        let mappings = self.mappings_taken(&change) - before;
        self.happenings.push(Happening { at: now, change, mappings });
    }

    /// How many mappings the NAT that this change is about has lost by such changes so far.
    fn mappings_taken(&self, change: &Change) -> u64 {
        let Change::Nat(network, _) = change else { return 0 };
        self.nat_counts(*network).map_or(0, |counts| counts.rebound + counts.forgotten)
    }

    fn readdress(&mut self, network: NetworkId, new: IpAddr) {
        let here = &mut self.networks[network.0];
        let (Some(nat), Some(uplink)) = (&mut here.nat, here.uplink) else { return };
        let before = nat.outside().to_vec();
        nat.rebind_address(new);
        let after = nat.outside().to_vec();
        let parent = self.wires[uplink.0].above;
        for gone in before.iter().filter(|address| !after.contains(address)) {
            self.withdraw(parent, *gone);
        }
        for come in after.iter().filter(|address| !before.contains(address)) {
            self.announce(parent, *come, uplink);
        }
    }
}
