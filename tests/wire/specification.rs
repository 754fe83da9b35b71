//! The specification and the library say the same: its examples, tables and limits are read from proto/README.md.

use bowline::config::LARGE;
use bowline::error::CloseCode;
use bowline::id::ChannelId;
use bowline::wire::control::{MAX_EXTENDED, MAX_LANES, MAX_PARTIAL, MAX_RANGES, MAX_VERDICTS};
use bowline::wire::data::datagram::{DatagramPacker, Fragments};
use bowline::wire::data::{BodyEncoder, RecordEncoder, RecordHead};
use bowline::wire::*;
use bytes::{Bytes, BytesMut};
use ring::hmac;

use crate::golden::{EXPORTER, HELLO, hello};
use crate::{encoded, from_hex, hex};

const SPECIFICATION: &str = include_str!("../../proto/README.md");

/// The bytes of the example with this name: what is before the `;` in its lines.
fn example(name: &str) -> String {
    let begin = format!("```hex {name}\n");
    let (_, rest) = SPECIFICATION.split_once(&begin).unwrap_or_else(|| panic!("no example {name}"));
    let (block, _) = rest.split_once("```").unwrap();
    let digits = block.lines().map(|line| line.split(';').next().unwrap());
    digits.flat_map(str::split_whitespace).collect()
}

/// The rows of the table whose header is this: their cells, without backticks.
fn table(header: &str) -> Vec<Vec<String>> {
    let (_, rest) = SPECIFICATION.split_once(header).unwrap_or_else(|| panic!("no table {header}"));
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let inner = row.trim_matches('|').split('|');
        inner.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    rows.map(cells).collect()
}

#[test]
fn the_hello_of_the_example_is_the_one_that_is_written() {
    assert_eq!(example("hello"), HELLO);
    assert_eq!(hex(&encoded(&Control::Hello(Box::new(hello())))), HELLO);
}

#[test]
fn the_proof_of_the_example_is_right() {
    let hello = hello();
    let Secret(secret) = hello.secret.unwrap();
    let proved = [EXPORTER.as_slice(), &hello.counter.to_be_bytes()].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    assert_eq!(hmac::sign(&key, &proved).as_ref(), hello.proof);
}

#[test]
fn the_probe_of_the_example_is_the_one_that_is_written() {
    let probe = Control::Probe(Probe { answer_after_ms: 91_000 });
    assert_eq!(example("probe"), hex(&encoded(&probe)) + &hex(&encoded(&Control::ProbeAnswer)));
}

fn message(channel: u32, sequence: u64, payload: impl Into<Bytes>) -> Data {
    let (channel, payload) = (ChannelId(channel), payload.into());
    let carrier = Carrier::Datagram;
    Data { channel, sequence, redelivered: false, deadline: None, carrier, payload }
}

/// A data stream with these messages.
fn stream(messages: &[Data]) -> BytesMut {
    let (channel, first) = (messages[0].channel, messages[0].sequence);
    let (mut encoder, mut out) = (RecordEncoder::new(channel, first), BytesMut::new());
    for data in messages {
        encoder.put(&mut out, &RecordHead::from(data)).unwrap();
        out.extend_from_slice(&data.payload);
    }
    out
}

#[test]
fn the_data_streams_of_the_examples_are_the_ones_that_are_written() {
    let redelivered = Data { redelivered: true, ..message(5, 304, "hi") };
    let messages = [message(5, 300, "hi"), message(5, 301, ""), redelivered, message(5, 307, "hi")];
    assert_eq!(hex(&stream(&messages)), example("stream"));
    let deadline = Some(Deadline { sent_ms: 70_000, left_ms: 1_500 });
    let urgent = Data { deadline, ..message(5, 310, "hi") };
    assert_eq!(hex(&stream(&[urgent])), example("deadline"));
}

#[test]
fn the_body_stream_of_the_example_is_the_one_that_is_written() {
    let bytes = Bytes::from(vec![0; 34_464]);
    let Data { channel, sequence, redelivered, deadline, .. } = message(5, 311, "");
    let (carrier, size, offset) = (Carrier::Stream, 100_000, 65_536);
    let body = Body { channel, sequence, redelivered, deadline, carrier, size, offset, bytes };
    let (mut encoder, mut out) = (BodyEncoder::new(), BytesMut::new());
    encoder.put(&mut out, &body).unwrap();
    assert_eq!(hex(&out), example("body"));
    assert!(encoder.is_whole());
}

#[test]
fn the_datagrams_of_the_examples_are_the_ones_that_are_written() {
    let mut packer = DatagramPacker::new();
    for data in [message(6, 40, "hi"), message(6, 42, "yo")] {
        assert_eq!(packer.put(&data, 1_200), Ok(true));
    }
    assert_eq!(hex(&packer.take()), example("datagram"));

    let deadline = Some(Deadline { sent_ms: 70_000, left_ms: 20 });
    let payload = [&[0; 2_998], &b"hi"[..]].concat();
    let mut fragments = Fragments::new(&Data { deadline, ..message(6, 43, payload) }).unwrap();
    let last = from_hex(&example("fragment")).len();
    // The header of the first is a byte shorter: its offset is 0.
    fragments.next(last - 2 - 1 + 2_998).unwrap();
    assert_eq!(fragments.next(1_200).unwrap().map(|last| hex(&last)), Some(example("fragment")));
}

#[test]
fn the_heartbeats_of_the_example_are_the_ones_that_are_written() {
    let beat = Heartbeat { kind: BeatKind::Beat, parity: true, health: Health::Serving, interval: 6 };
    let answer = Heartbeat { kind: BeatKind::Answer, ..beat };
    assert_eq!(hex(&[heartbeat::encode(beat), heartbeat::encode(answer)]), example("heartbeat"));
    assert_eq!(heartbeat::interval(6).as_secs(), 15);
    assert_eq!(from_hex(&example("heartbeat")).len(), 2);
}

#[test]
fn the_intervals_are_those_of_the_table() {
    let rows = table("| index | 0 | 1 |");
    let seconds = rows[0][1..].iter().map(|cell| cell.parse().unwrap()).collect::<Vec<u16>>();
    assert_eq!(seconds, heartbeat::INTERVALS_S);
}

#[test]
fn the_codes_are_those_of_the_table() {
    let rows = table("| code | name | meaning |");
    for (value, row) in rows.iter().enumerate() {
        let code = CloseCode::from_value(value as u32);
        assert_eq!([value.to_string(), format!("{code:?}")], row[..2]);
        assert_eq!(code.value(), value as u32);
    }
    let beyond = rows.len() as u32;
    assert_eq!(CloseCode::from_value(beyond), CloseCode::Other(beyond), "a code is not in the table");
}

#[test]
fn the_limits_are_those_of_the_table() {
    let known = [
        ("MAX_HELLO", MAX_HELLO),
        ("MAX_CONTROL", MAX_CONTROL),
        ("MAX_CREDENTIALS", MAX_CREDENTIALS),
        ("MAX_LABEL", MAX_LABEL),
        ("MAX_REASON", MAX_REASON),
        ("MAX_LANES", MAX_LANES),
        ("MAX_RANGES", MAX_RANGES),
        ("MAX_VERDICTS", MAX_VERDICTS),
        ("MAX_EXTENDED", MAX_EXTENDED),
        ("MAX_PARTIAL", MAX_PARTIAL),
        ("MAX_PROBE_MS", MAX_PROBE_MS as usize),
        ("LARGE", LARGE),
    ];
    let rows = table("| name | value | of what |");
    for (name, value) in known {
        let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{name} is not there"));
        assert_eq!(row[1].replace(',', ""), value.to_string(), "{name}");
    }
}
