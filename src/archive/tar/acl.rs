//! ACLs as other archivers write them: texts in the records `SCHILY.acl.access` and `SCHILY.acl.default`. Entries hold
//! them as the kernel's extended attributes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::pax::Records;
use crate::format::Xattr;

/// The record and the extended attribute of each of a file's two ACLs.
const ACLS: [(&str, &[u8]); 2] =
    [("SCHILY.acl.access", b"system.posix_acl_access"), ("SCHILY.acl.default", b"system.posix_acl_default")];

/// The kernel's version of the attribute's layout.
const VERSION: u32 = 2;
/// The id of an entry that names nobody.
const NOBODY: u32 = u32::MAX;

/// Tags of the kernel, the letters of the texts, and whether an entry may name someone, in the kernel's order.
const TAGS: [(u16, &str, bool); 6] = [
    (0x01, "user", false),
    (0x02, "user", true),
    (0x04, "group", false),
    (0x08, "group", true),
    (0x10, "mask", false),
    (0x20, "other", false),
];

/// Adds the texts of the ACLs among `xattrs`, for readers that know no others. Owners stand in them as numbers. What
/// is no ACL of a known layout has no text.
pub(super) fn push(records: &mut Records, xattrs: &[Xattr]) {
    for (key, name) in ACLS {
        let text = xattrs.iter().find(|xattr| xattr.name == name).and_then(|xattr| to_text(&xattr.value));
        if let Some(text) = text {
            records.push(key, text);
        }
    }
}

/// The extended attributes that the texts in `records` stand for.
///
/// # Errors
/// The text that is none, or names someone whom this machine does not know.
pub(super) fn xattrs(records: &Records) -> Result<Vec<Xattr>, String> {
    let mut out = Vec::new();
    for (key, name) in ACLS {
        let Some(text) = records.get(key) else { continue };
        let value = from_text(text).map_err(|why| format!("its {key}: {why}"))?;
        out.push(Xattr { name: name.to_vec(), value });
    }
    Ok(out)
}

fn to_text(value: &[u8]) -> Option<String> {
    let (version, entries) = value.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION || entries.len() % 8 != 0 {
        return None;
    }
    let mut lines = Vec::new();
    for entry in entries.chunks_exact(8) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let (_, word, named) = TAGS.iter().find(|(known, ..)| *known == tag)?;
        let who = if *named {
            u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]).to_string()
        } else {
            String::new()
        };
        let bit = |mask: u8, letter| if entry[2] & mask != 0 { letter } else { '-' };
        lines.push(format!("{word}:{who}:{}{}{}", bit(4, 'r'), bit(2, 'w'), bit(1, 'x')));
    }
    Some(lines.join("\n"))
}

/// Entries are separated by newlines (GNU tar) or commas (star), have comments behind `#`, and in star's form the
/// number of whom they name behind the permissions.
fn from_text(text: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is no text".to_owned())?;
    let mut entries = Vec::new();
    for line in text.split(['\n', ',']) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            entries.push(entry(line).ok_or_else(|| format!("`{line}` is no entry, or of someone unknown here"))?);
        }
    }
    entries.sort_unstable();
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, id, bits) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&bits.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    Ok(value)
}

/// Tag, id and permissions.
fn entry(line: &str) -> Option<(u16, u32, u16)> {
    let mut fields = line.split(':').map(str::trim);
    let (word, who, bits) = (fields.next()?, fields.next()?, fields.next()?);
    let number = fields.next().and_then(|id| id.parse().ok());
    let named = !who.is_empty();
    let is_short_for = |long: &str| !word.is_empty() && (word == long || (word.len() == 1 && long.starts_with(word)));
    let (tag, long, _) = TAGS.iter().find(|(_, long, may)| is_short_for(long) && *may == named)?;
    let id = if named { number.or_else(|| id(long, who))? } else { NOBODY };
    let mut permissions = 0;
    for letter in bits.chars() {
        permissions |= match letter {
            'r' => 4,
            'w' => 2,
            'x' => 1,
            '-' => 0,
            _ => return None,
        };
    }
    Some((*tag, id, permissions))
}

/// The number of a user or group, by name or as a number.
fn id(word: &str, who: &str) -> Option<u32> {
    let name = OsStr::from_bytes(who.as_bytes());
    let known = match word {
        "user" => uzers::get_user_by_name(name).map(|user| user.uid()),
        _ => uzers::get_group_by_name(name).map(|group| group.gid()),
    };
    known.or_else(|| who.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "user::rwx\nuser:1:r--\nuser:70000:-w-\ngroup::r-x\ngroup:5:--x\nmask::r-x\nother::---";

    #[test]
    fn texts_and_attributes_are_inverse() {
        let value = from_text(TEXT.as_bytes()).unwrap();
        assert_eq!(value.len(), 4 + 7 * 8);
        assert_eq!(value[..12], [2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255]);
        assert_eq!(to_text(&value).as_deref(), Some(TEXT));
    }

    #[test]
    fn all_spellings_are_read() {
        let value = from_text(b"u::rw-,u:root:r:0,g::r--\t#effective:r--,m::r,o::-").unwrap();
        assert_eq!(to_text(&value).unwrap(), "user::rw-\nuser:0:r--\ngroup::r--\nmask::r--\nother::---");
        let star = from_text(b"user::rw-,user:nobody knows:r--:4711,group::---,mask::r--,other::---").unwrap();
        assert!(to_text(&star).unwrap().contains("user:4711:r--"));
        assert!(from_text(b"user:nobody knows:r--").unwrap_err().contains("nobody knows"));
        for bad in ["user", "user:", "visitor::r--", "mask:root:r--", "user::rwz"] {
            assert!(from_text(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_attributes_have_no_text() {
        let value = from_text(TEXT.as_bytes()).unwrap();
        for bad in [&value[..value.len() - 1], &value[..3], &[3, 0, 0, 0], &[2, 0, 0, 0, 9, 0, 7, 0, 0, 0, 0, 0]] {
            assert_eq!(to_text(bad), None);
        }
    }
}
