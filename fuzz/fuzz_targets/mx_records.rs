//! The fuzz target `mx_records`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::report::mx_records(input));
