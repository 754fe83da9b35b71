//! Reading scenarios from TOML, and what can be wrong with one.

use std::fs;
use std::path::{Path, PathBuf};

use super::Scenario;
use crate::link::CapacityTrace;
use crate::values::BadValue;

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// No scenario has that name.
    #[error("there is no scenario {name:?}{}", suggestion(.nearest))]
    Unknown {
        /// The name.
        name: String,
        /// Names that look like it.
        nearest: Vec<String>,
    },
    /// A recorded trace is none.
    #[error("the trace {}: {source}", path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BadValue,
    },
    /// The file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The text is no scenario. Says the line, and shows it.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A value makes no sense, alone or together with others.
    #[error(transparent)]
    Value(#[from] BadValue),
}

fn suggestion(nearest: &[String]) -> String {
    if nearest.is_empty() {
        "; `netsim list` lists them all".into()
    } else {
        format!("; did you mean {}?", nearest.join(" or "))
    }
}

impl Scenario {
    /// The scenario with this name, or in this file if the name ends in `.toml`.
    pub fn find(name: &str) -> Result<Self, ScenarioError> {
        if name.ends_with(".toml") {
            return Self::load(Path::new(name));
        }
        let mut all = Self::all();
        match all.iter().position(|scenario| scenario.name == name) {
            Some(place) => Ok(all.swap_remove(place)),
            None => {
                let names = all.iter().map(|scenario| scenario.name.as_str());
                Err(ScenarioError::Unknown { name: name.into(), nearest: nearest(name, names) })
            }
        }
    }

    /// Reads a scenario from a TOML file. Without a name of its own it has the file's. Recorded traces that it
    /// names are looked for from the folder where it is.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
        let mut scenario: Self = toml::from_str(&text)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for conditions in scenario.all_conditions() {
            conditions.read_trace(&mut |file| read_trace(&folder.join(file)))?;
        }
        scenario.check()?;
        if scenario.name.is_empty() {
            scenario.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        }
        Ok(scenario)
    }

    /// Reads a scenario from TOML.
    pub fn from_toml(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Writes the scenario as TOML.
    pub fn to_toml(&self) -> Result<String, BadValue> {
        toml::to_string(self)
            .map_err(|error| BadValue::new(format!("the scenario {:?}", self.name), error.to_string()))
    }
}

/// A recorded trace in mahimahi's format.
fn read_trace(path: &Path) -> Result<CapacityTrace, ScenarioError> {
    let text =
        fs::read_to_string(path).map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
    CapacityTrace::parse(&text).map_err(|source| ScenarioError::Trace { path: path.to_owned(), source })
}

/// The names nearest to one that is not there, at most three.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut near: Vec<_> = names
        .map(|known| (if known.contains(name) { 0 } else { distance(name, known) }, known))
        .filter(|(distance, known)| *distance <= known.len().max(name.len()) / 2)
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, known)| known.to_owned()).collect()
}

/// How many letters must be put in, taken out or replaced (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for column in 0..other.len() {
            let replaced = diagonal + usize::from(letter != other[column]);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
