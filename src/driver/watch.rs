//! Notices by itself that this machine has another network, on Linux (feature `watch`).
//!
//! The kernel says over rtnetlink that addresses or routes have changed, often several times for one change, and also when
//! nothing changes that matters. So the news is only a reason to look: from which of its addresses would this
//! machine speak to each peer now? If it is another one than when the connection was made, or there was none, the
//! session is told as by the application.

/// Tells the sessions that this endpoint dials of other networks, until it dials none any more.
#[cfg(not(target_os = "linux"))]
pub(crate) fn watch(_: &std::sync::Arc<super::registry::Registry>) -> std::io::Result<()> {
    use std::io;

    Err(io::Error::new(io::ErrorKind::Unsupported, "networks are watched on Linux only"))
}

#[cfg(target_os = "linux")]
pub(crate) use linux::watch;

#[cfg(target_os = "linux")]
mod linux {
    use std::future::poll_fn;
    use std::io;
    use std::sync::Arc;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use netlink_sys::protocols::NETLINK_ROUTE;
    use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket};

    use crate::driver::registry::Registry;

    /// Addresses and routes of IPv4 and IPv6, as `linux/rtnetlink.h` numbers their groups.
    const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;

    /// How long one change may take to be complete: an address comes before its routes.
    const SETTLES: Duration = Duration::from_millis(100);

    /// The system's own word that news was lost because nobody had read it: there was some.
    const ENOBUFS: i32 = 105;

    /// Tells the sessions that this endpoint dials of other networks, until it dials none any more.
    pub(crate) fn watch(registry: &Arc<Registry>) -> io::Result<()> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        socket.socket_mut().bind(&SocketAddr::new(0, GROUPS))?;
        registry.env.watch();
        // What is connected already has its source noted; whether that is news is nobody's question yet.
        for session in registry.dialed() {
            session.source_changed();
        }
        let watched = registry.clone();
        registry.env.spawn(async move {
            tokio::select! {
                biased;
                () = watched.dials_no_more() => {}
                error = tell(&watched, &socket) => {
                    tracing::warn!(%error, "networks are not watched any more");
                }
            }
        });
        Ok(())
    }

    async fn tell(registry: &Registry, socket: &TokioSocket) -> io::Error {
        loop {
            if let Err(error) = poll_fn(|cx| poll_news(socket, cx)).await {
                return error;
            }
            let mut settled = registry.env.new_timer(registry.env.now() + SETTLES);
            poll_fn(|cx| settled.as_mut().poll(cx)).await;
            for session in registry.dialed() {
                if session.source_changed() {
                    tracing::debug!(session = %session.id, "another network");
                    session.network_changed();
                }
            }
        }
    }

    /// Reads what news there is.
    fn poll_news(socket: &TokioSocket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut any = false;
        loop {
            match socket.poll_recv_from_full(cx) {
                Poll::Ready(Ok(_)) => any = true,
                Poll::Ready(Err(error)) if error.raw_os_error() == Some(ENOBUFS) => any = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if any => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
