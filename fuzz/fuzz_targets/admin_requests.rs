//! The fuzz target `admin_requests`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_fuzz::admin::requests(input));
