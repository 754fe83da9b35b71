//! What happens to the network while it runs.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::sync::broadcast;

use crate::link::Conditions;
use crate::world::Direction;

/// Something that happened to the network, or to a client on it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A client got a mapping: the server sees it at the port of `source`.
    Mapped {
        /// The client.
        client: SocketAddr,
        /// The proxy's own address towards the server.
        source: SocketAddr,
    },
    /// So many mappings were moved. Each gets another source port with its client's next packet; until then nothing
    /// from the server gets in.
    Rebound {
        /// How many.
        mappings: usize,
    },
    /// So many mappings are gone: nothing from the server gets in until the client speaks again.
    Expired {
        /// How many.
        mappings: usize,
    },
    /// A direction has become a black hole.
    Blocked {
        /// Which.
        #[serde(serialize_with = "in_words")]
        direction: Direction,
        /// For how many milliseconds, if a command has said it.
        for_ms: Option<u64>,
    },
    /// A direction is a black hole no more.
    Unblocked {
        /// Which.
        #[serde(serialize_with = "in_words")]
        direction: Direction,
    },
    /// The conditions of a direction have changed, by a command or a step of the scenario.
    Conditions {
        /// Which.
        #[serde(serialize_with = "in_words")]
        direction: Direction,
        /// What is different now.
        change: Box<Conditions>,
    },
    /// The clients have lost their network.
    Left,
    /// The clients are in another network, behind other NATs.
    Arrived,
    /// A scenario begins.
    Scenario {
        /// Its name.
        name: String,
        /// How long it lasts, in milliseconds.
        duration_ms: u64,
    },
    /// The time of the scenario is over. Its conditions remain as they are.
    ScenarioEnded {
        /// Its name.
        name: String,
    },
    /// The network is clean again.
    Reset,
    /// Nobody listens at the upstream address. Said once for each mapping.
    UpstreamRefused {
        /// The upstream address.
        upstream: SocketAddr,
        /// Whose packets are refused.
        client: SocketAddr,
    },
    /// A client was refused because there are as many mappings as there may be. Said once, until there is room.
    MappingsFull {
        /// The limit.
        limit: usize,
    },
    /// Packets are dropped because as many bytes are under way as there may be. Said once, until there is room.
    QueueFull {
        /// The limit.
        limit_bytes: u64,
    },
    /// The operating system gave no socket for a mapping, or did not take a packet, or says that none gets through.
    /// Said once for each mapping.
    SocketFailed {
        /// Whose.
        client: SocketAddr,
        /// Why.
        reason: String,
    },
    /// The reader was too slow: so many events are missing here.
    Missed {
        /// How many.
        count: u64,
    },
}

/// An event, and when.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Happened {
    /// When, in time since the proxy began.
    #[serde(rename = "at_ms", serialize_with = "in_millis")]
    pub at: Duration,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happens from now on.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Happened>,
    last: Duration,
}

/// So many events wait for each reader; older ones make room and are counted as [`Event::Missed`].
pub(super) const EVENTS_WAITING: usize = 1024;

impl Events {
    pub(super) fn new(receiver: broadcast::Receiver<Happened>) -> Self {
        Self { receiver, last: Duration::ZERO }
    }

    /// The next event; nothing when the proxy has ended.
    ///
    /// A reader that falls more than 1024 events behind loses the oldest ones and hears of it.
    ///
    /// # Cancel safety
    ///
    /// No event is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Happened> {
        match self.receiver.recv().await {
            Ok(happened) => {
                self.last = happened.at;
                Some(happened)
            }
            Err(broadcast::error::RecvError::Lagged(count)) => {
                Some(Happened { at: self.last, event: Event::Missed { count } })
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

fn in_words<S: Serializer>(direction: &Direction, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    })
}

fn in_millis<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(millis(*time))
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
