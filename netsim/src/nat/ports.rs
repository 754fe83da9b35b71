//! Which outside port a new mapping gets.

use std::ops::RangeInclusive;

use super::config::NatConfig;
use crate::random::Draws;

#[derive(Debug)]
pub(super) struct Ports {
    draws: Draws,
    drawn: u64,
    all: RangeInclusive<u16>,
    preserve: bool,
}

impl Ports {
    pub(super) fn new(draws: Draws, config: &NatConfig) -> Self {
        let [first, last] = config.ports;
        Self { draws, drawn: 0, all: first..=last, preserve: config.preserve_ports }
    }

    /// The inside port itself where that is wished and free; else a drawn one of the same range (REQ-3a) and
    /// parity (REQ-4); else of the same range; else whatever is left.
    pub(super) fn choose(
        &mut self,
        inside: u16,
        may_preserve: bool,
        taken: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        let free = |port: &u16| self.all.contains(port) && !taken(*port);
        if self.preserve && may_preserve && free(&inside) {
            return Some(inside);
        }
        self.drawn += 1;
        let system = 1_u16..=1023;
        let user = 1024_u16..=u16::MAX;
        let alike = if system.contains(&inside) { system } else { user };
        let alike = *alike.start().max(self.all.start())..=*alike.end().min(self.all.end());
        let same_parity = |port: &u16| port % 2 == inside % 2;
        self.from(&alike, |port| same_parity(port) && free(port))
            .or_else(|| self.from(&alike, free))
            .or_else(|| self.from(&self.all, free))
    }

    /// The first that fits, from a drawn place on and round once.
    fn from(&self, range: &RangeInclusive<u16>, fits: impl Fn(&u16) -> bool) -> Option<u16> {
        let (first, last) = (u32::from(*range.start()), u32::from(*range.end()));
        let count = (last + 1).checked_sub(first).filter(|count| *count > 0)?;
        let start = self.draws.below(u64::from(count), self.drawn, 0) as u32;
        let places = (0..count).map(|step| first + (start + step) % count);
        places.filter_map(|port| u16::try_from(port).ok()).find(fits)
    }
}
