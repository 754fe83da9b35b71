//! What one direction of a link does to packets, as data.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::capacity::CapacityTrace;
use super::loss::burst_is_possible;
use crate::values::{BadValue, Length, Percent, Speed};

/// The default room in the queue before a bottleneck: 100 full Ethernet frames.
const QUEUE_BYTES: u64 = 150_000;

/// What one direction of a link does to packets. What is not said stays as it was; at the start that is a
/// perfect link: no loss, no delay, no limit.
///
/// The same type describes a link and a change to it, and it is what a scenario file says in a table:
///
/// ```
/// # use bowline_netsim::Conditions;
/// # use std::time::Duration;
/// let from_code = Conditions::new().delay(Duration::from_millis(45)).loss(2.0).burst(8.0);
/// let from_file: Conditions = toml::from_str("delay = '45ms'\nloss = 2\nburst = 8").unwrap();
/// assert_eq!(from_code, from_file);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Conditions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delay: Option<Length>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jitter: Option<Length>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) loss: Option<Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) burst: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) drop: Option<BTreeSet<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) drop_bitmap: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reorder: Option<Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reorder_by: Option<Length>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duplicate: Option<Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) corrupt: Option<Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<Speed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<CapacityTrace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mtu: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) block: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stall: Option<bool>,
}

impl Conditions {
    /// Says nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long every packet travels.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(Length(delay));
        self
    }

    /// Up to this much more, drawn evenly for each packet. Jitter never changes the order: who would overtake
    /// arrives together with the packet before it.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = Some(Length(jitter));
        self
    }

    /// The share of packets that are lost, in per cent: each on its own, or in bursts if [`burst`](Self::burst)
    /// says so.
    #[must_use]
    pub fn loss(mut self, percent: f64) -> Self {
        self.loss = Some(Percent(percent));
        self
    }

    /// Losses come in bursts of this mean length, in packets (Gilbert–Elliott: a good state that loses nothing
    /// and a bad one that loses everything). 0 goes back to losses that are independent of each other.
    #[must_use]
    pub fn burst(mut self, mean_packets: f64) -> Self {
        self.burst = Some(mean_packets);
        self
    }

    /// Loses exactly these packets, numbered from 1 in the order in which this direction is offered them.
    /// Replaces the list that was there before.
    #[must_use]
    pub fn drop(mut self, numbers: impl IntoIterator<Item = u64>) -> Self {
        self.drop = Some(numbers.into_iter().collect());
        self
    }

    /// Loses the packets marked `1`: the first character is the first packet. What lies behind the end is safe.
    #[must_use]
    pub fn drop_bitmap(mut self, bitmap: impl Into<String>) -> Self {
        self.drop_bitmap = Some(bitmap.into());
        self
    }

    /// The share of packets, in per cent, that are held back by `by`, so that those behind them overtake.
    #[must_use]
    pub fn reorder(mut self, percent: f64, by: Duration) -> Self {
        self.reorder = Some(Percent(percent));
        self.reorder_by = Some(Length(by));
        self
    }

    /// The share of packets, in per cent, that arrive twice.
    #[must_use]
    pub fn duplicate(mut self, percent: f64) -> Self {
        self.duplicate = Some(Percent(percent));
        self
    }

    /// The share of packets, in per cent, that arrive with one bit of their payload flipped.
    #[must_use]
    pub fn corrupt(mut self, percent: f64) -> Self {
        self.corrupt = Some(Percent(percent));
        self
    }

    /// Bits per second, counted on whole IP packets. Ends the replay of a trace.
    #[must_use]
    pub fn rate(mut self, bits_per_second: u64) -> Self {
        self.rate = Some(Speed::BitsPerSecond(bits_per_second));
        self.trace = None;
        self
    }

    /// No limit to the rate. Ends the replay of a trace.
    #[must_use]
    pub fn unlimited(mut self) -> Self {
        self.rate = Some(Speed::Unlimited);
        self.trace = None;
        self
    }

    /// Replays recorded bandwidth, from the beginning of the run on and over again. Takes the place of a rate.
    #[must_use]
    pub fn trace(mut self, trace: CapacityTrace) -> Self {
        self.trace = Some(trace);
        self.rate = None;
        self
    }

    /// Room in the queue before the bottleneck, in bytes of IP packets; what does not fit is lost (tail drop).
    /// 150 000 bytes unless said; a lot more is a bufferbloat.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: u64) -> Self {
        self.queue_bytes = Some(bytes);
        self
    }

    /// The largest IP packet that passes; larger ones vanish without a word.
    #[must_use]
    pub fn mtu(mut self, bytes: u16) -> Self {
        self.mtu = Some(bytes);
        self
    }

    /// A black hole: while blocked, whatever enters is gone. What had entered before still arrives.
    #[must_use]
    pub fn block(mut self, blocked: bool) -> Self {
        self.block = Some(blocked);
        self
    }

    /// While stalled nothing leaves the queue: packets wait, and are lost only when the queue is full.
    #[must_use]
    pub fn stall(mut self, stalled: bool) -> Self {
        self.stall = Some(stalled);
        self
    }

    /// These conditions, and on top of them what `later` says.
    #[must_use]
    pub fn and(mut self, later: &Self) -> Self {
        macro_rules! take {
            ($($field:ident),*) => {$(
                if later.$field.is_some() {
                    self.$field.clone_from(&later.$field);
                }
            )*};
        }
        if later.rate.is_some() || later.trace.is_some() {
            self.rate = None;
            self.trace = None;
        }
        take!(
            delay,
            jitter,
            loss,
            burst,
            drop,
            drop_bitmap,
            reorder,
            reorder_by,
            duplicate,
            corrupt,
            rate,
            trace
        );
        take!(queue_bytes, mtu, block, stall);
        self
    }

    /// The change that takes `change` back: for each thing that it says, what these conditions say about it, or
    /// what holds where nothing is said.
    #[must_use]
    pub fn undoing(&self, change: &Self) -> Self {
        let whole = Self::perfect().and(self);
        let mut undo = Self::new();
        macro_rules! take {
            ($($field:ident),*) => {$(
                if change.$field.is_some() {
                    undo.$field = whole.$field.clone();
                }
            )*};
        }
        take!(delay, jitter, loss, burst, drop, drop_bitmap, reorder, reorder_by, duplicate, corrupt);
        take!(queue_bytes, mtu, block, stall);
        if change.rate.is_some() || change.trace.is_some() {
            undo.rate = whole.rate;
            undo.trace.clone_from(&whole.trace);
        }
        undo
    }

    /// Says everything: what a link does when nothing was said.
    pub(crate) fn perfect() -> Self {
        Self {
            delay: Some(Length::default()),
            jitter: Some(Length::default()),
            loss: Some(Percent::default()),
            burst: Some(0.0),
            drop: Some(BTreeSet::new()),
            drop_bitmap: Some(String::new()),
            reorder: Some(Percent::default()),
            reorder_by: Some(Length::default()),
            duplicate: Some(Percent::default()),
            corrupt: Some(Percent::default()),
            rate: Some(Speed::Unlimited),
            trace: None,
            queue_bytes: Some(QUEUE_BYTES),
            mtu: Some(u16::MAX),
            block: Some(false),
            stall: Some(false),
        }
    }

    /// Takes out what is said about a black hole.
    #[cfg(feature = "proxy")]
    pub(crate) fn take_block(&mut self) -> Option<bool> {
        self.block.take()
    }

    /// Puts a trace in the place of the name of its file.
    pub(crate) fn read_trace<E>(
        &mut self,
        read: &mut impl FnMut(&str) -> Result<CapacityTrace, E>,
    ) -> Result<(), E> {
        if let Some(file) = self.trace.as_ref().and_then(CapacityTrace::file) {
            self.trace = Some(read(file)?);
        }
        Ok(())
    }

    /// Whether anything is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether any packet's fate or arrival is drawn.
    pub fn is_random(&self) -> bool {
        let shares = [self.loss, self.reorder, self.duplicate, self.corrupt];
        // A share of everything is no draw: every packet is hit.
        let drawn = |percent: &Percent| percent.0 > 0.0 && percent.0 < 100.0;
        let bit_drawn = self.corrupt.is_some_and(|percent| percent.0 > 0.0);
        shares.iter().flatten().any(drawn)
            || bit_drawn
            || self.jitter.is_some_and(|jitter| jitter.0 > Duration::ZERO)
    }

    /// What is wrong with these conditions, if anything.
    pub fn check(&self) -> Result<(), BadValue> {
        let shares = [
            ("loss", self.loss),
            ("reorder", self.reorder),
            ("duplicate", self.duplicate),
            ("corrupt", self.corrupt),
        ];
        for (key, percent) in shares {
            percent.unwrap_or_default().check(key)?;
        }
        if let Some(burst) = self.burst {
            let loss = self.loss.unwrap_or_default();
            burst_is_possible(loss.probability(), burst)?;
        }
        if self.rate == Some(Speed::BitsPerSecond(0)) {
            return Err(BadValue::new("rate = 0", "lets nothing through: say block or stall instead"));
        }
        if self.rate.is_some() && self.trace.is_some() {
            return Err(BadValue::new("rate and trace", "exclude each other: say one of them"));
        }
        if let Some(file) = self.trace.as_ref().and_then(CapacityTrace::file) {
            let why = "names a file, which is looked for beside a scenario file: load the scenario from one";
            return Err(BadValue::new(format!("trace = {file:?}"), why));
        }
        if let Some(mtu) = self.mtu.filter(|mtu| *mtu < 68) {
            let why = "is impossible: no IP link has an MTU below 68 (RFC 791)";
            return Err(BadValue::new(format!("mtu = {mtu}"), why));
        }
        if let Some(bytes) = self.queue_bytes.filter(|bytes| *bytes < 1500) {
            let why = "is too small: a queue holds at least one full packet, 1500 bytes";
            return Err(BadValue::new(format!("queue-bytes = {bytes}"), why));
        }
        if let Some(bitmap) = self.drop_bitmap.as_ref().filter(|map| map.contains(|c| c != '0' && c != '1')) {
            return Err(BadValue::new(format!("drop-bitmap = {bitmap:?}"), "may contain only 0 and 1"));
        }
        if self.drop.as_ref().is_some_and(|numbers| numbers.contains(&0)) {
            return Err(BadValue::new("drop = 0", "names no packet: they are numbered from 1"));
        }
        if self.reorder.unwrap_or_default().0 > 0.0 && self.reorder_by.unwrap_or_default().0.is_zero() {
            return Err(BadValue::new(
                "reorder",
                "needs reorder-by, the time by which a packet is held back",
            ));
        }
        Ok(())
    }
}

/// Conditions with everything said.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    pub(crate) loss: f64,
    pub(crate) burst: f64,
    pub(crate) drop: BTreeSet<u64>,
    pub(crate) drop_bitmap: Vec<u8>,
    pub(crate) reorder: f64,
    pub(crate) reorder_by: Duration,
    pub(crate) duplicate: f64,
    pub(crate) corrupt: f64,
    pub(crate) rate: Rate,
    pub(crate) queue_bytes: u64,
    pub(crate) mtu: usize,
    pub(crate) block: bool,
    pub(crate) stall: bool,
}

/// How fast packets leave the queue.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rate {
    Unlimited,
    BitsPerSecond(u64),
    Trace(CapacityTrace),
}

impl From<&Conditions> for Settings {
    fn from(said: &Conditions) -> Self {
        let rate = match (&said.trace, said.rate) {
            (Some(trace), _) => Rate::Trace(trace.clone()),
            (None, Some(Speed::BitsPerSecond(bits))) => Rate::BitsPerSecond(bits),
            (None, _) => Rate::Unlimited,
        };
        let length = |said: Option<Length>| said.unwrap_or_default().0;
        let share = |said: Option<Percent>| said.unwrap_or_default().probability();
        Self {
            delay: length(said.delay),
            jitter: length(said.jitter),
            loss: share(said.loss),
            burst: said.burst.unwrap_or(0.0),
            drop: said.drop.clone().unwrap_or_default(),
            drop_bitmap: said.drop_bitmap.clone().unwrap_or_default().into_bytes(),
            reorder: share(said.reorder),
            reorder_by: length(said.reorder_by),
            duplicate: share(said.duplicate),
            corrupt: share(said.corrupt),
            rate,
            queue_bytes: said.queue_bytes.unwrap_or(QUEUE_BYTES),
            mtu: usize::from(said.mtu.unwrap_or(u16::MAX)),
            block: said.block.unwrap_or(false),
            stall: said.stall.unwrap_or(false),
        }
    }
}
