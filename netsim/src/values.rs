//! Values as people write them: percentages, lengths of time, rates. Each is checked where it is read.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A value that makes no sense, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {why}")]
#[non_exhaustive]
pub struct BadValue {
    /// The key and the value.
    pub what: String,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

impl BadValue {
    pub(crate) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into() }
    }
}

/// A percentage from 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize)]
pub(crate) struct Percent(pub(crate) f64);

impl Percent {
    pub(crate) fn check(self, key: &str) -> Result<(), BadValue> {
        if (0.0..=100.0).contains(&self.0) {
            return Ok(());
        }
        let what = if key.is_empty() { format!("{} %", self.0) } else { format!("{key} = {} %", self.0) };
        Err(BadValue::new(what, "is impossible: a share lies between 0 and 100 %"))
    }

    pub(crate) fn probability(self) -> f64 {
        self.0 / 100.0
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let percent = Self(from.deserialize_any(Number)?);
        percent.check("").map_err(de::Error::custom)?;
        Ok(percent)
    }
}

struct Number;

impl Visitor<'_> for Number {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of per cent, such as 2 or 0.5")
    }

    fn visit_i64<E>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_u64<E>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_f64<E>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }
}

/// A length of time, written `250ms`, `1.5s`, `2min`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Length(pub(crate) Duration);

/// Reads a length of time: a number and `ns`, `us`, `ms`, `s`, `min` or `h`, such as `250ms`.
pub fn parse_duration(text: &str) -> Result<Duration, BadValue> {
    text.parse::<Length>().map(|length| length.0)
}

const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl FromStr for Length {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = || {
            BadValue::new(
                format!("{text:?}"),
                "is no length of time: write a number and ns, us, ms, s, min or h, such as \"250ms\"",
            )
        };
        let text_only = text.trim();
        let digits_end = text_only.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, unit) = text_only.split_at(digits_end);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(bad)?;
        let number: f64 = number.parse().map_err(|_| bad())?;
        let nanos = (number * *scale as f64).round();
        // A thousand years of nanoseconds do not fit; a hundred do.
        if nanos > 3.2e18 {
            return Err(BadValue::new(format!("{text:?}"), "is more than a hundred years"));
        }
        Ok(Self(Duration::from_nanos(nanos as u64)))
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let fits = |unit: &&(&str, u64)| matches!(unit.0, "ns" | "us" | "ms" | "s");
        let mut units = UNITS.iter().filter(fits).rev();
        let exact = units.find(|(_, scale)| nanos.is_multiple_of(u128::from(*scale)));
        let (name, scale) = exact.unwrap_or(&UNITS[0]);
        write!(f, "{}{name}", nanos / u128::from(*scale))
    }
}

/// Bits per second, written `8 Mbit/s`; `unlimited` is a rate too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speed {
    Unlimited,
    BitsPerSecond(u64),
}

impl FromStr for Speed {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = || {
            BadValue::new(
                format!("{text:?}"),
                "is no rate: write a number above 0 and bit/s, kbit/s, Mbit/s or Gbit/s, or \"unlimited\"",
            )
        };
        if text.trim() == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, unit) = text.split_at(digits_end);
        let scale = match unit.trim() {
            "bit/s" => 1.0,
            "kbit/s" => 1e3,
            "Mbit/s" => 1e6,
            "Gbit/s" => 1e9,
            _ => return Err(bad()),
        };
        let bits = number.parse::<f64>().map_err(|_| bad())? * scale;
        if (1.0..=1e15).contains(&bits) { Ok(Self::BitsPerSecond(bits.round() as u64)) } else { Err(bad()) }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::BitsPerSecond(bits) if bits % 1_000_000 == 0 => write!(f, "{} Mbit/s", bits / 1_000_000),
            Self::BitsPerSecond(bits) if bits % 1_000 == 0 => write!(f, "{} kbit/s", bits / 1_000),
            Self::BitsPerSecond(bits) => write!(f, "{bits} bit/s"),
        }
    }
}

/// Read and written as text.
macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(de::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    )*};
}

as_text!(Length, Speed);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_and_write_the_same() {
        for (text, nanos, written) in [
            ("250ms", 250_000_000, "250ms"),
            ("1.5s", 1_500_000_000, "1500ms"),
            ("2 min", 120_000_000_000, "120s"),
            ("7ns", 7, "7ns"),
            ("0s", 0, "0s"),
        ] {
            let length: Length = text.parse().unwrap();
            assert_eq!(length.0, Duration::from_nanos(nanos), "{text}");
            assert_eq!(length.to_string(), written);
        }
        for bad in ["", "5", "s", "-1s", "1.2.3s", "5 parsecs", "1e9s", "99999999999h"] {
            assert!(bad.parse::<Length>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_read_and_write_the_same() {
        for text in ["8 Mbit/s", "64 kbit/s", "999 bit/s", "unlimited"] {
            assert_eq!(text.parse::<Speed>().unwrap().to_string(), text);
        }
        for bad in ["0 Mbit/s", "8", "8 MB/s", "-1 bit/s", "fast"] {
            assert!(bad.parse::<Speed>().is_err(), "{bad}");
        }
    }
}
