//! The fuzz targets: each takes any bytes and panics where lma breaks a promise.
//!
//! `fuzz_targets/` hands them to libFuzzer; `tests/fuzz_corpus.rs` of the main package includes this
//! very file and replays the committed corpus. So nothing here may use more than the main package's
//! own dependencies.

mod chunk;
mod entropy;
mod extract;
mod files;
mod forge;
mod input;
mod mix;
mod mount_ops;
mod open;
mod parser;
mod quantize;
mod repair;
mod roundtrip;

pub use chunk::chunk;
pub use entropy::entropy;
pub use extract::extract;
pub use forge::samples;
pub use mix::mix;
pub use mount_ops::mount_ops;
pub use open::open;
pub use parser::parser;
pub use quantize::quantize;
pub use repair::repair;
pub use roundtrip::roundtrip;
