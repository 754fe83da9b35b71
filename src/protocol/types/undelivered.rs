//! What is in an outbox, for an application that may have another way to its peer.

use bytes::Bytes;

use crate::id::MessageId;

/// An accepted message that has no outcome, and that was not given up. A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// Its name.
    pub id: MessageId,
    /// Its bytes; none if they were freed, because a durable peer has them or nobody wants them any more.
    pub payload: Bytes,
    /// Bytes that it had when it was sent.
    pub size: u64,
    /// Where it is.
    pub whereabouts: Whereabouts,
}

/// Where an undelivered message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Whereabouts {
    /// Here alone: no connection ever had anything of it. It can be taken back.
    Kept,
    /// A connection was given it, or the beginning of it. Whether the peer has it is not known.
    InDoubt,
    /// The peer's session holds it; its application has not handled it yet.
    AtPeer,
}
