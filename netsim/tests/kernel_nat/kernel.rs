//! The questions asked of the kernel, in network namespaces.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Output};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::Unavailable;
use super::probe::{Lab, REMOTE_PORTS, Verdict, probe};

/// Set in the process that has namespaces of its own.
const INSIDE: &str = "NETSIM_KERNEL_NAT_INSIDE";

/// How long a packet that must come may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs this program again with a network and a file system of its own, where this is allowed, so that nothing
/// outside is touched and everything is gone with it. Says how that went; nothing if this is the inner one, or if
/// it cannot be.
pub(crate) fn in_namespaces_of_our_own() -> Option<ExitCode> {
    if std::env::var_os(INSIDE).is_some() {
        return None;
    }
    let flags = namespace_flags().ok()?;
    // Named namespaces live in /run/netns.
    let script = "mount -t tmpfs netsim /run && mkdir /run/netns && exec \"$@\"";
    let inner = std::env::current_exe().ok()?;
    let mut command = Command::new("unshare");
    command.args(flags).args(["sh", "-c", script, "sh"]).arg(inner).args(std::env::args_os().skip(1));
    let error = command.env(INSIDE, "1").exec();
    eprintln!("the tests could not be run in namespaces of their own: {error}");
    Some(ExitCode::FAILURE)
}

/// As root, or as somebody who becomes root in a user namespace.
fn namespace_flags() -> Result<&'static [&'static str], String> {
    let ways: [&[&str]; 2] = [&["-nm"], &["-Urnm"]];
    let works = |flags: &&&[&str]| {
        let script = "mount -t tmpfs netsim /run && mkdir /run/netns";
        let output = Command::new("unshare").args(**flags).args(["sh", "-c", script]).output();
        output.is_ok_and(|output| output.status.success())
    };
    ways.iter().find(works).copied().ok_or_else(|| "network namespaces are not allowed here".to_owned())
}

pub(crate) fn verdict(rule: &str, open: bool, six: bool) -> Result<Verdict, Unavailable> {
    if std::env::var_os(INSIDE).is_none() {
        return Err(Unavailable::NotHere(namespace_flags().err().unwrap_or_default()));
    }
    for tool in ["ip", "nft"] {
        let found = tool_path(tool).is_some();
        if !found {
            return Err(Unavailable::NotHere(format!("the program {tool} is not installed")));
        }
    }
    let broken = |error: io::Error| Unavailable::Broken(error.to_string());
    let mut lab = Kernel::build(six).map_err(broken)?;
    if let Err(error) = lab.translate(rule, open) {
        // A kernel without NAT, or without this kind of it.
        return Err(Unavailable::NotHere(format!("the kernel's NAT does not take these rules: {error}")));
    }
    let remotes = lab.remotes;
    let verdict = probe(&mut lab, remotes).map_err(broken)?;
    verdict.ok_or_else(|| Unavailable::Broken("packets do not get out through the NAT".into()))
}

/// Namespaces `clients`, `nat` and `server`, in a row.
struct Kernel {
    prefix: String,
    six: bool,
    clients: [IpAddr; 2],
    outside: IpAddr,
    remotes: [IpAddr; 2],
    sockets: BTreeMap<SocketAddr, UdpSocket>,
    tokens: u32,
}

impl Kernel {
    fn build(six: bool) -> io::Result<Self> {
        let pick = |four: &str, in_six: &str| -> IpAddr {
            let text = if six { in_six } else { four };
            text.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]))
        };
        // Trials run beside each other.
        let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
        let lab = Self {
            prefix: format!("netsim{}{thread}", std::process::id()),
            six,
            clients: [pick("10.0.0.2", "fd00::2"), pick("10.0.0.3", "fd00::3")],
            outside: pick("203.0.113.1", "2001:db8:1::1"),
            remotes: [pick("203.0.113.2", "2001:db8:1::2"), pick("203.0.113.3", "2001:db8:1::3")],
            sockets: BTreeMap::new(),
            tokens: 0,
        };
        for name in ["clients", "nat", "server"] {
            run("ip", &["netns", "add", &lab.name(name)])?;
            run("ip", &["-n", &lab.name(name), "link", "set", "lo", "up"])?;
        }
        let inside = pick("10.0.0.1", "fd00::1");
        lab.link("clients", &lab.clients, "nat", "in0", &[inside])?;
        lab.link("server", &lab.remotes, "nat", "wan0", &[lab.outside])?;
        run("ip", &["-n", &lab.name("clients"), "route", "add", "default", "via", &inside.to_string()])?;
        lab.within("nat", || {
            fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
        })?;
        Ok(lab)
    }

    fn name(&self, namespace: &str) -> String {
        format!("{}{namespace}", self.prefix)
    }

    /// A cable between a host's `eth0` and an interface of the NAT.
    fn link(&self, host: &str, addresses: &[IpAddr], nat: &str, end: &str, its: &[IpAddr]) -> io::Result<()> {
        let (host, nat) = (self.name(host), self.name(nat));
        run(
            "ip",
            &["link", "add", "eth0", "netns", &host, "type", "veth", "peer", "name", end, "netns", &nat],
        )?;
        for (namespace, interface, addresses) in [(&host, "eth0", addresses), (&nat, end, its)] {
            for address in addresses {
                let length = if self.six { 64 } else { 24 };
                let address = format!("{address}/{length}");
                let mut arguments = vec!["-n", namespace, "addr", "add", &address, "dev", interface];
                if self.six {
                    // Nobody else is there whose address it could be.
                    arguments.push("nodad");
                }
                run("ip", &arguments)?;
            }
            run("ip", &["-n", namespace, "link", "set", interface, "up"])?;
        }
        Ok(())
    }

    /// Sets up the NAT. What nobody asked for dies silently, as in a box at home.
    fn translate(&self, rule: &str, open: bool) -> io::Result<()> {
        let rule = rule.replace("OUTSIDE", &self.outside.to_string());
        let rule = if self.six {
            rule.replacen(&format!("{}:", self.outside), &format!("[{}]:", self.outside), 1)
        } else {
            rule
        };
        let (family, kind) = if self.six { ("ip6", "ipv6_addr") } else { ("ip", "ipv4_addr") };
        let (remember, ask) = match open {
            true => (
                format!("iifname in0 meta l4proto udp update @cone {{ udp sport : {family} saddr }}"),
                "iifname wan0 meta l4proto udp dnat to udp dport map @cone".to_owned(),
            ),
            false => (String::new(), String::new()),
        };
        let rules = format!(
            "table {family} lab {{
                map cone {{ type inet_service : {kind}; flags dynamic; size 1024; }}
                chain pre {{ type nat hook prerouting priority dstnat; {ask}
                }}
                chain post {{ type nat hook postrouting priority srcnat; oifname wan0 {rule}
                }}
                chain input {{ type filter hook input priority filter; meta l4proto udp drop
                }}
                chain forward {{ type filter hook forward priority filter;
                    {remember}
                    iifname wan0 ct state new ct status & dnat == 0 drop
                }}
            }}"
        );
        run("ip", &["netns", "exec", &self.name("nat"), "nft", &rules]).map(drop)
    }

    /// Does something in a namespace; sockets that are made there stay there.
    fn within<T: Send>(&self, namespace: &str, act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let file = File::open(format!("/run/netns/{}", self.name(namespace)))?;
        // Only this thread moves.
        std::thread::scope(|scope| {
            let moved = scope.spawn(move || {
                setns(file, CloneFlags::CLONE_NEWNET)?;
                act()
            });
            moved.join().map_err(|_| io::Error::other("it panicked"))?
        })
    }

    fn socket(&mut self, namespace: &str, address: SocketAddr) -> io::Result<UdpSocket> {
        if !self.sockets.contains_key(&address) {
            let socket = self.within(namespace, move || UdpSocket::bind(address))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            self.sockets.insert(address, socket);
        }
        self.sockets[&address].try_clone()
    }

    fn server(&mut self, address: SocketAddr) -> io::Result<UdpSocket> {
        self.socket("server", address)
    }

    fn client(&mut self, client: usize, port: u16) -> io::Result<UdpSocket> {
        self.socket("clients", SocketAddr::new(self.clients[client], port))
    }

    /// A payload that was never sent before.
    fn token(&mut self) -> [u8; 4] {
        self.tokens += 1;
        self.tokens.to_be_bytes()
    }

    /// Whether a packet arrived, given that the one behind it on the same way has.
    fn arrived_before(socket: &UdpSocket, first: [u8; 4], second: [u8; 4]) -> io::Result<bool> {
        let mut seen = false;
        loop {
            let mut payload = [0; 4];
            socket.recv_from(&mut payload)?;
            seen |= payload == first;
            if payload == second {
                return Ok(seen);
            }
        }
    }

    /// What nobody may answer is seen to be lost by what comes behind it: a remote that the client speaks to.
    fn beacon(&mut self, client: usize, port: u16) -> io::Result<(SocketAddr, SocketAddr)> {
        let remote = SocketAddr::new(self.remotes[1], REMOTE_PORTS[0] + 100);
        let outside = self.outbound(client, port, remote)?;
        outside.map(|outside| (remote, outside)).ok_or_else(|| io::Error::other("packets do not get out"))
    }
}

impl Lab for Kernel {
    type Error = io::Error;

    fn outbound(&mut self, client: usize, port: u16, remote: SocketAddr) -> io::Result<Option<SocketAddr>> {
        let (server, token) = (self.server(remote)?, self.token());
        self.client(client, port)?.send_to(&token, remote)?;
        loop {
            let mut payload = [0; 4];
            let (_, from) = server.recv_from(&mut payload)?;
            if payload == token {
                return Ok(Some(from));
            }
        }
    }

    fn inbound(&mut self, client: usize, port: u16, from: SocketAddr, to: SocketAddr) -> io::Result<bool> {
        let (first, second) = (self.token(), self.token());
        self.server(from)?.send_to(&first, to)?;
        // Only then is there a way for what comes behind it.
        let (remote, outside) = self.beacon(client, port)?;
        self.server(remote)?.send_to(&second, outside)?;
        Self::arrived_before(&self.client(client, port)?, first, second)
    }

    fn hairpin(&mut self, from_port: u16, to: SocketAddr, to_port: u16) -> io::Result<bool> {
        let (first, second) = (self.token(), self.token());
        self.client(0, from_port)?.send_to(&first, to)?;
        let (remote, outside) = self.beacon(1, to_port)?;
        self.server(remote)?.send_to(&second, outside)?;
        Self::arrived_before(&self.client(1, to_port)?, first, second)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        for name in ["clients", "nat", "server"] {
            // What could not be made is not there; the rest goes with the process.
            run("ip", &["netns", "del", &self.name(name)]).ok();
        }
    }
}

/// Where administrators' programs are, which are not always on everybody's path.
const FOLDERS: [&str; 6] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin", "/usr/local/bin"];

fn tool_path(tool: &str) -> Option<String> {
    FOLDERS.iter().map(|folder| format!("{folder}/{tool}")).find(|path| fs::exists(path).unwrap_or(false))
}

fn run(tool: &str, arguments: &[&str]) -> io::Result<Output> {
    let path = tool_path(tool).unwrap_or_else(|| tool.to_owned());
    let output = Command::new(path).args(arguments).env("PATH", FOLDERS.join(":")).output()?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("{tool} {}: {said}", arguments.join(" "))))
}
