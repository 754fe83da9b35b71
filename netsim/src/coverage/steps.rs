//! What became of the steps of a scenario's timeline.

use super::{Exercise, Links, Section, Window, phases, windows_by};
use crate::scenario::{NatStep, Plan};
use crate::time::Time;
use crate::world::{Change, Direction, LinkId, NatChange, World};

impl Plan {
    /// The faults of a step: its conditions, what it does to a NAT, its move.
    pub(super) fn step(&self, place: usize, world: &World, end: Time) -> Vec<Exercise> {
        let step = &self.scenario.steps()[place];
        let name = format!("at[{place}] ({}) ", step.moment());
        let (both, up, down) = step.tables();
        let links = self.windows(place, step.has_end());
        let mut faults = Vec::new();
        for section in Section::three(both, up, down) {
            let before = faults.len();
            faults.extend(section.exercises(&name, &links, step.moment_is_drawn(), world, end));
            if faults.len() == before && !section.said.is_empty() {
                faults.push(section.traffic(&name, &links, world, end));
            }
        }
        faults.extend(step.nat_step().map(|what| self.nat(place, &name, what, world, end)));
        faults.extend(step.moves().then(|| self.arrival(place, &name, world, end)));
        faults
    }

    /// For each client its own link, and when the step's conditions hold there.
    fn windows(&self, place: usize, lasts: bool) -> Vec<(LinkId, Vec<Window>)> {
        let mut links = Vec::new();
        for client in &self.clients {
            let of_step = client.occurrences.iter().filter(|it| it.step == place);
            let mut windows: Vec<_> = of_step
                .map(|it| Window { from: Time::from(it.at), until: it.until.map_or(Time::MAX, Time::from) })
                .collect();
            if !lasts {
                // What is not taken back holds until the next round.
                for next in 1..windows.len() {
                    windows[next - 1].until = windows[next].from;
                }
            }
            links.push((client.first, windows));
        }
        links
    }

    fn nat(&self, place: usize, name: &str, what: NatStep, world: &World, end: Time) -> Exercise {
        let mut exercise = Exercise::new(format!("{name}nat: {}", what.name()));
        for client in &self.clients {
            for occurrence in client.occurrences.iter().filter(|it| it.step == place) {
                let at = Time::from(occurrence.at);
                exercise.planned += 1;
                if at > end {
                    continue;
                }
                let is_it = |change: &Change| match change {
                    Change::Nat(nat, change) => Some(*nat) == client.nat && what.is(change),
                    _ => false,
                };
                let made = world.happenings().iter().find(|it| it.at == at && is_it(&it.change));
                let mappings = made.map_or(0, |made| made.mappings);
                // Inside the transfer: the client spoke over that NAT afterwards.
                exercise.round(if world.last_offered(client.first, Direction::Up) > Some(at) {
                    mappings
                } else {
                    0
                });
            }
        }
        exercise
    }

    fn arrival(&self, place: usize, name: &str, world: &World, end: Time) -> Exercise {
        let mut exercise = Exercise::new(format!("{name}move-after"));
        for client in &self.clients {
            for occurrence in client.occurrences.iter().filter(|it| it.step == place) {
                let Some((arrival, other)) = occurrence.arrival.zip(client.other) else { continue };
                exercise.planned += 1;
                if Time::from(arrival) > end {
                    continue;
                }
                // Before it arrived nothing could enter that link from below.
                exercise.round(world.phases(other, Direction::Up).iter().map(|it| it.met.offered).sum());
            }
        }
        exercise
    }
}

impl Section<'_> {
    /// Conditions that hurt nobody must at least have seen a packet.
    fn traffic(&self, name: &str, links: &Links, world: &World, end: Time) -> Exercise {
        let mut exercise = Exercise::new(format!("{name}{}: other conditions", self.name));
        exercise.planned = links.iter().map(|(_, windows)| windows.len() as u64).sum();
        let directions: Vec<_> = self.over.iter().map(|(direction, _)| *direction).collect();
        for (link, window) in windows_by(links, end) {
            exercise.round(phases(world, link, &directions, window).map(|phase| phase.met.offered).sum());
        }
        exercise
    }
}

impl NatStep {
    fn name(self) -> &'static str {
        match self {
            Self::RebindPorts => "rebind-ports",
            Self::RebindAddress => "rebind-address",
            Self::Forget => "forget",
            Self::Reboot => "reboot",
        }
    }

    fn is(self, change: &NatChange) -> bool {
        matches!(
            (self, change),
            (Self::RebindPorts, NatChange::RebindPorts)
                | (Self::RebindAddress, NatChange::RebindAddress(_))
                | (Self::Forget, NatChange::Forget)
                | (Self::Reboot, NatChange::Reboot)
        )
    }
}
