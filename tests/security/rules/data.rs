//! Data streams and records that break the rules (W10, W11, C2, C3).

use bowline::wire::{SendingLane, varint};

use super::super::raw::{lane, records};
use super::{Act, Case, case, on_chat, said, varints};

/// A stream of lane 0 from sequence 0, with these bytes instead of records.
fn stream(numbers: &[u64]) -> Act {
    Act::Stream([varints(&[1, 0, 0]), varints(numbers)].concat())
}

pub(crate) fn streams() -> Vec<Case> {
    let whole = || records(0, 0, &[b"hello"]);
    let cut = |bytes: Vec<u8>| Act::FinishedStream(bytes[..bytes.len() - 1].to_vec());
    let reset = "a data stream was reset";
    vec![
        case("W10", "a stream of another kind", [Act::Stream(varints(&[3, 0, 0]))], "unknown kind 3"),
        case(
            "W10",
            "a channel beyond 2^32 - 1",
            [Act::Stream(varints(&[1, 1 << 32, 0]))],
            "channel is 4294967296",
        ),
        case(
            "W10",
            "a stream that ends in its header",
            [cut(varints(&[1, 0, 300]))],
            "middle of a stream header",
        ),
        case("W10", "a stream that ends in a record", on_chat(cut(whole())), "middle of a record"),
        case("W10", "a stream that is reset", on_chat(Act::ResetStream(varints(&[1, 0, 0]))), reset),
        case("W10", "a stream reset behind a record", on_chat(Act::ResetStream(whole())), reset),
    ]
}

pub(crate) fn broken_records() -> Vec<Case> {
    let ended = said(SendingLane { end: Some(1), ..lane(0, "chat") });
    let beyond_end = [ended, Act::Stream(records(0, 1, &[b"more"]))];
    let thousand = vec![&b""[..]; 1025];
    let large = "at most 65536 are taken";
    let window = |name, bytes| case("C2", name, on_chat(Act::Stream(bytes)), "window");
    vec![
        case("W11", "unknown options", on_chat(stream(&[1, 8])), "unknown options"),
        case("W11", "an advance of nothing", on_chat(stream(&[1, 2, 0])), "an advance of 0"),
        case(
            "W2 W11",
            "an advance beyond the last sequence",
            on_chat(stream(&[1, 2, varint::MAX])),
            "largest sequence",
        ),
        case("W11", "a message too large", on_chat(stream(&[(1 << 21) + 2])), large),
        case("W11", "a message of 2^61 bytes", on_chat(stream(&[varint::MAX - 1])), large),
        window("more messages than the window has", records(0, 0, &thousand)),
        window("a message far beyond the window", records(0, 1 << 40, &[b""])),
        window("more bytes than the window has", records(0, 0, &[&[0; 65_536], b"x"])),
        case("C3", "a message beyond the end", beyond_end, "beyond the end"),
    ]
}
