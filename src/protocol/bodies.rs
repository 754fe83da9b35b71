//! Large messages that are here in part (rule C2). Their bytes come in order, on a stream of their own; when that stream
//! is lost with its link, the next one goes on where it ended.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;

use crate::id::Sequence;
use crate::wire::Body;

/// The beginnings of large messages of one channel.
#[derive(Debug, Default)]
pub struct Bodies {
    parts: BTreeMap<Sequence, Part>,
    promised: u64,
    held: u64,
}

/// The beginning of a large message.
#[derive(Debug)]
pub struct Part {
    /// Bytes of all of it.
    pub size: u64,
    /// What has come.
    pub bytes: Vec<u8>,
    /// See [`Body::redelivered`].
    pub redelivered: bool,
    /// When it is worth nothing any more.
    pub deadline: Option<Instant>,
}

/// Why a piece cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPiece {
    /// Bytes before it are missing.
    Gap,
    /// It says another size than the pieces before it.
    OtherSize,
}

impl Bodies {
    /// Whether a piece of this message is here.
    pub fn contains(&self, sequence: Sequence) -> bool {
        self.parts.contains_key(&sequence)
    }

    /// Takes a piece. The message, when it is whole.
    pub fn take(&mut self, body: &Body, deadline: Option<Instant>) -> Result<Option<Part>, BadPiece> {
        let part = self.parts.entry(body.sequence).or_insert_with(|| {
            self.promised += body.size;
            Part { size: body.size, bytes: Vec::new(), redelivered: body.redelivered, deadline }
        });
        if part.size != body.size {
            return Err(BadPiece::OtherSize);
        }
        let have = part.bytes.len() as u64;
        let Some(known) = have.checked_sub(body.offset) else { return Err(BadPiece::Gap) };
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(body.bytes.len());
        let news: Bytes = body.bytes.slice(known..);
        if part.bytes.capacity() - part.bytes.len() < news.len() {
            // Doubles, but never beyond the message: room comes from what was received, not from what was claimed.
            let missing = usize::try_from(part.size - have).unwrap_or(usize::MAX);
            part.bytes.reserve_exact(news.len().max(missing.min(part.bytes.len())));
        }
        part.bytes.extend_from_slice(&news);
        part.redelivered |= body.redelivered;
        self.held += news.len() as u64;
        if part.bytes.len() as u64 >= part.size { Ok(self.remove(body.sequence)) } else { Ok(None) }
    }

    /// The message is not wanted any more, or whole.
    pub fn remove(&mut self, sequence: Sequence) -> Option<Part> {
        let part = self.parts.remove(&sequence)?;
        self.promised -= part.size;
        self.held -= part.bytes.len() as u64;
        Some(part)
    }

    /// Nothing below `floor` will be completed.
    pub fn raise_floor(&mut self, floor: Sequence) {
        while let Some((&sequence, _)) = self.parts.first_key_value().filter(|&(&first, _)| first < floor) {
            self.remove(sequence);
        }
    }

    /// The message has another deadline.
    pub fn get_mut(&mut self, sequence: Sequence) -> Option<&mut Part> {
        self.parts.get_mut(&sequence)
    }

    /// Every message here: its number, how much of it has come, and its size.
    pub fn iter(&self) -> impl Iterator<Item = (Sequence, u64, u64)> {
        self.parts.iter().map(|(&sequence, part)| (sequence, part.bytes.len() as u64, part.size))
    }

    /// What all of them will be when they are whole, and what of it has come, in bytes.
    pub fn sizes(&self) -> (u64, u64) {
        (self.promised, self.held)
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
            carrier: Carrier::Stream,
            size: 10,
            offset,
            bytes: Bytes::from_static(bytes),
        }
    }

    #[test]
    fn a_message_is_whole_when_its_last_byte_is_here_however_often_the_others_came() {
        let mut bodies = Bodies::default();
        assert!(bodies.take(&piece(3, 0, b"01234"), None).unwrap().is_none());
        assert_eq!((bodies.sizes(), bodies.iter().collect::<Vec<_>>()), ((10, 5), vec![(3, 5, 10)]));
        assert!(bodies.take(&piece(3, 2, b"234"), None).unwrap().is_none());
        assert_eq!(bodies.take(&piece(3, 6, b"6789"), None).unwrap_err(), BadPiece::Gap);
        assert!(bodies.take(&piece(3, 4, b"456"), None).unwrap().is_none());
        let whole = bodies.take(&piece(3, 7, b"789"), None).unwrap().unwrap();
        assert_eq!(&whole.bytes[..], b"0123456789");
        assert_eq!(bodies.sizes(), (0, 0));
    }

    #[test]
    fn room_for_a_message_never_exceeds_it() {
        let mut bodies = Bodies::default();
        let mut taken = 0;
        for bytes in [&b"01"[..], b"2345", b"678"] {
            assert!(bodies.take(&piece(3, taken, bytes), None).unwrap().is_none());
            taken += bytes.len() as u64;
            let part = bodies.get_mut(3).unwrap();
            assert!(part.bytes.capacity() as u64 <= part.size, "{}", part.bytes.capacity());
        }
    }

    #[test]
    fn a_message_does_not_change_its_size() {
        let mut bodies = Bodies::default();
        bodies.take(&piece(3, 0, b"0"), None).unwrap();
        let other = Body { size: 11, ..piece(3, 1, b"1") };
        assert_eq!(bodies.take(&other, None).unwrap_err(), BadPiece::OtherSize);
    }

    #[test]
    fn room_is_taken_for_what_has_come() {
        let mut bodies = Bodies::default();
        let claims = Body { size: 64 << 20, ..piece(0, 0, b"0123456789") };
        bodies.take(&claims, None).unwrap();
        assert!(bodies.get_mut(0).unwrap().bytes.capacity() < 100);
        bodies.raise_floor(1);
        assert_eq!(bodies.sizes(), (0, 0));
    }
}
