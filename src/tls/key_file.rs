//! The file an identity lives in: private to its owner, created whole or not at all, never overwritten.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::error::IdentityError;
use super::pem;

/// Reads the file at `path`, provided that it is a regular file which only its owner can read or change.
pub(super) fn read(path: &Path) -> Result<String, IdentityError> {
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::NotFound => IdentityError::NotFound { path: path.into() },
        _ => IdentityError::Read { path: path.into(), source },
    };
    // Asked before opening, because opening a pipe waits for whoever writes to it.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(IdentityError::NotAFile { path: path.into() });
    }
    let file = File::open(path).map_err(failed)?;
    refuse_shared(path, &file.metadata().map_err(failed)?)?;
    pem::read(file).map_err(failed)
}

#[cfg(unix)]
fn refuse_shared(path: &Path, metadata: &fs::Metadata) -> Result<(), IdentityError> {
    use std::os::unix::fs::PermissionsExt;

    const GROUP_AND_OTHERS: u32 = 0o077;
    match metadata.permissions().mode() & 0o7777 {
        mode if mode & GROUP_AND_OTHERS == 0 => Ok(()),
        mode => Err(IdentityError::OpenToOthers { path: path.into(), mode }),
    }
}

#[cfg(not(unix))]
fn refuse_shared(_path: &Path, _metadata: &fs::Metadata) -> Result<(), IdentityError> {
    Ok(())
}

/// Creates the file at `path`, or returns false when something is there already.
///
/// The text is written to a draft beside it, named after `unique`, and then linked to its place. So a process that
/// starts at the same moment finds a whole file or none, and a crash in between leaves at most a draft.
pub(super) fn create(path: &Path, text: &str, unique: &str) -> Result<bool, IdentityError> {
    create_with(path, text, unique, |draft, path| fs::hard_link(draft, path))
}

fn create_with(
    path: &Path,
    text: &str,
    unique: &str,
    link: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> Result<bool, IdentityError> {
    let failed = |source| IdentityError::Write { path: path.into(), source };
    let directory = directory_of(path);
    if !directory.is_dir() {
        return Err(IdentityError::MissingDirectory { path: directory.into() });
    }
    let draft = draft_beside(path, unique).map_err(failed)?;
    write_new(&draft, text).map_err(failed)?;
    let created = link(&draft, path).or_else(|refused| match refused.kind() {
        ErrorKind::AlreadyExists => Err(refused),
        // No hard links on this file system.
        _ => write_new(path, text),
    });
    // A draft that stays behind is private and its key was never used.
    let _ = fs::remove_file(&draft);
    match created {
        Ok(()) => {
            sync_directory(directory);
            Ok(true)
        }
        Err(refused) if refused.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(refused) => Err(failed(refused)),
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn draft_beside(path: &Path, unique: &str) -> io::Result<PathBuf> {
    let name =
        path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "not the name of a file"))?;
    let mut draft = OsString::from(name);
    draft.push(format!(".{unique}.new"));
    Ok(path.with_file_name(draft))
}

/// Writes a file that must not exist yet, readable by its owner alone, and waits until it is on disk.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

/// Makes a new name in a directory outlive a power cut, where the platform can do that.
fn sync_directory(directory: &Path) {
    if let Err(error) = File::open(directory).and_then(|directory| directory.sync_all()) {
        tracing::debug!(directory = %directory.display(), %error, "directory not synced");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_links(_: &Path, _: &Path) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    #[test]
    fn a_file_system_without_hard_links_will_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.pem");
        assert!(create_with(&path, "first", "a", no_links).unwrap());
        assert!(!create_with(&path, "second", "b", no_links).unwrap());
        assert_eq!(read(&path).unwrap(), "first");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft stays behind");
    }

    #[test]
    fn what_is_there_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity.pem");
        assert!(create(&path, "first", "a").unwrap());
        assert!(!create(&path, "second", "b").unwrap());
        assert_eq!(read(&path).unwrap(), "first");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft stays behind");
    }

    #[test]
    fn a_path_that_names_no_file_is_an_error() {
        assert!(matches!(create(Path::new(".."), "x", "a"), Err(IdentityError::Write { .. })));
        assert!(matches!(read(&std::env::temp_dir()), Err(IdentityError::NotAFile { .. })));
    }
}
