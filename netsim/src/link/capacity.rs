//! Recorded bandwidth in mahimahi's format.

use std::fmt;
use std::sync::Arc;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::time::Time;
use crate::values::BadValue;

const NANOS_PER_MS: u64 = 1_000_000;

/// Recorded bandwidth: the moments at which a link could carry one packet of 1500 bytes.
///
/// This is the format of mahimahi (Netravali and others: "Mahimahi: Accurate Record-and-Replay for HTTP",
/// USENIX ATC 2015) and of the traces that come with it: one line per opportunity, milliseconds since the
/// beginning, ascending, several lines alike for several packets in one millisecond. After the last line the
/// trace begins again. Small packets share an opportunity; what nobody uses is gone.
///
/// A scenario file has the moments in a list, `trace = [3, 3, 10]`, or names a file beside it that has them,
/// `trace = "lte.trace"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapacityTrace {
    millis: Arc<[u64]>,
    /// The file that it stands in, until that has been read.
    file: Option<Arc<str>>,
}

impl CapacityTrace {
    /// Bytes of IP packets that one opportunity carries.
    pub(crate) const OPPORTUNITY_BYTES: u64 = 1500;

    /// A trace from its lines.
    pub fn parse(text: &str) -> Result<Self, BadValue> {
        let mut millis = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let number = line.trim().parse().map_err(|_| {
                let why = "is no number of milliseconds: a trace has one whole number in each line";
                BadValue::new(format!("trace line {}: {line:?}", index + 1), why)
            })?;
            millis.push(number);
        }
        Self::from_millis(millis)
    }

    /// A trace from the moments of its opportunities.
    pub fn from_millis(millis: impl Into<Arc<[u64]>>) -> Result<Self, BadValue> {
        let millis = millis.into();
        if millis.last().is_none_or(|last| *last == 0) {
            return Err(BadValue::new("trace", "is empty: its last moment must lie after 0 ms"));
        }
        if let Some(pair) = millis.windows(2).find(|pair| pair[0] > pair[1]) {
            return Err(BadValue::new(format!("trace: {} before {}", pair[0], pair[1]), "is not ascending"));
        }
        // A year. Beyond, the moments of later rounds would not fit.
        if millis.last().is_some_and(|last| *last > 31_536_000_000) {
            return Err(BadValue::new("trace", "is longer than a year"));
        }
        Ok(Self { millis, file: None })
    }

    /// The file that has yet to be read, if there is one.
    pub(crate) fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The mean rate, in bits per second.
    pub fn mean_bits_per_second(&self) -> u64 {
        let bits = self.millis.len() as u64 * Self::OPPORTUNITY_BYTES * 8;
        bits * 1000 / self.period_millis()
    }

    /// When the opportunity with this index comes, counted over all rounds.
    pub(crate) fn moment(&self, index: u64) -> Time {
        let count = self.millis.len() as u64;
        let in_round = self.millis[(index % count) as usize];
        let millis = (index / count).saturating_mul(self.period_millis()).saturating_add(in_round);
        Time::from_millis(millis)
    }

    /// The first opportunity at or after this moment.
    pub(crate) fn first_at(&self, now: Time) -> u64 {
        let millis = now.as_nanos().div_ceil(NANOS_PER_MS);
        // The last opportunity of a round falls together with the beginning of the next round.
        let round = millis.saturating_sub(1) / self.period_millis();
        let in_round = millis - round * self.period_millis();
        let before = self.millis.partition_point(|moment| *moment < in_round) as u64;
        round * self.millis.len() as u64 + before
    }

    fn period_millis(&self) -> u64 {
        self.millis[self.millis.len() - 1]
    }
}

impl Serialize for CapacityTrace {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.millis.serialize(to)
    }
}

impl<'de> Deserialize<'de> for CapacityTrace {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Opportunities)
    }
}

/// The moments themselves, or the name of a file that has them.
struct Opportunities;

impl<'de> Visitor<'de> for Opportunities {
    type Value = CapacityTrace;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of milliseconds, or the name of a file that has one in each line")
    }

    fn visit_str<E: de::Error>(self, file: &str) -> Result<CapacityTrace, E> {
        Ok(CapacityTrace { millis: Arc::new([]), file: Some(file.into()) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, from: A) -> Result<CapacityTrace, A::Error> {
        let millis = Vec::deserialize(SeqAccessDeserializer::new(from))?;
        CapacityTrace::from_millis(millis).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opportunities_repeat_and_are_found() {
        let trace = CapacityTrace::parse("0\n2\n2\n\n5\n").unwrap();
        let moments: Vec<_> = (0..9).map(|index| trace.moment(index).as_nanos() / NANOS_PER_MS).collect();
        assert_eq!(moments, [0, 2, 2, 5, 5, 7, 7, 10, 10]);
        for nanos in (0..25_000_000).step_by(250_000) {
            let now = Time::from_nanos(nanos);
            let first = trace.first_at(now);
            assert!(trace.moment(first) >= now, "{now}");
            assert!(first == 0 || trace.moment(first - 1) < now, "{now}");
        }
        assert_eq!(trace.mean_bits_per_second(), 4 * 12_000 * 200);
    }

    #[test]
    fn a_bad_trace_is_refused_with_its_line() {
        assert!(CapacityTrace::parse("1\n2\nx").unwrap_err().to_string().contains("line 3"));
        assert!(CapacityTrace::parse("").unwrap_err().to_string().contains("empty"));
        assert!(CapacityTrace::parse("0").unwrap_err().to_string().contains("empty"));
        assert!(CapacityTrace::parse("5\n4").unwrap_err().to_string().contains("ascending"));
    }
}
