//! Conditions taken apart: each aspect is said or not said as a whole.

use super::conditions::Conditions;

/// What conditions speak of, the harmful first.
const ASPECTS: [&str; 12] = [
    "block",
    "stall",
    "drop",
    "loss",
    "reorder",
    "duplicate",
    "corrupt",
    "mtu",
    "rate",
    "queue-bytes",
    "jitter",
    "delay",
];

impl Conditions {
    /// The aspects that are spoken of.
    pub(crate) fn aspects(&self) -> Vec<&'static str> {
        let alone = |aspect: &&'static str| !self.keeping(|kept| kept == *aspect).is_empty();
        ASPECTS.into_iter().filter(alone).collect()
    }

    /// What is said about these aspects.
    pub(crate) fn keeping(&self, keep: impl Fn(&str) -> bool) -> Self {
        let mut kept = Self::new();
        macro_rules! take {
            ($($aspect:literal: $($field:ident),*;)*) => {$(
                if keep($aspect) {
                    $(kept.$field.clone_from(&self.$field);)*
                }
            )*};
        }
        take! {
            "block": block;
            "stall": stall;
            "drop": drop, drop_bitmap;
            "loss": loss, burst;
            "reorder": reorder, reorder_by;
            "duplicate": duplicate;
            "corrupt": corrupt;
            "mtu": mtu;
            "rate": rate, trace;
            "queue-bytes": queue_bytes;
            "jitter": jitter;
            "delay": delay;
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::link::CapacityTrace;

    #[test]
    fn together_the_aspects_are_the_whole() {
        let ms = Duration::from_millis;
        let most = Conditions::new().delay(ms(1)).jitter(ms(1)).loss(1.0).burst(2.0).drop([1]);
        let most = most.drop_bitmap("01").reorder(1.0, ms(1)).duplicate(1.0).corrupt(1.0);
        let most = most.queue_bytes(9_000).mtu(1_000).block(true).stall(true);
        for rate in
            [Conditions::new().rate(8), Conditions::new().trace(CapacityTrace::from_millis([1]).unwrap())]
        {
            let whole = most.clone().and(&rate);
            assert_eq!(whole.aspects(), ASPECTS);
            assert_eq!(whole.keeping(|_| true), whole);
            let parts = ASPECTS.into_iter().map(|aspect| whole.keeping(|kept| kept == aspect));
            assert_eq!(parts.fold(Conditions::new(), |sum, part| sum.and(&part)), whole);
        }
    }
}
