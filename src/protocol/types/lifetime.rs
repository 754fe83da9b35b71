//! What is known of how long NATs remember a silent dialer, and what follows from it for the heartbeat (rule H6).

use std::fmt;
use std::time::Duration;

/// Names a network and a peer's place in the world, as far as a NAT's memory depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub [u8; 16]);

/// How long the NATs of a network remember a silent dialer, as probes have found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// The longest silence after which the dialer was still reached.
    pub survived: Option<Duration>,
    /// The shortest after which it was not.
    pub forgotten: Option<Duration>,
}

/// What came of one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The answer came through after the silence.
    Alive,
    /// It did not, and another connection was answered at once.
    Dead,
    /// Something else may be the reason: nothing is known.
    Unclear,
    /// The peer serves no probe, or no more for now.
    Refused,
}

/// The heartbeat of a session. A snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeartbeatStats {
    /// The interval in force: an idle dialer beats this often. On the accepting side, which does not beat, what its
    /// configuration says.
    pub interval: Duration,
    /// How it is chosen now.
    pub state: HeartbeatState,
    /// Why it is what it is.
    pub why: HeartbeatReason,
    /// The longest silence that the network's NATs were seen to survive.
    pub survived: Option<Duration>,
    /// The shortest after which they had forgotten.
    pub forgotten: Option<Duration>,
    /// Probes under way.
    pub probing: usize,
    /// Probes that have ended, whatever came of them.
    pub probes: u64,
    /// How often the acceptor has seen this dialer's address change without this side's doing: mappings that were lost.
    pub mappings_lost: u64,
}

/// How the interval between beats is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeartbeatState {
    /// It is what the configuration says, or what is safe nearly everywhere because nothing can be learned.
    #[default]
    Fixed,
    /// A careful one, until the session has lived for long enough to be worth a probe.
    Boot,
    /// It grows, or shrinks, with what the probes find.
    Probe,
    /// It is learned.
    Stable,
    /// It was learned long ago, and is put to the test.
    Recheck,
}

/// Why the interval between beats is what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeartbeatReason {
    /// The configuration says so.
    #[default]
    Configured,
    /// Nothing is known of this network yet.
    NewNetwork,
    /// It was learned in this network before, and is shortened until that is confirmed.
    Remembered,
    /// Probes of this session found what the network allows, as far as they have come.
    Learned,
    /// Twice within an hour a NAT forgot this dialer, which rested, in spite of its beats.
    MappingsLost,
    /// The peer serves no probes, or too few.
    ProbesRefused,
    /// Probes came to nothing.
    ProbesUnclear,
}

impl fmt::Display for HeartbeatReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configured => "configured",
            Self::NewNetwork => "nothing is known of this network yet",
            Self::Remembered => "learned in this network before, not confirmed yet",
            Self::Learned => "learned by probes",
            Self::MappingsLost => "a NAT forgot this side in spite of its beats",
            Self::ProbesRefused => "the peer serves no probes, or too few",
            Self::ProbesUnclear => "probes came to nothing",
        })
    }
}
