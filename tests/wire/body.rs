//! Body streams, there and back.

use bowline::config::LARGE;
use bowline::id::ChannelId;
use bowline::wire::data::{BodyEncoder, BodyHead, Limits, MAX_SEQUENCE, StreamDecoder, StreamHeader};
use bowline::wire::{Body, Carrier, Deadline, Frame, WireError, varint};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::{arbitrary, from_hex};

const MOST: usize = 1 << 20;

const CHANNEL: ChannelId = ChannelId(4);

fn piece(size: u64, offset: u64, bytes: impl Into<Bytes>) -> Body {
    let (channel, carrier, bytes) = (CHANNEL, Carrier::Stream, bytes.into());
    Body { channel, sequence: 7, redelivered: false, deadline: None, carrier, size, offset, bytes }
}

/// All but the bytes of a piece, which are of a message that a decoder takes.
fn head() -> impl Strategy<Value = Body> {
    let sizes = (LARGE as u64 + 1..=MOST as u64, 0..2_000u64);
    (arbitrary::channel(), arbitrary::sequence(), any::<bool>(), arbitrary::deadline(), sizes).prop_map(
        |(channel, sequence, redelivered, deadline, (size, left))| {
            let (carrier, offset, bytes) = (Carrier::Stream, size.saturating_sub(left), Bytes::new());
            Body { channel, sequence, redelivered, deadline, carrier, size, offset, bytes }
        },
    )
}

/// The stream with these bytes from the head's offset on, written in pieces that end there.
fn stream(head: &Body, bytes: &Bytes, ends: &[usize]) -> Bytes {
    let (mut encoder, mut out) = (BodyEncoder::new(), BytesMut::new());
    let mut begin = 0;
    for &end in ends {
        assert!(!encoder.is_whole() || begin == bytes.len());
        let (offset, bytes) = (head.offset + begin as u64, bytes.slice(begin..end));
        encoder.put(&mut out, &Body { offset, bytes: bytes.clone(), ..head.clone() }).unwrap();
        out.extend_from_slice(&bytes);
        begin = end;
    }
    assert!(encoder.is_whole());
    out.freeze()
}

fn drain(decoder: &mut StreamDecoder) -> Vec<Body> {
    let piece = |frame| match frame {
        Frame::Body(body) => body,
        other => panic!("{other:?}"),
    };
    std::iter::from_fn(|| decoder.next().unwrap()).map(piece).collect()
}

fn ends(cuts: &[prop::sample::Index], length: usize) -> Vec<usize> {
    let mut ends = cuts.iter().map(|cut| cut.index(length + 1)).collect::<Vec<_>>();
    ends.push(length);
    ends.sort();
    ends
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_the_stream_is_cut(
        head in head(),
        seed in any::<u8>(),
        written in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let left = (head.size - head.offset) as usize;
        let bytes = Bytes::from((0..left).map(|n| seed ^ n as u8).collect::<Vec<_>>());
        let stream = stream(&head, &bytes, &ends(&written, left));
        let mut decoder = StreamDecoder::new(Limits::new(MOST));
        let (mut found, mut begin) = (Vec::new(), 0);
        for end in ends(&cuts, stream.len()) {
            prop_assert_eq!(decoder.finish().is_ok(), begin == 0, "{} bytes are missing", stream.len() - begin);
            decoder.push(stream.slice(begin..end));
            begin = end;
            found.extend(drain(&mut decoder));
            if begin == stream.len() {
                break;
            }
        }
        prop_assert_eq!(decoder.finish(), Ok(()));
        prop_assert_eq!(decoder.header(), Ok(Some(StreamHeader::Body(BodyHead::from(&head)))));
        let (mut offset, mut joined) = (head.offset, Vec::new());
        let inside = stream.as_ptr_range();
        for body in found {
            prop_assert!(!body.bytes.is_empty() && inside.contains(&body.bytes.as_ptr()));
            prop_assert_eq!(&Body { offset, bytes: body.bytes.clone(), ..head.clone() }, &body);
            offset += body.bytes.len() as u64;
            joined.extend_from_slice(&body.bytes);
        }
        prop_assert_eq!(joined, bytes);
    }
}

#[test]
fn the_header_can_be_had_before_the_first_byte() {
    let body = piece(100_000, 99_999, "x");
    let stream = stream(&body, &body.bytes, &[1]);
    let mut decoder = StreamDecoder::new(Limits::new(MOST));
    for at in 0..stream.len() - 1 {
        assert_eq!(decoder.header(), Ok(None), "after {at} bytes");
        assert_eq!(decoder.finish().is_ok(), at == 0, "after {at} bytes");
        decoder.push(stream.slice(at..at + 1));
    }
    let header = StreamHeader::Body(BodyHead::from(&body));
    assert_eq!((decoder.header(), header.channel()), (Ok(Some(header)), CHANNEL));
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.finish(), Err(WireError::Truncated("body")));
    decoder.push(stream.slice(stream.len() - 1..));
    assert_eq!(decoder.next(), Ok(Some(Frame::Body(body))));
    assert_eq!(decoder.finish(), Ok(()));
}

#[test]
fn a_byte_beyond_the_message_is_refused_and_the_bytes_before_it_stand() {
    let body = piece(100_000, 99_998, "ab");
    let stream = stream(&body, &body.bytes, &[2]);
    let beyond = WireError::BeyondMessage { channel: CHANNEL, sequence: 7, size: 100_000, end: 100_001 };
    for together in [true, false] {
        let mut decoder = StreamDecoder::new(Limits::new(MOST));
        if together {
            decoder.push([&stream[..], b"c"].concat().into());
        } else {
            decoder.push(stream.clone());
            decoder.push(Bytes::from_static(b"c"));
        }
        assert_eq!(decoder.next(), Ok(Some(Frame::Body(body.clone()))));
        assert_eq!(decoder.next(), Err(beyond.clone()));
        assert_eq!(decoder.finish(), Err(beyond.clone()));
    }
}

#[test]
fn a_stream_may_say_that_nothing_is_left() {
    let body = piece(100_000, 100_000, "");
    let mut decoder = StreamDecoder::new(Limits::new(MOST));
    decoder.push(stream(&body, &body.bytes, &[0]));
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.finish(), Ok(()));
}

#[test]
fn headers_that_break_a_rule_are_refused_as_soon_as_they_do() {
    let decode = |header: &str| {
        let mut decoder = StreamDecoder::new(Limits::new(100_000));
        decoder.push(from_hex(header).into());
        decoder.header()
    };
    let (channel, sequence) = (CHANNEL, 7);
    let small = |size| Err(WireError::MessageTooSmall { channel, size, least: 65_537 });
    let large = |size| Err(WireError::MessageTooLarge { channel, size, limit: 100_000 });
    assert_eq!(decode("02 04 07 00"), small(0));
    assert_eq!(decode("02 04 07 80010000"), small(65_536));
    assert_eq!(decode("02 04 07 80010001"), Ok(None));
    assert_eq!(decode("02 04 07 800186a0"), Ok(None));
    assert_eq!(decode("02 04 07 800186a1"), large(100_001));
    assert_eq!(decode("02 04 07 ffffffffffffffff"), large(varint::MAX));
    let beyond = |end| Err(WireError::BeyondMessage { channel, sequence, size: 100_000, end });
    assert_eq!(decode("02 04 07 800186a0 800186a1"), beyond(100_001));
    assert_eq!(decode("02 04 07 800186a0 ffffffffffffffff"), beyond(varint::MAX));
    for mask in [2, 3, 6, 8, 16, 32] {
        let header = format!("02 04 07 800186a0 00 {mask:02x}");
        assert_eq!(decode(&header), Err(WireError::UnknownOptions { channel, mask }));
    }
    let (what, found, limit) = ("sequence", varint::MAX, MAX_SEQUENCE);
    assert_eq!(decode("02 04 ffffffffffffffff"), Err(WireError::TooLarge { what, found, limit }));
    let (what, found, limit) = ("channel", 1 << 32, u32::MAX.into());
    assert_eq!(decode("02 c000000100000000"), Err(WireError::TooLarge { what, found, limit }));
    // Who takes no large messages takes no body stream.
    let mut decoder = StreamDecoder::new(Limits::new(LARGE));
    decoder.push(from_hex("02 04 07 80010001").into());
    let error = WireError::MessageTooLarge { channel, size: 65_537, limit: LARGE };
    assert_eq!(decoder.next(), Err(error));
}

#[test]
fn a_deadline_is_as_large_as_two_varints() {
    let mut decoder = StreamDecoder::new(Limits::new(100_000));
    decoder.push(from_hex("02 04 07 800186a0 00 04 ffffffffffffffff ffffffffffffffff 61").into());
    let deadline = Some(Deadline { sent_ms: varint::MAX, left_ms: varint::MAX });
    assert_eq!(decoder.next(), Ok(Some(Frame::Body(Body { deadline, ..piece(100_000, 0, "a") }))));
}

#[test]
fn what_cannot_be_written_changes_nothing() {
    let (mut encoder, mut out) = (BodyEncoder::new(), BytesMut::new());
    let (channel, sequence) = (CHANNEL, 7);
    let too_large = |what, found, limit| WireError::TooLarge { what, found, limit };
    let deadline = |sent_ms, left_ms| Some(Deadline { sent_ms, left_ms });
    let far = 1 << 62;
    for (body, error) in [
        (piece(65_536, 0, "x"), WireError::MessageTooSmall { channel, size: 65_536, least: 65_537 }),
        (piece(far, 0, "x"), too_large("message size", far, varint::MAX)),
        (Body { sequence: far, ..piece(70_000, 0, "x") }, too_large("sequence", far, MAX_SEQUENCE)),
        (
            Body { deadline: deadline(far, 0), ..piece(70_000, 0, "x") },
            too_large("deadline", far, varint::MAX),
        ),
        (
            Body { deadline: deadline(0, far), ..piece(70_000, 0, "x") },
            too_large("deadline", far, varint::MAX),
        ),
        (
            piece(70_000, 69_999, "xy"),
            WireError::BeyondMessage { channel, sequence, size: 70_000, end: 70_001 },
        ),
        (
            piece(70_000, u64::MAX, "xy"),
            WireError::BeyondMessage { channel, sequence, size: 70_000, end: u64::MAX },
        ),
    ] {
        assert_eq!(encoder.put(&mut out, &body), Err(error));
        assert!(out.is_empty() && !encoder.is_whole());
    }
    encoder.put(&mut out, &piece(70_000, 69_990, "abc")).unwrap();
    let written = out.clone();
    let misplaced = |offset, sequence| WireError::OutOfPlace { channel, sequence, offset, next: 69_993 };
    for (body, error) in [
        (piece(70_000, 69_992, "d"), misplaced(69_992, 7)),
        (piece(70_000, 69_994, "d"), misplaced(69_994, 7)),
        (piece(70_001, 69_993, "d"), misplaced(69_993, 7)),
        (Body { sequence: 8, ..piece(70_000, 69_993, "d") }, misplaced(69_993, 8)),
        (
            piece(70_000, 69_993, "12345678"),
            WireError::BeyondMessage { channel, sequence, size: 70_000, end: 70_001 },
        ),
    ] {
        assert_eq!(encoder.put(&mut out, &body), Err(error));
    }
    assert!(!encoder.is_whole());
    encoder.put(&mut out, &piece(70_000, 69_993, "1234567")).unwrap();
    assert!(encoder.is_whole());
    assert_eq!(out, written, "only the first piece has a header");
}
