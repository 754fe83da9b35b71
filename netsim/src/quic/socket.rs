//! Quinn's socket and runtime, on the simulation. Only this file implements quinn's traits.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};

use super::Shared;
use crate::packet::{Ecn, Packet};
use crate::world::HostId;

/// As many datagrams as Linux takes in one GSO batch.
const SEGMENTS_MAX: usize = 64;

/// A socket on a host of the simulation; give it to quinn. Dropping it frees its port.
pub struct SimSocket {
    shared: Arc<Shared>,
    host: HostId,
    bound: SocketAddr,
}

impl SimSocket {
    pub(super) fn new(shared: Arc<Shared>, host: HostId, bound: SocketAddr) -> Self {
        Self { shared, host, bound }
    }

    /// The address and port it is bound to.
    pub fn bound(&self) -> SocketAddr {
        self.bound
    }

    fn source(&self, asked: Option<IpAddr>, to: IpAddr) -> io::Result<SocketAddr> {
        let ip = match asked {
            Some(ip) => ip,
            None if !self.bound.ip().is_unspecified() => self.bound.ip(),
            // The host is in no network now. What it sends is lost, as a datagram may be.
            None => self.shared.lock().world.source_address(self.host, to).unwrap_or(self.bound.ip()),
        };
        if ip.is_ipv4() != to.is_ipv4() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a socket speaks one family of addresses",
            ));
        }
        Ok(SocketAddr::new(ip, self.bound.port()))
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let from = self.source(transmit.src_ip, transmit.destination.ip())?;
        let ecn = match transmit.ecn {
            None => Ecn::NotEct,
            Some(EcnCodepoint::Ect0) => Ecn::Ect0,
            Some(EcnCodepoint::Ect1) => Ecn::Ect1,
            Some(EcnCodepoint::Ce) => Ecn::Ce,
        };
        let batch = Bytes::copy_from_slice(transmit.contents);
        let segment = transmit.segment_size.unwrap_or(batch.len()).max(1);
        let now = self.shared.now();
        {
            let mut state = self.shared.lock();
            for start in (0..batch.len()).step_by(segment) {
                let payload = batch.slice(start..batch.len().min(start + segment));
                let packet = Packet::new(from, transmit.destination, payload).ecn(ecn);
                state.world.send(now, self.host, packet);
            }
        }
        self.shared.sent.notify_one();
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.shared.lock();
        let Some(inbox) = state.sockets.get_mut(&(self.host, self.bound.port())) else {
            return Poll::Pending;
        };
        let mut filled = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some(packet) = inbox.packets.pop_front() else { break };
            inbox.bytes -= packet.payload.len();
            let len = packet.payload.len().min(buf.len());
            buf[..len].copy_from_slice(&packet.payload[..len]);
            *meta = RecvMeta::default();
            meta.addr = packet.from;
            meta.len = len;
            meta.stride = len;
            meta.ecn = match packet.ecn {
                Ecn::NotEct => None,
                Ecn::Ect0 => Some(EcnCodepoint::Ect0),
                Ecn::Ect1 => Some(EcnCodepoint::Ect1),
                Ecn::Ce => Some(EcnCodepoint::Ce),
            };
            meta.dst_ip = Some(packet.to.ip());
            filled += 1;
        }
        if filled > 0 {
            return Poll::Ready(Ok(filled));
        }
        inbox.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.bound)
    }

    fn max_transmit_segments(&self) -> usize {
        SEGMENTS_MAX
    }

    /// Otherwise quinn would not look for the path's MTU.
    fn may_fragment(&self) -> bool {
        false
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.shared.lock().sockets.remove(&(self.host, self.bound.port()));
    }
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimSocket").field("host", &self.host).field("bound", &self.bound).finish()
    }
}

/// The queue of a link drops what does not fit; a simulated socket never makes anybody wait.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Quinn's runtime in a simulation: tokio's, on its paused clock, without real sockets.
#[derive(Debug)]
pub struct SimRuntime;

impl Runtime for SimRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        TokioRuntime.spawn(future);
    }

    fn wrap_udp_socket(&self, _: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a simulation has no real sockets: use Sim::bind"))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}
