//! Headers of tar members, for writing.

use std::io::{self, Write};

use tar::{EntryType, Header};

use super::acl;
use super::pax::{Records, XATTR, time};
use super::sparse::Map;
use super::{BLOCK, padding};
use crate::format::{Entry, Kind};

/// Largest number in a field of seven octal digits.
const OCTAL_7: u64 = 0o777_7777;
/// Largest number in a field of eleven octal digits.
const OCTAL_11: u64 = 0o777_7777_7777;

/// What follows the headers of a member.
pub(super) enum Body {
    None,
    /// So many bytes.
    Whole(u64),
    /// A map of holes, which is written with the headers, and the data between them.
    Sparse(Map),
}

impl Body {
    /// Bytes of data to follow, the map not counted.
    pub(super) fn data(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Whole(size) => *size,
            Self::Sparse(map) => map.data(),
        }
    }
}

/// Writes the headers of a member. `path` and `target` are what becomes of the entry's own; `body` is to follow.
pub(super) fn write(out: &mut impl Write, entry: &Entry, path: &[u8], target: &[u8], body: &Body) -> io::Result<()> {
    let mut header = Header::new_ustar();
    let mut records = Records::default();
    header.set_entry_type(entry_type(&entry.kind));
    let mut path = path.to_vec();
    if entry.kind == Kind::Directory {
        path.push(b'/');
    }
    let map = if let Body::Sparse(map) = body { map.encode() } else { Vec::new() };
    let size = body.data() + map.len() as u64;
    if let Body::Sparse(map) = body {
        path = sparse(&mut records, map, &path);
    }
    header.set_mode(u32::from(entry.mode) & 0o7777);
    number(&mut records, "uid", entry.uid.into(), OCTAL_7, |value| header.set_uid(value));
    number(&mut records, "gid", entry.gid.into(), OCTAL_7, |value| header.set_gid(value));
    number(&mut records, "size", size, OCTAL_11, |value| header.set_size(value));
    let whole = u64::try_from(entry.mtime.secs).ok().filter(|&secs| secs <= OCTAL_11);
    header.set_mtime(whole.unwrap_or(0));
    if whole.is_none() || entry.mtime.nanos != 0 {
        records.push("mtime", time(entry.mtime));
    }
    if let Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } = entry.kind {
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
    }
    if let Some(fields) = header.as_ustar_mut() {
        text(&mut records, "path", &path, &mut fields.name, false);
        text(&mut records, "linkpath", target, &mut fields.linkname, false);
        text(&mut records, "uname", &entry.user, &mut fields.uname, true);
        text(&mut records, "gname", &entry.group, &mut fields.gname, true);
    }
    for attribute in &entry.xattrs {
        records.push([XATTR, &attribute.name].concat(), &attribute.value);
    }
    acl::push(&mut records, &entry.xattrs);
    if !records.0.is_empty() {
        write_pax(out, &records)?;
    }
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    out.write_all(&map)
}

/// The records of a file with holes, which have its name; answers the name that stands in the header, for readers that
/// know no holes.
fn sparse(records: &mut Records, map: &Map, path: &[u8]) -> Vec<u8> {
    records.push("GNU.sparse.major", "1");
    records.push("GNU.sparse.minor", "0");
    name(records, "GNU.sparse.name", path);
    records.push("GNU.sparse.realsize", map.size.to_string());
    let last = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    // No longer than the header's field, so that no record of a path has to say it.
    [b"GNUSparseFile.0/", &last[..last.len().min(80)]].concat()
}

fn entry_type(kind: &Kind) -> EntryType {
    match kind {
        Kind::File(_) => EntryType::Regular,
        Kind::Directory => EntryType::Directory,
        Kind::Symlink(_) => EntryType::Symlink,
        Kind::HardLink(_) => EntryType::Link,
        Kind::Fifo => EntryType::Fifo,
        Kind::CharDevice { .. } => EntryType::Char,
        Kind::BlockDevice { .. } => EntryType::Block,
    }
}

/// Sets a number in its field, or in a record where the field is too small; the field is 0 then, as pax has it.
fn number(records: &mut Records, key: &str, value: u64, most: u64, set: impl FnOnce(u64)) {
    if value > most {
        records.push(key, value.to_string());
    }
    set(if value > most { 0 } else { value });
}

/// Sets a text in its field, or in a record where the field is too small. Some fields need a NUL at their end.
fn text(records: &mut Records, key: &str, value: &[u8], field: &mut [u8], nul: bool) {
    let room = field.len() - usize::from(nul);
    let len = value.len().min(room);
    field[..len].copy_from_slice(&value[..len]);
    if value.len() > room {
        name(records, key, value);
    }
}

/// Adds the record of a name, which may be no UTF-8.
fn name(records: &mut Records, key: &str, value: &[u8]) {
    if std::str::from_utf8(value).is_err() && records.get("hdrcharset").is_none() {
        records.push("hdrcharset", "BINARY");
    }
    records.push(key, value);
}

fn write_pax(out: &mut impl Write, records: &Records) -> io::Result<()> {
    let data = records.encode();
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(data.len() as u64);
    if let Some(fields) = header.as_ustar_mut() {
        let name = b"././@PaxHeader";
        fields.name[..name.len()].copy_from_slice(name);
    }
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    out.write_all(&data)?;
    pad(out, data.len() as u64)
}

/// Zeros up to the next block behind `len` bytes of data.
pub(super) fn pad(out: &mut impl Write, len: u64) -> io::Result<()> {
    out.write_all(&[0; BLOCK as usize][..padding(len) as usize])
}
