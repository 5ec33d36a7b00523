#![no_main]
//! The reader of `stderr`.

libfuzzer_sys::fuzz_target!(|log: &[u8]| pgassay_fuzz::as_format("stderr", log));
