//! How large, and how long it takes.

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::Codec;

/// Bytes of a value in its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// As encoded.
    pub bytes: usize,
    /// After gzip at its default level.
    pub gzipped: usize,
}

/// Encodes, and compresses that.
pub fn size(value: &impl Codec) -> Size {
    let encoded = value.encode();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let gzipped = encoder.write_all(&encoded).and_then(|()| encoder.finish());
    let gzipped = gzipped.unwrap_or_else(|error| unreachable!("a vector takes everything: {error}"));
    Size { bytes: encoded.len(), gzipped: gzipped.len() }
}

/// How long one turn of something takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Time {
    /// In the fastest batch, which was disturbed least, in nanoseconds.
    pub best_ns: f64,
    /// In the batch in the middle, in nanoseconds.
    pub median_ns: f64,
}

/// Batches of one measurement.
const BATCHES: usize = 2_000;

/// What a batch takes at least: much longer than reading the clock, and much shorter than a time slice of the machine's
/// scheduler, so that most batches are not interrupted.
const BATCH_MIN: Duration = Duration::from_micros(100);

/// Repeats something in batches.
pub fn time<T>(mut turn: impl FnMut() -> T) -> Time {
    let mut turns = 1u32;
    while batch(turns, &mut turn) < BATCH_MIN {
        turns *= 2;
    }
    let mut batches: Vec<Duration> = (0..BATCHES).map(|_| batch(turns, &mut turn)).collect();
    batches.sort_unstable();
    let per_turn = |time: Duration| time.as_secs_f64() * 1e9 / f64::from(turns);
    let (best, median) = (batches.first(), batches.get(BATCHES / 2));
    let ns = |time: Option<&Duration>| time.copied().map_or(f64::NAN, per_turn);
    Time { best_ns: ns(best), median_ns: ns(median) }
}

#[allow(clippy::disallowed_methods, reason = "it measures")]
fn batch<T>(turns: u32, turn: &mut impl FnMut() -> T) -> Duration {
    let began = Instant::now();
    for _ in 0..turns {
        black_box(turn());
    }
    began.elapsed()
}
