//! More of everything than anybody needs, from a peer whose session was accepted: bounded all the same (G10).

use std::net::Ipv4Addr;
use std::time::Duration;

use bowline::wire::Control;
use bowline::{Config, Endpoint, SessionState};
use bytes::Bytes;

use crate::host::{Bystander, Host, a_while, identity, ordered};
use crate::raw::{Claim, Face, Link, lane, naming, records, sending};
use crate::soon;

#[tokio::test]
async fn streams_without_a_header_are_limited_and_stop_nobody_else() {
    let mut host = Host::new();
    let (mut link, session) = host.raw(&identity(), &Claim::new(1)).await;
    let mut held = Vec::new();
    let blocked = async {
        loop {
            let mut stream = link.connection.open_uni().await.unwrap();
            // The beginning of a header, which is never completed.
            stream.write_all(&[1]).await.unwrap();
            held.push(stream);
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(500), blocked).await.is_err());
    assert_eq!(held.len(), 64);
    link.say(&naming(0, "chat")).await;
    link.hear_of(0).await;
    let (_chat, mut inbox) = session.open("chat", ordered()).await.unwrap();
    // The last of them turns out to be of use.
    held.last_mut().unwrap().write_all(&records(0, 0, &[b"at last"])[1..]).await.unwrap();
    assert_eq!(soon(inbox.recv()).await.unwrap().payload(), "at last");
}

#[tokio::test]
async fn a_stream_of_a_lane_that_is_not_announced_waits_unread() {
    let mut host = Host::new();
    let mut link = Link::dial(host.address, Face::narrow(&identity())).await;
    link.attach(&Claim::new(1)).await;
    let session = host.session().await;
    let mut stream = link.open_data(&records(0, 0, &[])).await;
    let payload = vec![7; 1 << 16];
    let mut taken = 0;
    let writing = async {
        stream.write_all(&records(0, 0, &[])).await.unwrap();
        loop {
            let record = records(0, 0, &[&payload]);
            for piece in record.chunks(4096) {
                stream.write_all(piece).await.unwrap();
                taken += piece.len();
            }
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(1), writing).await.is_err());
    // The window of the stream, and one chunk that was read to see whose it is.
    let most = 2 * 1024 * 1024 + 64 * 1024 + Face::NARROW;
    assert!(taken <= most, "{taken} bytes are taken of a lane that nobody knows");
    assert_eq!(session.stats().channels, 0);
    assert_eq!(session.state(), SessionState::Connected);
}

#[tokio::test]
async fn who_makes_us_answer_and_does_not_listen_loses_the_link() {
    let mut host = Host::new();
    let bystander = Bystander::of(&mut host).await;
    let owner = identity();
    let mut link = Link::dial(host.address, Face::narrow(&owner)).await;
    link.attach(&Claim::new(1)).await;
    let session = host.session().await;
    link.say(&naming(9, "the ninth")).await;
    // Lanes that are over, for all that is known: each is answered by itself.
    let gone = Control::Sending(sending((0..1000).map(|n| lane(n % 9, "x"))));
    let mut frame = bytes::BytesMut::new();
    bowline::wire::control::encode(&gone, &mut frame);
    let flood = async { while link.control.write_all(&frame).await.is_ok() {} };
    soon(flood).await;
    assert_eq!(link.end().await, (11, "the control stream is not read".to_owned()));
    assert!(!matches!(session.state(), SessionState::Closed(_)), "a dead path looks the same");
    bystander.is_unharmed().await;
    let mut again = Link::dial(host.address, Face::of(&owner)).await;
    again.attach(&Claim::new(1).at(2)).await;
}

#[tokio::test]
async fn datagrams_of_strangers_are_not_kept() {
    let config = Config::default().handshake_timeout(Duration::from_secs(60));
    // Whose application never looks who is there.
    let host = Endpoint::bind((Ipv4Addr::LOCALHOST, 0), identity(), config).unwrap();
    let mut link = Link::dial(host.local_addr().unwrap(), Face::of(&identity())).await;
    // More than QUIC would keep, a few at a time, so that none is lost on the way.
    let flood = async |connection: &quinn::Connection| {
        for _ in 0..30 {
            let wanted = host.stats().dropped_datagrams + 20;
            for _ in 0..20 {
                connection.send_datagram_wait(Bytes::from_static(&[1; 1000])).await.unwrap();
            }
            while host.stats().dropped_datagrams < wanted {
                tokio::task::yield_now().await;
            }
        }
    };
    // Before it has said who it is, and while the application has not decided.
    soon(flood(&link.connection)).await;
    let hello = Claim::new(1).hello(&link);
    link.say(&Control::Hello(Box::new(hello))).await;
    while host.stats().waiting == 0 {
        tokio::task::yield_now().await;
    }
    soon(flood(&link.connection)).await;
}

#[tokio::test]
async fn datagrams_that_nobody_understands_or_wants_are_dropped_and_counted() {
    let mut host = Host::new();
    let (link, session) = host.raw(&identity(), &Claim::new(1)).await;
    // Padding, another kind, and a message and a fragment of a lane that was never named.
    let padding = vec![0; 1000];
    for datagram in [&padding[..], &[0, 1], &[3, 1], &[1, 9, 0, 2, 7], &[2, 9, 0, 5, 0, 0, 7]] {
        link.connection.send_datagram(Bytes::copy_from_slice(datagram)).unwrap();
    }
    link.connection.send_datagram(Bytes::from_static(b"\x46")).unwrap();
    let answer = soon(link.connection.read_datagram()).await.unwrap();
    assert_eq!((answer.len(), answer[0] & 0xC0), (1, 0xC0), "an answer of the same parity");
    assert_eq!(host.endpoint.stats().dropped_datagrams, 5);
    assert_eq!((session.stats().beats_received, session.state()), (1, SessionState::Connected));
}

#[tokio::test]
async fn a_flood_of_beats_and_tiny_frames_harms_nobody() {
    let mut host = Host::new();
    let bystander = Bystander::of(&mut host).await;
    let (mut link, session) = host.raw(&identity(), &Claim::new(1)).await;
    let beats = async {
        for n in 0..20_000u32 {
            link.connection.send_datagram_wait(Bytes::copy_from_slice(&[n as u8])).await.unwrap();
        }
    };
    let connection = link.connection.clone();
    let answers = tokio::spawn(async move { while connection.read_datagram().await.is_ok() {} });
    soon(beats).await;
    // Frames without a meaning, of one byte each.
    for _ in 0..50 {
        soon(link.control.write_all(&[0; 10_000])).await.unwrap();
    }
    link.say(&naming(0, "chat")).await;
    link.hear_of(0).await;
    assert_eq!(session.state(), SessionState::Connected);
    bystander.is_unharmed().await;
    answers.abort();
}

#[tokio::test]
async fn what_the_application_does_not_take_is_limited_by_the_window() {
    let mut host = Host::new();
    let (mut link, session) = host.raw(&identity(), &Claim::new(1)).await;
    link.say(&naming(0, "chat")).await;
    let kilobytes = vec![&[7u8; 1024][..]; 64];
    let _stream = link.open_data(&records(0, 0, &kilobytes)).await;
    while link.hear_of(0).await.received_below < 64 {}
    let (chat, _inbox) = session.open("chat", ordered()).await.unwrap();
    assert_eq!((chat.stats().inbox_messages, chat.stats().inbox_bytes), (64, 65_536));
    // Opened, it has a window that counts what is there already.
    let granted = link.hear_of(0).await;
    assert!(granted.window_bytes <= 4 * 1024 * 1024 && granted.window_messages <= 65_536);
}

#[tokio::test]
async fn many_links_of_one_session_leave_one() {
    let mut host = Host::new();
    let (owner, claim) = (identity(), Claim::new(1));
    let (first, session) = host.raw(&owner, &claim).await;
    let mut links = vec![first];
    for counter in 2..=50 {
        let mut link = Link::dial(host.address, Face::of(&owner)).await;
        link.attach(&claim.at(counter)).await;
        links.push(link);
    }
    let last = links.pop().unwrap();
    for (winner, link) in (2..).zip(&links) {
        assert_eq!(link.end().await, (2, format!("{winner}")));
    }
    a_while().await;
    assert!(last.connection.close_reason().is_none());
    let stats = host.endpoint.stats();
    assert_eq!((stats.sessions, stats.attached, stats.handshakes), (1, 1, 0));
    assert_eq!(session.stats().attaches, 50);
}

#[tokio::test]
async fn labels_without_end_are_limited_to_the_channels_that_were_allowed() {
    let mut host = Host::with(bowline::Config::default().max_channels(16));
    let (mut link, session) = host.raw(&identity(), &Claim::new(1)).await;
    let long = |n: u32| format!("{n:0255}");
    for channel in 0..16 {
        link.say(&naming(channel, &long(channel))).await;
        link.hear_of(channel).await;
    }
    assert_eq!(session.stats().channels, 16);
    link.say(&naming(16, &long(16))).await;
    assert_eq!(link.end().await.0, 1);
}

#[tokio::test]
async fn links_that_never_attach_take_their_streams_with_them() {
    let mut host = Host::new();
    let (owner, claim) = (identity(), Claim::new(1));
    let (_link, session) = host.raw(&owner, &claim).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..4 {
        let mut link = Link::dial(host.address, Face::of(&owner)).await;
        // A counter that was used: the link waits for another Hello, and its streams wait with it.
        link.hear_retry(claim.hello(&link)).await;
        for _ in 0..8 {
            link.hold_data(&records(0, 0, &[b"too early"])).await;
        }
        a_while().await;
        assert!(tasks() > before + 8);
        link.connection.close(0u32.into(), b"");
    }
    let gone = async {
        while tasks() > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(gone).await;
    assert_eq!((session.state(), session.stats().attaches), (SessionState::Connected, 1));
}
