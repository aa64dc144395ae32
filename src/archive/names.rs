//! Which paths can stand in one archive together (spec/lma-format.md §7.3).

use std::collections::HashMap;

use super::tree::split;

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// Only paths beneath it were seen.
    Implied,
    Directory,
    Other,
}

/// What [`Names::admit`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Welcome,
    /// The path is there already.
    Again,
    /// The path, or one above it, is there already as something that is no directory; or as a directory, which this is
    /// not.
    Clash,
}

/// The paths so far.
#[derive(Default)]
pub(super) struct Names(HashMap<Vec<u8>, Name>);

impl Names {
    /// Takes a path up, if it may be.
    pub(super) fn admit(&mut self, path: &[u8], is_directory: bool) -> Admission {
        match (self.0.get(path), is_directory) {
            (None | Some(Name::Implied), true) | (None, false) => {}
            (Some(Name::Directory), true) => return Admission::Again,
            (Some(Name::Other), false) => return Admission::Again,
            _ => return Admission::Clash,
        }
        // Above what was admitted once, all is well.
        let (mut above, _) = split(path);
        let mut missing = Vec::new();
        while !above.is_empty() {
            match self.0.get(above) {
                Some(Name::Other) => return Admission::Clash,
                Some(_) => break,
                None => missing.push(above.to_vec()),
            }
            above = split(above).0;
        }
        self.0.extend(missing.into_iter().map(|path| (path, Name::Implied)));
        self.0.insert(path.to_vec(), if is_directory { Name::Directory } else { Name::Other });
        Admission::Welcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stands_below_what_is_no_directory() {
        let mut names = Names::default();
        assert_eq!(names.admit(b"a/b/c", false), Admission::Welcome);
        assert_eq!(names.admit(b"a/b", true), Admission::Welcome);
        assert_eq!(names.admit(b"a/b", true), Admission::Again);
        assert_eq!(names.admit(b"a", false), Admission::Clash);
        assert_eq!(names.admit(b"a/b/c", false), Admission::Again);
        assert_eq!(names.admit(b"a/b/c/d/e", false), Admission::Clash);
        assert_eq!(names.admit(b"a/b/c", true), Admission::Clash);
        assert_eq!(names.admit(b"a/b/d/e", false), Admission::Welcome);
    }
}
