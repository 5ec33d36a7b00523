#![no_main]
//! The reader of `csvlog`.

libfuzzer_sys::fuzz_target!(|log: &[u8]| pgassay_fuzz::as_format("csvlog", log));
