//! The fuzz target `xtext`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::names::xtext(input));
