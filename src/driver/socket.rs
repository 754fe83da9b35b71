//! UDP sockets, from a source that a simulation can replace.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

/// Makes the sockets of an endpoint: one that listens, and a fresh one for each dial.
pub trait SocketFactory: fmt::Debug + Send + Sync + 'static {
    /// A socket bound to `local`; port 0 stands for any free one.
    ///
    /// # Errors
    ///
    /// Whatever the system says. When the socket was meant for a dial, the address is given up and the others of the
    /// target are tried.
    fn bind(&self, local: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>>;

    /// The address from which packets to `remote` leave this host, if that is known. It tells networks apart, of which
    /// something is remembered. Default: not known.
    fn local_ip(&self, remote: SocketAddr) -> Option<IpAddr> {
        let _ = remote;
        None
    }
}

/// Sockets of the operating system.
///
/// They ask for buffers of 4 MiB in each direction, since the usual 208 KiB lose packets even on loopback, and take
/// what the system allows (on Linux `net.core.rmem_max` and `wmem_max`). IPv6 sockets are dual-stack where possible.
#[derive(Clone, Debug)]
pub struct UdpSockets {
    runtime: Arc<dyn quinn::Runtime>,
}

const BUFFER_BYTES: usize = 4 * 1024 * 1024;

impl UdpSockets {
    /// Sockets that `runtime` can wait for.
    pub fn new(runtime: Arc<dyn quinn::Runtime>) -> Self {
        Self { runtime }
    }
}

impl SocketFactory for UdpSockets {
    fn bind(&self, local: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
        if local.is_ipv6()
            && let Err(error) = socket.set_only_v6(false)
        {
            tracing::debug!(%error, "the socket takes IPv6 only");
        }
        for error in [socket.set_recv_buffer_size(BUFFER_BYTES), socket.set_send_buffer_size(BUFFER_BYTES)]
            .into_iter()
            .filter_map(Result::err)
        {
            tracing::debug!(%error, "the socket keeps its default buffer");
        }
        socket.bind(&local.into())?;
        self.runtime.wrap_udp_socket(socket.into())
    }

    /// Sends nothing: connecting a UDP socket only chooses a route.
    fn local_ip(&self, remote: SocketAddr) -> Option<IpAddr> {
        let unspecified: SocketAddr = match remote {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(unspecified).ok()?;
        socket.connect(remote).ok()?;
        Some(socket.local_addr().ok()?.ip())
    }
}
