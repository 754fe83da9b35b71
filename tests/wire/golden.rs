//! Bytes that were once written stay readable, and are still what is written. A change here is a change of the
//! protocol.

use bowline::config::Delivery;
use bowline::id::{ChannelId, Epoch, SessionId};
use bowline::wire::data::datagram::{self, Datagram, DatagramPacker, Fragments};
use bowline::wire::data::{BodyEncoder, Limits, RecordEncoder, RecordHead, StreamDecoder};
use bowline::wire::*;
use bytes::{Bytes, BytesMut};

use crate::{decode_all, encoded, from_hex, hex};

/// Frames with a value in every field, so that each number and type is pinned.
pub(crate) fn frames() -> Vec<(Control, &'static str)> {
    vec![
        (Control::Hello(Box::new(hello())), HELLO),
        (Control::Hello(Box::new(hello_again())), HELLO_AGAIN),
        (Control::Welcome(welcome()), WELCOME),
        (Control::Confirm(Confirm { counter: 7, durable: true }), "061a0408071001"),
        (Control::Retry(Retry::Stale(300)), "05220308ac02"),
        (Control::Retry(Retry::Forgotten), "0422021001"),
        (Control::Refuse(refuse()), "0c2a0a0805120466756c6c1801"),
        (Control::Sending(sending()), SENDING),
        (Control::Receiving(receiving()), RECEIVING),
        (Control::Close(Close { code: 0, reason: "bye".to_owned() }), "0742051203627965"),
        (Control::CloseAck, "024a00"),
        (Control::Probe(Probe { answer_after_ms: 90_000 }), "0652040890bf05"),
        (Control::ProbeAnswer, "025a00"),
        (Control::AddressSeen(AddressSeen { changes: 300 }), "05620308ac02"),
        (Control::Presence { away: true }, "046a020801"),
        (Control::Presence { away: false }, "026a00"),
    ]
}

/// The worked example of the specification.
pub(crate) const HELLO: &str = "\
    40770a75080110011a10101112131415161718191a1b1c1d1e1f2220404142434445464748494a4b4c4d\
    4e4f505152535455565758595a5b5c5d5e5f290807060504030201380142203024005ccde601b29a9194\
    dbff631e132cb6616a2ff47353b917f26db3507e2b4a07088080401080025205746f6b656e";
const HELLO_AGAIN: &str = "\
    40590a57080110031a10101112131415161718191a1b1c1d1e1f29080706050403020131f8f7f6f5f4f3\
    f2f138f0a20442203024005ccde601b29a9194dbff631e132cb6616a2ff47353b917f26db3507e2b4a07\
    08808040108002";
const WELCOME: &str = "1b121908011108070605040302011801220808808080101080022801";
const SENDING: &str = "\
    4059325709ffffffffffffffff12330801120463686174180420e80728d209320508e8071001320608ed07\
    10c8013a0508ea0710003a0608eb0710ac023a0308ec07121308ffffffff0f1209c3bc6ec3af636f646518\
    4d18f0a204";
const RECEIVING: &str = "\
    40723a70090100000000000000125f080110641a04086610011a05086e10c801205a2a04085b1004321008\
    5c120c6e6f207375636820726f6f6d32060850180220013204085220023207085318ac0220033880800440\
    808080025001588080801062060869108080016203089003120408024a00";

/// The TLS exporter of the connection in the example.
pub(crate) const EXPORTER: [u8; 32] = [0xE0; 32];

/// What the dialer proves with on it.
const PROOF: &str = "3024005ccde601b29a9194dbff631e132cb6616a2ff47353b917f26db3507e2b";

/// A dialer's first.
pub(crate) fn hello() -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        session: SessionId::from_bytes(std::array::from_fn(|n| 0x10 + n as u8)),
        secret: Some(Secret(std::array::from_fn(|n| 0x40 + n as u8))),
        epoch: Epoch::new(0x0102_0304_0506_0708).unwrap(),
        peer_epoch: None,
        counter: 1,
        proof: from_hex(PROOF).try_into().unwrap(),
        limits: PeerLimits { max_message_size: 1024 * 1024, max_channels: 256 },
        credentials: Bytes::from_static(b"token"),
    }
}

/// A dialer's when it comes back.
fn hello_again() -> Hello {
    Hello {
        version_max: 3,
        secret: None,
        peer_epoch: Epoch::new(0xF1F2_F3F4_F5F6_F7F8),
        counter: 70_000,
        credentials: Bytes::new(),
        ..hello()
    }
}

fn welcome() -> Welcome {
    Welcome {
        version: 1,
        epoch: Epoch::new(0x0102_0304_0506_0708).unwrap(),
        counter: 1,
        limits: PeerLimits { max_message_size: 32 * 1024 * 1024, max_channels: 256 },
        durable: true,
    }
}

fn refuse() -> Refuse {
    Refuse { code: 5, reason: "full".to_owned(), retry: true }
}

fn sending() -> Sending {
    let chat = SendingLane {
        channel: ChannelId(1),
        label: "chat".to_owned(),
        delivery: Ok(Delivery::ReliableOrdered),
        floor: 1_000,
        end: Some(1_234),
        skipped: vec![(1_000, 1_001), (1_005, 1_205)],
        extended: vec![
            Extension { sequence: 1_002, left_ms: Some(0) },
            Extension { sequence: 1_003, left_ms: Some(300) },
            Extension { sequence: 1_004, left_ms: None },
        ],
    };
    let later = SendingLane {
        channel: ChannelId(u32::MAX),
        label: "ünïcode".to_owned(),
        delivery: Err(77),
        floor: 0,
        end: None,
        skipped: vec![],
        extended: vec![],
    };
    Sending { epoch: Epoch::new(u64::MAX).unwrap(), clock_ms: 70_000, lanes: vec![chat, later] }
}

fn receiving() -> Receiving {
    let busy = ReceivingLane {
        channel: ChannelId(1),
        received_below: 100,
        received: vec![(102, 103), (110, 310)],
        handled_below: 90,
        handled: vec![(91, 95)],
        verdicts: vec![
            Verdict { start: 92, end: 93, why: Why::Rejected("no such room".to_owned()) },
            Verdict { start: 80, end: 82, why: Why::Expired },
            Verdict { start: 82, end: 83, why: Why::Superseded },
            Verdict { start: 83, end: 383, why: Why::Skipped },
        ],
        window_messages: 65_536,
        window_bytes: 4 * 1024 * 1024,
        window_large: 32 * 1024 * 1024,
        partial: vec![(105, 16_384), (400, 0)],
        refused: None,
        ended: true,
    };
    let refused = ReceivingLane {
        channel: ChannelId(2),
        received_below: 0,
        received: vec![],
        handled_below: 0,
        handled: vec![],
        verdicts: vec![],
        window_messages: 0,
        window_bytes: 0,
        window_large: 0,
        partial: vec![],
        refused: Some(String::new()),
        ended: false,
    };
    Receiving { epoch: Epoch::new(1).unwrap(), lanes: vec![busy, refused] }
}

#[test]
fn control_frames() {
    for (frame, golden) in frames() {
        assert_eq!(hex(&encoded(&frame)), golden, "{frame:?}");
        assert_eq!(decode_all(&from_hex(golden)), Ok(vec![frame]));
    }
}

/// Channel 5 from sequence 300: a short message, an empty one, one of 31 bytes, one of 32, one redelivered, one
/// after a jump of 2, one both, one with a deadline, one with everything.
const STREAM: &str = "\
    0105412c 046869 00 3e{31} 4040{32} 05 01 6869 05 02 02 6869 05 03 01 6869 \
    05 04 80011170 45dc 6869 05 07 01 00 c000000100000000 6869";

#[test]
fn a_data_stream() {
    let deadline = |sent_ms, left_ms| Some(Deadline { sent_ms, left_ms });
    let messages = [
        (300, false, None, &b"hi"[..]),
        (301, false, None, b""),
        (302, false, None, &[b'x'; 31]),
        (303, false, None, &[b'x'; 32]),
        (304, true, None, b"hi"),
        (307, false, None, b"hi"),
        (309, true, None, b"hi"),
        (310, false, deadline(70_000, 1_500), b"hi"),
        (312, true, deadline(0, 1 << 32), b"hi"),
    ];
    let channel = ChannelId(5);
    let bytes = stream_bytes();
    let (mut encoder, mut out) = (RecordEncoder::new(channel, 300), BytesMut::new());
    let mut decoder = StreamDecoder::new(Limits::new(32));
    decoder.push(bytes.clone().into());
    for (sequence, redelivered, deadline, payload) in messages {
        let (carrier, payload) = (Carrier::Lane, Bytes::from_static(payload));
        let data = Data { channel, sequence, redelivered, deadline, carrier, payload };
        encoder.put(&mut out, &RecordHead::from(&data)).unwrap();
        out.extend_from_slice(&data.payload);
        assert_eq!(decoder.next(), Ok(Some(Frame::Data(data))));
    }
    assert_eq!(hex(&out), hex(&bytes));
    assert_eq!(decoder.next(), Ok(None));
}

pub(crate) fn stream_bytes() -> Vec<u8> {
    from_hex(&STREAM.replace("{31}", &"78".repeat(31)).replace("{32}", &"78".repeat(32)))
}

/// A body stream and a fragment share these: channel 300, message 70,000, redelivered, with a deadline.
fn piece(carrier: Carrier, size: u64, offset: u64, bytes: &'static [u8]) -> Body {
    let deadline = Some(Deadline { sent_ms: 70_000, left_ms: 20 });
    let (channel, bytes) = (ChannelId(300), Bytes::from_static(bytes));
    Body { channel, sequence: 70_000, redelivered: true, deadline, carrier, size, offset, bytes }
}

/// 100,000 bytes, the last four of them here.
pub(crate) const BODY: &str = "02 412c 80011170 800186a0 8001869c 05 80011170 14 62796521";

#[test]
fn a_body_stream() {
    let first = piece(Carrier::Stream, 100_000, 99_996, b"by");
    let second = piece(Carrier::Stream, 100_000, 99_998, b"e!");
    let (mut encoder, mut out) = (BodyEncoder::new(), BytesMut::new());
    let mut decoder = StreamDecoder::new(Limits::new(100_000));
    let bytes = Bytes::from(from_hex(BODY));
    let (begin, end) = (bytes.slice(..bytes.len() - 2), bytes.slice(bytes.len() - 2..));
    for (body, chunk) in [(first, begin), (second, end)] {
        assert!(!encoder.is_whole());
        encoder.put(&mut out, &body).unwrap();
        out.extend_from_slice(&body.bytes);
        decoder.push(chunk);
        assert_eq!(decoder.next(), Ok(Some(Frame::Body(body))));
        assert_eq!(decoder.next(), Ok(None));
    }
    assert_eq!(hex(&out), hex(&bytes));
    assert!(encoder.is_whole());
    assert_eq!(decoder.finish(), Ok(()));
}

/// Channel 300 from 70,000: a message, the next one, redelivered, with a deadline, and an empty one after a jump.
pub(crate) const MESSAGES: &str = "01 412c 80011170 046869 07 05 80011170 14 627965 01 02 03";

#[test]
fn a_datagram_of_messages() {
    let deadline = Some(Deadline { sent_ms: 70_000, left_ms: 20 });
    let data = |sequence, redelivered, deadline, payload| {
        let (channel, payload) = (ChannelId(300), Bytes::from_static(payload));
        Data { channel, sequence, redelivered, deadline, carrier: Carrier::Datagram, payload }
    };
    let messages = [
        data(70_000, false, None, b"hi"),
        data(70_001, true, deadline, b"bye"),
        data(70_005, false, None, b""),
    ];
    let bytes = from_hex(MESSAGES);
    let mut packer = DatagramPacker::new();
    for data in &messages {
        assert_eq!(packer.put(data, bytes.len()), Ok(true));
    }
    assert_eq!(hex(&packer.take()), hex(&bytes));
    match datagram::decode(bytes.into(), Limits::new(3)) {
        Ok(Datagram::Messages(found)) => assert_eq!(found.collect::<Result<Vec<_>, _>>().unwrap(), messages),
        other => panic!("{other:?}"),
    }
}

/// The last four of 3,000 bytes.
const FRAGMENT: &str = "02 412c 80011170 4bb8 4bb4 05 80011170 14 62796521";

/// The middle four of 600 bytes.
pub(crate) const FRAGMENT_SMALL: &str = "02 04 07 4258 412c 05 80011170 14 62796521";

#[test]
fn a_fragment() {
    let Body { channel, sequence, redelivered, deadline, carrier, .. } = piece(Carrier::Datagram, 0, 0, b"");
    let payload = [&[0; 2_996], &b"bye!"[..]].concat().into();
    let data = Data { channel, sequence, redelivered, deadline, carrier, payload };
    let mut fragments = Fragments::new(&data).unwrap();
    let bytes = from_hex(FRAGMENT);
    // The header of the first is a byte shorter: its offset is 0.
    let first = bytes.len() - 4 - 1 + 2_996;
    assert_eq!(fragments.next(first).unwrap().map(|first| first.len()), Some(first));
    assert_eq!(fragments.next(first).unwrap().map(|last| hex(&last)), Some(hex(&bytes)));
    assert_eq!(fragments.next(first), Ok(None));
    match datagram::decode(bytes.into(), Limits::new(3_000)) {
        Ok(Datagram::Fragment(body)) => assert_eq!(body, piece(Carrier::Datagram, 3_000, 2_996, b"bye!")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_head_of_a_message_takes_one_byte_up_to_31_and_two_up_to_8191() {
    for (payload, head) in
        [(0, 1), (31, 1), (32, 2), (8_191, 2), (8_192, 4), (536_870_911, 4), (536_870_912, 8)]
    {
        let (mut encoder, mut out) = (RecordEncoder::new(ChannelId(1), 0), BytesMut::new());
        let record = |sequence, length| RecordHead { sequence, redelivered: false, deadline: None, length };
        encoder.put(&mut out, &record(0, 0)).unwrap();
        out.clear();
        encoder.put(&mut out, &record(1, payload)).unwrap();
        assert_eq!(out.len(), head, "a payload of {payload} bytes");
    }
}

#[test]
fn varints() {
    let known = [
        (0, "00"),
        (37, "25"),
        (63, "3f"),
        (64, "4040"),
        (15_293, "7bbd"),
        (16_383, "7fff"),
        (16_384, "80004000"),
        (494_878_333, "9d7f3e7d"),
        ((1 << 30) - 1, "bfffffff"),
        (1 << 30, "c000000040000000"),
        (151_288_809_941_952_652, "c2197c5eff14e88c"),
        (varint::MAX, "ffffffffffffffff"),
    ];
    for (value, golden) in known {
        let mut out = BytesMut::new();
        varint::encode(value, &mut out);
        assert_eq!(hex(&out), golden);
        assert_eq!(varint::size(value), out.len());
        out.extend_from_slice(b"rest");
        let mut rest = &*out;
        assert_eq!(varint::decode(&mut rest), Some(value));
        assert_eq!(rest, b"rest");
    }
    // Longer forms than needed are read all the same.
    for form in ["4025", "80000025", "c000000000000025"] {
        assert_eq!(varint::decode(&mut &*from_hex(form)), Some(37));
    }
}

#[test]
fn heartbeats() {
    let beat = |kind, parity, health, interval| Heartbeat { kind, parity, health, interval };
    let known = [
        (beat(BeatKind::Beat, false, Health::Serving, 0), 0x00),
        (beat(BeatKind::Beat, true, Health::Serving, 6), 0x46),
        (beat(BeatKind::Answer, true, Health::Serving, 6), 0xC6),
        (beat(BeatKind::Beat, false, Health::Stalled, 15), 0x1F),
        (beat(BeatKind::Answer, false, Health::Busy, 1), 0xA1),
        (beat(BeatKind::Answer, true, Health::Draining, 15), 0xFF),
    ];
    for (heartbeat, byte) in known {
        assert_eq!(heartbeat::encode(heartbeat), byte, "{heartbeat:?}");
        assert_eq!(heartbeat::decode(byte), heartbeat);
    }
    for byte in 0..=u8::MAX {
        assert_eq!(heartbeat::encode(heartbeat::decode(byte)), byte);
    }
}
