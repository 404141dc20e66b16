//! The fuzz target `postfix_table`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::policy::postfix_table(input));
