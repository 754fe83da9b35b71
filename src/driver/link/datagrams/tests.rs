//! Packing, cutting, and that nothing gives way to anything.

use std::time::Instant;

use std::future::poll_fn;

use super::super::testing::{LIMITS, Pair, at_once, data, pair, read, soon};
use super::*;
use crate::driver::transport::DATAGRAMS_SENT;
use crate::wire::Frame;
use crate::wire::data::datagram::{Datagram, decode};

fn queue(items: impl IntoIterator<Item = Data>) -> Datagrams {
    let mut datagrams = Datagrams::new();
    items.into_iter().for_each(|data| datagrams.push(data, 0));
    datagrams
}

/// What a datagram brings: channel and sequence of its messages.
fn messages(datagram: Bytes) -> Vec<(u32, u64)> {
    match decode(datagram, LIMITS).unwrap() {
        Datagram::Messages(messages) => {
            messages.map(Result::unwrap).map(|data| (data.channel.0, data.sequence)).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The next datagram of the queue, which is taken.
fn next(datagrams: &mut Datagrams, streams: &mut Streams, max: usize, freed: &mut usize) -> Option<Bytes> {
    let offer = datagrams.next_offer(max, streams, freed)?;
    assert!(offer.bytes.len() <= max, "{} of {max} bytes", offer.bytes.len());
    *freed += datagrams.forget(offer.content);
    Some(offer.bytes)
}

#[tokio::test]
async fn messages_of_one_lane_fill_a_datagram_to_its_limit() {
    const MAX: usize = 1000;
    let mut streams = Streams::new(pair(1).await.writing);
    // Header of three bytes, heads of two.
    let fills = MAX - 3 - 2 - 400 - 2;
    let message = |channel, sequence, size| data(channel, sequence, size, Carrier::Datagram);
    let all = [
        message(1, 0, 400),
        message(1, 1, fills),
        message(1, 2, 400),
        message(1, 4, fills),
        message(2, 0, 10),
        message(1, 5, 10),
        message(1, 3, 10),
        message(1, 6, 10),
    ];
    let room: usize = all.iter().map(|data| link_room(data.payload.len())).sum();
    let mut datagrams = queue(all);
    let mut freed = 0;
    let mut take = || next(&mut datagrams, &mut streams, MAX, &mut freed);
    let full = take().unwrap();
    assert_eq!((full.len(), messages(full)), (MAX, vec![(1, 0), (1, 1)]));
    // The next two would need two bytes more, for the gap in the numbers.
    let rest: Vec<_> = std::iter::from_fn(take).map(messages).collect();
    let expected: [&[(u32, u64)]; 5] = [&[(1, 2)], &[(1, 4)], &[(2, 0)], &[(1, 5)], &[(1, 3), (1, 6)]];
    assert_eq!(rest, expected);
    assert_eq!(freed, room);
    assert!(datagrams.is_idle());
}

#[tokio::test]
async fn what_is_more_important_leaves_first_and_beats_before_everything() {
    let mut streams = Streams::new(pair(1).await.writing);
    let mut datagrams = Datagrams::new();
    for (sequence, priority) in [(0, -1), (1, 0), (2, 5), (3, 5)] {
        datagrams.push(data(1, sequence, 900, Carrier::Datagram), priority);
    }
    datagrams.push_beat(0x46);
    let mut freed = 0;
    let taken = std::iter::from_fn(|| next(&mut datagrams, &mut streams, 1000, &mut freed));
    let taken: Vec<_> = taken.map(|bytes| (bytes.len() > 1).then(|| messages(bytes))).collect();
    let one = |sequence| Some(vec![(1, sequence)]);
    assert_eq!(taken, [None, one(2), one(3), one(1), one(0)]);
}

#[tokio::test]
async fn what_fits_no_datagram_is_cut_or_goes_on_a_stream() {
    let pair = pair(1).await;
    let mut streams = Streams::new(pair.writing.clone());
    let reliable = data(1, 0, 5000, Carrier::Datagram);
    let mut unreliable = data(1, 1, 5000, Carrier::Fragments);
    unreliable.payload = (0..5000).map(|at| at as u8).collect();
    let whole = unreliable.payload.clone();
    let mut datagrams = queue([reliable, unreliable, data(1, 2, 10, Carrier::Fragments)]);
    let mut freed = 0;
    // The path becomes narrower on the way.
    let sizes = [1400, 1400, 1200, 1200, 1200, 1200, 1200];
    let mut sizes = sizes.into_iter();
    let taken = std::iter::from_fn(|| next(&mut datagrams, &mut streams, sizes.next()?, &mut freed));
    let mut taken: Vec<_> = taken.collect();
    assert_eq!(messages(taken.pop().unwrap()), [(1, 2)]);
    let mut come = Vec::new();
    for bytes in taken {
        let Datagram::Fragment(body) = decode(bytes, LIMITS).unwrap() else { panic!("no fragment") };
        assert_eq!((body.sequence, body.size, body.offset), (1, 5000, come.len() as u64));
        come.extend_from_slice(&body.bytes);
    }
    assert_eq!(come, whole);
    assert_eq!(freed, link_room(5000) + link_room(10), "the other is not with quinn yet");
    let mut window = super::super::window::SendWindow::new(&pair.writing);
    let Ok(rest) = at_once(|cx| streams.poll(cx, &mut window, Instant::now())) else { panic!("lost") };
    assert_eq!(rest, link_room(5000));
    let (frames, end) = read(soon(pair.reading.accept_uni()).await.unwrap()).await;
    assert!(matches!(&frames[..], [Frame::Data(data)] if data.sequence == 0 && data.payload.len() == 5000));
    assert_eq!(end, Ok(()));
}

#[tokio::test]
async fn a_message_in_pieces_lets_other_channels_go_in_between_and_its_own_go_behind_it() {
    let mut streams = Streams::new(pair(1).await.writing);
    let large = |channel| data(channel, 0, 2500, Carrier::Fragments);
    let small = |channel, sequence| data(channel, sequence, 10, Carrier::Fragments);
    let all = [large(1), small(1, 1), large(2), small(3, 0), small(3, 1), small(2, 1)];
    let room: usize = all.iter().map(|data| link_room(data.payload.len())).sum();
    let mut datagrams = queue(all);
    let mut freed = 0;
    let leave = |bytes: Bytes| match decode(bytes, LIMITS).unwrap() {
        Datagram::Fragment(body) => format!("{}@{}", body.channel.0, body.offset / 900),
        Datagram::Messages(messages) => {
            let names = messages.map(Result::unwrap).map(|data| data.channel.0.to_string());
            names.collect::<Vec<_>>().join("+")
        }
        other => panic!("{other:?}"),
    };
    let left = std::iter::from_fn(|| next(&mut datagrams, &mut streams, 1000, &mut freed)).map(leave);
    let left: Vec<String> = left.collect();
    assert_eq!(left, ["1@0", "2@0", "3+3", "1@1", "2@1", "1@2", "2@2", "1", "2"]);
    assert_eq!(freed, room);
}

#[tokio::test]
async fn a_message_that_not_even_fragments_can_carry_gives_its_room_back() {
    let mut streams = Streams::new(pair(1).await.writing);
    let mut datagrams = queue([data(1, 0, 100, Carrier::Fragments), data(1, 1, 1, Carrier::Fragments)]);
    let mut freed = 0;
    assert_eq!(next(&mut datagrams, &mut streams, 5, &mut freed).map(messages), Some(vec![(1, 1)]));
    assert_eq!(freed, link_room(100) + link_room(1));
}

/// Writes until everything is with quinn. Yields the room.
async fn flush(datagrams: &mut Datagrams, pair: &Pair, streams: &mut Streams) -> usize {
    let mut freed = 0;
    soon(poll_fn(|cx| {
        let Ok(more) = datagrams.poll(cx, &pair.writing, streams) else { panic!("lost") };
        freed += more;
        if datagrams.is_idle() { Poll::Ready(()) } else { Poll::Pending }
    }))
    .await;
    freed
}

#[tokio::test]
async fn quinn_holds_a_few_and_beats_overtake_the_rest_without_taking_the_place_of_any() {
    const MESSAGES: u64 = 60;
    let pair = pair(1).await;
    let mut streams = Streams::new(pair.writing.clone());
    let mut datagrams = queue((0..MESSAGES).map(|sequence| data(1, sequence, 1000, Carrier::Datagram)));
    // quinn has no turn in between.
    let Ok(taken) = at_once(|cx| datagrams.poll(cx, &pair.writing, &mut streams)) else { panic!("lost") };
    assert_eq!(taken, DATAGRAMS_SENT / 1037 * link_room(1000));
    let held = taken / link_room(1000);
    assert!(datagrams.waiting.is_some());
    datagrams.push_beat(0x46);
    // There is no place for it either, now.
    while pair.writing.datagram_send_buffer_space() > 0 {
        pair.writing.send_datagram(Bytes::from_static(&[0])).unwrap();
    }
    let Ok(freed) = at_once(|cx| datagrams.poll(cx, &pair.writing, &mut streams)) else { panic!("lost") };
    assert_eq!(freed, 0);
    let reading = pair.reading.clone();
    let arrivals = tokio::spawn(async move {
        let (mut come, mut beat_at) = (Vec::new(), None);
        while come.len() < MESSAGES as usize {
            let datagram = soon(reading.read_datagram()).await.unwrap();
            match datagram.len() {
                1 if datagram[0] == 0x46 => beat_at = Some(come.len()),
                1 => {}
                _ => come.extend(messages(datagram).into_iter().map(|(_, sequence)| sequence)),
            }
        }
        (come, beat_at)
    });
    let freed = flush(&mut datagrams, &pair, &mut streams).await;
    assert_eq!(taken + freed, MESSAGES as usize * link_room(1000));
    let (come, beat_at) = soon(arrivals).await.unwrap();
    assert_eq!(come, (0..MESSAGES).collect::<Vec<_>>(), "one was evicted, or overtaken");
    assert_eq!(beat_at, Some(held), "the beat leaves behind what quinn held, and before all else");
}

#[tokio::test]
async fn of_beats_that_cannot_leave_the_newest_are_kept() {
    let pair = pair(1).await;
    let mut streams = Streams::new(pair.writing.clone());
    while pair.writing.datagram_send_buffer_space() > 0 {
        pair.writing.send_datagram(Bytes::from_static(&[0])).unwrap();
    }
    let mut datagrams = Datagrams::new();
    for beat in 1..=5 {
        datagrams.push_beat(beat);
        let Ok(freed) = at_once(|cx| datagrams.poll(cx, &pair.writing, &mut streams)) else { panic!("lost") };
        assert_eq!((freed, datagrams.waiting.is_some()), (0, true));
    }
    flush(&mut datagrams, &pair, &mut streams).await;
    let mut beats = Vec::new();
    while beats.len() < URGENT {
        let datagram = soon(pair.reading.read_datagram()).await.unwrap();
        beats.extend(datagram.into_iter().filter(|&byte| byte > 0));
    }
    assert_eq!(beats, [2, 3, 4, 5]);
}
