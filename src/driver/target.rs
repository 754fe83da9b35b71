//! Where to dial.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::ConnectError;

/// The peer to dial: `host:port`, `192.0.2.1:port`, `[2001:db8::1]:port`, or an address.
///
/// Names are resolved again at every dial. What is not of this form is reported by the dial, as
/// [`ConnectError::BadTarget`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Address(SocketAddr),
    Name { host: String, port: u16 },
    Bad { text: String, problem: &'static str },
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self(Kind::Address(address))
    }
}

impl From<(IpAddr, u16)> for Target {
    fn from(address: (IpAddr, u16)) -> Self {
        Self(Kind::Address(address.into()))
    }
}

impl From<(Ipv4Addr, u16)> for Target {
    fn from(address: (Ipv4Addr, u16)) -> Self {
        Self(Kind::Address(address.into()))
    }
}

impl From<(Ipv6Addr, u16)> for Target {
    fn from(address: (Ipv6Addr, u16)) -> Self {
        Self(Kind::Address(address.into()))
    }
}

impl From<&str> for Target {
    fn from(text: &str) -> Self {
        Self(parse(text).unwrap_or_else(|problem| Kind::Bad { text: text.to_owned(), problem }))
    }
}

impl From<String> for Target {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for Target {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Address(address) => address.fmt(f),
            Kind::Name { host, port } => write!(f, "{host}:{port}"),
            Kind::Bad { text, .. } => f.write_str(text),
        }
    }
}

impl Target {
    /// The name that the peer's certificate must be for, unless something else is said.
    pub(super) fn server_name(&self) -> Result<String, ConnectError> {
        match &self.0 {
            Kind::Address(address) => Ok(address.ip().to_string()),
            Kind::Name { host, .. } => Ok(host.clone()),
            Kind::Bad { text, problem } => {
                Err(ConnectError::BadTarget { target: text.clone(), problem: (*problem).to_owned() })
            }
        }
    }

    /// The addresses it has now, in the order in which to try them: the resolver's, families in turn, IPv6 first.
    pub(super) async fn resolve(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        let (host, port) = match &self.0 {
            Kind::Address(address) => return Ok(vec![*address]),
            Kind::Name { host, port } => (host, *port),
            Kind::Bad { .. } => return self.server_name().map(|_| Vec::new()),
        };
        let unresolvable = |source| ConnectError::Unresolvable { host: host.clone(), source };
        let found = tokio::net::lookup_host((host.as_str(), port)).await.map_err(unresolvable)?;
        let addresses = in_turn(found);
        if addresses.is_empty() {
            return Err(unresolvable(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
        }
        Ok(addresses)
    }

    /// For a resolver that takes too long.
    pub(super) fn unresolved(&self) -> ConnectError {
        ConnectError::Unresolvable { host: self.to_string(), source: io::ErrorKind::TimedOut.into() }
    }
}

fn parse(text: &str) -> Result<Kind, &'static str> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 { Err("port 0 cannot be dialed") } else { Ok(Kind::Address(address)) };
    }
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let port = port.parse().map_err(|_| "the port is not a number from 1 to 65535")?;
    if port == 0 {
        return Err("port 0 cannot be dialed");
    }
    match host {
        "" => Err("the host is missing"),
        _ if host.contains(['[', ']', '/', ' ', '@']) => Err("the host is not a name or an address"),
        _ if host.contains(':') => Err("an IPv6 address must be in brackets"),
        _ => Ok(Kind::Name { host: host.to_owned(), port }),
    }
}

fn in_turn(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = found.partition(SocketAddr::is_ipv6);
    let longest = v6.len().max(v4.len());
    (0..longest).flat_map(|at| [v6.get(at), v4.get(at)]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        assert_eq!(Target::from("192.0.2.1:4433"), Target::from((Ipv4Addr::new(192, 0, 2, 1), 4433)));
        assert_eq!(Target::from("[::1]:4433"), Target::from((Ipv6Addr::LOCALHOST, 4433)));
        assert_eq!(Target::from("peer.example:4433").server_name().unwrap(), "peer.example");
        assert_eq!(Target::from("[::1]:4433").server_name().unwrap(), "::1");
    }

    #[test]
    fn what_cannot_be_dialed_says_why() {
        for (text, problem) in [
            ("peer.example", "port is missing"),
            ("peer.example:http", "not a number"),
            ("peer.example:65536", "not a number"),
            ("peer.example:0", "port 0"),
            ("127.0.0.1:0", "port 0"),
            (":4433", "host is missing"),
            ("::1:4433", "brackets"),
            ("quic://peer.example:4433", "not a name"),
        ] {
            let error = Target::from(text).server_name().unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains(text), "{error}");
        }
    }

    #[test]
    fn families_take_turns() {
        let addresses: Vec<SocketAddr> =
            ["1.1.1.1:1", "2.2.2.2:1", "[::3]:1"].iter().map(|it| it.parse().unwrap()).collect();
        let [one, two, three] = addresses[..] else { unreachable!() };
        assert_eq!(in_turn([one, two, three].into_iter()), [three, one, two]);
    }
}
