//! Data streams, there and back.

use bowline::id::ChannelId;
use bowline::wire::data::{RecordDecoder, RecordEncoder, StreamHeader};
use bowline::wire::{Data, WireError, varint};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::arbitrary::{self, Record};
use crate::from_hex;

/// The stream that carries these, and the messages it is read as.
fn stream(channel: ChannelId, first: u64, records: &[Record]) -> (Bytes, Vec<Data>) {
    let mut encoder = RecordEncoder::new(channel, first);
    let (mut out, mut messages) = (BytesMut::new(), Vec::new());
    for (advance, redelivered, payload) in records {
        let sequence = encoder.next_sequence() + advance;
        encoder.put(&mut out, sequence, *redelivered, payload.len()).unwrap();
        out.extend_from_slice(payload);
        let payload = Bytes::copy_from_slice(payload);
        messages.push(Data { channel, sequence, redelivered: *redelivered, payload });
    }
    (out.freeze(), messages)
}

fn drain(decoder: &mut RecordDecoder) -> Vec<Data> {
    std::iter::from_fn(|| decoder.next().unwrap()).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read((channel, first, records) in arbitrary::records(20_000, 20)) {
        let (bytes, messages) = stream(channel, first, &records);
        let mut decoder = RecordDecoder::new(20_000);
        decoder.push(bytes);
        prop_assert_eq!(drain(&mut decoder), messages);
        prop_assert_eq!(decoder.finish(), Ok(()));
        let header = (!records.is_empty()).then_some(StreamHeader { channel, first });
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
        let mut decoder = RecordDecoder::new(3_000);
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
        let mut decoder = RecordDecoder::new(300);
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
    let (bytes, _) = stream(ChannelId(1), 0, &[(0, false, vec![7; 100]), (3, true, vec![8; 10_000])]);
    let mut decoder = RecordDecoder::new(10_000);
    decoder.push(bytes.clone());
    let inside = bytes.as_ptr_range();
    for data in drain(&mut decoder) {
        assert!(inside.contains(&data.payload.as_ptr()), "message {} was copied", data.sequence);
    }
}

#[test]
fn the_header_can_be_had_before_the_first_record() {
    let mut decoder = RecordDecoder::new(10);
    let mut stream = BytesMut::new();
    RecordEncoder::new(ChannelId(300), 70_000).put(&mut stream, 70_000, false, 1).unwrap();
    stream.extend_from_slice(b"x");
    let stream = stream.freeze();
    for at in 0..7 {
        assert_eq!(decoder.header(), Ok(None));
        assert_eq!(decoder.finish().is_ok(), at == 0, "after {at} bytes");
        decoder.push(stream.slice(at..at + 1));
    }
    let header = StreamHeader { channel: ChannelId(300), first: 70_000 };
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
    assert_eq!(encoder.put(&mut out, 9, false, 0), out_of_order(9, 10));
    assert!(out.is_empty());
    encoder.put(&mut out, 10, false, 0).unwrap();
    let written = out.clone();
    assert_eq!(encoder.put(&mut out, 10, false, 0), out_of_order(10, 11));
    let (what, found, limit) = ("payload length", usize::MAX as u64, varint::MAX >> 1);
    assert_eq!(encoder.put(&mut out, 11, false, usize::MAX), Err(WireError::TooLarge { what, found, limit }));
    assert_eq!((out, encoder.next_sequence()), (written, 11));
}

#[test]
fn an_advance_of_zero_and_unknown_options_are_refused() {
    let decode = |records: &str| {
        let mut decoder = RecordDecoder::new(10);
        decoder.push(from_hex(&format!("01 04 00 {records}")).into());
        decoder.next()
    };
    let channel = ChannelId(4);
    assert_eq!(decode("01 02 00"), Err(WireError::ZeroAdvance { channel }));
    for mask in [4, 8, 16, 32] {
        assert_eq!(decode(&format!("01 {mask:02x}")), Err(WireError::UnknownOptions { channel, mask }));
    }
    assert_eq!(decode("01 7fff"), Err(WireError::UnknownOptions { channel, mask: 0x3FFF }));
    let plain = Data { channel, sequence: 0, redelivered: false, payload: Bytes::new() };
    assert_eq!(decode("01 00"), Ok(Some(plain)), "no options is the same as none said");
    let mut decoder = RecordDecoder::new(10);
    decoder.push(from_hex("01 c000000100000000 00").into());
    let (what, found, limit) = ("channel", 1 << 32, u32::MAX.into());
    assert_eq!(decoder.next(), Err(WireError::TooLarge { what, found, limit }));
}
