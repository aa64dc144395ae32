//! Which paths are left out, and which are asked for.

use std::cell::Cell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::ExtractOptions;
use crate::{Error, Result};

/// What GNU tar leaves out under `--exclude-vcs`, and Jujutsu's directory.
const VCS: &[&str] = &[
    ".git",
    ".gitignore",
    ".gitmodules",
    ".gitattributes",
    ".hg",
    ".hgignore",
    ".hgtags",
    ".svn",
    ".bzr",
    ".bzrignore",
    ".bzrtags",
    "CVS",
    ".cvsignore",
    "RCS",
    "SCCS",
    "_darcs",
    ".arch-ids",
    "{arch}",
    "=RELEASE-ID",
    "=meta-update",
    "=update",
    ".jj",
];

/// Patterns of paths to leave out. As in tar, a pattern may match from any component on, `*` and `?` match
/// `/` too, and what lies beneath a match is left out with it. A pattern with a leading `/` matches from the
/// first component only.
#[derive(Debug)]
pub(super) struct Excludes {
    anywhere: GlobSet,
    from_start: GlobSet,
    vcs: bool,
}

impl Excludes {
    /// # Errors
    /// [`Error::Usage`] for a pattern that is none.
    pub(super) fn new(patterns: &[String], vcs: bool) -> Result<Self> {
        let (mut anywhere, mut from_start) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let trimmed = pattern.trim_end_matches('/');
            let trimmed = trimmed.strip_prefix("./").unwrap_or(trimmed);
            match trimmed.strip_prefix('/') {
                Some(anchored) => from_start.add(glob(pattern, anchored)?),
                None => anywhere.add(glob(pattern, trimmed)?),
            };
        }
        let build = |set: GlobSetBuilder| set.build().map_err(|error| Error::Usage(format!("--exclude: {error}")));
        Ok(Self { anywhere: build(anywhere)?, from_start: build(from_start)?, vcs })
    }

    /// Whether this path itself matches, whatever stands above it.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let as_path = |bytes| Path::new(OsStr::from_bytes(bytes));
        if self.vcs && VCS.iter().any(|name| path.rsplit(|&byte| byte == b'/').next() == Some(name.as_bytes())) {
            return true;
        }
        if !self.from_start.is_empty() && self.from_start.is_match(as_path(path)) {
            return true;
        }
        !self.anywhere.is_empty() && tails(path).any(|tail| self.anywhere.is_match(as_path(tail)))
    }

    /// Whether this path or one above it matches.
    pub(super) fn covers(&self, path: &[u8]) -> bool {
        let nothing = self.anywhere.is_empty() && self.from_start.is_empty() && !self.vcs;
        !nothing && prefixes(path).any(|prefix| self.matches(prefix))
    }
}

fn glob(given: &str, pattern: &str) -> Result<Glob> {
    let built = GlobBuilder::new(pattern).literal_separator(false).backslash_escape(true).build();
    built.map_err(|error| Error::Usage(format!("--exclude {given}: {}", error.kind())))
}

/// The path from each of its components on.
fn tails(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| at + 1);
    std::iter::once(0).chain(starts).map(|at| &path[at..])
}

/// The path up to each of its components, itself last.
fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| at);
    ends.chain(std::iter::once(path.len())).map(|at| &path[..at])
}

/// The members that were asked for; remembers which of them were met.
#[derive(Debug)]
pub(super) struct Members {
    asked: Vec<(Vec<u8>, Cell<bool>)>,
}

impl Members {
    pub(super) fn new(members: &[Vec<u8>]) -> Self {
        let clean = |member: &Vec<u8>| {
            let mut name = member.as_slice();
            while let Some(rest) = name.strip_prefix(b"./") {
                name = rest;
            }
            while let Some(rest) = name.strip_suffix(b"/") {
                name = rest;
            }
            (name.to_vec(), Cell::new(false))
        };
        Self { asked: members.iter().map(clean).collect() }
    }

    /// Whether everything is asked for.
    pub(super) fn all(&self) -> bool {
        self.asked.is_empty()
    }

    /// Whether the path, or a directory above it, is asked for.
    pub(super) fn wants(&self, path: &[u8]) -> bool {
        let mut wanted = self.all();
        for (name, met) in &self.asked {
            let rest = path.strip_prefix(name.as_slice());
            if name == b"." || rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/') {
                met.set(true);
                wanted = true;
            }
        }
        wanted
    }

    /// Whether just this path is asked for.
    pub(super) fn names(&self, path: &[u8]) -> bool {
        self.asked.iter().any(|(name, _)| name == path)
    }

    /// # Errors
    /// [`Error::Refused`] that names the members that [`Members::wants`] never met.
    pub(super) fn all_met(&self) -> Result<()> {
        let missing = self.asked.iter().filter(|(_, met)| !met.get());
        let missing: Vec<_> = missing.map(|(name, _)| super::notes::show(name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::Refused(format!("not found in the archive: {}; `lma list` shows its members", missing.join(", "))))
    }
}

/// The path without its first `count` components, if anything is left.
pub(super) fn strip_components(path: &[u8], count: usize) -> Option<&[u8]> {
    if count == 0 { Some(path) } else { tails(path).nth(count) }
}

/// Which entries are extracted, and under which path.
pub(super) struct Selection {
    members: Members,
    excludes: Excludes,
    strip: usize,
}

impl Selection {
    pub(super) fn new(options: &ExtractOptions) -> Result<Self> {
        let excludes = Excludes::new(&options.excludes, false)?;
        Ok(Self { members: Members::new(&options.members), excludes, strip: options.strip_components })
    }

    /// Whether the path is selected.
    pub(super) fn wants(&self, path: &[u8]) -> bool {
        self.members.wants(path) && !self.excludes.covers(path)
    }

    /// Whether this very path was asked for.
    pub(super) fn names(&self, path: &[u8]) -> bool {
        self.members.names(path)
    }

    /// The path to extract to, if it is selected and anything is left of it.
    pub(super) fn dest<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        if self.wants(path) { strip_components(path, self.strip) } else { None }
    }

    /// # Errors
    /// [`Error::Refused`] for members that are not in the archive.
    pub(super) fn all_met(&self) -> Result<()> {
        self.members.all_met()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excludes(patterns: &[&str]) -> Excludes {
        Excludes::new(&patterns.iter().map(ToString::to_string).collect::<Vec<_>>(), false).unwrap()
    }

    #[test]
    fn patterns_match_as_in_tar() {
        assert!(excludes(&["*.o"]).covers(b"a/b.o"));
        assert!(!excludes(&["*.o"]).covers(b"a/b.oo"));
        assert!(excludes(&["target"]).covers(b"x/target/debug/a"));
        assert!(excludes(&["b/c"]).covers(b"a/b/c/d"));
        assert!(!excludes(&["/b/c"]).covers(b"a/b/c/d"));
        assert!(excludes(&["/a/*"]).covers(b"a/b/c"));
        assert!(excludes(&["a/"]).covers(b"a/b"));
        assert!(excludes(&["*"]).covers(b"\xff\xfe"));
        assert!(Excludes::new(&["[".into()], false).is_err());
        assert!(Excludes::new(&[], true).unwrap().covers(b"p/.git/config"));
    }

    #[test]
    fn members_are_paths_or_directories() {
        let members = Members::new(&[b"a/b/".to_vec(), b"./c".to_vec(), b"d".to_vec()]);
        assert!(members.wants(b"a/b") && members.wants(b"a/b/x") && members.wants(b"c"));
        assert!(!members.wants(b"a") && !members.wants(b"a/bc"));
        assert!(members.all_met().unwrap_err().to_string().contains("archive: d;"));
    }

    #[test]
    fn components_are_stripped_from_the_front() {
        assert_eq!(strip_components(b"a/b/c", 0), Some(&b"a/b/c"[..]));
        assert_eq!(strip_components(b"a/b/c", 2), Some(&b"c"[..]));
        assert_eq!(strip_components(b"a/b/c", 3), None);
    }
}
