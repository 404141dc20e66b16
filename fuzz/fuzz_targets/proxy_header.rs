//! The fuzz target `proxy_header`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::proxy::proxy_header(input));
