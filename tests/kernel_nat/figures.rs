//! What was measured in many runs, and the bounds that it must keep.

use std::collections::BTreeMap;
use std::time::Duration;

/// What one run measured: values by the name of the figure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(pub(crate) BTreeMap<&'static str, Vec<f64>>);

/// Which of many values a bound is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    P99,
    Max,
}

/// What a figure may be at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) figure: &'static str,
    pub(crate) of: Of,
    pub(crate) at_most: f64,
}

pub(crate) const fn p99(figure: &'static str, at_most: f64) -> Bound {
    Bound { figure, of: Of::P99, at_most }
}

pub(crate) const fn max(figure: &'static str, at_most: f64) -> Bound {
    Bound { figure, of: Of::Max, at_most }
}

impl Figures {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with(mut self, figure: &'static str, value: f64) -> Self {
        self.0.entry(figure).or_default().push(value);
        self
    }

    /// Times, in milliseconds.
    pub(crate) fn times(mut self, figure: &'static str, times: impl IntoIterator<Item = Duration>) -> Self {
        self.0.entry(figure).or_default().extend(times.into_iter().map(|time| time.as_secs_f64() * 1e3));
        self
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (figure, values) in other.0 {
            self.0.entry(figure).or_default().extend(values);
        }
    }

    /// Each figure with its values in ascending order.
    pub(crate) fn sorted(&self) -> BTreeMap<&'static str, Vec<f64>> {
        let mut all = self.0.clone();
        all.values_mut().for_each(|values| values.sort_by(f64::total_cmp));
        all
    }

    /// What is beyond a bound. Times are given so much more, in milliseconds.
    pub(crate) fn beyond(&self, bounds: &[Bound], more: f64) -> Vec<String> {
        let sorted = self.sorted();
        let check = |bound: &Bound| {
            let Some(values) = sorted.get(bound.figure).filter(|values| !values.is_empty()) else {
                return Some(format!("{} was not measured", bound.figure));
            };
            let (name, value) = match bound.of {
                Of::P99 => ("p99", quantile(values, 0.99)),
                Of::Max => ("the longest", quantile(values, 1.0)),
            };
            let limit = bound.at_most + if bound.figure.ends_with("_ms") { more } else { 0.0 };
            (value > limit)
                .then(|| format!("{}: {name} of {} is {value:.1}, over {limit}", bound.figure, values.len()))
        };
        bounds.iter().filter_map(check).collect()
    }
}

/// Of values in ascending order the one at a place from 0 to 1.
pub(crate) fn quantile(sorted: &[f64], at: f64) -> f64 {
    let index = ((sorted.len() as f64 * at).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
