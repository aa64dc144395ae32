//! What each byte of a text costs the `cm` codec: what is left for a language model to know (model/train/README.md).
//!
//! ```text
//! cargo run --release --no-default-features --example surprise < TEXT > COSTS
//! ```
//!
//! COSTS has as many bytes as TEXT: each a cost in sixteenths of a bit, 255 for more. The text is cut into chunks of
//! 64 KiB, each of which begins with nothing, as in an archive.

use std::io::{Read, Write};
use std::num::NonZero;

use lma::codec::mix::training::costs;

/// An archive's chunks.
const CHUNK: usize = 64 << 10;

fn main() -> std::io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    loop {
        let mut text = Vec::new();
        input.by_ref().take((CHUNK * threads) as u64).read_to_end(&mut text)?;
        if text.is_empty() {
            return output.flush();
        }
        let priced = std::thread::scope(|scope| {
            let workers: Vec<_> = text.chunks(CHUNK).map(|chunk| scope.spawn(|| price(chunk))).collect();
            workers.into_iter().map(|worker| worker.join().map_err(|_| std::io::ErrorKind::Other.into())).collect()
        });
        let priced: std::io::Result<Vec<_>> = priced;
        output.write_all(&priced?.concat())?;
    }
}

fn price(chunk: &[u8]) -> Vec<u8> {
    costs(chunk).into_iter().map(|bits| (bits * 16.0).round().min(255.0) as u8).collect()
}
