//! Makes the starting values of the `cm` and `mix` codecs (spec/mix-codec.md §12, model/start/README.md).
//!
//! ```text
//! cargo run --release --example start -- DICTIONARY TEXTS DATA OUT
//! ```
//!
//! DICTIONARY is the unpacked dictionary; TEXTS a folder of held-out texts; DATA a folder of programs and
//! images. OUT is written unpacked.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lma::codec::mix::start::Way;
use lma::codec::mix::training::Trainer;
use lma::model::{EngineOptions, Engines, Registry, RegistryConfig};

/// Chunks are learnt as they are cut.
const CHUNK: usize = 64 << 10;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(Into::into).collect();
    let [dictionary, texts, data, out] = &arguments[..] else {
        eprintln!("usage: start DICTIONARY TEXTS DATA OUT");
        return ExitCode::from(64);
    };
    match make(dictionary, texts, data, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make(dictionary: &Path, texts: &Path, data: &Path, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut trainer = Trainer::new(std::fs::read(dictionary)?);
    let config = RegistryConfig::from_env(|name| std::env::var_os(name));
    let engines = Engines::new(Registry::new(config), EngineOptions { threads: 2, ..EngineOptions::default() });
    let model = engines.load(&engines.registry().preferred()?)?;
    let mut total = [(0, 0); Way::ALL.len()];
    let mut count = |way: Way, size: usize, raw: &[u8]| {
        total[way as usize].0 += size;
        total[way as usize].1 += raw.len();
    };
    for raw in in_turn(texts)? {
        let [plain, dictionary] = trainer.text(&raw);
        count(Way::Plain, plain, &raw);
        count(Way::Dictionary, dictionary, &raw);
        count(Way::Mix, trainer.mixed(&model, &raw)?, &raw);
    }
    for raw in in_turn(data)? {
        if let Some((way, size)) = trainer.data(&raw) {
            count(way, size, &raw);
        }
    }
    for (way, (stored, raw)) in Way::ALL.into_iter().zip(total) {
        println!("{way:?}: {raw} bytes at {:.4} bits each", stored as f64 * 8.0 / raw.max(1) as f64);
    }
    std::fs::write(out, trainer.finish())?;
    Ok(())
}

/// The chunks of the files in a folder: the first of each, then the second of each, so that no file is the
/// last word.
fn in_turn(folder: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let mut paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    let files = paths.iter().map(std::fs::read).collect::<std::io::Result<Vec<_>>>()?;
    let longest = files.iter().map(Vec::len).max().unwrap_or(0);
    let round =
        |start: usize| files.iter().filter_map(move |file| file.get(start..)?.chunks(CHUNK).next().map(<[u8]>::to_vec));
    Ok((0..longest).step_by(CHUNK).flat_map(round).collect())
}
