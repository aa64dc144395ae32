//! Reversible transforms of a chunk before its bytes are modelled, and what tells which to use.
//!
//! Each is a bijection on byte strings that keeps their length: `encode` and `decode` take any bytes, undo each
//! other in both orders, and need no memory beyond their result and no time beyond a few passes. A decoder is told
//! the transform and its parameters; it never detects anything.
//!
//! Places are counted from the start of the chunk, the only place that both sides know.

pub mod arm64;
pub mod detect;
pub mod pcm;
pub mod x86;

mod address;
