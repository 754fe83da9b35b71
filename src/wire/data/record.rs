//! Records: whole messages, one behind the other (rule W11).

use bytes::{Bytes, BytesMut};

use super::input::Input;
use super::{ADVANCE, DEADLINE, KIND_RECORDS, MAX_SEQUENCE, REDELIVERED, check_deadline, deadline_len, fits};
use super::{mask_of, parse_channel, parse_deadline, put_deadline};
use crate::id::{ChannelId, Sequence};
use crate::wire::{Carrier, Data, Deadline, WireError, varint};

/// The bit beside the length that says that a mask follows.
const EXTENDED: u64 = 1;

/// The largest payload that a record can announce.
const MAX_PAYLOAD: u64 = varint::MAX >> 1;

/// What a record says before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// See [`Data::sequence`].
    pub sequence: Sequence,
    /// See [`Data::redelivered`].
    pub redelivered: bool,
    /// See [`Data::deadline`]. Both numbers are at most [`varint::MAX`].
    pub deadline: Option<Deadline>,
    /// Bytes of the payload.
    pub length: usize,
}

impl From<&Data> for RecordHead {
    #[inline]
    fn from(data: &Data) -> Self {
        let &Data { sequence, redelivered, deadline, ref payload, .. } = data;
        Self { sequence, redelivered, deadline, length: payload.len() }
    }
}

/// Writes the heads of the records of one data stream or datagram; the payloads are the caller's to send behind them.
#[derive(Clone, Debug)]
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
    pub fn put(&mut self, out: &mut BytesMut, head: &RecordHead) -> Result<(), WireError> {
        let (channel, next) = (self.channel, self.next);
        let &RecordHead { sequence, redelivered, deadline, length } = head;
        let Some(advance) = sequence.checked_sub(next) else {
            return Err(WireError::OutOfOrder { channel, sequence, next });
        };
        if sequence > MAX_SEQUENCE {
            return Err(WireError::SequenceOverflow { channel, next, advance });
        }
        let length = length as u64;
        fits("payload length", length, MAX_PAYLOAD)?;
        check_deadline(deadline)?;
        if !self.begun {
            varint::encode(KIND_RECORDS, out);
            varint::encode(channel.0.into(), out);
            varint::encode(next, out);
            self.begun = true;
        }
        let mask = mask_of(redelivered, advance, deadline);
        if mask == 0 {
            varint::encode(length << 1, out);
        } else {
            varint::encode((length << 1) | EXTENDED, out);
            varint::encode(mask, out);
            if advance > 0 {
                varint::encode(advance, out);
            }
            put_deadline(deadline, out);
        }
        self.next = sequence + 1;
        Ok(())
    }

    /// Bytes that [`put`](Self::put) writes for this record, if it can be written. The payload comes on top.
    pub fn head_len(&self, head: &RecordHead) -> usize {
        let &RecordHead { sequence, redelivered, deadline, length } = head;
        let header = match self.begun {
            true => 0,
            false => {
                varint::size(KIND_RECORDS) + varint::size(self.channel.0.into()) + varint::size(self.next)
            }
        };
        let advance = sequence.saturating_sub(self.next);
        let mask = mask_of(redelivered, advance, deadline);
        let mut options = deadline_len(deadline);
        if mask != 0 {
            options += varint::size(mask);
        }
        if advance > 0 {
            options += varint::size(advance);
        }
        header + varint::size((length as u64) << 1) + options
    }
}

/// Takes records apart, from behind the header on. What a length claims costs nothing.
#[derive(Debug)]
pub(super) struct Records {
    channel: ChannelId,
    next: Sequence,
    limit: usize,
    /// The payload under way.
    partial: Option<Partial>,
}

/// A payload that comes in several chunks.
#[derive(Debug)]
struct Partial {
    head: Parsed,
    sequence: Sequence,
    missing: usize,
    bytes: Vec<u8>,
}

/// The head of a record, as written.
#[derive(Clone, Copy, Debug)]
struct Parsed {
    length: usize,
    redelivered: bool,
    advance: u64,
    deadline: Option<Deadline>,
}

impl Records {
    /// For payloads of at most `limit` bytes.
    pub(super) fn new(channel: ChannelId, first: Sequence, limit: usize) -> Self {
        Self { channel, next: first, limit, partial: None }
    }

    /// Channel and first sequence: what is between the kind and the records.
    pub(super) fn parse_header(bytes: &mut &[u8]) -> Result<Option<(ChannelId, Sequence)>, WireError> {
        let Some(channel) = parse_channel(bytes)? else { return Ok(None) };
        Ok(varint::decode(bytes).map(|first| (channel, first)))
    }

    pub(super) fn channel(&self) -> ChannelId {
        self.channel
    }

    /// Whether the last record that began is whole, as far as the input knows.
    pub(super) fn is_between(&self) -> bool {
        self.partial.is_none()
    }

    /// The next message of a stream. `None`: more is needed.
    #[inline]
    pub(super) fn next(&mut self, input: &mut Input) -> Result<Option<Data>, WireError> {
        while input.fill() {
            if let Some(partial) = &mut self.partial {
                if let Some(payload) = partial.take_from(input) {
                    let (sequence, head) = (partial.sequence, partial.head);
                    self.partial = None;
                    return Ok(Some(self.message(sequence, &head, Carrier::Lane, payload)));
                }
                continue;
            }
            let (channel, limit) = (self.channel, self.limit);
            let Some(head) = input.take_head(|bytes| parse_head(bytes, channel, limit))? else { continue };
            let sequence = self.number(&head)?;
            if let Some(payload) = input.take_whole(head.length) {
                return Ok(Some(self.message(sequence, &head, Carrier::Lane, payload)));
            }
            self.partial = Some(Partial { head, sequence, missing: head.length, bytes: Vec::new() });
        }
        Ok(None)
    }

    /// The next message of a datagram, all of which is in `rest`.
    pub(super) fn next_in(&mut self, rest: &mut Bytes) -> Result<Data, WireError> {
        let mut bytes = &**rest;
        let parsed = parse_head(&mut bytes, self.channel, self.limit)?;
        let head =
            parsed.filter(|head| head.length <= bytes.len()).ok_or(WireError::Truncated("datagram"))?;
        let sequence = self.number(&head)?;
        let mut payload = rest.split_off(rest.len() - bytes.len());
        *rest = payload.split_off(head.length);
        Ok(self.message(sequence, &head, Carrier::Datagram, payload))
    }

    /// The sequence of the record with this head.
    #[inline]
    fn number(&mut self, head: &Parsed) -> Result<Sequence, WireError> {
        let (channel, next, advance) = (self.channel, self.next, head.advance);
        // Both are at most 2^62.
        let sequence = next + advance;
        if sequence > MAX_SEQUENCE {
            return Err(WireError::SequenceOverflow { channel, next, advance });
        }
        self.next = sequence + 1;
        Ok(sequence)
    }

    #[inline]
    fn message(&self, sequence: Sequence, head: &Parsed, carrier: Carrier, payload: Bytes) -> Data {
        let &Parsed { redelivered, deadline, .. } = head;
        Data { channel: self.channel, sequence, redelivered, deadline, carrier, payload }
    }
}

impl Partial {
    /// Takes what the chunk has of the payload; all of it when it is whole.
    fn take_from(&mut self, input: &mut Input) -> Option<Bytes> {
        let part = input.take_some(self.missing);
        if self.bytes.capacity() - self.bytes.len() < part.len() {
            // Doubles, but never beyond the payload: room comes from what was received, not from what was claimed.
            self.bytes.reserve_exact(part.len().max(self.missing.min(self.bytes.len())));
        }
        self.bytes.extend_from_slice(&part);
        self.missing -= part.len();
        (self.missing == 0).then(|| std::mem::take(&mut self.bytes).into())
    }
}

#[inline]
fn parse_head(bytes: &mut &[u8], channel: ChannelId, limit: usize) -> Result<Option<Parsed>, WireError> {
    let Some(word) = varint::decode(bytes) else { return Ok(None) };
    let size = word >> 1;
    let length = match usize::try_from(size) {
        Ok(fits) if fits <= limit => fits,
        _ => return Err(WireError::MessageTooLarge { channel, size, limit }),
    };
    if word & EXTENDED == 0 {
        return Ok(Some(Parsed { length, redelivered: false, advance: 0, deadline: None }));
    }
    parse_options(bytes, channel, length)
}

// As a call it would make every head, also the plain ones, travel through memory.
#[inline(always)]
fn parse_options(bytes: &mut &[u8], channel: ChannelId, length: usize) -> Result<Option<Parsed>, WireError> {
    let Some(mask) = varint::decode(bytes) else { return Ok(None) };
    if mask & !(REDELIVERED | ADVANCE | DEADLINE) != 0 {
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
    let redelivered = mask & REDELIVERED != 0;
    Ok(parse_deadline(mask, bytes).map(|deadline| Parsed { length, redelivered, advance, deadline }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that has brought the head of a record of this size.
    fn begun(size: usize) -> (Records, Input) {
        let (mut encoder, mut head) = (RecordEncoder::new(ChannelId(1), 0), BytesMut::new());
        let record = RecordHead { sequence: 0, redelivered: false, deadline: None, length: size };
        encoder.put(&mut head, &record).unwrap();
        let mut input = Input::default();
        // Behind the header of three bytes.
        input.push(head.freeze().slice(3..));
        let mut records = Records::new(ChannelId(1), 0, size);
        assert_eq!(records.next(&mut input), Ok(None));
        assert_eq!(held(&records), (0, 0));
        (records, input)
    }

    /// Room taken for a payload under way, and its bytes so far.
    fn held(records: &Records) -> (usize, usize) {
        let bytes = &records.partial.as_ref().unwrap().bytes;
        (bytes.capacity(), bytes.len())
    }

    #[test]
    fn a_payload_under_way_takes_room_for_what_has_come() {
        let (mut records, mut input) = begun(64 << 20);
        for _ in 0..1000 {
            input.push(Bytes::from_static(&[7; 100]));
            assert_eq!(records.next(&mut input), Ok(None));
            let (room, come) = held(&records);
            assert!(room <= 2 * come, "room for {room} bytes after {come}");
        }
        assert_eq!(held(&records).1, 100_000);
    }

    #[test]
    fn room_for_a_payload_never_exceeds_it() {
        const SIZE: usize = 10_000;
        let (mut records, mut input) = begun(SIZE);
        for _ in 0..99 {
            input.push(Bytes::from_static(&[7; 101]));
            assert_eq!(records.next(&mut input), Ok(None));
            assert!(held(&records).0 <= SIZE);
        }
        input.push(Bytes::from_static(&[7; 1]));
        assert_eq!(records.next(&mut input).unwrap().unwrap().payload.len(), SIZE);
    }

    #[test]
    fn an_exhausted_chunk_is_let_go() {
        let chunk = Bytes::copy_from_slice(&[2, 7]);
        let mut input = Input::default();
        let mut records = Records::new(ChannelId(1), 0, 10);
        input.push(chunk.clone());
        drop(records.next(&mut input));
        assert_eq!(records.next(&mut input), Ok(None));
        assert!(chunk.is_unique(), "the decoder holds on to a chunk without need of it");
    }
}
