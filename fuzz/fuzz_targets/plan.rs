#![no_main]
//! Plans: as JSON, and as `auto_explain` logs them in any format.

use pgassay::plan::Plan;

libfuzzer_sys::fuzz_target!(|plan: &[u8]| {
    if let Ok(text) = std::str::from_utf8(plan) {
        // an error is an answer too
        let _ = Plan::from_json(text);
    }
    let mut log = b"2026-11-22 20:36:03.041 UTC [8197] LOG:  duration: 1.250 ms  plan:\n\t".to_vec();
    for byte in plan {
        log.push(*byte);
        if *byte == b'\n' {
            log.push(b'\t');
        }
    }
    log.extend_from_slice(b"\n2026-11-22 20:36:03.042 UTC [8197] LOG:  duration: 1.5 ms  statement: select 1\n");
    pgassay_fuzz::as_format("stderr", &log);
});
