//! Which packets a link loses.

use std::fmt;

use super::conditions::Settings;
use crate::packet::Packet;
use crate::random::Draws;
use crate::values::BadValue;

/// Decides the loss of each packet of one direction.
pub(crate) struct Loss {
    draws: Draws,
    burst: Option<Burst>,
    predicate: Option<Predicate>,
}

/// Why a packet is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The loss model drew it.
    Drawn,
    /// A list, a bitmap or a predicate named it.
    Chosen,
}

type Predicate = Box<dyn FnMut(u64, &Packet) -> bool + Send>;

/// The Gilbert–Elliott chain with loss 0 in the good state and 1 in the bad one (Gilbert 1960, Elliott 1963).
///
/// A mean burst of `b` packets leaves the bad state with probability 1/b; the share `p` of lost packets follows
/// if the good state is left with probability p / (b · (1 − p)).
#[derive(Clone, Copy, Debug)]
struct Burst {
    to_bad: f64,
    to_good: f64,
    share: f64,
    /// Unknown before the first packet, whose state is drawn from the long-run shares.
    bad: Option<bool>,
}

impl Loss {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        Self { draws: Draws::new(seed, name, "loss"), burst: None, predicate: None }
    }

    /// Takes over what the settings say about bursts.
    pub(crate) fn set(&mut self, settings: &Settings) {
        self.burst = (settings.burst > 0.0 && settings.loss > 0.0).then(|| Burst {
            to_bad: settings.loss / (settings.burst * (1.0 - settings.loss)),
            to_good: 1.0 / settings.burst,
            share: settings.loss,
            bad: None,
        });
    }

    pub(crate) fn set_predicate(&mut self, predicate: Option<Predicate>) {
        self.predicate = predicate;
    }

    /// Whether this packet is lost, and why. To be asked once for each packet, in order.
    pub(crate) fn takes(&mut self, number: u64, packet: &Packet, settings: &Settings) -> Option<Taken> {
        let drawn = match &mut self.burst {
            Some(burst) => burst.step(self.draws.unit(number, 0)),
            None => self.draws.chance(settings.loss, number, 0),
        };
        let place = usize::try_from(number - 1).unwrap_or(usize::MAX);
        let marked = settings.drop_bitmap.get(place) == Some(&b'1');
        let chosen = self.predicate.as_mut().is_some_and(|predicate| predicate(number, packet));
        match marked || chosen || settings.drop.contains(&number) {
            true => Some(Taken::Chosen),
            false => drawn.then_some(Taken::Drawn),
        }
    }
}

impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loss").field("burst", &self.burst).finish_non_exhaustive()
    }
}

impl Burst {
    fn step(&mut self, draw: f64) -> bool {
        let bad = match self.bad {
            None => draw < self.share,
            Some(true) => draw >= self.to_good,
            Some(false) => draw < self.to_bad,
        };
        self.bad = Some(bad);
        bad
    }
}

/// A burst is at least one packet, and so much loss needs bursts of some length.
pub(crate) fn burst_is_possible(loss: f64, burst: f64) -> Result<(), BadValue> {
    let what = || format!("burst = {burst}");
    if burst != 0.0 && !(1.0..=1e9).contains(&burst) {
        return Err(BadValue::new(what(), "is impossible: a burst is 1 packet or more (0: no bursts)"));
    }
    if burst != 0.0 && loss >= 1.0 {
        return Err(BadValue::new(what(), "cannot end when the loss is 100 %: say block instead"));
    }
    let least = loss / (1.0 - loss);
    if burst != 0.0 && burst < least {
        let why = format!("is too short: with that much loss the mean burst is at least {least:.2} packets");
        return Err(BadValue::new(what(), why));
    }
    Ok(())
}
