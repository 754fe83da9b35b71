//! What leaves, however much else there is.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::testing::{congested_pair, data, soon};
use super::*;
use crate::protocol::types::link_room;

/// Datagrams that come before a control frame is written, and before the test gives up.
const UNDER_WAY: u64 = 300;
const TOO_MANY: u64 = 3000;

#[tokio::test]
async fn a_flood_of_datagrams_leaves_streams_their_share() {
    let pair = congested_pair(10).await;
    let (control, _answers) = pair.writing.open_bi().await.unwrap();
    let mut writer = Writer::new(LinkId(0), pair.writing.clone(), None, control);
    let datagrams = Arc::new(AtomicU64::new(0));
    let come = datagrams.clone();
    let reading = pair.reading.clone();
    tokio::spawn(async move {
        while reading.read_datagram().await.is_ok() {
            come.fetch_add(1, Ordering::SeqCst);
        }
    });
    let reading = pair.reading.clone();
    let mut heard = Box::pin(async move {
        let (_answers, mut control) = reading.accept_bi().await.unwrap();
        control.read_chunk(100, true).await.unwrap();
    });
    // Each fills a datagram, and so a packet, to the last byte: header of six bytes, head of two.
    let size = pair.writing.max_datagram_size().unwrap() - 6 - 2;
    let (mut room, mut sequence, mut said) = (64 * 1024_i64, 1 << 14, None);
    let before = soon(poll_fn(|cx| {
        loop {
            // More than the path takes, at all times.
            while room > 0 {
                writer.push(Frame::Data(data(1, sequence, size, Carrier::Fragments)), 0);
                room -= link_room(size) as i64;
                sequence += 1;
            }
            let now = datagrams.load(Ordering::SeqCst);
            if said.is_none() && now >= UNDER_WAY {
                writer.push(Frame::Control(Control::CloseAck), 0);
                said = Some(now);
            }
            if let Some(said) = said
                && (heard.as_mut().poll(cx).is_ready() || now > TOO_MANY)
            {
                return Poll::Ready(now - said);
            }
            match writer.poll(cx, Instant::now()) {
                0 => return Poll::Pending,
                freed => room += freed as i64,
            }
        }
    }))
    .await;
    assert!(before < 100, "{before} datagrams came before a control frame");
}
