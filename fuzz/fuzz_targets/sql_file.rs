#![no_main]
//! Plain SQL files.

libfuzzer_sys::fuzz_target!(|log: &[u8]| pgassay_fuzz::as_format("sql", log));
