//! Datagrams, there and back.

use bowline::config::LARGE;
use bowline::id::ChannelId;
use bowline::wire::data::datagram::{self, Datagram, DatagramPacker, Fragments};
use bowline::wire::data::{Limits, MAX_SEQUENCE};
use bowline::wire::*;
use bytes::Bytes;
use proptest::prelude::*;

use crate::{arbitrary, data::messages, from_hex};

const CHANNEL: ChannelId = ChannelId(4);

fn message(sequence: u64, payload: impl Into<Bytes>) -> Data {
    let (channel, carrier, payload) = (CHANNEL, Carrier::Datagram, payload.into());
    Data { channel, sequence, redelivered: false, deadline: None, carrier, payload }
}

fn decode(bytes: &str) -> Result<Datagram, WireError> {
    datagram::decode(from_hex(bytes).into(), Limits::new(1_000))
}

/// The error of these bytes, in the first record if they are messages.
fn error(bytes: &str) -> WireError {
    match decode(bytes) {
        Ok(Datagram::Messages(mut messages)) => messages.next().unwrap().unwrap_err(),
        Err(error) => error,
        other => panic!("{other:?}"),
    }
}

/// The messages of a datagram that is nothing else.
fn read(datagram: Bytes) -> Vec<Data> {
    match datagram::decode(datagram, Limits::new(LARGE)) {
        Ok(Datagram::Messages(messages)) => messages.collect::<Result<_, _>>().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The fragments of a message, each datagram of at most the size that `limits` says for it.
fn fragments(data: &Data, limits: impl IntoIterator<Item = usize>) -> Vec<(Body, usize)> {
    let mut fragments = Fragments::new(data).unwrap();
    let mut found = Vec::new();
    for limit in limits {
        let Some(bytes) = fragments.next(limit).unwrap() else { return found };
        assert!((2..=limit).contains(&bytes.len()));
        let size = bytes.len();
        match datagram::decode(bytes, Limits::new(LARGE)) {
            Ok(Datagram::Fragment(body)) => found.push((body, size)),
            other => panic!("{other:?}"),
        }
    }
    panic!("there is no end of fragments");
}

proptest! {
    #[test]
    fn what_is_packed_is_read(
        (channel, first, records) in arbitrary::records(300, 20),
        limit in 300..1_500usize,
    ) {
        let messages = messages(channel, first, &records, Carrier::Datagram);
        let mut packer = DatagramPacker::new();
        let mut found = Vec::new();
        for data in &messages {
            let next = packer.next_sequence();
            if packer.put(data, limit).unwrap() {
                continue;
            }
            prop_assert_eq!(packer.next_sequence(), next, "what does not fit changes nothing");
            if !packer.is_empty() {
                let datagram = packer.take();
                prop_assert!((2..=limit).contains(&datagram.len()));
                found.extend(read(datagram));
            }
            if !packer.put(data, limit).unwrap() {
                // Not even alone: with a few dozen bytes more it does.
                prop_assert!(packer.put(data, limit + 60).unwrap());
                found.extend(read(packer.take()));
            }
        }
        if !packer.is_empty() {
            found.extend(read(packer.take()));
        }
        prop_assert_eq!(found, messages);
    }

    #[test]
    fn a_datagram_is_filled_to_the_last_byte(
        (channel, first, records) in arbitrary::records(60, 8),
    ) {
        let messages = messages(channel, first, &records, Carrier::Datagram);
        let Some((last, before)) = messages.split_last() else { return Ok(()) };
        let mut packer = DatagramPacker::new();
        let all = |packer: &mut DatagramPacker| before.iter().all(|data| packer.put(data, 5_000).unwrap());
        prop_assert!(all(&mut packer) && packer.put(last, 5_000).unwrap());
        let size = packer.take().len();
        prop_assert!(all(&mut packer) && !packer.put(last, size - 1).unwrap());
        prop_assert!(packer.put(last, size).unwrap());
        prop_assert_eq!(packer.take().len(), size);
    }

    #[test]
    fn fragments_are_read_and_full(data in arbitrary::message(1..5_000), limit in 60..1_500usize) {
        let fragments = fragments(&data, std::iter::repeat(limit));
        let mut joined = Vec::new();
        for (at, (body, bytes)) in fragments.iter().enumerate() {
            let Data { channel, sequence, redelivered, deadline, .. } = data;
            let (size, offset) = (data.payload.len() as u64, joined.len() as u64);
            let (carrier, bytes_here) = (Carrier::Datagram, body.bytes.clone());
            let expected =
                Body { channel, sequence, redelivered, deadline, carrier, size, offset, bytes: bytes_here };
            prop_assert_eq!(body, &expected);
            prop_assert!(*bytes == limit || at == fragments.len() - 1);
            joined.extend_from_slice(&body.bytes);
        }
        prop_assert_eq!(joined, data.payload);
    }
}

#[test]
fn one_byte_is_always_a_heartbeat() {
    for byte in 0..=u8::MAX {
        match datagram::decode(Bytes::copy_from_slice(&[byte]), Limits::new(0)) {
            Ok(Datagram::Heartbeat(found)) => assert_eq!(heartbeat::encode(found), byte),
            other => panic!("{byte:#04x}: {other:?}"),
        }
    }
}

#[test]
fn what_carries_data_is_never_one_byte() {
    let smallest = Data { channel: ChannelId(0), ..message(0, "") };
    let mut packer = DatagramPacker::new();
    for limit in 0..4 {
        assert_eq!(packer.put(&smallest, limit), Ok(false), "{limit} bytes");
    }
    assert_eq!(packer.put(&smallest, 4), Ok(true));
    assert_eq!(packer.take(), &[1, 0, 0, 0][..]);

    let smallest = Data { channel: ChannelId(0), ..message(0, "x") };
    let mut fragments = Fragments::new(&smallest).unwrap();
    for limit in 0..7 {
        let (channel, sequence) = (ChannelId(0), 0);
        let error = WireError::DatagramTooSmall { channel, sequence, limit, needed: 7 };
        assert_eq!(fragments.next(limit), Err(error));
    }
    assert_eq!(fragments.next(7), Ok(Some(Bytes::from_static(&[2, 0, 0, 1, 0, 0, b'x']))));
    assert_eq!(fragments.next(7), Ok(None));
}

#[test]
fn padding_and_unknown_kinds_are_told_apart() {
    assert!(matches!(decode("00 00"), Ok(Datagram::Padding)));
    assert!(matches!(decode("00 ffffffff"), Ok(Datagram::Padding)));
    assert!(matches!(decode("4000"), Ok(Datagram::Padding)), "a longer form of the kind");
    assert!(matches!(decode("03 00"), Ok(Datagram::Unknown(3))));
    assert!(matches!(decode("ffffffffffffffff"), Ok(Datagram::Unknown(varint::MAX))));
}

#[test]
fn messages_and_fragments_are_slices_of_the_datagram() {
    let datagram = Bytes::from(from_hex("01 04 00 04 6869 06 627965"));
    let inside = datagram.as_ptr_range();
    for data in read(datagram.clone()) {
        assert!(inside.contains(&data.payload.as_ptr()));
    }
    let datagram = Bytes::from(from_hex("02 04 07 05 02 00 627965"));
    match datagram::decode(datagram.clone(), Limits::new(5)) {
        Ok(Datagram::Fragment(body)) => assert_eq!(body.bytes.as_ptr(), datagram[6..].as_ptr()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_that_break_a_rule_are_refused() {
    let truncated = WireError::Truncated("datagram");
    // Empty, in the kind, in the channel, in the first sequence, without a record, in a head, in a payload.
    for bytes in
        ["", "8000", "01 40", "01 04 40", "01 04 07", "01 04 07 40", "01 04 07 05 02", "01 04 07 06 6869"]
    {
        assert_eq!(error(bytes), truncated, "{bytes}");
    }
    let channel = CHANNEL;
    assert_eq!(error("01 04 07 47d2"), WireError::MessageTooLarge { channel, size: 1_001, limit: 1_000 });
    assert_eq!(error("01 04 07 01 02 00"), WireError::ZeroAdvance { channel });
    assert_eq!(error("01 04 07 01 08"), WireError::UnknownOptions { channel, mask: 8 });
    let overflow = WireError::SequenceOverflow { channel, next: varint::MAX, advance: 0 };
    assert_eq!(error("01 04 ffffffffffffffff 00"), overflow);
    let (what, found, limit) = ("channel", 1 << 32, u32::MAX.into());
    assert_eq!(error("01 c000000100000000 07 00"), WireError::TooLarge { what, found, limit });
}

#[test]
fn what_comes_before_a_broken_record_stands_and_nothing_after_it() {
    let Ok(Datagram::Messages(mut messages)) = decode("01 04 07 04 6869 01 08 00 00") else { panic!() };
    assert_eq!(messages.channel(), CHANNEL);
    assert_eq!(messages.next(), Some(Ok(message(7, "hi"))));
    let error = WireError::UnknownOptions { channel: CHANNEL, mask: 8 };
    assert_eq!(messages.next(), Some(Err(error)));
    assert_eq!(messages.next(), None);
}

#[test]
fn fragments_that_break_a_rule_are_refused() {
    let truncated = WireError::Truncated("datagram");
    // In each number, and without bytes.
    for bytes in [
        "02 40",
        "02 04 40",
        "02 04 07 40",
        "02 04 07 05 40",
        "02 04 07 05 00 40",
        "02 04 07 05 00 04 40",
        "02 04 07 05 00 04 00 40",
        "02 04 07 05 00 00",
        "02 04 07 05 05 00",
    ] {
        assert_eq!(error(bytes), truncated, "{bytes}");
    }
    let (channel, sequence, size) = (CHANNEL, 7, 5);
    let beyond = |end| WireError::BeyondMessage { channel, sequence, size, end };
    assert_eq!(error("02 04 07 05 06 00 61"), beyond(6));
    assert_eq!(error("02 04 07 05 05 00 61"), beyond(6));
    assert_eq!(error("02 04 07 05 03 00 616263"), beyond(6));
    assert_eq!(error("02 04 07 00 00 00 61"), WireError::MessageTooSmall { channel, size: 0, least: 1 });
    let large = |size, limit| WireError::MessageTooLarge { channel, size, limit };
    assert_eq!(error("02 04 07 43e9 00 00 61"), large(1_001, 1_000));
    assert_eq!(error("02 04 07 05 00 02 61"), WireError::UnknownOptions { channel, mask: 2 });
    let (what, found, limit) = ("sequence", varint::MAX, MAX_SEQUENCE);
    assert_eq!(error("02 04 ffffffffffffffff 05 00 00 61"), WireError::TooLarge { what, found, limit });
    // However large messages may be, those in fragments are not.
    let bytes = Bytes::from(from_hex("02 04 07 80010001 00 00 61"));
    match datagram::decode(bytes, Limits::new(1 << 30)) {
        Err(error) => assert_eq!(error, large(65_537, LARGE)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_datagram_has_one_lane_and_ascends() {
    let mut packer = DatagramPacker::new();
    assert_eq!(packer.put(&message(7, "hi"), 1_200), Ok(true));
    assert_eq!(packer.next_sequence(), Some(8));
    for sequence in [6, 7] {
        assert_eq!(packer.put(&message(sequence, "hi"), 1_200), Ok(false));
    }
    assert_eq!(packer.put(&Data { channel: ChannelId(5), ..message(8, "hi") }, 1_200), Ok(false));
    assert_eq!(packer.put(&message(9, "hi"), 1_200), Ok(true));
    assert_eq!(read(packer.take()), [message(7, "hi"), message(9, "hi")]);
    assert!(packer.is_empty());
    assert_eq!(packer.put(&message(6, "hi"), 1_200), Ok(true));
    assert_eq!(read(packer.take()), [message(6, "hi")]);
}

#[test]
fn what_cannot_be_written_changes_nothing() {
    let deadline = Some(Deadline { sent_ms: 1 << 62, left_ms: 0 });
    let late = Data { deadline, ..message(8, "hi") };
    let (what, found, limit) = ("deadline", 1 << 62, varint::MAX);
    let error = WireError::TooLarge { what, found, limit };
    let mut packer = DatagramPacker::new();
    assert_eq!(packer.put(&late, 1_200), Err(error.clone()));
    assert!(packer.is_empty());
    assert_eq!(packer.put(&message(7, "hi"), 1_200), Ok(true));
    assert_eq!(packer.put(&late, 1_200), Err(error.clone()));
    assert_eq!(read(packer.take()), [message(7, "hi")]);

    assert_eq!(Fragments::new(&late).unwrap_err(), error);
    let (channel, least) = (CHANNEL, 1);
    let empty = Fragments::new(&message(7, "")).unwrap_err();
    assert_eq!(empty, WireError::MessageTooSmall { channel, size: 0, least });
    let large = Fragments::new(&message(7, vec![0; LARGE + 1])).unwrap_err();
    assert_eq!(large, WireError::MessageTooLarge { channel, size: 65_537, limit: LARGE });
    assert!(Fragments::new(&message(7, vec![0; LARGE])).is_ok());
}

#[test]
fn fragments_follow_a_limit_that_changes() {
    let data = message(7, (0..300).map(|n| n as u8).collect::<Vec<_>>());
    let pieces = fragments(&data, [100, 50, 120, 20, 1_000, 1_000]);
    let sizes = pieces.iter().map(|(body, size)| (body.bytes.len(), *size)).collect::<Vec<_>>();
    // The header takes 7 bytes, and 8 where the offset takes two.
    assert_eq!(sizes, [(93, 100), (42, 50), (112, 120), (12, 20), (41, 49)]);
    let joined = pieces.iter().flat_map(|(body, _)| body.bytes.iter().copied());
    assert_eq!(joined.collect::<Vec<_>>(), data.payload);
}
