//! Body streams and datagrams that break the rules, messages that do not travel as their lane's delivery allows, and pieces
//! that do not fit together (W12, W14, C1, C2, N2).

use bowline::Delivery;

use super::super::raw::{naming, records};
use super::{Act, Case, Scene, case, naming_as, varints};

/// A message that travels in pieces.
pub(crate) const LARGE: u64 = 100_000;

/// The header of a body stream of lane 0: size, offset, mask, and what comes with that.
pub(crate) fn body(numbers: &[u64]) -> Vec<u8> {
    varints(&[&[2, 0, 0], numbers].concat())
}

/// A piece of message 0 of lane 0, as it is on a body stream and in a datagram.
pub(crate) fn piece(size: u64, offset: u64, bytes: usize) -> Vec<u8> {
    piece_of(0, size, offset, bytes)
}

pub(crate) fn piece_of(sequence: u64, size: u64, offset: u64, bytes: usize) -> Vec<u8> {
    [varints(&[2, 0, sequence, size, offset, 0]), vec![7; bytes]].concat()
}

pub(crate) fn bodies() -> Vec<Case> {
    let held = |numbers: &[u64]| [Act::Say(naming(0, "chat")), Act::Stream(body(numbers))];
    let too_large = "at most 67108864 are taken";
    vec![
        case("W14", "a body of a small message", held(&[65_536, 0, 0]), "at least 65537"),
        case("W14", "a body too large", held(&[(1 << 26) + 1, 0, 0]), too_large),
        case("W14", "a body from beyond its end", held(&[LARGE, LARGE + 1, 0]), "which has 100000"),
        case("W14", "a body with unknown options", held(&[LARGE, 0, 2]), "unknown options"),
        case(
            "W14",
            "a body that ends in its header",
            [Act::FinishedStream(varints(&[2, 0, 0]))],
            "middle of a stream header",
        ),
        case(
            "W14",
            "a body that ends too soon",
            [Act::Say(naming(0, "chat")), Act::FinishedStream(body(&[LARGE, 0, 0]))],
            "middle of a body",
        ),
    ]
}

pub(crate) fn datagrams() -> Vec<Case> {
    let case = |name, numbers: &[u64], words| {
        case("W12", name, [Act::Say(naming(0, "chat")), Act::Datagram(varints(numbers))], words)
    };
    let cut = "middle of a datagram";
    vec![
        case("an empty datagram", &[], cut),
        case("a datagram without a record", &[1, 0, 0], cut),
        case("a datagram of a channel beyond 2^32 - 1", &[1, 1 << 32, 0, 0], "channel is 4294967296"),
        case("a datagram that ends in a record", &[1, 0, 0, 20, 7], "middle of a"),
        case("a record too large", &[1, 0, 0, 2 << 17], "at most 65536 are taken"),
        case("a datagram with unknown options", &[1, 0, 0, 3, 8, 7], "unknown options"),
        case("a fragment of nothing", &[2, 0, 0, 0, 0, 0, 7], "at least 1"),
        case("a fragment without a byte", &[2, 0, 0, 5, 0, 0], cut),
        case("a fragment beyond its message", &[2, 0, 0, 2, 1, 0, 7, 7], "which has 2"),
        case("a fragment of a large message", &[2, 0, 0, LARGE, 0, 0, 7], "at most 65536 are taken"),
    ]
}

/// What may not travel so.
pub(crate) fn misplaced() -> Vec<Case> {
    use Delivery::{ReliableLatest, ReliableOrdered, ReliableUnordered, Unreliable, UnreliableSequenced};
    let on_stream = "unreliable message on a stream";
    let mut cases = Vec::new();
    for delivery in [Unreliable, UnreliableSequenced] {
        let record = Act::Stream(records(0, 0, &[b"hello"]));
        let body = Act::Stream(piece(LARGE, 0, 100));
        for (name, act) in [("an unreliable record on a stream", record), ("an unreliable body", body)] {
            cases.push(case("C1", name, [act], on_stream).on(Scene::Open(delivery)));
        }
    }
    for delivery in [ReliableUnordered, ReliableOrdered, ReliableLatest] {
        let fragment = Act::Datagram(piece(5000, 0, 100));
        let words = "a fragment of a reliable message";
        cases.push(case("C1", "a reliable fragment", [fragment], words).on(Scene::Open(delivery)));
    }
    cases
}

/// What does not fit together.
pub(crate) fn misfits() -> Vec<Case> {
    let fragment = |size, offset, bytes| Act::Datagram(piece(size, offset, bytes));
    let mut cases = Vec::new();
    for delivery in [Delivery::Unreliable, Delivery::UnreliableSequenced] {
        for (name, acts) in [
            ("a fragment twice", [fragment(5000, 0, 100), fragment(5000, 0, 100)]),
            ("a fragment that reaches into another", [fragment(5000, 1000, 100), fragment(5000, 950, 100)]),
            ("a fragment inside another", [fragment(5000, 1000, 100), fragment(5000, 1050, 10)]),
            ("a message of two sizes", [fragment(5000, 0, 100), fragment(5001, 100, 100)]),
        ] {
            cases.push(case("N2", name, acts, "fragments that overlap").on(Scene::Open(delivery)));
        }
    }
    for delivery in [Delivery::ReliableUnordered, Delivery::ReliableOrdered, Delivery::ReliableLatest] {
        let body = |offset, bytes| Act::Stream(piece(LARGE, offset, bytes));
        let gap = case("C2", "a body from the middle", [body(5000, 100)], "a gap in a large message");
        let beyond = case("W14", "a body beyond its size", [body(0, LARGE as usize + 1)], "100000");
        cases.extend([gap, beyond].map(|case| case.on(Scene::Open(delivery))));
    }
    cases
}

/// Large messages beyond their window.
pub(crate) fn giants() -> Vec<Case> {
    let words = "the window for large messages";
    let unopened = [naming_as(Delivery::ReliableUnordered), Act::Stream(piece(LARGE, 0, 100))];
    // Two that together are larger than the window, of which hardly anything has come.
    let two = [0, 1].map(|sequence| Act::Stream(piece_of(sequence, 40 << 20, 0, 100)));
    vec![
        case("C2", "a large message on a lane that nobody has opened", unopened, words),
        case("C2", "two giants", two, words).on(Scene::Open(Delivery::ReliableUnordered)),
    ]
}
