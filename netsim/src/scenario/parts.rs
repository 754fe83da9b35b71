//! A scenario's parts, for those who look at them.

use std::time::Duration;

use super::{NatStep, Scenario, Step};
use crate::link::Conditions;

/// What is said about both directions, about up and about down.
type Tables<'a> = (&'a Conditions, &'a Conditions, &'a Conditions);

impl Scenario {
    pub(crate) fn steps(&self) -> &[Step] {
        &self.at
    }

    /// About the first network.
    pub(crate) fn tables(&self) -> Tables<'_> {
        (&self.both, &self.up, &self.down)
    }

    /// About the other network, if there is one.
    pub(crate) fn other_tables(&self) -> Option<Tables<'_>> {
        self.other.as_ref().map(|other| (&other.both, &other.up, &other.down))
    }

    /// How long the most forgetful NAT on the way remembers a stream.
    pub(crate) fn shortest_nat_timeout(&self) -> Option<Duration> {
        self.nat.iter().map(|nat| nat.timeout_of_streams()).min()
    }
}

impl Step {
    pub(crate) fn tables(&self) -> Tables<'_> {
        (&self.both, &self.up, &self.down)
    }

    /// When it happens, as a file says it.
    pub(crate) fn moment(&self) -> String {
        match self.every {
            Some(every) => format!("{}, every {every}", self.time),
            None => self.time.to_string(),
        }
    }

    /// Whether its conditions end by themselves.
    pub(crate) fn has_end(&self) -> bool {
        self.lasting.is_some()
    }

    pub(crate) fn nat_step(&self) -> Option<NatStep> {
        self.nat
    }

    pub(crate) fn moves(&self) -> bool {
        self.move_after.is_some()
    }
}
