//! A copy of the sources that may be broken.
//!
//! It is kept from one run to the next, and only what differs is written: so Cargo builds only what has changed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::patch::Patch;

/// Cargo puts a file of this name into every directory that it builds in; see <https://bford.info/cachedir/>.
const CACHE: &str = "CACHEDIR.TAG";

/// A copy of the sources, and a place for what is built of it.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    /// Makes the copy in `directory` equal to the `sources`.
    pub(crate) fn fill(sources: &Path, directory: PathBuf) -> io::Result<Self> {
        let scratch = Self { directory: std::path::absolute(directory)? };
        let (from, to) = (sources.canonicalize()?, scratch.tree());
        fs::create_dir_all(&to)?;
        let to_skip = scratch.directory.canonicalize()?;
        let (mut wanted, mut there) = (BTreeSet::new(), BTreeSet::new());
        list(&from, &from, &to_skip, &mut wanted)?;
        list(&to, &to, &to_skip, &mut there)?;
        for file in &wanted {
            write_if_other(&to.join(file), &fs::read(from.join(file))?)?;
        }
        for file in there.difference(&wanted) {
            fs::remove_file(to.join(file))?;
        }
        Ok(scratch)
    }

    /// The copy.
    pub(crate) fn tree(&self) -> PathBuf {
        self.directory.join("tree")
    }

    /// Where to build.
    pub(crate) fn build(&self) -> PathBuf {
        self.directory.join("build")
    }

    /// Does something while the copy is patched. Tells why not if the patch does not fit.
    pub(crate) fn with<T>(&self, patch: &Patch, act: impl FnOnce() -> T) -> io::Result<Result<T, String>> {
        let mut changes = Vec::new();
        for file in &patch.files {
            let path = self.tree().join(&file.path);
            let before = fs::read_to_string(&path)?;
            match file.apply(&before) {
                Ok(after) => changes.push((path, before, after)),
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
        for (path, _, after) in &changes {
            fs::write(path, after)?;
        }
        let done = act();
        for (path, before, _) in &changes {
            fs::write(path, before)?;
        }
        Ok(Ok(done))
    }
}

/// Every source file below `directory`, seen from `root`, except what is below `except`.
fn list(root: &Path, directory: &Path, except: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    if directory == except || directory.join(CACHE).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if entry.file_name() == ".git" {
            continue;
        }
        if kind.is_dir() {
            list(root, &path, except, found)?;
        } else if kind.is_file() {
            found.extend(path.strip_prefix(root).map(Path::to_owned));
        }
    }
    Ok(())
}

fn write_if_other(path: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own for a test, which takes away what an earlier run left.
    fn fresh(name: &str) -> PathBuf {
        let directory = std::env::current_exe().unwrap().with_file_name(format!("scratch-{name}"));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn the_copy_becomes_equal_to_the_sources_and_a_patch_is_taken_back() {
        let root = fresh("copy");
        let sources = root.join("sources");
        for (file, text) in
            [("a.rs", "one\n"), ("in/b.rs", "two\n"), (".git/x", "x"), ("built/CACHEDIR.TAG", "")]
        {
            fs::create_dir_all(sources.join(file).parent().unwrap()).unwrap();
            fs::write(sources.join(file), text).unwrap();
        }
        let scratch = Scratch::fill(&sources, sources.join("scratch")).unwrap();
        let read = |file: &str| fs::read_to_string(scratch.tree().join(file)).ok();
        assert_eq!((read("a.rs").as_deref(), read("in/b.rs").as_deref()), (Some("one\n"), Some("two\n")));
        assert!(!scratch.tree().join(".git").exists() && !scratch.tree().join("built").exists());

        let patch = Patch::parse("--- a/a.rs\n+++ b/a.rs\n@@ -1 +1 @@\n-one\n+1\n").unwrap();
        assert_eq!(scratch.with(&patch, || read("a.rs")).unwrap().unwrap().as_deref(), Some("1\n"));
        assert_eq!(read("a.rs").as_deref(), Some("one\n"));
        fs::write(sources.join("a.rs"), "uno\n").unwrap();
        fs::remove_file(sources.join("in/b.rs")).unwrap();
        Scratch::fill(&sources, sources.join("scratch")).unwrap();
        assert_eq!((read("a.rs").as_deref(), read("in/b.rs")), (Some("uno\n"), None));
        let unfit = scratch.with(&patch, || unreachable!("it does not fit")).unwrap();
        assert!(unfit.unwrap_err().contains("does not apply"));
        fs::remove_dir_all(root).unwrap();
    }
}
