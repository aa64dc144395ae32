//! Members of a tar stream, front to back.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::pax::{Records, XATTR, parse_time};
use super::sparse::{Map, MapReader, gnu_continued};
use super::{BLOCK, acl, padding};
use crate::format::{HEADER_MAGIC, Mtime, Xattr};
use crate::limits::Limits;
use crate::{Error, Result};

/// Most bytes of a pax header or a long name.
const HEADER_LIMIT: u64 = 16 << 20;

/// A member, with all that its headers say.
pub(super) struct Member {
    pub(super) kind: EntryType,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) user: Vec<u8>,
    pub(super) group: Vec<u8>,
    pub(super) mtime: Mtime,
    pub(super) xattrs: Vec<Xattr>,
    /// Why its ACL is not among them, if it has one that cannot be read.
    pub(super) acl_lost: Option<String>,
    /// Major and minor number.
    pub(super) device: (u32, u32),
    pub(super) map: Map,
}

/// Reads a tar stream. Of every member the data is read, by [`TarReader::data`], before the next member.
pub(super) struct TarReader<R> {
    input: R,
    position: u64,
    /// Data of the member that is not read yet, and the padding behind it.
    left: u64,
    padding: u64,
    global: Records,
    /// Whether the stream had its end mark.
    pub(super) ended: bool,
}

impl<R: Read> TarReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, position: 0, left: 0, padding: 0, global: Records::default(), ended: false }
    }

    fn damaged(&self, why: impl std::fmt::Display) -> Error {
        Error::Refused(format!("the tar stream is damaged at byte {}: {why}", self.position))
    }

    fn failed(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it ends here"),
            _ => Error::Io { action: "reading", path: "the tar stream".into(), source: error },
        }
    }

    /// Fills `block`; `false` where the stream ends right here.
    fn block(&mut self, block: &mut [u8; BLOCK as usize]) -> Result<bool> {
        let mut got = 0;
        while got < block.len() {
            match self.input.read(&mut block[got..]) {
                Ok(0) if got == 0 => return Ok(false),
                Ok(0) => return Err(self.damaged("it ends inside a block")),
                Ok(len) => got += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.position += BLOCK;
        Ok(true)
    }

    /// Some data of the member; nothing at its end.
    pub(super) fn data(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        loop {
            match self.input.read(&mut buffer[..want]) {
                Ok(0) if want > 0 => return Err(self.damaged("it ends inside a member")),
                Ok(len) => {
                    self.left -= len as u64;
                    self.position += len as u64;
                    return Ok(len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn skip(&mut self) -> Result<()> {
        let rest = self.left.saturating_add(self.padding);
        let skipped =
            io::copy(&mut (&mut self.input).take(rest), &mut io::sink()).map_err(|error| self.failed(error))?;
        self.position += skipped;
        (self.left, self.padding) = (0, 0);
        if skipped < rest { Err(self.damaged("it ends inside a member")) } else { Ok(()) }
    }

    /// The data of a header's own, whole.
    fn header_data(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > HEADER_LIMIT {
            return Err(self.damaged(format!("a header of {size} bytes, more than {HEADER_LIMIT}")));
        }
        let mut data = Vec::new();
        let len = size + padding(size);
        (&mut self.input).take(len).read_to_end(&mut data).map_err(|error| self.failed(error))?;
        if data.len() as u64 != len {
            return Err(self.damaged("it ends inside a header"));
        }
        self.position += len;
        data.truncate(size as usize);
        Ok(data)
    }

    /// The next member.
    pub(super) fn next(&mut self) -> Result<Option<Member>> {
        self.skip()?;
        let (mut records, mut long_path, mut long_link) = (Records::default(), None, None);
        loop {
            let mut header = Header::new_old();
            let mut block = [0; BLOCK as usize];
            if !self.block(&mut block)? {
                return Ok(None);
            }
            if block.iter().all(|&byte| byte == 0) {
                self.ended = true;
                // What feeds the pipe may still be padding: it should not see a closed pipe.
                io::copy(&mut self.input, &mut io::sink()).map_err(|error| self.failed(error))?;
                return Ok(None);
            }
            header.as_mut_bytes().copy_from_slice(&block);
            self.check_sum(&header).map_err(|error| not_tar(&block, self.position == BLOCK).unwrap_or(error))?;
            let size = header.entry_size().map_err(|error| self.damaged(error))?;
            let malformed = "a malformed pax header";
            match header.entry_type() {
                EntryType::XHeader => {
                    let data = self.header_data(size)?;
                    let parsed = Records::parse(&data).ok_or_else(|| self.damaged(malformed))?;
                    records.0.extend(parsed.0);
                    self.charge(&records)?;
                }
                EntryType::XGlobalHeader => {
                    let data = self.header_data(size)?;
                    let parsed = Records::parse(&data).ok_or_else(|| self.damaged(malformed))?;
                    self.global.0.extend(parsed.0);
                    self.charge(&self.global)?;
                }
                EntryType::GNULongName => long_path = Some(until_nul(self.header_data(size)?)),
                EntryType::GNULongLink => long_link = Some(until_nul(self.header_data(size)?)),
                _ => {
                    let local = std::mem::take(&mut records.0);
                    records.0 = self.global.0.iter().cloned().chain(local).collect();
                    return self.member(&header, &records, long_path, long_link).map(Some);
                }
            }
        }
    }

    /// Refuses more records in force than one header may hold.
    fn charge(&self, records: &Records) -> Result<()> {
        let bytes: usize = records.0.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes as u64 <= HEADER_LIMIT {
            return Ok(());
        }
        Err(self.damaged(format!("pax headers of {bytes} bytes together, more than {HEADER_LIMIT}")))
    }

    fn check_sum(&self, header: &Header) -> Result<()> {
        let bytes = header.as_bytes();
        let sum: u32 = bytes[..148].iter().chain(&bytes[156..]).map(|&byte| u32::from(byte)).sum::<u32>() + 8 * 32;
        let claimed = header.cksum().map_err(|_| self.damaged("a header whose checksum is no number"))?;
        if sum == claimed { Ok(()) } else { Err(self.damaged(format!("header checksum {claimed}, not {sum}"))) }
    }

    fn member(
        &mut self,
        header: &Header,
        records: &Records,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Member> {
        let kind = header.entry_type();
        let size = header.entry_size().map_err(|error| self.damaged(error))?;
        // A hard link may come with its target's data again; links and directories may claim a size, and have none.
        self.left = match kind {
            EntryType::Symlink | EntryType::Directory | EntryType::Char | EntryType::Block | EntryType::Fifo => 0,
            _ => records.number("size").unwrap_or(size),
        };
        self.padding = padding(self.left);
        let map = self.map(header, records)?;
        if !map.is_sound(self.left) {
            return Err(self.damaged("a map of holes that contradicts the data"));
        }
        let name = |key: &str, field: Option<&[u8]>| records.get(key).or(field).unwrap_or_default().to_vec();
        let real_name = records.get("GNU.sparse.name").or_else(|| records.get("path")).map(<[u8]>::to_vec);
        let real_link = records.get("linkpath").map(<[u8]>::to_vec);
        let whole = || header.mtime().ok().and_then(|secs| i64::try_from(secs).ok()).unwrap_or(0);
        let mtime = records.get("mtime").and_then(parse_time).unwrap_or_else(|| Mtime { secs: whole(), nanos: 0 });
        let (xattrs, acl_lost) = xattrs(records);
        let device = |number: io::Result<Option<u32>>| number.ok().flatten().unwrap_or(0);
        Ok(Member {
            kind,
            path: real_name.or(long_path).unwrap_or_else(|| header.path_bytes().into_owned()),
            link: real_link.or(long_link).or_else(|| header.link_name_bytes().map(Into::into)).unwrap_or_default(),
            mode: header.mode().map_err(|error| self.damaged(error))?,
            uid: records.number("uid").or_else(|| header.uid().ok()).unwrap_or(0),
            gid: records.number("gid").or_else(|| header.gid().ok()).unwrap_or(0),
            user: name("uname", header.username_bytes()),
            group: name("gname", header.groupname_bytes()),
            mtime,
            xattrs,
            acl_lost,
            device: (device(header.device_major()), device(header.device_minor())),
            map,
        })
    }

    /// Where the data goes; reads a map that stands before the data.
    fn map(&mut self, header: &Header, records: &Records) -> Result<Map> {
        if header.entry_type() == EntryType::GNUSparse {
            let gnu = header.as_gnu().ok_or_else(|| self.damaged("a sparse member without a GNU header"))?;
            let mut map = Map { runs: Vec::new(), size: gnu.real_size().map_err(|error| self.damaged(error))? };
            map.add_gnu(&gnu.sparse).map_err(|error| self.damaged(error))?;
            let mut more = gnu.is_extended();
            while more {
                let mut block = [0; BLOCK as usize];
                if !self.block(&mut block)? {
                    return Err(self.damaged("it ends inside a header"));
                }
                more = gnu_continued(&mut map, &block).map_err(|error| self.damaged(error))?;
            }
            return Ok(map);
        }
        if records.number("GNU.sparse.major") == Some(1) {
            let size =
                records.number("GNU.sparse.realsize").ok_or_else(|| self.damaged("a sparse member without size"))?;
            let mut reader = MapReader::default();
            loop {
                let mut block = [0; BLOCK as usize];
                if self.left < BLOCK || !self.block(&mut block)? {
                    return Err(self.damaged("a map of holes that does not end"));
                }
                self.left -= BLOCK;
                let read = reader.block(&block).map_err(|()| self.damaged("a malformed map of holes"))?;
                if let Some(runs) = read {
                    return Ok(Map { runs, size });
                }
            }
        }
        if records.get("GNU.sparse.size").is_some() {
            return Map::from_pax(records).ok_or_else(|| self.damaged("a malformed map of holes"));
        }
        Ok(Map::whole(self.left))
    }
}

/// Why a stream is none at all whose first block is no header; `None` where it began well.
fn not_tar(block: &[u8; BLOCK as usize], is_first: bool) -> Option<Error> {
    const COMPRESSED: [(&[u8], &str); 5] = [
        (&[0x1f, 0x8b], "gzip"),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
        (b"BZh", "bzip2"),
        (b"LZIP", "lzip"),
    ];
    if !is_first {
        return None;
    }
    let program = COMPRESSED.iter().find(|(magic, _)| block.starts_with(magic)).map(|(_, program)| program);
    Some(Error::Refused(match program {
        Some(program) => format!(
            "this is no tar stream but one compressed with {program}: decompress it first, as in \
             `{program} -dc FILE | lma create ARCHIVE --from-tar -`"
        ),
        None if block.starts_with(&HEADER_MAGIC) => "this is no tar stream but an lma archive".into(),
        None => "this is no tar stream: its first block is no header".into(),
    }))
}

fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|&byte| byte == 0) {
        name.truncate(end);
    }
    name
}

/// Extended attributes by name, and what is wrong with an ACL that is none of them. More than the limit is none:
/// [`crate::format::Entry::validate`] would refuse them.
fn xattrs(records: &Records) -> (Vec<Xattr>, Option<String>) {
    let mut out = std::collections::BTreeMap::new();
    let (acls, acl_lost) = match acl::xattrs(records) {
        Ok(acls) => (acls, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    // Attributes that are raw are exact: they come last and win.
    out.extend(acls.into_iter().map(|acl| (acl.name, acl.value)));
    for (key, value) in &records.0 {
        if let Some(name) = key.strip_prefix(XATTR).filter(|name| !name.is_empty() && !name.contains(&0)) {
            out.insert(name.to_vec(), value.clone());
        }
    }
    let bytes: usize = out.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes as u64 > Limits::default().xattrs {
        out.clear();
    }
    (out.into_iter().map(|(name, value)| Xattr { name, value }).collect(), acl_lost)
}
