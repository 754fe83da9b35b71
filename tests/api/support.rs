//! What the tests have in common: endpoints, sessions, and waiting with a guard against hanging.

use std::future::{Future, IntoFuture};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bowline::config::ReconnectPolicy;
use bowline::protocol::types::Event;
use bowline::session::Events;
use bowline::stats::ChannelStats;
use bowline::{
    Channel, ChannelConfig, Config, Delivery, Endpoint, Identity, Inbox, Message, Session, SessionState,
    Trust,
};
use bytes::Bytes;
use tokio::runtime::Runtime;

use crate::relay::{Relay, Way};

/// Longer than anything here takes, on a machine that is busy with something else too.
const GUARD: Duration = Duration::from_secs(50);

/// Waits for something that must happen.
pub(crate) async fn within<F: IntoFuture>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(GUARD, future.into_future()).await {
        Ok(found) => found,
        Err(_) => panic!("waited {GUARD:?} in vain: {what}"),
    }
}

/// Waits for something that only looking again can tell.
pub(crate) async fn until(what: &str, mut check: impl FnMut() -> bool) {
    within(what, async {
        while !check() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Waits for an event.
pub(crate) async fn event(events: &mut Events, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
    within(what, async {
        loop {
            let event = events.next().await.unwrap_or_else(|| panic!("the session ended without {what}"));
            if wanted(&event) {
                return event;
            }
        }
    })
    .await
}

/// The shortest heartbeat, and no long waits.
pub(crate) fn nimble() -> Config {
    Config::default().heartbeat(Duration::from_secs(2)).reconnect(ReconnectPolicy::Responsive)
}

pub(crate) fn identity() -> Identity {
    Identity::generate().unwrap()
}

pub(crate) fn localhost() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub(crate) fn listen(config: Config) -> Endpoint {
    Endpoint::bind(localhost(), identity(), config).unwrap()
}

pub(crate) fn dialer(config: Config) -> Endpoint {
    Endpoint::client(identity(), config).unwrap()
}

pub(crate) fn ordered() -> ChannelConfig {
    ChannelConfig::new(Delivery::ReliableOrdered)
}

pub(crate) fn channel(mode: Delivery) -> ChannelConfig {
    ChannelConfig::new(mode)
}

pub(crate) fn trust(listener: &Endpoint) -> Trust {
    Trust::fingerprint(listener.fingerprint())
}

/// Takes the next dialer.
pub(crate) async fn accept(listener: &Endpoint) -> Session {
    let incoming = within("an incoming session", listener.accept()).await.expect("the endpoint accepts");
    within("the dialer's confirmation", incoming.accept()).await.expect("the dialer stays")
}

/// A session through `addr`: the dialer's side and the acceptor's.
pub(crate) async fn meet_at(dialer: &Endpoint, listener: &Endpoint, addr: SocketAddr) -> (Session, Session) {
    let dial = async { within("the session", dialer.connect(addr, trust(listener))).await };
    let (dialed, accepted) = tokio::join!(dial, accept(listener));
    (dialed.expect("the dial succeeds"), accepted)
}

/// A session without a relay.
pub(crate) async fn meet(dialer: &Endpoint, listener: &Endpoint) -> (Session, Session) {
    meet_at(dialer, listener, listener.local_addr().unwrap()).await
}

/// Both sides of a session on endpoints of their own.
pub(crate) struct Pair {
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
    pub(crate) dialed: Session,
    pub(crate) accepted: Session,
}

pub(crate) async fn pair() -> Pair {
    let (client, server) = (dialer(nimble()), listen(nimble()));
    let (dialed, accepted) = meet(&client, &server).await;
    Pair { client, server, dialed, accepted }
}

/// One label open on both sides.
pub(crate) struct Line {
    pub(crate) out: Channel,
    pub(crate) back: Inbox,
    pub(crate) peer_out: Channel,
    pub(crate) peer: Inbox,
}

pub(crate) async fn line(dialed: &Session, accepted: &Session, label: &str) -> Line {
    line_with(dialed, accepted, label, ordered(), ordered()).await
}

pub(crate) async fn line_with(
    dialed: &Session,
    accepted: &Session,
    label: &str,
    here: ChannelConfig,
    there: ChannelConfig,
) -> Line {
    let (out, back) = dialed.open(label, here).await.unwrap();
    let (peer_out, peer) = accepted.open(label, there).await.unwrap();
    Line { out, back, peer_out, peer }
}

/// A label with the same configuration on both sides.
pub(crate) async fn line_of(
    dialed: &Session,
    accepted: &Session,
    label: &str,
    config: ChannelConfig,
) -> Line {
    line_with(dialed, accepted, label, config.clone(), config).await
}

/// A session through a relay.
pub(crate) struct Net {
    pub(crate) relay: Relay,
    pub(crate) dialed: Session,
    pub(crate) accepted: Session,
    _endpoints: [Endpoint; 2],
}

pub(crate) async fn net() -> Net {
    net_with(nimble()).await
}

pub(crate) async fn net_with(config: Config) -> Net {
    let (client, server) = (dialer(config.clone()), listen(config));
    let relay = Relay::to(server.local_addr().unwrap());
    let (dialed, accepted) = meet_at(&client, &server, relay.addr()).await;
    Net { relay, dialed, accepted, _endpoints: [client, server] }
}

impl Net {
    /// A label with the same configuration on both sides.
    pub(crate) async fn line(&self, label: &str, config: ChannelConfig) -> Line {
        line_of(&self.dialed, &self.accepted, label, config).await
    }

    /// The connection dies for good, and the session goes on over another one.
    pub(crate) async fn kill(&self) {
        let (mut events, attaches) = (self.dialed.events(), self.accepted.stats().attaches);
        self.relay.cut(Way::Both);
        self.dialed.network_changed();
        event(&mut events, "Resumed", |it| matches!(it, Event::Resumed { .. })).await;
        until("the other side", || self.accepted.stats().attaches > attaches).await;
    }

    /// The same, after so many packets were lost.
    pub(crate) async fn kill_after_losing(&self, packets: usize) {
        let wanted = self.relay.counts().dropped + packets;
        self.relay.cut(Way::Both);
        within("packets that are lost", self.relay.until(|counts| counts.dropped >= wanted)).await;
        self.kill().await;
    }

    /// Nothing passes any more, and the dialer knows it.
    pub(crate) async fn disconnect(&self) {
        self.relay.block(Some(Way::Both));
        // What there is now is lost for good.
        self.relay.cut(Way::Both);
        self.dialed.network_changed();
        until("the loss is noticed", || self.dialed.state() == SessionState::Detached).await;
    }

    /// Everything passes again.
    pub(crate) async fn reconnect(&self) {
        let mut events = self.dialed.events();
        self.relay.block(None);
        // An attempt that is under way may wait for its time: this begins another one.
        self.dialed.network_changed();
        event(&mut events, "Resumed", |it| matches!(it, Event::Resumed { .. })).await;
    }
}

/// A payload that nobody mistakes for another one, unless it is too small for that.
pub(crate) fn payload(number: u32, size: usize) -> Bytes {
    let mut bytes = number.to_be_bytes().to_vec();
    let mut dice = Dice::new(number.into());
    while bytes.len() < size {
        bytes.extend_from_slice(&dice.below(u64::MAX).to_be_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

/// The number in front of a payload.
pub(crate) fn number(message: &Message) -> u32 {
    let head = message.payload().first_chunk().expect("a payload with a number");
    u32::from_be_bytes(*head)
}

/// The next message.
pub(crate) async fn take(inbox: &mut Inbox) -> Message {
    within("a message", inbox.recv()).await.expect("the channel goes on")
}

/// How many messages ended, in whichever way.
pub(crate) fn ended(stats: &ChannelStats) -> u64 {
    let ChannelStats { handled, rejected, expired, superseded, cancelled, dropped, unknown, .. } = stats;
    handled + rejected + expired + superseded + cancelled + dropped + unknown
}

/// Nothing is kept of what was sent.
pub(crate) fn is_empty(sender: &ChannelStats, receiver: &ChannelStats) -> bool {
    (sender.outbox_messages, sender.outbox_bytes) == (0, 0)
        && (receiver.inbox_messages, receiver.inbox_bytes, receiver.partial_bytes) == (0, 0, 0)
}

/// The next message as text.
pub(crate) async fn text(inbox: &mut Inbox) -> String {
    let message = within("a message", inbox.recv()).await.expect("the channel goes on");
    String::from_utf8(message.into_payload().to_vec()).unwrap()
}

/// A process that can be killed: an own runtime, whose tasks and sockets are gone at once, with no farewell.
pub(crate) struct Process(Option<Runtime>);

impl Process {
    pub(crate) fn start() -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Self(Some(builder.worker_threads(1).enable_all().build().unwrap()))
    }

    /// Runs something in it.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let runtime = self.0.as_ref().expect("it was not killed");
        within("the other process", runtime.spawn(work)).await.unwrap()
    }

    pub(crate) async fn kill(mut self) {
        let runtime = self.0.take();
        tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Reproducible chance: SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}
