//! Data streams: one per channel, link and direction, with the channel's messages in order (rules W10 and W11).
//!
//! ```text
//! stream: kind = 1 | channel | first sequence | record*            all numbers are varints
//! record: length << 1 | ext [ mask [ advance ] ] payload           mask, if ext: 1 redelivered, 2 advance
//! ```
//!
//! A record's sequence is implicit: one more than the one before it, plus its advance. So the head of most
//! messages takes one byte (payloads up to 31 bytes) or two (up to 8,191).

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::{Carrier, Data, WireError, varint};
use crate::id::{ChannelId, Sequence};

/// The kind of stream that carries an ordered channel.
const KIND_ORDERED: u64 = 1;

const EXTENDED: u64 = 1;
const REDELIVERED: u64 = 1;
const ADVANCE: u64 = 2;

/// The largest sequence of a message. One past it is still a varint, as the first sequence of a stream must be.
pub const MAX_SEQUENCE: Sequence = varint::MAX - 1;

/// The largest payload that a record can announce.
const MAX_PAYLOAD: u64 = varint::MAX >> 1;

/// What a data stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamHeader {
    /// The sender's channel.
    pub channel: ChannelId,
    /// The sequence of the first record, unless that advances it.
    pub first: Sequence,
}

/// Writes the heads of the records of one data stream; the payloads are the caller's to send behind them.
#[derive(Debug)]
pub struct RecordEncoder {
    channel: ChannelId,
    next: Sequence,
    begun: bool,
}

impl RecordEncoder {
    /// A stream for `channel` whose first sequence is `first`: best the one of the first record.
    pub fn new(channel: ChannelId, first: Sequence) -> Self {
        Self { channel, next: first, begun: false }
    }

    /// The lowest sequence that can be written now.
    pub fn next_sequence(&self) -> Sequence {
        self.next
    }

    /// Writes the head of a record, and the stream's header before the first one. After an error nothing is written
    /// and nothing has changed.
    #[inline]
    pub fn put(
        &mut self,
        out: &mut BytesMut,
        sequence: Sequence,
        redelivered: bool,
        payload_len: usize,
    ) -> Result<(), WireError> {
        let (channel, next) = (self.channel, self.next);
        let Some(advance) = sequence.checked_sub(next) else {
            return Err(WireError::OutOfOrder { channel, sequence, next });
        };
        if sequence > MAX_SEQUENCE {
            return Err(WireError::SequenceOverflow { channel, next, advance });
        }
        let length = payload_len as u64;
        if length > MAX_PAYLOAD {
            return Err(WireError::TooLarge { what: "payload length", found: length, limit: MAX_PAYLOAD });
        }
        if !self.begun {
            varint::encode(KIND_ORDERED, out);
            varint::encode(channel.0.into(), out);
            varint::encode(next, out);
            self.begun = true;
        }
        let mut mask = if redelivered { REDELIVERED } else { 0 };
        if advance > 0 {
            mask |= ADVANCE;
        }
        if mask == 0 {
            varint::encode(length << 1, out);
        } else {
            varint::encode((length << 1) | EXTENDED, out);
            varint::encode(mask, out);
        }
        if advance > 0 {
            varint::encode(advance, out);
        }
        self.next = sequence + 1;
        Ok(())
    }
}

/// Takes a data stream apart into messages.
///
/// It holds what was pushed and not yet taken, and of a message in several chunks the bytes that have come; what a
/// length claims costs nothing. The first error is final.
#[derive(Debug)]
pub struct RecordDecoder {
    max_message_size: usize,
    chunk: Bytes,
    later: VecDeque<Bytes>,
    /// The beginning of a head that a chunk ended in: a few bytes.
    carry: Vec<u8>,
    header: Option<StreamHeader>,
    next: Sequence,
    state: State,
}

#[derive(Debug)]
enum State {
    /// At or in a head.
    Head,
    /// In the payload of this record.
    Payload(Partial),
    Failed(WireError),
}

#[derive(Debug)]
struct Partial {
    sequence: Sequence,
    redelivered: bool,
    missing: usize,
    bytes: Vec<u8>,
}

/// The head of a record, as written.
struct Head {
    length: usize,
    redelivered: bool,
    advance: u64,
}

impl RecordDecoder {
    /// A decoder at the start of a stream, for payloads of at most `max_message_size` bytes.
    pub fn new(max_message_size: usize) -> Self {
        Self {
            max_message_size,
            chunk: Bytes::new(),
            later: VecDeque::new(),
            carry: Vec::new(),
            header: None,
            next: 0,
            state: State::Head,
        }
    }

    /// Adds what the stream has brought. Payloads that are whole inside it will be slices of it.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() || matches!(self.state, State::Failed(_)) {
        } else if self.chunk.is_empty() && self.later.is_empty() {
            self.chunk = chunk;
        } else {
            self.later.push_back(chunk);
        }
    }

    /// What the stream is for. `None`: push more. No record is taken.
    pub fn header(&mut self) -> Result<Option<StreamHeader>, WireError> {
        if self.header.is_some() {
            return Ok(self.header);
        }
        self.guarded(Self::take_header)
    }

    /// The next message. `None`: push more.
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "an iterator ends, and it cannot be fed in between")]
    pub fn next(&mut self) -> Result<Option<Data>, WireError> {
        self.guarded(Self::take_record)
    }

    /// Whether the stream could end here: `Err` in the middle of a header or record. Call it when `next` has nothing
    /// more.
    pub fn finish(&self) -> Result<(), WireError> {
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            State::Head if self.carry.is_empty() && self.chunk.is_empty() => Ok(()),
            State::Head if self.header.is_none() => Err(WireError::Truncated("stream header")),
            State::Head | State::Payload(_) => Err(WireError::Truncated("record")),
        }
    }

    /// Makes the first error final.
    #[inline]
    fn guarded<T>(
        &mut self,
        take: impl FnOnce(&mut Self) -> Result<Option<T>, WireError>,
    ) -> Result<Option<T>, WireError> {
        if let State::Failed(error) = &self.state {
            return Err(error.clone());
        }
        let taken = take(self);
        if let Err(error) = &taken {
            self.state = State::Failed(error.clone());
            self.chunk = Bytes::new();
            self.later = VecDeque::new();
        }
        taken
    }

    fn take_header(&mut self) -> Result<Option<StreamHeader>, WireError> {
        while self.fill() {
            if let Some(header) = self.take_head(parse_header)? {
                self.header = Some(header);
                self.next = header.first;
                return Ok(self.header);
            }
        }
        Ok(None)
    }

    #[inline]
    fn take_record(&mut self) -> Result<Option<Data>, WireError> {
        let header = if self.header.is_some() { self.header } else { self.take_header()? };
        let Some(StreamHeader { channel, .. }) = header else { return Ok(None) };
        while self.fill() {
            if let State::Payload(partial) = &mut self.state {
                if let Some(data) = partial.take_from(&mut self.chunk, channel) {
                    self.state = State::Head;
                    return Ok(Some(data));
                }
                continue;
            }
            let limit = self.max_message_size;
            let Some(head) = self.take_head(|bytes| parse_head(bytes, channel, limit))? else { continue };
            let sequence = self.number(channel, &head)?;
            if head.length <= self.chunk.len() {
                let payload = self.chunk.split_to(head.length);
                return Ok(Some(Data {
                    channel,
                    sequence,
                    redelivered: head.redelivered,
                    deadline: None,
                    carrier: Carrier::Lane,
                    payload,
                }));
            }
            self.state = State::Payload(Partial {
                sequence,
                redelivered: head.redelivered,
                missing: head.length,
                bytes: Vec::new(),
            });
        }
        Ok(None)
    }

    /// Makes `chunk` non-empty, or says that nothing is left.
    #[inline]
    fn fill(&mut self) -> bool {
        if self.chunk.is_empty() {
            // Also lets go of the buffer that the exhausted one was a part of.
            self.chunk = self.later.pop_front().unwrap_or_default();
        }
        !self.chunk.is_empty()
    }

    /// Takes a head off the front of the chunk, or together with what the chunks before it ended in.
    #[inline]
    fn take_head<T>(
        &mut self,
        parse: impl Fn(&mut &[u8]) -> Result<Option<T>, WireError>,
    ) -> Result<Option<T>, WireError> {
        if self.carry.is_empty() {
            let mut rest = &*self.chunk;
            if let Some(head) = parse(&mut rest)? {
                let used = self.chunk.len() - rest.len();
                self.chunk.advance(used);
                return Ok(Some(head));
            }
        }
        // A head has a few dozen bytes at most, so byte by byte will do, and stops exactly at its end.
        while let Some(&byte) = self.chunk.first() {
            self.chunk.advance(1);
            self.carry.push(byte);
            if let Some(head) = parse(&mut &*self.carry)? {
                self.carry.clear();
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    /// The sequence of the record with this head.
    #[inline]
    fn number(&mut self, channel: ChannelId, head: &Head) -> Result<Sequence, WireError> {
        // Both are at most 2^62.
        let sequence = self.next + head.advance;
        if sequence > MAX_SEQUENCE {
            return Err(WireError::SequenceOverflow { channel, next: self.next, advance: head.advance });
        }
        self.next = sequence + 1;
        Ok(sequence)
    }
}

impl Partial {
    /// Takes what the chunk has of the payload; the message when it is whole.
    fn take_from(&mut self, chunk: &mut Bytes, channel: ChannelId) -> Option<Data> {
        let part = chunk.split_to(chunk.len().min(self.missing));
        if self.bytes.capacity() - self.bytes.len() < part.len() {
            // Doubles, but never beyond the payload: room comes from what was received, not from what was claimed.
            self.bytes.reserve_exact(part.len().max(self.missing.min(self.bytes.len())));
        }
        self.bytes.extend_from_slice(&part);
        self.missing -= part.len();
        (self.missing == 0).then(|| Data {
            channel,
            sequence: self.sequence,
            redelivered: self.redelivered,
            deadline: None,
            carrier: Carrier::Lane,
            payload: std::mem::take(&mut self.bytes).into(),
        })
    }
}

fn parse_header(bytes: &mut &[u8]) -> Result<Option<StreamHeader>, WireError> {
    let Some(kind) = varint::decode(bytes) else { return Ok(None) };
    if kind != KIND_ORDERED {
        return Err(WireError::UnknownStreamKind(kind));
    }
    let Some(channel) = varint::decode(bytes) else { return Ok(None) };
    let Ok(id) = u32::try_from(channel) else {
        return Err(WireError::TooLarge { what: "channel", found: channel, limit: u32::MAX.into() });
    };
    let first = varint::decode(bytes);
    Ok(first.map(|first| StreamHeader { channel: ChannelId(id), first }))
}

#[inline]
fn parse_head(bytes: &mut &[u8], channel: ChannelId, limit: usize) -> Result<Option<Head>, WireError> {
    let Some(word) = varint::decode(bytes) else { return Ok(None) };
    let size = word >> 1;
    let length = match usize::try_from(size) {
        Ok(fits) if fits <= limit => fits,
        _ => return Err(WireError::MessageTooLarge { channel, size, limit }),
    };
    if word & EXTENDED == 0 {
        return Ok(Some(Head { length, redelivered: false, advance: 0 }));
    }
    let Some(mask) = varint::decode(bytes) else { return Ok(None) };
    if mask & !(REDELIVERED | ADVANCE) != 0 {
        return Err(WireError::UnknownOptions { channel, mask });
    }
    let mut advance = 0;
    if mask & ADVANCE != 0 {
        match varint::decode(bytes) {
            Some(0) => return Err(WireError::ZeroAdvance { channel }),
            Some(delta) => advance = delta,
            None => return Ok(None),
        }
    }
    Ok(Some(Head { length, redelivered: mask & REDELIVERED != 0, advance }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room taken for a payload under way, and its bytes so far.
    fn held(decoder: &RecordDecoder) -> (usize, usize) {
        match &decoder.state {
            State::Payload(partial) => (partial.bytes.capacity(), partial.bytes.len()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_payload_under_way_takes_room_for_what_has_come() {
        const SIZE: usize = 64 << 20;
        let (mut encoder, mut head) = (RecordEncoder::new(ChannelId(1), 0), BytesMut::new());
        encoder.put(&mut head, 0, false, SIZE).unwrap();
        let mut decoder = RecordDecoder::new(SIZE);
        decoder.push(head.freeze());
        assert_eq!(decoder.next(), Ok(None));
        assert_eq!(held(&decoder), (0, 0));
        for _ in 0..1000 {
            decoder.push(Bytes::from_static(&[7; 100]));
            assert_eq!(decoder.next(), Ok(None));
            let (room, come) = held(&decoder);
            assert!(room <= 2 * come, "room for {room} bytes after {come}");
        }
        assert_eq!(held(&decoder).1, 100_000);
    }

    #[test]
    fn room_for_a_payload_never_exceeds_it() {
        const SIZE: usize = 10_000;
        let (mut encoder, mut head) = (RecordEncoder::new(ChannelId(1), 0), BytesMut::new());
        encoder.put(&mut head, 0, false, SIZE).unwrap();
        let mut decoder = RecordDecoder::new(SIZE);
        decoder.push(head.freeze());
        for _ in 0..99 {
            decoder.push(Bytes::from_static(&[7; 101]));
            assert_eq!(decoder.next(), Ok(None));
            assert!(held(&decoder).0 <= SIZE);
        }
        decoder.push(Bytes::from_static(&[7; 1]));
        assert_eq!(decoder.next().unwrap().unwrap().payload.len(), SIZE);
    }

    #[test]
    fn an_exhausted_chunk_is_let_go() {
        let chunk = Bytes::copy_from_slice(&[1, 1, 0, 2, 7]);
        let mut decoder = RecordDecoder::new(10);
        decoder.push(chunk.clone());
        drop(decoder.next());
        assert_eq!(decoder.next(), Ok(None));
        assert!(chunk.is_unique(), "the decoder holds on to a chunk without need of it");
    }
}
