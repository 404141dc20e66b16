//! The fuzz target `sts_record`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::report::sts_record(input));
