//! Frames of the control stream, there and back.

use bowline::wire::control::ControlDecoder;
use bowline::wire::*;
use proptest::prelude::*;

use crate::{arbitrary, decode_all, encoded};

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
