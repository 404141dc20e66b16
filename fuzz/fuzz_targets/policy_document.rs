//! The fuzz target `policy_document`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::policy::document(input));
