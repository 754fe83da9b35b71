//! Frames of the control stream, there and back.

use std::collections::{BTreeMap, BTreeSet};

use bowline::id::{ChannelId, Sequence};
use bowline::wire::control::ControlDecoder;
use bowline::wire::*;
use proptest::prelude::*;

use crate::{arbitrary, decode_all, encoded, golden};

proptest! {
    #[test]
    fn what_is_written_is_read(frame in arbitrary::control()) {
        prop_assert_eq!(decode_all(&encoded(&frame)), Ok(vec![frame]));
    }

    #[test]
    fn frames_are_found_however_the_stream_is_cut(
        frames in proptest::collection::vec(arbitrary::control(), 0..5),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let stream = frames.iter().flat_map(encoded).collect::<Vec<_>>();
        let mut ends = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect::<Vec<_>>();
        ends.push(stream.len());
        ends.sort();
        let mut decoder = ControlDecoder::new(MAX_HELLO);
        let (mut found, mut begin) = (Vec::new(), 0);
        for end in ends {
            decoder.push(&stream[begin..end]);
            begin = end;
            while let Some(frame) = decoder.next().unwrap() {
                found.push(frame);
            }
        }
        prop_assert_eq!(decoder.finish(), Ok(()));
        prop_assert_eq!(found, frames);
    }
}

/// What several frames say of one lane, joined as rule W8 has it.
#[derive(Debug, Default, PartialEq)]
struct Joined {
    received_below: Sequence,
    received: BTreeSet<(Sequence, Sequence)>,
    handled_below: Sequence,
    handled: BTreeSet<(Sequence, Sequence)>,
    verdicts: Vec<Verdict>,
    windows: (u64, u64, u64),
    partial: BTreeMap<Sequence, u64>,
    refused: Option<String>,
    ended: bool,
}

fn join(lanes: impl IntoIterator<Item = ReceivingLane>) -> BTreeMap<ChannelId, Joined> {
    let mut joined = BTreeMap::<_, Joined>::new();
    for lane in lanes {
        let all = joined.entry(lane.channel).or_default();
        for verdict in lane.verdicts {
            let covers = |&(start, end): &(u64, u64)| start < verdict.end && verdict.start < end;
            let late = verdict.start < all.handled_below || all.handled.iter().any(covers);
            assert!(!late, "the verdict on {} comes behind what covers it", verdict.start);
            all.verdicts.push(verdict);
        }
        all.received_below = all.received_below.max(lane.received_below);
        all.handled_below = all.handled_below.max(lane.handled_below);
        all.received.extend(lane.received);
        all.handled.extend(lane.handled);
        let (messages, bytes, large) = all.windows;
        all.windows =
            (messages.max(lane.window_messages), bytes.max(lane.window_bytes), large.max(lane.window_large));
        for (sequence, bytes) in lane.partial {
            let most = all.partial.entry(sequence).or_default();
            *most = bytes.max(*most);
        }
        all.ended |= lane.ended;
        all.refused = all.refused.take().or(lane.refused);
    }
    joined
}

fn frames_of(bytes: &[u8]) -> Vec<Control> {
    let mut decoder = ControlDecoder::new(MAX_CONTROL);
    decoder.push(bytes);
    std::iter::from_fn(|| decoder.next().unwrap()).collect()
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(40))]

    #[test]
    fn what_is_too_long_for_one_frame_says_the_same_in_several(
        mut receiving in arbitrary::receiving(2, 2_500, 300, 2_500),
    ) {
        // Two lanes of one channel would be joined below.
        let mut seen = BTreeSet::new();
        receiving.lanes.retain(|lane| seen.insert(lane.channel));
        let mut frames = 0;
        let mut lanes = Vec::new();
        for frame in frames_of(&encoded(&Control::Receiving(receiving.clone()))) {
            let Control::Receiving(part) = frame else { panic!("{frame:?}") };
            prop_assert_eq!(part.epoch, receiving.epoch);
            lanes.extend(part.lanes);
            frames += 1;
        }
        prop_assert!(frames > 0);
        prop_assert_eq!(join(lanes), join(receiving.lanes));
    }

    #[test]
    fn what_a_sender_says_in_several_frames_is_the_same(sending in arbitrary::sending(2, 2_500, 2_500)) {
        let mut lanes = Vec::<SendingLane>::new();
        for frame in frames_of(&encoded(&Control::Sending(sending.clone()))) {
            let Control::Sending(part) = frame else { panic!("{frame:?}") };
            prop_assert_eq!((part.epoch, part.clock_ms), (sending.epoch, sending.clock_ms));
            for lane in part.lanes {
                match lanes.last_mut() {
                    // Pieces follow each other; the fields that no piece shortens are in all of them.
                    Some(last) if SendingLane { skipped: vec![], extended: vec![], ..last.clone() }
                        == SendingLane { skipped: vec![], extended: vec![], ..lane.clone() } =>
                    {
                        last.skipped.extend(lane.skipped);
                        last.extended.extend(lane.extended);
                    }
                    _ => lanes.push(lane),
                }
            }
        }
        prop_assert_eq!(lanes, sending.lanes);
    }
}

#[test]
fn the_longest_entries_fit_their_frames() {
    let far = varint::MAX - 20_000;
    let ranges = |count: u64| (0..count).map(|n| (far + 2 * n + 1, far + 2 * n + 2)).collect();
    let verdict = |n: u64| {
        let start = far + 6_000 + 2 * n;
        Verdict { start, end: start + 2, why: Why::Rejected("x".repeat(2 * MAX_REASON)) }
    };
    let lane = |n| ReceivingLane {
        channel: ChannelId(u32::MAX - n),
        received_below: far,
        received: ranges(3_000),
        handled_below: far,
        handled: ranges(2_500),
        verdicts: (0..500).map(verdict).collect(),
        window_messages: varint::MAX,
        window_bytes: varint::MAX,
        window_large: varint::MAX,
        partial: (0..1_500).map(|n| (far + n, varint::MAX)).collect(),
        refused: Some("x".repeat(2 * MAX_REASON)),
        ended: true,
    };
    let epoch = golden::hello().epoch;
    let receiving = Receiving { epoch, lanes: (0..3).map(lane).collect() };
    let frames = frames_of(&encoded(&Control::Receiving(receiving)));
    let count = |frames: &[Control], of: fn(&ReceivingLane) -> usize| -> usize {
        let lanes = |frame: &Control| match frame {
            Control::Receiving(receiving) => receiving.lanes.iter().map(of).sum::<usize>(),
            other => panic!("{other:?}"),
        };
        frames.iter().map(lanes).sum()
    };
    assert_eq!(count(&frames, |lane| lane.received.len()), 9_000);
    assert_eq!(count(&frames, |lane| lane.handled.len()), 7_500);
    assert_eq!(count(&frames, |lane| lane.verdicts.len()), 1_500);
    assert_eq!(count(&frames, |lane| lane.partial.len()), 4_500);

    let lane = |n| SendingLane {
        channel: ChannelId(n),
        label: "x".repeat(MAX_LABEL),
        delivery: Err(i32::MIN),
        floor: varint::MAX,
        end: Some(varint::MAX),
        skipped: vec![],
        extended: vec![],
    };
    let extension = |n| Extension { sequence: far + n, left_ms: Some(varint::MAX) };
    let long = |n| SendingLane {
        floor: far,
        skipped: ranges(3_000),
        extended: (0..2_500).map(extension).collect(),
        ..lane(n)
    };
    let sending = Sending { epoch, clock_ms: varint::MAX, lanes: (0..3).map(long).collect() };
    let (mut skipped, mut extended) = (0, 0);
    for frame in frames_of(&encoded(&Control::Sending(sending))) {
        let Control::Sending(part) = frame else { panic!("{frame:?}") };
        skipped += part.lanes.iter().map(|lane| lane.skipped.len()).sum::<usize>();
        extended += part.lanes.iter().map(|lane| lane.extended.len()).sum::<usize>();
    }
    assert_eq!((skipped, extended), (9_000, 7_500));

    for lanes in [0, 1, 1_024, 1_025, 3_000] {
        let sending = Sending { epoch, clock_ms: varint::MAX, lanes: (0..lanes).map(lane).collect() };
        let mut found = Vec::new();
        for frame in frames_of(&encoded(&Control::Sending(sending.clone()))) {
            let Control::Sending(part) = frame else { panic!("{frame:?}") };
            found.extend(part.lanes);
        }
        assert_eq!(found, sending.lanes);
    }
}

#[test]
fn short_lanes_are_split_by_number() {
    let lane = |n| SendingLane {
        channel: ChannelId(n),
        label: "x".to_owned(),
        delivery: Err(0),
        floor: 0,
        end: None,
        skipped: vec![],
        extended: vec![],
    };
    let sending =
        Sending { epoch: golden::hello().epoch, clock_ms: 0, lanes: (0..2_049).map(lane).collect() };
    let frames = frames_of(&encoded(&Control::Sending(sending)));
    let lanes = frames.iter().map(|frame| match frame {
        Control::Sending(part) => part.lanes.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(lanes.collect::<Vec<_>>(), [1_024, 1_024, 1]);
}

#[test]
fn a_verdict_on_no_message_is_not_written() {
    let verdict = |start, end| Verdict { start, end, why: Why::Expired };
    let lane = ReceivingLane {
        channel: ChannelId(1),
        received_below: 0,
        received: vec![],
        handled_below: 9,
        handled: vec![],
        verdicts: vec![verdict(3, 3), verdict(5, 6)],
        window_messages: 0,
        window_bytes: 0,
        window_large: 0,
        partial: vec![],
        refused: None,
        ended: false,
    };
    let receiving = Receiving { epoch: golden::hello().epoch, lanes: vec![lane] };
    let frames = decode_all(&encoded(&Control::Receiving(receiving))).unwrap();
    let [Control::Receiving(read)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(read.lanes[0].verdicts, [verdict(5, 6)]);
}
