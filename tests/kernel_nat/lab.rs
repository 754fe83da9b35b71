//! The lab: a client with two networks, the NAT of each, the middle of the internet, and a server.
//!
//! ```text
//! client  eth0 10.10.1.2 ── nat A 198.51.1.2–9 ──┐
//!         eth1 10.10.2.2 ── nat B 198.51.2.2–9 ──┴─ middle 203.0.113.1 ── server 198.51.100.2
//! ```
//!
//! Each is a network namespace. In the middle runs the *delay line*: this program again, as netsim's proxy, which holds every packet for
//! half a round trip. Clients send to it as if it were the server; the server sees another address when the NAT has given the client
//! another one, as it would without it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bowline_netsim::proxy::{Options, Proxy, Side};

use crate::nat::{ADDRESSES, Kind, Nat};
use crate::process::{Problem, Process, exit_code, now};
use crate::sandbox::tool;

/// Whom clients dial.
pub(crate) const TARGET: &str = "203.0.113.1:4433";
/// Where the server really listens.
pub(crate) const SERVER: &str = "198.51.100.2:4433";

/// Half of the round trip.
pub(crate) const ONE_WAY: Duration = Duration::from_millis(20);

/// A cable that was plugged in carries packets by then, or something is wrong.
const CABLE: Duration = Duration::from_secs(10);

/// More clients than any case has.
const MAPPINGS_MAX: usize = 2048;

const HOSTS: [&str; 5] = ["client", "nat-a", "nat-b", "middle", "server"];

/// The networks that the client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    A,
    B,
}

/// See the module. What it is made of is gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Lab {
    name: String,
    pub(crate) nat: Nat,
    nat_b: Nat,
    delay_line: Option<Process>,
}

impl Lab {
    /// Builds one. Several can stand beside each other under different names.
    pub(crate) fn build(name: &str) -> Result<Self, Problem> {
        let name = format!("bowline{}{name}", std::process::id());
        let nat = |host: &str, network| Nat::new(format!("{name}-{host}"), network);
        let (nat_a, nat_b) = (nat("nat-a", "198.51.1"), nat("nat-b", "198.51.2"));
        let lab = Self { name, nat: nat_a, nat_b, delay_line: None };
        for host in HOSTS {
            tool("ip", &["netns", "add", &lab.host(host)], "")?;
            lab.ip(host, "link set lo up")?;
        }
        lab.link(("client", "eth0", "10.10.1.2/24"), ("nat-a", "in0", "10.10.1.1/24"))?;
        lab.link(("client", "eth1", "10.10.2.2/24"), ("nat-b", "in0", "10.10.2.1/24"))?;
        for (nat, end, network) in [("nat-a", "wan-a", "198.51.1"), ("nat-b", "wan-b", "198.51.2")] {
            lab.link((nat, "wan0", &format!("{network}.2/24")), ("middle", end, &format!("{network}.1/24")))?;
            let more = (3..2 + ADDRESSES).map(|last| format!("addr add {network}.{last}/24 dev wan0\n"));
            lab.ip(nat, &format!("{}route add default via {network}.1", more.collect::<String>()))?;
            lab.within(nat, "sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])?;
        }
        lab.link(("server", "eth0", "198.51.100.2/24"), ("middle", "server0", "198.51.100.1/24"))?;
        lab.ip("middle", "addr add 203.0.113.1/32 dev lo")?;
        lab.ip("server", "route add default via 198.51.100.1")?;
        for namespace in ["client", "middle"] {
            lab.within(namespace, "sh", &["-c", "echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter"])?;
        }
        Ok(lab)
    }

    /// As new: routers just switched on, the client in its first network, nothing on its way.
    pub(crate) fn reset(&mut self, kind: Kind) -> Result<(), Problem> {
        self.delay_line = None;
        self.nat.restart(kind)?;
        self.nat_b.restart(kind)?;
        self.ip("client", "link set eth0 up\nlink set eth1 up")?;
        self.route(Network::A)?;
        let delay_line = std::env::current_exe()?;
        let arguments = ["delay-line", TARGET, SERVER, &ONE_WAY.as_millis().to_string()];
        let mut delay_line = Process::start(&self.host("middle"), &delay_line, arguments)?;
        delay_line.event("ready")?;
        self.delay_line = Some(delay_line);
        Ok(())
    }

    /// Starts a program on a host.
    pub(crate) fn start(&self, host: &str, program: &Path, arguments: &[&str]) -> Result<Process, Problem> {
        Process::start(&self.host(host), program, arguments)
    }

    /// The network that the client was in is gone, its interface and its address with it; it has the other one.
    pub(crate) fn move_to(&self, network: Network) -> Result<(), Problem> {
        let (gone, there) = match network {
            Network::A => ("eth1", "eth0"),
            Network::B => ("eth0", "eth1"),
        };
        self.ip("client", &format!("link set {there} up"))?;
        let nat = if network == Network::A { "nat-a" } else { "nat-b" };
        // A cable that was just plugged in carries nothing for up to a second, which is not what is measured.
        for (host, interface) in [("client", there), (nat, "in0")] {
            let carries = || -> Result<bool, Problem> {
                let state = tool("ip", &["-n", &self.host(host), "link", "show", "dev", interface], "")?;
                Ok(state.contains("state UP"))
            };
            let late = now() + CABLE;
            while !carries()? {
                if now() > late {
                    return Err(format!("{interface} of {host} carries nothing after {CABLE:?}").into());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.route(network)?;
        self.ip("client", &format!("link set {gone} down"))
    }

    /// Nothing is forwarded, in either network.
    pub(crate) fn block(&mut self, blocked: bool) -> Result<(), Problem> {
        self.nat.block(blocked)?;
        self.nat_b.block(blocked)
    }

    fn route(&self, network: Network) -> Result<(), Problem> {
        let (gateway, interface) = match network {
            Network::A => ("10.10.1.1", "eth0"),
            Network::B => ("10.10.2.1", "eth1"),
        };
        self.ip("client", &format!("route replace default via {gateway} dev {interface}"))
    }

    pub(crate) fn host(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    fn within(&self, host: &str, name: &str, arguments: &[&str]) -> Result<String, Problem> {
        let namespace = format!("--net=/run/netns/{}", self.host(host));
        tool("nsenter", &[&[namespace.as_str(), name], arguments].concat(), "")
    }

    /// Commands of `ip`, a line each, on a host.
    fn ip(&self, host: &str, commands: &str) -> Result<(), Problem> {
        tool("ip", &["-n", &self.host(host), "-batch", "-"], &format!("{commands}\n")).map(drop)
    }

    /// A cable between two hosts, each with its interface and address there.
    fn link(&self, near: (&str, &str, &str), far: (&str, &str, &str)) -> Result<(), Problem> {
        let (near_host, far_host) = (self.host(near.0), self.host(far.0));
        let make = ["link", "add", near.1, "netns", &near_host, "type", "veth", "peer", "name", far.1];
        tool("ip", &[&make[..], &["netns", &far_host]].concat(), "")?;
        for (host, interface, address) in [near, far] {
            // Loss and counters act on datagrams as they travel, not on trains of 64 KiB.
            let size = "gso_max_segs 1 gso_max_size 65536";
            let commands = format!("addr add {address} dev {interface}\nlink set {interface} {size} up");
            self.ip(host, &commands)?;
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.delay_line = None;
        for host in HOSTS {
            // What could not be made is not there; and all of it goes with the process.
            let _ = tool("ip", &["netns", "del", &self.host(host)], "");
        }
    }
}

/// Holds every packet between `listen` and `upstream` for so long, until the process is killed.
pub(crate) fn delay_line(arguments: &[String]) -> ExitCode {
    let run = || -> Result<(), Problem> {
        let [listen, upstream, one_way_ms] = arguments else { return Err("three arguments".into()) };
        let (listen, upstream): (SocketAddr, SocketAddr) = (listen.parse()?, upstream.parse()?);
        let delay = Duration::from_millis(one_way_ms.parse()?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let proxy = Proxy::bind(listen, upstream, Options::new().max_mappings(MAPPINGS_MAX)).await?;
            proxy.set_delay(Side::Both, delay)?;
            println!("{{\"event\":\"ready\"}}");
            std::future::pending::<()>().await;
            Ok(())
        })
    };
    exit_code("delay line", run())
}
