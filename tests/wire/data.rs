//! Data streams, there and back.

use bowline::id::ChannelId;
use bowline::wire::data::{Limits, MAX_SEQUENCE, RecordEncoder, RecordHead, StreamDecoder, StreamHeader};
use bowline::wire::{Carrier, Data, Deadline, Frame, WireError, varint};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::arbitrary::{self, Record};
use crate::from_hex;

fn head(sequence: u64, length: usize) -> RecordHead {
    RecordHead { sequence, redelivered: false, deadline: None, length }
}

/// The messages that these say.
pub(crate) fn messages(channel: ChannelId, first: u64, records: &[Record], carrier: Carrier) -> Vec<Data> {
    let mut next = first;
    let message = |(advance, redelivered, deadline, payload): &Record| {
        let (sequence, payload) = (next + advance, Bytes::copy_from_slice(payload));
        next = sequence + 1;
        Data { channel, sequence, redelivered: *redelivered, deadline: *deadline, carrier, payload }
    };
    records.iter().map(message).collect()
}

/// The stream that carries these, and the messages it is read as.
fn stream(channel: ChannelId, first: u64, records: &[Record]) -> (Bytes, Vec<Data>) {
    let messages = messages(channel, first, records, Carrier::Lane);
    let (mut encoder, mut out) = (RecordEncoder::new(channel, first), BytesMut::new());
    for data in &messages {
        let (head, before) = (RecordHead::from(data), out.len());
        let length = encoder.head_len(&head);
        encoder.put(&mut out, &head).unwrap();
        assert_eq!(out.len() - before, length, "{head:?}");
        out.extend_from_slice(&data.payload);
    }
    (out.freeze(), messages)
}

fn drain(decoder: &mut StreamDecoder) -> Vec<Data> {
    let message = |frame| match frame {
        Frame::Data(data) => data,
        other => panic!("{other:?}"),
    };
    std::iter::from_fn(|| decoder.next().unwrap()).map(message).collect()
}

fn decoder(largest: usize) -> StreamDecoder {
    StreamDecoder::new(Limits::new(largest))
}

proptest! {
    #[test]
    fn what_is_written_is_read((channel, first, records) in arbitrary::records(20_000, 20)) {
        let (bytes, messages) = stream(channel, first, &records);
        let mut decoder = decoder(20_000);
        decoder.push(bytes);
        prop_assert_eq!(drain(&mut decoder), messages);
        prop_assert_eq!(decoder.finish(), Ok(()));
        let header = (!records.is_empty()).then_some(StreamHeader::Records { channel, first });
        prop_assert_eq!(decoder.header(), Ok(header));
    }

    #[test]
    fn messages_are_found_however_the_stream_is_cut(
        (channel, first, records) in arbitrary::records(3_000, 20),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        take_between in any::<bool>(),
    ) {
        let (bytes, messages) = stream(channel, first, &records);
        let mut ends = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect::<Vec<_>>();
        ends.push(bytes.len());
        ends.sort();
        let mut decoder = decoder(3_000);
        let (mut found, mut begin) = (Vec::new(), 0);
        for end in ends {
            decoder.push(bytes.slice(begin..end));
            begin = end;
            if take_between {
                decoder.header().unwrap();
                found.extend(drain(&mut decoder));
            }
        }
        found.extend(drain(&mut decoder));
        prop_assert_eq!(decoder.finish(), Ok(()));
        prop_assert_eq!(found, messages);
    }

    #[test]
    fn byte_by_byte_is_the_same_as_at_once((channel, first, records) in arbitrary::records(300, 10)) {
        let (bytes, messages) = stream(channel, first, &records);
        let mut decoder = decoder(300);
        let mut found = Vec::new();
        for at in 0..bytes.len() {
            decoder.push(bytes.slice(at..at + 1));
            found.extend(drain(&mut decoder));
        }
        prop_assert_eq!(decoder.finish(), Ok(()));
        prop_assert_eq!(found, messages);
    }
}

#[test]
fn a_payload_inside_one_chunk_is_a_slice_of_it() {
    let (bytes, _) =
        stream(ChannelId(1), 0, &[(0, false, None, vec![7; 100]), (3, true, None, vec![8; 10_000])]);
    let mut decoder = decoder(10_000);
    decoder.push(bytes.clone());
    let inside = bytes.as_ptr_range();
    for data in drain(&mut decoder) {
        assert!(inside.contains(&data.payload.as_ptr()), "message {} was copied", data.sequence);
    }
}

#[test]
fn the_header_can_be_had_before_the_first_record() {
    let mut decoder = decoder(10);
    let mut stream = BytesMut::new();
    RecordEncoder::new(ChannelId(300), 70_000).put(&mut stream, &head(70_000, 1)).unwrap();
    stream.extend_from_slice(b"x");
    let stream = stream.freeze();
    for at in 0..7 {
        assert_eq!(decoder.header(), Ok(None));
        assert_eq!(decoder.finish().is_ok(), at == 0, "after {at} bytes");
        decoder.push(stream.slice(at..at + 1));
    }
    let header = StreamHeader::Records { channel: ChannelId(300), first: 70_000 };
    assert_eq!(decoder.header(), Ok(Some(header)));
    assert_eq!(decoder.finish(), Ok(()));
    decoder.push(stream.slice(7..));
    assert_eq!(drain(&mut decoder).len(), 1);
    assert_eq!(decoder.header(), Ok(Some(header)));
}

#[test]
fn what_cannot_be_written_changes_nothing() {
    let channel = ChannelId(4);
    let (mut encoder, mut out) = (RecordEncoder::new(channel, 10), BytesMut::new());
    let out_of_order = |sequence, next| Err(WireError::OutOfOrder { channel, sequence, next });
    assert_eq!(encoder.put(&mut out, &head(9, 0)), out_of_order(9, 10));
    assert!(out.is_empty());
    encoder.put(&mut out, &head(10, 0)).unwrap();
    let written = out.clone();
    assert_eq!(encoder.put(&mut out, &head(10, 0)), out_of_order(10, 11));
    let (what, found, limit) = ("payload length", usize::MAX as u64, varint::MAX >> 1);
    assert_eq!(encoder.put(&mut out, &head(11, usize::MAX)), Err(WireError::TooLarge { what, found, limit }));
    let (sequence, advance) = (MAX_SEQUENCE + 1, MAX_SEQUENCE - 10);
    let overflow = WireError::SequenceOverflow { channel, next: 11, advance };
    assert_eq!(encoder.put(&mut out, &head(sequence, 0)), Err(overflow));
    let (what, found, limit) = ("deadline", 1 << 62, varint::MAX);
    for (sent_ms, left_ms) in [(found, 0), (0, found)] {
        let late = RecordHead { deadline: Some(Deadline { sent_ms, left_ms }), ..head(11, 0) };
        assert_eq!(encoder.put(&mut out, &late), Err(WireError::TooLarge { what, found, limit }));
    }
    assert_eq!((out, encoder.next_sequence()), (written, 11));
}

#[test]
fn an_advance_of_zero_and_unknown_options_are_refused() {
    let decode = |records: &str| {
        let mut decoder = decoder(10);
        decoder.push(from_hex(&format!("01 04 00 {records}")).into());
        decoder.next()
    };
    let channel = ChannelId(4);
    assert_eq!(decode("01 02 00"), Err(WireError::ZeroAdvance { channel }));
    for mask in [8, 16, 32] {
        assert_eq!(decode(&format!("01 {mask:02x}")), Err(WireError::UnknownOptions { channel, mask }));
    }
    assert_eq!(decode("01 7fff"), Err(WireError::UnknownOptions { channel, mask: 0x3FFF }));
    let (deadline, carrier, payload) = (None, Carrier::Lane, Bytes::new());
    let plain = Data { channel, sequence: 0, redelivered: false, deadline, carrier, payload };
    assert_eq!(decode("01 00"), Ok(Some(Frame::Data(plain))), "no options is the same as none said");
    let mut decoder = decoder(10);
    decoder.push(from_hex("01 c000000100000000 00").into());
    let (what, found, limit) = ("channel", 1 << 32, u32::MAX.into());
    assert_eq!(decoder.next(), Err(WireError::TooLarge { what, found, limit }));
}

#[test]
fn a_record_is_never_larger_than_large() {
    let limits = Limits::new(1 << 30);
    let decode = |length: u64| {
        let mut decoder = StreamDecoder::new(limits);
        let mut bytes = BytesMut::from(&[1, 4, 0][..]);
        varint::encode(length << 1, &mut bytes);
        decoder.push(bytes.freeze());
        decoder.next()
    };
    assert_eq!(decode(65_536), Ok(None));
    let (channel, size, limit) = (ChannelId(4), 65_537, 65_536);
    assert_eq!(decode(65_537), Err(WireError::MessageTooLarge { channel, size, limit }));
}
