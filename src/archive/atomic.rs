//! Files that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::meta::FileId;
use crate::{Error, Result};

/// Runs `write` on a temporary file next to `path`, syncs it, renames it to `path` and syncs the directory.
/// Where `write` fails, the temporary file is removed and what stood at `path` stays. A symbolic link at
/// `path` stays too; what it points at is replaced.
///
/// # Errors
/// Those of `write`, and I/O.
pub fn write_atomically<T>(path: &Path, write: impl FnOnce(&mut File) -> Result<T>) -> Result<T> {
    let target = resolve(path);
    let name =
        target.file_name().ok_or_else(|| Error::Usage(format!("{} is not the name of a file", path.display())))?;
    if target.is_dir() {
        return Err(Error::Refused(format!("{} is a directory", path.display())));
    }
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut prefix = OsString::from(".");
    prefix.push(name.to_string_lossy().chars().take(60).collect::<String>());
    prefix.push(".lma-tmp-");
    // Declared first, so that it ends last: until the temporary file is gone, whoever ends the process removes it.
    let mut writing = Writing::default();
    let mut temporary = tempfile::Builder::new()
        .prefix(&prefix)
        // By hand, since tempfile_in would put the temporary name into its errors.
        .make_in(directory, |path| File::options().read(true).write(true).create_new(true).mode(0o600).open(path))
        .map_err(Error::io("creating a file in", directory))?;
    writing.add([fs::metadata(&target), temporary.as_file().metadata()], temporary.path());
    let result = write(temporary.as_file_mut())?;
    let mode = fs::metadata(&target).map_or(0o666 & !super::meta::umask(), |old| old.permissions().mode() & 0o777);
    temporary
        .as_file()
        .set_permissions(Permissions::from_mode(mode))
        .map_err(Error::io("setting the mode of", path))?;
    temporary.as_file().sync_all().map_err(Error::io("syncing", path))?;
    temporary.persist(&target).map_err(|error| Error::Io {
        action: "renaming to",
        path: path.into(),
        source: error.error,
    })?;
    // The rename is done; a file system that cannot sync a directory does not undo it.
    if let Ok(directory) = File::open(directory) {
        let _ = directory.sync_all();
    }
    Ok(result)
}

/// Files that are being written or about to be replaced, and the temporary files among them.
static WRITING: Mutex<(Vec<FileId>, Vec<PathBuf>)> = Mutex::new((Vec::new(), Vec::new()));

/// Keeps files in [`WRITING`] while it lives.
#[derive(Default)]
struct Writing(Vec<FileId>, PathBuf);

impl Writing {
    fn add(&mut self, files: [io::Result<Metadata>; 2], temporary: &Path) {
        self.0.extend(files.into_iter().flatten().map(|meta| FileId::of(&meta)));
        self.1 = temporary.into();
        let mut writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        writing.0.extend(&self.0);
        writing.1.push(temporary.into());
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        for file in &self.0 {
            if let Some(at) = writing.0.iter().position(|other| other == file) {
                writing.0.swap_remove(at);
            }
        }
        writing.1.retain(|other| *other != self.1);
    }
}

/// Removes the temporary files that [`write_atomically`] has in hand, for a process that ends without returning.
pub fn remove_unfinished() {
    for path in &WRITING.lock().unwrap_or_else(PoisonError::into_inner).1 {
        // One that was renamed just now has another name, and is whole.
        let _ = fs::remove_file(path);
    }
}

/// The files that [`write_atomically`] has in hand now: no archive is to contain them.
pub(super) fn being_written() -> Vec<FileId> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
}

fn resolve(path: &Path) -> PathBuf {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => fs::canonicalize(path).unwrap_or_else(|_| path.into()),
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "old").unwrap();
        let failed: Result<()> = write_atomically(&path, |file| {
            file.write_all(b"new").unwrap();
            Err(Error::Interrupted)
        });
        assert!(matches!(failed, Err(Error::Interrupted)));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        write_atomically(&path, |file| file.write_all(b"new").map_err(Error::io("writing", "a"))).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_takes_no_file_is_named_and_no_temporary_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("absent/a");
        let failed = write_atomically(&path, |_| Ok(())).unwrap_err().to_string();
        assert!(failed.contains("absent: No such file") && !failed.contains("tmp-"), "{failed}");
    }
}
