//! UDP sockets that take many datagrams in one call, with their ECN marks.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::engine::Datagram;
use crate::packet::Ecn;

/// What the operating system is asked to keep for us while we are busy. It may give less (Linux: rmem_max).
const SOCKET_BUFFER_BYTES: usize = 8 << 20;

/// The largest UDP payload, or as many smaller ones as the kernel glues together.
const DATAGRAM_BYTES: usize = u16::MAX as usize;

#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
}

/// A datagram that came in.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) from: SocketAddr,
    /// The address of ours that it was sent to, where the system says so.
    pub(super) to: Option<IpAddr>,
    pub(super) ecn: Ecn,
    pub(super) payload: Bytes,
}

/// Where datagrams come in. One for all sockets of a proxy.
#[derive(Debug)]
pub(super) struct Buffers {
    bytes: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
}

/// A socket of the operating system that listens here.
pub(super) fn listen(addr: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = open(addr)?;
    if addr.ip() == IpAddr::from([0_u16; 8]) {
        // On [::] clients of both families are welcome, where the system can do that.
        socket.set_only_v6(false).ok();
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// A socket of the operating system that talks with this address only.
fn connected(addr: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = open(addr)?;
    socket.connect(&addr.into())?;
    Ok(socket.into())
}

fn open(addr: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    // More room is better, but none of it is a condition.
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES).ok();
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES).ok();
    Ok(socket)
}

impl Socket {
    /// To be called inside a tokio runtime.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self { io: UdpSocket::from_std(socket)?, state })
    }

    /// A socket that talks with this address only. To be called inside a tokio runtime.
    pub(super) fn connect(addr: SocketAddr) -> io::Result<Self> {
        Self::new(connected(addr)?)
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Waits for datagrams and lets this take them, as often as there are some.
    pub(super) async fn readable<T>(&self, take: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        // A refusal shows as an error without anything to read.
        self.io.async_io(Interest::READABLE | Interest::ERROR, take).await
    }

    /// Sends it now, or not at all.
    pub(super) fn send(&self, to: SocketAddr, source: Option<IpAddr>, datagram: &Datagram) -> io::Result<()> {
        let transmit = Transmit {
            destination: to,
            ecn: match datagram.ecn {
                Ecn::NotEct => None,
                Ecn::Ect0 => Some(EcnCodepoint::Ect0),
                Ecn::Ect1 => Some(EcnCodepoint::Ect1),
                Ecn::Ce => Some(EcnCodepoint::Ce),
            },
            contents: &datagram.payload,
            segment_size: None,
            src_ip: source,
        };
        // Past tokio, which would have a new socket wait for its first readiness.
        self.state.try_send(UdpSockRef::from(&self.io), &transmit)
    }
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; BATCH_SIZE * DATAGRAM_BYTES], metas: [RecvMeta::default(); BATCH_SIZE] }
    }

    /// Takes what has come in at this socket, one batch of it. Does not wait.
    pub(super) fn receive(&mut self, socket: &Socket) -> io::Result<Vec<Received>> {
        let mut slices: Vec<_> = self.bytes.chunks_mut(DATAGRAM_BYTES).map(IoSliceMut::new).collect();
        let count = socket.state.recv(UdpSockRef::from(&socket.io), &mut slices, &mut self.metas)?;
        let mut received = Vec::with_capacity(count);
        for (meta, buffer) in self.metas.iter().zip(self.bytes.chunks(DATAGRAM_BYTES)).take(count) {
            let glued = buffer.get(..meta.len).unwrap_or(buffer);
            let mut take = |payload: &[u8]| {
                received.push(Received {
                    from: meta.addr,
                    to: meta.dst_ip,
                    ecn: match meta.ecn {
                        None => Ecn::NotEct,
                        Some(EcnCodepoint::Ect0) => Ecn::Ect0,
                        Some(EcnCodepoint::Ect1) => Ecn::Ect1,
                        Some(EcnCodepoint::Ce) => Ecn::Ce,
                    },
                    payload: Bytes::copy_from_slice(payload),
                });
            };
            if glued.is_empty() {
                take(&[]);
            } else {
                glued.chunks(meta.stride.max(1)).for_each(take);
            }
        }
        Ok(received)
    }
}
