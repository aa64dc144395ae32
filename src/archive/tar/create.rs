//! A tar stream into an archive, in one pass.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::EntryType;

use super::read::{Member, TarReader};
use crate::archive::create::check;
use crate::archive::filter::Excludes;
use crate::archive::names::{Admission, Names};
use crate::archive::notes::{Notes, show};
use crate::archive::pack::Packer;
use crate::archive::sink::Sink;
use crate::archive::walk::stored_path;
use crate::archive::{CreateOptions, Outcome, group};
use crate::format::{Entry, FileContent, Kind};
use crate::hash::Digest;
use crate::limits::Limits;
use crate::progress::{Interrupt, Progress};
use crate::{Error, Result};

/// Archives the members of a tar stream into `out`, in one pass and in the order of the stream; small files share
/// chunks by kind as far as they stand near each other. Of two members with one path the first is kept, with a warning.
///
/// # Errors
/// A damaged tar stream, I/O, the model's engine, an interruption.
pub fn create_from_tar<R: Read, W: Write>(
    input: R,
    out: W,
    options: &CreateOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Outcome> {
    check(options)?;
    let notes = Notes::new(progress);
    let mut converter = Converter {
        excludes: Excludes::new(&options.excludes, options.exclude_vcs)?,
        notes: &notes,
        names: Names::default(),
        links: HashMap::new(),
    };
    let mut packer = Packer::new(Sink::new(out, options, progress, interrupt)?, &notes, options.chunk_size);
    let mut tar = TarReader::new(input);
    let mut buffer = vec![0; 128 << 10];
    while let Some(member) = tar.next()? {
        if interrupt.raised() {
            return Err(Error::Interrupted);
        }
        let Some(entry) = converter.entry(&member) else { continue };
        progress.item(&entry.path);
        if !matches!(entry.kind, Kind::File(_)) {
            packer.entry(entry)?;
            continue;
        }
        packer.begin(group::class(&entry.path));
        let mut at = 0;
        for &(offset, len) in &member.map.runs {
            if offset > at {
                packer.hole(offset - at);
            }
            let mut left = len;
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                let got = tar.data(&mut buffer[..most])?;
                packer.data(&buffer[..got])?;
                left -= got as u64;
            }
            at = offset + len;
        }
        if member.map.size > at {
            packer.hole(member.map.size - at);
        }
        packer.finish_file(entry)?;
    }
    // What feeds the pipe was most likely interrupted too, and ended the stream early.
    if interrupt.raised() {
        return Err(Error::Interrupted);
    }
    if !tar.ended {
        notes.warn("the tar stream has no end mark; it may have been cut off");
    }
    let outcome = packer.finish()?;
    Ok(Outcome { warnings: notes.warnings(), ..outcome })
}

/// What a later hard link to a path becomes.
enum Target {
    /// A link to this path.
    Path(Vec<u8>),
    /// A symbolic link of its own: the format has no hard links to those.
    Symlink(Vec<u8>),
}

struct Converter<'a> {
    excludes: Excludes,
    notes: &'a Notes<'a>,
    names: Names,
    links: HashMap<Vec<u8>, Target>,
}

impl Converter<'_> {
    /// The member's entry; `None`, with a warning unless it is left out on purpose, where it has none.
    fn entry(&mut self, member: &Member) -> Option<Entry> {
        let (path, _) = stored_path(Path::new(OsStr::from_bytes(&member.path)));
        if path.is_empty() || self.excludes.covers(&path) {
            return None;
        }
        let left_out = |why: &str| {
            self.notes.warn(&format!("{}: {why}; left out", show(&member.path)));
            None
        };
        let kind = match self.kind(member) {
            Ok(kind) => kind,
            Err(why) => return left_out(&why),
        };
        let id = |id: u64| u32::try_from(id).ok();
        let (Some(uid), Some(gid)) = (id(member.uid), id(member.gid)) else {
            return left_out("an owner that does not fit 32 bits");
        };
        if let Some(why) = &member.acl_lost {
            self.notes.warn(&format!("{}: {why}; left out", show(&member.path)));
        }
        let entry = Entry {
            path,
            kind,
            mode: (member.mode & 0o7777) as u16,
            uid,
            gid,
            user: member.user.clone(),
            group: member.group.clone(),
            mtime: member.mtime,
            xattrs: member.xattrs.clone(),
        };
        if let Err(error) = entry.validate(&Limits::default()) {
            return left_out(&error.to_string());
        }
        match self.names.admit(&entry.path, entry.kind == Kind::Directory) {
            Admission::Welcome => {}
            // Archivers repeat directories freely.
            Admission::Again if entry.kind == Kind::Directory => return None,
            Admission::Again => return left_out("an earlier member has this path"),
            Admission::Clash => return left_out("an earlier member at, above or below this path is of another kind"),
        }
        let target = match &entry.kind {
            Kind::Directory => None,
            Kind::Symlink(target) => Some(Target::Symlink(target.clone())),
            Kind::HardLink(target) => Some(Target::Path(target.clone())),
            _ => Some(Target::Path(entry.path.clone())),
        };
        self.links.extend(target.map(|target| (entry.path.clone(), target)));
        Some(entry)
    }

    fn kind(&self, member: &Member) -> Result<Kind, String> {
        let (major, minor) = member.device;
        Ok(match member.kind {
            // In tar's first format a directory is a file whose name ends in a slash.
            EntryType::Regular if member.path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                Kind::File(FileContent { size: 0, extents: Vec::new(), digest: Digest::of(&[]) })
            }
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink if member.link.is_empty() => return Err("a symbolic link to nothing".into()),
            EntryType::Symlink => Kind::Symlink(member.link.clone()),
            EntryType::Link => {
                let (path, _) = stored_path(Path::new(OsStr::from_bytes(&member.link)));
                match self.links.get(&path) {
                    Some(Target::Path(target)) => Kind::HardLink(target.clone()),
                    Some(Target::Symlink(target)) => Kind::Symlink(target.clone()),
                    None => return Err(format!("its target {} is no earlier file", show(&member.link))),
                }
            }
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char => Kind::CharDevice { major, minor },
            EntryType::Block => Kind::BlockDevice { major, minor },
            other => return Err(format!("a member of type {:?}", char::from(other.as_byte()))),
        })
    }
}
