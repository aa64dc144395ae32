//! tar in and out, with pax headers for all that the old header has no room for: times in nanoseconds, long
//! and odd names, large numbers, extended attributes. The `tar` crate knows the blocks; what stands in them is read
//! here, because attributes and names may hold any byte, newlines too.

mod acl;
mod create;
mod extract;
mod header;
mod pax;
mod read;
mod sparse;

pub use create::create_from_tar;
pub use extract::extract_to_tar;

/// Bytes of a block.
const BLOCK: u64 = 512;

/// Zero bytes behind `len` bytes of data, up to the next block.
fn padding(len: u64) -> u64 {
    (BLOCK - len % BLOCK) % BLOCK
}
