//! Bodies: messages that travel in pieces, on a stream of their own (rule W14) or in datagrams (rule W12).

use bytes::{Bytes, BytesMut};

use super::input::Input;
use super::{DEADLINE, KIND_BODY, MAX_SEQUENCE, REDELIVERED, check_deadline, deadline_len, fits};
use super::{mask_of, parse_channel, parse_deadline, put_deadline};
use crate::config::LARGE;
use crate::id::{ChannelId, Sequence};
use crate::wire::{Body, Carrier, Data, Deadline, WireError, varint};

/// What is said of a message before a piece of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyHead {
    /// The sender's channel.
    pub channel: ChannelId,
    /// See [`Data::sequence`].
    pub sequence: Sequence,
    /// See [`Data::redelivered`].
    pub redelivered: bool,
    /// See [`Data::deadline`]. Both numbers are at most [`varint::MAX`].
    pub deadline: Option<Deadline>,
    /// Bytes of the whole message.
    pub size: u64,
    /// Where in the message the bytes behind this belong.
    pub offset: u64,
}

impl From<&Body> for BodyHead {
    fn from(body: &Body) -> Self {
        let &Body { channel, sequence, redelivered, deadline, size, offset, .. } = body;
        Self { channel, sequence, redelivered, deadline, size, offset }
    }
}

impl From<&Data> for BodyHead {
    /// For the whole message, from its first byte on.
    fn from(data: &Data) -> Self {
        let &Data { channel, sequence, redelivered, deadline, ref payload, .. } = data;
        Self { channel, sequence, redelivered, deadline, size: payload.len() as u64, offset: 0 }
    }
}

impl BodyHead {
    /// Whether it can be written, with a message of at least this size.
    pub(super) fn check(&self, least: u64) -> Result<(), WireError> {
        let &Self { channel, sequence, deadline, size, offset, .. } = self;
        fits("sequence", sequence, MAX_SEQUENCE)?;
        fits("message size", size, varint::MAX)?;
        check_deadline(deadline)?;
        if size < least {
            return Err(WireError::MessageTooSmall { channel, size, least });
        }
        if offset > size {
            return Err(WireError::BeyondMessage { channel, sequence, size, end: offset });
        }
        Ok(())
    }

    /// Bytes that it takes.
    pub(super) fn encoded_len(&self) -> usize {
        let &Self { channel, sequence, redelivered, deadline, size, offset } = self;
        let mask = mask_of(redelivered, 0, deadline);
        let numbers = [KIND_BODY, channel.0.into(), sequence, size, offset, mask];
        numbers.into_iter().map(varint::size).sum::<usize>() + deadline_len(deadline)
    }

    pub(super) fn encode(&self, out: &mut BytesMut) {
        let &Self { channel, sequence, redelivered, deadline, size, offset } = self;
        let mask = mask_of(redelivered, 0, deadline);
        for number in [KIND_BODY, channel.0.into(), sequence, size, offset, mask] {
            varint::encode(number, out);
        }
        put_deadline(deadline, out);
    }

    /// What is between the kind and the bytes, of a message of `least` to `limit` bytes.
    pub(super) fn parse(bytes: &mut &[u8], least: u64, limit: usize) -> Result<Option<Self>, WireError> {
        let Some(channel) = parse_channel(bytes)? else { return Ok(None) };
        let Some(sequence) = varint::decode(bytes) else { return Ok(None) };
        fits("sequence", sequence, MAX_SEQUENCE)?;
        let Some(size) = varint::decode(bytes) else { return Ok(None) };
        if size < least {
            return Err(WireError::MessageTooSmall { channel, size, least });
        }
        if size > limit as u64 {
            return Err(WireError::MessageTooLarge { channel, size, limit });
        }
        let Some(offset) = varint::decode(bytes) else { return Ok(None) };
        if offset > size {
            return Err(WireError::BeyondMessage { channel, sequence, size, end: offset });
        }
        let Some(mask) = varint::decode(bytes) else { return Ok(None) };
        if mask & !(REDELIVERED | DEADLINE) != 0 {
            return Err(WireError::UnknownOptions { channel, mask });
        }
        let redelivered = mask & REDELIVERED != 0;
        let deadline = parse_deadline(mask, bytes);
        Ok(deadline.map(|deadline| Self { channel, sequence, redelivered, deadline, size, offset }))
    }

    /// The piece at its offset.
    pub(super) fn with(&self, carrier: Carrier, bytes: Bytes) -> Body {
        let &Self { channel, sequence, redelivered, deadline, size, offset } = self;
        Body { channel, sequence, redelivered, deadline, carrier, size, offset, bytes }
    }
}

/// The smallest message that travels on a body stream.
pub(super) const LEAST_ON_STREAM: u64 = LARGE as u64 + 1;

/// Writes a body stream: the header before the first piece. The pieces are the caller's to send behind it.
#[derive(Clone, Debug, Default)]
pub struct BodyEncoder {
    /// Channel and sequence of the message, its size, and where the next piece belongs.
    begun: Option<(ChannelId, Sequence, u64, u64)>,
}

impl BodyEncoder {
    /// A stream on which nothing was written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the stream ends here: the last byte of the message was put.
    pub fn is_whole(&self) -> bool {
        matches!(self.begun, Some((.., size, next)) if size == next)
    }

    /// Writes what must come before the bytes of this piece: the header if it is the first, otherwise nothing. After
    /// an error nothing is written and nothing has changed.
    pub fn put(&mut self, out: &mut BytesMut, body: &Body) -> Result<(), WireError> {
        let &Body { channel, sequence, size, offset, .. } = body;
        let end = offset.saturating_add(body.bytes.len() as u64);
        match self.begun {
            Some((_, _, _, next)) if self.begun != Some((channel, sequence, size, offset)) => {
                return Err(WireError::OutOfPlace { channel, sequence, offset, next });
            }
            _ if end > size => return Err(WireError::BeyondMessage { channel, sequence, size, end }),
            Some(_) => {}
            None => {
                let head = BodyHead::from(body);
                head.check(LEAST_ON_STREAM)?;
                head.encode(out);
            }
        }
        self.begun = Some((channel, sequence, size, end));
        Ok(())
    }
}

/// Takes a body stream apart, from behind the header on.
#[derive(Debug)]
pub(super) struct BodyStream {
    /// With the offset of what comes next.
    head: BodyHead,
}

impl BodyStream {
    pub(super) fn new(head: BodyHead) -> Self {
        Self { head }
    }

    /// Whether the last byte of the message was taken.
    pub(super) fn is_whole(&self) -> bool {
        self.head.offset == self.head.size
    }

    /// What has come of the message, chunk by chunk. `None`: more is needed.
    pub(super) fn next(&mut self, input: &mut Input) -> Result<Option<Body>, WireError> {
        if !input.fill() {
            return Ok(None);
        }
        let BodyHead { channel, sequence, size, offset, .. } = self.head;
        if self.is_whole() {
            return Err(WireError::BeyondMessage { channel, sequence, size, end: size.saturating_add(1) });
        }
        let bytes = input.take_some(usize::try_from(size - offset).unwrap_or(usize::MAX));
        let piece = self.head.with(Carrier::Stream, bytes);
        self.head.offset += piece.bytes.len() as u64;
        Ok(Some(piece))
    }
}
