//! What can be wrong with bytes from a peer.

use crate::id::{ChannelId, Sequence};

/// Bytes that break the wire format, or a record that cannot be written. The stream they came on cannot be read any
/// further, and the link ends as a protocol violation (rule W13).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A control frame is announced that is larger than may come now.
    #[error("control frame of {size} bytes, at most {limit} may come here")]
    FrameTooLarge {
        /// Bytes announced.
        size: u64,
        /// Most bytes allowed.
        limit: usize,
    },
    /// A control frame is not the protobuf message it should be.
    #[error("control frame is not valid protobuf: {reason}")]
    Malformed {
        /// The parser's words.
        reason: String,
    },
    /// A part of a control frame that must be there is not.
    #[error("{field} is missing")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A field of fixed size has another one.
    #[error("{field} has {found} bytes, it must have {wanted}")]
    WrongLength {
        /// Which.
        field: &'static str,
        /// Bytes it has.
        found: usize,
        /// Bytes it must have.
        wanted: usize,
    },
    /// A field is longer than allowed.
    #[error("{field} has {found} bytes, at most {limit} are allowed")]
    TooLong {
        /// Which.
        field: &'static str,
        /// Bytes it has.
        found: usize,
        /// Most bytes allowed.
        limit: usize,
    },
    /// More entries than allowed.
    #[error("{found} {what}, at most {limit} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A number is larger than allowed.
    #[error("{what} is {found}, at most {limit} is allowed")]
    TooLarge {
        /// Which.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The largest allowed.
        limit: u64,
    },
    /// An epoch is zero, where zero does not mean "none known".
    #[error("{field} is zero, which names no epoch")]
    ZeroEpoch {
        /// Which.
        field: &'static str,
    },
    /// The lowest version is above the highest.
    #[error("versions {min} to {max} are a reversed range")]
    ReversedVersions {
        /// The lowest.
        min: u32,
        /// The highest.
        max: u32,
    },
    /// A range is empty, or begins too low.
    #[error(
        "channel {channel}: the {set} range of {length} from {start} must be non-empty and not start below {least}"
    )]
    BadRange {
        /// The lane.
        channel: ChannelId,
        /// `received`, `handled` or `skipped`.
        set: &'static str,
        /// First sequence of the range.
        start: Sequence,
        /// Sequences in it.
        length: u64,
        /// Where it may begin: one above the end of the range before it or above the set's `_below`, or the floor.
        least: Sequence,
    },
    /// Messages that are here in part do not ascend.
    #[error(
        "channel {channel}: message {sequence} is here in part, behind one that makes {least} the lowest"
    )]
    PartialOrder {
        /// The lane.
        channel: ChannelId,
        /// The message out of place.
        sequence: Sequence,
        /// One above the message before it.
        least: Sequence,
    },
    /// A channel ends below its floor.
    #[error("channel {channel} ends at {end}, below its floor {floor}")]
    EndBelowFloor {
        /// The lane.
        channel: ChannelId,
        /// One past the last sequence.
        end: Sequence,
        /// Everything below is resolved.
        floor: Sequence,
    },
    /// A unidirectional stream of a kind this version does not know.
    #[error("data stream of unknown kind {0}")]
    UnknownStreamKind(u64),
    /// A record has options this version does not know.
    #[error("record of channel {channel} with unknown options: mask {mask:#x}")]
    UnknownOptions {
        /// The lane.
        channel: ChannelId,
        /// The whole mask.
        mask: u64,
    },
    /// A record says that its sequence jumps, by nothing.
    #[error("record of channel {channel} with an advance of 0, it must be at least 1")]
    ZeroAdvance {
        /// The lane.
        channel: ChannelId,
    },
    /// A record's sequence is beyond the largest.
    #[error("record of channel {channel}: {next} plus {advance} is beyond the largest sequence")]
    SequenceOverflow {
        /// The lane.
        channel: ChannelId,
        /// The sequence without the jump.
        next: Sequence,
        /// The jump.
        advance: u64,
    },
    /// A message is larger than this side takes.
    #[error("message of {size} bytes on channel {channel}, at most {limit} are taken")]
    MessageTooLarge {
        /// The lane.
        channel: ChannelId,
        /// Bytes of the payload.
        size: u64,
        /// Most bytes taken.
        limit: usize,
    },
    /// A message is smaller than any that travels in pieces.
    #[error("message of {size} bytes on channel {channel} in pieces, it must have at least {least}")]
    MessageTooSmall {
        /// The lane.
        channel: ChannelId,
        /// Bytes of the message.
        size: u64,
        /// Fewest bytes of one that travels so.
        least: u64,
    },
    /// A piece of a message is not inside it.
    #[error("channel {channel}: a piece up to byte {end} of message {sequence}, which has {size}")]
    BeyondMessage {
        /// The lane.
        channel: ChannelId,
        /// Which message.
        sequence: Sequence,
        /// Bytes of the message.
        size: u64,
        /// Where the piece ends, or begins if that is beyond already.
        end: u64,
    },
    /// A stream or datagram ended in the middle of something.
    #[error("the end came in the middle of a {0}")]
    Truncated(&'static str),
    /// A record was to be written behind one with the same or a higher sequence.
    #[error("channel {channel}: sequence {sequence} cannot be written, the stream is at {next} already")]
    OutOfOrder {
        /// The lane.
        channel: ChannelId,
        /// The sequence to be written.
        sequence: Sequence,
        /// The lowest that can be.
        next: Sequence,
    },
    /// A piece was to be written that does not continue what its stream has.
    #[error("channel {channel}: byte {offset} of message {sequence} cannot be written, byte {next} is next")]
    OutOfPlace {
        /// The lane.
        channel: ChannelId,
        /// Which message.
        sequence: Sequence,
        /// Where in it the piece begins.
        offset: u64,
        /// Where the next piece on the stream must begin.
        next: u64,
    },
    /// A datagram holds not even one byte of a message.
    #[error(
        "channel {channel}: a piece of message {sequence} takes {needed} bytes, a datagram holds {limit}"
    )]
    DatagramTooSmall {
        /// The lane.
        channel: ChannelId,
        /// Which message.
        sequence: Sequence,
        /// Most bytes of a datagram.
        limit: usize,
        /// Bytes of the header, and one.
        needed: usize,
    },
}
