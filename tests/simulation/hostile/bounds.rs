//! Peers that begin everything and complete nothing: what they make an endpoint keep is bounded, and the session beside them
//! goes on (G10).

use std::time::Duration;

use bowline::wire::{Control, MAX_CONTROL};
use bowline::{ChannelConfig, Config, Delivery, Session};
use bytes::Bytes;

use super::field::{Field, key, say_goodbye, told};
use super::raw::{Claim, Face, Link, news};
use super::rules::pieces::piece_of;
use super::rules::{Act, By, name_chat, varints};
use super::{beside, soon};

const KIB: usize = 1024;

/// Connections that have yet to say who they are.
const HANDSHAKES: usize = 8;

fn config() -> Config {
    Config::default().max_handshakes(HANDSHAKES).max_message_size(1 << 20)
}

/// What a hostile dialer and a hostile acceptor do, one after the other.
fn holds(name: &str, program: impl AsyncFn(&Field, By) -> Vec<String>) {
    for (seed, by) in [(0, By::Dialer), (1, By::Acceptor)] {
        let (found, ..) = beside(seed, &config(), async |field| (program(field, by).await, ()));
        assert_eq!(found, [""; 0], "{name}, by {by:?}, seed {seed}");
    }
}

/// An attached link and its session at the honest side, for a raw dialer and for a raw acceptor.
async fn attached(field: &Field, by: By) -> (Link, Session) {
    match by {
        By::Acceptor => field.hailed().await,
        By::Dialer | By::Anyone => field.dialed(&Claim::new(1)).await,
    }
}

#[test]
fn fragments_that_are_never_completed_are_bounded() {
    holds("fragments", async |field, by| {
        let mut found = Vec::new();
        let (mut link, session) = attached(field, by).await;
        let config = ChannelConfig::new(Delivery::Unreliable).inbox(100, 64 * KIB);
        let (chat, _inbox) = session.open("chat", config).await.unwrap();
        name_chat(&mut link, Delivery::Unreliable).await;
        let mut most = 0;
        for sequence in 0..600 {
            let datagram = Bytes::from(piece_of(sequence, 60_000, 0, 1000));
            soon(link.connection.send_datagram_wait(datagram)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            most = most.max(chat.stats().partial_bytes);
        }
        // One is counted with all that it may become.
        if most == 0 || most > 64 * KIB {
            found.push(format!("{most} bytes of fragments were held"));
        }
        found
    });
}

#[test]
fn bodies_that_are_never_completed_are_bounded() {
    holds("bodies", async |field, by| {
        let mut found = Vec::new();
        let (mut link, session) = attached(field, by).await;
        let config = ChannelConfig::new(Delivery::ReliableUnordered).large(8 << 20, 8 << 20);
        let (chat, inbox) = session.open("chat", config).await.unwrap();
        name_chat(&mut link, Delivery::ReliableUnordered).await;
        // As many as the window has room for, of each all but one byte.
        for sequence in 0..10 {
            link.hold_data(&piece_of(sequence, 100_000, 0, 99_999)).await;
        }
        while inbox.transfers().len() < 10 {
            soon(inbox.transfer_changed()).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let held = chat.stats().partial_bytes;
        if !(1..=8 << 20).contains(&held) {
            found.push(format!("{held} bytes of bodies are held"));
        }
        say_goodbye(&mut link, &session).await;
        found
    });
}

#[test]
fn streams_and_frames_that_are_never_completed_are_bounded() {
    holds("streams", async |field, by| {
        let mut found = Vec::new();
        let (mut link, session) = attached(field, by).await;
        let mut held = Vec::new();
        let opening = async {
            loop {
                let mut stream = link.connection.open_uni().await.unwrap();
                stream.write_all(&[1]).await.unwrap();
                held.push(stream);
            }
        };
        if tokio::time::timeout(Duration::from_secs(10), opening).await.is_ok() || held.len() != 64 {
            found.push(format!("{} streams without a header", held.len()));
        }
        // The largest frame, but for its last byte.
        link.say_bytes(&varints(&[MAX_CONTROL as u64])).await;
        link.say_bytes(&vec![0; MAX_CONTROL - 1]).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        if session.stats().channels != 0 || session.stats().attaches != 1 {
            found.push(format!("{:?}", session.stats()));
        }
        found
    });
}

#[test]
fn strangers_that_never_say_hello_or_never_confirm_are_few_and_gone_in_time() {
    let (found, ..) = beside(2, &config(), async |field| {
        let (mut found, server) = (Vec::new(), &field.server.endpoint);
        let mut silent = Vec::new();
        for _ in 0..HANDSHAKES {
            silent.push(field.stranger(Face::of(key())).await);
        }
        if server.stats().handshakes != HANDSHAKES {
            found.push(format!("{} strangers", server.stats().handshakes));
        }
        for link in &mut silent {
            let told = told(link).await;
            if !matches!(told, Ok((5, _))) {
                found.push(format!("who said nothing was told {told:?}"));
            }
        }
        // Welcomed, and no Confirm comes: no application ever sees it.
        let mut welcomed = field.stranger(Face::of(key())).await;
        let hello = Claim::new(7).hello(&welcomed);
        welcomed.say(&Control::Hello(Box::new(hello))).await;
        if !matches!(welcomed.hear().await, Control::Welcome(_)) {
            found.push("not welcome".to_owned());
        }
        tokio::time::sleep(Duration::from_secs(15)).await;
        let stats = server.stats();
        if (stats.handshakes, stats.waiting, stats.sessions) != (0, 0, 1) {
            found.push(format!("left: {stats:?}"));
        }
        (found, ())
    });
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_peer_that_acknowledges_nothing_fills_an_outbox_and_no_more() {
    holds("an outbox", async |field, by| {
        let mut found = Vec::new();
        let (mut link, session) = attached(field, by).await;
        let config = ChannelConfig::new(Delivery::ReliableOrdered).outbox(50, 64 * KIB);
        let (chat, _inbox) = session.open("chat", config).await.unwrap();
        // All the room in the world, and never a word about what has come.
        let mut endless = news(0);
        (endless.window_messages, endless.window_bytes) = (1 << 40, 1 << 40);
        Act::News(endless).on(&mut link).await;
        let mut sent = 0;
        let sending = async {
            loop {
                drop(chat.send(Bytes::from_static(&[7; 1000])).await.unwrap());
                sent += 1;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), sending).await.is_ok() || sent != 50 {
            found.push(format!("{sent} messages were taken"));
        }
        let stats = chat.stats();
        if stats.outbox_messages > 50 || stats.outbox_bytes > 64 * KIB {
            found.push(format!("{stats:?}"));
        }
        found
    });
}
