//! What every task of an endpoint lives on: sockets, tasks, timers, time and randomness, all of them replaceable.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

use super::clock::Clock;
use super::networks::Networks;
use super::socket::SocketFactory;
use crate::config::Config;
use crate::error::BindError;
use crate::protocol::types::LinkId;
use crate::store::Store;
use crate::tls::Identity;

/// A future behind a pointer.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Rings at the time it is set to.
pub(crate) type Timer = Pin<Box<dyn quinn::AsyncTimer>>;

/// Locks, and goes on with what is there when another thread panicked while it held the lock: no state here is
/// left half-changed by a panic that could be relied upon not to be.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 32 bytes from the operating system.
pub(crate) fn system_seed() -> Result<[u8; 32], BindError> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(|error| BindError::NoRandomness(error.to_string()))?;
    Ok(seed)
}

/// See the module.
pub(crate) struct Environment {
    pub(crate) identity: Identity,
    pub(crate) config: Config,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) sockets: Arc<dyn SocketFactory>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) networks: Networks,
    runtime: Arc<dyn quinn::Runtime>,
    random: Mutex<StdRng>,
    links: AtomicU64,
    dropped_datagrams: AtomicU64,
    farewells: Arc<Farewells>,
    /// It matters from which of its addresses this machine speaks.
    #[cfg(all(feature = "watch", target_os = "linux"))]
    watching: std::sync::atomic::AtomicBool,
}

/// Connections that were closed and still have to tell their peers.
#[derive(Default)]
struct Farewells {
    under_way: AtomicUsize,
    none_left: Notify,
}

impl Farewells {
    fn begin(self: &Arc<Self>) -> Closing {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        Closing(self.clone())
    }

    async fn over(&self) {
        loop {
            let mut none_left = pin!(self.none_left.notified());
            none_left.as_mut().enable();
            if self.under_way.load(Ordering::SeqCst) == 0 {
                return;
            }
            none_left.await;
        }
    }
}

/// Keeps [`Environment::closed`] waiting.
pub(crate) struct Closing(Arc<Farewells>);

impl Drop for Closing {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

impl Environment {
    pub(crate) fn new(
        identity: Identity,
        config: Config,
        store: Option<Arc<dyn Store>>,
        sockets: Arc<dyn SocketFactory>,
        clock: Arc<dyn Clock>,
        runtime: Arc<dyn quinn::Runtime>,
        seed: [u8; 32],
    ) -> Self {
        let random = Mutex::new(StdRng::from_seed(seed));
        let networks = Networks::new(clock.clone(), config.network_memory.clone());
        Self {
            networks,
            identity,
            config,
            store,
            sockets,
            clock,
            runtime,
            random,
            links: AtomicU64::new(0),
            dropped_datagrams: AtomicU64::new(0),
            farewells: Arc::default(),
            #[cfg(all(feature = "watch", target_os = "linux"))]
            watching: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// From now on the address is known that each dialed connection speaks from.
    #[cfg(all(feature = "watch", target_os = "linux"))]
    pub(crate) fn watch(&self) {
        self.watching.store(true, Ordering::Relaxed);
    }

    /// The address of this machine from which it speaks to a peer now; `None` if nobody wants to know, or there is no way
    /// there. Nothing is sent.
    #[cfg(all(feature = "watch", target_os = "linux"))]
    pub(crate) fn source_to(&self, remote: std::net::SocketAddr) -> Option<std::net::IpAddr> {
        use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

        if !self.watching.load(Ordering::Relaxed) {
            return None;
        }
        let unspecified: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((unspecified, 0)).ok()?;
        socket.connect(remote).ok()?;
        socket.local_addr().ok().map(|local| local.ip())
    }

    pub(crate) fn now(&self) -> Instant {
        self.runtime.now()
    }

    pub(crate) fn runtime(&self) -> Arc<dyn quinn::Runtime> {
        self.runtime.clone()
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(Box::pin(task));
    }

    pub(crate) fn new_timer(&self, at: Instant) -> Timer {
        self.runtime.new_timer(at)
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        let mut timer = self.new_timer(self.now() + time);
        poll_fn(|cx| timer.as_mut().poll(cx)).await;
    }

    /// What `future` yields, or `None` if it takes longer than `time`. A result in time always wins.
    pub(crate) async fn timeout<T>(&self, time: Duration, future: impl Future<Output = T>) -> Option<T> {
        let mut timer = self.new_timer(self.now() + time);
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        lock(&self.random).fill_bytes(&mut bytes);
        bytes
    }

    /// To be held while a connection that was closed still has to tell its peer.
    pub(crate) fn closing(&self) -> Closing {
        self.farewells.begin()
    }

    /// Waits until all closed connections have told their peers.
    pub(crate) async fn closed(&self) {
        self.farewells.over().await;
    }

    pub(crate) fn count_dropped_datagrams(&self, dropped: u64) {
        self.dropped_datagrams.fetch_add(dropped, Ordering::Relaxed);
    }

    pub(crate) fn dropped_datagrams(&self) -> u64 {
        self.dropped_datagrams.load(Ordering::Relaxed)
    }

    pub(crate) fn next_link(&self) -> LinkId {
        LinkId(self.links.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_waits_for_the_last_farewell_is_told_of_it() {
        let farewells = Arc::new(Farewells::default());
        for _ in 0..20_000 {
            let last = farewells.begin();
            let waiting = tokio::spawn({
                let farewells = farewells.clone();
                async move { farewells.over().await }
            });
            tokio::task::yield_now().await;
            drop(last);
            tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it is told").unwrap();
        }
    }
}
