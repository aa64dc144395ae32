#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lma_fuzz::mix(data));
