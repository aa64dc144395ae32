//! What both benchmarks share: arguments, the corpus, the models, the machine in words, tables.

// Each benchmark uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lma::model::{EngineOptions, Engines, Registry, RegistryConfig};
use lma::predict::LoadedModel;

pub(crate) mod classes;
pub(crate) mod parallel;
pub(crate) mod peers;
pub(crate) mod times;

/// Whatever prevents a measurement.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// `--name value` and `--name` pairs, as given behind `cargo bench --bench NAME --`.
pub(crate) struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// Takes the process's arguments. `valued` are options with a value, `flags` those without.
    ///
    /// # Errors
    /// An argument that is neither.
    pub(crate) fn parse(valued: &[&str], flags: &[&str]) -> Result<Self, Failure> {
        let mut found = BTreeMap::new();
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            let name = argument.strip_prefix("--").unwrap_or("");
            // Cargo adds `--bench` of its own.
            if name == "bench" {
                continue;
            }
            if flags.contains(&name) {
                found.insert(name.to_owned(), String::new());
            } else if valued.contains(&name) {
                let value = given.next().ok_or_else(|| format!("--{name} needs a value"))?;
                found.insert(name.to_owned(), value);
            } else {
                return Err(format!("{argument} is none of --{}", [valued, flags].concat().join(", --")).into());
            }
        }
        Ok(Self(found))
    }

    /// The value of an option.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether a flag or option was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A list of sizes (`16K,1M`) or numbers.
    ///
    /// # Errors
    /// A value that is no size.
    pub(crate) fn sizes(&self, name: &str, default: &str) -> Result<Vec<usize>, Failure> {
        self.get(name).unwrap_or(default).split(',').map(size).collect()
    }

    /// One size or number.
    ///
    /// # Errors
    /// A value that is no size.
    pub(crate) fn size(&self, name: &str, default: &str) -> Result<usize, Failure> {
        size(self.get(name).unwrap_or(default))
    }

    /// Threads that evaluate a model: as many as there are cores unless `--threads` says otherwise.
    ///
    /// # Errors
    /// A value that is no number.
    pub(crate) fn threads(&self) -> Result<usize, Failure> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.get("threads").map_or(Ok(cores), size)
    }

    /// The evaluation corpus, a folder that is there.
    ///
    /// # Errors
    /// There is no such folder; the message says what to do.
    pub(crate) fn corpus(&self) -> Result<PathBuf, Failure> {
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/eval");
        let folder = self.get("corpus").map_or(default, PathBuf::from);
        if folder.is_dir() {
            return Ok(folder);
        }
        Err(format!("there is no corpus at {}; name its folder with --corpus DIR", folder.display()).into())
    }
}

/// `64K`, `1M`, or a plain number.
fn size(text: &str) -> Result<usize, Failure> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        _ => (text, 0),
    };
    let number = digits.parse::<u32>().map_err(|error| format!("{text} is no size: {error}"))?;
    Ok((number as usize) << shift)
}

/// `64 KiB`, `1 MiB`.
pub(crate) fn size_name(size: usize) -> String {
    match size {
        _ if size >= 1 << 20 && size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
        _ if size.is_multiple_of(1 << 10) => format!("{} KiB", size >> 10),
        _ => format!("{size} B"),
    }
}

/// The models of this machine with the engine options of the product, and the one to encode with.
///
/// # Errors
/// The model's.
pub(crate) fn models(threads: usize, streams: usize) -> Result<(Arc<Engines>, Arc<LoadedModel>), Failure> {
    let engines = engines(threads, streams);
    let model = engines.load(&engines.registry().preferred()?)?;
    Ok((engines, model))
}

/// The models of this machine with the engine options of the product.
pub(crate) fn engines(threads: usize, streams: usize) -> Arc<Engines> {
    let options = EngineOptions { threads, streams, ..EngineOptions::default() };
    Arc::new(Engines::new(registry(), options))
}

/// Where this machine's models are.
pub(crate) fn registry() -> Registry {
    Registry::new(RegistryConfig::from_env(|name| std::env::var_os(name)))
}

/// Processor, cores, load at the start.
pub(crate) fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(": ")).map_or("?", |(_, value)| value).trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    let avx512 = if field("flags").contains("avx512f") { ", AVX-512" } else { "" };
    format!(
        "{cores} cores of {} (family {}, model {}{avx512}), load average {load} at the start",
        field("model name"),
        field("cpu family"),
        field("model\t"),
    )
}

/// The command line, without the files that results go to.
pub(crate) fn command(bench: &str) -> String {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    for option in ["--md", "--json"] {
        if let Some(at) = arguments.iter().position(|argument| argument == option) {
            arguments.drain(at..arguments.len().min(at + 2));
        }
    }
    let mut line = format!("cargo bench --bench {bench}");
    if !arguments.is_empty() {
        // Writing to a string does not fail.
        let _ = write!(line, " -- {}", arguments.join(" "));
    }
    line
}

/// A Markdown table; the first column is left-aligned, the others right-aligned.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        let _ = writeln!(out, "| {} |", row.join(" | "));
        if number == 0 {
            let _ = writeln!(out, "|---|{}", "---:|".repeat(row.len().saturating_sub(1)));
        }
    }
    out
}

/// Prints the report, and writes it to the file of `--md`.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn publish(report: &str, arguments: &Arguments) -> Result<(), Failure> {
    println!("{report}");
    if let Some(path) = arguments.get("md") {
        std::fs::write(path, report).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

/// Exit code of a benchmark: 2 with a message where it could not be made.
pub(crate) fn exit(bench: &str, done: Result<(), Failure>) -> std::process::ExitCode {
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{bench}: {error}");
            std::process::ExitCode::from(2)
        }
    }
}
