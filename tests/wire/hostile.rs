//! Bytes that no honest peer sends: they end in an error that names what was wrong, or in a frame that keeps every
//! rule; never in a panic, and never in memory that was only claimed.

use bowline::id::ChannelId;
use bowline::wire::control::{ControlDecoder, MAX_LANES, MAX_RANGES, MAX_VERDICTS};
use bowline::wire::data::{MAX_SEQUENCE, RecordDecoder, RecordEncoder};
use bowline::wire::*;
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::{arbitrary, encoded, from_hex, golden};

const MAX_MESSAGE: usize = 1000;

/// Panics if a frame that came from a decoder breaks a promise of its type.
fn check(frame: &Control) {
    let number = |value: u64| assert!(value <= varint::MAX, "{value} in {frame:?}");
    let reason = |text: &str| assert!(text.len() <= MAX_REASON, "{frame:?}");
    let set = |below: u64, ranges: &[(u64, u64)]| {
        assert!(ranges.len() <= MAX_RANGES);
        let mut above = below;
        for &(start, end) in ranges {
            assert!(above < start && start < end, "{frame:?}");
            above = end;
        }
        number(above);
    };
    match frame {
        Control::Hello(hello) => {
            assert!(hello.version_min <= hello.version_max);
            assert!(hello.credentials.len() <= MAX_CREDENTIALS);
            number(hello.counter);
        }
        Control::Welcome(welcome) => number(welcome.counter),
        Control::Confirm(confirm) => number(confirm.counter),
        Control::Retry(Retry::Stale(last)) => number(*last),
        Control::Refuse(refuse) => reason(&refuse.reason),
        Control::Close(close) => reason(&close.reason),
        Control::Sending(sending) => {
            assert!(sending.lanes.len() <= MAX_LANES);
            for lane in &sending.lanes {
                assert!((1..=MAX_LABEL).contains(&lane.label.len()), "{frame:?}");
                assert!(lane.end.is_none_or(|end| end >= lane.floor), "{frame:?}");
                number(lane.end.unwrap_or(lane.floor));
            }
        }
        Control::Receiving(receiving) => {
            assert!(receiving.lanes.len() <= MAX_LANES);
            for lane in &receiving.lanes {
                set(lane.received_below, &lane.received);
                set(lane.handled_below, &lane.handled);
                assert!(lane.verdicts.len() <= MAX_VERDICTS);
                lane.verdicts.iter().for_each(|verdict| reason(&verdict.reason));
                lane.verdicts.iter().for_each(|verdict| number(verdict.sequence));
                number(lane.window_messages);
                number(lane.window_bytes);
                lane.refused.iter().for_each(|text| reason(text));
            }
        }
        Control::Retry(Retry::Forgotten) | Control::CloseAck => {}
    }
}

/// Decodes a control stream in chunks of this size, checking every frame.
fn control_in_chunks(bytes: &[u8], size: usize) -> (Vec<Control>, Result<(), WireError>) {
    let mut decoder = ControlDecoder::new(MAX_CONTROL);
    let mut frames = Vec::new();
    for chunk in bytes.chunks(size) {
        decoder.push(chunk);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => {
                    check(&frame);
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, decoder.finish())
}

/// The same for a data stream.
fn data_in_chunks(bytes: &[u8], size: usize) -> (Vec<Data>, Result<(), WireError>) {
    let mut decoder = RecordDecoder::new(MAX_MESSAGE);
    let mut messages = Vec::<Data>::new();
    for chunk in bytes.chunks(size) {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next() {
                Ok(Some(data)) => {
                    assert!(data.payload.len() <= MAX_MESSAGE && data.sequence <= MAX_SEQUENCE);
                    assert!(messages.last().is_none_or(|before| before.sequence < data.sequence));
                    messages.push(data);
                }
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, decoder.finish())
}

#[test]
fn every_frame_cut_short_is_incomplete_and_nothing_else() {
    for (frame, hex) in golden::frames() {
        let bytes = from_hex(hex);
        for end in 1..bytes.len() {
            let found = control_in_chunks(&bytes[..end], end);
            assert_eq!(found, (vec![], Err(WireError::Truncated("control frame"))), "{frame:?} cut at {end}");
        }
    }
}

#[test]
fn every_change_of_one_byte_is_harmless() {
    let mut rejected = 0;
    for (_, hex) in golden::frames() {
        let bytes = from_hex(hex);
        for at in 0..bytes.len() {
            for value in 0..=u8::MAX {
                let mut changed = bytes.clone();
                changed[at] = value;
                rejected += usize::from(control_in_chunks(&changed, changed.len()).1.is_err());
            }
        }
    }
    assert!(rejected > 10_000, "only {rejected} of the changes were noticed");
}

#[test]
fn every_change_of_one_byte_of_a_data_stream_is_harmless() {
    let bytes = golden::stream_bytes();
    let messages = data_in_chunks(&bytes, bytes.len()).0.len();
    assert_eq!(messages, 7);
    for end in 0..bytes.len() {
        let (found, finish) = data_in_chunks(&bytes[..end], end.max(1));
        assert!(found.len() < messages);
        // Only between records, and before the stream's first byte, may it end.
        let whole = [0, 4, 7, 8, 40, 74, 78, 83];
        assert_eq!(finish.is_ok(), whole.contains(&end), "cut at {end}: {finish:?}");
    }
    for at in 0..bytes.len() {
        for value in 0..=u8::MAX {
            let mut changed = bytes.clone();
            changed[at] = value;
            let at_once = data_in_chunks(&changed, changed.len());
            assert_eq!(data_in_chunks(&changed, 1), at_once);
        }
    }
}

proptest! {
    #![proptest_config(Config::with_cases(8_000))]

    #[test]
    fn random_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1..9usize) {
        prop_assert_eq!(control_in_chunks(&bytes, size), control_in_chunks(&bytes, 200));
        prop_assert_eq!(data_in_chunks(&bytes, size), data_in_chunks(&bytes, 200));
    }

    #[test]
    fn random_bytes_behind_a_plausible_beginning_are_harmless(
        kind in 1..10u8,
        frame in prop::collection::vec(any::<u8>(), 0..60),
        records in prop::collection::vec(prop_oneof![0..8u8, any::<u8>()], 0..100),
    ) {
        let mut bytes = vec![frame.len() as u8 + 2, kind << 3 | 2, frame.len() as u8];
        bytes.extend_from_slice(&frame);
        prop_assert_eq!(control_in_chunks(&bytes, 1), control_in_chunks(&bytes, 200));
        let stream = [&[1, 7, 0], &records[..]].concat();
        prop_assert_eq!(data_in_chunks(&stream, 1), data_in_chunks(&stream, 200));
    }
}

proptest! {
    #[test]
    fn changed_frames_are_harmless(
        frame in arbitrary::control(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encoded(&frame);
        for (at, value) in changes {
            *at.get_mut(&mut bytes) = value;
        }
        prop_assert_eq!(control_in_chunks(&bytes, 1), control_in_chunks(&bytes, bytes.len()));
    }
}

#[test]
fn lengths_beyond_the_limit_are_refused_when_they_are_read() {
    for size in [8_193, 1 << 20, 1 << 40, varint::MAX] {
        let mut decoder = ControlDecoder::new(MAX_HELLO);
        let mut prefix = BytesMut::new();
        varint::encode(size, &mut prefix);
        decoder.push(&prefix);
        assert_eq!(decoder.next(), Err(WireError::FrameTooLarge { size, limit: MAX_HELLO }));
    }
    for size in [1001, 1 << 20, 1 << 40, varint::MAX >> 1] {
        let mut stream = BytesMut::from(&[1, 7, 0][..]);
        varint::encode(size << 1, &mut stream);
        let error = WireError::MessageTooLarge { channel: ChannelId(7), size, limit: MAX_MESSAGE };
        assert_eq!(data_in_chunks(&stream, 1), (vec![], Err(error)));
    }
}

#[test]
fn lengths_inside_a_frame_are_not_believed() {
    // Hello with a session of 2^62 bytes, as protobuf says it.
    let claim = "0a 0b 1a ff ff ff ff ff ff ff ff 3f 00";
    let bytes = from_hex(&format!("0d {claim}"));
    let (frames, end) = control_in_chunks(&bytes, bytes.len());
    assert!(frames.is_empty() && matches!(end, Err(WireError::Malformed { .. })), "{end:?}");
}

#[test]
fn the_first_error_is_final() {
    let mut decoder = ControlDecoder::new(MAX_CONTROL);
    decoder.push(&from_hex("02 ffff 024a00"));
    let error = decoder.next().unwrap_err();
    decoder.push(&from_hex("024a00"));
    assert_eq!(decoder.next(), Err(error.clone()));
    assert_eq!(decoder.finish(), Err(error));

    let mut decoder = RecordDecoder::new(MAX_MESSAGE);
    decoder.push(Bytes::from_static(&[9, 1, 0, 0]));
    assert_eq!(decoder.next(), Err(WireError::UnknownStreamKind(9)));
    decoder.push(Bytes::from_static(&[1, 7, 0, 0]));
    assert_eq!(decoder.header(), Err(WireError::UnknownStreamKind(9)));
    assert_eq!(decoder.next(), Err(WireError::UnknownStreamKind(9)));
    assert_eq!(decoder.finish(), Err(WireError::UnknownStreamKind(9)));
}

#[test]
fn sequences_end_before_the_varint_does() {
    let channel = ChannelId(7);
    let (mut encoder, mut out) = (RecordEncoder::new(channel, MAX_SEQUENCE), BytesMut::new());
    encoder.put(&mut out, MAX_SEQUENCE, false, 0).unwrap();
    let next = MAX_SEQUENCE + 1;
    let overflow = WireError::SequenceOverflow { channel, next, advance: 0 };
    assert_eq!(encoder.put(&mut out, next, false, 0), Err(overflow.clone()));
    let whole = out.clone();
    let (messages, end) = data_in_chunks(&whole, whole.len());
    assert_eq!((messages.len(), messages[0].sequence, end), (1, MAX_SEQUENCE, Ok(())));
    let beyond = [&whole[..], &[0]].concat();
    assert_eq!(data_in_chunks(&beyond, 1).1, Err(overflow));
    // The largest advance from the largest first.
    let jump = from_hex("01 07 ffffffffffffffff 01 02 ffffffffffffffff");
    let next = varint::MAX;
    let overflow = WireError::SequenceOverflow { channel, next, advance: varint::MAX };
    assert_eq!(data_in_chunks(&jump, 1).1, Err(overflow));
}
