//! What is to be measured, as both sides know it.

use std::time::Duration;

use bowline::config::LARGE;
use bowline::{ChannelConfig, Delivery, WhenFull};
use clap::ValueEnum;
use prost::{Enumeration, Message};

use crate::payload::HEAD;

/// The largest message, in bytes: the library's default.
pub(crate) const SIZE_MAX: usize = 64 * 1024 * 1024;

/// Most data channels: as many again carry answers, and a session has 1,024.
pub(crate) const CHANNELS_MAX: u32 = 500;

/// Channels that a session is let have.
pub(crate) const SESSION_CHANNELS: usize = 2 * CHANNELS_MAX as usize + 24;

/// Most messages of a run.
pub(crate) const COUNT_MAX: u64 = 1_000_000_000_000;

/// Most messages a second that `flow` can be asked for.
pub(crate) const RATE_MAX: f64 = 1_000_000.0;

/// The longest run.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Messages that `acked` has unresolved, unless a window says otherwise.
const IN_FLIGHT: u64 = 1024;

/// Bytes between two looks at the clock, and messages.
const BATCH_BYTES: u64 = 64 * 1024;
const BATCH: u64 = 64;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration, ValueEnum)]
#[repr(i32)]
pub(crate) enum Pattern {
    /// As many messages as the channel takes
    Throughput = 0,
    /// The same, waiting for the receiving application's acknowledgements: at most 1,024 messages are unresolved
    Acked = 1,
    /// One message at a time, answered by the peer: the round trip is measured
    Ping = 2,
    /// A steady flow at a rate
    Flow = 3,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration, ValueEnum)]
#[repr(i32)]
pub(crate) enum Direction {
    /// The side that runs
    Up = 0,
    /// The side that serves
    Down = 1,
    /// Both at once
    Both = 2,
}

/// The delivery modes, as they are written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration, ValueEnum)]
#[repr(i32)]
pub(crate) enum Mode {
    /// Every message, once, in order
    ReliableOrdered = 0,
    /// Every message, once, as soon as it is there
    ReliableUnordered = 1,
    /// The newest message always arrives
    ReliableLatest = 2,
    /// What the network loses is lost
    Unreliable = 3,
    /// The same, never an older message after a newer one
    UnreliableSequenced = 4,
}

impl From<Mode> for Delivery {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::ReliableOrdered => Self::ReliableOrdered,
            Mode::ReliableUnordered => Self::ReliableUnordered,
            Mode::ReliableLatest => Self::ReliableLatest,
            Mode::Unreliable => Self::Unreliable,
            Mode::UnreliableSequenced => Self::UnreliableSequenced,
        }
    }
}

/// See the module. The values of a peer are as good as [`check`](Self::check) says.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Plan {
    #[prost(enumeration = "Mode", tag = "1")]
    pub(crate) mode: i32,
    #[prost(enumeration = "Pattern", tag = "2")]
    pub(crate) pattern: i32,
    #[prost(enumeration = "Direction", tag = "3")]
    pub(crate) direction: i32,
    /// Bytes of a message.
    #[prost(uint64, tag = "4")]
    pub(crate) size: u64,
    /// Messages of each direction, all channels together; or else a duration.
    #[prost(uint64, optional, tag = "5")]
    pub(crate) count: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub(crate) duration_ms: Option<u64>,
    /// Messages a second of each direction, all channels together.
    #[prost(double, tag = "7")]
    pub(crate) rate: f64,
    /// Bytes unresolved at once on each channel.
    #[prost(uint64, optional, tag = "8")]
    pub(crate) window: Option<u64>,
    #[prost(uint32, tag = "9")]
    pub(crate) channels: u32,
    #[prost(uint64, optional, tag = "10")]
    pub(crate) deadline_ms: Option<u64>,
}

impl Plan {
    pub(crate) fn delivery(&self) -> Delivery {
        self.mode().into()
    }

    /// Whether the side that runs sends.
    pub(crate) fn up(&self) -> bool {
        self.direction() != Direction::Down
    }

    /// Whether the side that serves sends.
    pub(crate) fn down(&self) -> bool {
        self.direction() != Direction::Up
    }

    pub(crate) fn size(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }

    pub(crate) fn duration(&self) -> Option<Duration> {
        self.duration_ms.map(Duration::from_millis)
    }

    /// What is wrong with it, naming the options, if anything is.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_values()?;
        self.check_mode()?;
        match self.pattern() {
            Pattern::Flow if self.rate.is_nan() || self.rate <= 0.0 || self.rate > RATE_MAX => {
                Err(format!("--rate {} is no rate: it must be above 0 and at most {RATE_MAX} Hz", self.rate))
            }
            Pattern::Flow => Ok(()),
            _ if self.rate != 0.0 => {
                Err("--rate is for --pattern flow: the other patterns send as fast as they may".to_owned())
            }
            _ => Ok(()),
        }?;
        match (self.window, self.pattern()) {
            (Some(_), Pattern::Ping | Pattern::Flow) => {
                Err("--window bounds what is unresolved at once: it is for --pattern acked and throughput"
                    .to_owned())
            }
            (Some(window), Pattern::Acked) if window < self.size => {
                Err(format!("--window {window} has no room for one message of --size {}", self.size))
            }
            (Some(window), Pattern::Throughput) if window < LARGE as u64 => Err(format!(
                "--window {window} is too small: with --pattern throughput it is the outbox, of at least {LARGE} bytes"
            )),
            _ => Ok(()),
        }
    }

    fn check_values(&self) -> Result<(), String> {
        let (size, sizes) = (self.size(), HEAD..=SIZE_MAX);
        if !sizes.contains(&size) {
            return Err(format!(
                "--size {size} is not possible: a message has {HEAD} bytes (number, time and sum) to {SIZE_MAX}"
            ));
        }
        match (self.count, self.duration_ms) {
            (Some(count), None) if (1..=COUNT_MAX).contains(&count) => {}
            (None, Some(duration)) if (1..=DURATION_MAX.as_millis() as u64).contains(&duration) => {}
            (Some(count), None) => return Err(format!("--count {count} must be 1 to {COUNT_MAX}")),
            (None, Some(_)) => return Err("--seconds must be above 0 and at most a week".to_owned()),
            _ => return Err("either --count or --seconds says how long a run is".to_owned()),
        }
        if !(1..=CHANNELS_MAX).contains(&self.channels) {
            return Err(format!("--channels {} must be 1 to {CHANNELS_MAX}", self.channels));
        }
        if self.deadline_ms.is_some_and(|deadline| !(1..=DURATION_MAX.as_millis() as u64).contains(&deadline))
        {
            return Err("--deadline must be at least 1 ms and at most a week".to_owned());
        }
        Ok(())
    }

    fn check_mode(&self) -> Result<(), String> {
        let delivery = self.delivery();
        if delivery.is_reliable() {
            return Ok(());
        }
        if self.pattern() == Pattern::Acked {
            return Err(format!(
                "--pattern acked contradicts --delivery {delivery}: nobody acknowledges its messages; use a reliable mode"
            ));
        }
        if self.size() > LARGE {
            return Err(format!(
                "--size {} contradicts --delivery {delivery}: unreliable messages have at most {LARGE} bytes",
                self.size
            ));
        }
        Ok(())
    }

    /// How the data channels are set up, at both ends.
    pub(crate) fn config(&self) -> ChannelConfig {
        let config =
            ChannelConfig::new(self.delivery()).deadline(self.deadline_ms.map(Duration::from_millis));
        let config = match (self.window, self.pattern()) {
            (Some(window), pattern) => {
                let room = usize::try_from(window).unwrap_or(usize::MAX).clamp(LARGE, 1 << 32);
                // What may be unresolved at once must fit into the outbox; `throughput` knows no other bound.
                let outbox = if pattern == Pattern::Throughput { room } else { room.max(8 * 1024 * 1024) };
                let large = room.max(SIZE_MAX);
                config.outbox(1 << 20, outbox).inbox(1 << 20, room.max(4 * 1024 * 1024)).large(large, large)
            }
            (None, _) => config,
        };
        // At full speed a sender would drop nearly all it has without looking at the network.
        if self.pattern() == Pattern::Throughput { config.when_full(WhenFull::Wait) } else { config }
    }

    /// Messages that one channel may have unresolved, if that is the sender's to see to.
    pub(crate) fn in_flight(&self) -> Option<u64> {
        let messages = self.window.map_or(IN_FLIGHT, |window| window / self.size.max(1));
        (self.pattern() == Pattern::Acked).then_some(messages.max(1))
    }

    /// Messages between two looks at the clock.
    pub(crate) fn batch(&self) -> u64 {
        let window = self.in_flight().map_or(BATCH, |messages| messages / 16);
        (BATCH_BYTES / self.size.max(1)).min(window).clamp(1, BATCH)
    }

    /// Whether a sender has to make way for others after each batch, since it may never have to wait.
    pub(crate) fn yields(&self) -> bool {
        self.pattern() == Pattern::Throughput || self.mode() == Mode::ReliableLatest
    }

    /// Every so many messages the latency is taken. A sender has read its clock just before these.
    pub(crate) fn sample_every(&self) -> u64 {
        match self.pattern() {
            // Of these only few arrive, and nobody knows which.
            _ if self.mode() == Mode::ReliableLatest => 1,
            Pattern::Throughput | Pattern::Acked => self.batch(),
            Pattern::Ping | Pattern::Flow => 1,
        }
    }

    /// How long the answer to a ping is waited for. `None`: until it comes, or it is known that it will not.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let second = Duration::from_secs(1);
        match (self.deadline_ms, self.delivery().is_reliable()) {
            (Some(deadline), _) => Some(second.max(Duration::from_millis(deadline.saturating_mul(2)))),
            (None, false) => Some(second),
            (None, true) => None,
        }
    }
}

/// How much one side sends: so many messages, or for so long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quota {
    Count(u64),
    For(Duration),
}

impl Quota {
    /// All of the measured run.
    pub(crate) fn of(plan: &Plan) -> Self {
        match (plan.count, plan.duration()) {
            (Some(count), _) => Self::Count(count),
            (None, duration) => Self::For(duration.unwrap_or_default()),
        }
    }

    /// What warms the connection up before a run of this much.
    pub(crate) fn warm_up(self) -> Self {
        match self {
            Self::Count(count) => Self::Count(count / 10),
            Self::For(duration) => Self::For(duration / 10),
        }
    }

    /// What is left of it after so many messages and so much time.
    pub(crate) fn after(self, count: u64, elapsed: Duration) -> Self {
        match self {
            Self::Count(all) => Self::Count(all.saturating_sub(count)),
            Self::For(duration) => Self::For(duration.saturating_sub(elapsed)),
        }
    }

    /// The share of one lane.
    pub(crate) fn share(self, lane: u32, lanes: u32) -> Self {
        let (lane, lanes) = (u64::from(lane), u64::from(lanes.max(1)));
        match self {
            Self::Count(count) => Self::Count(count / lanes + u64::from(lane < count % lanes)),
            duration => duration,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (count, lanes) in [(10, 3), (2, 5), (7, 7), (0, 2)] {
            let shares = (0..lanes).map(|lane| Quota::Count(count).share(lane, lanes));
            let total: u64 = shares.map(|share| if let Quota::Count(n) = share { n } else { 0 }).sum();
            assert_eq!(total, count);
        }
    }

    #[test]
    fn in_flight_and_batches_follow_from_the_window() {
        let plan = |size, window| Plan { pattern: Pattern::Acked as i32, size, window, ..Plan::default() };
        assert_eq!((plan(32, None).in_flight(), plan(32, None).batch()), (Some(1024), 64));
        assert_eq!((plan(1 << 20, None).in_flight(), plan(1 << 20, None).batch()), (Some(1024), 1));
        assert_eq!((plan(1000, Some(8000)).in_flight(), plan(1000, Some(8000)).batch()), (Some(8), 1));
        let throughput = Plan { pattern: Pattern::Throughput as i32, size: 16_384, ..Plan::default() };
        assert_eq!((throughput.in_flight(), throughput.batch(), throughput.sample_every()), (None, 4, 4));
    }
}
