//! Messages on data streams, on body streams and in datagrams (rules W10 to W12 and W14).
//!
//! ```text
//! data stream  kind = 1 | channel | first sequence | record*       all numbers are varints
//! record       length << 1 | ext [ mask [ advance ] [ sent, left ] ] payload
//! body stream  kind = 2 | channel | sequence | size | offset | mask [ sent, left ] | bytes
//! datagram     one byte, a heartbeat; or kind 0 with padding; or the same as a data stream, with at least
//!              one record; or the same as a body stream, with at least one byte
//! mask         1 redelivered, 2 advance (records only), 4 deadline
//! ```
//!
//! A record's sequence is implicit: one more than the one before it, plus its advance. So the head of most
//! messages takes one byte (payloads up to 31 bytes) or two (up to 8,191).

mod body;
pub mod datagram;
mod input;
mod record;
mod stream;

pub use body::{BodyEncoder, BodyHead};
pub use record::{RecordEncoder, RecordHead};
pub use stream::{StreamDecoder, StreamHeader};

use bytes::BytesMut;

use super::{Deadline, WireError, varint};
use crate::config::LARGE;
use crate::id::{ChannelId, Sequence};

/// The largest sequence of a message. One past it is still a varint, as the first sequence of a stream must be.
pub const MAX_SEQUENCE: Sequence = varint::MAX - 1;

/// The largest messages that a decoder takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whole, as a record, or as fragments in datagrams.
    pub record: usize,
    /// On a body stream.
    pub body: usize,
}

impl Limits {
    /// For a side that takes messages of at most `max_message_size` bytes: those above [`LARGE`] only as bodies.
    pub fn new(max_message_size: usize) -> Self {
        Self { record: max_message_size.min(LARGE), body: max_message_size }
    }
}

/// Streams and datagrams with records.
const KIND_RECORDS: u64 = 1;

/// Streams and datagrams with a piece of one message.
const KIND_BODY: u64 = 2;

const REDELIVERED: u64 = 1;
const ADVANCE: u64 = 2;
const DEADLINE: u64 = 4;

/// The mask that announces these.
#[inline]
fn mask_of(redelivered: bool, advance: u64, deadline: Option<Deadline>) -> u64 {
    let mut mask = if redelivered { REDELIVERED } else { 0 };
    if advance > 0 {
        mask |= ADVANCE;
    }
    if deadline.is_some() {
        mask |= DEADLINE;
    }
    mask
}

fn parse_channel(bytes: &mut &[u8]) -> Result<Option<ChannelId>, WireError> {
    let Some(channel) = varint::decode(bytes) else { return Ok(None) };
    match u32::try_from(channel) {
        Ok(id) => Ok(Some(ChannelId(id))),
        Err(_) => Err(WireError::TooLarge { what: "channel", found: channel, limit: u32::MAX.into() }),
    }
}

/// The deadline, if the mask announces one. The outer `None`: more bytes are needed. The sum of the two numbers
/// fits 64 bits.
#[inline(always)]
fn parse_deadline(mask: u64, bytes: &mut &[u8]) -> Option<Option<Deadline>> {
    if mask & DEADLINE == 0 {
        return Some(None);
    }
    let sent_ms = varint::decode(bytes)?;
    let left_ms = varint::decode(bytes)?;
    Some(Some(Deadline { sent_ms, left_ms }))
}

#[inline]
fn deadline_len(deadline: Option<Deadline>) -> usize {
    deadline.map_or(0, |Deadline { sent_ms, left_ms }| varint::size(sent_ms) + varint::size(left_ms))
}

#[inline]
fn put_deadline(deadline: Option<Deadline>, out: &mut BytesMut) {
    if let Some(Deadline { sent_ms, left_ms }) = deadline {
        varint::encode(sent_ms, out);
        varint::encode(left_ms, out);
    }
}

/// Whether it can be written.
#[inline]
fn check_deadline(deadline: Option<Deadline>) -> Result<(), WireError> {
    match deadline {
        Some(Deadline { sent_ms, left_ms }) => fits("deadline", sent_ms.max(left_ms), varint::MAX),
        None => Ok(()),
    }
}

#[inline]
fn fits(what: &'static str, found: u64, limit: u64) -> Result<(), WireError> {
    if found > limit { Err(WireError::TooLarge { what, found, limit }) } else { Ok(()) }
}
