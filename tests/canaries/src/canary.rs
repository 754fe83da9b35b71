//! A canary: one fault, as a file `NN-name.patch`. Before the diff stands what is broken in words, and the guarantee:
//!
//! ```text
//! A message counts as handled as soon as it has arrived.
//!
//! Breaks: G5
//! Seen by: properties_links_die_and_race
//!
//! --- a/src/…
//! +++ b/src/…
//! ```

use std::error::Error;
use std::fs;
use std::path::Path;

use crate::patch::Patch;

/// A fault.
#[derive(Clone, Debug)]
pub(crate) struct Canary {
    /// The file's name without its ending.
    pub(crate) name: String,
    /// What is broken.
    pub(crate) fault: String,
    /// By which name the tests are to complain.
    pub(crate) guarantee: String,
    /// Which test, or whose name begins like this.
    pub(crate) seen_by: String,
    pub(crate) patch: Patch,
}

/// Every canary in this directory, by name.
pub(crate) fn all(directory: &Path) -> Result<Vec<Canary>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        files.push(entry?.path());
    }
    files.sort();
    files
        .iter()
        .map(|file| read(file).map_err(|error| format!("{}: {error}", file.display()).into()))
        .collect()
}

fn read(file: &Path) -> Result<Canary, Box<dyn Error>> {
    let name = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".patch"));
    parse(name.ok_or("is no .patch")?, &fs::read_to_string(file)?)
}

fn parse(name: &str, text: &str) -> Result<Canary, Box<dyn Error>> {
    let (head, diff) = text.split_at(text.find("--- a/").ok_or("has no diff")?);
    let (fault, rest) =
        head.split_once("\n\nBreaks: ").ok_or("does not say `Breaks: `, after an empty line")?;
    let (guarantee, seen_by) =
        rest.split_once("\nSeen by: ").ok_or("does not say `Seen by: ` in the line after that")?;
    Ok(Canary {
        name: name.to_owned(),
        fault: fault.split_whitespace().collect::<Vec<_>>().join(" "),
        guarantee: guarantee.to_owned(),
        seen_by: seen_by.trim().to_owned(),
        patch: Patch::parse(diff).map_err(|error| error.to_string())?,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{patches, repository};

    #[test]
    fn a_canary_says_what_it_breaks() {
        let text =
            "Order is\nforgotten.\n\nBreaks: G4\nSeen by: life_\n\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";
        let canary = parse("04-order", text).unwrap();
        assert_eq!(canary.fault, "Order is forgotten.");
        assert_eq!((canary.guarantee.as_str(), canary.seen_by.as_str()), ("G4", "life_"));
        assert!(parse("x", "Order is forgotten.\n\n--- a/x\n+++ b/x\n").is_err());
        assert!(parse("x", &text.replace("Seen by", "Heard by")).is_err());
        assert!(parse("x", text.split_at(60).0).is_err());
    }

    /// The sources move on: a patch that does not fit any more is to be made anew in the same change.
    #[test]
    fn every_patch_applies_to_the_sources() {
        let canaries = all(&patches()).unwrap();
        assert!(canaries.len() >= 20, "only {} canaries", canaries.len());
        for canary in &canaries {
            for file in &canary.patch.files {
                assert!(file.path.starts_with("src/"), "{}: a fault is in the product", canary.name);
                let text = fs::read_to_string(repository().join(&file.path)).unwrap();
                file.apply(&text).unwrap_or_else(|error| panic!("{}: {error}", canary.name));
            }
        }
    }

    #[test]
    fn the_table_lists_every_canary() {
        let readme = fs::read_to_string(repository().join("tests/canaries/README.md")).unwrap();
        let listed: BTreeSet<&str> = readme.lines().filter(|line| line.starts_with("| `")).collect();
        let canaries = all(&patches()).unwrap();
        let expected: BTreeSet<String> = canaries
            .iter()
            .map(|Canary { name, fault, guarantee, seen_by, .. }| {
                format!("| `{name}` | {fault} | {guarantee} | `{seen_by}` |")
            })
            .collect();
        assert_eq!(listed, expected.iter().map(String::as_str).collect());
    }

    #[test]
    fn every_guarantee_that_is_broken_is_written_down() {
        let guarantees = fs::read_to_string(repository().join("docs/guarantees.md")).unwrap();
        for canary in all(&patches()).unwrap() {
            assert!(guarantees.contains(&format!("\n| {} ", canary.guarantee)), "{}", canary.name);
        }
    }
}
