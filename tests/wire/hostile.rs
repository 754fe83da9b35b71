//! Bytes that no honest peer sends: they end in an error that names what was wrong, or in a frame that keeps every
//! rule; never in a panic, and never in memory that was only claimed.

use bowline::id::ChannelId;
use bowline::wire::control::{
    ControlDecoder, MAX_EXTENDED, MAX_LANES, MAX_PARTIAL, MAX_RANGES, MAX_VERDICTS,
};
use bowline::wire::data::datagram::{self, Datagram};
use bowline::wire::data::{Limits, MAX_SEQUENCE, RecordEncoder, RecordHead, StreamDecoder};
use bowline::wire::*;
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::{arbitrary, encoded, from_hex, golden};

const MAX_MESSAGE: usize = 1000;

/// Records as above, and bodies that the golden one is among.
const LIMITS: Limits = Limits { record: MAX_MESSAGE, body: 200_000 };

/// Panics if a frame that came from a decoder breaks a promise of its type.
fn check(frame: &Control) {
    let number = |value: u64| assert!(value <= varint::MAX, "{value} in {frame:?}");
    let reason = |text: &str| assert!(text.len() <= MAX_REASON, "{frame:?}");
    let set = |lowest: u64, ranges: &[(u64, u64)]| {
        assert!(ranges.len() <= MAX_RANGES);
        let mut least = lowest;
        for &(start, end) in ranges {
            assert!(least <= start && start < end, "{frame:?}");
            number(end);
            least = end + 1;
        }
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
            number(sending.clock_ms);
            for lane in &sending.lanes {
                assert!((1..=MAX_LABEL).contains(&lane.label.len()), "{frame:?}");
                assert!(lane.end.is_none_or(|end| end >= lane.floor), "{frame:?}");
                number(lane.end.unwrap_or(lane.floor));
                set(lane.floor, &lane.skipped);
                assert!(lane.extended.len() <= MAX_EXTENDED);
                lane.extended.iter().for_each(|it| assert!(it.sequence <= MAX_SEQUENCE));
                lane.extended.iter().for_each(|it| number(it.left_ms.unwrap_or_default()));
            }
        }
        Control::Receiving(receiving) => {
            assert!(receiving.lanes.len() <= MAX_LANES);
            for lane in &receiving.lanes {
                number(lane.received_below);
                number(lane.handled_below);
                set(lane.received_below + 1, &lane.received);
                set(lane.handled_below + 1, &lane.handled);
                assert!(lane.verdicts.len() <= MAX_VERDICTS);
                for Verdict { start, end, why } in &lane.verdicts {
                    assert!(start < end);
                    number(*end);
                    if let Why::Rejected(text) = why {
                        reason(text);
                    }
                }
                assert!(lane.partial.len() <= MAX_PARTIAL && lane.partial.is_sorted_by(|a, b| a.0 < b.0));
                for (sequence, bytes) in &lane.partial {
                    assert!(*sequence <= MAX_SEQUENCE);
                    number(*bytes);
                }
                [lane.window_messages, lane.window_bytes, lane.window_large].into_iter().for_each(number);
                lane.refused.iter().for_each(|text| reason(text));
            }
        }
        Control::Probe(probe) => assert!(probe.answer_after_ms <= MAX_PROBE_MS),
        Control::AddressSeen(seen) => number(seen.changes),
        Control::Retry(Retry::Forgotten)
        | Control::CloseAck
        | Control::Presence { .. }
        | Control::ProbeAnswer => {}
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

/// What a data stream says: messages, and pieces that follow each other joined.
#[derive(Clone, Debug, Default, PartialEq)]
struct Said {
    messages: Vec<Data>,
    body: Option<Body>,
}

/// The same for a data stream or a body stream.
fn data_in_chunks(bytes: &[u8], size: usize) -> (Said, Result<(), WireError>) {
    let mut decoder = StreamDecoder::new(LIMITS);
    let mut said = Said::default();
    for chunk in bytes.chunks(size) {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next() {
                Ok(Some(frame)) => said.add(frame),
                Ok(None) => break,
                Err(error) => return (said, Err(error)),
            }
        }
    }
    (said, decoder.finish())
}

impl Said {
    /// Panics if it breaks a promise.
    fn add(&mut self, frame: Frame) {
        match frame {
            Frame::Data(data) => {
                check_data(&data, self.messages.last());
                self.messages.push(data);
            }
            Frame::Body(body) => {
                check_body(&body);
                assert!(body.size > 65_536 && body.size <= LIMITS.body as u64 && !body.bytes.is_empty());
                let Some(before) = &mut self.body else {
                    self.body = Some(body);
                    return;
                };
                before.bytes = [&before.bytes[..], &body.bytes].concat().into();
                let offset = body.offset + body.bytes.len() as u64 - before.bytes.len() as u64;
                assert_eq!(*before, Body { offset, bytes: before.bytes.clone(), ..body });
            }
            other => panic!("{other:?}"),
        }
    }
}

fn check_data(data: &Data, before: Option<&Data>) {
    assert!(data.payload.len() <= MAX_MESSAGE && data.sequence <= MAX_SEQUENCE);
    assert!(before.is_none_or(|before| before.sequence < data.sequence));
    check_deadline(data.deadline);
}

fn check_body(body: &Body) {
    assert!(body.sequence <= MAX_SEQUENCE && body.carrier != Carrier::Lane);
    assert!(body.offset + body.bytes.len() as u64 <= body.size, "{body:?}");
    check_deadline(body.deadline);
}

fn check_deadline(deadline: Option<Deadline>) {
    if let Some(Deadline { sent_ms, left_ms }) = deadline {
        assert!(sent_ms <= varint::MAX && left_ms <= varint::MAX);
    }
}

/// What a datagram says, when everything in it is right. Panics if it breaks a promise.
fn datagram(bytes: &[u8]) -> Result<Datagram, WireError> {
    let read = || datagram::decode(Bytes::copy_from_slice(bytes), LIMITS);
    match read()? {
        Datagram::Heartbeat(beat) => {
            assert!(bytes.len() == 1 && heartbeat::encode(beat) == bytes[0]);
        }
        Datagram::Messages(messages) => {
            let found = messages.collect::<Result<Vec<_>, _>>()?;
            assert!(!found.is_empty());
            for (at, data) in found.iter().enumerate() {
                check_data(data, at.checked_sub(1).map(|before| &found[before]));
                assert_eq!(data.carrier, Carrier::Datagram);
            }
        }
        Datagram::Fragment(body) => {
            check_body(&body);
            assert!(body.size <= MAX_MESSAGE as u64 && !body.bytes.is_empty(), "{body:?}");
            assert_eq!(body.carrier, Carrier::Datagram);
        }
        Datagram::Padding | Datagram::Unknown(_) => assert!(bytes.len() > 1),
    }
    read()
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
    let messages = data_in_chunks(&bytes, bytes.len()).0.messages.len();
    assert_eq!(messages, 9);
    for end in 0..bytes.len() {
        let (found, finish) = data_in_chunks(&bytes[..end], end.max(1));
        assert!(found.messages.len() < messages);
        // Only between records, and before the stream's first byte, may it end.
        let whole = [0, 4, 7, 8, 40, 74, 78, 83, 88, 98];
        assert_eq!(finish.is_ok(), whole.contains(&end), "cut at {end}: {finish:?}");
    }
    every_change_of_one_byte_is_harmless_in_a_stream(&bytes);
}

fn every_change_of_one_byte_is_harmless_in_a_stream(bytes: &[u8]) {
    for at in 0..bytes.len() {
        for value in 0..=u8::MAX {
            let mut changed = bytes.to_vec();
            changed[at] = value;
            let at_once = data_in_chunks(&changed, changed.len());
            assert_eq!(data_in_chunks(&changed, 1), at_once);
        }
    }
}

#[test]
fn every_change_of_one_byte_of_a_body_stream_is_harmless() {
    let bytes = from_hex(golden::BODY);
    let (said, finish) = data_in_chunks(&bytes, bytes.len());
    assert_eq!((said.body.map(|body| body.bytes), finish), (Some(Bytes::from_static(b"bye!")), Ok(())));
    for end in 1..bytes.len() {
        let (said, finish) = data_in_chunks(&bytes[..end], end);
        let header = bytes.len() - 4;
        let cut = if end < header { "stream header" } else { "body" };
        assert_eq!(finish, Err(WireError::Truncated(cut)), "cut at {end}");
        assert_eq!(said.body.is_some(), end > header, "cut at {end}");
    }
    every_change_of_one_byte_is_harmless_in_a_stream(&bytes);
}

#[test]
fn every_change_of_one_byte_of_a_datagram_is_harmless() {
    for (hex, whole) in [(golden::MESSAGES, &[10, 20][..]), (golden::FRAGMENT_SMALL, &[14, 15, 16])] {
        let bytes = from_hex(hex);
        assert!(datagram(&bytes).is_ok());
        for end in 2..bytes.len() {
            let cut = datagram(&bytes[..end]);
            assert_eq!(cut.is_ok(), whole.contains(&end), "{hex} cut at {end}: {cut:?}");
        }
        let mut rejected = 0;
        for at in 0..bytes.len() {
            for value in 0..=u8::MAX {
                let mut changed = bytes.clone();
                changed[at] = value;
                rejected += usize::from(datagram(&changed).is_err());
            }
        }
        assert!(rejected > 500, "only {rejected} of the changes were noticed");
    }
}

proptest! {
    #![proptest_config(Config::with_cases(8_000))]

    #[test]
    fn random_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1..9usize) {
        prop_assert_eq!(control_in_chunks(&bytes, size), control_in_chunks(&bytes, 200));
        prop_assert_eq!(data_in_chunks(&bytes, size), data_in_chunks(&bytes, 200));
        // It asserts what it must.
        let _ = datagram(&bytes);
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
        // A datagram of the same bytes says the same, or breaks off where a stream would wait for more.
        let (said, end) = data_in_chunks(&stream, 200);
        match datagram(&stream) {
            Ok(Datagram::Messages(found)) => {
                let found = found.map(|data| Data { carrier: Carrier::Lane, ..data.unwrap() });
                prop_assert_eq!((found.collect::<Vec<_>>(), Ok(())), (said.messages, end));
            }
            Err(WireError::Truncated(_)) => prop_assert!(said.messages.is_empty() || end.is_err()),
            Err(error) => prop_assert_eq!(end, Err(error)),
            other => prop_assert!(false, "{:?}", other),
        }
        let body = [&[2, 7, 0], &records[..]].concat();
        prop_assert_eq!(data_in_chunks(&body, 1), data_in_chunks(&body, 200));
        let _ = datagram(&body);
        // The size and the offset of a body, in the form that holds them.
        let body = [&[2, 7, 0, 0x80, 2, 0, 0, 0x80, 1], &records[..]].concat();
        prop_assert_eq!(data_in_chunks(&body, 1), data_in_chunks(&body, 200));
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
        assert_eq!(data_in_chunks(&stream, 1), (Said::default(), Err(error)));
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

    let mut decoder = StreamDecoder::new(LIMITS);
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
    let head = |sequence| RecordHead { sequence, redelivered: false, deadline: None, length: 0 };
    encoder.put(&mut out, &head(MAX_SEQUENCE)).unwrap();
    let next = MAX_SEQUENCE + 1;
    let overflow = WireError::SequenceOverflow { channel, next, advance: 0 };
    assert_eq!(encoder.put(&mut out, &head(next)), Err(overflow.clone()));
    let whole = out.clone();
    let (Said { messages, .. }, end) = data_in_chunks(&whole, whole.len());
    assert_eq!((messages.len(), messages[0].sequence, end), (1, MAX_SEQUENCE, Ok(())));
    let beyond = [&whole[..], &[0]].concat();
    assert_eq!(data_in_chunks(&beyond, 1).1, Err(overflow));
    // The largest advance from the largest first.
    let jump = from_hex("01 07 ffffffffffffffff 01 02 ffffffffffffffff");
    let next = varint::MAX;
    let overflow = WireError::SequenceOverflow { channel, next, advance: varint::MAX };
    assert_eq!(data_in_chunks(&jump, 1).1, Err(overflow));
}
