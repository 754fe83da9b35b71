//! Attaching: Hellos that are malformed or prove nothing, answers to no question, and attach frames where they do not belong
//! (W4 to W6, S1 to S7, H6, H7, T4, T6).

use bowline::wire::{
    AddressSeen, Confirm, Control, Hello, MAX_CREDENTIALS, MAX_HELLO, Probe, Refuse, Retry, VERSION, Welcome,
    varint,
};

use super::super::raw::{Claim, naming, welcome};
use super::{Act, By, Case, Scene, Then, announced, case, framed, message};

fn say(frame: Control) -> [Act; 1] {
    [Act::Say(frame)]
}

/// On an attached link.
pub(crate) fn attach_frames() -> Vec<Case> {
    let refuse = Refuse { code: 4, reason: "because".to_owned(), retry: false };
    let confirm = |counter| say(Control::Confirm(Confirm { counter, durable: false }));
    let no_welcome = "Confirm that answers no Welcome";
    let probe = Probe { answer_after_ms: 1 };
    vec![
        case("S4", "a second Welcome", say(Control::Welcome(welcome(1))), "attach message"),
        case("S4", "a Retry", say(Control::Retry(Retry::Stale(7))), "attach message"),
        case("S4", "a Refuse", say(Control::Refuse(refuse)), "attach message"),
        case("S4", "a second Hello", [Act::Hello(encoded)], "attach message"),
        case("T4", "an answer to no Close", say(Control::CloseAck), "CloseAck without a Close"),
        case("S4", "a Confirm of another Welcome", confirm(9), no_welcome).by(By::Dialer),
        case("S4", "a Confirm from the acceptor", confirm(1), no_welcome).by(By::Acceptor),
        case("H6", "a Probe", say(Control::Probe(probe)), "a lifetime probe on an attached link"),
        case(
            "H6",
            "an answer to no Probe",
            say(Control::ProbeAnswer),
            "a lifetime probe on an attached link",
        ),
        case(
            "H7",
            "the dialer as witness",
            say(Control::AddressSeen(AddressSeen { changes: 1 })),
            "news of an address from the dialer",
        )
        .by(By::Dialer),
        case("T6", "an absent acceptor", say(Control::Presence { away: true }), "no presence to tell")
            .by(By::Acceptor),
    ]
}

/// The control stream itself.
pub(crate) fn control_stream() -> Vec<Case> {
    // Something that is answered on the control stream.
    let nudge = || Act::Say(naming(0, "chat"));
    let stopped = "the control stream is not read";
    vec![
        case("W4", "the control stream reset", [Act::ResetControl], "the control stream was reset"),
        case("W4", "the control stream unread", [Act::StopControl, nudge()], stopped),
    ]
}

fn stranger(rules: &'static str, name: &'static str, acts: impl Into<Vec<Act>>, words: &'static str) -> Case {
    case(rules, name, acts, words).by(By::Dialer).on(Scene::Stranger)
}

fn encoded(hello: &Hello) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    bowline::wire::control::encode(&Control::Hello(Box::new(hello.clone())), &mut bytes);
    bytes.to_vec()
}

/// A Hello with one field replaced by these bytes.
fn with(hello: &Hello, field: u32, bytes: &[u8]) -> Vec<u8> {
    let encoded = encoded(hello);
    // In protobuf the last of two fields counts, and the last of two messages is merged into the first.
    let size = encoded.len() - if encoded.len() < 66 { 1 } else { 2 };
    let first = &encoded[encoded.len() - size..];
    framed(&[first, &message(1, &message(field, bytes))].concat())
}

/// Hellos that are none.
pub(crate) fn malformed_hellos() -> Vec<Case> {
    let hello = |name, act, words| stranger("W5 W6 W13", name, [act], words);
    let reversed = |hello: &Hello| encoded(&Hello { version_min: 3, version_max: 1, ..hello.clone() });
    vec![
        hello("a short session", Act::Hello(|it| with(it, 3, &[7; 15])), "Hello.session has 15 bytes"),
        hello("a long secret", Act::Hello(|it| with(it, 4, &[7; 33])), "Hello.secret has 33 bytes"),
        hello("no proof", Act::Hello(|it| with(it, 8, &[])), "Hello.proof has 0 bytes"),
        stranger(
            "W6 S7",
            "long credentials",
            [Act::Hello(|it| with(it, 10, &[7; MAX_CREDENTIALS + 1]))],
            "Hello.credentials has 4097",
        ),
        hello("reversed versions", Act::Hello(reversed), "reversed range"),
        hello("a Hello too large", announced(MAX_HELLO as u64 + 1), "control frame of 8193 bytes"),
        hello(
            "a Hello of 2^62 - 1 bytes",
            Act::Write([0xff; 8].to_vec()),
            "control frame of 4611686018427387903 bytes",
        ),
        hello("no protobuf", Act::Write(framed(&[0xff; 20])), "not valid protobuf"),
    ]
}

/// Hellos that are refused, and what else a stranger may try.
pub(crate) fn refused_hellos() -> Vec<Case> {
    let (wrong, other) = ("the proof for this session does not hold", "this side speaks protocol version 1");
    let refused =
        |rules, name, act, code, words| stranger(rules, name, [act], words).then(Then::Refused(code, words));
    let confirm = Control::Confirm(Confirm { counter: 1, durable: false });
    let probe = |answer_after_ms| Act::Say(Control::Probe(Probe { answer_after_ms }));
    let four = "too many Hellos on one connection";
    // Forgotten, as long as the secret does not come.
    let secretless = |hello: &Hello| encoded(&Hello { secret: None, ..hello.clone() });
    vec![
        refused(
            "S1 S4",
            "a proof of another secret",
            Act::Hello(|it| encoded(&Hello { secret: Some(Claim::new(1).secret), ..it.clone() })),
            6,
            wrong,
        ),
        refused(
            "S4",
            "a proof of another counter",
            Act::Hello(|it| encoded(&Hello { counter: 7, ..it.clone() })),
            6,
            wrong,
        ),
        refused(
            "W6 W9",
            "a version to come",
            Act::Hello(|it| encoded(&Hello { version_min: 2, version_max: 3, ..it.clone() })),
            7,
            other,
        ),
        stranger(
            "S3 S4",
            "four Hellos of a session that is not known",
            vec![Act::Hello(secretless); 4],
            four,
        ),
        stranger(
            "H6",
            "a Probe behind a Hello",
            [Act::Hello(secretless), probe(0)],
            "a probe behind a Hello",
        ),
        stranger(
            "H6",
            "another frame behind a Probe",
            [probe(0), Act::Say(confirm)],
            "a probe connection carries probes only",
        ),
        stranger("H6", "a Probe for too long", [probe(600_001)], "Probe.answer_after_ms is 600001"),
    ]
}

/// What an acceptor says instead of a Welcome, or before it.
pub(crate) fn bad_welcomes() -> Vec<Case> {
    let hailed =
        |rules, name, frame, words| case(rules, name, say(frame), words).by(By::Acceptor).on(Scene::Hailed);
    let (unasked, early) = ("a Welcome that answers no Hello", "a frame before the Welcome");
    let confirm = Control::Confirm(Confirm { counter: 1, durable: false });
    let version = Welcome { version: VERSION + 1, ..welcome(1) };
    let last = Control::Retry(Retry::Stale(varint::MAX));
    vec![
        hailed("S4", "a Welcome for another Hello", Control::Welcome(welcome(9)), unasked),
        hailed("W6 S4", "a Welcome in another version", Control::Welcome(version), unasked),
        hailed("S4", "state before the Welcome", naming(0, "early"), early),
        hailed("T4", "an answer to no Close before the Welcome", Control::CloseAck, early),
        hailed("S4", "a Confirm before the Welcome", confirm, early),
        hailed("W2 S4", "a Stale after which there is no counter", last, "leaves no counter to use"),
    ]
}
