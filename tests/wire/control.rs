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
    verdicts: BTreeMap<Sequence, String>,
    windows: (u64, u64),
    refused: Option<String>,
    ended: bool,
}

fn join(lanes: impl IntoIterator<Item = ReceivingLane>) -> BTreeMap<ChannelId, Joined> {
    let mut joined = BTreeMap::<_, Joined>::new();
    for lane in lanes {
        let all = joined.entry(lane.channel).or_default();
        for verdict in lane.verdicts {
            let late = verdict.sequence < all.handled_below
                || all.handled.iter().any(|&(start, end)| (start..end).contains(&verdict.sequence));
            assert!(!late, "the verdict on {} comes behind what covers it", verdict.sequence);
            all.verdicts.entry(verdict.sequence).or_insert(verdict.reason);
        }
        all.received_below = all.received_below.max(lane.received_below);
        all.handled_below = all.handled_below.max(lane.handled_below);
        all.received.extend(lane.received);
        all.handled.extend(lane.handled);
        all.windows = (all.windows.0.max(lane.window_messages), all.windows.1.max(lane.window_bytes));
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
        mut receiving in arbitrary::receiving(4, 6_000, 1_500),
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
}

#[test]
fn the_longest_entries_fit_their_frames() {
    let far = varint::MAX - 20_000;
    let ranges = |count: u64| (0..count).map(|n| (far + 2 * n + 1, far + 2 * n + 2)).collect();
    let verdict = |n| Verdict { sequence: far + 6_000 + n, reason: "x".repeat(2 * MAX_REASON) };
    let lane = |n| ReceivingLane {
        channel: ChannelId(u32::MAX - n),
        received_below: far,
        received: ranges(3_000),
        handled_below: far,
        handled: ranges(2_500),
        verdicts: (0..500).map(verdict).collect(),
        window_messages: varint::MAX,
        window_bytes: varint::MAX,
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

    let lane = |n| SendingLane {
        channel: ChannelId(n),
        label: "x".repeat(MAX_LABEL),
        delivery: Err(i32::MIN),
        floor: varint::MAX,
        end: Some(varint::MAX),
    };
    for lanes in [0, 1, 1_024, 1_025, 3_000] {
        let sending = Sending { epoch, lanes: (0..lanes).map(lane).collect() };
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
    };
    let sending = Sending { epoch: golden::hello().epoch, lanes: (0..2_049).map(lane).collect() };
    let frames = frames_of(&encoded(&Control::Sending(sending)));
    let lanes = frames.iter().map(|frame| match frame {
        Control::Sending(part) => part.lanes.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(lanes.collect::<Vec<_>>(), [1_024, 1_024, 1]);
}
