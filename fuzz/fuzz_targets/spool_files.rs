//! The fuzz target `spool_files`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::queue::spool_files(input));
