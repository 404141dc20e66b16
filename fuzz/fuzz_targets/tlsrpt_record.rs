//! The fuzz target `tlsrpt_record`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::report::tlsrpt_record(input));
