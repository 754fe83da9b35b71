//! Frames on a stream: a length of four bytes, and so many bytes. One of length zero ends a part of the run.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use quinn::{RecvStream, SendStream};
use tokio::io::AsyncReadExt;

use crate::Problem;
use crate::control::{Body, Note};
use crate::meter::{Batch, SharedMeter};

/// Bytes that a read asks for, and that a write gathers.
pub(crate) const BATCH: usize = 64 * 1024;

/// The length before each frame.
pub(crate) const PREFIX: usize = 4;

/// Longest frame that is believed.
const FRAME_MAX: usize = crate::plan::SIZE_MAX;

/// The receiving half of a stream of frames.
pub(crate) struct Frames {
    stream: RecvStream,
    buffer: BytesMut,
}

impl Frames {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// A frame that is here already.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > FRAME_MAX {
            return Err(format!("a frame of {length} bytes").into());
        }
        if self.buffer.len() < PREFIX + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Waits for more. Whether there was any.
    pub(crate) async fn read(&mut self) -> Result<bool, Problem> {
        self.buffer.reserve(BATCH);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }

    /// Waits for a note; `None` when the stream ends.
    pub(crate) async fn note(&mut self) -> Result<Option<Body>, Problem> {
        loop {
            if let Some(frame) = self.next()? {
                return Ok(Note::decode(frame)?.body);
            }
            if !self.read().await? {
                return Ok(None);
            }
        }
    }
}

/// Writes a note.
pub(crate) async fn say(stream: &mut SendStream, body: Body) -> Result<(), Problem> {
    let note = Note { generation: 0, body: Some(body) }.encode_to_vec();
    let mut frame = BytesMut::with_capacity(PREFIX + note.len());
    frame.put_u32_le(u32::try_from(note.len())?);
    frame.extend_from_slice(&note);
    Ok(stream.write_chunk(frame.freeze()).await?)
}

/// Takes all messages of a part of the run. On the stream of acknowledgements, if there is one, it says after each read
/// how many there were so far.
pub(crate) async fn take(
    frames: &mut Frames,
    meter: &SharedMeter,
    mut acks: Option<(&mut SendStream, &mut u64)>,
) -> Result<(), Problem> {
    loop {
        let (mut count, mut over) = (0, false);
        {
            let (mut meter, mut batch) = (meter.lock(), Batch::default());
            while let Some(frame) = frames.next()? {
                if frame.is_empty() {
                    over = true;
                    break;
                }
                meter.take(&frame, 0, &mut batch);
                count += 1;
            }
            meter.pause(batch);
        }
        if let Some((stream, acked)) = acks.as_mut().filter(|_| count > 0) {
            **acked += count;
            stream.write_all(&acked.to_le_bytes()).await?;
        }
        if over {
            return Ok(());
        }
        if !frames.read().await? {
            return Err("the other side left".into());
        }
    }
}
