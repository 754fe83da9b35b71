//! How often a dialer proves an idle path alive.

use std::time::Duration;

use super::duration;
use crate::error::ConfigError;

/// Bounds of every interval.
pub(crate) const SHORTEST: Duration = Duration::from_secs(2);
pub(crate) const LONGEST: Duration = Duration::from_secs(270);

/// How the interval between two beats on an idle path is chosen, see [`Config::heartbeat`](super::Config::heartbeat).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeartbeatPolicy {
    /// Always this interval, 2 s to 270 s.
    Fixed(Duration),
    /// As long as the NATs of the network allow, which connections of their own find out (rule H6): the session's is
    /// never put at risk. It begins with 10 s, and nothing is probed on a connection that lives for less than 30 s.
    Adaptive {
        /// What a probe may cost.
        power: Power,
        /// The longest interval to use, whatever the network would allow, 2 s to 270 s: a path that dies while
        /// nobody speaks is noticed after it. Nothing beyond what it needs is probed.
        longest: Duration,
    },
}

impl HeartbeatPolicy {
    /// A learned interval of up to 270 s.
    pub fn adaptive(power: Power) -> Self {
        Self::Adaptive { power, longest: LONGEST }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let (Self::Fixed(interval) | Self::Adaptive { longest: interval, .. }) = self;
        duration("heartbeat", *interval, SHORTEST, LONGEST)
    }
}

impl From<Duration> for HeartbeatPolicy {
    fn from(interval: Duration) -> Self {
        Self::Fixed(interval)
    }
}

/// What the energy of a probe, and of the radio that sends it, is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Up to four probes at once, and between two silences of which one was survived and the other not, more of them:
    /// the interval is known soon and well.
    Mains,
    /// One probe at a time, each begun beside a beat or a message, when the radio is awake anyway; and no finer than the
    /// steps of 30, 45, 60, 90, 120, 180 and 240 s.
    Battery,
}
