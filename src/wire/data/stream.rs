//! Unidirectional streams: the kind says whether records follow or a body (rules W10 and W14).

use bytes::Bytes;

use super::body::{BodyHead, BodyStream, LEAST_ON_STREAM};
use super::input::Input;
use super::record::Records;
use super::{KIND_BODY, KIND_RECORDS, Limits};
use crate::id::{ChannelId, Sequence};
use crate::wire::{Frame, WireError, varint};

/// What a stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamHeader {
    /// Whole messages.
    Records {
        /// The sender's channel.
        channel: ChannelId,
        /// The sequence of the first record, unless that advances it.
        first: Sequence,
    },
    /// One message, from an offset on.
    Body(BodyHead),
}

impl StreamHeader {
    /// The sender's channel.
    pub fn channel(&self) -> ChannelId {
        match self {
            Self::Records { channel, .. } => *channel,
            Self::Body(head) => head.channel,
        }
    }

    fn parse(bytes: &mut &[u8], limits: Limits) -> Result<Option<Self>, WireError> {
        match varint::decode(bytes) {
            Some(KIND_RECORDS) => {
                let header = Records::parse_header(bytes)?;
                Ok(header.map(|(channel, first)| Self::Records { channel, first }))
            }
            Some(KIND_BODY) => Ok(BodyHead::parse(bytes, LEAST_ON_STREAM, limits.body)?.map(Self::Body)),
            Some(kind) => Err(WireError::UnknownStreamKind(kind)),
            None => Ok(None),
        }
    }
}

/// Takes a unidirectional stream apart into messages, or into pieces of one.
///
/// It holds what was pushed and not yet taken, and of a message in several chunks the bytes that have come; what a
/// length claims costs nothing. The first error is final.
#[derive(Debug)]
pub struct StreamDecoder {
    limits: Limits,
    input: Input,
    header: Option<StreamHeader>,
    state: State,
}

#[derive(Debug)]
enum State {
    Header,
    Records(Records),
    Body(BodyStream),
    Failed(WireError),
}

impl StreamDecoder {
    /// A decoder at the start of a stream, for messages within `limits`.
    pub fn new(limits: Limits) -> Self {
        Self { limits, input: Input::default(), header: None, state: State::Header }
    }

    /// Adds what the stream has brought. Payloads that are whole inside it, and all pieces, will be slices of it.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() && !matches!(self.state, State::Failed(_)) {
            self.input.push(chunk);
        }
    }

    /// What the stream is for. `None`: push more. No message is taken.
    pub fn header(&mut self) -> Result<Option<StreamHeader>, WireError> {
        match &self.state {
            State::Failed(error) => return Err(error.clone()),
            State::Header => self.take_header().inspect_err(|error| self.fail(error))?,
            State::Records(_) | State::Body(_) => {}
        }
        Ok(self.header)
    }

    /// The next message, as [`Frame::Data`], or piece of one, as [`Frame::Body`]. `None`: push more.
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "an iterator ends, and it cannot be fed in between")]
    pub fn next(&mut self) -> Result<Option<Frame>, WireError> {
        if self.header.is_none() && self.header()?.is_none() {
            return Ok(None);
        }
        let taken = match &mut self.state {
            State::Records(records) => records.next(&mut self.input).map(|data| data.map(Frame::Data)),
            State::Body(body) => body.next(&mut self.input).map(|body| body.map(Frame::Body)),
            State::Header => Ok(None),
            State::Failed(error) => return Err(error.clone()),
        };
        if let Err(error) = &taken {
            self.fail(error);
        }
        taken
    }

    /// Whether the stream could end here: `Err` in the middle of a header or record, or before the end of a body. Call
    /// it when `next` has nothing more.
    pub fn finish(&self) -> Result<(), WireError> {
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            State::Header if self.input.is_empty() => Ok(()),
            State::Header => Err(WireError::Truncated("stream header")),
            State::Records(records) if records.is_between() && self.input.is_empty() => Ok(()),
            State::Records(_) => Err(WireError::Truncated("record")),
            State::Body(body) if body.is_whole() && self.input.is_empty() => Ok(()),
            State::Body(_) => Err(WireError::Truncated("body")),
        }
    }

    fn take_header(&mut self) -> Result<(), WireError> {
        let limits = self.limits;
        while self.input.fill() {
            let Some(header) = self.input.take_head(|bytes| StreamHeader::parse(bytes, limits))? else {
                continue;
            };
            self.header = Some(header);
            self.state = match header {
                StreamHeader::Records { channel, first } => {
                    State::Records(Records::new(channel, first, limits.record))
                }
                StreamHeader::Body(head) => State::Body(BodyStream::new(head)),
            };
            break;
        }
        Ok(())
    }

    /// Makes the first error final.
    #[cold]
    fn fail(&mut self, error: &WireError) {
        self.state = State::Failed(error.clone());
        self.input = Input::default();
    }
}
