//! A packet, and what can become of it.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;

/// A UDP datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where it says it comes from; a NAT rewrites this.
    pub from: SocketAddr,
    /// Where it goes; a NAT rewrites this.
    pub to: SocketAddr,
    /// The congestion mark in its IP header.
    pub ecn: Ecn,
    /// What is inside.
    pub payload: Bytes,
    /// Which packet of its world it is; 0 before it is sent.
    pub(crate) id: u64,
}

impl Packet {
    /// A packet with another congestion mark.
    #[must_use]
    pub fn ecn(mut self, ecn: Ecn) -> Self {
        self.ecn = ecn;
        self
    }

    /// A packet without a congestion mark.
    pub fn new(from: SocketAddr, to: SocketAddr, payload: impl Into<Bytes>) -> Self {
        Self { from, to, ecn: Ecn::NotEct, payload: payload.into(), id: 0 }
    }

    /// Its length as an IP packet: the payload, 8 bytes of UDP and 20 (IPv4) or 40 (IPv6) of IP.
    ///
    /// Rates, queues and MTUs count these bytes.
    pub fn wire_len(&self) -> usize {
        self.payload.len() + if self.to.is_ipv4() { 28 } else { 48 }
    }
}

/// The ECN field of an IP header (RFC 3168).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// The sender does not take part.
    #[default]
    NotEct,
    /// ECN-capable transport, codepoint 1.
    Ect1,
    /// ECN-capable transport, codepoint 0.
    Ect0,
    /// Congestion was experienced.
    Ce,
}

/// What became of a packet, at one place on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// A host sent it.
    Sent,
    /// It arrived.
    Delivered,
    /// It came out of a link with one bit flipped.
    Corrupted,
    /// A second copy of it came out of a link.
    Duplicated,
    /// A link lost it.
    Lost,
    /// A link was blocked.
    Blocked,
    /// It was larger than a link's MTU.
    TooBig,
    /// The queue of a link was full.
    QueueFull,
    /// A NAT had no mapping for it: it had never existed, or it had expired.
    NatUnmapped,
    /// A NAT's filter does not let this remote in.
    NatFiltered,
    /// A NAT had no port left.
    NatExhausted,
    /// Nobody has that address.
    NoRoute,
    /// The host has no interface that is up with that address.
    InterfaceDown,
    /// No socket was listening on that port.
    NoSocket,
    /// The socket's buffer was full.
    SocketFull,
}

impl Fate {
    /// Whether the packet, or a copy of it, got through.
    pub fn arrives(self) -> bool {
        matches!(self, Self::Delivered | Self::Corrupted | Self::Duplicated)
    }

    /// Its name in events and summaries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Corrupted => "corrupted",
            Self::Duplicated => "duplicated",
            Self::Lost => "lost",
            Self::Blocked => "blocked",
            Self::TooBig => "too_big",
            Self::QueueFull => "queue_full",
            Self::NatUnmapped => "nat_unmapped",
            Self::NatFiltered => "nat_filtered",
            Self::NatExhausted => "nat_exhausted",
            Self::NoRoute => "no_route",
            Self::InterfaceDown => "interface_down",
            Self::NoSocket => "no_socket",
            Self::SocketFull => "socket_full",
        }
    }

    /// A number for the trace hash. Numbers are never reused.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Sent => 1,
            Self::Delivered => 2,
            Self::Corrupted => 3,
            Self::Duplicated => 4,
            Self::Lost => 5,
            Self::Blocked => 6,
            Self::TooBig => 7,
            Self::QueueFull => 8,
            Self::NatUnmapped => 9,
            Self::NatFiltered => 10,
            Self::NatExhausted => 11,
            Self::NoRoute => 12,
            Self::InterfaceDown => 13,
            Self::NoSocket => 14,
            Self::SocketFull => 15,
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
