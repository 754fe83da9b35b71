//! Which seeds to run: those of the environment, or a fixed number.

use std::env;

/// The one seed that is to be replayed, `SEED=…`.
pub(crate) fn asked() -> Option<Vec<u64>> {
    let value = env::var("SEED").ok()?;
    Some(vec![number("SEED", &value)])
}

/// `SEED=…` alone; or many, `SEEDS=…`: so many from 0 on, or from one to before another, `A..B`.
pub(crate) fn many() -> Option<Vec<u64>> {
    asked().or_else(|| {
        let value = env::var("SEEDS").ok()?;
        let (from, to) = value.split_once("..").unwrap_or(("0", &value));
        let (from, to) = (number("SEEDS", from), number("SEEDS", to));
        assert!(from < to, "SEEDS={value}: there is no seed from {from} to before {to}");
        Some((from..to).collect())
    })
}

fn number(name: &str, value: &str) -> u64 {
    value.parse().unwrap_or_else(|_| panic!("{name}: {value:?} is not a number"))
}
