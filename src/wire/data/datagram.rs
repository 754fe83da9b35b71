//! Datagrams: heartbeats, padding, whole messages and fragments (rule W12).

use bytes::{Bytes, BytesMut};

use super::body::BodyHead;
use super::record::{RecordEncoder, RecordHead, Records};
use super::{KIND_BODY, KIND_RECORDS, Limits};
use crate::config::LARGE;
use crate::id::{ChannelId, Sequence};
use crate::wire::{Body, Carrier, Data, Heartbeat, WireError, heartbeat, varint};

/// What nobody reads: it only has to arrive.
const KIND_PADDING: u64 = 0;

/// The smallest message that travels in fragments.
const LEAST_IN_FRAGMENTS: u64 = 1;

/// What a datagram says.
#[derive(Debug)]
pub enum Datagram {
    /// Exactly one byte.
    Heartbeat(Heartbeat),
    /// Nothing: its size is all that matters.
    Padding,
    /// Whole messages of one lane.
    Messages(Messages),
    /// A piece of a message, at least one byte.
    Fragment(Body),
    /// Of a kind that this version does not know: to be dropped and counted.
    Unknown(u64),
}

/// A datagram of this many bytes that says nothing; of two at least, because one of one byte is a heartbeat.
pub fn padding(bytes: usize) -> Bytes {
    // The first byte is the kind.
    Bytes::from(vec![KIND_PADDING.to_be_bytes()[7]; bytes.max(2)])
}

/// Takes a datagram apart. Its messages are slices of it; what follows a broken one is lost.
pub fn decode(datagram: Bytes, limits: Limits) -> Result<Datagram, WireError> {
    if let [byte] = *datagram {
        return Ok(Datagram::Heartbeat(heartbeat::decode(byte)));
    }
    let truncated = || WireError::Truncated("datagram");
    let mut bytes = &*datagram;
    match varint::decode(&mut bytes).ok_or_else(truncated)? {
        KIND_PADDING => Ok(Datagram::Padding),
        KIND_RECORDS => {
            let (channel, first) = Records::parse_header(&mut bytes)?.ok_or_else(truncated)?;
            let rest = datagram.slice_ref(bytes);
            if rest.is_empty() {
                return Err(truncated());
            }
            Ok(Datagram::Messages(Messages { records: Records::new(channel, first, limits.record), rest }))
        }
        KIND_BODY => {
            let head = BodyHead::parse(&mut bytes, LEAST_IN_FRAGMENTS, limits.record)?;
            let head = head.ok_or_else(truncated)?;
            let BodyHead { channel, sequence, size, offset, .. } = head;
            if bytes.is_empty() {
                return Err(truncated());
            }
            let end = offset.saturating_add(bytes.len() as u64);
            if end > size {
                return Err(WireError::BeyondMessage { channel, sequence, size, end });
            }
            Ok(Datagram::Fragment(head.with(Carrier::Datagram, datagram.slice_ref(bytes))))
        }
        kind => Ok(Datagram::Unknown(kind)),
    }
}

/// The messages of one datagram: at least one, or an error. The first error is the last item.
#[derive(Debug)]
pub struct Messages {
    records: Records,
    rest: Bytes,
}

impl Messages {
    /// The sender's channel.
    pub fn channel(&self) -> ChannelId {
        self.records.channel()
    }
}

impl Iterator for Messages {
    type Item = Result<Data, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let taken = self.records.next_in(&mut self.rest);
        if taken.is_err() {
            self.rest = Bytes::new();
        }
        Some(taken)
    }
}

/// Packs messages of one lane into a datagram.
#[derive(Debug, Default)]
pub struct DatagramPacker {
    /// The lane of what is packed, and where its sequences stand.
    lane: Option<(ChannelId, RecordEncoder)>,
    out: BytesMut,
}

impl DatagramPacker {
    /// With nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is packed.
    pub fn is_empty(&self) -> bool {
        self.lane.is_none()
    }

    /// The lowest sequence that can be added now, if something is packed.
    pub fn next_sequence(&self) -> Option<Sequence> {
        self.lane.as_ref().map(|(_, encoder)| encoder.next_sequence())
    }

    /// Adds the message, if the datagram then has at most `limit` bytes. It does not fit beside messages of another
    /// channel, nor behind the same or a higher sequence. One that does not fit an empty datagram fits none.
    ///
    /// Errors: a number of the message cannot be written. Then, and when it does not fit, nothing has changed.
    pub fn put(&mut self, data: &Data, limit: usize) -> Result<bool, WireError> {
        let head = RecordHead::from(data);
        let new = || RecordEncoder::new(data.channel, data.sequence);
        let mut encoder = match &self.lane {
            Some((channel, encoder)) if *channel == data.channel => encoder.clone(),
            Some(_) => return Ok(false),
            None => new(),
        };
        let room = limit.saturating_sub(self.out.len());
        if head.sequence < encoder.next_sequence()
            || encoder.head_len(&head).saturating_add(head.length) > room
        {
            return Ok(false);
        }
        encoder.put(&mut self.out, &head)?;
        self.out.extend_from_slice(&data.payload);
        self.lane = Some((data.channel, encoder));
        Ok(true)
    }

    /// The datagram with what is packed, which is nothing afterwards. Not for an empty one: that is no datagram.
    pub fn take(&mut self) -> Bytes {
        self.lane = None;
        self.out.split().freeze()
    }
}

/// A message that is cut into datagrams, each as large as it may be when it leaves.
#[derive(Clone, Debug)]
pub struct Fragments {
    /// With the offset of what comes next.
    head: BodyHead,
    rest: Bytes,
}

impl Fragments {
    /// Of this message.
    ///
    /// Errors: it is empty or above [`LARGE`], or a number of it cannot be written.
    pub fn new(data: &Data) -> Result<Self, WireError> {
        let head = BodyHead::from(data);
        if data.payload.len() > LARGE {
            let (channel, size) = (head.channel, head.size);
            return Err(WireError::MessageTooLarge { channel, size, limit: LARGE });
        }
        head.check(LEAST_IN_FRAGMENTS)?;
        Ok(Self { head, rest: data.payload.clone() })
    }

    /// The next datagram, of at most `limit` bytes. `None`: that was the last.
    ///
    /// Errors: so few bytes do not hold the header and one byte. Nothing has changed then.
    pub fn next(&mut self, limit: usize) -> Result<Option<Bytes>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let header = self.head.encoded_len();
        let room = limit.saturating_sub(header).min(self.rest.len());
        if room == 0 {
            let BodyHead { channel, sequence, .. } = self.head;
            return Err(WireError::DatagramTooSmall { channel, sequence, limit, needed: header + 1 });
        }
        let mut out = BytesMut::with_capacity(header + room);
        self.head.encode(&mut out);
        out.extend_from_slice(&self.rest.split_to(room));
        self.head.offset += room as u64;
        Ok(Some(out.freeze()))
    }
}
