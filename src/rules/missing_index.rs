//! `missing-index`: a b-tree that the planner would use and that is not there.

use super::{Example, Expect, Need, Rule, recommended};
use crate::{advise::Reason, finding::Severity};

pub(super) static RULE: Rule = Rule {
    id: "missing-index",
    summary: "statements read far more rows than they need, for want of an index",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[
        Need::Catalog,
        Need::Statements,
        Need::HelpedBy(&[Need::Prices, Need::ColumnStatistics]),
    ],
    check: |audit| recommended::findings(audit, "missing-index", Reason::Plain),
};

const DOCS: &str = "\
**What it finds.** A b-tree on one or several columns that heavy statements would use, and that no existing index covers in any form.

**Why it matters.** Without it Postgres reads the whole table, or sorts all of it, to return a few rows: time, I/O and cache that every other statement lacks.

**How it decides.** Statements are resolved against the catalog; each scan proposes columns by role: equality first (most selective, and most shared over \
the workload), then ORDER BY or one range; join columns before and after them. Tables below 1,000 rows or 1 MiB are left alone. A planner prices every \
proposal (indexes really built on a server of our own, HypoPG, or a twin), one set of indexes is chosen for the whole workload, and it is priced again together: \
an index stays only if a plan uses it, saves at least 20 % of one statement's cost and 0.1 % of all time net of its upkeep. Milliseconds are the statement's own \
measured time scaled by the planner's cost ratio. It is a warning from a mean of 100 ms or 1 % of the database's time, else info; without a planner it is \
info with low confidence.

**When it is wrong.** When statistics are stale; when the workload seen isn't typical; when the table is written so hot that upkeep costs more than the model's \
unit per entry; when statements in pg_stat_statements ran with values far from the average.

**References.** PostgreSQL documentation, chapters 11.3 (multicolumn indexes) and 11.4 (indexes and ORDER BY).";

const EXAMPLES: &[Example] = &[
    Example {
        title: "two equality columns, no index",
        ddl: "CREATE TABLE jobs (id bigint PRIMARY KEY, country text NOT NULL, kind text NOT NULL, title text NOT NULL);
              INSERT INTO jobs SELECT n, 'c' || n % 50, 'k' || n % 7, repeat('x', 60) FROM generate_series(1, 60000) n;
              VACUUM ANALYZE jobs;",
        log: "-- calls: 5000, mean_time_ms: 12\nSELECT id, title FROM jobs WHERE country = 'c7' AND kind = 'k3';\n",
        expect: Expect::Finding("jobs"),
    },
    Example {
        title: "newest rows first, with LIMIT",
        ddl: "CREATE TABLE events (id bigint PRIMARY KEY, happened_at timestamptz NOT NULL, payload text NOT NULL);
              INSERT INTO events SELECT n, now() - (n * 7919 % 60000) * interval '1 minute', repeat('x', 80) FROM generate_series(1, 60000) n;
              VACUUM ANALYZE events;",
        log: "-- calls: 9000, mean_time_ms: 18\nSELECT id, payload FROM events ORDER BY happened_at DESC LIMIT 20;\n",
        expect: Expect::Finding("events"),
    },
    Example {
        title: "an index with the same leading columns exists",
        ddl: "CREATE TABLE jobs (id bigint PRIMARY KEY, country text NOT NULL, kind text NOT NULL, title text NOT NULL);
              INSERT INTO jobs SELECT n, 'c' || n % 50, 'k' || n % 7, repeat('x', 60) FROM generate_series(1, 60000) n;
              CREATE INDEX jobs_country_kind_title ON jobs (country, kind, title);
              VACUUM ANALYZE jobs;",
        log: "-- calls: 5000, mean_time_ms: 12\nSELECT id, title FROM jobs WHERE country = 'c7' AND kind = 'k3';\n",
        expect: Expect::Silence,
    },
    Example {
        title: "most rows qualify: no index helps",
        ddl: "CREATE TABLE jobs (id bigint PRIMARY KEY, state text NOT NULL, title text NOT NULL);
              INSERT INTO jobs SELECT n, CASE WHEN n % 10 = 0 THEN 'draft' ELSE 'live' END, repeat('x', 60) FROM generate_series(1, 60000) n;
              VACUUM ANALYZE jobs;",
        log: "-- calls: 5000, mean_time_ms: 30\nSELECT id, title FROM jobs WHERE state = 'live';\n",
        expect: Expect::Silence,
    },
    Example {
        title: "a small table",
        ddl: "CREATE TABLE plans (id bigint PRIMARY KEY, code text NOT NULL);
              INSERT INTO plans SELECT n, 'p' || n FROM generate_series(1, 900) n;
              VACUUM ANALYZE plans;",
        log: "-- calls: 500000, mean_time_ms: 0.2\nSELECT id FROM plans WHERE code = 'p7';\n",
        expect: Expect::Silence,
    },
];
