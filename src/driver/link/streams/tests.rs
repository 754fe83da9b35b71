//! Turns, priorities, parcels, bodies, and the room that they give back.

use std::time::Instant;

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use quinn::ReadError;

use super::super::lane::PARCEL;
use super::super::testing::{Pair, at_once, data, pair, read, soon};
use super::*;
use crate::protocol::types::link_room;
use crate::wire::{Carrier, Frame};

const KIB: usize = 1024;

struct Bench {
    pair: Pair,
    streams: Streams,
    window: SendWindow,
    /// Room taken by what was pushed, and given back.
    taken: usize,
    freed: usize,
}

impl Bench {
    async fn new(permitted: u32) -> Self {
        let pair = pair(permitted).await;
        let streams = Streams::new(pair.writing.clone());
        let window = SendWindow::new(&pair.writing);
        Self { pair, streams, window, taken: 0, freed: 0 }
    }

    fn lane(&mut self, channel: u32, sequence: u64, size: usize, priority: i8) {
        self.taken += link_room(size);
        self.streams.push_lane(data(channel, sequence, size, Carrier::Lane), priority).unwrap();
    }

    fn parcel(&mut self, sequence: u64, size: usize) {
        self.taken += link_room(size);
        self.streams.push_parcel(data(1, sequence, size, Carrier::Stream), 0).unwrap();
    }

    fn body(&mut self, sequence: u64, size: usize, offset: usize, piece: usize) {
        self.taken += link_room(piece);
        let body = Body {
            channel: ChannelId(1),
            sequence,
            redelivered: false,
            deadline: None,
            carrier: Carrier::Stream,
            size: size as u64,
            offset: offset as u64,
            bytes: Bytes::from(vec![offset as u8; piece]),
        };
        self.streams.push_body(body, 0).unwrap();
    }

    /// Writes what quinn takes without having sent anything meanwhile.
    fn poll(&mut self) {
        let Ok(freed) = at_once(|cx| self.streams.poll(cx, &mut self.window, Instant::now())) else {
            panic!("lost")
        };
        self.freed += freed;
    }

    /// Waits until everything is with quinn.
    async fn flush(&mut self) {
        let Self { streams, window, freed, .. } = self;
        soon(poll_fn(|cx| {
            let Ok(more) = streams.poll(cx, window, Instant::now()) else { panic!("lost") };
            *freed += more;
            if streams.turns.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        }))
        .await;
        assert_eq!(self.freed, self.taken, "room is given back exactly once");
    }

    fn is_idle(&self, channel: u32) -> bool {
        self.streams.lanes[&ChannelId(channel)].outflow.is_idle()
    }
}

fn sequences(frames: &[Frame]) -> Vec<u64> {
    let sequence = |frame: &Frame| match frame {
        Frame::Data(data) => data.sequence,
        other => panic!("{other:?}"),
    };
    frames.iter().map(sequence).collect()
}

#[tokio::test]
async fn a_small_lane_has_its_turn_beside_one_with_more_than_quinn_takes() {
    let mut bench = Bench::new(10).await;
    for sequence in 0..300 {
        bench.lane(1, sequence, KIB, 0);
    }
    bench.lane(2, 0, 100, 0);
    bench.poll();
    assert!(!bench.is_idle(1) && bench.is_idle(2));
    // Nothing is left of the window, and a newcomer comes after the one that waits; but not after all it has.
    bench.lane(3, 0, 100, 0);
    bench.poll();
    assert!(!bench.is_idle(3));
    let Bench { streams, window, freed, .. } = &mut bench;
    soon(poll_fn(|cx| {
        let Ok(more) = streams.poll(cx, window, Instant::now()) else { panic!("lost") };
        *freed += more;
        if streams.lanes[&ChannelId(3)].outflow.is_idle() { Poll::Ready(()) } else { Poll::Pending }
    }))
    .await;
    assert!(!bench.is_idle(1), "the small one waited for all of the large one");
    bench.flush().await;
}

#[tokio::test]
async fn what_is_more_important_goes_first() {
    let mut bench = Bench::new(10).await;
    for sequence in 0..300 {
        bench.lane(1, sequence, KIB, 0);
    }
    bench.poll();
    for sequence in 0..100 {
        bench.lane(2, sequence, KIB, 1);
    }
    let before = bench.freed;
    let Bench { streams, window, freed, .. } = &mut bench;
    soon(poll_fn(|cx| {
        let Ok(more) = streams.poll(cx, window, Instant::now()) else { panic!("lost") };
        *freed += more;
        if streams.lanes[&ChannelId(2)].outflow.is_idle() {
            // What this turn has left over is the lower one's.
            return Poll::Ready(());
        }
        let written = *freed - before;
        assert!(written < 100 * link_room(KIB), "{written} bytes were written, and not all of 100 KiB");
        Poll::Pending
    }))
    .await;
    bench.flush().await;
}

#[tokio::test]
async fn small_messages_share_a_stream_while_one_packet_holds_them() {
    let mut bench = Bench::new(10).await;
    let sizes = [500, 500, 500, 10, 3000, 60 * KIB, 20, 20];
    for (sequence, size) in (0..).zip(sizes) {
        bench.parcel(sequence, size);
    }
    // An earlier one, sent again, does not fit behind a later one.
    bench.parcel(3, 10);
    bench.poll();
    let reading = bench.pair.reading.clone();
    let arrivals = tokio::spawn(async move {
        let mut streams = Vec::new();
        for _ in 0..6 {
            let (frames, end) = read(soon(reading.accept_uni()).await.unwrap()).await;
            assert_eq!(end, Ok(()));
            streams.push(sequences(&frames));
        }
        streams.sort();
        streams
    });
    bench.flush().await;
    let expected: [&[u64]; 6] = [&[0, 1], &[2, 3], &[3], &[4], &[5], &[6, 7]];
    assert_eq!(soon(arrivals).await.unwrap(), expected);
}

#[tokio::test]
async fn a_parcel_is_full_at_its_limit() {
    let mut bench = Bench::new(10).await;
    // Header of three bytes, heads of two.
    bench.parcel(0, 500);
    bench.parcel(1, PARCEL - 3 - 2 - 500 - 2);
    bench.parcel(2, 500);
    bench.parcel(3, PARCEL - 3 - 2 - 500 - 2 + 1);
    assert_eq!(bench.streams.parcels[&ChannelId(1)].outflows.len(), 3);
    bench.flush().await;
    let mut lengths = Vec::new();
    for _ in 0..3 {
        let mut stream = soon(bench.pair.reading.accept_uni()).await.unwrap();
        lengths.push(soon(stream.read_to_end(usize::MAX)).await.unwrap().len());
    }
    lengths.sort_unstable();
    assert_eq!(lengths, [3 + 2 + 500, 3 + 2 + PARCEL - 506, PARCEL]);
}

#[tokio::test]
async fn a_large_message_has_a_stream_that_ends_with_it_and_breaks_off_when_it_is_given_up() {
    const SIZE: usize = 80 * KIB;
    let mut bench = Bench::new(10).await;
    // Resumed at 40 KiB.
    bench.body(0, SIZE, 40 * KIB, 16 * KIB);
    bench.body(1, SIZE, 0, 16 * KIB);
    bench.poll();
    bench.body(0, SIZE, 56 * KIB, 24 * KIB);
    for offset in [16, 32, 48] {
        bench.body(1, SIZE, offset * KIB, 16 * KIB);
    }
    bench.poll();
    bench.freed += bench.streams.abandon(ChannelId(1), 1);
    bench.freed += bench.streams.abandon(ChannelId(1), 7);
    bench.flush().await;
    assert!(bench.streams.bodies.is_empty());
    for _ in 0..2 {
        let (frames, end) = read(soon(bench.pair.reading.accept_uni()).await.unwrap()).await;
        let bodies = frames.into_iter().map(|frame| match frame {
            Frame::Body(body) => (body.sequence, body.offset, body.bytes.len()),
            other => panic!("{other:?}"),
        });
        let bodies: Vec<_> = bodies.collect();
        match end {
            Ok(()) => {
                assert_eq!(
                    bodies.first().map(|&(sequence, offset, _)| (sequence, offset)),
                    Some((0, 40 << 10))
                );
                assert_eq!(bodies.iter().map(|&(.., len)| len).sum::<usize>(), 40 * KIB);
            }
            Err(error) => {
                assert_eq!(error, ReadError::Reset(quinn::VarInt::from_u32(0)));
                assert!(bodies.iter().all(|&(sequence, ..)| sequence == 1));
            }
        }
    }
}

#[tokio::test]
async fn a_message_without_a_stream_waits_and_an_idle_lane_makes_way() {
    let mut bench = Bench::new(2).await;
    bench.lane(1, 0, 100, 0);
    bench.lane(2, 0, 100, 0);
    bench.flush().await;
    bench.parcel(0, 2000);
    bench.parcel(1, 2000);
    bench.parcel(2, 2000);
    bench.poll();
    assert!(!bench.streams.turns.is_empty() && bench.freed < bench.taken);
    assert_eq!(bench.streams.lanes.len(), 1, "one idle lane is finished for the first that waits");
    let reading = bench.pair.reading.clone();
    let arrivals = tokio::spawn(async move {
        let idlest = soon(reading.accept_uni()).await.unwrap();
        let _stays_open = soon(reading.accept_uni()).await.unwrap();
        let mut messages = sequences(&read(idlest).await.0);
        for _ in 0..3 {
            messages.extend(sequences(&read(soon(reading.accept_uni()).await.unwrap()).await.0));
        }
        messages
    });
    bench.flush().await;
    assert_eq!(soon(arrivals).await.unwrap(), [0, 0, 1, 2]);
}

#[tokio::test]
async fn what_the_peer_does_not_want_gives_its_room_back() {
    let mut bench = Bench::new(10).await;
    for sequence in 0..200 {
        bench.lane(1, sequence, KIB, 0);
    }
    bench.body(0, 300 * KIB, 0, 150 * KIB);
    let reading = bench.pair.reading.clone();
    let stopping = tokio::spawn(async move {
        for _ in 0..2 {
            let mut stream = soon(reading.accept_uni()).await.unwrap();
            stream.stop(quinn::VarInt::from_u32(0)).unwrap();
        }
    });
    bench.flush().await;
    soon(stopping).await.unwrap();
    // And so does what comes later, until the message is complete.
    bench.body(0, 300 * KIB, 150 * KIB, 150 * KIB);
    bench.flush().await;
    assert!(bench.streams.bodies.is_empty());
}
