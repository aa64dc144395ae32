//! `lma list`.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::args;
use super::context::Context;
use super::json::{self, Object};
use super::{input, plan, units};
use crate::container::Reader;
use crate::error::ExitCode;
use crate::format::{Entry, Extent, Kind};
use crate::progress::Progress;
use crate::{Result, escape};

/// Lists the members of an archive. No chunk is decoded and no model loaded.
///
/// # Errors
/// Damage, I/O, a member that is not in the archive.
pub(super) fn run(args: args::List, context: &Context) -> Result<()> {
    let reader = input::reader(&args.archive.into(), context)?;
    let entries = entries(&reader, context)?;
    let members = plan::members(args.members);
    check_members(&members, &entries)?;
    let chosen: Vec<_> = entries
        .iter()
        .filter(|entry| members.is_empty() || members.iter().any(|m| is_within(&entry.path, m)))
        .collect();
    context.stdout.print(|out| {
        if args.long {
            return long(&chosen, out);
        }
        for entry in chosen {
            if args.json {
                writeln!(out, "{}", describe(entry))?;
            } else if args.null {
                out.write_all(&entry.path)?;
                out.write_all(&[0])?;
            } else {
                writeln!(out, "{}", escape::name(&entry.path))?;
            }
        }
        Ok(())
    })
}

/// All entries, or those of the batches that are intact.
///
/// # Errors
/// What is not damage: I/O, limits, an unsupported archive.
pub(super) fn entries(reader: &Reader, context: &Context) -> Result<Vec<Entry>> {
    match reader.entries() {
        Ok(entries) => Ok(entries),
        Err(error) if error.exit_code() == ExitCode::Corrupt => {
            context.reporter.warn(&error.to_string());
            context.found_damage();
            let (entries, errors) = reader.entries_lossy();
            let others = errors.iter().map(ToString::to_string).filter(|text| *text != error.to_string());
            others.for_each(|text| context.reporter.warn(&text));
            Ok(entries)
        }
        Err(error) => Err(error.into()),
    }
}

fn check_members(members: &[Vec<u8>], entries: &[Entry]) -> Result<()> {
    match members.iter().find(|member| !entries.iter().any(|entry| is_within(&entry.path, member))) {
        Some(absent) => Err(crate::Error::Refused(format!("{} is not in the archive", escape::name(absent)))),
        None => Ok(()),
    }
}

fn is_within(path: &[u8], member: &[u8]) -> bool {
    path.strip_prefix(member).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Like `tar tv`: mode, owner, size, time, name, and where links point.
fn long(entries: &[&Entry], out: &mut dyn Write) -> io::Result<()> {
    let owner = |entry: &Entry| {
        let or_number = |name: &[u8], id: u32| if name.is_empty() { id.to_string() } else { escape::name(name) };
        format!("{}/{}", or_number(&entry.user, entry.uid), or_number(&entry.group, entry.gid))
    };
    let size = |entry: &Entry| match entry.kind {
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => format!("{major},{minor}"),
        _ => entry.size().to_string(),
    };
    // One width for both columns together, as tar has it, so that long owners cost no line breaks.
    let width = entries.iter().map(|entry| owner(entry).len() + size(entry).len()).max().unwrap_or(0) + 1;
    for entry in entries {
        let owner = owner(entry);
        let rest = width - owner.len();
        let (mode, size, time) = (mode(entry), size(entry), units::utc(entry.mtime.secs));
        let link = match &entry.kind {
            Kind::Symlink(target) => format!(" -> {}", escape::name(target)),
            Kind::HardLink(target) => format!(" link to {}", escape::name(target)),
            _ => String::new(),
        };
        writeln!(out, "{mode} {owner}{size:>rest$} {time} {}{link}", escape::name(&entry.path))?;
    }
    Ok(())
}

/// `drwxr-sr-t`, with `h` for a hard link.
fn mode(entry: &Entry) -> String {
    let kind = match entry.kind {
        Kind::File(_) => '-',
        Kind::Directory => 'd',
        Kind::Symlink(_) => 'l',
        Kind::HardLink(_) => 'h',
        Kind::Fifo => 'p',
        Kind::CharDevice { .. } => 'c',
        Kind::BlockDevice { .. } => 'b',
    };
    let bit = |mask: u16, set: char| if entry.mode & mask == 0 { '-' } else { set };
    let run = |mask: u16, special: u16, letter: char| match (entry.mode & mask != 0, entry.mode & special != 0) {
        (true, true) => letter,
        (false, true) => letter.to_ascii_uppercase(),
        (true, false) => 'x',
        (false, false) => '-',
    };
    [
        kind,
        bit(0o400, 'r'),
        bit(0o200, 'w'),
        run(0o100, 0o4000, 's'),
        bit(0o040, 'r'),
        bit(0o020, 'w'),
        run(0o010, 0o2000, 's'),
        bit(0o004, 'r'),
        bit(0o002, 'w'),
        run(0o001, 0o1000, 't'),
    ]
    .into_iter()
    .collect()
}

/// All metadata of an entry. Numbers and names are those of spec/lma-format.md.
fn describe(entry: &Entry) -> Value {
    let mut object = Object::new();
    json::text(&mut object, "path", &entry.path);
    object.insert("kind".into(), kind(&entry.kind).into());
    object.insert("mode".into(), format!("{:04o}", entry.mode).into());
    object.insert("uid".into(), entry.uid.into());
    object.insert("gid".into(), entry.gid.into());
    json::text(&mut object, "user", &entry.user);
    json::text(&mut object, "group", &entry.group);
    object.insert("mtime".into(), json!({ "secs": entry.mtime.secs, "nanos": entry.mtime.nanos }));
    match &entry.kind {
        Kind::File(content) => {
            object.insert("size".into(), content.size.into());
            object.insert("blake3".into(), content.digest.to_string().into());
            object.insert("extents".into(), content.extents.iter().map(extent).collect());
        }
        Kind::Symlink(target) | Kind::HardLink(target) => json::text(&mut object, "target", target),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            object.insert("major".into(), (*major).into());
            object.insert("minor".into(), (*minor).into());
        }
        Kind::Directory | Kind::Fifo => {}
    }
    let xattrs = entry.xattrs.iter().map(|xattr| {
        let mut object = Object::new();
        json::text(&mut object, "name", &xattr.name);
        object.insert("value_hex".into(), json::hex(&xattr.value).into());
        Value::Object(object)
    });
    object.insert("xattrs".into(), xattrs.collect());
    Value::Object(object)
}

fn extent(extent: &Extent) -> Value {
    match *extent {
        Extent::Data { chunk, offset, len } => json!({ "chunk": chunk, "offset": offset, "len": len }),
        Extent::Hole { len } => json!({ "hole": true, "len": len }),
    }
}

/// A kind's name in JSON.
pub(super) fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::File(_) => "file",
        Kind::Directory => "directory",
        Kind::Symlink(_) => "symlink",
        Kind::HardLink(_) => "hard link",
        Kind::Fifo => "fifo",
        Kind::CharDevice { .. } => "character device",
        Kind::BlockDevice { .. } => "block device",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Mtime, Xattr};

    fn entry(path: &[u8], kind: Kind, mode: u16) -> Entry {
        let xattrs = vec![Xattr { name: b"user.a".to_vec(), value: vec![0, 255] }];
        let (user, group) = (b"ada".to_vec(), Vec::new());
        Entry { path: path.to_vec(), kind, mode, uid: 7, gid: 8, user, group, mtime: Mtime::default(), xattrs }
    }

    #[test]
    fn long_lines_are_those_of_tar() {
        let link = entry(b"a\x1b", Kind::Symlink(b"t\n".to_vec()), 0o777);
        let device = entry(b"tty", Kind::CharDevice { major: 4, minor: 64 }, 0o6620);
        let mut out = Vec::new();
        long(&[&link, &device], &mut out).unwrap();
        let expected = "lrwxrwxrwx ada/8    0 1970-01-01 00:00:00 a\\x1b -> t\\n\n\
                        crwS-wS--- ada/8 4,64 1970-01-01 00:00:00 tty\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn json_holds_all_metadata() {
        let json = describe(&entry(b"d\xff", Kind::Directory, 0o1755));
        assert_eq!(json["path_hex"], "64ff");
        assert_eq!((&json["mode"], &json["kind"]), (&"1755".into(), &"directory".into()));
        assert_eq!(json["xattrs"][0], json!({ "name": "user.a", "value_hex": "00ff" }));
    }

    #[test]
    fn a_member_stands_for_all_beneath_it() {
        assert!(is_within(b"a/b", b"a") && is_within(b"a", b"a"));
        assert!(!is_within(b"ab", b"a") && !is_within(b"a", b"a/b"));
    }
}
