//! How a NAT box behaves, as data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::values::{BadValue, Length};

/// What a mapping or a filter depends on (RFC 4787, sections 4.1 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dependence {
    /// On nothing but the inside address and port: one mapping for all remotes, open to all of them.
    EndpointIndependent,
    /// On the remote's address.
    AddressDependent,
    /// On the remote's address and port; as a mapping this is the "symmetric" NAT.
    AddressAndPortDependent,
}

/// Which packets keep a mapping alive (RFC 4787, section 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refresh {
    /// Only those from the inside.
    Outbound,
    /// Those that it lets in, too.
    Both,
}

/// How a NAT box behaves.
///
/// [`NatConfig::new`] is the box that RFC 4787 asks for; the setters take it from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NatConfig {
    pub(super) mapping: Dependence,
    pub(super) filtering: Dependence,
    pub(super) timeout: Length,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unreplied_timeout: Option<Length>,
    pub(super) refresh: Refresh,
    pub(super) preserve_ports: bool,
    pub(super) ports: [u16; 2],
    pub(super) hairpin: bool,
}

/// A remote that still answers after this long makes a session a stream (nf_conntrack_proto_udp.c in Linux).
pub(super) const STREAM_AFTER: Duration = Duration::from_secs(2);

impl NatConfig {
    /// The box that RFC 4787 asks for where transparency matters most: mapping and filtering independent of the
    /// endpoint (REQ-1, REQ-8), mappings live five minutes (REQ-5c) since the last packet from the inside
    /// (REQ-6), ports are preserved where possible, hairpinning works (REQ-9).
    pub fn new() -> Self {
        Self {
            mapping: Dependence::EndpointIndependent,
            filtering: Dependence::EndpointIndependent,
            timeout: Length(Duration::from_secs(300)),
            unreplied_timeout: None,
            refresh: Refresh::Outbound,
            preserve_ports: true,
            ports: [1, u16::MAX],
            hairpin: true,
        }
    }

    /// Linux masquerading as most home routers run it: the filter wants the exact remote, a mapping lives 30 s
    /// until a remote has answered for two seconds and 120 s from then on, packets in both directions refresh it
    /// (nf_conntrack_udp_timeout, nf_conntrack_udp_timeout_stream), no hairpinning. The mapping is independent of
    /// the endpoint, as Linux's looks from outside for as long as ports can be preserved.
    pub fn linux() -> Self {
        Self::new()
            .filtering(Dependence::AddressAndPortDependent)
            .timeout(Duration::from_secs(120))
            .unreplied_timeout(Duration::from_secs(30))
            .refresh(Refresh::Both)
            .hairpin(false)
    }

    /// What chooses the outside port.
    #[must_use]
    pub fn mapping(mut self, dependence: Dependence) -> Self {
        self.mapping = dependence;
        self
    }

    /// Who is let in.
    #[must_use]
    pub fn filtering(mut self, dependence: Dependence) -> Self {
        self.filtering = dependence;
        self
    }

    /// How long a mapping lives without a packet that refreshes it.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Length(timeout);
        self
    }

    /// A separate, shorter life until a remote has answered and the exchange has gone on for 2 s, as Linux has.
    #[must_use]
    pub fn unreplied_timeout(mut self, timeout: Duration) -> Self {
        self.unreplied_timeout = Some(Length(timeout));
        self
    }

    /// Which packets keep a mapping alive.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }

    /// Whether the outside port is the inside port where that is free.
    #[must_use]
    pub fn preserve_ports(mut self, preserve: bool) -> Self {
        self.preserve_ports = preserve;
        self
    }

    /// The outside ports there are, both ends included. When all are taken, new flows get nothing.
    #[must_use]
    pub fn ports(mut self, first: u16, last: u16) -> Self {
        self.ports = [first, last];
        self
    }

    /// Whether two hosts inside can reach each other by their outside addresses.
    #[must_use]
    pub fn hairpin(mut self, hairpin: bool) -> Self {
        self.hairpin = hairpin;
        self
    }

    /// How long it remembers who has been answered for a while.
    pub(crate) fn timeout_of_streams(&self) -> Duration {
        self.timeout.0
    }

    /// Whether it draws outside ports instead of preserving them.
    pub(crate) fn draws_ports(&self) -> bool {
        !self.preserve_ports
    }

    /// What is wrong with this configuration, if anything.
    pub fn check(&self) -> Result<(), BadValue> {
        let timeouts = [("timeout", Some(self.timeout)), ("unreplied-timeout", self.unreplied_timeout)];
        for (key, timeout) in timeouts {
            if timeout.is_some_and(|timeout| timeout.0.is_zero()) {
                let why = "is impossible: a NAT that forgets at once lets no answer in";
                return Err(BadValue::new(format!("nat {key} = 0s"), why));
            }
        }
        let [first, last] = self.ports;
        if first == 0 || first > last {
            let why = "is no range of ports: the first is 1 or more, the last not below it";
            return Err(BadValue::new(format!("nat ports = [{first}, {last}]"), why));
        }
        Ok(())
    }
}

impl Default for NatConfig {
    fn default() -> Self {
        Self::new()
    }
}
