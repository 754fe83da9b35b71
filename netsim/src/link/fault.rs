//! The ways in which conditions hurt packets, one by one.

use super::conditions::Conditions;
use super::counts::Met;
use crate::values::{Length, Percent};

/// A way in which conditions hurt packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Block,
    Stall,
    Mtu,
    Drop,
    Loss,
    Reorder,
    Duplicate,
    Corrupt,
}

impl Fault {
    pub(crate) const ALL: [Self; 8] = [
        Self::Block,
        Self::Stall,
        Self::Mtu,
        Self::Drop,
        Self::Loss,
        Self::Reorder,
        Self::Duplicate,
        Self::Corrupt,
    ];

    /// Whether these conditions say anything about it.
    pub(crate) fn is_said(self, said: &Conditions) -> bool {
        match self {
            Self::Block => said.block.is_some(),
            Self::Stall => said.stall.is_some(),
            Self::Mtu => said.mtu.is_some(),
            Self::Drop => said.drop.is_some() || said.drop_bitmap.is_some(),
            Self::Loss => said.loss.is_some(),
            Self::Reorder => said.reorder.is_some(),
            Self::Duplicate => said.duplicate.is_some(),
            Self::Corrupt => said.corrupt.is_some(),
        }
    }

    /// Whether these conditions switch it on.
    pub(crate) fn is_on(self, said: &Conditions) -> bool {
        let share = |said: Option<Percent>| said.is_some_and(|percent| percent.0 > 0.0);
        match self {
            Self::Block => said.block == Some(true),
            Self::Stall => said.stall == Some(true),
            Self::Mtu => said.mtu.is_some_and(|mtu| mtu < u16::MAX),
            Self::Drop => {
                let listed = said.drop.as_ref().is_some_and(|numbers| !numbers.is_empty());
                listed || said.drop_bitmap.as_ref().is_some_and(|bitmap| bitmap.contains('1'))
            }
            Self::Loss => share(said.loss),
            Self::Reorder => share(said.reorder) && said.reorder_by.is_some_and(|by| by > Length::default()),
            Self::Duplicate => share(said.duplicate),
            Self::Corrupt => share(said.corrupt),
        }
    }

    /// Whether it is under these conditions as `said` says; what `said` does not mention may be anything.
    pub(crate) fn is_as_said(self, conditions: &Conditions, said: &Conditions) -> bool {
        fn agrees<T: PartialEq>(is: &Option<T>, said: &Option<T>) -> bool {
            said.is_none() || is == said
        }
        macro_rules! all_agree {
            ($($field:ident),*) => { $(agrees(&conditions.$field, &said.$field))&&* };
        }
        match self {
            Self::Block => all_agree!(block),
            Self::Stall => all_agree!(stall),
            Self::Mtu => all_agree!(mtu),
            Self::Drop => all_agree!(drop, drop_bitmap),
            Self::Loss => all_agree!(loss, burst),
            Self::Reorder => all_agree!(reorder, reorder_by),
            Self::Duplicate => all_agree!(duplicate),
            Self::Corrupt => all_agree!(corrupt),
        }
    }

    /// How many packets it hit.
    pub(crate) fn hits(self, met: &Met) -> u64 {
        match self {
            Self::Block => met.blocked,
            Self::Stall => met.stalled,
            Self::Mtu => met.too_big,
            Self::Drop => met.dropped,
            Self::Loss => met.lost,
            Self::Reorder => met.held_back,
            Self::Duplicate => met.duplicated,
            Self::Corrupt => met.corrupted,
        }
    }

    /// The chance of each packet to begin such a fault; nothing if it is certain to come when it is on.
    pub(crate) fn chance(self, said: &Conditions) -> Option<f64> {
        let share = match self {
            Self::Block | Self::Stall | Self::Mtu | Self::Drop => return None,
            Self::Loss => said.loss,
            Self::Reorder => said.reorder,
            Self::Duplicate => said.duplicate,
            Self::Corrupt => said.corrupt,
        };
        let burst = if self == Self::Loss { said.burst.unwrap_or(0.0).max(1.0) } else { 1.0 };
        share.filter(|share| share.0 < 100.0).map(|share| share.probability() / burst)
    }

    /// As a file says it.
    pub(crate) fn words(self, said: &Conditions) -> String {
        let percent =
            |name: &str, share: Option<Percent>| format!("{name} {} %", share.unwrap_or_default().0);
        match self {
            Self::Block => "block".into(),
            Self::Stall => "stall".into(),
            Self::Mtu => format!("mtu {}", said.mtu.unwrap_or(u16::MAX)),
            Self::Drop => "drop".into(),
            Self::Loss => match said.burst.filter(|burst| *burst > 0.0) {
                Some(burst) => format!("{} in bursts of {burst}", percent("loss", said.loss)),
                None => percent("loss", said.loss),
            },
            Self::Reorder => percent("reorder", said.reorder),
            Self::Duplicate => percent("duplicate", said.duplicate),
            Self::Corrupt => percent("corrupt", said.corrupt),
        }
    }
}
