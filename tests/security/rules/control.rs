//! Control frames that are not what they should be (W2, W5, W6, W7).

use bowline::wire::control::{MAX_LANES, MAX_RANGES, MAX_VERDICTS};
use bowline::wire::{Control, MAX_CONTROL, MAX_LABEL, varint};

use super::super::raw::{EPOCH, lane, sending};
use super::{Act, Case, announced, case, fixed, framed, message, number};

const SENDING: u32 = 6;
const RECEIVING: u32 = 7;

fn write(body: &[u8]) -> [Act; 1] {
    [Act::Write(framed(body))]
}

fn say(frame: Control) -> [Act; 1] {
    [Act::Say(frame)]
}

pub(crate) fn frames() -> Vec<Case> {
    let too_large = "control frame of 4611686018427387903 bytes";
    vec![
        case("W5", "a frame of 2^62 - 1 bytes", [announced(varint::MAX)], too_large),
        case(
            "W5",
            "a frame one too large",
            [announced(MAX_CONTROL as u64 + 1)],
            "control frame of 65537 bytes",
        ),
        case("W5", "a frame that is no protobuf", write(&[0xff; 40]), "not valid protobuf"),
        case(
            "W4 W5",
            "a stream that ends in a frame",
            [Act::Write(vec![5, 1]), Act::FinishControl],
            "middle of a control",
        ),
        case("W6", "a Retry without a reason", write(&message(4, &[])), "Retry.why is missing"),
        case("W6", "a Sending of no epoch", write(&message(SENDING, &[])), "Sending.epoch is zero"),
        case(
            "W6",
            "a Receiving of no epoch",
            write(&message(RECEIVING, &fixed(1, 0))),
            "Receiving.epoch is zero",
        ),
        case("W6", "a Welcome without limits", write(&message(2, &fixed(2, 1))), "Welcome.limits is missing"),
        case(
            "W2",
            "a counter beyond 2^62 - 1",
            write(&message(3, &number(1, 1 << 62))),
            "Confirm.counter is",
        ),
    ]
}

pub(crate) fn labels() -> Vec<Case> {
    let named = |label: &str| say(Control::Sending(sending([lane(0, label)])));
    let mut backwards = lane(0, "a");
    (backwards.floor, backwards.end) = (5, Some(4));
    let mut high = lane(0, "a");
    high.floor = 1 << 62;
    let body: Vec<u8> = [fixed(1, EPOCH), message(2, &message(2, &[0xff]))].concat();
    // Encoded by hand: the codec would split it.
    let many = (0..=MAX_LANES).flat_map(|_| message(2, &[]));
    let many: Vec<u8> = fixed(1, EPOCH).into_iter().chain(many).collect();
    vec![
        case("W7", "an empty label", named(""), "Sending.label is missing"),
        case("W7", "a label too long", named(&"x".repeat(MAX_LABEL + 1)), "Sending.label has 256 bytes"),
        case("W7", "a label that is no text", write(&message(SENDING, &body)), "not valid protobuf"),
        case("W7", "an end below the floor", say(Control::Sending(sending([backwards]))), "below its floor"),
        case("W2", "a floor beyond 2^62 - 1", say(Control::Sending(sending([high]))), "Sending.floor is"),
        case("W7", "too many lanes", write(&message(SENDING, &many)), "1025 lanes in one Sending"),
    ]
}

pub(crate) fn ranges() -> Vec<Case> {
    let told = |lanes: Vec<u8>| write(&message(RECEIVING, &[fixed(1, 1), lanes].concat()));
    let range = |start, length| message(3, &[number(1, start), number(2, length)].concat());
    let of = |fields: &[Vec<u8>]| told(message(2, &fields.concat()));
    let part = |sequence| message(12, &[number(1, sequence), number(2, 1)].concat());
    let many_ranges: Vec<_> = (0..=MAX_RANGES as u64).map(|n| range(2 * n + 1, 1)).collect();
    let many_verdicts: Vec<_> = (0..=MAX_VERDICTS as u64).map(|n| message(6, &number(1, n))).collect();
    vec![
        case("W7", "an empty range", of(&[range(5, 0)]), "must be non-empty"),
        case("W7", "ranges that touch", of(&[range(5, 2), range(7, 1)]), "not start below 8"),
        case("W7", "a range below the mark", of(&[number(2, 9), range(4, 1)]), "not start below 10"),
        case("W2", "a range without end", of(&[range(5, u64::MAX)]), "the end of a range is"),
        case("W7", "too many ranges", of(&many_ranges), "4097 ranges in one set"),
        case("W7", "too many verdicts", of(&many_verdicts), "1025 verdicts"),
        case(
            "W2",
            "a verdict beyond 2^62 - 1",
            of(&[message(6, &number(1, 1 << 62))]),
            "verdicts.sequence is",
        ),
        case("W7", "messages in part that descend", of(&[part(7), part(6)]), ""),
    ]
}
