//! One unidirectional stream on its way out: opened when first needed, fed with what quinn takes, and the room of the
//! link that this gives back.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use quinn::{Connection, ConnectionError, SendStream, VarInt, WriteError, Written};

use crate::driver::environment::BoxFuture;
use crate::protocol::types::link_room;

/// Payloads from here on are handed to quinn as they are; smaller ones are copied together.
pub(super) const COPY_BELOW: usize = 8 * 1024;

/// Where a chunk of small payloads is complete, in bytes.
const CHUNK: usize = 64 * 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Outflow {
    stream: Stream,
    priority: i32,
    /// What waits, and beside each chunk the room that it takes of the link's.
    chunks: VecDeque<Bytes>,
    rooms: VecDeque<usize>,
    /// The chunk that small payloads are still added to.
    tail: BytesMut,
    tail_room: usize,
    /// Nothing comes behind what is here.
    ends: bool,
}

#[derive(Default)]
enum Stream {
    #[default]
    Closed,
    /// The peer permits no further stream now, which has been told.
    Wanted,
    Open(SendStream),
    /// The peer reads no more of it.
    Stopped,
}

/// How far writing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Everything is with quinn.
    Idle,
    /// The same, and there will be no more.
    Finished,
    /// As much was written as was allowed, and there is more.
    TurnOver,
    /// quinn takes no more now; the task is woken when it does.
    Blocked,
    /// The same, because the peer permits no further stream: told once.
    NeedsStream,
    /// The connection is gone.
    Lost,
}

impl Outflow {
    pub(super) fn new(priority: i32) -> Self {
        Self { priority, ..Self::default() }
    }

    /// Where heads are written, in front of their payloads.
    pub(super) fn head(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Adds a payload behind its head.
    pub(super) fn add(&mut self, payload: Bytes) {
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
    }

    /// What was added is all.
    pub(super) fn end(&mut self) {
        self.ends = true;
    }

    pub(super) fn set_priority(&mut self, priority: i32) {
        if std::mem::replace(&mut self.priority, priority) != priority
            && let Stream::Open(stream) = &self.stream
        {
            // Refused only for a stream that is closed already, which the next write will tell.
            let _ = stream.set_priority(priority);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.chunks.is_empty() && self.tail.is_empty()
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.stream, Stream::Open(_))
    }

    /// Ends the stream behind what was written to it.
    pub(super) fn finish(&mut self) {
        if let Stream::Open(stream) = &mut self.stream {
            // Refused only if the stream has ended otherwise, which is as good.
            let _ = stream.finish();
        }
    }

    /// Breaks the stream off, and yields the room of what was not written.
    pub(super) fn reset(mut self) -> usize {
        if let Stream::Open(stream) = &mut self.stream {
            // Refused only if the stream has ended otherwise.
            let _ = stream.reset(VarInt::from_u32(0));
        }
        self.rooms.iter().sum::<usize>() + self.tail_room
    }

    /// Writes what quinn takes, `limit` bytes at most, which it counts down, and adds the room that this makes to
    /// `freed`.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        opener: &mut Opener,
        limit: &mut usize,
        freed: &mut usize,
    ) -> Progress {
        loop {
            if self.chunks.is_empty() {
                self.seal();
            }
            if self.chunks.is_empty() {
                if self.ends {
                    self.finish();
                    return Progress::Finished;
                }
                return Progress::Idle;
            }
            match &mut self.stream {
                Stream::Closed | Stream::Wanted => match opener.poll(cx) {
                    Poll::Ready(Ok(stream)) => {
                        // Refused only for a stream that is closed already.
                        let _ = stream.set_priority(self.priority);
                        self.stream = Stream::Open(stream);
                    }
                    Poll::Ready(Err(_)) => return Progress::Lost,
                    Poll::Pending if matches!(self.stream, Stream::Wanted) => return Progress::Blocked,
                    Poll::Pending => {
                        self.stream = Stream::Wanted;
                        return Progress::NeedsStream;
                    }
                },
                Stream::Open(_) if *limit == 0 => return Progress::TurnOver,
                Stream::Open(stream) => match poll_some(stream, cx, &mut self.chunks, *limit) {
                    Poll::Ready(Ok((chunks, bytes))) => {
                        *limit = limit.saturating_sub(bytes);
                        *freed += self.forget(chunks, bytes);
                    }
                    Poll::Ready(Err(WriteError::Stopped(_))) => self.stream = Stream::Stopped,
                    Poll::Ready(Err(_)) => return Progress::Lost,
                    Poll::Pending => return Progress::Blocked,
                },
                Stream::Stopped => *freed += self.forget(self.chunks.len(), usize::MAX),
            }
        }
    }

    /// Makes the small payloads so far a chunk.
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

/// Opens streams, for whoever asks first.
pub(super) struct Opener {
    connection: Connection,
    /// Waits for the peer's permission to open another one.
    waiting: Option<BoxFuture<Result<SendStream, ConnectionError>>>,
    /// There was none when it was last asked, this turn.
    exhausted: bool,
}

impl Opener {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, waiting: None, exhausted: false }
    }

    /// The task has been woken, perhaps for a permission.
    pub(super) fn begin_turn(&mut self) {
        self.exhausted = false;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream, ConnectionError>> {
        if self.exhausted {
            return Poll::Pending;
        }
        if self.waiting.is_none() {
            // Mostly there is a permission, and nothing to remember.
            if let Poll::Ready(opened) = pin!(self.connection.open_uni()).poll(cx) {
                return Poll::Ready(opened);
            }
        }
        let connection = &self.connection;
        let waiting = self.waiting.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.open_uni().await })
        });
        let opened = waiting.as_mut().poll(cx);
        self.exhausted = opened.is_pending();
        let opened = ready!(opened);
        self.waiting = None;
        Poll::Ready(opened)
    }
}

/// Writes at most `limit` bytes. Yields how many chunks are written whole, and how many bytes that and the beginning of the
/// next one make.
fn poll_some(
    stream: &mut SendStream,
    cx: &mut Context<'_>,
    chunks: &mut VecDeque<Bytes>,
    limit: usize,
) -> Poll<Result<(usize, usize), WriteError>> {
    let chunks = chunks.make_contiguous();
    let sums = chunks.iter().scan(0_usize, |sum, chunk| {
        *sum = sum.saturating_add(chunk.len());
        Some(*sum)
    });
    let whole = sums.take_while(|&sum| sum <= limit).count();
    match chunks.split_at_mut(whole) {
        ([], [first, ..]) => {
            let mut piece = first.slice(..limit.min(first.len()));
            let written = ready!(poll_write(stream, cx, std::slice::from_mut(&mut piece)))?;
            first.advance(written.bytes);
            Poll::Ready(Ok((0, written.bytes)))
        }
        (whole, _) => {
            let written = ready!(poll_write(stream, cx, whole))?;
            Poll::Ready(Ok((written.chunks, written.bytes)))
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

    fn payload(size: usize) -> Bytes {
        Bytes::from(vec![0; size])
    }

    #[test]
    fn small_payloads_are_copied_together_and_large_ones_are_not_copied() {
        let large = payload(COPY_BELOW);
        let at = large.as_ptr();
        let mut outflow = Outflow::new(0);
        for payload in [payload(10), payload(20), large, payload(5)] {
            outflow.head().extend_from_slice(b"head");
            outflow.add(payload);
        }
        outflow.seal();
        assert_eq!(outflow.rooms, [link_room(10) + link_room(20), link_room(COPY_BELOW), link_room(5)]);
        assert_eq!(outflow.chunks[1].as_ptr(), at);
    }

    #[test]
    fn every_byte_of_room_is_given_back_once() {
        let sizes = [100, COPY_BELOW, 0, 3 * COPY_BELOW];
        let filled = || {
            let mut outflow = Outflow::new(0);
            for size in sizes {
                outflow.head().extend_from_slice(b"head");
                outflow.add(payload(size));
            }
            outflow
        };
        let all: usize = sizes.into_iter().map(link_room).sum();
        let mut outflow = filled();
        outflow.seal();
        let mut freed = outflow.forget(0, 40);
        freed += outflow.forget(1, 63 + 500);
        freed += outflow.forget(outflow.chunks.len(), usize::MAX);
        assert_eq!(freed, all);
        assert!(outflow.is_idle());

        let mut broken_off = filled();
        broken_off.seal();
        let written = broken_off.forget(1, 300);
        broken_off.head().extend_from_slice(b"head");
        broken_off.add(payload(7));
        assert_eq!(written + broken_off.reset(), all + link_room(7));
    }
}
