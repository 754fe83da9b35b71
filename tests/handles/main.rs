//! What an application sees of the library, over real sockets on loopback.

mod admission;
mod channels;
mod endings;
mod relay;
mod restart;
mod resume;

use std::net::Ipv4Addr;
use std::time::Duration;

use bowline::{
    Channel, ChannelConfig, Config, Delivery, Endpoint, EndpointBuilder, Identity, Inbox, Session, Trust,
};

/// Long enough for a busy machine, short enough for whoever waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fails a test that would otherwise wait for ever.
async fn soon<T>(future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future.into_future()).await.expect("this should not take so long")
}

fn identity() -> Identity {
    Identity::generate().unwrap()
}

fn ordered() -> ChannelConfig {
    ChannelConfig::new(Delivery::ReliableOrdered)
}

fn listen(builder: EndpointBuilder) -> Endpoint {
    builder.bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

fn trust(listener: &Endpoint) -> Trust {
    Trust::fingerprint(listener.fingerprint())
}

/// Two sessions' ends that talk to each other, and the endpoints that they belong to.
struct Pair {
    listener: Endpoint,
    dialer: Endpoint,
    accepted: Session,
    dialed: Session,
}

impl Pair {
    async fn new() -> Self {
        Self::with(Config::default(), Config::default()).await
    }

    async fn with(accepting: Config, dialing: Config) -> Self {
        let listener = listen(Endpoint::builder(identity()).config(accepting));
        let dialer = Endpoint::client(identity(), dialing).unwrap();
        Self::between(listener, dialer).await
    }

    async fn between(listener: Endpoint, dialer: Endpoint) -> Self {
        let dialing = dialer.connect(listener.local_addr().unwrap(), trust(&listener));
        let accepting = async { listener.accept().await.unwrap().accept().await };
        let (dialed, accepted) = soon(async { tokio::join!(dialing.into_future(), accepting) }).await;
        Self { accepted: accepted.unwrap(), dialed: dialed.unwrap(), listener, dialer }
    }

    /// A channel at both ends: the dialer's, then the acceptor's.
    async fn channel(&self, label: &str) -> ((Channel, Inbox), (Channel, Inbox)) {
        self.channel_with(label, ordered(), ordered()).await
    }

    async fn channel_with(
        &self,
        label: &str,
        dialer: ChannelConfig,
        acceptor: ChannelConfig,
    ) -> ((Channel, Inbox), (Channel, Inbox)) {
        let dialer = self.dialed.open(label, dialer).await.unwrap();
        (dialer, self.accepted.open(label, acceptor).await.unwrap())
    }
}

#[tokio::test]
async fn both_ends_agree_on_who_they_are() {
    let pair = Pair::new().await;
    assert_eq!(pair.dialed.id(), pair.accepted.id());
    assert_eq!(pair.dialed.peer().unwrap().fingerprint(), pair.listener.fingerprint());
    assert_eq!(pair.accepted.peer().unwrap().fingerprint(), pair.dialer.fingerprint());
    assert_eq!((pair.listener.stats().sessions, pair.listener.stats().attached), (1, 1));
}
