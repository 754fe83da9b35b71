//! The rules of the control frames, one by one: what breaks a rule is refused, and the error names it. The bytes are
//! put together by hand, as another implementation would.

use bowline::config::Delivery;
use bowline::id::{ChannelId, Epoch};
use bowline::wire::control::{
    ControlDecoder, MAX_EXTENDED, MAX_LANES, MAX_PARTIAL, MAX_RANGES, MAX_VERDICTS,
};
use bowline::wire::data::MAX_SEQUENCE;
use bowline::wire::*;
use bytes::BytesMut;

use crate::{decode_all, encoded, from_hex, golden, hex};

// ---- Protobuf by hand ----

fn number(tag: u8, mut value: u64) -> Vec<u8> {
    let mut out = vec![tag << 3];
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn bytes(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = number(tag, content.len() as u64);
    out[0] |= 2;
    out.extend_from_slice(content);
    out
}

fn fixed(tag: u8, value: u64) -> Vec<u8> {
    let mut out = vec![tag << 3 | 1];
    out.extend_from_slice(&value.to_le_bytes());
    out
}

/// A control stream with one frame of this kind.
fn frame(kind: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    framed(&bytes(kind, &fields.concat()))
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    varint::encode(message.len() as u64, &mut out);
    out.extend_from_slice(message);
    out.to_vec()
}

/// The fields of a good Hello, by number.
fn hello() -> Vec<(u8, Vec<u8>)> {
    vec![
        (1, number(1, 1)),
        (2, number(2, 1)),
        (3, bytes(3, &[3; 16])),
        (4, bytes(4, &[4; 32])),
        (5, fixed(5, 5)),
        (7, number(7, 7)),
        (8, bytes(8, &[8; 32])),
        (9, bytes(9, &[])),
        (10, bytes(10, b"token")),
    ]
}

/// That Hello with a field replaced, or without it.
fn hello_but(field: u8, instead: Vec<u8>) -> Result<Vec<Control>, WireError> {
    let fields =
        hello().into_iter().map(|(number, good)| if number == field { instead.clone() } else { good });
    decode_all(&frame(1, &fields.collect::<Vec<_>>()))
}

/// A Receiving of epoch 1 with one lane of channel 2.
fn receiving(fields: &[Vec<u8>]) -> Result<ReceivingLane, WireError> {
    let lane = [&[number(1, 2)], fields].concat().concat();
    match decode_all(&frame(7, &[fixed(1, 1), bytes(2, &lane)]))?.pop() {
        Some(Control::Receiving(mut receiving)) => Ok(receiving.lanes.remove(0)),
        other => panic!("{other:?}"),
    }
}

fn range(tag: u8, start: u64, length: u64) -> Vec<u8> {
    bytes(tag, &[number(1, start), number(2, length)].concat())
}

/// A Sending of epoch 1 with one lane of channel 2; a label among the fields replaces its own.
fn sending(fields: &[Vec<u8>]) -> Result<SendingLane, WireError> {
    let lane = [&[number(1, 2), bytes(2, b"chat")], fields].concat().concat();
    match decode_all(&frame(6, &[fixed(1, 1), bytes(2, &lane)]))?.pop() {
        Some(Control::Sending(mut sending)) => Ok(sending.lanes.remove(0)),
        other => panic!("{other:?}"),
    }
}

// ---- W5: frames ----

#[test]
fn unknown_fields_are_skipped() {
    let unknown = [number(14, 5), bytes(15, b"later"), fixed(14, 9)].concat();
    let with_unknown = |good: &[u8]| [good, &unknown].concat();
    let fields = hello().into_iter().map(|(_, field)| field).collect::<Vec<_>>();
    let plain = decode_all(&frame(1, &fields)).unwrap();
    let message = with_unknown(&bytes(1, &with_unknown(&fields.concat())));
    assert_eq!(decode_all(&framed(&message)), Ok(plain));
}

#[test]
fn frames_of_an_unknown_kind_are_skipped() {
    let unknown = frame(15, &[bytes(1, b"later")]);
    let stream = [framed(&[]), unknown, from_hex("024a00"), framed(&[])].concat();
    assert_eq!(decode_all(&stream), Ok(vec![Control::CloseAck]));
}

#[test]
fn of_several_frames_in_one_message_the_last_counts() {
    let message = [bytes(8, &number(1, 5)), bytes(9, &[])].concat();
    assert_eq!(decode_all(&framed(&message)), Ok(vec![Control::CloseAck]));
}

#[test]
fn a_longer_form_of_the_size_is_read() {
    for prefix in ["02", "4002", "80000002", "c000000000000002"] {
        assert_eq!(decode_all(&from_hex(&format!("{prefix} 4a00"))), Ok(vec![Control::CloseAck]));
    }
}

#[test]
fn the_limit_counts_from_when_it_is_set() {
    let large = encoded(&Control::Close(Close { code: 1, reason: "x".repeat(200) }));
    let mut decoder = ControlDecoder::new(large.len() - 3);
    decoder.push(&large);
    assert!(matches!(decoder.next(), Err(WireError::FrameTooLarge { .. })));

    let mut decoder = ControlDecoder::new(10);
    decoder.push(&from_hex("024a00"));
    decoder.push(&large);
    assert_eq!(decoder.next(), Ok(Some(Control::CloseAck)));
    // The prefix of 200-odd bytes takes two; the limit is of the message alone.
    decoder.set_limit(large.len() - 2);
    assert!(matches!(decoder.next(), Ok(Some(Control::Close(_)))));
}

// ---- W6: attach frames ----

#[test]
fn a_hello_that_breaks_a_rule_is_refused() {
    assert!(matches!(hello_but(0, vec![]).as_deref(), Ok([Control::Hello(_)])), "the good one is good");
    let length = |field, found, wanted| Err(WireError::WrongLength { field, found, wanted });
    assert_eq!(hello_but(3, bytes(3, &[0; 15])), length("Hello.session", 15, 16));
    assert_eq!(hello_but(3, vec![]), length("Hello.session", 0, 16));
    assert_eq!(hello_but(4, bytes(4, &[0; 33])), length("Hello.secret", 33, 32));
    assert_eq!(hello_but(8, bytes(8, &[0; 31])), length("Hello.proof", 31, 32));
    assert_eq!(hello_but(8, vec![]), length("Hello.proof", 0, 32));
    assert_eq!(hello_but(5, vec![]), Err(WireError::ZeroEpoch { field: "Hello.epoch" }));
    assert_eq!(hello_but(9, vec![]), Err(WireError::Missing { field: "Hello.limits" }));
    assert_eq!(hello_but(1, number(1, 2)), Err(WireError::ReversedVersions { min: 2, max: 1 }));
    let counter = |found| WireError::TooLarge { what: "Hello.counter", found, limit: varint::MAX };
    assert_eq!(hello_but(7, number(7, 1 << 62)), Err(counter(1 << 62)));
    assert!(hello_but(7, number(7, varint::MAX)).is_ok());
    let (field, limit) = ("Hello.credentials", MAX_CREDENTIALS);
    let found = MAX_CREDENTIALS + 1;
    assert_eq!(hello_but(10, bytes(10, &vec![1; found])), Err(WireError::TooLong { field, found, limit }));
    assert!(hello_but(10, bytes(10, &vec![1; MAX_CREDENTIALS])).is_ok());
}

#[test]
fn a_hello_may_lack_secret_and_credentials() {
    let frames = hello_but(4, vec![]).unwrap();
    let [Control::Hello(hello)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((hello.secret.clone(), hello.peer_epoch), (None, None));
    assert!(hello_but(10, vec![]).is_ok());
}

#[test]
fn the_largest_hello_fits() {
    let mut hello = golden::hello();
    hello.credentials = vec![1; MAX_CREDENTIALS].into();
    hello.counter = varint::MAX;
    assert!(encoded(&Control::Hello(Box::new(hello))).len() <= MAX_HELLO);
}

#[test]
fn answers_that_break_a_rule_are_refused() {
    let welcome = |fields: &[Vec<u8>]| decode_all(&frame(2, fields));
    assert!(welcome(&[fixed(2, 1), bytes(4, &[])]).is_ok());
    assert_eq!(welcome(&[bytes(4, &[])]), Err(WireError::ZeroEpoch { field: "Welcome.epoch" }));
    assert_eq!(welcome(&[fixed(2, 1)]), Err(WireError::Missing { field: "Welcome.limits" }));
    let why = Err(WireError::Missing { field: "Retry.why" });
    assert_eq!(decode_all(&frame(4, &[])), why);
    assert_eq!(decode_all(&frame(4, &[number(2, 0)])), why);
    assert_eq!(decode_all(&frame(4, &[number(1, 0)])), Ok(vec![Control::Retry(Retry::Stale(0))]));
    for (kind, field, what) in [(2, 3, "Welcome.counter"), (3, 1, "Confirm.counter"), (4, 1, "Retry.stale")] {
        let fields = [fixed(2, 1), bytes(4, &[]), number(field, u64::MAX)];
        let fields = if kind == 2 { &fields[..] } else { &fields[2..] };
        let error = WireError::TooLarge { what, found: u64::MAX, limit: varint::MAX };
        assert_eq!(decode_all(&frame(kind, fields)), Err(error));
    }
}

#[test]
fn a_reason_is_cut_where_it_is_written_and_where_it_is_read() {
    let close = |reason: String| Control::Close(Close { code: 3, reason });
    // Of 256 bytes, 255 hold whole characters of three bytes.
    let long = "€".repeat(100);
    let cut = close("€".repeat(85));
    assert_eq!(decode_all(&encoded(&close(long.clone()))), Ok(vec![cut.clone()]));
    assert!(encoded(&close(long.clone())).len() < 270);
    assert_eq!(decode_all(&frame(8, &[number(1, 3), bytes(2, long.as_bytes())])), Ok(vec![cut]));
    let whole = close("x".repeat(MAX_REASON));
    assert_eq!(decode_all(&encoded(&whole)), Ok(vec![whole]));
    // Everywhere a reason may be.
    let verdict = bytes(6, &[number(1, 1), bytes(2, long.as_bytes())].concat());
    let lane = receiving(&[verdict, bytes(9, &bytes(1, long.as_bytes()))]).unwrap();
    assert_eq!(lane.verdicts[0].why, Why::Rejected("€".repeat(85)));
    assert_eq!(lane.refused, Some("€".repeat(85)));
}

// ---- W7: state frames ----

#[test]
fn a_sending_that_breaks_a_rule_is_refused() {
    assert_eq!(decode_all(&frame(6, &[])), Err(WireError::ZeroEpoch { field: "Sending.epoch" }));
    let (field, found, limit) = ("Sending.label", MAX_LABEL + 1, MAX_LABEL);
    assert_eq!(sending(&[bytes(2, &vec![b'x'; found])]), Err(WireError::TooLong { field, found, limit }));
    assert!(sending(&[bytes(2, &[b'x'; MAX_LABEL])]).is_ok());
    assert_eq!(sending(&[bytes(2, b"")]), Err(WireError::Missing { field }));
    assert!(matches!(sending(&[bytes(2, &[0xFF])]), Err(WireError::Malformed { .. })), "not UTF-8");
    let (channel, end, floor) = (ChannelId(2), 8, 9);
    let error = WireError::EndBelowFloor { channel, end, floor };
    assert_eq!(sending(&[number(4, 9), number(5, 8)]), Err(error));
    assert_eq!(sending(&[number(4, 9), number(5, 9)]).unwrap().end, Some(9));
    for (field, what) in [(4, "Sending.floor"), (5, "Sending.end")] {
        let error = WireError::TooLarge { what, found: 1 << 62, limit: varint::MAX };
        assert_eq!(sending(&[number(field, 1 << 62)]), Err(error));
    }
}

#[test]
fn every_delivery_that_is_not_known_is_kept() {
    for value in [0, 6, 7, 1000, i32::MAX] {
        assert_eq!(sending(&[number(3, value as u64)]).unwrap().delivery, Err(value));
    }
    assert_eq!(sending(&[number(3, i64::from(i32::MIN) as u64)]).unwrap().delivery, Err(i32::MIN));
    let known = (1..=5).map(|value| sending(&[number(3, value)]).unwrap().delivery.unwrap());
    let deliveries = [
        Delivery::Unreliable,
        Delivery::UnreliableSequenced,
        Delivery::ReliableUnordered,
        Delivery::ReliableOrdered,
        Delivery::ReliableLatest,
    ];
    assert_eq!(known.collect::<Vec<_>>(), deliveries);
    assert_eq!(
        sending(&[]).unwrap(),
        SendingLane {
            channel: ChannelId(2),
            label: "chat".to_owned(),
            delivery: Err(0),
            floor: 0,
            end: None,
            skipped: vec![],
            extended: vec![],
        }
    );
}

#[test]
fn ranges_that_break_a_rule_are_refused() {
    let channel = ChannelId(2);
    for (below, tag, set) in [(2, 3, "received"), (4, 5, "handled"), (4, 6, "skipped")] {
        let lane = |ranges: &[(u64, u64)]| {
            let ranges = ranges.iter().map(|&(start, length)| range(tag, start, length));
            if set == "skipped" {
                // What is skipped may touch the floor.
                let lane = sending(&[vec![number(below, 11)], ranges.collect()].concat())?;
                return Ok(lane.skipped);
            }
            let lane = receiving(&[vec![number(below, 10)], ranges.collect()].concat())?;
            Ok(if set == "received" { lane.received } else { lane.handled })
        };
        let bad = |start, length, above: u64| {
            let least = above + 1;
            Err(WireError::BadRange { channel, set, start, length, least })
        };
        assert_eq!(lane(&[(11, 1), (13, 2)]), Ok(vec![(11, 12), (13, 15)]));
        assert_eq!(lane(&[(10, 1)]), bad(10, 1, 10), "touches what is below");
        assert_eq!(lane(&[(9, 5)]), bad(9, 5, 10), "overlaps it");
        assert_eq!(lane(&[(11, 0)]), bad(11, 0, 10), "empty");
        assert_eq!(lane(&[(11, 2), (13, 1)]), bad(13, 1, 13), "touches the one before");
        assert_eq!(lane(&[(11, 5), (12, 1)]), bad(12, 1, 16), "overlaps it");
        assert_eq!(lane(&[(20, 1), (12, 1)]), bad(12, 1, 21), "descends");
        let (what, limit) = ("the end of a range", varint::MAX);
        let error = |found| Err(WireError::TooLarge { what, found, limit });
        assert_eq!(lane(&[(u64::MAX - 1, 5)]), error(u64::MAX));
        assert_eq!(lane(&[(20, u64::MAX)]), error(u64::MAX));
        assert_eq!(lane(&[(varint::MAX, 1)]), error(1 << 62));
        assert!(lane(&[(varint::MAX - 1, 1)]).is_ok());
    }
}

#[test]
fn other_numbers_of_a_receiving() {
    assert_eq!(decode_all(&frame(7, &[])), Err(WireError::ZeroEpoch { field: "Receiving.epoch" }));
    for (field, what) in [(2, "Receiving.received_below"), (4, "Receiving.handled_below")] {
        let error = WireError::TooLarge { what, found: 1 << 62, limit: varint::MAX };
        assert_eq!(receiving(&[number(field, 1 << 62)]), Err(error));
    }
    for (field, what) in [(6, "Receiving.verdicts.sequence"), (12, "Receiving.partial.sequence")] {
        let error = WireError::TooLarge { what, found: varint::MAX, limit: MAX_SEQUENCE };
        assert_eq!(receiving(&[bytes(field, &number(1, varint::MAX))]), Err(error));
        assert!(receiving(&[bytes(field, &number(1, MAX_SEQUENCE))]).is_ok());
    }
    let lane = receiving(&[number(7, u64::MAX), number(8, 1 << 62), number(11, 1 << 63)]).unwrap();
    assert_eq!([lane.window_messages, lane.window_bytes, lane.window_large], [varint::MAX; 3]);
}

#[test]
fn messages_in_part_ascend() {
    let part = |sequence, held| bytes(12, &[number(1, sequence), number(2, held)].concat());
    let lane = receiving(&[part(0, 5), part(7, varint::MAX)]).unwrap();
    assert_eq!(lane.partial, [(0, 5), (7, varint::MAX)]);
    let channel = ChannelId(2);
    for sequence in [6, 7] {
        let error = WireError::PartialOrder { channel, sequence, least: 8 };
        assert_eq!(receiving(&[part(7, 1), part(sequence, 1)]), Err(error));
    }
    let (what, found, limit) = ("Receiving.partial.bytes", 1 << 62, varint::MAX);
    assert_eq!(receiving(&[part(1, found)]), Err(WireError::TooLarge { what, found, limit }));
}

#[test]
fn a_verdict_is_on_one_message_or_on_several() {
    let verdict = |length: Option<u64>, why: u64| {
        let length = length.map_or(vec![], |length| number(3, length));
        let fields = [number(1, 10), bytes(2, b"no"), length, number(4, why)].concat();
        receiving(&[bytes(6, &fields)]).map(|mut lane| lane.verdicts.remove(0))
    };
    let rejected = || Why::Rejected("no".to_owned());
    for (length, end) in [(None, 11), (Some(0), 11), (Some(1), 11), (Some(5), 15)] {
        assert_eq!(verdict(length, 0), Ok(Verdict { start: 10, end, why: rejected() }));
    }
    // Only a rejection has a reason; what is not known is one.
    for (number, why) in
        [(1, Why::Expired), (2, Why::Superseded), (3, Why::Skipped), (4, rejected()), (1 << 40, rejected())]
    {
        assert_eq!(verdict(None, number), Ok(Verdict { start: 10, end: 11, why }));
    }
    assert!(verdict(Some(varint::MAX - 10), 0).is_ok());
    let what = "the end of a verdict";
    for (length, found) in [(varint::MAX - 9, 1 << 62), (u64::MAX, u64::MAX)] {
        assert_eq!(verdict(Some(length), 0), Err(WireError::TooLarge { what, found, limit: varint::MAX }));
    }
}

#[test]
fn deadlines_that_break_a_rule_are_refused() {
    let extended = |sequence, left: Option<u64>| {
        let left = left.map_or(vec![], |left| number(2, left));
        sending(&[bytes(7, &[number(1, sequence), left].concat())]).map(|mut lane| lane.extended.remove(0))
    };
    for left_ms in [None, Some(0), Some(varint::MAX)] {
        assert_eq!(extended(MAX_SEQUENCE, left_ms), Ok(Extension { sequence: MAX_SEQUENCE, left_ms }));
    }
    let (what, found, limit) = ("Sending.extended.sequence", varint::MAX, MAX_SEQUENCE);
    assert_eq!(extended(varint::MAX, None), Err(WireError::TooLarge { what, found, limit }));
    let (what, found, limit) = ("Sending.extended.left_ms", 1 << 62, varint::MAX);
    assert_eq!(extended(0, Some(found)), Err(WireError::TooLarge { what, found, limit }));
    let what = "Sending.clock_ms";
    let clock = decode_all(&frame(6, &[fixed(1, 1), number(3, found)]));
    assert_eq!(clock, Err(WireError::TooLarge { what, found, limit }));
}

#[test]
fn more_entries_than_allowed_are_refused() {
    let over = |what, found, limit| WireError::TooMany { what, found, limit };
    for (kind, what) in [(6, "lanes in one Sending"), (7, "lanes in one Receiving")] {
        let label = if kind == 6 { bytes(2, b"x") } else { vec![] };
        let lanes = |count| [vec![fixed(1, 1)], vec![bytes(2, &label); count]].concat();
        assert!(decode_all(&frame(kind, &lanes(MAX_LANES))).is_ok());
        let found = MAX_LANES + 1;
        assert_eq!(decode_all(&frame(kind, &lanes(found))), Err(over(what, found, MAX_LANES)));
    }
    let ranges = |count: u64| (1..=count).map(|n| range(3, 2 * n, 1)).collect::<Vec<_>>();
    assert!(receiving(&ranges(MAX_RANGES as u64)).is_ok());
    let error = over("ranges in one set of a channel", MAX_RANGES + 1, MAX_RANGES);
    assert_eq!(receiving(&ranges(MAX_RANGES as u64 + 1)), Err(error));
    assert!(receiving(&vec![bytes(6, &[]); MAX_VERDICTS]).is_ok());
    let error = over("verdicts on one channel", MAX_VERDICTS + 1, MAX_VERDICTS);
    assert_eq!(receiving(&vec![bytes(6, &[]); MAX_VERDICTS + 1]), Err(error));
    let partial = |count: u64| (0..count).map(|n| bytes(12, &number(1, n))).collect::<Vec<_>>();
    assert!(receiving(&partial(MAX_PARTIAL as u64)).is_ok());
    let error = over("partial messages on one channel", MAX_PARTIAL + 1, MAX_PARTIAL);
    assert_eq!(receiving(&partial(MAX_PARTIAL as u64 + 1)), Err(error));
    let skipped = |count: u64| (0..count).map(|n| range(6, 2 * n, 1)).collect::<Vec<_>>();
    assert!(sending(&skipped(MAX_RANGES as u64)).is_ok());
    let error = over("ranges in one set of a channel", MAX_RANGES + 1, MAX_RANGES);
    assert_eq!(sending(&skipped(MAX_RANGES as u64 + 1)), Err(error));
    assert!(sending(&vec![bytes(7, &[]); MAX_EXTENDED]).is_ok());
    let error = over("extended deadlines on one channel", MAX_EXTENDED + 1, MAX_EXTENDED);
    assert_eq!(sending(&vec![bytes(7, &[]); MAX_EXTENDED + 1]), Err(error));
}

#[test]
fn a_probe_asks_for_ten_minutes_at_most() {
    let probe = |ms| decode_all(&frame(10, &[number(1, ms)]));
    assert_eq!(probe(600_000), Ok(vec![Control::Probe(Probe { answer_after_ms: 600_000 })]));
    let error = probe(600_001).unwrap_err();
    assert_eq!(error.to_string(), "Probe.answer_after_ms is 600001, at most 600000 is allowed");
    assert_eq!(decode_all(&frame(10, &[])), Ok(vec![Control::Probe(Probe { answer_after_ms: 0 })]));
    let seen = |changes| decode_all(&frame(12, &[number(1, changes)]));
    assert_eq!(seen(varint::MAX), Ok(vec![Control::AddressSeen(AddressSeen { changes: varint::MAX })]));
    assert!(seen(varint::MAX + 1).is_err());
}

#[test]
fn errors_say_what_was_wrong_with_the_numbers() {
    let error = hello_but(3, bytes(3, &[0; 15])).unwrap_err();
    assert_eq!(error.to_string(), "Hello.session has 15 bytes, it must have 16");
    let error = receiving(&[number(2, 10), range(3, 9, 5)]).unwrap_err().to_string();
    let expected = "channel 2: the received range of 5 from 9 must be non-empty and not start below 11";
    assert_eq!(error, expected);
    let mut decoder = ControlDecoder::new(MAX_HELLO);
    decoder.push(&from_hex("80010000"));
    let error = decoder.next().unwrap_err().to_string();
    assert_eq!(error, "control frame of 65536 bytes, at most 8192 may come here");
}

#[test]
fn an_epoch_is_eight_bytes_little_endian() {
    let confirm = frame(6, &[fixed(1, 0x0102_0304_0506_0708)]);
    assert_eq!(hex(&confirm), "0b3209090807060504030201");
    let epoch = Epoch::new(0x0102_0304_0506_0708).unwrap();
    assert_eq!(
        decode_all(&confirm),
        Ok(vec![Control::Sending(Sending { epoch, clock_ms: 0, lanes: vec![] })])
    );
}
