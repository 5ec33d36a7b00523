#![no_main]
//! The reader of `pgbouncer`.

libfuzzer_sys::fuzz_target!(|log: &[u8]| pgassay_fuzz::as_format("pgbouncer", log));
