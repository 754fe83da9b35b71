//! Messages that do not travel as their lane's delivery allows, pieces that do not fit together, and skips of what is not
//! there to be skipped (C1, C2, N1, N2).

use bowline::wire::{Control, SendingLane, varint};
use bowline::{ChannelConfig, Delivery, Inbox, Session};
use bytes::Bytes;

use super::{Act, assert_told};
use crate::host::{Bystander, Host, assert_violation, end, identity};
use crate::raw::{Claim, Link, lane, records, sending};
use crate::soon;

const LARGE: u64 = 100_000;
const KIB: usize = 1024;

fn varints(values: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|&value| varint::encode(value, &mut bytes));
    bytes
}

/// A piece of message 0 of lane 0, as it is on a body stream and in a datagram.
fn piece(size: u64, offset: u64, bytes: usize) -> Vec<u8> {
    piece_of(0, size, offset, bytes)
}

fn piece_of(sequence: u64, size: u64, offset: u64, bytes: usize) -> Vec<u8> {
    [varints(&[2, 0, sequence, size, offset, 0]), vec![7; bytes]].concat()
}

fn naming_as(delivery: Delivery) -> Act {
    said(SendingLane { delivery: Ok(delivery), ..lane(0, "chat") })
}

fn said(lane: SendingLane) -> Act {
    Act::Say(Control::Sending(sending([lane])))
}

struct Case {
    name: &'static str,
    delivery: Delivery,
    acts: Vec<Act>,
    words: &'static str,
}

fn case<const N: usize>(name: &'static str, delivery: Delivery, acts: [Act; N], words: &'static str) -> Case {
    Case { name, delivery, acts: acts.into(), words }
}

/// A raw dialer whose lane 0 is open on both sides.
async fn opened(host: &mut Host, number: u8, delivery: Delivery) -> (Link, Session, Inbox) {
    let (mut link, session) = host.raw(&identity(), &Claim::new(number)).await;
    let (_chat, inbox) = session.open("chat", ChannelConfig::new(delivery)).await.unwrap();
    naming_as(delivery).on(&mut link).await;
    link.hear_of(0).await;
    (link, session, inbox)
}

async fn each_ends_its_session(cases: Vec<Case>) {
    let mut host = Host::new();
    let bystander = Bystander::of(&mut host).await;
    for (number, Case { name, delivery, acts, words }) in (1..).zip(cases) {
        let (mut link, session, _inbox) = opened(&mut host, number, delivery).await;
        for act in acts {
            act.on(&mut link).await;
        }
        assert_told(&link, name, words).await;
        assert_violation(&end(&session).await, words);
        bystander.is_unharmed().await;
    }
}

#[tokio::test]
async fn a_message_that_travels_as_its_lane_does_not_allow_ends_the_session() {
    use Delivery::{ReliableLatest, ReliableOrdered, ReliableUnordered, Unreliable, UnreliableSequenced};
    let mut cases = Vec::new();
    for delivery in [Unreliable, UnreliableSequenced] {
        let record = || Act::Stream(records(0, 0, &[b"hello"]));
        cases.push(case(
            "an unreliable record on a stream",
            delivery,
            [record()],
            "unreliable message on a stream",
        ));
        let body = Act::Stream(piece(LARGE, 0, 100));
        cases.push(case("an unreliable body", delivery, [body], "unreliable message on a stream"));
    }
    for delivery in [ReliableUnordered, ReliableOrdered, ReliableLatest] {
        let fragment = Act::Datagram(piece(5000, 0, 100));
        cases.push(case("a reliable fragment", delivery, [fragment], "a fragment of a reliable message"));
    }
    each_ends_its_session(cases).await;
}

#[tokio::test]
async fn pieces_that_do_not_fit_together_end_the_session() {
    let fragment = |size, offset, bytes| Act::Datagram(piece(size, offset, bytes));
    let overlap = "fragments that overlap";
    let mut cases = Vec::new();
    for delivery in [Delivery::Unreliable, Delivery::UnreliableSequenced] {
        let twice = [fragment(5000, 0, 100), fragment(5000, 0, 100)];
        let behind = [fragment(5000, 1000, 100), fragment(5000, 950, 100)];
        let inside = [fragment(5000, 1000, 100), fragment(5000, 1050, 10)];
        let other_size = [fragment(5000, 0, 100), fragment(5001, 100, 100)];
        cases.push(case("a fragment twice", delivery, twice, overlap));
        cases.push(case("a fragment that reaches into another", delivery, behind, overlap));
        cases.push(case("a fragment inside another", delivery, inside, overlap));
        cases.push(case("a message of two sizes", delivery, other_size, overlap));
    }
    for delivery in [Delivery::ReliableUnordered, Delivery::ReliableOrdered, Delivery::ReliableLatest] {
        let body = |offset, bytes| Act::Stream(piece(LARGE, offset, bytes));
        cases.push(case("a body from the middle", delivery, [body(5000, 100)], "a gap in a large message"));
        let beyond = Act::Stream(piece(LARGE, 0, LARGE as usize + 1));
        cases.push(case("a body beyond its size", delivery, [beyond], "100000"));
    }
    each_ends_its_session(cases).await;
}

/// Two streams may be read in any order, so the first is known to have been read before the second.
#[tokio::test]
async fn a_second_stream_of_a_body_goes_on_where_the_first_ended_or_ends_the_session() {
    let mut host = Host::new();
    for (number, (size, offset, words)) in
        (1..).zip([(LARGE, 101, "a gap in a large message"), (LARGE + 1, 100, "changes its size")])
    {
        let (mut link, session, inbox) = opened(&mut host, number, Delivery::ReliableUnordered).await;
        link.hold_data(&piece(LARGE, 0, 100)).await;
        while inbox.transfers().first().is_none_or(|transfer| transfer.received < 100) {
            soon(inbox.transfer_changed()).await;
        }
        link.hold_data(&piece(size, offset, 100)).await;
        assert_told(&link, words, words).await;
        assert_violation(&end(&session).await, words);
    }
    // What overlaps is the same message again, and does no harm.
    let (mut link, _session, mut inbox) = opened(&mut host, 9, Delivery::ReliableUnordered).await;
    link.hold_data(&piece(LARGE, 0, 500)).await;
    link.open_data(&piece(LARGE, 0, LARGE as usize)).await.finish().unwrap();
    assert_eq!(soon(inbox.recv()).await.unwrap().payload().len() as u64, LARGE);
}

#[tokio::test]
async fn large_messages_beyond_their_window_end_the_session() {
    let mut host = Host::new();
    let words = "the window for large messages";
    // A lane that nobody has opened has none.
    let (mut link, session) = host.raw(&identity(), &Claim::new(1)).await;
    naming_as(Delivery::ReliableUnordered).on(&mut link).await;
    link.hold_data(&piece(LARGE, 0, 100)).await;
    assert_told(&link, "unopened", words).await;
    assert_violation(&end(&session).await, words);
    // Two that together are larger than the window, of which hardly anything has come.
    let (mut link, session, inbox) = opened(&mut host, 2, Delivery::ReliableUnordered).await;
    let size = 40 << 20;
    link.hold_data(&piece_of(0, size, 0, 100)).await;
    while inbox.transfers().is_empty() {
        soon(inbox.transfer_changed()).await;
    }
    link.hold_data(&piece_of(1, size, 0, 100)).await;
    assert_told(&link, "two giants", words).await;
    assert_violation(&end(&session).await, words);
}

#[tokio::test]
async fn skips_beyond_the_window_or_the_end_end_the_session() {
    let with =
        |end, skipped: (u64, u64)| said(SendingLane { end, skipped: vec![skipped], ..lane(0, "chat") });
    let words = "more is skipped than the window or the end";
    let ordered = Delivery::ReliableOrdered;
    each_ends_its_session(vec![
        case("a skip far beyond the window", ordered, [with(None, (1 << 40, (1 << 40) + 1))], words),
        case("a skip of everything", ordered, [with(None, (0, varint::MAX))], words),
        case("a skip beyond the end", ordered, [with(Some(3), (2, 5))], words),
    ])
    .await;
}

#[tokio::test]
async fn a_skip_within_the_window_is_believed_whatever_comes_of_it_later() {
    let mut host = Host::new();
    let (mut link, session, mut inbox) = opened(&mut host, 1, Delivery::ReliableOrdered).await;
    said(SendingLane { skipped: vec![(0, 2), (3, 4)], ..lane(0, "chat") }).on(&mut link).await;
    link.hear_of(0).await;
    link.open_data(&records(0, 0, &[b"0", b"1", b"2", b"3", b"4"])).await.finish().unwrap();
    for (expected, skipped) in [(&b"2"[..], 2), (b"4", 1)] {
        let message = soon(inbox.recv()).await.unwrap();
        assert_eq!((&message.payload()[..], message.skipped()), (expected, skipped));
    }
    assert_eq!(session.state(), bowline::SessionState::Connected);
}

#[tokio::test]
async fn fragments_that_are_never_completed_are_bounded_and_harm_nobody() {
    let mut host = Host::new();
    let bystander = Bystander::of(&mut host).await;
    for (number, delivery) in (1..).zip([Delivery::Unreliable, Delivery::UnreliableSequenced]) {
        let (link, session) = host.raw(&identity(), &Claim::new(number)).await;
        let (chat, mut inbox) =
            session.open("chat", ChannelConfig::new(delivery).inbox(1000, 256 * KIB)).await.unwrap();
        let mut link = link;
        naming_as(delivery).on(&mut link).await;
        link.hear_of(0).await;
        for sequence in 0..3000 {
            let datagram = Bytes::from(piece_of(sequence, 60_000, 0, 1000));
            soon(link.connection.send_datagram_wait(datagram)).await.unwrap();
            let held = chat.stats().partial_bytes;
            assert!(held <= 256 * KIB, "{held} bytes are held");
        }
        // Whole ones still come through.
        let mut whole = 0;
        let message = loop {
            let record = Bytes::from(records(0, 3000 + whole, &[b"whole"]));
            soon(link.connection.send_datagram_wait(record)).await.unwrap();
            whole += 1;
            let patience = std::time::Duration::from_millis(200);
            if let Ok(message) = tokio::time::timeout(patience, inbox.recv()).await {
                break message.unwrap();
            }
        };
        assert_eq!(message.payload(), "whole");
        let stats = chat.stats();
        assert!(stats.partial_bytes <= 256 * KIB && stats.inbox_bytes == 0, "{stats:?}");
        assert_eq!(session.state(), bowline::SessionState::Connected);
        bystander.is_unharmed().await;
    }
}

#[tokio::test]
async fn an_unreliable_flood_is_bounded_and_harms_nobody() {
    let mut host = Host::new();
    let bystander = Bystander::of(&mut host).await;
    let (mut link, session) = host.raw(&identity(), &Claim::new(1)).await;
    let config = ChannelConfig::new(Delivery::Unreliable).inbox(100, 64 * KIB);
    let (chat, _inbox) = session.open("chat", config).await.unwrap();
    naming_as(Delivery::Unreliable).on(&mut link).await;
    link.hear_of(0).await;
    for round in 0..3000u64 {
        // Numbers that leap, go back, and repeat.
        let sequence = [round, round * 1_000_003 % (1 << 40), 7, (1 << 50) + round][round as usize % 4];
        let record = Bytes::from(records(0, sequence, &[&[7; 700]]));
        soon(link.connection.send_datagram_wait(record)).await.unwrap();
        let stats = chat.stats();
        assert!(stats.inbox_messages <= 100 && stats.inbox_bytes <= 64 * KIB, "{stats:?}");
    }
    assert_eq!(session.state(), bowline::SessionState::Connected);
    bystander.is_unharmed().await;
}
