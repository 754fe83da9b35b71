//! What the two sides say to each other, in protobuf, on the channel `perf`.
//!
//! ```text
//! runs: Plan ─────────────────> serves: opens the data channels
//!       <──────────────── Ready         (or Refused, and why)
//!       Begin(warm-up) ───────>
//!       <──────────────── Began         and both send, if the direction has them do it
//!       <─────────────── Report …       now and then, and `settled` when all of its own has its outcome
//!       Collect ──────────────>
//!       <──────── Report(last)
//!       Begin(measured) ──────>         and the same again
//! ```
//!
//! A server that was killed and comes back has forgotten all of this: the other side raises the generation and
//! begins with the plan again.

use bowline::{Channel, ChannelConfig, Delivery, SendError};
use bytes::Bytes;
use prost::{Message, Oneof};

use crate::plan::{Plan, Quota};

/// The label of the channel for these.
pub(crate) const LABEL: &str = "perf";

/// The label of a data channel.
pub(crate) fn data_label(lane: u32) -> String {
    format!("data-{lane}")
}

/// The label of the channel for the answers to the pings of a data channel.
pub(crate) fn answer_label(lane: u32) -> String {
    format!("answers-{lane}")
}

/// How the control channel is set up.
pub(crate) fn config() -> ChannelConfig {
    ChannelConfig::new(Delivery::ReliableOrdered).priority(1)
}

/// One thing said.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Note {
    /// Counts how often the serving side has forgotten the run. What is of another generation is passed over.
    #[prost(uint32, tag = "1")]
    pub(crate) generation: u32,
    #[prost(oneof = "Body", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub(crate) body: Option<Body>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Body {
    #[prost(message, tag = "2")]
    Plan(Plan),
    #[prost(message, tag = "3")]
    Ready(Ready),
    /// Why not.
    #[prost(string, tag = "4")]
    Refused(String),
    #[prost(message, tag = "5")]
    Begin(Begin),
    #[prost(message, tag = "6")]
    Began(Began),
    #[prost(message, tag = "7")]
    Collect(Collect),
    #[prost(message, tag = "8")]
    Report(Box<Report>),
}

/// The data channels are open.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Ready {
    /// For how long its application will stop taking messages.
    #[prost(uint64, tag = "1")]
    pub(crate) stall_ms: u64,
}

/// Send, if it is yours to send.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Begin {
    #[prost(bool, tag = "1")]
    pub(crate) measured: bool,
    /// So many messages, or else for so long.
    #[prost(uint64, optional, tag = "2")]
    pub(crate) count: Option<u64>,
    #[prost(uint64, tag = "3")]
    pub(crate) duration_ms: u64,
}

impl Begin {
    pub(crate) fn new(measured: bool, quota: Quota) -> Self {
        match quota {
            Quota::Count(count) => Self { measured, count: Some(count), duration_ms: 0 },
            Quota::For(duration) => Self { measured, count: None, duration_ms: duration.as_millis() as u64 },
        }
    }

    pub(crate) fn quota(&self) -> Quota {
        match self.count {
            Some(count) => Quota::Count(count),
            None => Quota::For(std::time::Duration::from_millis(self.duration_ms)),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Began {
    #[prost(bool, tag = "1")]
    pub(crate) measured: bool,
    /// The calendar of the serving side.
    #[prost(uint64, tag = "2")]
    pub(crate) now_ns: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Collect {
    #[prost(bool, tag = "1")]
    pub(crate) measured: bool,
}

/// What the serving side knows so far.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Report {
    #[prost(bool, tag = "1")]
    pub(crate) measured: bool,
    /// All that it sent has its outcome.
    #[prost(bool, tag = "2")]
    pub(crate) settled: bool,
    /// The answer to Collect.
    #[prost(bool, tag = "3")]
    pub(crate) last: bool,
    #[prost(message, required, tag = "4")]
    pub(crate) sent: Sent,
    /// What came from the other side.
    #[prost(message, required, tag = "5")]
    pub(crate) received: Received,
    /// The answers to its own pings.
    #[prost(message, required, tag = "6")]
    pub(crate) answers: Received,
    /// CPU time since it began.
    #[prost(uint64, optional, tag = "7")]
    pub(crate) cpu_ns: Option<u64>,
}

/// What the sender of a direction knows. Times are nanoseconds of its calendar, 0 for never.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sent {
    #[prost(uint64, tag = "1")]
    pub(crate) sent: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) handled: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) superseded: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) expired: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) unknown: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) dropped: u64,
    #[prost(uint64, tag = "7")]
    pub(crate) first_ns: u64,
    #[prost(uint64, tag = "8")]
    pub(crate) last_ns: u64,
    /// When everything had its outcome.
    #[prost(uint64, tag = "9")]
    pub(crate) settled_ns: u64,
}

/// What the receiver of a direction has seen. Times as above.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Received {
    #[prost(uint64, tag = "1")]
    pub(crate) delivered: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) duplicated: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) out_of_order: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) corrupted: u64,
    /// What the highest numbers prove to have been sent.
    #[prost(uint64, tag = "5")]
    pub(crate) proved: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) began_ns: u64,
    #[prost(uint64, tag = "7")]
    pub(crate) first_ns: u64,
    #[prost(uint64, tag = "8")]
    pub(crate) last_ns: u64,
    /// The longest times without a delivery: when each began, followed by how long it was in nanoseconds.
    #[prost(uint64, repeated, tag = "9")]
    pub(crate) gaps: Vec<u64>,
    /// Latencies in nanoseconds, each followed by how often it was seen.
    #[prost(uint64, repeated, tag = "10")]
    pub(crate) latencies: Vec<u64>,
}

/// The sending half of the control channel.
#[derive(Clone, Debug)]
pub(crate) struct Line(pub(crate) Channel);

impl Line {
    /// Says something. It arrives as long as the session and the other side's memory last.
    pub(crate) async fn say(&self, generation: u32, body: Body) -> Result<(), SendError> {
        let note = Note { generation, body: Some(body) };
        drop(self.0.send(Bytes::from(note.encode_to_vec())).await?);
        Ok(())
    }

    /// Whether earlier words still wait, so that news had better wait too.
    pub(crate) fn is_busy(&self) -> bool {
        self.0.stats().outbox_messages > 2
    }
}

/// Reads what was said; `None` if it is nothing of this program.
pub(crate) fn read(payload: &[u8]) -> Option<Note> {
    Note::decode(payload).ok()
}
