//! Sockets that count what goes through them.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bowline::{SocketFactory, UdpSockets};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// Makes them.
#[derive(Debug)]
pub(crate) struct Counted {
    sockets: UdpSockets,
    figures: Arc<Figures>,
}

/// Datagrams and bytes of their payloads, in and out.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    packets: AtomicU64,
    bytes: AtomicU64,
}

/// Those of a moment.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    packets: u64,
    bytes: u64,
}

impl Figures {
    pub(crate) fn now(&self) -> Counts {
        Counts { packets: self.packets.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }

    fn count(&self, bytes: usize, segment: Option<usize>) {
        let packets = segment.map_or(1, |segment| bytes.div_ceil(segment.max(1)));
        self.packets.fetch_add(packets as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Counts {
    pub(crate) fn since(self, before: Self) -> (u64, u64) {
        (self.packets - before.packets, self.bytes - before.bytes)
    }
}

impl Counted {
    pub(crate) fn new(sockets: UdpSockets) -> Self {
        Self { sockets, figures: Arc::default() }
    }

    pub(crate) fn figures(&self) -> Arc<Figures> {
        self.figures.clone()
    }
}

impl SocketFactory for Counted {
    fn bind(&self, local: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(CountedSocket { socket: self.sockets.bind(local)?, figures: self.figures.clone() }))
    }
}

#[derive(Debug)]
struct CountedSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    figures: Arc<Figures>,
}

impl AsyncUdpSocket for CountedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)?;
        self.figures.count(transmit.contents.len(), transmit.segment_size);
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(self.socket.poll_recv(cx, bufs, meta))?;
        for meta in meta.iter().take(read) {
            self.figures.count(meta.len, Some(meta.stride));
        }
        Poll::Ready(Ok(read))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
