//! The NATs on the way, one behind another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::nat::{Nat, NatConfig, Outbound};
use crate::packet::{Fate, Packet};
use crate::scenario::NatStep;
use crate::time::Time;
use crate::values::BadValue;

/// Longer than any proxy runs.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The NATs between the clients and the server, the one nearest to the clients first. There is at least one: a
/// proxy gives its clients other ports, whatever it does.
#[derive(Debug)]
pub(super) struct Nats {
    nats: Vec<Nat>,
    addresses: u16,
}

impl Nats {
    /// Boxes that behave like this; one that never forgets if there is none.
    pub(super) fn new(seed: u64, configs: &[NatConfig]) -> Result<Self, BadValue> {
        let open = [NatConfig::new().timeout(FOREVER)];
        let configs = if configs.is_empty() { &open } else { configs };
        let nat = |(realm, config): (usize, &NatConfig)| {
            // The names that a `World` gives them, so that they draw the same ports.
            Nat::new(&format!("client.nat{realm}"), seed, config.clone(), outside(realm, 0).to_vec())
        };
        let nats = configs.iter().enumerate().map(nat).collect::<Result<_, _>>()?;
        Ok(Self { nats, addresses: 0 })
    }

    /// Whom the server sees in this client's place, if it has a mapping in every box.
    pub(super) fn mapped(&self, now: Time, client: SocketAddr, server: SocketAddr) -> Option<SocketAddr> {
        self.nats.iter().try_fold(client, |inside, nat| nat.mapped(now, inside, server))
    }

    /// When the first of those mappings expires if nothing refreshes it.
    pub(super) fn mapped_until(&self, now: Time, client: SocketAddr, server: SocketAddr) -> Option<Time> {
        let mut inside = client;
        let mut first = None;
        for nat in &self.nats {
            let until = nat.mapped_until(now, inside, server)?;
            first = Some(first.map_or(until, |first: Time| first.min(until)));
            inside = nat.mapped(now, inside, server)?;
        }
        first
    }

    pub(super) fn outbound(&mut self, now: Time, packet: Packet) -> Result<Packet, Fate> {
        self.nats.iter_mut().try_fold(packet, |packet, nat| match nat.outbound(now, packet)? {
            Outbound::Out(packet) => Ok(packet),
            // The server is none of our boxes.
            Outbound::Back(_) => Err(Fate::NoRoute),
        })
    }

    pub(super) fn inbound(&mut self, now: Time, packet: Packet) -> Result<Packet, Fate> {
        self.nats.iter_mut().rev().try_fold(packet, |packet, nat| nat.inbound(now, packet))
    }

    /// Something happens to the box that is nearest to the server.
    pub(super) fn apply(&mut self, step: NatStep) {
        let realm = self.nats.len() - 1;
        let outermost = &mut self.nats[realm];
        match step {
            NatStep::RebindPorts => outermost.rebind_ports(),
            NatStep::RebindAddress => {
                self.addresses = self.addresses.wrapping_add(1);
                outside(realm, self.addresses).into_iter().for_each(|new| outermost.rebind_address(new));
            }
            NatStep::Forget => outermost.forget(),
            NatStep::Reboot => outermost.reboot(),
        }
    }

    /// All boxes forget all mappings.
    pub(super) fn forget(&mut self) {
        self.nats.iter_mut().for_each(Nat::forget);
    }

    /// This client is not coming back, as far as anybody knows.
    pub(super) fn forget_client(&mut self, client: SocketAddr) {
        if let Some(nearest) = self.nats.first_mut() {
            nearest.forget_endpoint(client);
        }
    }
}

/// Addresses for the outside of a box that no server has: from the range that is reserved (RFC 1112, section 4) and
/// the one that is discarded (RFC 6666). Nobody outside this module sees them.
fn outside(realm: usize, number: u16) -> [IpAddr; 2] {
    let [high, low] = number.to_be_bytes();
    let realm = realm as u8;
    [
        Ipv4Addr::new(240, realm, high, low).into(),
        Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, u16::from(realm) + 1, number).into(),
    ]
}
