//! Scenarios: what a client's path to a server goes through, as data.
//!
//! | file | what it holds |
//! |---|---|
//! | `file` | reading scenarios from TOML, and what can be wrong with one |
//! | `named` | the scenarios that come with this crate |
//! | `parts` | a scenario's parts, for those who look at them or take them away |
//! | `path` | the world that a scenario describes |
//! | `plan` | when each step happens, with all times drawn |
//! | `span` | lengths of time that are drawn from a range |
//! | `words` | what happens when, for people |

mod file;
mod named;
mod parts;
mod path;
mod plan;
mod span;
#[cfg(test)]
mod tests;
mod words;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::link::Conditions;
use crate::nat::NatConfig;
use crate::values::{BadValue, Length};

pub use file::ScenarioError;
pub(crate) use parts::Part;
pub use path::Path;
#[cfg(test)]
pub(crate) use plan::Occurrence;
pub use plan::Plan;
#[cfg(feature = "proxy")]
pub(crate) use plan::Planned;
use span::Range;

/// A client, its way to a server through links and NATs, and what happens on that way.
///
/// A TOML file and these methods say the same things by the same names:
///
/// ```
/// # use bowline_netsim::{Conditions, Scenario, Step};
/// # use std::time::Duration;
/// let built = Scenario::new("tunnel", Duration::from_secs(30))
///     .both(Conditions::new().delay(Duration::from_millis(25)).loss(1.0))
///     .step(Step::at(Duration::from_secs(10)).lasting(Duration::from_secs(3)).both(Conditions::new().block(true)));
/// let read = Scenario::from_toml(
///     r#"
///     name = "tunnel"
///     duration = "30s"
///     both = { delay = "25ms", loss = 1 }
///
///     [[at]]
///     time = "10s"
///     for = "3s"
///     both = { block = true }
///     "#,
/// );
/// assert_eq!(built, read.unwrap());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    #[serde(default)]
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    summary: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    source: String,
    duration: Length,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    silence: Option<Length>,
    #[serde(default, skip_serializing_if = "is_false")]
    ipv6: bool,
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    both: Conditions,
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    up: Conditions,
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    down: Conditions,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    other: Option<Access>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    nat: Vec<NatConfig>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    at: Vec<Step>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A second network that the client can move to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Access {
    #[serde(skip_serializing_if = "Conditions::is_empty")]
    both: Conditions,
    #[serde(skip_serializing_if = "Conditions::is_empty")]
    up: Conditions,
    #[serde(skip_serializing_if = "Conditions::is_empty")]
    down: Conditions,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nat: Vec<NatConfig>,
}

/// Something that happens at a moment of a scenario. A time written as a range is drawn from the seed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    time: Range,
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    lasting: Option<Range>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every: Option<Length>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    move_after: Option<Range>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nat: Option<NatStep>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    luck: Option<u32>,
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    both: Conditions,
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    up: Conditions,
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    down: Conditions,
}

/// What happens to the NAT that is nearest to the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NatStep {
    /// Every flow gets another outside port.
    RebindPorts,
    /// It gets another outside address.
    RebindAddress,
    /// All mappings are gone, as if they had expired.
    Forget,
    /// It restarts.
    Reboot,
}

impl Scenario {
    /// A perfect path for this long.
    pub fn new(name: impl Into<String>, duration: Duration) -> Self {
        Self {
            name: name.into(),
            summary: String::new(),
            source: String::new(),
            duration: Length(duration),
            silence: None,
            ipv6: false,
            both: Conditions::new(),
            up: Conditions::new(),
            down: Conditions::new(),
            other: None,
            nat: Vec::new(),
            at: Vec::new(),
        }
    }

    /// What it is, in one line.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// Where its figures come from.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }

    /// The built-in workloads talk for 10 s and then say nothing for this long, in turn.
    #[must_use]
    pub fn silence(mut self, silence: Duration) -> Self {
        self.silence = Some(Length(silence));
        self
    }

    /// All addresses are IPv6.
    #[must_use]
    pub fn ipv6(mut self) -> Self {
        self.ipv6 = true;
        self
    }

    /// The client's link, in both directions.
    #[must_use]
    pub fn both(mut self, conditions: Conditions) -> Self {
        self.both = conditions;
        self
    }

    /// What differs on the client's link towards the server.
    #[must_use]
    pub fn up(mut self, conditions: Conditions) -> Self {
        self.up = conditions;
        self
    }

    /// What differs on the client's link towards the client.
    #[must_use]
    pub fn down(mut self, conditions: Conditions) -> Self {
        self.down = conditions;
        self
    }

    /// One more NAT on the way, behind those that are there already.
    #[must_use]
    pub fn nat(mut self, config: NatConfig) -> Self {
        self.nat.push(config);
        self
    }

    /// A second network that a step can move the client to.
    #[must_use]
    pub fn other(mut self, access: Access) -> Self {
        self.other = Some(access);
        self
    }

    /// One more thing that happens.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.at.push(step);
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, in one line; may be empty.
    pub fn summary_line(&self) -> &str {
        &self.summary
    }

    /// Where its figures come from; may be empty.
    pub fn source_line(&self) -> &str {
        &self.source
    }

    /// What happens when, in words: pairs of a moment and what happens then.
    pub fn timeline(&self) -> Vec<(String, String)> {
        words::timeline(self)
    }

    /// How long it lasts.
    pub fn duration(&self) -> Duration {
        self.duration.0
    }

    /// How long the built-in workloads say nothing between two times of talk.
    pub fn silence_between(&self) -> Option<Duration> {
        self.silence.map(|silence| silence.0)
    }

    /// Whether anything in it is drawn from the seed. If not, all seeds give the same run.
    pub fn is_random(&self) -> bool {
        let other = self.other.iter().flat_map(|other| [&other.both, &other.up, &other.down]);
        let steps = self.at.iter().flat_map(|step| [&step.both, &step.up, &step.down]);
        let mut conditions = [&self.both, &self.up, &self.down].into_iter().chain(other).chain(steps);
        let mut nats = self.nat.iter().chain(self.other.iter().flat_map(|other| &other.nat));
        conditions.any(Conditions::is_random)
            || nats.any(NatConfig::draws_ports)
            || self.at.iter().any(Step::is_random)
    }

    /// What is wrong with it, if anything.
    pub fn check(&self) -> Result<(), BadValue> {
        let duration = self.duration.0;
        if duration.is_zero() || duration > Duration::from_secs(86_400) {
            return Err(BadValue::new(
                format!("duration = {}", self.duration),
                "is not between 0 s and a day",
            ));
        }
        for (up, down) in [self.first()].into_iter().chain(self.other.as_ref().map(Access::conditions)) {
            up.check()?;
            down.check()?;
        }
        for nat in self.nat.iter().chain(self.other.iter().flat_map(|other| &other.nat)) {
            nat.check()?;
        }
        for (index, step) in self.at.iter().enumerate() {
            self.check_step(step)
                .map_err(|bad| BadValue::new(format!("at[{index}]: {}", bad.what), bad.why))?;
        }
        Ok(())
    }

    fn check_step(&self, step: &Step) -> Result<(), BadValue> {
        let (up, down) = self.first();
        let (up_change, down_change) = step.conditions();
        up.and(&up_change).check()?;
        down.and(&down_change).check()?;
        if step.time.from >= self.duration.0 {
            let why = format!("lies behind the end of the scenario, which lasts {}", self.duration);
            return Err(BadValue::new(format!("time = {}", step.time), why));
        }
        if step.every.is_some_and(|every| every.0 < Duration::from_millis(1)) {
            return Err(BadValue::new("every", "is too short: at least 1ms"));
        }
        if step.nat.is_some() && self.nat.is_empty() {
            return Err(BadValue::new("nat", "needs a NAT in the scenario: add a [[nat]]"));
        }
        if step.move_after.is_some() && (self.other.is_none() || step.every.is_some()) {
            return Err(BadValue::new("move-after", "needs an [other] network to move to, and happens once"));
        }
        if step.lasting.is_some() && up_change.is_empty() && down_change.is_empty() {
            return Err(BadValue::new("for", "needs conditions that hold for that long"));
        }
        Ok(())
    }

    /// The NATs on the way, the one nearest to the client first.
    #[cfg(feature = "proxy")]
    pub(crate) fn nats(&self) -> &[NatConfig] {
        &self.nat
    }

    /// The second network.
    #[cfg(feature = "proxy")]
    pub(crate) fn other_access(&self) -> Option<&Access> {
        self.other.as_ref()
    }

    /// The conditions of the client's first link, up and down.
    pub(crate) fn first(&self) -> (Conditions, Conditions) {
        (self.both.clone().and(&self.up), self.both.clone().and(&self.down))
    }
}

impl Access {
    /// A network with a perfect link and no NAT.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its link, in both directions.
    #[must_use]
    pub fn both(mut self, conditions: Conditions) -> Self {
        self.both = conditions;
        self
    }

    /// What differs towards the server.
    #[must_use]
    pub fn up(mut self, conditions: Conditions) -> Self {
        self.up = conditions;
        self
    }

    /// What differs towards the client.
    #[must_use]
    pub fn down(mut self, conditions: Conditions) -> Self {
        self.down = conditions;
        self
    }

    /// One more NAT on the way, behind those that are there already.
    #[must_use]
    pub fn nat(mut self, config: NatConfig) -> Self {
        self.nat.push(config);
        self
    }

    /// The NATs on the way, the one nearest to the client first.
    #[cfg(feature = "proxy")]
    pub(crate) fn nats(&self) -> &[NatConfig] {
        &self.nat
    }

    /// The conditions of its link, up and down.
    pub(crate) fn conditions(&self) -> (Conditions, Conditions) {
        (self.both.clone().and(&self.up), self.both.clone().and(&self.down))
    }
}

impl Step {
    /// At this moment.
    pub fn at(time: Duration) -> Self {
        Self { time: time.into(), ..Self::default() }
    }

    /// At a moment drawn from this range.
    pub fn between(from: Duration, to: Duration) -> Self {
        Self { time: Range { from, to }, ..Self::default() }
    }

    /// The conditions hold for this long; then those of the beginning return.
    #[must_use]
    pub fn lasting(mut self, length: Duration) -> Self {
        self.lasting = Some(length.into());
        self
    }

    /// The conditions hold for a time drawn from this range; then those of the beginning return.
    #[must_use]
    pub fn lasting_between(mut self, from: Duration, to: Duration) -> Self {
        self.lasting = Some(Range { from, to });
        self
    }

    /// It happens again and again, once in each such period until the end.
    #[must_use]
    pub fn every(mut self, period: Duration) -> Self {
        self.every = Some(Length(period));
        self
    }

    /// The first network is gone, and after a time drawn from this range the client is in the other one.
    #[must_use]
    pub fn move_after(mut self, from: Duration, to: Duration) -> Self {
        self.move_after = Some(Range { from, to });
        self
    }

    /// Draws its times by this number instead of by its place among the steps, so that it keeps them when steps
    /// before it are taken away.
    #[must_use]
    pub fn luck(mut self, number: u32) -> Self {
        self.luck = Some(number);
        self
    }

    /// This happens to the NAT that is nearest to the internet.
    #[must_use]
    pub fn nat(mut self, what: NatStep) -> Self {
        self.nat = Some(what);
        self
    }

    /// The client's first link changes, in both directions.
    #[must_use]
    pub fn both(mut self, conditions: Conditions) -> Self {
        self.both = conditions;
        self
    }

    /// The client's first link changes towards the server.
    #[must_use]
    pub fn up(mut self, conditions: Conditions) -> Self {
        self.up = conditions;
        self
    }

    /// The client's first link changes towards the client.
    #[must_use]
    pub fn down(mut self, conditions: Conditions) -> Self {
        self.down = conditions;
        self
    }

    fn conditions(&self) -> (Conditions, Conditions) {
        (self.both.clone().and(&self.up), self.both.clone().and(&self.down))
    }

    fn is_random(&self) -> bool {
        let ranges = [Some(self.time), self.lasting, self.move_after];
        // The new port is drawn.
        ranges.into_iter().flatten().any(Range::is_random) || self.nat == Some(NatStep::RebindPorts)
    }
}
