//! The stream of one sending channel on one link, and the bytes that wait to go onto it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use quinn::{Connection, ConnectionError, SendStream, WriteError, Written};

use crate::driver::environment::BoxFuture;
use crate::protocol::types::link_room;
use crate::wire::data::{RecordEncoder, RecordHead};
use crate::wire::{Data, WireError};

/// Payloads from here on are handed to quinn as they are; smaller ones are copied together.
const COPY_BELOW: usize = 8 * 1024;

/// Where a chunk of small records is complete, in bytes.
const CHUNK: usize = 64 * 1024;

/// See the module.
pub(super) struct Lane {
    stream: Stream,
    encoder: RecordEncoder,
    /// What waits, and beside each chunk the room that it takes of the link's.
    chunks: VecDeque<Bytes>,
    rooms: VecDeque<usize>,
    /// The chunk that small records are still added to.
    tail: BytesMut,
    tail_room: usize,
    /// When it was last written to, in the writer's count of turns.
    pub(super) used: u64,
}

enum Stream {
    Closed,
    /// Waits for the peer's permission to open another stream, and has said so.
    Opening(BoxFuture<Result<SendStream, ConnectionError>>, bool),
    Open(SendStream),
    /// The peer reads no more of it.
    Stopped,
}

/// How far a lane's writing has come.
pub(super) enum Progress {
    /// Everything is with quinn.
    Idle,
    /// quinn takes no more now; the task is woken when it does.
    Blocked,
    /// The same, because the peer permits no further stream: told once.
    NeedsStream,
    /// The connection is gone.
    Lost,
}

impl Lane {
    /// A lane for a channel whose next message is `data`.
    pub(super) fn new(data: &Data) -> Self {
        Self {
            stream: Stream::Closed,
            encoder: RecordEncoder::new(data.channel, data.sequence),
            chunks: VecDeque::new(),
            rooms: VecDeque::new(),
            tail: BytesMut::new(),
            tail_room: 0,
            used: 0,
        }
    }

    /// Adds a message.
    pub(super) fn push(&mut self, data: Data) -> Result<(), WireError> {
        self.encoder.put(&mut self.tail, &RecordHead::from(&data))?;
        let payload = data.payload;
        let room = link_room(payload.len());
        if payload.len() < COPY_BELOW {
            self.tail.extend_from_slice(&payload);
            self.tail_room += room;
            if self.tail.len() >= CHUNK {
                self.seal();
            }
        } else {
            self.seal();
            self.chunks.push_back(payload);
            self.rooms.push_back(room);
        }
        Ok(())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.chunks.is_empty() && self.tail.is_empty()
    }

    /// Whether it has a stream that it does not need now.
    pub(super) fn could_finish(&self) -> bool {
        matches!(self.stream, Stream::Open(_)) && self.is_idle()
    }

    /// Ends the stream behind what was written to it.
    pub(super) fn finish(mut self) {
        if let Stream::Open(stream) = &mut self.stream {
            // Refused only if the stream has ended otherwise, which is as good.
            let _ = stream.finish();
        }
    }

    /// Writes what quinn takes, and adds the room that this makes to `freed`.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        freed: &mut usize,
    ) -> Progress {
        loop {
            if self.chunks.is_empty() {
                self.seal();
            }
            if self.chunks.is_empty() {
                return Progress::Idle;
            }
            match &mut self.stream {
                Stream::Closed => {
                    let connection = connection.clone();
                    let opening = Box::pin(async move { connection.open_uni().await });
                    self.stream = Stream::Opening(opening, false);
                }
                Stream::Opening(opening, said) => match opening.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => self.stream = Stream::Open(stream),
                    Poll::Ready(Err(_)) => return Progress::Lost,
                    Poll::Pending if std::mem::replace(said, true) => return Progress::Blocked,
                    Poll::Pending => return Progress::NeedsStream,
                },
                Stream::Open(stream) => match poll_write(stream, cx, self.chunks.make_contiguous()) {
                    Poll::Ready(Ok(written)) => *freed += self.forget(written.chunks, written.bytes),
                    Poll::Ready(Err(WriteError::Stopped(_))) => self.stream = Stream::Stopped,
                    Poll::Ready(Err(_)) => return Progress::Lost,
                    Poll::Pending => return Progress::Blocked,
                },
                Stream::Stopped => *freed += self.forget(self.chunks.len(), usize::MAX),
            }
        }
    }

    /// Makes the small records so far a chunk.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
            self.rooms.push_back(std::mem::take(&mut self.tail_room));
        }
    }

    /// Drops the first `chunks` chunks, written whole, and yields the room that they and the beginning of the next
    /// one give back: as much as bytes were written, or all that is left of a chunk that is gone.
    fn forget(&mut self, chunks: usize, bytes: usize) -> usize {
        self.chunks.drain(..chunks);
        let whole: usize = self.rooms.drain(..chunks).sum();
        match self.rooms.front_mut() {
            Some(partial) => {
                let part = bytes.saturating_sub(whole).min(*partial);
                *partial -= part;
                whole + part
            }
            None => whole,
        }
    }
}

/// quinn remembers whom to wake for the stream, not the future, so each attempt can be a new one.
pub(super) fn poll_write(
    stream: &mut SendStream,
    cx: &mut Context<'_>,
    chunks: &mut [Bytes],
) -> Poll<Result<Written, WriteError>> {
    pin!(stream.write_chunks(chunks)).poll(cx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ChannelId;
    use crate::wire::Carrier;

    fn data(sequence: u64, size: usize) -> Data {
        let payload = Bytes::from(vec![0; size]);
        Data {
            channel: ChannelId(1),
            sequence,
            redelivered: false,
            deadline: None,
            carrier: Carrier::Lane,
            payload,
        }
    }

    #[test]
    fn small_payloads_are_copied_together_and_large_ones_are_not_copied() {
        let first = data(0, 10);
        let large = data(2, COPY_BELOW);
        let at = large.payload.as_ptr();
        let mut lane = Lane::new(&first);
        for data in [first, data(1, 20), large, data(3, 5)] {
            lane.push(data).unwrap();
        }
        lane.seal();
        assert_eq!(lane.rooms, [link_room(10) + link_room(20), link_room(COPY_BELOW), link_room(5)]);
        assert_eq!(lane.chunks[1].as_ptr(), at);
    }

    #[test]
    fn every_byte_of_room_is_given_back_once() {
        let sizes = [100, COPY_BELOW, 0, 3 * COPY_BELOW];
        let mut lane = Lane::new(&data(0, 0));
        for (sequence, size) in sizes.into_iter().enumerate() {
            lane.push(data(sequence as u64, size)).unwrap();
        }
        lane.seal();
        let mut freed = lane.forget(0, 40);
        freed += lane.forget(1, 63 + 500);
        freed += lane.forget(lane.chunks.len(), usize::MAX);
        assert_eq!(freed, sizes.into_iter().map(link_room).sum());
        assert!(lane.is_idle());
    }
}
