//! `missing-partial-index`: an index over the few rows that a constant condition keeps.

use super::{Example, Expect, Need, Rule, conditional, recommended};
use crate::{advise::Reason, finding::Severity};

pub(super) static RULE: Rule = Rule {
    id: "missing-partial-index",
    summary: "statements always ask for the same small part of a table, which has no index of its own",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[
        Need::Catalog,
        Need::Statements,
        Need::HelpedBy(&[Need::Prices, Need::ColumnStatistics, Need::Values]),
    ],
    check: |audit| {
        let mut findings = recommended::findings(audit, RULE.id, Reason::Partial);
        findings.extend(conditional::findings(audit, RULE.id));
        findings
    },
};

const DOCS: &str = "\
**What it finds.** An index with a WHERE clause for conditions that never change: `deleted_at IS NULL`, `is_active`, `status = 'pending'`.

**Why it matters.** It holds only the rows that are asked for: a fraction of the size and of the upkeep of a full index, and a queue's next row or a list's first page \
comes at once.

**How it decides.** As `missing-index`, with conditions that are fixed in the statement's text, or whose value was the same in every execution seen (5 or more) and \
is one of at most 100 values of its column and half as frequent as their average or rarer. Together they must keep at most half of the rows (a value: at most 20 %), and the partial index must be four times smaller than \
a full one of equal gain. Where the value reached the server as a parameter, the finding says so and its confidence is low: a generic plan can't use the index.

**When it is wrong.** When the condition's value changes with the product; when pg_stat_statements alone is read, literals are not visible and conditions \
with values are not proposed. For a statement that nothing else serves and that such an index would make twice as cheap under a rare value of its column, a finding of low confidence \
without a migration says so: it needs the predicate as a literal, and a query log decides. Where a full index is recommended and such an index would be twice as cheap again, or four \
times smaller, that finding's hint says so.

**References.** PostgreSQL documentation, chapter 11.8 (partial indexes).";

const EXAMPLES: &[Example] = &[
    Example {
        title: "a queue of pending rows",
        ddl: "CREATE TABLE tasks (id bigint PRIMARY KEY, status text NOT NULL, created_at timestamptz NOT NULL, payload text NOT NULL);
              INSERT INTO tasks SELECT n, CASE WHEN n % 200 = 0 THEN 'pending' ELSE 'done' END, now() - n * interval '1 second', repeat('x', 80)
                FROM generate_series(1, 80000) n;
              VACUUM ANALYZE tasks;",
        log: "-- calls: 20000, mean_time_ms: 15\nSELECT id, payload FROM tasks WHERE status = 'pending' ORDER BY created_at LIMIT 10;\n",
        expect: Expect::Finding("tasks"),
    },
    Example {
        title: "a few rows are left undeleted and active",
        ddl: "CREATE TABLE offers (id bigint PRIMARY KEY, is_active boolean NOT NULL, deleted_at timestamptz, created_at timestamptz NOT NULL, title text NOT NULL);
              INSERT INTO offers SELECT n, n % 20 = 0, CASE WHEN n % 3 = 0 THEN NULL ELSE now() END, now() - n * interval '1 minute', repeat('x', 80)
                FROM generate_series(1, 80000) n;
              VACUUM ANALYZE offers;",
        log: "-- calls: 20000, mean_time_ms: 15\nSELECT id, title FROM offers WHERE is_active AND deleted_at IS NULL AND created_at > now() - interval '7 days';\n",
        expect: Expect::Finding("offers"),
    },
    Example {
        title: "the partial index exists, as Postgres spells it",
        ddl: "CREATE TABLE tasks (id bigint PRIMARY KEY, status varchar(20) NOT NULL, created_at timestamptz NOT NULL, payload text NOT NULL);
              INSERT INTO tasks SELECT n, CASE WHEN n % 200 = 0 THEN 'pending' ELSE 'done' END, now() - n * interval '1 second', repeat('x', 80)
                FROM generate_series(1, 80000) n;
              CREATE INDEX tasks_pending ON tasks (created_at) WHERE status = 'pending';
              VACUUM ANALYZE tasks;",
        log: "-- calls: 20000, mean_time_ms: 0.1\nSELECT id, payload FROM tasks WHERE status = 'pending' ORDER BY created_at LIMIT 10;\n",
        expect: Expect::Silence,
    },
    Example {
        title: "nearly every row passes the condition",
        ddl: "CREATE TABLE notes (id bigint PRIMARY KEY, deleted_at timestamptz, author integer NOT NULL, body text NOT NULL);
              INSERT INTO notes SELECT n, CASE WHEN n % 100 = 0 THEN now() END, n % 5000, repeat('x', 80) FROM generate_series(1, 80000) n;
              VACUUM ANALYZE notes;",
        log: "-- calls: 20000, mean_time_ms: 15\nSELECT id, body FROM notes WHERE deleted_at IS NULL AND author = 77;\n",
        expect: Expect::Silence,
    },
];
