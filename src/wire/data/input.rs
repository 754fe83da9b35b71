//! What a stream has brought and nobody has taken yet.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use crate::wire::WireError;

/// A queue of chunks that hands out slices of them.
#[derive(Debug, Default)]
pub(super) struct Input {
    chunk: Bytes,
    later: VecDeque<Bytes>,
    /// The beginning of a head that a chunk ended in: a few bytes.
    carry: Vec<u8>,
}

impl Input {
    #[inline]
    pub(super) fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() && self.later.is_empty() {
            self.chunk = chunk;
        } else {
            self.later.push_back(chunk);
        }
    }

    /// Whether nothing is left, not even the beginning of a head.
    pub(super) fn is_empty(&self) -> bool {
        self.chunk.is_empty() && self.later.is_empty() && self.carry.is_empty()
    }

    /// Goes on to the next chunk when one is exhausted. `false`: nothing is left.
    #[inline]
    pub(super) fn fill(&mut self) -> bool {
        while self.chunk.is_empty() {
            // Also lets go of the buffer that the exhausted one was a part of.
            self.chunk = Bytes::new();
            match self.later.pop_front() {
                Some(next) => self.chunk = next,
                None => return false,
            }
        }
        true
    }

    /// Takes a head off the front of the chunk, or together with what the chunks before it ended in. `None`: the
    /// chunk is exhausted.
    #[inline]
    pub(super) fn take_head<T>(
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

    /// This many bytes, if the chunk has them all.
    #[inline]
    pub(super) fn take_whole(&mut self, size: usize) -> Option<Bytes> {
        (size <= self.chunk.len()).then(|| self.chunk.split_to(size))
    }

    /// What the chunk has of this many bytes.
    pub(super) fn take_some(&mut self, most: usize) -> Bytes {
        self.chunk.split_to(self.chunk.len().min(most))
    }
}
