//! Control frames that are not what they should be (W2, W5, W6, W7).

use bowline::wire::control::{MAX_LANES, MAX_RANGES, MAX_VERDICTS, encode};
use bowline::wire::{Confirm, Control, MAX_CONTROL, MAX_LABEL, Receiving, Verdict, Why, varint};
use bytes::BytesMut;

use super::{Act, Case, a_dialer_ends_the_session, an_acceptor_ends_the_session, case};
use crate::raw::{lane, news, sending};

/// A protobuf field that holds a number.
fn number(field: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    leb128(u64::from(field) << 3, &mut bytes);
    leb128(value, &mut bytes);
    bytes
}

/// A protobuf field that holds bytes.
pub(super) fn message(field: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    leb128((u64::from(field) << 3) | 2, &mut bytes);
    leb128(body.len() as u64, &mut bytes);
    [&bytes, body].concat()
}

/// A protobuf field of eight bytes.
fn fixed(field: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    leb128((u64::from(field) << 3) | 1, &mut bytes);
    [&bytes, value.to_le_bytes().as_slice()].concat()
}

fn leb128(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A control frame of these bytes.
pub(super) fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::encode(body.len() as u64, &mut bytes);
    [&bytes, body].concat()
}

fn write(body: &[u8]) -> [Act; 1] {
    [Act::Write(framed(body))]
}

fn say(frame: Control) -> [Act; 1] {
    [Act::Say(frame)]
}

fn announced(size: u64) -> Act {
    let mut prefix = Vec::new();
    varint::encode(size, &mut prefix);
    Act::Write(prefix)
}

const SENDING: u32 = 6;
const RECEIVING: u32 = 7;

fn frames() -> Vec<Case> {
    vec![
        case(
            "a frame of 2^62 - 1 bytes",
            [announced(varint::MAX)],
            "control frame of 4611686018427387903 bytes",
        ),
        case("a frame one too large", [announced(MAX_CONTROL as u64 + 1)], "control frame of 65537 bytes"),
        case("a frame that is no protobuf", write(&[0xff; 40]), "not valid protobuf"),
        case(
            "a stream that ends in a frame",
            [Act::Write(vec![5, 1]), Act::FinishControl],
            "middle of a control",
        ),
        case("a Retry without a reason", write(&message(4, &[])), "Retry.why is missing"),
        case("a Sending of no epoch", write(&message(SENDING, &[])), "Sending.epoch is zero"),
        case("a Receiving of no epoch", write(&message(RECEIVING, &fixed(1, 0))), "Receiving.epoch is zero"),
        case("a Welcome without limits", write(&message(2, &fixed(2, 1))), "Welcome.limits is missing"),
        case("a counter beyond 2^62 - 1", write(&message(3, &number(1, 1 << 62))), "Confirm.counter is"),
    ]
}

#[tokio::test]
async fn an_acceptor_ends_a_session_on_malformed_frames() {
    an_acceptor_ends_the_session(frames()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_on_malformed_frames() {
    a_dialer_ends_the_session(frames()).await;
}

fn labels() -> Vec<Case> {
    let named = |label: &str| say(Control::Sending(sending([lane(0, label)])));
    let mut backwards = lane(0, "a");
    (backwards.floor, backwards.end) = (5, Some(4));
    let mut high = lane(0, "a");
    high.floor = 1 << 62;
    let body: Vec<u8> = [fixed(1, crate::raw::EPOCH), message(2, &message(2, &[0xff]))].concat();
    // Encoded by hand: the codec would split it.
    let many = (0..=MAX_LANES).flat_map(|_| message(2, &[]));
    let many: Vec<u8> = fixed(1, crate::raw::EPOCH).into_iter().chain(many).collect();
    vec![
        case("an empty label", named(""), "Sending.label is missing"),
        case("a label too long", named(&"x".repeat(MAX_LABEL + 1)), "Sending.label has 256 bytes"),
        case("a label that is no text", write(&message(SENDING, &body)), "not valid protobuf"),
        case("an end below the floor", say(Control::Sending(sending([backwards]))), "below its floor"),
        case("a floor beyond 2^62 - 1", say(Control::Sending(sending([high]))), "Sending.floor is"),
        case("too many lanes", write(&message(SENDING, &many)), "1025 lanes in one Sending"),
    ]
}

#[tokio::test]
async fn a_session_ends_on_labels_that_break_the_rules() {
    an_acceptor_ends_the_session(labels()).await;
}

fn ranges() -> Vec<Case> {
    let told = |lanes: Vec<u8>| write(&message(RECEIVING, &[fixed(1, 1), lanes].concat()));
    let range = |start, length| message(3, &[number(1, start), number(2, length)].concat());
    let of = |fields: &[Vec<u8>]| told(message(2, &fields.concat()));
    let many_ranges: Vec<_> = (0..=MAX_RANGES as u64).map(|n| range(2 * n + 1, 1)).collect();
    let many_verdicts: Vec<_> = (0..=MAX_VERDICTS as u64).map(|n| message(6, &number(1, n))).collect();
    vec![
        case("an empty range", of(&[range(5, 0)]), "must be non-empty"),
        case("ranges that touch", of(&[range(5, 2), range(7, 1)]), "not start below 8"),
        case("a range below the mark", of(&[number(2, 9), range(4, 1)]), "not start below 10"),
        case("a range without end", of(&[range(5, u64::MAX)]), "the end of a range is"),
        case("too many ranges", of(&many_ranges), "4097 ranges in one set"),
        case("too many verdicts", of(&many_verdicts), "1025 verdicts"),
        case("a verdict beyond 2^62 - 1", of(&[message(6, &number(1, 1 << 62))]), "verdicts.sequence is"),
    ]
}

#[tokio::test]
async fn an_acceptor_ends_a_session_on_impossible_ranges() {
    an_acceptor_ends_the_session(ranges()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_on_impossible_ranges() {
    a_dialer_ends_the_session(ranges()).await;
}

/// What looks like a violation and is none.
#[tokio::test]
async fn what_later_versions_may_say_is_skipped() {
    let mut host = crate::host::Host::new();
    let (mut link, session) = host.raw(&crate::host::identity(), &crate::raw::Claim::new(1)).await;
    link.say_bytes(&framed(&[])).await;
    link.say_bytes(&framed(&message(99, b"from the future"))).await;
    let mut extended = BytesMut::new();
    encode(&Control::Confirm(Confirm { counter: 1, durable: false }), &mut extended);
    let body = [&extended[1..], &message(77, b"more")].concat();
    link.say_bytes(&framed(&body)).await;
    // Of another epoch, and so not meant for this one.
    let mut foreign = news(3);
    foreign.verdicts = vec![Verdict { start: 1, end: 2, why: Why::Rejected("no".to_owned()) }];
    let epoch = bowline::id::Epoch::new(1).unwrap();
    link.say(&Control::Receiving(Receiving { epoch, lanes: vec![foreign] })).await;
    link.say(&crate::raw::naming(0, "chat")).await;
    assert_eq!(link.hear_of(0).await.window_messages, 1024);
    assert_eq!(session.state(), bowline::SessionState::Connected);
}
