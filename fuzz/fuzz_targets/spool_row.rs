//! The fuzz target `spool_row`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::queue::spool_row(input));
