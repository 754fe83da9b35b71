//! Messages that do not travel as their lane's delivery allows, pieces that do not fit together, and skips of what is not
//! there to be skipped (C1, C2, N1, N2).

use bowline::wire::{Control, SendingLane};
use bowline::{ChannelConfig, Delivery};
use bytes::Bytes;

use super::{an_acceptor_ends_the_session, assert_told, opened};
use crate::host::{Bystander, Host, assert_violation, end, identity};
use crate::raw::{Claim, lane, records, sending};
use crate::rules::pieces::{self, LARGE, piece, piece_of};
use crate::rules::{lanes, name_chat};
use crate::soon;

const KIB: usize = 1024;

#[tokio::test]
async fn a_message_that_travels_as_its_lane_does_not_allow_ends_the_session() {
    an_acceptor_ends_the_session(pieces::misplaced()).await;
}

#[tokio::test]
async fn pieces_that_do_not_fit_together_end_the_session() {
    an_acceptor_ends_the_session(pieces::misfits()).await;
}

#[tokio::test]
async fn large_messages_beyond_their_window_end_the_session() {
    an_acceptor_ends_the_session(pieces::giants()).await;
}

#[tokio::test]
async fn skips_beyond_the_window_or_the_end_end_the_session() {
    an_acceptor_ends_the_session(lanes::skips()).await;
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
async fn a_skip_within_the_window_is_believed_whatever_comes_of_it_later() {
    let mut host = Host::new();
    let (mut link, session, mut inbox) = opened(&mut host, 1, Delivery::ReliableOrdered).await;
    let skipped = SendingLane { skipped: vec![(0, 2), (3, 4)], ..lane(0, "chat") };
    link.say(&Control::Sending(sending([skipped]))).await;
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
        name_chat(&mut link, delivery).await;
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
    name_chat(&mut link, Delivery::Unreliable).await;
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
