//! A network in a test: a UDP relay between dialers and one listener, that loses, holds back, delays, blocks and cuts on
//! demand.
//!
//! Each dialer's socket is a *flow* with an upstream socket of its own, like a mapping of a NAT. What the relay did to
//! the packets is counted, so that a test can wait until a fault has really happened.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::Dice;

/// One way through the relay, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToAcceptor,
    ToDialer,
    Both,
}

impl Way {
    fn covers(self, way: Way) -> bool {
        self == Way::Both || self == way
    }
}

/// A packet that the relay has seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) way: Way,
    /// UDP payload.
    pub(crate) bytes: usize,
}

/// What the relay has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) seen: usize,
    pub(crate) dropped: usize,
    /// Held back, and not released yet.
    pub(crate) held: usize,
    /// UDP payload that was passed on.
    pub(crate) to_acceptor: usize,
    pub(crate) to_dialer: usize,
    pub(crate) flows: usize,
}

pub(crate) struct Relay {
    core: Arc<Core>,
    reader: JoinHandle<()>,
}

struct Core {
    front: UdpSocket,
    addr: SocketAddr,
    target: SocketAddr,
    rules: Mutex<Rules>,
    counts: watch::Sender<Counts>,
}

struct Rules {
    flows: BTreeMap<SocketAddr, Flow>,
    blocked: Option<Way>,
    delay: Duration,
    /// Of 256 packets so many are lost.
    loss: u8,
    dice: Dice,
    /// Larger packets are lost.
    widest: usize,
    /// What is held back: packets this way of at least so many bytes.
    holding: Option<(Way, usize)>,
    held: Vec<Held>,
    /// So many bytes may still pass this way.
    allowance: Option<(Way, usize)>,
    log: Option<Vec<Packet>>,
}

/// A packet that waits for its release.
struct Held {
    payload: Vec<u8>,
    socket: Option<Arc<UdpSocket>>,
    to: SocketAddr,
}

/// What becomes of a packet.
enum Fate {
    Lost,
    Held,
    Passes(Duration),
}

struct Flow {
    upstream: Arc<UdpSocket>,
    reader: JoinHandle<()>,
    cut: Vec<Way>,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.reader.abort();
        self.core.rules().flows.clear();
    }
}

impl Relay {
    /// A relay to whoever listens on `target`.
    pub(crate) fn to(target: SocketAddr) -> Self {
        let front = socket().unwrap();
        let addr = front.local_addr().unwrap();
        let rules = Rules {
            flows: BTreeMap::new(),
            blocked: None,
            delay: Duration::ZERO,
            loss: 0,
            dice: Dice::new(1),
            widest: usize::MAX,
            holding: None,
            held: Vec::new(),
            allowance: None,
            log: None,
        };
        let counts = watch::Sender::new(Counts::default());
        let core = Arc::new(Core { front, addr, target, rules: Mutex::new(rules), counts });
        let reader = tokio::spawn(core.clone().read_front());
        Self { core, reader }
    }

    /// What dialers dial.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.core.addr
    }

    /// Every flow there is now loses everything that goes this way, for good. New flows are not affected.
    pub(crate) fn cut(&self, way: Way) {
        self.core.rules().flows.values_mut().for_each(|flow| flow.cut.push(way));
    }

    /// All flows, new ones too, lose what goes this way, until told otherwise.
    pub(crate) fn block(&self, way: Option<Way>) {
        self.core.rules().blocked = way;
    }

    /// Every flow goes on from another source port, as behind a NAT that has forgotten it; what comes to the old one
    /// is lost.
    pub(crate) fn rebind(&self) {
        let mut rules = self.core.rules();
        for (dialer, flow) in &mut rules.flows {
            let cut = std::mem::take(&mut flow.cut);
            *flow = self.core.flow(*dialer).unwrap();
            flow.cut = cut;
        }
    }

    /// Every packet takes so much longer.
    pub(crate) fn delay(&self, delay: Duration) {
        self.core.rules().delay = delay;
    }

    /// Of 256 packets so many are lost, which ones is up to the seed.
    pub(crate) fn lose(&self, of_256: u8, seed: u64) {
        let mut rules = self.core.rules();
        (rules.loss, rules.dice) = (of_256, Dice::new(seed));
    }

    /// Packets of more bytes are lost.
    pub(crate) fn narrow(&self, bytes: usize) {
        self.core.rules().widest = bytes;
    }

    /// Packets this way of at least so many bytes are held back until they are [released](Self::release).
    pub(crate) fn hold(&self, way: Way, at_least: usize) {
        self.core.rules().holding = Some((way, at_least));
    }

    /// Passes on what was held back, and holds nothing back any more.
    pub(crate) async fn release(&self) {
        let held = {
            let mut rules = self.core.rules();
            rules.holding = None;
            std::mem::take(&mut rules.held)
        };
        for Held { payload, socket, to } in held {
            let _ = socket.as_deref().unwrap_or(&self.core.front).send_to(&payload, to).await;
        }
        self.core.counts.send_modify(|counts| counts.held = 0);
    }

    /// So many bytes still pass this way; after that nothing does.
    pub(crate) fn allow(&self, way: Way, bytes: usize) {
        self.core.rules().allowance = Some((way, bytes));
    }

    /// Everything may pass again.
    pub(crate) fn allow_all(&self) {
        self.core.rules().allowance = None;
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.core.counts.borrow()
    }

    /// Waits until the counts are as wanted.
    pub(crate) async fn until(&self, mut wanted: impl FnMut(&Counts) -> bool) -> Counts {
        *self.core.counts.subscribe().wait_for(|counts| wanted(counts)).await.unwrap()
    }

    /// Waits until no packet has come for so long.
    pub(crate) async fn until_quiet_for(&self, time: Duration) {
        let mut counts = self.core.counts.subscribe();
        while tokio::time::timeout(time, counts.changed()).await.is_ok() {}
    }

    /// Forgets the packets seen so far, and remembers those that come.
    pub(crate) fn record(&self) {
        self.core.rules().log = Some(Vec::new());
    }

    /// What was recorded.
    pub(crate) fn recorded(&self) -> Vec<Packet> {
        self.core.rules().log.clone().unwrap_or_default()
    }
}

impl Core {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap()
    }

    async fn read_front(self: Arc<Self>) {
        let mut buffer = vec![0; 65_536];
        loop {
            let Ok((bytes, dialer)) = self.front.recv_from(&mut buffer).await else { continue };
            let known = self.rules().flows.contains_key(&dialer);
            if !known {
                let flow = self.flow(dialer).unwrap();
                self.rules().flows.insert(dialer, flow);
                self.counts.send_modify(|counts| counts.flows += 1);
            }
            let upstream = self.rules().flows.get(&dialer).map(|flow| flow.upstream.clone());
            let Some(upstream) = upstream else { continue };
            let packet = Packet { way: Way::ToAcceptor, bytes };
            self.pass(dialer, packet, &buffer[..bytes], Some(upstream), self.target).await;
        }
    }

    /// A mapping for this dialer, and the task that reads what comes back on it.
    fn flow(self: &Arc<Self>, dialer: SocketAddr) -> io::Result<Flow> {
        let upstream = Arc::new(socket()?);
        let (core, socket) = (self.clone(), upstream.clone());
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                let Ok((bytes, _)) = socket.recv_from(&mut buffer).await else { continue };
                let packet = Packet { way: Way::ToDialer, bytes };
                core.pass(dialer, packet, &buffer[..bytes], None, dialer).await;
            }
        });
        Ok(Flow { upstream, reader, cut: Vec::new() })
    }

    /// Deals with a packet of this dialer's flow. Without a socket it leaves from the front.
    async fn pass(
        self: &Arc<Self>,
        dialer: SocketAddr,
        packet: Packet,
        payload: &[u8],
        socket: Option<Arc<UdpSocket>>,
        to: SocketAddr,
    ) {
        let (core, payload) = (self.clone(), payload.to_vec());
        match self.judge(dialer, packet) {
            Fate::Lost => {}
            Fate::Held => {
                self.rules().held.push(Held { payload, socket, to });
                self.counts.send_modify(|counts| counts.held += 1);
            }
            Fate::Passes(delay) => {
                forward(delay, async move {
                    let _ = socket.as_deref().unwrap_or(&core.front).send_to(&payload, to).await;
                })
                .await;
            }
        }
    }

    fn judge(&self, dialer: SocketAddr, packet: Packet) -> Fate {
        let mut rules = self.rules();
        let unlucky = rules.loss > 0 && rules.dice.below(256) < u64::from(rules.loss);
        let cut =
            rules.flows.get(&dialer).is_none_or(|flow| flow.cut.iter().any(|cut| cut.covers(packet.way)));
        let blocked = rules.blocked.is_some_and(|blocked| blocked.covers(packet.way));
        let mut lost = unlucky || cut || blocked || packet.bytes > rules.widest;
        let held = !lost
            && rules.holding.is_some_and(|(way, least)| way.covers(packet.way) && packet.bytes >= least);
        if let Some((_, left)) =
            rules.allowance.as_mut().filter(|(way, _)| way.covers(packet.way) && !lost && !held)
        {
            lost = *left < packet.bytes;
            *left = if lost { 0 } else { *left - packet.bytes };
        }
        if let Some(log) = &mut rules.log {
            log.push(packet);
        }
        let delay = rules.delay;
        drop(rules);
        self.counts.send_modify(|counts| {
            counts.seen += 1;
            counts.dropped += usize::from(lost);
            match packet.way {
                _ if lost || held => {}
                Way::ToAcceptor => counts.to_acceptor += packet.bytes,
                Way::ToDialer | Way::Both => counts.to_dialer += packet.bytes,
            }
        });
        match (lost, held) {
            (true, _) => Fate::Lost,
            (false, true) => Fate::Held,
            (false, false) => Fate::Passes(delay),
        }
    }
}

async fn forward(delay: Duration, sending: impl Future<Output = ()> + Send + 'static) {
    if delay.is_zero() {
        return sending.await;
    }
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        sending.await;
    });
}

/// A socket on loopback with room for a burst.
fn socket() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(4 * 1024 * 1024)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    UdpSocket::from_std(socket.into())
}
