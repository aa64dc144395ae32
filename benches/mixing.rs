//! Context mixing on one core, beside zstd on the same blocks.
//!
//! ```text
//! cargo bench --bench mixing -- [--corpus DIR] [--limit BYTES]
//! ```
//!
//! Bits per byte and KB/s of `cm` to encode (with the choice of its way) and to decode, 64 KiB blocks.

mod common;

use std::process::ExitCode;
use std::time::Instant;

use common::{Arguments, Failure};
use lma::codec::{self, Choice, Level};
use lma::format::CodecId;
use lma::predict::NoModels;

const FILES: [&str; 6] = [
    "canterbury/alice29.txt",
    "enwik/enwik6",
    "tree/json.tar",
    "silesia/xml",
    "loghub/Hadoop_2k.log",
    "silesia/ooffice",
];

const BLOCK: usize = 64 << 10;

fn main() -> ExitCode {
    common::exit("mixing", run())
}

fn run() -> Result<(), Failure> {
    let arguments = Arguments::parse(&["corpus", "limit"], &[])?;
    let corpus = arguments.corpus()?;
    let limit = arguments.size("limit", "256K")?;
    // The dictionary is learnt once in a process, not once in a chunk.
    let started = Instant::now();
    codec::encode(&[b'a'; BLOCK], Choice::Only(CodecId::Cm), Level::default(), None)?;
    println!("{}; the dictionary is learnt in {:.0} ms", common::machine(), started.elapsed().as_secs_f64() * 1e3);
    println!("{:24}{:>14}{:>12}{:>12}{:>10}", "file", "bits per byte", "encode", "decode", "zstd -19");
    for file in FILES {
        let mut raw = std::fs::read(corpus.join(file))?;
        raw.truncate(limit);
        let (stored, encode, decode) = measure(&raw, CodecId::Cm)?;
        let (by_zstd, ..) = measure(&raw, CodecId::Zstd)?;
        let bits = |stored: usize| stored as f64 * 8.0 / raw.len() as f64;
        let speed = |seconds: f64| raw.len() as f64 / 1e3 / seconds;
        println!(
            "{file:24}{:14.3}{:7.0} KB/s{:7.0} KB/s{:10.3}",
            bits(stored),
            speed(encode),
            speed(decode),
            bits(by_zstd)
        );
    }
    Ok(())
}

/// Bytes stored, and seconds to encode and to decode.
fn measure(raw: &[u8], codec: CodecId) -> Result<(usize, f64, f64), Failure> {
    let started = Instant::now();
    let encode = |block| codec::encode(block, Choice::Only(codec), Level::default(), None);
    let blocks = raw.chunks(BLOCK).map(encode).collect::<Result<Vec<_>, _>>()?;
    let encoding = started.elapsed().as_secs_f64();
    let started = Instant::now();
    for (block, encoded) in raw.chunks(BLOCK).zip(&blocks) {
        let decoded = codec::decode(encoded.codec, None, &encoded.stored, block.len(), &NoModels)?;
        assert!(decoded == block, "a block came back another");
    }
    Ok((blocks.iter().map(|block| block.stored.len()).sum(), encoding, started.elapsed().as_secs_f64()))
}
