//! What happens to the network: scenarios and their steps, rebinding, expiry.

use bytes::Bytes;

use super::{Engine, Stage};
use crate::link::Conditions;
use crate::packet::Packet;
use crate::proxy::event::{Event, millis};
use crate::proxy::nats::Nats;
use crate::scenario::{NatStep, Planned, Scenario};
use crate::time::Time;
use crate::values::BadValue;

impl Engine {
    /// Every mapping gets another port; says how many there were.
    pub(in crate::proxy) fn rebind(&mut self, now: Time) -> usize {
        self.advance(now);
        self.nat_step(NatStep::RebindPorts)
    }

    /// Every mapping expires; says how many there were.
    pub(in crate::proxy) fn expire(&mut self, now: Time) -> usize {
        self.advance(now);
        self.nats.forget();
        self.forgotten()
    }

    /// Begins a scenario. The mappings that live go on in its NATs; what is on its way arrives as it was settled.
    pub(in crate::proxy) fn play(&mut self, now: Time, scenario: Scenario) -> Result<(), BadValue> {
        scenario.check()?;
        let nats = Nats::new(self.options.seed, scenario.nats())?;
        self.advance(now);
        let (up, down) = scenario.first();
        let duration = scenario.duration();
        self.events.push(Event::Scenario { name: scenario.name().into(), duration_ms: millis(duration) });
        self.begin_network(now, nats, &up, &down);
        let plan = scenario.schedule(&scenario.occurrences(self.options.seed, "client"));
        let mut plan: Vec<_> =
            plan.into_iter().map(|(at, planned)| (now + at.since_start(), planned)).collect();
        plan.sort_by_key(|(at, _)| *at);
        self.plan = plan.into();
        self.scenario = Some(Stage { scenario, began: now, ended: false });
        Ok(())
    }

    /// A clean network. The mappings that live go on, and do not expire any more.
    pub(in crate::proxy) fn reset(&mut self, now: Time) -> Result<(), BadValue> {
        let nats = Nats::new(self.options.seed, &[])?;
        self.advance(now);
        self.events.push(Event::Reset);
        self.begin_network(now, nats, &Conditions::new(), &Conditions::new());
        self.plan.clear();
        self.scenario = None;
        Ok(())
    }

    pub(super) fn step(&mut self, at: Time, planned: Planned) {
        match planned {
            Planned::Link(direction, change) => {
                self.on(direction.into(), |way, events| way.change(at, (*change).clone(), events));
            }
            Planned::Leave => {
                self.away = true;
                self.events.push(Event::Left);
            }
            Planned::Arrive => self.arrive(at),
            Planned::Nat(step) => {
                self.nat_step(step);
            }
        }
    }

    /// The clients are in the other network: whatever else the scenario does happens to the one that they left.
    fn arrive(&mut self, at: Time) {
        let other = self.scenario.as_ref().and_then(|stage| stage.scenario.other_access());
        let Some(other) = other else { return };
        // The configurations have been checked with the scenario.
        let Ok(nats) = Nats::new(self.options.seed, other.nats()) else { return };
        let (up, down) = other.conditions();
        self.nats = nats;
        self.plan.clear();
        self.away = false;
        self.arrived = at;
        self.up.replace(at, &up, &mut self.events);
        self.down.replace(at, &down, &mut self.events);
        self.events.push(Event::Arrived);
        for (id, _) in self.mappings.living() {
            self.mappings.kill(id);
        }
    }

    pub(super) fn end_scenario(&mut self) {
        if let Some(stage) = &mut self.scenario {
            stage.ended = true;
            self.events.push(Event::ScenarioEnded { name: stage.scenario.name().into() });
        }
    }

    fn nat_step(&mut self, step: NatStep) -> usize {
        self.nats.apply(step);
        match step {
            NatStep::Forget | NatStep::Reboot => self.forgotten(),
            NatStep::RebindPorts | NatStep::RebindAddress => {
                let mappings = self.kill_unmapped();
                self.rebinds += 1;
                self.events.push(Event::Rebound { mappings });
                mappings
            }
        }
    }

    fn forgotten(&mut self) -> usize {
        let mappings = self.kill_unmapped();
        self.expiries += mappings as u64;
        self.events.push(Event::Expired { mappings });
        mappings
    }

    /// Declares dead what no NAT knows any more; says how many.
    fn kill_unmapped(&mut self) -> usize {
        let mut killed = 0;
        for (id, client) in self.mappings.living() {
            if self.nats.mapped(self.now, client, self.server).is_none() {
                self.mappings.kill(id);
                killed += 1;
            }
        }
        killed
    }

    pub(super) fn look_for_expiry(&mut self, at: Time) {
        let Some((id, client)) = self.mappings.due(at) else { return };
        match self.nats.mapped_until(at, client, self.server) {
            Some(until) => self.mappings.look_again(id, until),
            None => {
                self.mappings.kill(id);
                self.expiries += 1;
                self.events.push(Event::Expired { mappings: 1 });
            }
        }
    }

    /// Another network in the place of this one, in which the mappings that live go on.
    fn begin_network(&mut self, now: Time, mut nats: Nats, up: &Conditions, down: &Conditions) {
        self.away = false;
        self.up.replace(now, up, &mut self.events);
        self.down.replace(now, down, &mut self.events);
        let living = self.mappings.living();
        let mut lost = 0;
        for (id, client) in living {
            let hello = Packet::new(client, self.server, Bytes::new());
            let outside = nats.outbound(now, hello).map(|packet| packet.from);
            match (outside, nats.mapped_until(now, client, self.server)) {
                (Ok(outside), Some(until)) => {
                    self.mappings.set_outside(id, outside);
                    self.mappings.look_again(id, until);
                }
                _ => {
                    self.mappings.kill(id);
                    lost += 1;
                }
            }
        }
        self.nats = nats;
        if lost > 0 {
            self.expiries += lost as u64;
            self.events.push(Event::Expired { mappings: lost });
        }
    }
}
