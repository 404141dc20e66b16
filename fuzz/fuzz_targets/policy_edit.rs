//! The fuzz target `policy_edit`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::policy::edit(input));
