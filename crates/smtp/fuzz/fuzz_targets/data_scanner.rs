#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| sealpost_smtp_fuzz::data_scanner(input));
