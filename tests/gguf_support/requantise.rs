//! A GGUF file's matrices in another type.

use std::io;
use std::path::Path;

use super::Weighting;
use super::file::{ALIGNMENT, describe};
use super::half::f16_to_f32;
use super::kind::Kind;

/// Copies a GGUF file of F32 vectors and Q5_0 or Q8_0 matrices, the matrices turned into other types.
///
/// # Errors
/// The files', or an input that is not such a file.
pub(crate) fn requantise(from: &Path, to: &Path, weighting: Weighting) -> io::Result<()> {
    let file = std::fs::read(from)?;
    let mut at = Cursor { file: &file, at: 8 };
    let (tensors, pairs) = (at.long()?, at.long()?);
    for _ in 0..pairs {
        at.text()?;
        let kind = at.number()?;
        at.skip_value(kind)?;
    }
    let mut head = file[..at.at].to_vec();
    let mut sources = Vec::new();
    for _ in 0..tensors {
        let name = at.text()?.to_owned();
        let dims: Vec<u64> = (0..at.number()?).map(|_| at.long()).collect::<io::Result<_>>()?;
        sources.push((name, dims, at.number()?, at.long()?));
    }
    let tied = sources.iter().all(|(name, ..)| name != "output.weight");
    let start = at.at.next_multiple_of(ALIGNMENT);
    let mut data = Vec::new();
    for (name, dims, type_id, offset) in sources {
        let (columns, count) = (dims[0] as usize, dims.iter().product::<u64>() as usize);
        let source = file.get(start + offset as usize..).ok_or_else(short)?;
        let (numbers, kind) = match type_id {
            0 => (floats(source, count)?, Kind::F32),
            6 => (q5_0(source, count)?, weighting.kind(&name, columns, tied)),
            8 => (q8_0(source, count)?, weighting.kind(&name, columns, tied)),
            _ => return Err(io::Error::other(format!("{name} is neither F32 nor Q5_0 nor Q8_0"))),
        };
        describe(&name, &dims, kind, data.len() as u64, &mut head);
        numbers.chunks(columns).for_each(|row| kind.encode(row, &mut data));
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
    std::fs::write(to, [head, data].concat())
}

fn short() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

fn floats(source: &[u8], count: usize) -> io::Result<Vec<f32>> {
    let (numbers, _) = source.get(..4 * count).ok_or_else(short)?.as_chunks::<4>();
    Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn q5_0(source: &[u8], count: usize) -> io::Result<Vec<f32>> {
    let (blocks, _) = source.get(..count / 32 * 22).ok_or_else(short)?.as_chunks::<22>();
    let numbers = blocks.iter().flat_map(|block| {
        let step = f16_to_f32(u16::from_le_bytes([block[0], block[1]]));
        let fifth = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
        (0..32).map(move |i| {
            let low = block[6 + i % 16] >> (i / 16 * 4) & 15;
            let level = i32::from(low) | ((fifth >> i & 1) << 4) as i32;
            step * (level - 16) as f32
        })
    });
    Ok(numbers.collect())
}

fn q8_0(source: &[u8], count: usize) -> io::Result<Vec<f32>> {
    let (blocks, _) = source.get(..count / 32 * 34).ok_or_else(short)?.as_chunks::<34>();
    let numbers = blocks.iter().flat_map(|block| {
        let step = f16_to_f32(u16::from_le_bytes([block[0], block[1]]));
        block[2..].iter().map(move |&level| step * f32::from(level as i8))
    });
    Ok(numbers.collect())
}

/// Reads what stands in front of the tensors.
struct Cursor<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let taken = self.file.get(self.at..self.at + count).ok_or_else(short)?;
        self.at += count;
        Ok(taken)
    }

    fn number(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| short())?))
    }

    fn long(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| short())?))
    }

    fn text(&mut self) -> io::Result<&'a str> {
        let len = self.long()? as usize;
        std::str::from_utf8(self.take(len)?).map_err(io::Error::other)
    }

    /// Skips a metadata value whose type is `kind`.
    fn skip_value(&mut self, kind: u32) -> io::Result<()> {
        match kind {
            0 | 1 | 7 => self.take(1).map(|_| ()),
            2 | 3 => self.take(2).map(|_| ()),
            4..=6 => self.take(4).map(|_| ()),
            8 => self.text().map(|_| ()),
            9 => {
                let (kind, count) = (self.number()?, self.long()?);
                (0..count).try_for_each(|_| self.skip_value(kind))
            }
            _ => self.take(8).map(|_| ()),
        }
    }
}
