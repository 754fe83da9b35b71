//! The timeline of a scenario under one seed: its steps with their drawn moments.

use std::time::Duration;

use super::{NatStep, Scenario, Step};
use crate::link::Conditions;
use crate::random::Draws;
use crate::time::Time;
use crate::world::Direction;

/// A step comes at most this often; nothing that is described in words needs more.
const ROUNDS_MAX: u64 = 100_000;

/// Something that will happen on a client's path.
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

impl Scenario {
    /// What will happen on the path of the client with this name. What falls on the same moment happens in the
    /// order of this list; otherwise the list has no order.
    pub(crate) fn plan(&self, seed: u64, client: &str) -> Vec<(Time, Planned)> {
        let mut plan = Vec::new();
        let draws = Draws::new(seed, client, "timeline");
        for (index, step) in (0..).zip(&self.at) {
            let rounds = step.every.map_or(1, |_| ROUNDS_MAX);
            for round in 0..rounds {
                let period = step.every.map_or(Duration::ZERO, |every| every.0);
                let share = |draw| draws.unit(index << 32 | round, draw);
                let start = period.saturating_mul(round as u32);
                let at = start + step.time.at(share(0));
                if start + step.time.from >= self.duration.0 {
                    break;
                }
                self.plan_conditions(step, at, share(1), &mut plan);
                if let Some(gap) = step.move_after {
                    plan.push((at.into(), Planned::Leave));
                    plan.push(((at + gap.at(share(2))).into(), Planned::Arrive));
                }
                plan.extend(step.nat.map(|what| (at.into(), Planned::Nat(what))));
            }
        }
        plan
    }

    fn plan_conditions(&self, step: &Step, at: Duration, share: f64, plan: &mut Vec<(Time, Planned)>) {
        let (base_up, base_down) = self.first();
        let (up, down) = step.conditions();
        for (direction, base, change) in [(Direction::Up, base_up, up), (Direction::Down, base_down, down)] {
            if change.is_empty() {
                continue;
            }
            let undo = base.undoing(&change);
            plan.push((at.into(), Planned::Link(direction, change.into())));
            if let Some(length) = step.lasting {
                plan.push(((at + length.at(share)).into(), Planned::Link(direction, undo.into())));
            }
        }
    }
}
