//! How a NAT maps and filters, found out from both of its sides (RFC 5780, sections 4.3 and 4.4).

use std::net::{IpAddr, SocketAddr};

use bowline_netsim::Dependence;

/// What was found out about a NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) mapping: Dependence,
    pub(crate) filtering: Dependence,
    /// The outside port is the inside port where that is free.
    pub(crate) preserves_port: bool,
    /// Two clients with the same port have the same outside port towards one server.
    pub(crate) shares_port: bool,
    /// Clients can reach each other by their outside addresses.
    pub(crate) hairpins: bool,
}

/// Two clients behind a NAT, and a server with two addresses in front of it.
pub(crate) trait Lab {
    type Error;

    /// A client sends from this port to this remote; says whom the remote sees, if the packet arrives.
    fn outbound(
        &mut self,
        client: usize,
        port: u16,
        remote: SocketAddr,
    ) -> Result<Option<SocketAddr>, Self::Error>;

    /// A remote sends to an outside endpoint; says whether the client hears of it on that port.
    fn inbound(
        &mut self,
        client: usize,
        port: u16,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<bool, Self::Error>;

    /// A client sends to an outside endpoint of the other one, which has that port.
    fn hairpin(&mut self, from_port: u16, to: SocketAddr, to_port: u16) -> Result<bool, Self::Error>;
}

pub(crate) const REMOTE_PORTS: [u16; 2] = [3478, 3479];

/// Asks all questions; each has a port of its own, so that one answer leaves no trace in the next.
pub(crate) fn probe<L: Lab>(lab: &mut L, remotes: [IpAddr; 2]) -> Result<Option<Verdict>, L::Error> {
    let remote = |address: usize, port: usize| SocketAddr::new(remotes[address], REMOTE_PORTS[port]);
    let (first, port_only, address_only, both) = (remote(0, 0), remote(0, 1), remote(1, 0), remote(1, 1));

    // Who is seen by whom.
    let mut seen = Vec::new();
    for to in [first, address_only, both, port_only] {
        let Some(outside) = lab.outbound(0, 5_000, to)? else { return Ok(None) };
        seen.push(outside);
    }
    let mapping = if seen.iter().all(|outside| *outside == seen[0]) {
        Dependence::EndpointIndependent
    } else if seen[1] == seen[2] && seen[0] == seen[3] {
        Dependence::AddressDependent
    } else {
        Dependence::AddressAndPortDependent
    };
    let preserves_port = seen[0].port() == 5_000;

    // Who may answer whom: one remote was sent to, the others were not.
    let Some(outside) = lab.outbound(0, 5_002, first)? else { return Ok(None) };
    let filtering = if lab.inbound(0, 5_002, both, outside)? {
        Dependence::EndpointIndependent
    } else if lab.inbound(0, 5_002, port_only, outside)? {
        Dependence::AddressDependent
    } else {
        Dependence::AddressAndPortDependent
    };

    // The same port twice.
    let one = lab.outbound(0, 5_004, first)?;
    let shares_port = one.is_some() && one == lab.outbound(1, 5_004, first)?;

    let Some(outside) = lab.outbound(1, 5_006, first)? else { return Ok(None) };
    let hairpins = lab.hairpin(5_008, outside, 5_006)?;
    Ok(Some(Verdict { mapping, filtering, preserves_port, shares_port, hairpins }))
}
