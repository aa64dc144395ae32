//! An entry's bytes (spec/lma-format.md §7.2), and the rules that one entry alone can break.

use super::extension::read_extensions;
use super::{Entry, Extent, FileContent, FormatError, Kind, Mtime, Xattr, validate_path};
use crate::hash::Digest;
use crate::limits::Limits;
use crate::wire::{Cursor, put_bytes, put_varint, unzigzag, zigzag};

/// Longest user or group name in bytes.
pub const MAX_OWNER_NAME: usize = 255;

/// Largest logical size of a file: what `off_t` holds.
pub const MAX_FILE_SIZE: u64 = i64::MAX as u64;

/// What is kept of the owners of entries that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Numbers and names.
    Named,
    /// Numbers alone; the names stay empty, which spares two allocations an entry.
    Numbers,
}

const WHAT: &str = "entry";

const FILE: u8 = 0;
const DIRECTORY: u8 = 1;
const SYMLINK: u8 = 2;
const HARD_LINK: u8 = 3;
const FIFO: u8 = 4;
const CHAR_DEVICE: u8 = 5;
const BLOCK_DEVICE: u8 = 6;

fn malformed(field: &'static str) -> impl FnOnce() -> FormatError {
    move || FormatError::corrupt(WHAT, format!("its {field} is malformed"))
}

impl Entry {
    /// Appends the entry's bytes, without their length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.path);
        out.push(kind_byte(&self.kind));
        put_varint(out, u64::from(self.mode));
        put_varint(out, u64::from(self.uid));
        put_varint(out, u64::from(self.gid));
        put_bytes(out, &self.user);
        put_bytes(out, &self.group);
        put_varint(out, zigzag(self.mtime.secs));
        put_varint(out, u64::from(self.mtime.nanos));
        put_varint(out, self.xattrs.len() as u64);
        for xattr in &self.xattrs {
            put_bytes(out, &xattr.name);
            put_bytes(out, &xattr.value);
        }
        match &self.kind {
            Kind::File(content) => encode_content(content, out),
            Kind::Symlink(target) | Kind::HardLink(target) => put_bytes(out, target),
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                put_varint(out, u64::from(*major));
                put_varint(out, u64::from(*minor));
            }
            Kind::Directory | Kind::Fifo => {}
        }
    }

    /// Reads an entry from exactly `bytes` and validates it.
    ///
    /// # Errors
    /// Corrupt, unsupported, or a limit.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, FormatError> {
        Self::decode_with(bytes, limits, Owners::Named)
    }

    /// [`Entry::decode`], perhaps without the owners' names. They are validated all the same.
    ///
    /// # Errors
    /// Corrupt, unsupported, or a limit.
    pub fn decode_with(bytes: &[u8], limits: &Limits, owners: Owners) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(bytes);
        let path = cursor.bytes(u64::MAX).ok_or_else(malformed("path"))?;
        FormatError::charge("path length", path.len() as u64, limits.path)?;
        let kind = cursor.u8().ok_or_else(malformed("kind"))?;
        let mode = cursor.varint().and_then(|mode| u16::try_from(mode).ok()).ok_or_else(malformed("mode"))?;
        let uid = cursor.varint32().ok_or_else(malformed("uid"))?;
        let gid = cursor.varint32().ok_or_else(malformed("gid"))?;
        let user = cursor.bytes(MAX_OWNER_NAME as u64).ok_or_else(malformed("user"))?;
        let group = cursor.bytes(MAX_OWNER_NAME as u64).ok_or_else(malformed("group"))?;
        let mtime = Mtime {
            secs: unzigzag(cursor.varint().ok_or_else(malformed("mtime.secs"))?),
            nanos: cursor.varint32().ok_or_else(malformed("mtime.nanos"))?,
        };
        let xattrs = decode_xattrs(&mut cursor, limits)?;
        let kind = decode_kind(kind, &mut cursor)?;
        read_extensions(WHAT, &mut cursor)?;
        let (kept_user, kept_group) = match owners {
            Owners::Named => (user.to_vec(), group.to_vec()),
            Owners::Numbers => (Vec::new(), Vec::new()),
        };
        let path = path.to_vec();
        let entry = Self { path, kind, mode, uid, gid, user: kept_user, group: kept_group, mtime, xattrs };
        entry.validate_names(&[user, group])?;
        entry.validate_rest(limits)?;
        Ok(entry)
    }

    /// Checks every rule that this entry alone can break.
    ///
    /// # Errors
    /// Corrupt, or a limit.
    pub fn validate(&self, limits: &Limits) -> Result<(), FormatError> {
        self.validate_names(&[&self.user, &self.group])?;
        self.validate_rest(limits)
    }

    fn validate_names(&self, owners: &[&[u8]]) -> Result<(), FormatError> {
        if owners.iter().any(|owner| owner.len() > MAX_OWNER_NAME || owner.contains(&0)) {
            let why = "a user or group name is too long or holds a NUL byte";
            return Err(FormatError::corrupt(WHAT, format!("{}: {why}", self.path.escape_ascii())));
        }
        Ok(())
    }

    /// All but the names of the owners.
    fn validate_rest(&self, limits: &Limits) -> Result<(), FormatError> {
        FormatError::charge("path length", self.path.len() as u64, limits.path)?;
        let corrupt = |why: String| FormatError::corrupt(WHAT, format!("{}: {why}", self.path.escape_ascii()));
        validate_path(&self.path).map_err(|error| corrupt(error.to_string()))?;
        if self.mode > 0o7777 {
            return Err(corrupt(format!("mode {:o}, at most 7777 allowed", self.mode)));
        }
        if self.mtime.nanos >= 1_000_000_000 {
            return Err(corrupt(format!("mtime of {} nanoseconds within a second", self.mtime.nanos)));
        }
        self.validate_xattrs(limits)?;
        match &self.kind {
            Kind::File(content) => content.validate().map_err(corrupt),
            Kind::Symlink(target) => {
                FormatError::charge("link target length", target.len() as u64, limits.path)?;
                if target.is_empty() || target.contains(&0) {
                    return Err(corrupt("its link target is empty or holds a NUL byte".into()));
                }
                Ok(())
            }
            Kind::HardLink(target) => {
                FormatError::charge("link target length", target.len() as u64, limits.path)?;
                validate_path(target).map_err(|error| corrupt(format!("hard link target: {error}")))
            }
            _ => Ok(()),
        }
    }

    fn validate_xattrs(&self, limits: &Limits) -> Result<(), FormatError> {
        let bytes = self.xattrs.iter().map(|xattr| (xattr.name.len() + xattr.value.len()) as u64).sum();
        FormatError::charge("extended attributes", bytes, limits.xattrs)?;
        let named = self.xattrs.iter().all(|xattr| !xattr.name.is_empty() && !xattr.name.contains(&0));
        if !named || !self.xattrs.is_sorted_by(|a, b| a.name < b.name) {
            let why = "extended attributes are not in strictly ascending order of proper names";
            return Err(FormatError::corrupt(WHAT, format!("{}: {why}", self.path.escape_ascii())));
        }
        Ok(())
    }
}

impl FileContent {
    /// Checks that the extents add up to the size.
    fn validate(&self) -> Result<(), String> {
        let mut sum = 0u64;
        for extent in &self.extents {
            let len = extent.len();
            if len == 0 {
                return Err("it has an empty extent".into());
            }
            sum = sum
                .checked_add(len)
                .filter(|&sum| sum <= MAX_FILE_SIZE)
                .ok_or_else(|| format!("its extents exceed {MAX_FILE_SIZE} bytes"))?;
            if let Extent::Data { offset, len, .. } = *extent {
                offset.checked_add(len).ok_or("an extent ends beyond 4 GiB of its chunk")?;
            }
        }
        if sum != self.size {
            return Err(format!("its extents add up to {sum} bytes, its size is {}", self.size));
        }
        Ok(())
    }
}

impl Extent {
    /// Bytes of the file that the extent stands for.
    #[must_use]
    pub fn len(&self) -> u64 {
        match *self {
            Self::Data { len, .. } => u64::from(len),
            Self::Hole { len } => len,
        }
    }

    /// Whether the extent stands for no bytes; such an extent is not valid.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn kind_byte(kind: &Kind) -> u8 {
    match kind {
        Kind::File(_) => FILE,
        Kind::Directory => DIRECTORY,
        Kind::Symlink(_) => SYMLINK,
        Kind::HardLink(_) => HARD_LINK,
        Kind::Fifo => FIFO,
        Kind::CharDevice { .. } => CHAR_DEVICE,
        Kind::BlockDevice { .. } => BLOCK_DEVICE,
    }
}

/// An extent is its chunk's number plus one, offset and length; or 0 and the length of a hole.
fn encode_content(content: &FileContent, out: &mut Vec<u8>) {
    put_varint(out, content.size);
    out.extend_from_slice(&content.digest.0);
    put_varint(out, content.extents.len() as u64);
    for extent in &content.extents {
        match *extent {
            Extent::Data { chunk, offset, len } => {
                put_varint(out, chunk.saturating_add(1));
                put_varint(out, u64::from(offset));
                put_varint(out, u64::from(len));
            }
            Extent::Hole { len } => {
                put_varint(out, 0);
                put_varint(out, len);
            }
        }
    }
}

fn decode_kind(kind: u8, cursor: &mut Cursor<'_>) -> Result<Kind, FormatError> {
    let bytes =
        |cursor: &mut Cursor<'_>| cursor.bytes(u64::MAX).map(<[u8]>::to_vec).ok_or_else(malformed("link target"));
    let device = |cursor: &mut Cursor<'_>| {
        let major = cursor.varint32().ok_or_else(malformed("major"))?;
        Ok((major, cursor.varint32().ok_or_else(malformed("minor"))?))
    };
    Ok(match kind {
        FILE => Kind::File(decode_content(cursor)?),
        DIRECTORY => Kind::Directory,
        SYMLINK => Kind::Symlink(bytes(cursor)?),
        HARD_LINK => Kind::HardLink(bytes(cursor)?),
        FIFO => Kind::Fifo,
        CHAR_DEVICE => {
            let (major, minor) = device(cursor)?;
            Kind::CharDevice { major, minor }
        }
        BLOCK_DEVICE => {
            let (major, minor) = device(cursor)?;
            Kind::BlockDevice { major, minor }
        }
        other => return Err(FormatError::unsupported(WHAT, format!("kind {other} is not known"))),
    })
}

/// The vector grows with the extents read, never from their declared count; most files have one.
fn decode_content(cursor: &mut Cursor<'_>) -> Result<FileContent, FormatError> {
    let size = cursor.varint().ok_or_else(malformed("size"))?;
    let digest = Digest(cursor.array().ok_or_else(malformed("digest"))?);
    let count = cursor.varint().ok_or_else(malformed("extent count"))?;
    let mut extents = Vec::with_capacity(usize::from(count > 0));
    for _ in 0..count {
        extents.push(decode_extent(cursor).ok_or_else(malformed("extent"))?);
    }
    Ok(FileContent { size, extents, digest })
}

fn decode_extent(cursor: &mut Cursor<'_>) -> Option<Extent> {
    Some(match cursor.varint()?.checked_sub(1) {
        None => Extent::Hole { len: cursor.varint()? },
        Some(chunk) => Extent::Data { chunk, offset: cursor.varint32()?, len: cursor.varint32()? },
    })
}

fn decode_xattrs(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Vec<Xattr>, FormatError> {
    let count = cursor.varint().ok_or_else(malformed("xattr count"))?;
    let mut xattrs = Vec::new();
    let mut bytes = 0u64;
    for _ in 0..count {
        let name = cursor.bytes(u64::MAX).ok_or_else(malformed("xattr name"))?;
        let value = cursor.bytes(u64::MAX).ok_or_else(malformed("xattr value"))?;
        bytes += (name.len() + value.len()) as u64;
        FormatError::charge("extended attributes", bytes, limits.xattrs)?;
        xattrs.push(Xattr { name: name.to_vec(), value: value.to_vec() });
    }
    Ok(xattrs)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn entry(path: &[u8], kind: Kind) -> Entry {
        Entry {
            path: path.to_vec(),
            kind,
            mode: 0o644,
            uid: 1000,
            gid: 100,
            user: b"anna".to_vec(),
            group: b"users".to_vec(),
            mtime: Mtime { secs: -5, nanos: 999_999_999 },
            xattrs: vec![],
        }
    }

    fn file(size: u64, extents: Vec<Extent>) -> Kind {
        Kind::File(FileContent { size, extents, digest: Digest::of(b"") })
    }

    fn round_trip(entry: &Entry) -> Result<Entry, FormatError> {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        Entry::decode(&bytes, &Limits::default())
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        let extent = prop_oneof![
            (0..u64::MAX, 0u32..1 << 30, 1u32..1 << 30).prop_map(|(chunk, offset, len)| Extent::Data {
                chunk,
                offset,
                len
            }),
            (1u64..1 << 50).prop_map(|len| Extent::Hole { len }),
        ];
        let target = prop::collection::vec(1u8..=255, 1..20);
        prop_oneof![
            prop::collection::vec(extent, 0..5)
                .prop_map(|extents| file(extents.iter().map(Extent::len).sum(), extents)),
            Just(Kind::Directory),
            Just(Kind::Fifo),
            target.prop_map(Kind::Symlink),
            "[a-z]{1,9}(/[a-z]{1,9}){0,3}".prop_map(|path| Kind::HardLink(path.into_bytes())),
            (any::<u32>(), any::<u32>()).prop_map(|(major, minor)| Kind::CharDevice { major, minor }),
            (any::<u32>(), any::<u32>()).prop_map(|(major, minor)| Kind::BlockDevice { major, minor }),
        ]
    }

    proptest! {
        #[test]
        fn round_trips(
            kind in kinds(),
            mode in 0u16..=0o7777,
            secs: i64,
            nanos in 0u32..1_000_000_000,
            xattrs in prop::collection::btree_map("[a-z.]{1,8}", prop::collection::vec(any::<u8>(), 0..9), 0..4),
        ) {
            let xattrs = xattrs.into_iter().map(|(name, value)| Xattr { name: name.into_bytes(), value }).collect();
            let entry = Entry { mode, mtime: Mtime { secs, nanos }, xattrs, ..entry(b"a/b", kind) };
            prop_assert_eq!(round_trip(&entry), Ok(entry.clone()));
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            for cut in 0..bytes.len() {
                prop_assert!(Entry::decode(&bytes[..cut], &Limits::default()).is_err());
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::decode(&bytes, &Limits::default());
        }
    }

    #[test]
    fn every_rule_is_checked() {
        let data = |offset, len| Extent::Data { chunk: 0, offset, len };
        let xattr = |name: &[u8]| Xattr { name: name.to_vec(), value: vec![] };
        let good = entry(b"a", file(0, vec![]));
        let bad = [
            Entry { path: b"../a".to_vec(), ..good.clone() },
            Entry { path: b"/a".to_vec(), ..good.clone() },
            Entry { path: b"a//b".to_vec(), ..good.clone() },
            Entry { path: b"a\0".to_vec(), ..good.clone() },
            Entry { path: vec![], ..good.clone() },
            Entry { path: vec![b'a'; 256], ..good.clone() },
            Entry { mode: 0o10000, ..good.clone() },
            Entry { mtime: Mtime { secs: 0, nanos: 1_000_000_000 }, ..good.clone() },
            Entry { user: b"a\0".to_vec(), ..good.clone() },
            Entry { group: vec![b'g'; 256], ..good.clone() },
            Entry { xattrs: vec![xattr(b"b"), xattr(b"a")], ..good.clone() },
            Entry { xattrs: vec![xattr(b"a"), xattr(b"a")], ..good.clone() },
            Entry { xattrs: vec![xattr(b"")], ..good.clone() },
            entry(b"a", Kind::Symlink(vec![])),
            entry(b"a", Kind::Symlink(b"x\0y".to_vec())),
            entry(b"a", Kind::HardLink(b"../x".to_vec())),
            entry(b"a", file(1, vec![])),
            entry(b"a", file(2, vec![data(0, 1)])),
            entry(b"a", file(1, vec![data(0, 0), data(0, 1)])),
            entry(b"a", file(2, vec![data(u32::MAX, 2)])),
            entry(b"a", file(1 << 63, vec![Extent::Hole { len: 1 << 63 }])),
            entry(b"a", file(8, vec![Extent::Hole { len: u64::MAX }, Extent::Hole { len: 9 }])),
        ];
        assert!(round_trip(&good).is_ok());
        for entry in bad {
            assert!(matches!(round_trip(&entry), Err(FormatError::Corrupt { .. })), "{entry:?}");
        }
    }

    #[test]
    fn limits_and_unknown_kinds_are_told_apart() {
        let long = entry(&b"aaaaaaa/".repeat(10_000)[..79_999], Kind::Fifo);
        assert!(matches!(round_trip(&long), Err(FormatError::Limit { .. })));
        let mut bytes = Vec::new();
        entry(b"a", Kind::Fifo).encode(&mut bytes);
        bytes[2] = 7;
        assert!(matches!(Entry::decode(&bytes, &Limits::default()), Err(FormatError::Unsupported { .. })));
    }

    #[test]
    fn a_declared_count_reserves_nothing() {
        let mut bytes = Vec::new();
        entry(b"a", file(0, vec![])).encode(&mut bytes);
        bytes.pop();
        put_varint(&mut bytes, u64::MAX);
        assert!(Entry::decode(&bytes, &Limits::default()).is_err());
    }
}
