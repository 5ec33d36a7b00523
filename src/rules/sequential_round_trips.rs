//! The rule `sequential-round-trips`: look-ups that do not need each other, one after the other.

use super::{
    Audit, Example, Expect, Rule,
    loops::{self, Told},
};
use crate::finding::{Confidence, Finding, Severity};

pub(super) static RULE: Rule = Rule {
    id: "sequential-round-trips",
    summary: "different look-ups by one value, one after the other, that could go together",
    severity: Severity::Info,
    docs: DOCS,
    examples: EXAMPLES,
    needs: loops::NEEDS,
    check,
};

/// Units of work with such a series before it is worth a word: one may be a person at a prompt.
const MIN_UNITS: u64 = 2;

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let workload = &audit.snapshot.workload;
    workload
        .pace
        .series
        .iter()
        .filter(|series| series.n >= MIN_UNITS)
        .filter_map(|series| {
            let query = workload.query(*series.queries.first()?)?;
            let texts: Vec<String> = series
                .queries
                .iter()
                .filter_map(|at| Some(workload.query(*at)?.text.clone()))
                .collect();
            let (relation, columns) = loops::subject_of(audit, query);
            let saved = series.n_statements - series.n;
            Some(
                Told {
                    query: Some(query),
                    relation,
                    columns,
                    confidence: Confidence::Medium,
                    message: format!(
                        "{} different look-ups by the same value follow each other in {} units of work; none needs another's answer",
                        series.n_statements_max, series.n
                    ),
                    hint: "send them together: one statement with joins or json_build_object, a pipeline (psycopg 3 pipeline(), tokio-postgres futures, pgx Batch), or concurrently on several connections".to_owned(),
                    n_calls: series.n_statements,
                    total_us: series.busy_us,
                    saved_trips: saved,
                    origin: Some(series.origin),
                    facts: vec![
                        ("queries", texts.into()),
                        ("n_units", series.n.into()),
                        ("n_statements_max", series.n_statements_max.into()),
                        ("application", series.application.clone().into()),
                        ("span_ms", (series.span_us as f64 / 1e3).into()),
                        ("busy_ms", (series.busy_us as f64 / 1e3).into()),
                    ],
                }
                .finding(&RULE, audit),
            )
        })
        .collect()
}

const DOCS: &str = "\
What it finds: four or more different look-ups by one and the same value (`user_id = 7` in six tables), directly after one another in one unit of work.

## Why it matters

All values were known before the first answer came, so nothing but the code's order makes them wait for each other: the round trips add up.

## How it decides

Windows are those of `n-plus-one`. A series is a run of different point queries with one key each, all with the same value. It is told from the second unit of work on, as info: \
whether the answers decide what is asked next only the code knows.

## When it is wrong

- The code leaves early when the first look-up finds nothing.
- Two different keys have the same number by chance; four in a row seldom do.
- A boolean or a state compared for equality is taken for a key.

## References

- PostgreSQL documentation, 32.5 Pipeline Mode
";

const EXAMPLES: &[Example] = &[
    Example {
        title: "a dashboard asks four tables for one user, twice",
        ddl: "",
        log: "2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 7311\n\
2026-11-22 20:00:00.104 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT count(*) FROM orders WHERE user_id = 7311\n\
2026-11-22 20:00:00.106 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT body FROM messages WHERE user_id = 7311\n\
2026-11-22 20:00:00.108 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT theme FROM preferences WHERE user_id = 7311\n\
2026-11-22 20:00:05.102 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM users WHERE id = 4407\n\
2026-11-22 20:00:05.104 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT count(*) FROM orders WHERE user_id = 4407\n\
2026-11-22 20:00:05.106 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT body FROM messages WHERE user_id = 4407\n\
2026-11-22 20:00:05.108 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT theme FROM preferences WHERE user_id = 4407\n\
",
        expect: Expect::Finding("users"),
    },
    Example {
        title: "each look-up by what the last one gave",
        ddl: "",
        log: "2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT order_id FROM parcels WHERE id = 7311\n\
2026-11-22 20:00:00.104 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT user_id FROM orders WHERE id = 18\n\
2026-11-22 20:00:00.106 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT city_id FROM users WHERE id = 902\n\
2026-11-22 20:00:00.108 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM cities WHERE id = 3\n\
2026-11-22 20:00:05.102 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT order_id FROM parcels WHERE id = 7400\n\
2026-11-22 20:00:05.104 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT user_id FROM orders WHERE id = 21\n\
2026-11-22 20:00:05.106 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT city_id FROM users WHERE id = 905\n\
2026-11-22 20:00:05.108 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM cities WHERE id = 9\n\
",
        expect: Expect::Silence,
    },
];
