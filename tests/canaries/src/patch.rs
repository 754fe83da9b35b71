//! Unified diffs, applied to texts.
//!
//! A hunk belongs where its old lines are, and nowhere else: they must be there exactly once, wherever that is. So a
//! patch outlives changes around it, and never lands in the wrong place.

use std::fmt;

/// Changes to some files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) files: Vec<FilePatch>,
}

/// Changes to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePatch {
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    hunks: Vec<Hunk>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hunk {
    /// Whole lines, each with its end.
    old: String,
    new: String,
}

/// Why a patch is none, or does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadPatch {
    /// It changes nothing.
    Empty,
    /// This line belongs to no hunk, and begins none.
    Stray(String),
    /// The old lines of a hunk are there so many times.
    Found { path: String, times: usize, old: String },
}

impl Patch {
    /// Reads what is left of a file from its first `--- ` on.
    pub(crate) fn parse(text: &str) -> Result<Self, BadPatch> {
        let mut files: Vec<FilePatch> = Vec::new();
        let mut lines = text.split_inclusive('\n');
        while let Some(line) = lines.next() {
            let bare = line.trim_end();
            if line.starts_with("--- ") {
                let to = lines.next().and_then(|line| line.strip_prefix("+++ b/"));
                let path = to.ok_or_else(|| BadPatch::Stray(bare.to_owned()))?.trim_end().to_owned();
                files.push(FilePatch { path, hunks: Vec::new() });
            } else if let Some(file) = files.last_mut() {
                file.take(line).ok_or_else(|| BadPatch::Stray(bare.to_owned()))?;
            } else if !bare.is_empty() {
                return Err(BadPatch::Stray(bare.to_owned()));
            }
        }
        let changes =
            |file: &FilePatch| !file.hunks.is_empty() && file.hunks.iter().all(|hunk| hunk.old != hunk.new);
        if files.is_empty() || !files.iter().all(changes) {
            return Err(BadPatch::Empty);
        }
        Ok(Self { files })
    }
}

impl FilePatch {
    /// A line of a hunk, or the beginning of one. `None` if it is neither.
    fn take(&mut self, line: &str) -> Option<()> {
        if line.starts_with("@@ ") {
            self.hunks.push(Hunk::default());
            return Some(());
        }
        let hunk = self.hunks.last_mut()?;
        // Editors and mail drop the blank that stands for an unchanged empty line.
        let (sign, rest) = if line == "\n" { (" ", line) } else { line.split_at_checked(1)? };
        match sign {
            " " => {
                hunk.old.push_str(rest);
                hunk.new.push_str(rest);
            }
            "-" => hunk.old.push_str(rest),
            "+" => hunk.new.push_str(rest),
            _ => return None,
        }
        Some(())
    }

    /// The file after the patch.
    pub(crate) fn apply(&self, text: &str) -> Result<String, BadPatch> {
        self.hunks.iter().try_fold(text.to_owned(), |text, hunk| {
            // Whole lines only.
            let starts: Vec<usize> = text
                .match_indices(&hunk.old)
                .map(|(at, _)| at)
                .filter(|&at| at == 0 || text.as_bytes().get(at - 1) == Some(&b'\n'))
                .collect();
            match starts[..] {
                [at] => Ok(format!("{}{}{}", &text[..at], hunk.new, &text[at + hunk.old.len()..])),
                _ => {
                    let (path, old) = (self.path.clone(), hunk.old.clone());
                    Err(BadPatch::Found { path, times: starts.len(), old })
                }
            }
        })
    }
}

impl fmt::Display for BadPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "changes nothing"),
            Self::Stray(line) => write!(f, "is no unified diff: {line:?}"),
            Self::Found { path, times, old } => {
                write!(
                    f,
                    "does not apply: {path} has these lines {times} times, not once; make the patch anew:\n{old}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "--- a/x.rs\n+++ b/x.rs\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n";

    fn apply(diff: &str, text: &str) -> Result<String, BadPatch> {
        Patch::parse(diff)?.files[0].apply(text)
    }

    #[test]
    fn a_hunk_lands_where_its_lines_are() {
        assert_eq!(apply(DIFF, "one\ntwo\nthree\n").unwrap(), "one\nTWO\nthree\n");
        assert_eq!(apply(DIFF, "zero\n\none\ntwo\nthree\nfour").unwrap(), "zero\n\none\nTWO\nthree\nfour");
    }

    #[test]
    fn lines_that_are_not_there_or_not_once_are_an_error() {
        let times = |text| match apply(DIFF, text) {
            Err(BadPatch::Found { times, .. }) => times,
            other => panic!("{other:?}"),
        };
        assert_eq!(times("one\n2\nthree\n"), 0);
        assert_eq!(times("stone\ntwo\nthree\n"), 0, "not a whole line");
        assert_eq!(times("one\ntwo\nthree\none\ntwo\nthree\n"), 2);
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        for (text, error) in [
            ("", BadPatch::Empty),
            ("--- a/x.rs\n+++ b/x.rs\n", BadPatch::Empty),
            ("--- a/x.rs\n+++ b/x.rs\n@@ -1 +1 @@\n one\n", BadPatch::Empty),
            ("--- a/x.rs\nrename\n", BadPatch::Stray("--- a/x.rs".to_owned())),
            ("--- a/x.rs\n+++ b/x.rs\nsurprise\n", BadPatch::Stray("surprise".to_owned())),
            ("words\n", BadPatch::Stray("words".to_owned())),
        ] {
            assert_eq!(Patch::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn hunks_of_several_files_are_kept_apart() {
        let two =
            format!("{DIFF}@@ -9 +9 @@\n-nine\n+NINE\n--- a/y.rs\n+++ b/y.rs\n@@ -1 +1,2 @@\n a\n+b\n\n");
        let patch = Patch::parse(&two).unwrap();
        assert_eq!(patch.files[0].apply("one\ntwo\nthree\nnine\n").unwrap(), "one\nTWO\nthree\nNINE\n");
        assert_eq!(patch.files[1].apply("a\n\n").unwrap(), "a\nb\n\n");
    }
}
