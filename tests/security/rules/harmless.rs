//! What looks like a violation and is none: later versions, what is late or doubled, what is not meant for this epoch or lane.

use bowline::Delivery;
use bowline::id::Epoch;
use bowline::wire::{Control, Receiving, SendingLane, Verdict, Why, varint};
use bytes::BytesMut;

use super::super::raw::{lane, naming, news, records, sending};
use super::pieces::{LARGE, body, piece};
use super::{Act, Case, Scene, Then, case, framed, message, on_chat, said, varints};

fn harmless(rules: &'static str, name: &'static str, acts: impl Into<Vec<Act>>) -> Case {
    case(rules, name, acts, "").then(Then::Ignored)
}

/// A frame, with something that this version does not know behind its fields.
fn extended() -> Vec<u8> {
    let mut bytes = BytesMut::new();
    varint::encode(9, &mut Vec::new());
    bowline::wire::control::encode(&naming(0, "chat"), &mut bytes);
    framed(&[&bytes[1..], &message(77, b"more")].concat())
}

pub(crate) fn frames() -> Vec<Case> {
    let epoch = Epoch::new(1).unwrap();
    // Of another epoch, and so not meant for this one.
    let mut foreign = news(3);
    foreign.verdicts = vec![Verdict { start: 1, end: 2, why: Why::Rejected("no".to_owned()) }];
    let mut old = sending([lane(0, "jobs")]);
    old.epoch = epoch;
    let unknown = said(SendingLane { delivery: Err(77), ..lane(0, "chat") });
    vec![
        harmless("W5", "an empty Control", [Act::Write(framed(&[]))]),
        harmless("W5", "a frame of a kind to come", [Act::Write(framed(&message(99, b"from the future")))]),
        harmless("W5", "a field to come", [Act::Write(extended())]),
        // A size of nothing in eight bytes, and then a frame.
        harmless(
            "W1",
            "a longer form of a number",
            [Act::Write([&[0xC0, 0, 0, 0, 0, 0, 0][..], &[0]].concat())],
        ),
        harmless("W7 C1", "a delivery to come", [unknown]),
        harmless("W8", "the same state twice", on_chat(Act::Say(naming(0, "chat")))),
        harmless(
            "S3",
            "news of another epoch",
            [Act::Say(Control::Receiving(Receiving { epoch, lanes: vec![foreign] }))],
        ),
        harmless("S3", "a lane of another epoch", [Act::Say(Control::Sending(old))]),
    ]
}

pub(crate) fn messages() -> Vec<Case> {
    let floored = || said(SendingLane { floor: 3, ..lane(0, "chat") });
    let open = |case: Case| case.on(Scene::Open(Delivery::ReliableOrdered));
    let skipped = said(SendingLane { skipped: vec![(0, 2), (3, 4)], ..lane(0, "chat") });
    // A clock that shows everything and anything, and all the time in the world.
    let late = |sent, left| [varints(&[1, 0, 0, 5, 4, sent, left]), b"hi".to_vec()].concat();
    vec![
        harmless("W10", "a stream without a header", [Act::FinishedStream(Vec::new())]),
        harmless("W10", "a stream without a record", on_chat(Act::FinishedStream(varints(&[1, 0, 9])))),
        harmless("N1", "a message below the floor", [floored(), Act::Stream(records(0, 0, &[b"old"]))]),
        open(harmless("N1 W8", "a message twice", [0, 0].map(|at| Act::Stream(records(0, at, &[b"again"]))))),
        open(harmless(
            "N1 R1",
            "a message that was skipped",
            [skipped, Act::Stream(records(0, 0, &[b"0", b"1", b"2", b"3", b"4"]))],
        )),
        open(harmless(
            "W14",
            "a body that is given up",
            [Act::ResetStream([body(&[LARGE, 0, 0]), vec![7; 5000]].concat())],
        )),
        harmless("W14", "a body of which there is only the kind", [Act::ResetStream(varints(&[2]))]),
        open(harmless(
            "C2",
            "a body that is said twice",
            [0, 0].map(|at| Act::Stream(piece(LARGE, at, 500))),
        )),
        open(harmless("T1", "a clock at its end", [Act::Stream(late(varint::MAX, varint::MAX))])),
        open(harmless("T1", "a clock at its beginning", [Act::Stream(late(0, 0))])),
        open(harmless(
            "T1",
            "a deadline of a message that never comes",
            [said(SendingLane {
                extended: (0..1024)
                    .map(|sequence| bowline::wire::Extension {
                        sequence: sequence << 40,
                        left_ms: Some(varint::MAX),
                    })
                    .collect(),
                ..lane(0, "chat")
            })],
        )),
    ]
}

/// Datagrams that say nothing, or nothing that anybody wants.
pub(crate) fn datagrams() -> Vec<Case> {
    let counted = |rules, name, bytes: &[u8]| {
        harmless(rules, name, [Act::Datagram(bytes.to_vec())]).then(Then::Counted)
    };
    vec![
        counted("W12 H3", "padding", &[0; 1000]),
        counted("W12", "a datagram of a kind to come", &[3, 1]),
        counted("W12 C1", "a datagram of a lane that was never named", &[1, 9, 0, 2, 7]),
        counted("W12 C1", "a fragment of a lane that was never named", &[2, 9, 0, 5, 0, 0, 7]),
        harmless(
            "H1 H8",
            "a beat of every kind",
            (0..=255).map(|beat| Act::Datagram(vec![beat])).collect::<Vec<_>>(),
        ),
    ]
}

/// What ends a link and not the session.
pub(crate) fn lost_links() -> Vec<Case> {
    let again = |rules, name, acts: [Act; 1], code, words| {
        case(rules, name, acts, words).then(Then::Lost(code, words))
    };
    vec![again("W4 W9", "the control stream ends", [Act::FinishControl], 11, "the control stream ended")]
}
