//! Names of things: sessions, epochs, channels, messages.
//!
//! A [`MessageId`] is stable for the life of its message, across reconnects and restarts, because every part
//! of it is: the session outlives its connections, the epoch changes only when the sender lost its memory, and
//! a sequence is given once (rules S3 and N1 of the wire specification).

use std::fmt;

/// Names one session: 128 random bits, minted by the side that dials (rule S1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id, as they travel.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One incarnation of a peer's sending state in a session (rule S3). Never zero.
///
/// Sequences are numbered within an epoch, and every acknowledgement names the epoch whose numbers it means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(std::num::NonZeroU64);

impl Epoch {
    /// The epoch with this value, or `None` for zero, which on the wire means "none known".
    pub const fn new(value: u64) -> Option<Self> {
        match std::num::NonZeroU64::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The value as it travels.
    pub const fn value(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names one direction of a channel within a session. Ids are the sender's own: the two directions of one
/// label usually have different ids (rule C1). Never reused within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u32);

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a message in its channel, from 0, without gaps (rule N1).
pub type Sequence = u64;

/// Names one message for ever: session, the sender's epoch, the sender's channel, and the sequence in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The conversation the message belongs to.
    pub session: SessionId,
    /// The sender's epoch when the message was accepted.
    pub epoch: Epoch,
    /// The sender's id of the channel.
    pub channel: ChannelId,
    /// The number of the message in that channel.
    pub sequence: Sequence,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.session, self.epoch, self.channel, self.sequence)
    }
}
