#![no_main]
//! All other wrappings, and the recognition of formats: one byte says which.

use pgassay::source::WRAPPINGS;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((which, log)) = bytes.split_last() else {
        return;
    };
    match WRAPPINGS.get(usize::from(*which) % (WRAPPINGS.len() + 1)) {
        Some(wrapping) => pgassay_fuzz::as_wrapping(wrapping.name, log),
        None => pgassay_fuzz::as_anything(log),
    }
});
