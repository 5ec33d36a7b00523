//! The rule `application-stall`: all sessions of an application fall silent, then go on at once.

use std::fmt::Write as _;

use super::{Audit, Example, Expect, Need, Rule, loops::Told};
use crate::finding::{Confidence, Finding, Severity};

pub(super) static RULE: Rule = Rule {
    id: "application-stall",
    summary: "all sessions of one application fall silent, then burst together",
    severity: Severity::Info,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[
        Need::EachExecution,
        Need::Times,
        Need::HelpedBy(&[Need::Sessions, Need::Durations]),
    ],
    check,
};

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    audit
        .snapshot
        .workload
        .pace
        .stalls
        .iter()
        .map(|stall| {
            let ms = |us: u64| us as f64 / 1e3;
            let mut message = match stall.application.as_str() {
                "" => "an application without a name".to_owned(),
                name => format!("application {name}"),
            };
            let _ = write!(
                message,
                " fell silent for {:.0} ms at {:.0} statements a second, then {} sessions went on within 25 ms",
                ms(stall.longest_us),
                stall.rate,
                stall.n_sessions,
            );
            if stall.n > 1 {
                let _ = write!(message, "; {} such stalls", stall.n);
            }
            Told {
                query: None,
                relation: None,
                columns: Vec::new(),
                confidence: Confidence::Medium,
                message,
                hint: "one thread, event loop or lock held everything up: move CPU work (rendering, hashing, JSON of large results) to worker threads, and look for garbage collection, DNS and synchronous I/O".to_owned(),
                n_calls: stall.n,
                total_us: 0,
                saved_trips: 0,
                origin: Some(stall.origin),
                facts: vec![
                    ("n_stalls", stall.n.into()),
                    ("silent_ms", ms(stall.silent_us).into()),
                    ("longest_ms", ms(stall.longest_us).into()),
                    ("statements_per_second_before", stall.rate.into()),
                    ("n_sessions", stall.n_sessions.into()),
                    ("application", stall.application.clone().into()),
                ],
            }
            .finding(&RULE, audit)
        })
        .collect()
}

const DOCS: &str = "\
What it finds: moments in which no session of an application sends anything for 200 ms or more although it was busy, and then three or more sessions go on within 25 ms.

## Why it matters

The database was idle and the application was not waiting for it: something stopped the whole process, most often CPU work on an event loop's only thread. Users wait, and no \
slow query shows why.

## How it decides

For each user, database and application: the rate of statements of about the last second, and the silence since the last statement ended. At the rate before, at least ten \
statements must be missing, so that chance (one in 20,000 for a random stream) and quiet times are left out. A statement still running is no silence.

## When it is wrong

- A pool that is drained and filled on purpose: batch jobs in lockstep, load tests with steps.
- Several processes share one name: they seldom stop together; a proxy, a host's pause or a checkpoint of a virtual disk stops them all.

## References

- Node.js guide: Don't Block the Event Loop
";

const EXAMPLES: &[Example] = &[
    Example {
        title: "busy, silent for 400 ms, then all at once",
        ddl: "",
        log: STALLED,
        expect: Expect::Finding(""),
    },
    Example {
        title: "the same silence in a quiet application",
        ddl: "",
        log: "2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 1\n\
2026-11-22 20:00:00.502 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 2\n\
2026-11-22 20:00:00.503 UTC [4712] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 3\n\
2026-11-22 20:00:00.504 UTC [4713] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 4\n\
2026-11-22 20:00:00.505 UTC [4714] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 5\n\
",
        expect: Expect::Silence,
    },
    Example {
        title: "the log's clock ticks in seconds: the silence is its resolution",
        ddl: "",
        log: TICKING,
        expect: Expect::Silence,
    },
];

const TICKING: &str = "\
2026-11-22 20:00:00.000 UTC [4711] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 0\n\
2026-11-22 20:00:00.000 UTC [4712] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 1\n\
2026-11-22 20:00:00.000 UTC [4713] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 2\n\
2026-11-22 20:00:00.000 UTC [4714] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 3\n\
2026-11-22 20:00:00.000 UTC [4711] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 4\n\
2026-11-22 20:00:00.000 UTC [4712] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 5\n\
2026-11-22 20:00:00.000 UTC [4713] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 6\n\
2026-11-22 20:00:00.000 UTC [4714] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 7\n\
2026-11-22 20:00:00.000 UTC [4711] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 8\n\
2026-11-22 20:00:00.000 UTC [4712] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 9\n\
2026-11-22 20:00:00.000 UTC [4713] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 10\n\
2026-11-22 20:00:00.000 UTC [4714] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 11\n\
2026-11-22 20:00:00.000 UTC [4711] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 12\n\
2026-11-22 20:00:00.000 UTC [4712] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 13\n\
2026-11-22 20:00:00.000 UTC [4713] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 14\n\
2026-11-22 20:00:00.000 UTC [4714] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 15\n\
2026-11-22 20:00:00.000 UTC [4711] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 16\n\
2026-11-22 20:00:00.000 UTC [4712] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 17\n\
2026-11-22 20:00:00.000 UTC [4713] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 18\n\
2026-11-22 20:00:00.000 UTC [4714] LOG:  duration: 3.031 ms  statement: SELECT name FROM users WHERE id = 19\n\
2026-11-22 20:00:01.000 UTC [4711] LOG:  duration: 130.031 ms  statement: SELECT name FROM users WHERE id = 20\n\
2026-11-22 20:00:01.000 UTC [4712] LOG:  duration: 130.031 ms  statement: SELECT name FROM users WHERE id = 21\n\
2026-11-22 20:00:01.000 UTC [4713] LOG:  duration: 130.031 ms  statement: SELECT name FROM users WHERE id = 22\n\
2026-11-22 20:00:01.000 UTC [4714] LOG:  duration: 130.031 ms  statement: SELECT name FROM users WHERE id = 23\n\
2026-11-22 20:00:01.000 UTC [4711] LOG:  duration: 130.031 ms  statement: SELECT name FROM users WHERE id = 24\n\
2026-11-22 20:00:01.000 UTC [4712] LOG:  duration: 130.031 ms  statement: SELECT name FROM users WHERE id = 25\n\
2026-11-22 20:00:01.000 UTC [4713] LOG:  duration: 130.031 ms  statement: SELECT name FROM users WHERE id = 26\n\
2026-11-22 20:00:01.000 UTC [4714] LOG:  duration: 130.031 ms  statement: SELECT name FROM users WHERE id = 27\n\
";

const STALLED: &str = "\
2026-11-22 20:00:00.100 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 0\n\
2026-11-22 20:00:00.104 UTC [4712] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 1\n\
2026-11-22 20:00:00.108 UTC [4713] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 2\n\
2026-11-22 20:00:00.112 UTC [4714] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 3\n\
2026-11-22 20:00:00.116 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 4\n\
2026-11-22 20:00:00.120 UTC [4712] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 5\n\
2026-11-22 20:00:00.124 UTC [4713] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 6\n\
2026-11-22 20:00:00.128 UTC [4714] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 7\n\
2026-11-22 20:00:00.132 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 8\n\
2026-11-22 20:00:00.136 UTC [4712] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 9\n\
2026-11-22 20:00:00.140 UTC [4713] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 10\n\
2026-11-22 20:00:00.144 UTC [4714] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 11\n\
2026-11-22 20:00:00.148 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 12\n\
2026-11-22 20:00:00.152 UTC [4712] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 13\n\
2026-11-22 20:00:00.156 UTC [4713] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 14\n\
2026-11-22 20:00:00.160 UTC [4714] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 15\n\
2026-11-22 20:00:00.164 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 16\n\
2026-11-22 20:00:00.168 UTC [4712] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 17\n\
2026-11-22 20:00:00.172 UTC [4713] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 18\n\
2026-11-22 20:00:00.176 UTC [4714] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 19\n\
2026-11-22 20:00:00.180 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 20\n\
2026-11-22 20:00:00.184 UTC [4712] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 21\n\
2026-11-22 20:00:00.188 UTC [4713] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 22\n\
2026-11-22 20:00:00.192 UTC [4714] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 23\n\
2026-11-22 20:00:00.196 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 24\n\
2026-11-22 20:00:00.200 UTC [4712] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 25\n\
2026-11-22 20:00:00.204 UTC [4713] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 26\n\
2026-11-22 20:00:00.208 UTC [4714] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 27\n\
2026-11-22 20:00:00.212 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 28\n\
2026-11-22 20:00:00.216 UTC [4712] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 29\n\
2026-11-22 20:00:00.220 UTC [4713] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 30\n\
2026-11-22 20:00:00.224 UTC [4714] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 31\n\
2026-11-22 20:00:00.228 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 32\n\
2026-11-22 20:00:00.232 UTC [4712] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 33\n\
2026-11-22 20:00:00.236 UTC [4713] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 34\n\
2026-11-22 20:00:00.240 UTC [4714] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 35\n\
2026-11-22 20:00:00.244 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 36\n\
2026-11-22 20:00:00.248 UTC [4712] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 37\n\
2026-11-22 20:00:00.252 UTC [4713] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 38\n\
2026-11-22 20:00:00.256 UTC [4714] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 39\n\
2026-11-22 20:00:00.660 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 50\n\
2026-11-22 20:00:00.661 UTC [4712] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 51\n\
2026-11-22 20:00:00.662 UTC [4713] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 52\n\
2026-11-22 20:00:00.663 UTC [4714] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 53\n\
2026-11-22 20:00:00.664 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 54\n\
2026-11-22 20:00:00.665 UTC [4712] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 55\n\
";
