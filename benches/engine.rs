//! Tokens per second and bits per byte of exact arithmetic, beside ggml's own kernels.
//!
//! ```text
//! cargo bench --bench engine -- [--models default,llama,smollm] [--weights Q8_0,Q4_K_M]
//!     [--modes prefill,lockstep,scattered,single] [--streams 8,16,32,64] [--kernels avx2,avx512] [--depth N]
//!     [--seconds N] [--quick]
//! cargo bench --bench engine -- --product [--streams 4,16,32,64] [--chunk-size 16K] [--bytes N] [--seconds N]
//! cargo bench --bench engine -- --perplexity [--weights F16,Q8_0,...] [--bytes 64K]
//! all: [--threads N] [--corpus DIR] [--text FILE] [--md OUT.md]
//! ```
//!
//! Without a mode it measures exact arithmetic against stock ggml at its best ([`versus`]); `--product` measures
//! `create` and `extract` against the bare engine ([`product`]); `--perplexity` compares what both
//! arithmetics predict ([`perplexity`]).

mod common;
#[path = "../tests/gguf_support/mod.rs"]
mod gguf_support;
#[path = "engine/lanes.rs"]
mod lanes;
#[path = "engine/perplexity.rs"]
mod perplexity;
#[path = "engine/product.rs"]
mod product;
#[path = "engine/rate.rs"]
mod rate;
#[path = "engine/subject.rs"]
mod subject;
#[path = "engine/versus.rs"]
mod versus;
#[path = "engine/workload.rs"]
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use common::{Arguments, Failure};

/// Text in the corpus to measure with.
const TEXT: &str = "enwik/enwik6";

fn main() -> ExitCode {
    common::exit("engine", run())
}

fn run() -> Result<(), Failure> {
    let valued = [
        "models",
        "weights",
        "modes",
        "streams",
        "kernels",
        "depth",
        "threads",
        "chunk-size",
        "bytes",
        "seconds",
        "corpus",
        "text",
        "md",
    ];
    let arguments = Arguments::parse(&valued, &["product", "perplexity", "quick"])?;
    if arguments.has("perplexity") {
        perplexity::run(&arguments)
    } else if arguments.has("product") {
        product::run(&arguments)
    } else {
        versus::run(&arguments)
    }
}

/// The text to measure with, and its name.
fn text(arguments: &Arguments) -> Result<(Vec<u8>, String), Failure> {
    let (path, name) = match arguments.get("text") {
        Some(path) => (PathBuf::from(path), path),
        None => (arguments.corpus()?.join(TEXT), TEXT),
    };
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((text, name.to_owned()))
}
