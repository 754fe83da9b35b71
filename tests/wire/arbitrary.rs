//! Frames at random: every one that the types and the rules allow, with the edges of each number favoured.

use bowline::config::Delivery;
use bowline::id::{ChannelId, Epoch, SessionId};
use bowline::wire::data::MAX_SEQUENCE;
use bowline::wire::*;
use bytes::Bytes;
use proptest::collection::{SizeRange, btree_map, vec};
use proptest::option;
use proptest::prelude::*;

/// Any number that a sequence, floor or counter may be: around the steps of the varint as well as anywhere.
pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..200u64,
        16_300..16_500u64,
        (1u64 << 30) - 50..(1 << 30) + 50,
        varint::MAX - 50..=varint::MAX,
        0..=varint::MAX,
    ]
}

pub(crate) fn sequence() -> impl Strategy<Value = u64> {
    number().prop_map(|number| number.min(MAX_SEQUENCE))
}

pub(crate) fn deadline() -> impl Strategy<Value = Option<Deadline>> {
    option::of((number(), number()).prop_map(|(sent_ms, left_ms)| Deadline { sent_ms, left_ms }))
}

pub(crate) fn channel() -> impl Strategy<Value = ChannelId> {
    prop_oneof![0..100u32, Just(u32::MAX), any::<u32>()].prop_map(ChannelId)
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (1..=u64::MAX).prop_map(|value| Epoch::new(value).unwrap())
}

fn text(max: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..=max / 4).prop_map(String::from_iter)
}

fn limits() -> impl Strategy<Value = PeerLimits> {
    (any::<u64>(), any::<u32>())
        .prop_map(|(max_message_size, max_channels)| PeerLimits { max_message_size, max_channels })
}

fn hello() -> impl Strategy<Value = Hello> {
    let versions = (any::<u32>(), any::<u32>()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let secret = option::of(any::<[u8; 32]>().prop_map(Secret));
    let proof = (number(), any::<[u8; 32]>(), limits(), vec(any::<u8>(), 0..=MAX_CREDENTIALS));
    (versions, any::<[u8; 16]>(), secret, epoch(), option::of(epoch()), proof).prop_map(
        |((version_min, version_max), session, secret, epoch, peer_epoch, rest)| {
            let (counter, proof, limits, credentials) = rest;
            let session = SessionId::from_bytes(session);
            let credentials = Bytes::from(credentials);
            Hello {
                version_min,
                version_max,
                session,
                secret,
                epoch,
                peer_epoch,
                counter,
                proof,
                limits,
                credentials,
            }
        },
    )
}

fn welcome() -> impl Strategy<Value = Welcome> {
    (any::<u32>(), epoch(), number(), limits(), any::<bool>()).prop_map(
        |(version, epoch, counter, limits, durable)| Welcome { version, epoch, counter, limits, durable },
    )
}

fn delivery() -> impl Strategy<Value = Result<Delivery, i32>> {
    let known = prop_oneof![
        Just(Delivery::Unreliable),
        Just(Delivery::UnreliableSequenced),
        Just(Delivery::ReliableUnordered),
        Just(Delivery::ReliableOrdered),
        Just(Delivery::ReliableLatest),
    ];
    // The number of a mode that this version knows is never kept as unknown.
    let unknown = any::<i32>().prop_filter("known", |number| !(1..=5).contains(number));
    prop_oneof![known.prop_map(Ok), unknown.prop_map(Err)]
}

/// A lane with at most this many ranges that are skipped, and extended deadlines.
pub(crate) fn sending_lane(ranges: usize, extended: usize) -> impl Strategy<Value = SendingLane> {
    let label = text(MAX_LABEL).prop_filter("empty", |label| !label.is_empty());
    let floor = prop_oneof![
        // Low enough for ranges above it.
        3 => (0..1u64 << 40, option::of(0..1u64 << 61)).prop_map(|(floor, more)| (floor, more.map(|more| floor + more), true)),
        1 => (number(), option::of(number())).prop_map(|(a, b)| match b {
            Some(b) => (a.min(b), Some(a.max(b)), false),
            None => (a, None, false),
        }),
    ];
    let extension =
        (sequence(), option::of(number())).prop_map(|(sequence, left_ms)| Extension { sequence, left_ms });
    let sets = (set(ranges), any::<bool>(), vec(extension, 0..=extended));
    (channel(), label, delivery(), floor, sets).prop_map(
        |(channel, label, delivery, (floor, end, low), sets)| {
            let ((below, ranges), at_floor, extended) = sets;
            let first = ranges.first().map_or(0, |(start, _)| *start);
            // The first range may begin at the floor.
            let shift = if at_floor { first } else { below };
            let skipped = ranges.into_iter().map(|(start, end)| (floor + start - shift, floor + end - shift));
            let skipped = if low { skipped.collect() } else { vec![] };
            SendingLane { channel, label, delivery, floor, end, skipped, extended }
        },
    )
}

/// A `_below` and the ranges above it.
fn set(most: usize) -> impl Strategy<Value = (u64, Vec<(u64, u64)>)> {
    let gap = || prop_oneof![1..5u64, 1..1u64 << 40];
    (0..1u64 << 40, vec((gap(), gap()), 0..=most)).prop_map(|(below, steps)| {
        let mut end = below;
        let mut range = |(gap, length)| {
            let start = end + gap;
            end = start + length;
            (start, end)
        };
        (below, steps.into_iter().map(&mut range).collect())
    })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let why = prop_oneof![
        text(MAX_REASON).prop_map(Why::Rejected),
        Just(Why::Expired),
        Just(Why::Superseded),
        Just(Why::Skipped),
    ];
    let length = prop_oneof![Just(1), 1..100u64, 1..=varint::MAX];
    (sequence(), length, why).prop_map(|(start, length, why)| {
        let end = start.saturating_add(length).min(varint::MAX);
        Verdict { start, end, why }
    })
}

/// A lane with at most this many ranges in a set, and verdicts, and messages that are here in part.
pub(crate) fn receiving_lane(
    ranges: usize,
    verdicts: usize,
    partial: usize,
) -> impl Strategy<Value = ReceivingLane> {
    let windows = (number(), number(), number(), option::of(text(MAX_REASON)), any::<bool>());
    let partial = btree_map(sequence(), number(), 0..=partial);
    (channel(), set(ranges), set(ranges), vec(verdict(), 0..=verdicts), partial, windows).prop_map(
        |(channel, (received_below, received), (handled_below, handled), verdicts, partial, rest)| {
            let (window_messages, window_bytes, window_large, refused, ended) = rest;
            ReceivingLane {
                channel,
                received_below,
                received,
                handled_below,
                handled,
                verdicts,
                window_messages,
                window_bytes,
                window_large,
                partial: partial.into_iter().collect(),
                refused,
                ended,
            }
        },
    )
}

pub(crate) fn sending(lanes: usize, ranges: usize, extended: usize) -> impl Strategy<Value = Sending> {
    (epoch(), number(), vec(sending_lane(ranges, extended), 0..=lanes))
        .prop_map(|(epoch, clock_ms, lanes)| Sending { epoch, clock_ms, lanes })
}

pub(crate) fn receiving(
    lanes: usize,
    ranges: usize,
    verdicts: usize,
    partial: usize,
) -> impl Strategy<Value = Receiving> {
    (epoch(), vec(receiving_lane(ranges, verdicts, partial), 0..=lanes))
        .prop_map(|(epoch, lanes)| Receiving { epoch, lanes })
}

/// Any frame of the control stream that is written as one.
pub(crate) fn control() -> impl Strategy<Value = Control> {
    prop_oneof![
        hello().prop_map(|hello| Control::Hello(Box::new(hello))),
        welcome().prop_map(Control::Welcome),
        (number(), any::<bool>())
            .prop_map(|(counter, durable)| Control::Confirm(Confirm { counter, durable })),
        number().prop_map(|last| Control::Retry(Retry::Stale(last))),
        Just(Control::Retry(Retry::Forgotten)),
        (any::<u32>(), text(MAX_REASON), any::<bool>())
            .prop_map(|(code, reason, retry)| Control::Refuse(Refuse { code, reason, retry })),
        sending(4, 20, 5).prop_map(Control::Sending),
        receiving(3, 20, 2, 5).prop_map(Control::Receiving),
        (any::<u32>(), text(MAX_REASON)).prop_map(|(code, reason)| Control::Close(Close { code, reason })),
        Just(Control::CloseAck),
        (0..=MAX_PROBE_MS).prop_map(|answer_after_ms| Control::Probe(Probe { answer_after_ms })),
        Just(Control::ProbeAnswer),
        number().prop_map(|changes| Control::AddressSeen(AddressSeen { changes })),
        any::<bool>().prop_map(|away| Control::Presence { away }),
    ]
}

/// A message in a data stream: how far its sequence jumps, whether it is redelivered, its deadline and its payload.
pub(crate) type Record = (u64, bool, Option<Deadline>, Vec<u8>);

/// What one data stream or datagram may carry: its channel, its first sequence, and messages.
pub(crate) fn records(size: usize, most: usize) -> impl Strategy<Value = (ChannelId, u64, Vec<Record>)> {
    let advance = || prop_oneof![8 => Just(0), 1 => 1..100u64, 1 => 0..1u64 << 40];
    let payload = prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..=size)];
    let deadline = prop_oneof![3 => Just(None), 1 => deadline()];
    (channel(), 0..1u64 << 61, vec((advance(), any::<bool>(), deadline, payload), 0..=most))
}

/// A message whose payload has a length in this range.
pub(crate) fn message(length: impl Into<SizeRange>) -> impl Strategy<Value = Data> {
    (channel(), sequence(), any::<bool>(), deadline(), vec(any::<u8>(), length)).prop_map(
        |(channel, sequence, redelivered, deadline, payload)| {
            let (carrier, payload) = (Carrier::Datagram, Bytes::from(payload));
            Data { channel, sequence, redelivered, deadline, carrier, payload }
        },
    )
}
