//! Which seeds to run: those of the environment, or a fixed number.

use std::env;

/// The one seed that is to be replayed, `SEED=…`.
pub(crate) fn asked() -> Option<Vec<u64>> {
    number("SEED").map(|seed| vec![seed])
}

/// `SEED=…` alone, `SEEDS=…` many from 0 on, or this many.
pub(crate) fn many(default: u64) -> Vec<u64> {
    asked().unwrap_or_else(|| (0..number("SEEDS").unwrap_or(default)).collect())
}

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}
