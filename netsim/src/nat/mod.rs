//! A NAT box: who inside is seen as whom outside, who is let in, and for how long.
//!
//! | file | what it holds |
//! |---|---|
//! | `config` | how a box behaves, as data |
//! | `ports` | which outside port a new mapping gets |
//! | `mapping` | one mapping: its remotes and how long it lives |
//!
//! The box has no links of its own and no clock: each call is given `now`.

mod config;
mod mapping;
mod ports;
#[cfg(test)]
mod rfc4787;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::AddAssign;

pub use config::{Dependence, NatConfig, Refresh};
use mapping::Mapping;
use ports::Ports;

use crate::packet::{Fate, Packet};
use crate::random::Draws;
use crate::time::Time;
use crate::values::BadValue;

/// A NAT box.
#[derive(Debug)]
pub struct Nat {
    config: NatConfig,
    /// The outside addresses; each family has a pool of its own, which may be empty.
    outside: Vec<IpAddr>,
    mappings: BTreeMap<SocketAddr, Mapping>,
    by_key: BTreeMap<Key, SocketAddr>,
    /// Which outside address an inside address has (REQ-2: paired).
    paired: BTreeMap<IpAddr, IpAddr>,
    /// Where flows were mapped before a forced rebind: not there again.
    displaced: BTreeMap<Key, SocketAddr>,
    ports: Ports,
    counts: NatCounts,
}

/// What selects a mapping: the inside endpoint and as much of the remote as the mapping depends on.
type Key = (SocketAddr, Option<IpAddr>, Option<u16>);

/// A packet from the inside, translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// It goes out.
    Out(Packet),
    /// It was for another host inside, by its outside address (hairpinning).
    Back(Packet),
}

/// What a NAT box really did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatCounts {
    /// Packets that went out.
    pub outbound: u64,
    /// Packets that were let in.
    pub inbound: u64,
    /// Packets that turned round inside.
    pub hairpinned: u64,
    /// Mappings that were made.
    pub mapped: u64,
    /// Mappings that were found to have expired.
    pub expired: u64,
    /// Packets from outside for which there was no mapping.
    pub unmapped: u64,
    /// Packets from remotes that the filter does not let in.
    pub filtered: u64,
    /// Packets from inside for which no port was left.
    pub exhausted: u64,
    /// Mappings that a forced rebind of ports or of the address took away.
    pub rebound: u64,
    /// Mappings that a reboot or an order to forget took away.
    pub forgotten: u64,
}

impl Nat {
    /// A box with this name and these outside addresses. A family without an outside address is not translated
    /// and passes as it is.
    pub fn new(name: &str, seed: u64, config: NatConfig, outside: Vec<IpAddr>) -> Result<Self, BadValue> {
        config.check()?;
        let ports = Ports::new(Draws::new(seed, name, "port"), &config);
        Ok(Self {
            config,
            outside,
            mappings: BTreeMap::new(),
            by_key: BTreeMap::new(),
            paired: BTreeMap::new(),
            displaced: BTreeMap::new(),
            ports,
            counts: NatCounts::default(),
        })
    }

    /// A packet comes from the inside. `Err` says why it goes nowhere.
    pub fn outbound(&mut self, now: Time, mut packet: Packet) -> Result<Outbound, Fate> {
        if !self.translates(packet.from.ip()) {
            return Ok(Outbound::Out(packet));
        }
        let remote = packet.to;
        let outside = self.mapping_for(now, packet.from, remote)?;
        if let Some(mapping) = self.mappings.get_mut(&outside) {
            mapping.sends_to(now, remote, &self.config);
        }
        packet.from = outside;
        if !self.outside.contains(&remote.ip()) {
            self.counts.outbound += 1;
            return Ok(Outbound::Out(packet));
        }
        if !self.config.hairpin {
            return Err(Fate::NoRoute);
        }
        let packet = self.let_in(now, packet)?;
        self.counts.hairpinned += 1;
        Ok(Outbound::Back(packet))
    }

    /// A packet comes from the outside. `Err` says why it is not let in.
    pub fn inbound(&mut self, now: Time, packet: Packet) -> Result<Packet, Fate> {
        if !self.translates(packet.to.ip()) {
            return Ok(packet);
        }
        let packet = self.let_in(now, packet)?;
        self.counts.inbound += 1;
        Ok(packet)
    }

    /// The outside address and port of an inside endpoint towards this remote, if it has one now.
    pub fn mapped(&self, now: Time, inside: SocketAddr, remote: SocketAddr) -> Option<SocketAddr> {
        let outside = self.by_key.get(&self.key(inside, remote))?;
        self.mappings.get(outside).filter(|mapping| mapping.lives(now)).map(|_| *outside)
    }

    /// When that mapping expires if nothing refreshes it, if there is one now.
    pub fn mapped_until(&self, now: Time, inside: SocketAddr, remote: SocketAddr) -> Option<Time> {
        let outside = self.mapped(now, inside, remote)?;
        self.mappings.get(&outside).map(Mapping::until)
    }

    /// Every flow that is mapped now gets another outside port with its next packet from the inside; until then
    /// nothing gets in.
    pub fn rebind_ports(&mut self) {
        self.counts.rebound += self.mappings.len() as u64;
        self.displaced.extend(std::mem::take(&mut self.by_key));
        self.mappings.clear();
    }

    /// The box gets another outside address of that family; all mappings on the old one are gone.
    pub fn rebind_address(&mut self, new: IpAddr) {
        let Some(old) = self.outside.iter_mut().find(|old| old.is_ipv4() == new.is_ipv4()) else { return };
        let old = std::mem::replace(old, new);
        let before = self.mappings.len();
        self.mappings.retain(|outside, _| outside.ip() != old);
        self.by_key.retain(|_, outside| outside.ip() != old);
        self.paired.retain(|_, outside| *outside != old);
        self.counts.rebound += (before - self.mappings.len()) as u64;
    }

    /// All mappings are gone, as if they had expired; preserved ports come back with the next packets.
    pub fn forget(&mut self) {
        self.counts.forgotten += self.mappings.len() as u64;
        self.mappings.clear();
        self.by_key.clear();
    }

    /// Forgets where an inside endpoint without a mapping once was. Whoever serves strangers for long asks for
    /// this, or the box remembers them all.
    pub fn forget_endpoint(&mut self, inside: SocketAddr) {
        self.displaced.retain(|(endpoint, ..), _| *endpoint != inside);
        if !self.mappings.values().any(|mapping| mapping.inside().ip() == inside.ip()) {
            self.paired.remove(&inside.ip());
        }
    }

    /// The box restarts: it knows nothing any more.
    pub fn reboot(&mut self) {
        self.forget();
        self.paired.clear();
        self.displaced.clear();
    }

    /// The outside addresses.
    pub fn outside(&self) -> &[IpAddr] {
        &self.outside
    }

    /// How it behaves.
    pub fn config(&self) -> &NatConfig {
        &self.config
    }

    /// What it did so far.
    pub fn counts(&self) -> NatCounts {
        self.counts
    }

    /// Whether addresses of this family are hidden behind it.
    pub fn translates(&self, address: IpAddr) -> bool {
        self.outside.iter().any(|outside| outside.is_ipv4() == address.is_ipv4())
    }

    fn key(&self, inside: SocketAddr, remote: SocketAddr) -> Key {
        match self.config.mapping {
            Dependence::EndpointIndependent => (inside, None, None),
            Dependence::AddressDependent => (inside, Some(remote.ip()), None),
            Dependence::AddressAndPortDependent => (inside, Some(remote.ip()), Some(remote.port())),
        }
    }

    /// The outside endpoint that speaks for this inside endpoint, made if there is none.
    fn mapping_for(&mut self, now: Time, inside: SocketAddr, remote: SocketAddr) -> Result<SocketAddr, Fate> {
        if let Some(outside) = self.mapped(now, inside, remote) {
            return Ok(outside);
        }
        self.purge(now);
        let key = self.key(inside, remote);
        let address = self.address_for(inside.ip());
        let not = self.displaced.get(&key).copied();
        let taken = |port| {
            let outside = SocketAddr::new(address, port);
            self.mappings.contains_key(&outside) || not == Some(outside)
        };
        let Some(port) = self.ports.choose(inside.port(), not.is_none(), taken) else {
            self.counts.exhausted += 1;
            return Err(Fate::NatExhausted);
        };
        let outside = SocketAddr::new(address, port);
        self.mappings.insert(outside, Mapping::new(now, inside));
        self.by_key.insert(key, outside);
        self.counts.mapped += 1;
        Ok(outside)
    }

    fn address_for(&mut self, inside: IpAddr) -> IpAddr {
        let pool: Vec<_> = self.outside.iter().filter(|ip| ip.is_ipv4() == inside.is_ipv4()).collect();
        let next = *pool[self.paired.len() % pool.len()];
        *self.paired.entry(inside).or_insert(next)
    }

    fn let_in(&mut self, now: Time, mut packet: Packet) -> Result<Packet, Fate> {
        let Some(mapping) = self.mappings.get_mut(&packet.to).filter(|mapping| mapping.lives(now)) else {
            self.purge(now);
            self.counts.unmapped += 1;
            return Err(Fate::NatUnmapped);
        };
        if !mapping.lets_in(now, packet.from, self.config.filtering) {
            self.counts.filtered += 1;
            return Err(Fate::NatFiltered);
        }
        mapping.hears_from(now, packet.from, &self.config);
        packet.to = mapping.inside();
        Ok(packet)
    }

    /// Takes away what has expired.
    fn purge(&mut self, now: Time) {
        let before = self.mappings.len();
        self.mappings.retain(|_, mapping| mapping.lives(now));
        self.counts.expired += (before - self.mappings.len()) as u64;
        let mappings = &self.mappings;
        self.by_key.retain(|_, outside| mappings.contains_key(outside));
    }
}

impl AddAssign for NatCounts {
    fn add_assign(&mut self, other: Self) {
        self.outbound += other.outbound;
        self.inbound += other.inbound;
        self.hairpinned += other.hairpinned;
        self.mapped += other.mapped;
        self.expired += other.expired;
        self.unmapped += other.unmapped;
        self.filtered += other.filtered;
        self.exhausted += other.exhausted;
        self.rebound += other.rebound;
        self.forgotten += other.forgotten;
    }
}
