//! Finds the files to archive, with their metadata.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::filter::Excludes;
use super::meta::{self, FileId, Owners};
use super::names::{Admission, Names};
use super::notes::{Notes, show};
use super::{CreateOptions, Input};
use crate::format::{Entry, Kind};
use crate::limits::Limits;
use crate::progress::Interrupt;
use crate::{Error, Result};

/// A file that was found.
pub(super) struct Item {
    /// Its entry; the content of a regular file is still empty.
    pub(super) entry: Entry,
    /// Where it is.
    pub(super) disk: PathBuf,
    pub(super) id: FileId,
    /// Its size now; 0 unless it is a regular file.
    pub(super) size: u64,
    /// How many names it has, in the archive or not.
    pub(super) links: u64,
}

/// All files at and beneath `inputs`, in ascending order of their stored paths, none twice.
///
/// # Errors
/// An input that does not exist, a bad pattern, an interruption. What cannot be read beneath an input is a
/// warning.
pub(super) fn walk(
    inputs: &[Input],
    options: &CreateOptions,
    notes: &Notes<'_>,
    interrupt: &Interrupt,
) -> Result<Vec<Item>> {
    let excludes = Excludes::new(&options.excludes, options.exclude_vcs)?;
    let mut walker = Walker {
        options,
        excludes,
        notes,
        owners: Owners::default(),
        outputs: outputs(),
        names: Names::default(),
        items: Vec::new(),
    };
    for input in inputs {
        walker.input(input, interrupt)?;
    }
    let mut items = walker.items;
    items.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
    Ok(items)
}

struct Walker<'a> {
    options: &'a CreateOptions,
    excludes: Excludes,
    notes: &'a Notes<'a>,
    owners: Owners,
    /// Files that this process is writing: they never archive themselves.
    outputs: Vec<FileId>,
    names: Names,
    items: Vec<Item>,
}

impl Walker<'_> {
    fn input(&mut self, input: &Input, interrupt: &Interrupt) -> Result<()> {
        let disk = input.base.join(&input.path);
        let meta = fs::symlink_metadata(&disk).map_err(Error::io("reading", &disk))?;
        let (stored, stripped) = stored_path(&input.path);
        if let Some(stripped) = stripped {
            tracing::warn!("{}: stored without the leading {stripped}", input.path.display());
        }
        if self.excludes.covers(&stored) {
            return Ok(());
        }
        let dev = meta.dev();
        // Explicit, not recursive: the depth of a tree is no claim on the stack.
        let mut waiting = Vec::new();
        if stored.is_empty() {
            // The base itself has no name to store; what is in it has.
            if meta.is_dir() {
                waiting.push((stored, disk));
            }
        } else {
            waiting.extend(self.visit(stored, disk, dev));
        }
        while let Some((stored, disk)) = waiting.pop() {
            if interrupt.raised() {
                return Err(Error::Interrupted);
            }
            for (stored, disk) in self.list(&stored, &disk) {
                waiting.extend(self.visit(stored, disk, dev));
            }
        }
        Ok(())
    }

    /// What is in a directory, as far as it can be told.
    fn list(&self, stored: &[u8], disk: &Path) -> Vec<(Vec<u8>, PathBuf)> {
        let failed = |error| self.notes.warn(&format!("{}: cannot be listed: {error}", show(stored)));
        let mut out = Vec::new();
        match fs::read_dir(disk) {
            Err(error) => failed(error),
            Ok(listing) => {
                for found in listing {
                    match found {
                        Err(error) => failed(error),
                        Ok(found) => {
                            let mut path = stored.to_vec();
                            if !path.is_empty() {
                                path.push(b'/');
                            }
                            path.extend_from_slice(found.file_name().as_bytes());
                            if !self.excludes.matches(&path) {
                                out.push((path, found.path()));
                            }
                        }
                    }
                }
            }
        }
        out
    }

    /// Takes note of a file; gives a directory back, to be listed.
    fn visit(&mut self, stored: Vec<u8>, disk: PathBuf, dev: u64) -> Option<(Vec<u8>, PathBuf)> {
        let meta = match fs::symlink_metadata(&disk) {
            Ok(meta) => meta,
            Err(error) => {
                self.notes.warn(&format!("{}: cannot be read: {error}; left out", show(&stored)));
                return None;
            }
        };
        let id = FileId::of(&meta);
        if self.outputs.contains(&id) {
            tracing::info!("{}: is the archive itself; left out", show(&stored));
            return None;
        }
        let elsewhere = self.options.one_file_system && id.dev != dev;
        match self.names.admit(&stored, meta.is_dir()) {
            Admission::Again => {}
            Admission::Clash => {
                let what = "another input has put something else at this path, or above or below it; left out";
                self.notes.warn(&format!("{}: {what}", show(&stored)));
                return None;
            }
            Admission::Welcome => {
                let entry = meta::entry(stored.clone(), &disk, &meta, &mut self.owners, self.notes)?;
                if let Err(error) = entry.validate(&Limits::default()) {
                    self.notes.warn(&format!("{}: cannot be archived: {error}; left out", show(&stored)));
                    return None;
                }
                let size = if meta.is_file() { meta.len() } else { 0 };
                self.items.push(Item { entry, disk: disk.clone(), id, size, links: meta.nlink() });
            }
        }
        // A directory that was named twice, or stands below another input, is listed again: excluded parts differ.
        (meta.is_dir() && !elsewhere).then_some((stored, disk))
    }
}

impl Item {
    /// Whether another name of this file may be in the archive. Links to links are links of their own.
    pub(super) fn may_be_linked(&self) -> bool {
        self.links > 1 && !matches!(self.entry.kind, Kind::Directory | Kind::Symlink(_))
    }
}

fn outputs() -> Vec<FileId> {
    let mut outputs = super::atomic::being_written();
    // Of a redirected standard output nothing but the file itself is known.
    if let Ok(stat) = rustix::fs::fstat(rustix::stdio::stdout())
        && rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file()
    {
        outputs.push(super::safe_path::id_of(&stat));
    }
    outputs
}

/// The path to store for a path that was given, and the prefix that it lost: as in tar, everything up to
/// the last `..`, and a leading `/`.
pub(super) fn stored_path(given: &Path) -> (Vec<u8>, Option<String>) {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut stripped = PathBuf::new();
    for component in given.components() {
        match component {
            Component::Normal(name) => kept.push(name.as_bytes()),
            Component::CurDir => {}
            Component::ParentDir => {
                stripped.extend(kept.drain(..).map(std::ffi::OsStr::from_bytes));
                stripped.push("..");
            }
            Component::RootDir | Component::Prefix(_) => stripped.push("/"),
        }
    }
    let stripped = (!stripped.as_os_str().is_empty()).then(|| show(stripped.as_os_str().as_bytes()));
    (kept.join(&b'/'), stripped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn names(items: &[Item]) -> Vec<&[u8]> {
        items.iter().map(|item| item.entry.path.as_slice()).collect()
    }

    #[test]
    fn stored_paths_are_relative() {
        let stored = |path: &str| String::from_utf8(stored_path(Path::new(path)).0).unwrap();
        assert_eq!(stored("./a//b/"), "a/b");
        assert_eq!(stored("/etc/passwd"), "etc/passwd");
        assert_eq!(stored("../../a/../b"), "b");
        assert_eq!(stored("."), "");
        assert_eq!(stored_path(Path::new("a/b")).1, None);
        assert_eq!(stored_path(Path::new("/a")).1.as_deref(), Some("/"));
    }

    #[test]
    fn the_walk_is_sorted_and_names_nothing_twice() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["t/b/x", "t/a/.git/config", "t/a/y.o", "t/a/y.c"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let inputs = [Input::within(dir.path(), "t"), Input::within(dir.path(), "./t/b")];
        let options = CreateOptions { excludes: vec!["*.o".into()], exclude_vcs: true, ..CreateOptions::default() };
        let notes = Notes::new(&Silent);
        let items = walk(&inputs, &options, &notes, &Interrupt::default()).unwrap();
        assert_eq!(names(&items), [&b"t"[..], b"t/a", b"t/a/y.c", b"t/b", b"t/b/x"]);
        let none = walk(&[Input::within(dir.path(), "absent")], &options, &notes, &Interrupt::default());
        assert!(matches!(none, Err(Error::Io { .. })));
        let all =
            walk(&[Input::within(dir.path(), ".")], &CreateOptions::default(), &notes, &Interrupt::default()).unwrap();
        assert_eq!(all.len(), 8);
    }
}
