//! The words of a history: channels, messages, what was sent, handed over and said of them.

use std::fmt;

use crate::time::Time;

/// What a channel promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Every message, in the order of its number.
    ReliableOrdered,
    /// Every message, in any order.
    ReliableUnordered,
    /// The newest message; a newer one may take the place of those not yet delivered. Never an older one after
    /// a newer one.
    ReliableLatest,
    /// A message arrives or does not.
    Unreliable,
    /// A message arrives or does not, but never after a newer one.
    UnreliableSequenced,
}

impl Mode {
    /// Whether every message must come to an end that the sender is told.
    pub fn is_reliable(self) -> bool {
        matches!(self, Self::ReliableOrdered | Self::ReliableUnordered | Self::ReliableLatest)
    }

    /// Whether an older message may never be handed over after a newer one.
    pub fn keeps_order(self) -> bool {
        matches!(self, Self::ReliableOrdered | Self::ReliableLatest | Self::UnreliableSequenced)
    }
}

/// A channel in one direction, as [`History::channel`](super::History::channel) names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelKey(pub(super) usize);

impl ChannelKey {
    /// The message with this number, of this incarnation of its sender's state. Applications whose senders
    /// never lose their state say 0.
    pub fn message(self, epoch: u64, sequence: u64) -> MessageKey {
        MessageKey { channel: self, epoch, sequence }
    }
}

/// What names a message for as long as anybody speaks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey {
    /// Its channel, and so its sender and its receiver.
    pub channel: ChannelKey,
    /// The incarnation of its sender's state.
    pub epoch: u64,
    /// Its number among the messages of that epoch in that channel.
    pub sequence: u64,
}

/// 64 bits and a length that stand for a payload (FNV-1a). It tells mistakes apart, not forgeries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    hash: u64,
    length: usize,
}

impl Digest {
    /// The digest of these bytes.
    pub fn of(payload: &[u8]) -> Self {
        let hash = payload.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { hash, length: payload.len() }
    }
}

impl<T: AsRef<[u8]> + ?Sized> From<&T> for Digest {
    fn from(payload: &T) -> Self {
        Self::of(payload.as_ref())
    }
}

/// A message that was accepted for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub(super) digest: Digest,
    pub(super) deadline: Option<Time>,
}

impl Sent {
    /// A message with this payload, or with this digest.
    pub fn new(payload: impl Into<Digest>) -> Self {
        Self { digest: payload.into(), deadline: None }
    }

    /// From then on nobody wants it any more.
    #[must_use]
    pub fn deadline(mut self, deadline: Time) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

/// A message that was given to the receiving application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    pub(super) digest: Digest,
    pub(super) attempt: u32,
    pub(super) resent: bool,
}

impl Handover {
    /// A first delivery, without any mark.
    pub fn new(payload: impl Into<Digest>) -> Self {
        Self { digest: payload.into(), attempt: 1, resent: false }
    }

    /// It was marked as this attempt; 1 is the first.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// It was marked as sent again after the receiver had lost its memory.
    #[must_use]
    pub fn resent(mut self) -> Self {
        self.resent = true;
        self
    }

    /// Whether nothing on it says that it may have come before.
    pub(super) fn is_first(&self) -> bool {
        self.attempt <= 1 && !self.resent
    }
}

/// What a sender was told about the end of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The receiving application has it.
    Handled,
    /// The receiving application, or its side on its behalf, refused it.
    Rejected,
    /// Its deadline passed first.
    Expired,
    /// A newer message took its place.
    Superseded,
    /// Its sender withdrew it first.
    Cancelled,
    /// Its sender's side had no room for it: on unreliable channels only.
    Dropped,
    /// Nobody can say any more.
    Unknown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// All that is known of one message.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    pub(super) sent: Option<(Time, Sent)>,
    pub(super) sent_again: Option<Time>,
    pub(super) transmitted: Vec<Time>,
    pub(super) held: Option<Time>,
    pub(super) received: Option<Time>,
    pub(super) handovers: Vec<(Time, Handover)>,
    pub(super) acknowledged: Option<Time>,
    pub(super) receipts: Vec<(Time, Outcome)>,
    pub(super) withdrawn: Option<Time>,
    pub(super) unattended: Option<Time>,
}

impl Life {
    /// When it was first handed over.
    pub(super) fn delivered(&self) -> Option<Time> {
        self.handovers.iter().map(|(at, _)| *at).min()
    }

    /// When its sender was first told its end.
    pub(super) fn resolved(&self) -> Option<Time> {
        self.receipts.iter().map(|(at, _)| *at).min()
    }

    /// Whether its sender wants it no more by then: its deadline has passed, or it was withdrawn.
    pub(super) fn is_unwanted(&self, by: Time) -> bool {
        self.withdrawn.into_iter().chain(self.deadline()).any(|from| from <= by)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.sent.and_then(|(_, sent)| sent.deadline)
    }
}
