#![no_main]
//! Syslog: chunks of messages are put together.

libfuzzer_sys::fuzz_target!(|log: &[u8]| pgassay_fuzz::as_wrapping("syslog", log));
