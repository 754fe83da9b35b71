//! The network of a random run: a random subset of all faults.

use std::time::Duration;

use bowline_netsim::{Access, Conditions, Dependence, NatConfig, NatStep, Refresh, Scenario, Step};

use crate::plan::{ms, secs};
use crate::rng::Rng;

/// Which faults the network of a run has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    loss: bool,
    bursts: bool,
    jitter: bool,
    reorder: bool,
    duplicate: bool,
    corrupt: bool,
    blackouts: bool,
    one_way_blackouts: bool,
    stalls: bool,
    slow: bool,
    rebinds: bool,
    short_timers: bool,
    detours: bool,
    narrow: bool,
    moves: bool,
}

impl Weather {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        // One run in eight has a good network: there the programs alone make trouble.
        let calm = rng.percent(12);
        let mut roll = |percent| rng.percent(percent) && !calm;
        Self {
            loss: roll(50),
            bursts: roll(30),
            jitter: roll(50),
            reorder: roll(30),
            duplicate: roll(30),
            corrupt: roll(15),
            blackouts: roll(40),
            one_way_blackouts: roll(20),
            stalls: roll(20),
            slow: roll(25),
            rebinds: roll(35),
            short_timers: roll(15),
            detours: roll(20),
            narrow: roll(15),
            moves: roll(15),
        }
    }

    /// Whether it can delay or lose anything.
    pub(crate) fn is_bad(&self) -> bool {
        // Copies, and jitter that keeps the order, trouble nobody.
        self.names().into_iter().any(|name| !matches!(name, "bursts" | "jitter" | "copies"))
    }

    /// The faults that it has.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let all = [
            ("loss", self.loss),
            ("bursts", self.loss && self.bursts),
            ("jitter", self.jitter),
            ("disorder", self.reorder),
            ("copies", self.duplicate),
            ("corruption", self.corrupt),
            ("blackouts", self.blackouts),
            ("one-way blackouts", self.one_way_blackouts),
            ("stalls", self.stalls),
            ("a slow line", self.slow),
            ("rebindings", self.rebinds),
            ("short NAT timers", self.short_timers),
            ("detours", self.detours),
            ("small packets", self.narrow),
            ("moves", self.moves),
        ];
        all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
    }

    /// The network, the longest way through it that has no queue, and how long a full queue takes to empty: what stands in it keeps its
    /// pace when the line gets faster.
    pub(crate) fn scenario(&self, heal: u64, rng: &mut Rng) -> (Duration, Duration, Scenario) {
        let delay = ms(*rng.pick(&[1, 5, 10, 25, 60, 150, 300]));
        let mut conditions = Conditions::new().delay(delay);
        let (mut longest, mut backlog) = (delay, Duration::ZERO);
        if self.loss {
            conditions = conditions.loss(*rng.pick(&[0.5, 2.0, 5.0, 15.0, 30.0]));
            if self.bursts {
                conditions = conditions.burst(rng.range(2, 10) as f64);
            }
        }
        if self.jitter {
            let jitter = ms(rng.range(1, 60));
            longest += jitter;
            conditions = conditions.jitter(jitter);
        }
        if self.reorder {
            conditions = conditions.reorder(*rng.pick(&[1.0, 10.0, 30.0]), ms(rng.range(1, 80)));
        }
        if self.duplicate {
            conditions = conditions.duplicate(*rng.pick(&[1.0, 10.0, 30.0]));
        }
        if self.corrupt {
            conditions = conditions.corrupt(*rng.pick(&[0.5, 3.0]));
        }
        if self.slow {
            let rate = *rng.pick(&[256_000, 1_000_000, 5_000_000]);
            let queue_bytes = *rng.pick(&[20_000, 150_000, 1_000_000]);
            conditions = conditions.rate(rate).queue_bytes(queue_bytes);
            backlog = Duration::from_secs_f64(queue_bytes as f64 * 8.0 / rate as f64);
        }
        let mut scenario = Scenario::new("random", secs(heal)).both(conditions);
        let behind_nat = self.rebinds || self.short_timers || rng.percent(50);
        if behind_nat {
            scenario = scenario.nat(self.nat(rng));
        }
        if self.moves {
            let other = Access::new().both(Conditions::new().delay(delay)).nat(NatConfig::linux());
            let from = rng.range(1_000, heal * 1_000 / 2);
            scenario = scenario
                .other(other)
                .step(Step::between(ms(from), ms(from + 1_000)).move_after(ms(0), ms(3_000)));
        }
        for _ in 0..rng.range(1, 3) {
            scenario = self.trouble(scenario, heal, &mut longest, rng);
        }
        let healthy = Conditions::new()
            .loss(0.0)
            .reorder(0.0, Duration::ZERO)
            .duplicate(0.0)
            .corrupt(0.0)
            .jitter(Duration::ZERO)
            .unlimited()
            .queue_bytes(10_000_000)
            .mtu(1_500)
            .block(false)
            .stall(false);
        // Just before the liveness phase: the step must be within the scenario.
        (longest, backlog, scenario.step(Step::at(ms(heal * 1_000 - 1)).both(healthy)))
    }

    fn nat(&self, rng: &mut Rng) -> NatConfig {
        let mut nat = if rng.percent(50) { NatConfig::linux() } else { NatConfig::new() };
        if rng.percent(40) {
            nat = nat.mapping(Dependence::AddressAndPortDependent).preserve_ports(false);
        }
        if self.short_timers {
            let timeout = secs(rng.range(3, 10));
            nat = nat.timeout(timeout).refresh(Refresh::Outbound);
        }
        nat
    }

    /// One more of each kind of step that this weather has.
    fn trouble(&self, mut scenario: Scenario, heal: u64, longest: &mut Duration, rng: &mut Rng) -> Scenario {
        let latest = heal * 1_000 - 500;
        let span = |rng: &mut Rng, most: u64| {
            let length = rng.range(20, most.min(latest / 2));
            let at = rng.range(100, latest - length);
            (ms(at), ms(length))
        };
        let block = Conditions::new().block(true);
        if self.blackouts {
            let (at, length) = span(rng, 15_000);
            scenario = scenario.step(Step::at(at).lasting(length).both(block.clone()));
        }
        if self.one_way_blackouts {
            let (at, length) = span(rng, 8_000);
            let step = Step::at(at).lasting(length);
            scenario = scenario.step(if rng.percent(50) { step.up(block) } else { step.down(block) });
        }
        if self.stalls {
            let (at, length) = span(rng, 3_000);
            let stalled = Conditions::new().stall(true);
            scenario = scenario.step(Step::at(at).lasting(length).both(stalled));
        }
        if self.detours {
            let (at, length) = span(rng, 10_000);
            let delay = ms(rng.range(1, 400));
            *longest = (*longest).max(delay + ms(60));
            scenario = scenario.step(Step::at(at).lasting(length).both(Conditions::new().delay(delay)));
        }
        if self.narrow {
            let (at, length) = span(rng, 10_000);
            let mtu = rng.range(1_280, 1_480) as u16;
            scenario = scenario.step(Step::at(at).lasting(length).both(Conditions::new().mtu(mtu)));
        }
        if self.rebinds {
            let (at, _) = span(rng, 21);
            let what =
                *rng.pick(&[NatStep::RebindPorts, NatStep::RebindAddress, NatStep::Forget, NatStep::Reboot]);
            scenario = scenario.step(Step::at(at).nat(what));
        }
        scenario
    }
}
