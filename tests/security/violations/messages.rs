//! Data streams and records that break the rules (W10, W11, C2, C3, N1).

use bowline::wire::varint;

use super::{Act, Case, a_dialer_ends_the_session, an_acceptor_ends_the_session, case};
use crate::host::{Host, identity};
use crate::raw::{Claim, lane, naming, records, sending};

fn varints(values: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|&value| varint::encode(value, &mut bytes));
    bytes
}

fn on_chat(act: Act) -> [Act; 2] {
    [Act::Say(naming(0, "chat")), act]
}

/// A stream of lane 0 from sequence 0, with these bytes instead of records.
fn stream(numbers: &[u64]) -> Act {
    Act::Stream([varints(&[1, 0, 0]), varints(numbers)].concat())
}

fn streams() -> Vec<Case> {
    let whole = || records(0, 0, &[b"hello"]);
    let cut = |bytes: Vec<u8>| Act::FinishedStream(bytes[..bytes.len() - 1].to_vec());
    vec![
        case("a stream of another kind", [Act::Stream(varints(&[3, 0, 0]))], "unknown kind 3"),
        case("a channel beyond 2^32 - 1", [Act::Stream(varints(&[1, 1 << 32, 0]))], "channel is 4294967296"),
        case("a stream that ends in its header", [cut(varints(&[1, 0, 300]))], "middle of a stream header"),
        case("a stream that ends in a record", on_chat(cut(whole())), "middle of a record"),
        case(
            "a stream that is reset",
            on_chat(Act::ResetStream(varints(&[1, 0, 0]))),
            "a data stream was reset",
        ),
        case("a stream reset behind a record", on_chat(Act::ResetStream(whole())), "a data stream was reset"),
    ]
}

fn records_cases() -> Vec<Case> {
    let mut ended = lane(0, "chat");
    ended.end = Some(1);
    let beyond_end =
        [Act::Say(bowline::wire::Control::Sending(sending([ended]))), Act::Stream(records(0, 1, &[b"more"]))];
    let thousand = vec![&b""[..]; 1025];
    vec![
        case("unknown options", on_chat(stream(&[1, 8])), "unknown options"),
        case("an advance of nothing", on_chat(stream(&[1, 2, 0])), "an advance of 0"),
        case(
            "an advance beyond the last sequence",
            on_chat(stream(&[1, 2, varint::MAX])),
            "largest sequence",
        ),
        case("a message too large", on_chat(stream(&[(1 << 21) + 2])), "at most 65536 are taken"),
        case("a message of 2^61 bytes", on_chat(stream(&[varint::MAX - 1])), "at most 65536 are taken"),
        case("more messages than the window has", on_chat(Act::Stream(records(0, 0, &thousand))), "window"),
        case("a message far beyond the window", on_chat(Act::Stream(records(0, 1 << 40, &[b""]))), "window"),
        case(
            "more bytes than the window has",
            on_chat(Act::Stream(records(0, 0, &[&[0; 65_536], b"x"]))),
            "window",
        ),
        case("a message beyond the end", beyond_end, "beyond the end"),
    ]
}

#[tokio::test]
async fn an_acceptor_ends_a_session_on_broken_data_streams() {
    an_acceptor_ends_the_session(streams()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_on_broken_data_streams() {
    a_dialer_ends_the_session(streams()).await;
}

#[tokio::test]
async fn an_acceptor_ends_a_session_on_broken_records() {
    an_acceptor_ends_the_session(records_cases()).await;
}

#[tokio::test]
async fn a_dialer_ends_a_session_on_broken_records() {
    a_dialer_ends_the_session(records_cases()).await;
}

/// What looks like a violation and is none.
#[tokio::test]
async fn empty_streams_and_stale_records_do_no_harm() {
    let mut host = Host::new();
    let (mut link, session) = host.raw(&identity(), &Claim::new(1)).await;
    let (_chat, mut inbox) = session.open("chat", crate::host::ordered()).await.unwrap();
    let mut floored = lane(0, "chat");
    floored.floor = 3;
    link.say(&bowline::wire::Control::Sending(sending([floored]))).await;
    Act::FinishedStream(Vec::new()).on(&mut link).await;
    Act::FinishedStream(varints(&[1, 0, 9])).on(&mut link).await;
    // Below the floor, and what was there before: dropped.
    Act::FinishedStream(records(0, 1, &[b"old", b"old", b"three"])).on(&mut link).await;
    assert_eq!(crate::soon(inbox.recv()).await.unwrap().payload(), "three");
    Act::FinishedStream(records(0, 3, &[b"again", b"four"])).on(&mut link).await;
    let four = crate::soon(inbox.recv()).await.unwrap();
    assert_eq!((four.id().sequence, &four.payload()[..]), (4, &b"four"[..]));
}
