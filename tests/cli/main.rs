//! The program as a person or a script meets it: arguments, output, exit codes.
#![cfg(feature = "cli")]

mod cache;
mod damage;
#[cfg(feature = "llama")]
mod model;
#[cfg(feature = "mount")]
mod mount;
mod pipes;
mod roundtrip;
mod select;
mod support;
mod usage;
