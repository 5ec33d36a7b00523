#![no_main]
//! The reader of `jsonlog`.

libfuzzer_sys::fuzz_target!(|log: &[u8]| pgassay_fuzz::as_format("jsonlog", log));
