//! What is done to a conversation, and what it may notice of it: the rows of the table in `docs/survival.md`.
//!
//! | file | what it holds |
//! |---|---|
//! | `flows` | rebindings, moves and blackouts under traffic |
//! | `idle` | the same while nothing is said, and then the server speaks |
//! | `servers` | servers that are killed, stopped, or stop listening |
//! | `beats` | what it costs to be idle, alone and as one of a thousand |
//! | `talk` | a chat that lives through all of it |

mod beats;
mod flows;
mod idle;
mod servers;
mod talk;

use std::time::Duration;

pub(crate) use beats::crowd;

use crate::figures::{Bound, Figures};
use crate::lab::Lab;
use crate::process::Problem;

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// One run with few events, for a test.
    Brief,
    /// As many as the table needs.
    Full,
}

/// What a case does in a lab.
type Run = dyn Fn(&mut Lab, Course) -> Result<Figures, Problem> + Send + Sync;

/// A row of the table.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) bounds: Vec<Bound>,
    /// Figures that must be no worse than those of another case, in the middle and at the most.
    pub(crate) no_worse_than: Option<&'static str>,
    /// Runs that the table needs.
    pub(crate) runs: u32,
    /// Why it is no test, if it is not: only measured.
    pub(crate) only_measured: Option<&'static str>,
    /// How much of a CPU it takes, in per cent.
    pub(crate) load: u32,
    pub(crate) run: Box<Run>,
}

impl Case {
    fn new(
        name: &'static str,
        about: &'static str,
        runs: u32,
        bounds: &[Bound],
        run: impl Fn(&mut Lab, Course) -> Result<Figures, Problem> + Send + Sync + 'static,
    ) -> Self {
        let (bounds, run) = (bounds.to_vec(), Box::new(run));
        Self { name, about, bounds, no_worse_than: None, runs, only_measured: None, load: 5, run }
    }
}

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    [flows::cases(), idle::cases(), servers::cases(), beats::cases(), talk::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// One run of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) extent: Extent,
    /// What its moments are drawn from.
    state: u64,
}

impl Course {
    pub(crate) fn new(extent: Extent, case: &str, run: u32) -> Self {
        let name = case.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
        Self { extent, state: name ^ u64::from(run) << 32 }
    }

    /// A time between two, other in each run.
    fn between(&mut self, low_ms: u64, high_ms: u64) -> Duration {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.state;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^= drawn >> 31;
        Duration::from_millis(low_ms + drawn % (high_ms - low_ms).max(1))
    }

    /// So many events, or a few in a brief run.
    fn events(self, full: u32, brief: u32) -> u32 {
        match self.extent {
            Extent::Full => full,
            Extent::Brief => brief,
        }
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
