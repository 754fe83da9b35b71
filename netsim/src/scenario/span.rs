//! Lengths of time that are drawn from a range.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use crate::values::{BadValue, Length};

/// From one length of time to another, written `20s..90s`; a single length is a range of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

impl Range {
    /// The length at this share of the range.
    pub(crate) fn at(self, share: f64) -> Duration {
        // Whole milliseconds: a range is about seconds, and the figures stay readable.
        let width = self.to.saturating_sub(self.from).as_millis() as f64;
        self.from + Duration::from_millis((width * share).round() as u64)
    }

    pub(crate) fn is_random(self) -> bool {
        self.from != self.to
    }
}

impl From<Duration> for Range {
    fn from(length: Duration) -> Self {
        Self { from: length, to: length }
    }
}

impl FromStr for Range {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let Some((from, to)) = text.split_once("..") else {
            return text.parse::<Length>().map(|length| length.0.into());
        };
        let (from, to) = (from.parse::<Length>()?.0, to.parse::<Length>()?.0);
        if from > to {
            return Err(BadValue::new(format!("{text:?}"), "ends before it begins"));
        }
        Ok(Self { from, to })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Length(self.from))?;
        if self.is_random() { write!(f, "..{}", Length(self.to)) } else { Ok(()) }
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_read_and_write_the_same() {
        let range: Range = "20s..90s".parse().unwrap();
        assert_eq!((range.at(0.0), range.at(0.5)), (Duration::from_secs(20), Duration::from_secs(55)));
        assert_eq!(range.to_string(), "20s..90s");
        assert_eq!("5s".parse::<Range>().unwrap().to_string(), "5s");
        assert!("90s..20s".parse::<Range>().unwrap_err().to_string().contains("ends before"));
    }
}
