//! Archive to inode table, entry by entry: the entries are never in memory all at once.

use super::build::{Builder, ImpliedDir};
use super::inode::Tree;
use crate::Result;
use crate::container::Reader;
use crate::format::Owners;
use crate::progress::Progress;

/// The tree of an archive. Entries that cannot be read are left out with a warning to `progress`.
///
/// # Errors
/// [`Error::Container`](crate::Error::Container) where no entry can be read.
pub(super) fn load(reader: &Reader, progress: &dyn Progress) -> Result<Tree> {
    let implied = ImpliedDir {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        ..ImpliedDir::default()
    };
    let mut builder = Builder::new(implied);
    let (tree, problems) = match reader.for_each_entry(Owners::Numbers, |entry| builder.add(entry)) {
        Ok(()) => builder.finish(),
        Err(error) if !error.is_damage() => return Err(error.into()),
        Err(error) => {
            let (entries, problems) = reader.entries_lossy();
            if entries.is_empty() {
                return Err(error.into());
            }
            problems.iter().for_each(|problem| progress.warn(&problem.to_string()));
            progress.warn(&format!("{error}; mounting the {} entries that can be read", entries.len()));
            Tree::build(entries, implied)
        }
    };
    problems.iter().for_each(|problem| progress.warn(&format!("left out of the mount: {problem}")));
    Ok(tree)
}
