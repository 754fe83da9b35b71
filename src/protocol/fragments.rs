//! Unreliable messages that are larger than a datagram, put together again from pieces that come in any order, or not at
//! all. What is held of them is bounded; the oldest makes room.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::id::Sequence;
use crate::wire::Body;

/// Messages of one channel that may be incomplete at once.
const MESSAGES_MAX: usize = 64;

/// What a piece costs beside its bytes.
const PIECE_COST: usize = 64;

/// Incomplete unreliable messages of one channel.
#[derive(Debug, Default)]
pub struct Fragments {
    messages: BTreeMap<Sequence, Pieces>,
    /// When those are worth nothing any more that have a deadline.
    deadlines: BTreeSet<(Instant, Sequence)>,
    held: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Pieces {
    size: u64,
    come: u64,
    deadline: Option<Instant>,
    pieces: BTreeMap<u64, Bytes>,
}

/// A piece overlaps another one, or says another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap;

impl Fragments {
    /// Takes a piece of a message that has this deadline, while no more than `limit` bytes are held. The message, when it is
    /// whole.
    pub fn take(
        &mut self,
        body: Body,
        deadline: Option<Instant>,
        limit: usize,
    ) -> Result<Option<Bytes>, Overlap> {
        let (sequence, offset, size) = (body.sequence, body.offset, body.size);
        let end = offset + body.bytes.len() as u64;
        let message = self.messages.entry(sequence);
        let message = message.or_insert_with(|| {
            self.deadlines.extend(deadline.map(|deadline| (deadline, sequence)));
            Pieces { size, come: 0, deadline, pieces: BTreeMap::new() }
        });
        let before = message.pieces.range(..=offset).next_back();
        let touches = before.is_some_and(|(&start, bytes)| start + bytes.len() as u64 > offset);
        let after = message.pieces.range(offset..).next().is_some_and(|(&start, _)| start < end);
        if message.size != size || end > size || touches || after {
            return Err(Overlap);
        }
        message.come += body.bytes.len() as u64;
        self.held += body.bytes.len() + PIECE_COST;
        message.pieces.insert(offset, body.bytes);
        if message.come < message.size {
            self.make_room(limit);
            return Ok(None);
        }
        let Some(message) = self.remove(sequence) else { return Ok(None) };
        let mut whole = BytesMut::with_capacity(usize::try_from(message.size).unwrap_or_default());
        message.pieces.values().for_each(|piece| whole.extend_from_slice(piece));
        Ok(Some(whole.freeze()))
    }

    /// Nothing below `sequence` is wanted any more.
    pub fn drop_below(&mut self, sequence: Sequence) {
        while let Some((&first, _)) = self.messages.first_key_value().filter(|&(&first, _)| first < sequence)
        {
            self.remove(first);
            self.dropped += 1;
        }
    }

    /// When the next incomplete message expires.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Gives up what has expired.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(_, sequence)) = self.deadlines.first().filter(|&&(deadline, _)| deadline <= now) {
            self.remove(sequence);
            self.dropped += 1;
        }
    }

    /// Messages of which a part had come, and that were given up.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes that have come of messages that are incomplete.
    pub fn held(&self) -> usize {
        self.held
    }

    fn make_room(&mut self, limit: usize) {
        while self.held > limit || self.messages.len() > MESSAGES_MAX {
            let Some((&oldest, _)) = self.messages.first_key_value() else { break };
            self.remove(oldest);
            self.dropped += 1;
        }
    }

    fn remove(&mut self, sequence: Sequence) -> Option<Pieces> {
        let message = self.messages.remove(&sequence)?;
        if let Some(deadline) = message.deadline {
            self.deadlines.remove(&(deadline, sequence));
        }
        self.held -= message.pieces.values().map(|piece| piece.len() + PIECE_COST).sum::<usize>();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ChannelId;
    use crate::wire::Carrier;

    fn piece(sequence: Sequence, offset: u64, bytes: &'static [u8]) -> Body {
        Body {
            channel: ChannelId(0),
            sequence,
            redelivered: false,
            deadline: None,
            carrier: Carrier::Datagram,
            size: 6,
            offset,
            bytes: Bytes::from_static(bytes),
        }
    }

    #[test]
    fn pieces_come_in_any_order() {
        let mut fragments = Fragments::default();
        for (offset, bytes) in [(4, b"45"), (0, b"01")] {
            assert_eq!(fragments.take(piece(9, offset, bytes), None, 1000), Ok(None));
        }
        assert_eq!(fragments.take(piece(9, 2, b"23"), None, 1000), Ok(Some(Bytes::from_static(b"012345"))));
        assert_eq!(fragments.held(), 0);
    }

    #[test]
    fn pieces_do_not_overlap() {
        for (offset, bytes) in [(0, &b"0"[..]), (1, b"1"), (2, b"2"), (0, b"01234"), (5, b"56")] {
            let mut fragments = Fragments::default();
            fragments.take(piece(9, 0, b"012"), None, 1000).unwrap();
            assert_eq!(fragments.take(piece(9, offset, bytes), None, 1000), Err(Overlap), "at {offset}");
        }
        let mut fragments = Fragments::default();
        fragments.take(piece(9, 0, b"012"), None, 1000).unwrap();
        assert_eq!(fragments.take(Body { size: 7, ..piece(9, 3, b"3") }, None, 1000), Err(Overlap));
    }

    #[test]
    fn the_oldest_incomplete_message_makes_room() {
        let mut fragments = Fragments::default();
        let limit = 3 * (3 + PIECE_COST);
        for sequence in 0..10 {
            assert_eq!(fragments.take(piece(sequence, 0, b"012"), None, limit), Ok(None));
            assert!(fragments.held() <= limit);
        }
        assert_eq!(fragments.dropped(), 7);
        assert_eq!(fragments.take(piece(9, 3, b"345"), None, limit), Ok(Some(Bytes::from_static(b"012345"))));
        fragments.drop_below(9);
        assert_eq!((fragments.dropped(), fragments.held()), (9, 0));
    }

    #[test]
    fn what_is_incomplete_at_its_deadline_is_given_up() {
        let now = Instant::now();
        let at = |ms| now + std::time::Duration::from_millis(ms);
        let mut fragments = Fragments::default();
        for (sequence, deadline) in [(1, Some(at(20))), (2, Some(at(10))), (3, None), (4, Some(at(15)))] {
            assert_eq!(fragments.take(piece(sequence, 0, b"012"), deadline, 1000), Ok(None));
        }
        assert!(fragments.take(piece(4, 3, b"345"), Some(at(15)), 1000).unwrap().is_some());
        assert_eq!(fragments.deadline(), Some(at(10)));
        fragments.expire(at(10));
        assert_eq!((fragments.deadline(), fragments.dropped()), (Some(at(20)), 1));
        fragments.expire(at(20));
        assert_eq!((fragments.deadline(), fragments.dropped(), fragments.held()), (None, 2, 3 + PIECE_COST));
    }
}
