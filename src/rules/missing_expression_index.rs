//! `missing-expression-index`: an index on what a condition computes.

use super::{Example, Expect, Need, Rule, recommended};
use crate::{advise::Reason, finding::Severity};

pub(super) static RULE: Rule = Rule {
    id: "missing-expression-index",
    summary: "statements compare a computed value, such as lower(email), that no index holds",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[
        Need::Catalog,
        Need::Statements,
        Need::HelpedBy(&[Need::Prices, Need::ColumnStatistics, Need::Values]),
    ],
    check: |audit| recommended::findings(audit, "missing-expression-index", Reason::Expression),
};

const DOCS: &str = "\
**What it finds.** An index on an expression that statements compare, sort or group by: `lower(email)`, `data ->> 'kind'`, `date_trunc('day', at)`.

**Why it matters.** An index on the column does not help a condition on a function of it: the whole table is read. An expression index also gives the planner statistics \
about the computed value.

**How it decides.** As `missing-index`, with expressions over one table that are known to be immutable: listed functions and casts; functions of dates only on types without \
time zone. What is not known to be immutable is not proposed, as Postgres would refuse it (a range condition on the plain column does the same work: `non-sargable-predicate`).

**When it is wrong.** When the statement could as well be written on the plain column; before the first ANALYZE after it was built, estimates are poor.

**References.** PostgreSQL documentation, chapter 11.7 (indexes on expressions).";

const EXAMPLES: &[Example] = &[
    Example {
        title: "addresses compared without case",
        ddl: "CREATE TABLE accounts (id bigint PRIMARY KEY, email text NOT NULL, bio text NOT NULL);
              INSERT INTO accounts SELECT n, 'User' || n || '@Example.org', repeat('x', 80) FROM generate_series(1, 80000) n;
              VACUUM ANALYZE accounts;",
        log: "-- calls: 20000, mean_time_ms: 25\nSELECT id FROM accounts WHERE lower(email) = 'user4711@example.org';\n",
        expect: Expect::Finding("accounts"),
    },
    Example {
        title: "one key of a document",
        ddl: "CREATE TABLE events (id bigint PRIMARY KEY, data jsonb NOT NULL);
              INSERT INTO events SELECT n, jsonb_build_object('order', (n % 20000)::text, 'x', repeat('x', 80)) FROM generate_series(1, 80000) n;
              VACUUM ANALYZE events;",
        log: "-- calls: 20000, mean_time_ms: 25\nSELECT id FROM events WHERE data ->> 'order' = '4711';\n",
        expect: Expect::Finding("events"),
    },
    Example {
        title: "a day of a timestamp with time zone is not immutable",
        ddl: "CREATE TABLE visits (id bigint PRIMARY KEY, at timestamptz NOT NULL, page text NOT NULL);
              INSERT INTO visits SELECT n, now() - n * interval '1 minute', repeat('x', 80) FROM generate_series(1, 80000) n;
              VACUUM ANALYZE visits;",
        log: "-- calls: 20000, mean_time_ms: 25\nSELECT id FROM visits WHERE date_trunc('day', at) = '2026-01-05';\n",
        expect: Expect::Silence,
    },
];
