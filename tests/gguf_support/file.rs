//! GGUF, version 3: metadata, tensor descriptions, tensors.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::kind::Kind;
use super::random::Random;

/// Tensors start at multiples of this.
pub(super) const ALIGNMENT: usize = 32;

/// A metadata value.
#[derive(Clone)]
pub(super) enum Value {
    Number(u32),
    Float(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<i32>),
}

/// How the numbers of a tensor are drawn.
#[derive(Clone, Copy)]
pub(super) enum Fill {
    /// Normal, of this standard deviation.
    Normal(f32),
    /// Around this mean, with deviations of an eighth of it.
    Around(f32),
    /// The same with a random sign.
    Signed(f32),
    /// Evenly from one to the other.
    Ramp(f32, f32),
}

/// A tensor to write.
pub(super) struct Tensor {
    pub(super) name: String,
    /// None for a vector.
    pub(super) rows: Option<usize>,
    pub(super) columns: usize,
    pub(super) kind: Kind,
    pub(super) fill: Fill,
}

impl Tensor {
    pub(super) fn bytes(&self) -> usize {
        self.rows.unwrap_or(1) * self.kind.row_bytes(self.columns)
    }
}

/// Writes the file, tensors row by row: the largest model takes little memory.
pub(super) fn write(path: &Path, pairs: &[(String, Value)], tensors: &[Tensor], seed: u64) -> io::Result<()> {
    let mut head = b"GGUF\x03\0\0\0".to_vec();
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((pairs.len() as u64).to_le_bytes());
    for (key, value) in pairs {
        text(key, &mut head);
        put(value, &mut head);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        let dims: Vec<u64> = [tensor.columns].into_iter().chain(tensor.rows).map(|n| n as u64).collect();
        describe(&tensor.name, &dims, tensor.kind, offset, &mut head);
        offset += tensor.bytes().next_multiple_of(ALIGNMENT) as u64;
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&head)?;
    for tensor in tensors {
        let mut random = Random::new(seed, &tensor.name);
        let mut row = vec![0.0; tensor.columns];
        let mut packed = Vec::new();
        for _ in 0..tensor.rows.unwrap_or(1) {
            draw(tensor.fill, &mut random, &mut row);
            packed.clear();
            tensor.kind.encode(&row, &mut packed);
            out.write_all(&packed)?;
        }
        let bytes = tensor.bytes();
        out.write_all(&[0; ALIGNMENT][..bytes.next_multiple_of(ALIGNMENT) - bytes])?;
    }
    out.flush()
}

/// Appends the description of a tensor, whose dimensions are `dims`, the innermost first.
pub(super) fn describe(name: &str, dims: &[u64], kind: Kind, offset: u64, out: &mut Vec<u8>) {
    text(name, out);
    out.extend((dims.len() as u32).to_le_bytes());
    dims.iter().for_each(|n| out.extend(n.to_le_bytes()));
    out.extend(kind.id().to_le_bytes());
    out.extend(offset.to_le_bytes());
}

fn draw(fill: Fill, random: &mut Random, row: &mut [f32]) {
    let last = row.len().max(2) - 1;
    for (i, x) in row.iter_mut().enumerate() {
        *x = match fill {
            Fill::Normal(deviation) => deviation * random.normal(),
            Fill::Around(mean) => mean * (1.0 + random.normal() / 8.0),
            Fill::Signed(mean) => random.sign() * mean * (1.0 + random.normal() / 8.0),
            Fill::Ramp(from, to) => from + (to - from) * i as f32 / last as f32,
        };
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Appends a value behind its type.
fn put(value: &Value, out: &mut Vec<u8>) {
    const NUMBER: u32 = 4;
    const INTEGER: u32 = 5;
    const FLOAT: u32 = 6;
    const BOOL: u32 = 7;
    const TEXT: u32 = 8;
    const ARRAY: u32 = 9;
    let mut tag = |kind: u32| out.extend(kind.to_le_bytes());
    match value {
        Value::Number(x) => {
            tag(NUMBER);
            out.extend(x.to_le_bytes());
        }
        Value::Float(x) => {
            tag(FLOAT);
            out.extend(x.to_le_bytes());
        }
        Value::Bool(x) => {
            tag(BOOL);
            out.push(u8::from(*x));
        }
        Value::Text(x) => {
            tag(TEXT);
            text(x, out);
        }
        Value::Texts(list) => {
            tag(ARRAY);
            tag(TEXT);
            out.extend((list.len() as u64).to_le_bytes());
            list.iter().for_each(|x| text(x, out));
        }
        Value::Integers(list) => {
            tag(ARRAY);
            tag(INTEGER);
            out.extend((list.len() as u64).to_le_bytes());
            list.iter().for_each(|x| out.extend(x.to_le_bytes()));
        }
    }
}
