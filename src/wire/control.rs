//! The control stream: frames as protobuf messages, each behind its length (rules W4 to W8).

use bytes::{Bytes, BytesMut};
use prost::Message;

use super::{Control, WireError, convert, generated as pb, varint};

/// Most lanes in one frame.
pub const MAX_LANES: usize = 1024;

/// Most ranges in each of a lane's two sets, in one frame.
pub const MAX_RANGES: usize = 4096;

/// Most verdicts of a lane in one frame.
pub const MAX_VERDICTS: usize = 1024;

/// Most changed deadlines of a lane in one frame.
pub const MAX_EXTENDED: usize = 1024;

/// Most messages of a lane in one frame that are said to be here in part.
pub const MAX_PARTIAL: usize = 1024;

/// Writes a frame, ready for the stream.
///
/// What is too long for one frame is written as several that together say the same: `Sending` and `Receiving` are
/// state, and may be split (rule W8). Reasons are cut to [`MAX_REASON`](super::MAX_REASON) bytes. Labels and credentials
/// are the caller's to limit.
pub fn encode(control: &Control, out: &mut BytesMut) {
    convert::to_wire(control, |frame| {
        let message = pb::Control { frame: Some(frame) };
        let size = message.encoded_len();
        varint::encode(size as u64, out);
        out.reserve(size);
        let written = message.encode(out);
        debug_assert!(written.is_ok(), "a BytesMut grows as needed");
    });
}

/// Takes the control stream apart into frames.
///
/// What it holds is what was pushed and not yet taken, so whoever takes all frames after each push bounds it to
/// the largest frame and one push. The first error is final.
#[derive(Debug)]
pub struct ControlDecoder {
    limit: usize,
    buffer: BytesMut,
    failed: Option<WireError>,
}

impl ControlDecoder {
    /// A decoder at the start of the stream that takes frames of at most `limit` bytes:
    /// [`MAX_HELLO`](super::MAX_HELLO) while the peer is not attached.
    pub fn new(limit: usize) -> Self {
        Self { limit, buffer: BytesMut::new(), failed: None }
    }

    /// Changes the limit, for the frames not yet taken.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Adds what the stream has brought.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next frame. `None`: push more.
    #[allow(clippy::should_implement_trait, reason = "an iterator ends, and it cannot be fed in between")]
    pub fn next(&mut self) -> Result<Option<Control>, WireError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let next = self.take_known();
        if let Err(error) = &next {
            self.failed = Some(error.clone());
            self.buffer = BytesMut::new();
        }
        next
    }

    /// Whether the stream could end here: `Err` in the middle of a frame. Call it when `next` has nothing more.
    pub fn finish(&self) -> Result<(), WireError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if !self.buffer.is_empty() => Err(WireError::Truncated("control frame")),
            None => Ok(()),
        }
    }

    /// Frames of a kind that this version does not know are skipped (rule W5).
    fn take_known(&mut self) -> Result<Option<Control>, WireError> {
        while let Some(bytes) = self.take_frame()? {
            let message = pb::Control::decode(bytes)
                .map_err(|error| WireError::Malformed { reason: error.to_string() })?;
            if let Some(frame) = message.frame {
                return convert::from_wire(frame).map(Some);
            }
        }
        Ok(None)
    }

    fn take_frame(&mut self) -> Result<Option<Bytes>, WireError> {
        let mut rest = &*self.buffer;
        let Some(size) = varint::decode(&mut rest) else { return Ok(None) };
        let size = match usize::try_from(size) {
            Ok(fits) if fits <= self.limit => fits,
            _ => return Err(WireError::FrameTooLarge { size, limit: self.limit }),
        };
        if rest.len() < size {
            return Ok(None);
        }
        let prefix = self.buffer.len() - rest.len();
        let mut frame = self.buffer.split_to(prefix + size).freeze();
        Ok(Some(frame.split_off(prefix)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::MAX_CONTROL;

    #[test]
    fn a_frame_under_way_takes_room_for_what_has_come() {
        let mut prefix = BytesMut::new();
        varint::encode(MAX_CONTROL as u64, &mut prefix);
        let mut decoder = ControlDecoder::new(MAX_CONTROL);
        decoder.push(&prefix);
        for come in 1..1000 {
            assert_eq!(decoder.next(), Ok(None));
            decoder.push(&[0]);
            let room = decoder.buffer.capacity();
            assert!(room <= 2 * come + 64, "room for {room} bytes after {come}");
        }
    }
}
