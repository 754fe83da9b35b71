//! Many dialers and many channels at once.

use std::future::IntoFuture;
use std::time::Duration;

use bowline::{CloseCode, Config, ConnectError, InboxEnd, SendError};
use bytes::Bytes;

use crate::support::{accept, dialer, line, listen, pair, text, trust, until, within};

#[tokio::test]
async fn dialers_get_in_when_it_is_crowded_and_no_more_than_may() {
    let listener = listen(Config::default().max_handshakes(3));
    let addr = listener.local_addr().unwrap();
    let endpoint = dialer(Config::default());
    let dial = || endpoint.connect(addr, trust(&listener)).into_future();
    let dialing: Vec<_> = (0..3).map(|_| tokio::spawn(dial())).collect();
    until("three dialers wait", || listener.stats().waiting == 3).await;
    match within("a fourth is refused", dial()).await {
        Err(ConnectError::Refused(reason)) => {
            assert_eq!((reason.code, reason.retry), (CloseCode::Busy, true))
        }
        other => panic!("{other:?}"),
    }
    for _ in 0..3 {
        drop(accept(&listener).await);
    }
    for dial in dialing {
        within("those who waited get in", dial).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_dialer_that_gives_up_leaves_nothing_behind() {
    let (listener, endpoint) = (listen(Config::default()), dialer(Config::default()));
    let dial = endpoint.connect(listener.local_addr().unwrap(), trust(&listener));
    assert!(tokio::time::timeout(Duration::from_millis(200), dial.into_future()).await.is_err());
    let incoming = within("it had knocked", listener.accept()).await.unwrap();
    assert!(within("it has left", incoming.accept()).await.is_err());
    until("nothing is left", || endpoint.stats().sessions + listener.stats().sessions == 0).await;
}

#[tokio::test]
async fn messages_of_all_sizes_arrive_whole_both_ways() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "sizes").await;
    let sizes = [0, 1, 31, 32, 1200, 8191, 8192, 8193, 70_000, 1024 * 1024, 5];
    let payload = |at: usize, size: usize| Bytes::from(vec![at as u8; size]);
    for (at, size) in sizes.into_iter().enumerate() {
        drop(line.out.send(payload(at, size)).await.unwrap());
        drop(line.peer_out.send(payload(at, size)).await.unwrap());
    }
    for inbox in [&mut line.back, &mut line.peer] {
        for (at, size) in sizes.into_iter().enumerate() {
            let message = within("a message", inbox.recv()).await.unwrap();
            assert_eq!((message.id().sequence, message.payload()), (at as u64, &payload(at, size)));
        }
    }
}

#[tokio::test]
async fn more_channels_than_streams_carry_messages_side_by_side() {
    let pair = pair().await;
    let mut lines = Vec::new();
    for number in 0..100 {
        lines.push(line(&pair.dialed, &pair.accepted, &format!("lane {number}")).await);
    }
    for round in 0..3 {
        let mut receipts = Vec::new();
        for line in &lines {
            receipts.push(line.out.send(format!("{round}")).await.unwrap());
        }
        for line in &mut lines {
            assert_eq!(text(&mut line.peer).await, format!("{round}"));
        }
        for receipt in receipts {
            within("it is handled", receipt).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_finished_channel_delivers_what_was_accepted_and_ends() {
    let pair = pair().await;
    let mut line = line(&pair.dialed, &pair.accepted, "finite").await;
    let receipt = line.out.send("last").await.unwrap();
    line.out.finish();
    assert_eq!(line.out.send("more").await.unwrap_err(), SendError::Finished);
    assert_eq!(text(&mut line.peer).await, "last");
    assert!(within("its end", line.peer.recv()).await.is_none());
    assert_eq!(line.peer.end(), Some(InboxEnd::Finished));
    within("it is handled", receipt).await.unwrap();
}
