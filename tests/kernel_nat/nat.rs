//! The kernel's NAT in one namespace: `in0` inside, `wan0` outside, rules of nftables, and the kernel's connection tracking.

use std::fmt::Write;
use std::time::Duration;

use crate::process::Problem;
use crate::sandbox::tool;

/// How connections get their outside ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The port is kept if it is free; who was sent to from inside may answer: a router at home.
    Restricted,
    /// A port at random for each connection: a carrier's.
    Symmetric,
}

/// What is other after a rebinding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anew {
    Port,
    Address,
}

/// What a NAT does to packets beside translating them.
#[derive(Clone, Copy, Debug, Default)]
struct Impairment {
    loss_percent: f64,
    blocked: bool,
}

/// Packets and bytes that were let through, IP headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) packets_out: u64,
    pub(crate) bytes_out: u64,
    pub(crate) packets_in: u64,
    pub(crate) bytes_in: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Nat {
    namespace: String,
    /// The first three numbers of its outside network.
    network: &'static str,
    kind: Kind,
    impairment: Impairment,
    /// How often it was rebound.
    generation: u32,
    /// The last number of its outside address.
    address: u32,
    /// The first of its outside ports, if it does not keep the inner ones.
    ports: Option<u32>,
}

/// Outside addresses that a NAT has, from .2 on.
pub(crate) const ADDRESSES: u32 = 8;

/// Blocks of outside ports: each rebinding takes the next.
const BLOCKS: u32 = 8;
const BLOCK: u32 = 2000;

impl Nat {
    pub(crate) fn new(namespace: String, network: &'static str) -> Self {
        Self {
            namespace,
            network,
            kind: Kind::Restricted,
            impairment: Impairment::default(),
            generation: 0,
            address: 2,
            ports: None,
        }
    }

    pub(crate) fn within(&self, name: &str, arguments: &[&str], input: &str) -> Result<String, Problem> {
        let namespace = format!("--net=/run/netns/{}", self.namespace);
        tool("nsenter", &[&[namespace.as_str(), name], arguments].concat(), input)
    }

    /// As a router is when it was just switched on.
    pub(crate) fn restart(&mut self, kind: Kind) -> Result<(), Problem> {
        self.kind = kind;
        self.impairment = Impairment::default();
        (self.address, self.ports) = (2, None);
        self.expire_after(Duration::from_secs(30), Duration::from_secs(120))?;
        self.translate()?;
        self.forget()
    }

    /// How long mappings live: those that were never answered, and the others.
    pub(crate) fn expire_after(&self, unreplied: Duration, stream: Duration) -> Result<(), Problem> {
        let sysctl = |name: &str, lifetime: Duration| {
            let script = format!("echo {} > /proc/sys/net/netfilter/nf_conntrack_{name}", lifetime.as_secs());
            self.within("sh", &["-c", &script], "").map(drop)
        };
        sysctl("udp_timeout", unreplied)?;
        sysctl("udp_timeout_stream", stream)
    }

    /// Every connection gets another port or address, as when a router at home was restarted.
    pub(crate) fn rebind(&mut self, anew: Anew) -> Result<(), Problem> {
        self.generation += 1;
        match anew {
            Anew::Port => self.ports = Some(20_000 + self.generation % BLOCKS * BLOCK),
            Anew::Address => self.address = 2 + self.generation % ADDRESSES,
        }
        self.translate()?;
        self.forget()
    }

    /// Loses a share of the packets that it forwards, either way.
    pub(crate) fn lose(&mut self, percent: f64) -> Result<(), Problem> {
        self.impairment.loss_percent = percent;
        self.impair()
    }

    /// Forwards nothing.
    pub(crate) fn block(&mut self, blocked: bool) -> Result<(), Problem> {
        self.impairment.blocked = blocked;
        self.impair()
    }

    /// Forgets all mappings.
    pub(crate) fn forget(&self) -> Result<(), Problem> {
        // It says on the standard error how many there were.
        self.within("conntrack", &["-F"], "").map(drop)
    }

    pub(crate) fn passed(&self) -> Result<Passed, Problem> {
        let list = self.within("nft", &["list", "counters", "table", "ip", "lab"], "")?;
        let mut passed = Passed::default();
        let mut name = "";
        for line in list.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            match words[..] {
                ["counter", counter, "{"] => {
                    name = if counter == "outwards" { "outwards" } else { "inwards" }
                }
                ["packets", packets, "bytes", bytes] => {
                    let (packets, bytes) = (packets.parse()?, bytes.parse()?);
                    match name {
                        "outwards" => (passed.packets_out, passed.bytes_out) = (packets, bytes),
                        _ => (passed.packets_in, passed.bytes_in) = (packets, bytes),
                    }
                }
                _ => {}
            }
        }
        Ok(passed)
    }

    fn translate(&self) -> Result<(), Problem> {
        let outside = format!("{}.{}", self.network, self.address);
        let source = match (self.kind, self.ports) {
            (Kind::Symmetric, _) => format!("snat to {outside} fully-random"),
            (Kind::Restricted, None) => format!("snat to {outside}"),
            (Kind::Restricted, Some(first)) => {
                format!("meta l4proto udp snat to {outside}:{first}-{}", first + BLOCK - 1)
            }
        };
        // What nobody asked for dies silently, without an ICMP message and without leaving a connection behind.
        let rules = format!(
            "table ip lab
            delete table ip lab
            table ip lab {{
                counter outwards {{}}
                counter inwards {{}}
                chain post {{ type nat hook postrouting priority srcnat; oifname wan0 {source}
                }}
                chain input {{ type filter hook input priority filter; iifname wan0 drop
                }}
                chain impair {{ type filter hook forward priority filter - 10;
                }}
                chain forward {{ type filter hook forward priority filter;
                    ct state invalid drop
                    iifname wan0 ct state new drop
                    iifname in0 counter name outwards
                    iifname wan0 counter name inwards
                }}
            }}"
        );
        self.within("nft", &["-f", "-"], &rules)?;
        self.impair()
    }

    fn impair(&self) -> Result<(), Problem> {
        let Impairment { loss_percent, blocked } = self.impairment;
        let mut rule = String::new();
        if blocked {
            write!(rule, "counter drop")?;
        } else if loss_percent > 0.0 {
            write!(rule, "numgen random mod 100000 < {} counter drop", (loss_percent * 1000.0) as u32)?;
        }
        let rules = format!("flush chain ip lab impair\ntable ip lab {{ chain impair {{ {rule}\n}}\n}}");
        self.within("nft", &["-f", "-"], &rules).map(drop)
    }
}
