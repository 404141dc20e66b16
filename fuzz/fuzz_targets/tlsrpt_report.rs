//! The fuzz target `tlsrpt_report`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::report::tlsrpt_report(input));
