//! The four ways in which tar writes holes: GNU's old headers, and pax formats 0.0, 0.1 and 1.0.

use tar::{GnuExtSparseHeader, GnuSparseHeader};

use super::BLOCK;
use super::pax::Records;
use crate::format::{Extent, FileContent};

/// Most runs of one file: a map is held in memory.
const MAX_RUNS: usize = 1 << 22;

/// A sparse file: where its data goes, and its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    /// Offset and length of each run of data, in order.
    pub(super) runs: Vec<(u64, u64)>,
    /// Size of the file.
    pub(super) size: u64,
}

impl Map {
    /// A file without holes.
    pub(super) fn whole(size: u64) -> Self {
        Self { runs: vec![(0, size)], size }
    }

    /// The holes of a file; `None` where it has none, or more runs than a reader of this program takes.
    pub(super) fn of(content: &FileContent) -> Option<Self> {
        let (mut runs, mut at): (Vec<(u64, u64)>, u64) = (Vec::new(), 0);
        for extent in &content.extents {
            let (len, is_data) = match *extent {
                Extent::Data { len, .. } => (u64::from(len), true),
                Extent::Hole { len } => (len, false),
            };
            match runs.last_mut() {
                Some((start, run)) if is_data && *start + *run == at => *run += len,
                _ if is_data => runs.push((at, len)),
                _ => {}
            }
            at = at.saturating_add(len);
        }
        let has_hole = content.extents.iter().any(|extent| matches!(extent, Extent::Hole { .. }));
        if runs.last().is_none_or(|(start, len)| start + len < at) {
            // A run of nothing at the end, as GNU tar has it, makes the file as long as it is.
            runs.push((at, 0));
        }
        (has_hole && runs.len() <= MAX_RUNS).then_some(Self { runs, size: content.size })
    }

    /// Bytes of data.
    pub(super) fn data(&self) -> u64 {
        self.runs.iter().map(|(_, len)| len).sum()
    }

    /// The map as pax format 1.0 has it before the data, in whole blocks: what [`MapReader`] reads.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut text = format!("{}\n", self.runs.len());
        for (offset, len) in &self.runs {
            text.push_str(&format!("{offset}\n{len}\n"));
        }
        let mut out = text.into_bytes();
        out.resize(out.len().next_multiple_of(BLOCK as usize), 0);
        out
    }

    /// Whether runs follow each other within the file and have `data` bytes together.
    pub(super) fn is_sound(&self, data: u64) -> bool {
        let (mut at, mut sum) = (0u64, 0u64);
        for &(offset, len) in &self.runs {
            let Some(end) = offset.checked_add(len).filter(|_| offset >= at) else { return false };
            at = end;
            sum += len;
        }
        at <= self.size && sum == data
    }

    /// Adds the runs of an old GNU header.
    pub(super) fn add_gnu(&mut self, runs: &[GnuSparseHeader]) -> std::io::Result<()> {
        if self.runs.len() > MAX_RUNS {
            return Err(std::io::Error::other(format!("a map of more than {MAX_RUNS} runs")));
        }
        for run in runs.iter().filter(|run| !run.is_empty()) {
            self.runs.push((run.offset()?, run.length()?));
        }
        Ok(())
    }

    /// The map of pax formats 0.0 and 0.1, which stands in the header.
    pub(super) fn from_pax(records: &Records) -> Option<Self> {
        let size = records.number("GNU.sparse.size")?;
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
        let numbers: Option<Vec<u64>> = match records.get("GNU.sparse.map") {
            Some(map) => map.split(|&byte| byte == b',').map(number).collect(),
            None => {
                let keys: [&[u8]; 2] = [b"GNU.sparse.offset", b"GNU.sparse.numbytes"];
                let found = records.0.iter().filter(|(key, _)| keys.contains(&key.as_slice()));
                found.map(|(_, value)| number(value)).collect()
            }
        };
        let numbers = numbers.filter(|numbers| numbers.len() % 2 == 0)?;
        Some(Self { runs: numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect(), size })
    }
}

/// Reads the map of pax format 1.0, which stands before the data: decimal lines, the first their number.
#[derive(Default)]
pub(super) struct MapReader {
    numbers: Vec<u64>,
    current: Option<u64>,
}

impl MapReader {
    /// Takes a block. Answers the numbers when the map has ended in it; `Err` where it is malformed.
    pub(super) fn block(&mut self, block: &[u8]) -> Result<Option<Vec<(u64, u64)>>, ()> {
        for &byte in block {
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    let next = self.current.unwrap_or(0).checked_mul(10).and_then(|value| value.checked_add(digit));
                    self.current = Some(next.ok_or(())?);
                }
                b'\n' => {
                    self.numbers.push(self.current.take().ok_or(())?);
                    let (&count, runs) = self.numbers.split_first().ok_or(())?;
                    if count > MAX_RUNS as u64 {
                        return Err(());
                    }
                    if count.checked_mul(2).ok_or(())? == runs.len() as u64 {
                        return Ok(Some(runs.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()));
                    }
                }
                _ => return Err(()),
            }
        }
        Ok(None)
    }
}

/// Reads a continuation of an old GNU header: more runs, and whether another follows.
pub(super) fn gnu_continued(map: &mut Map, block: &[u8; 512]) -> std::io::Result<bool> {
    let mut header = GnuExtSparseHeader::new();
    header.as_mut_bytes().copy_from_slice(block);
    map.add_gnu(header.sparse())?;
    Ok(header.is_extended())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_in_blocks_are_read_whatever_the_split() {
        let text = b"2\n0\n10\n4096\n5\n";
        for split in 0..text.len() {
            let mut reader = MapReader::default();
            let first = reader.block(&text[..split]).unwrap();
            assert_eq!(first, None);
            assert_eq!(reader.block(&text[split..]), Ok(Some(vec![(0, 10), (4096, 5)])));
        }
        assert!(MapReader::default().block(b"x").is_err());
        assert!(MapReader::default().block(b"99999999999999999999999\n").is_err());
    }

    #[test]
    fn maps_are_read_as_they_were_written() {
        let data = |len| Extent::Data { chunk: 0, offset: 0, len };
        let map = |extents: &[Extent]| {
            let size = extents.iter().map(|extent| match *extent {
                Extent::Data { len, .. } => u64::from(len),
                Extent::Hole { len } => len,
            });
            let digest = crate::hash::Digest::of(&[]);
            Map::of(&FileContent { size: size.sum(), extents: extents.to_vec(), digest })
        };
        assert_eq!(map(&[]), None);
        assert_eq!(map(&[data(5), data(6)]), None);
        let hole = Extent::Hole { len: 1 << 40 };
        let found = map(&[hole, data(5), data(6), hole]).unwrap();
        assert_eq!(found.runs, [(1 << 40, 11), ((1 << 41) + 11, 0)]);
        assert_eq!((found.data(), found.is_sound(11)), (11, true));
        assert_eq!(MapReader::default().block(&found.encode()), Ok(Some(found.runs)));
        assert_eq!(map(&[hole]).unwrap().runs, [(1 << 40, 0)]);
        assert_eq!(map(&[hole, data(5)]).unwrap().runs, [(1 << 40, 5)]);
        let many: Vec<_> = [hole, data(1)].into_iter().cycle().take(200).collect();
        let found = map(&many).unwrap();
        assert_eq!((found.encode().len() % 512, found.runs.len()), (0, 100));
    }

    #[test]
    fn runs_that_overlap_or_leave_the_file_are_refused() {
        let map = |runs: &[(u64, u64)], size| Map { runs: runs.to_vec(), size };
        assert!(map(&[(0, 10), (20, 5)], 25).is_sound(15));
        assert!(!map(&[(0, 10), (9, 5)], 25).is_sound(15));
        assert!(!map(&[(0, 10), (20, 6)], 25).is_sound(16));
        assert!(!map(&[(0, 10)], 25).is_sound(11));
        assert!(!map(&[(u64::MAX, 10)], 25).is_sound(10));
    }
}
