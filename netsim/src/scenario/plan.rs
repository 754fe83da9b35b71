//! What is going to happen on each client's path, with all times drawn.

use std::time::Duration;

use super::{NatStep, Scenario, Step};
use crate::link::Conditions;
use crate::random::Draws;
use crate::shrink::Taken;
use crate::time::Time;
use crate::world::{Direction, LinkId, NetworkId, World};

/// What is going to happen in the world of a scenario, and where. [`coverage`](Self::coverage) says afterwards
/// what of it packets really met.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) clients: Vec<ClientPlan>,
}

/// What is going to happen on one client's path.
#[derive(Clone, Debug)]
pub(crate) struct ClientPlan {
    /// The client's own link in the first network.
    pub(crate) first: LinkId,
    /// And in the other one, if it can move there.
    pub(crate) other: Option<LinkId>,
    /// The NAT nearest to the internet.
    pub(crate) nat: Option<NetworkId>,
    pub(crate) occurrences: Vec<Occurrence>,
}

/// One time that a step happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occurrence {
    /// The place of the step in the scenario.
    pub(crate) step: usize,
    pub(crate) at: Duration,
    /// When its conditions end; never, if none is named.
    pub(crate) until: Option<Duration>,
    /// When a client that moves has arrived.
    pub(crate) arrival: Option<Duration>,
}

/// One thing that is done to a client's path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Planned {
    /// Its first link changes.
    Link(Direction, Box<Conditions>),
    /// Its first network is gone.
    Leave,
    /// It is in the other network.
    Arrive,
    /// Something happens to the NAT that is nearest to the internet.
    Nat(NatStep),
}

/// A step comes at most this often; nothing that is described in words needs more.
const ROUNDS_MAX: u64 = 100_000;

impl Plan {
    /// When the steps of the first client's path begin and end, in their order; a step that changes something for good ends
    /// where it begins.
    pub fn steps(&self) -> impl Iterator<Item = (Duration, Duration)> {
        let steps = self.clients.iter().take(1).flat_map(|client| &client.occurrences);
        steps.map(|step| (step.at, step.until.unwrap_or(step.at)))
    }

    /// The clients' own links: those in the first network and those in the other one.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        self.clients.iter().flat_map(|client| [Some(client.first), client.other]).flatten()
    }

    /// The NAT nearest to the internet of each client that is behind one.
    pub fn nats(&self) -> impl Iterator<Item = NetworkId> {
        self.clients.iter().filter_map(|client| client.nat)
    }

    /// The packets that the own link of a single client lost or blocked; nothing if there are many clients,
    /// whose packets have other numbers each.
    pub fn taken(&self, world: &World) -> Taken {
        let [client] = self.clients.as_slice() else { return Taken::default() };
        let taken = |direction| world.taken(client.first, direction).to_vec();
        Taken { up: taken(Direction::Up), down: taken(Direction::Down) }
    }
}

impl Scenario {
    /// When each step happens for the client with this name, in the order of the steps.
    pub(crate) fn occurrences(&self, seed: u64, client: &str) -> Vec<Occurrence> {
        let draws = Draws::new(seed, client, "timeline");
        let steps = self.at.iter().enumerate();
        steps.flat_map(|(place, step)| self.occurrences_of(&draws, place, step)).collect()
    }

    /// What is done to the path, and when. What falls on the same moment is done in the order of this list;
    /// otherwise the list has no order.
    pub(crate) fn schedule(&self, occurrences: &[Occurrence]) -> Vec<(Time, Planned)> {
        let mut schedule = Vec::new();
        for occurrence in occurrences {
            let step = &self.at[occurrence.step];
            let at = occurrence.at.into();
            self.plan_conditions(step, occurrence, &mut schedule);
            if let Some(arrival) = occurrence.arrival {
                schedule.push((at, Planned::Leave));
                schedule.push((arrival.into(), Planned::Arrive));
            }
            schedule.extend(step.nat.map(|what| (at, Planned::Nat(what))));
        }
        schedule
    }

    fn occurrences_of(&self, draws: &Draws, place: usize, step: &Step) -> Vec<Occurrence> {
        let rounds = step.every.map_or(1, |_| ROUNDS_MAX);
        let luck = u64::from(step.luck.unwrap_or(place as u32));
        let begins = |round: u64| {
            let period = step.every.map_or(Duration::ZERO, |every| every.0);
            period.saturating_mul(round as u32)
        };
        let rounds = (0..rounds).take_while(|round| begins(*round) + step.time.from < self.duration.0);
        rounds
            .map(|round| {
                let share = |draw| draws.unit(luck << 32 | round, draw);
                let at = begins(round) + step.time.at(share(0));
                let until = step.lasting.map(|length| at + length.at(share(1)));
                let arrival = step.move_after.map(|gap| at + gap.at(share(2)));
                Occurrence { step: place, at, until, arrival }
            })
            .collect()
    }

    fn plan_conditions(&self, step: &Step, occurrence: &Occurrence, schedule: &mut Vec<(Time, Planned)>) {
        let (base_up, base_down) = self.first();
        let (up, down) = step.conditions();
        for (direction, base, change) in [(Direction::Up, base_up, up), (Direction::Down, base_down, down)] {
            if change.is_empty() {
                continue;
            }
            let undo = base.undoing(&change);
            schedule.push((occurrence.at.into(), Planned::Link(direction, change.into())));
            if let Some(until) = occurrence.until {
                schedule.push((until.into(), Planned::Link(direction, undo.into())));
            }
        }
    }
}
