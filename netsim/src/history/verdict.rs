//! What the checkers found.

use std::collections::BTreeMap;
use std::fmt;

use super::record::MessageKey;
use crate::time::Time;

/// A promise about messages, under the numbers that Bowline's documents use. G9 to G12 speak of links, secrets,
/// memory and bytes from strangers, which no history of messages shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// A message accepted on a reliable channel is delivered, or its receipt says why not.
    G1,
    /// Every delivery has exactly one matching send, byte for byte.
    G2,
    /// The first delivery of a message comes once; whatever comes again is marked.
    G3,
    /// A channel that keeps order hands over rising numbers; it skips only what has expired, and says so.
    G4,
    /// A sender is told of nothing that did not happen: received means held, handled means handled.
    G5,
    /// Unreliable channels never transmit again and never duplicate.
    G6,
    /// Nothing is handed over after its deadline, and no end is claimed that the receiver knows better.
    G7,
    /// Every receipt resolves exactly once.
    G8,
    /// Once the network heals, the peers are connected and the backlog drains, in time.
    G13,
    /// One channel's stall never blocks another.
    G14,
    /// No storm of dials, no storm of packets.
    G15,
}

impl Guarantee {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::G1,
        Self::G2,
        Self::G3,
        Self::G4,
        Self::G5,
        Self::G6,
        Self::G7,
        Self::G8,
        Self::G13,
        Self::G14,
        Self::G15,
    ];

    /// Its name in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::G1 => "no loss",
            Self::G2 => "no invention",
            Self::G3 => "no duplicate",
            Self::G4 => "order",
            Self::G5 => "ack truth",
            Self::G6 => "no retransmission",
            Self::G7 => "expiry",
            Self::G8 => "receipts",
            Self::G13 => "recovery",
            Self::G14 => "independence",
            Self::G15 => "no storm",
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?} {}", self.title())
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// Which promise.
    pub guarantee: Guarantee,
    /// When it was broken.
    pub at: Time,
    /// The message, where it is about one.
    pub message: Option<MessageKey>,
    /// The message or the peer, in words.
    pub subject: String,
    /// What was wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at {}: {}: {}", self.guarantee, self.at, self.subject, self.what)
    }
}

/// What the checkers found in a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a verdict that nobody looks at proves nothing"]
pub struct Verdict {
    pub(super) violations: Vec<Violation>,
    pub(super) judged: BTreeMap<Guarantee, u64>,
}

impl Verdict {
    /// The broken promises, the earliest first.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many facts were held against a promise: deliveries, receipts, messages, windows of time. A promise
    /// with 0 was not tested.
    pub fn judged(&self, guarantee: Guarantee) -> u64 {
        self.judged.get(&guarantee).copied().unwrap_or(0)
    }

    /// `Err` if a promise was broken, or if one of these was not tested at all.
    pub fn require(self, tested: &[Guarantee]) -> Result<Self, Broken> {
        let untested: Vec<_> = tested.iter().filter(|it| self.judged(**it) == 0).copied().collect();
        if self.violations.is_empty() && untested.is_empty() {
            return Ok(self);
        }
        Err(Broken { violations: self.violations, untested })
    }
}

/// Promises that were broken or not tested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", words(.violations, .untested))]
#[non_exhaustive]
pub struct Broken {
    /// What was broken, the earliest first.
    pub violations: Vec<Violation>,
    /// What should have been tested, and no fact of the history was about it.
    pub untested: Vec<Guarantee>,
}

/// More than this many are counted, not shown.
const SHOWN: usize = 20;

fn words(violations: &[Violation], untested: &[Guarantee]) -> String {
    let mut lines: Vec<String> = violations.iter().take(SHOWN).map(Violation::to_string).collect();
    if violations.len() > SHOWN {
        lines.push(format!("and {} more", violations.len() - SHOWN));
    }
    lines.extend(untested.iter().map(|guarantee| format!("{guarantee}: nothing in the history tests it")));
    lines.join("\n")
}
