//! What became of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::tally::Total;
use crate::coverage::Coverage;
use crate::link::LinkCounts;
use crate::nat::NatCounts;
use crate::packet::Fate;
use crate::scenario::{Plan, Scenario};
use crate::shrink::Taken;
use crate::time::Time;
use crate::trace::{Capture, Trace};
use crate::world::{Change, Direction, Happening, NatChange, World};

/// What became of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// When it ended.
    pub at: Time,
    /// What of the scenario packets really met.
    pub coverage: Coverage,
    /// What happened to packets.
    pub trace: Trace,
    /// The packets themselves, if they were to be kept.
    pub capture: Capture,
    /// What the clients' own links did upwards, together.
    pub up: LinkCounts,
    /// What the clients' own links did downwards, together.
    pub down: LinkCounts,
    /// What the NATs did, together.
    pub nats: NatCounts,
    /// What was done to the world.
    pub happenings: Vec<Happening>,
    /// The packets that the first client's own link lost or blocked.
    pub taken: Taken,
    /// Connections that the clients made.
    pub connections: u64,
    /// Messages, datagrams or bytes that were sent.
    pub sent: u64,
    /// Messages that came back, or datagrams or bytes that arrived.
    pub arrived: u64,
    /// Each arrival, in order.
    pub samples: Vec<Sample>,
    /// The latencies of all arrivals that have one, sorted.
    pub latencies: Vec<Duration>,
    /// The longest time that a client waited for anything to arrive, the end of the run included; silences do
    /// not count.
    pub longest_gap: Duration,
}

/// Something that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// When.
    pub at: Time,
    /// One message, one datagram, or so many bytes.
    pub amount: u64,
    /// A message's round trip, a datagram's way; a download has none.
    pub latency: Option<Duration>,
}

impl Summary {
    pub(super) fn new(
        scenario: &Scenario,
        seed: u64,
        world: World,
        at: Time,
        plan: &Plan,
        total: Total,
        longest_gap: Duration,
    ) -> Self {
        let mut latencies: Vec<_> = total.samples.iter().filter_map(|sample| sample.latency).collect();
        latencies.sort_unstable();
        let links = |direction| {
            let mut sum = LinkCounts::default();
            plan.links().for_each(|link| sum += world.link_counts(link, direction));
            sum
        };
        Self {
            scenario: scenario.name().to_owned(),
            seed,
            at,
            coverage: plan.coverage(&world, at),
            up: links(Direction::Up),
            down: links(Direction::Down),
            nats: world.all_nat_counts(),
            happenings: world.happenings().to_vec(),
            taken: plan.taken(&world),
            connections: total.connections,
            sent: total.sent,
            arrived: total.arrived,
            samples: total.samples,
            latencies,
            longest_gap,
            capture: world.capture(),
            trace: world.into_trace(),
        }
    }

    /// What the clients' own links did in both directions, together.
    pub fn links(&self) -> LinkCounts {
        let mut sum = self.up;
        sum += self.down;
        sum
    }

    /// The faults that packets and connections really met, by kind; those that did not happen are not there.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        let mut faults = BTreeMap::new();
        for (fate, count) in self.trace.fates() {
            if !matches!(fate, Fate::Sent | Fate::Delivered) {
                faults.insert(fate.name(), *count);
            }
        }
        let is =
            |what: fn(&Change) -> bool| self.happenings.iter().filter(|it| what(&it.change)).count() as u64;
        let changes = [
            ("reordered", self.links().reordered),
            ("nat_mappings_expired", self.nats.expired),
            ("nat_mappings_rebound", self.nats.rebound),
            ("nat_reboots", is(|change| matches!(change, Change::Nat(_, NatChange::Reboot)))),
            ("nat_mappings_forgotten", self.nats.forgotten),
            ("link_changes", is(|change| matches!(change, Change::Link(..)))),
            ("interface_changes", is(|change| matches!(change, Change::Interface(..)))),
        ];
        faults.extend(changes.into_iter().filter(|(_, count)| *count > 0));
        faults
    }

    /// Packets that hosts sent.
    pub fn packets(&self) -> u64 {
        self.coverage.packets
    }

    /// The latency that this share of all (0 to 1) did not exceed; nothing if there was none.
    pub fn latency(&self, share: f64) -> Option<Duration> {
        let last = self.latencies.len().checked_sub(1)?;
        self.latencies.get((last as f64 * share).round() as usize).copied()
    }
}
