//! What a message looks like: who it is, when it was sent, a sum over all of it, and filler.
//!
//! ```text
//! label: u64 | sent, ns of the calendar: u64 | sum: u64 | filler up to the size          (little endian)
//! ```

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// Bytes before the filler: the smallest message.
pub(crate) const HEAD: usize = 24;

/// Memory that is taken at once for small messages.
const CHUNK: usize = 64 * 1024;

/// Different fillers, each a word later in the pattern than the one before.
const FILLERS: usize = 512;

const NUMBER_BITS: u32 = 40;
const LANE_BITS: u32 = 10;
const GENERATION_BITS: u32 = 12;

/// Most generations that a label can tell apart.
pub(crate) const GENERATIONS_MAX: u32 = 1 << GENERATION_BITS;

/// Which message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// Part of the measured run, not of its warm-up.
    pub(crate) measured: bool,
    /// The answer to the ping of the same number.
    pub(crate) answer: bool,
    /// Of the sender: counts how often its process was replaced.
    pub(crate) generation: u32,
    /// Which of the data channels.
    pub(crate) lane: u32,
    /// From 0 in each lane.
    pub(crate) number: u64,
}

impl Label {
    fn pack(self) -> u64 {
        let flags = u64::from(self.measured) << 63 | u64::from(self.answer) << 62;
        let (generation, lane) = (u64::from(self.generation), u64::from(self.lane));
        flags | generation << (NUMBER_BITS + LANE_BITS) | lane << NUMBER_BITS | self.number
    }

    fn unpack(word: u64) -> Self {
        let field = |shift, bits| word >> shift & ((1_u64 << bits) - 1);
        Self {
            measured: field(63, 1) == 1,
            answer: field(62, 1) == 1,
            generation: field(NUMBER_BITS + LANE_BITS, GENERATION_BITS) as u32,
            lane: field(NUMBER_BITS, LANE_BITS) as u32,
            number: field(0, NUMBER_BITS),
        }
    }
}

/// A message that is what its sender made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) label: Label,
    /// Nanoseconds of the sender's calendar.
    pub(crate) sent_ns: u64,
}

/// Reads a message of this size. `None` if it is not as it was sent.
pub(crate) fn check(payload: &[u8], size: usize) -> Option<Checked> {
    let (head, filler) = payload.split_first_chunk::<HEAD>()?;
    let word =
        |at: usize| head.iter().skip(at).take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let (label, sent_ns) = (word(0), word(8));
    let intact = payload.len() == size && word(16) == sum(label, sent_ns, filler);
    intact.then(|| Checked { label: Label::unpack(label), sent_ns })
}

/// The answer to a ping: the same bytes under another label.
pub(crate) fn answer(to: Checked, ping: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(ping.len());
    write(&mut bytes, Label { answer: true, ..to.label }.pack(), to.sent_ns, ping.get(HEAD..).unwrap_or(&[]));
    bytes.freeze()
}

fn write(to: &mut BytesMut, label: u64, sent_ns: u64, filler: &[u8]) {
    to.extend_from_slice(&label.to_le_bytes());
    to.extend_from_slice(&sent_ns.to_le_bytes());
    to.extend_from_slice(&sum(label, sent_ns, filler).to_le_bytes());
    to.extend_from_slice(filler);
}

/// A sum over 64-bit words that also tells their order. Four sums side by side, as processors like it.
fn sum(label: u64, sent_ns: u64, filler: &[u8]) -> u64 {
    let mut sums = [label, sent_ns, 0, 0];
    let (blocks, rest) = filler.as_chunks::<32>();
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = sum.rotate_left(5).wrapping_add(u64::from_le_bytes(*word));
        }
    }
    for (sum, bytes) in sums.iter_mut().zip(rest.chunks(8)) {
        let mut word = [0; 8];
        word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        *sum = sum.rotate_left(5).wrapping_add(u64::from_le_bytes(word));
    }
    let [a, b, c, d] = sums;
    a.wrapping_add(b.rotate_left(16)).wrapping_add(c.rotate_left(32)).wrapping_add(d.rotate_left(48))
}

/// What messages of one size are filled with: noise, from another place for each number.
#[derive(Clone, Debug)]
pub(crate) struct Filler {
    noise: Arc<[u8]>,
    size: usize,
}

impl Filler {
    /// For messages of this size, head included.
    pub(crate) fn new(size: usize) -> Self {
        let bytes = size.saturating_sub(HEAD);
        // SplitMix64 (Steele, Lea, Flood 2014).
        let word = |n: u64| {
            let z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)).to_le_bytes()
        };
        let words = bytes.div_ceil(8) + FILLERS;
        Self { noise: (1..=words as u64).flat_map(word).collect(), size }
    }

    fn of(&self, number: u64) -> &[u8] {
        let begin = (number % FILLERS as u64) as usize * 8;
        self.noise.get(begin..begin + self.size.saturating_sub(HEAD)).unwrap_or(&[])
    }
}

/// Makes the messages of one lane, one after the other.
#[derive(Debug)]
pub(crate) struct Writer {
    filler: Filler,
    next: Label,
}

impl Writer {
    /// Numbers from that of `first`.
    pub(crate) fn new(filler: Filler, first: Label) -> Self {
        Self { filler, next: first }
    }

    /// The number of the next message.
    pub(crate) fn number(&self) -> u64 {
        self.next.number
    }

    /// The next message, sent at that time of the calendar; it takes its memory from `chunk`.
    pub(crate) fn next(&mut self, chunk: &mut BytesMut, sent_ns: u64) -> Bytes {
        let size = self.filler.size;
        if chunk.capacity() < size {
            chunk.reserve(size.max(CHUNK));
        }
        self.append(chunk, sent_ns);
        chunk.split().freeze()
    }

    /// The same, behind what is there.
    pub(crate) fn append(&mut self, to: &mut BytesMut, sent_ns: u64) {
        write(to, self.next.pack(), sent_ns, self.filler.of(self.next.number));
        self.next.number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(number: u64) -> Label {
        Label { measured: true, answer: false, generation: 3, lane: 700, number }
    }

    #[test]
    fn what_was_written_is_read() {
        for size in [24, 25, 31, 32, 33, 64, 100, 1024, 65_537] {
            let mut writer = Writer::new(Filler::new(size), first(0));
            for number in 0..2000 / size as u64 + 3 {
                let message = writer.next(&mut BytesMut::new(), 1_000 + number);
                assert_eq!(message.len(), size);
                let read = check(&message, size);
                assert_eq!(read, Some(Checked { label: first(number), sent_ns: 1_000 + number }));
            }
        }
    }

    #[test]
    fn labels_keep_all_their_fields() {
        for measured in [false, true] {
            for label in [
                Label { measured, answer: !measured, generation: 4095, lane: 1023, number: (1 << 40) - 1 },
                Label { measured, answer: measured, generation: 0, lane: 1, number: 0 },
            ] {
                assert_eq!(Label::unpack(label.pack()), label);
            }
        }
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let message = Writer::new(Filler::new(100), first(9)).next(&mut BytesMut::new(), 1);
        for bit in 0..message.len() * 8 {
            let mut changed = message.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check(&changed, 100), None, "bit {bit}");
        }
    }

    #[test]
    fn pieces_of_other_messages_and_other_places_are_noticed() {
        let mut writer = Writer::new(Filler::new(4096), first(0));
        let (one, other) = (writer.next(&mut BytesMut::new(), 1), writer.next(&mut BytesMut::new(), 1));
        let mixed = [&one[..2048], &other[2048..]].concat();
        assert_eq!(check(&mixed, 4096), None);
        let mut turned = one.to_vec();
        turned[64..192].rotate_left(64);
        assert_eq!(check(&turned, 4096), None);
        assert_eq!(check(&one[..4095], 4096), None);
        assert_eq!(check(&one[..20], 20), None);
    }

    #[test]
    fn an_answer_is_the_ping_under_another_label() {
        let ping = Writer::new(Filler::new(64), first(5)).next(&mut BytesMut::new(), 77);
        let answer = answer(check(&ping, 64).unwrap(), &ping);
        let label = Label { answer: true, ..first(5) };
        assert_eq!(check(&answer, 64), Some(Checked { label, sent_ns: 77 }));
        assert_eq!(answer[HEAD..], ping[HEAD..]);
    }
}
