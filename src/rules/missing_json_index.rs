//! `missing-json-index`: an index for containment in documents and arrays.

use super::{Example, Expect, Need, Rule, recommended};
use crate::{advise::Reason, finding::Severity};

pub(super) static RULE: Rule = Rule {
    id: "missing-json-index",
    summary: "statements ask what a jsonb document or an array contains, and no GIN index can tell",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[
        Need::Catalog,
        Need::Statements,
        Need::HelpedBy(&[Need::Prices, Need::ColumnStatistics, Need::Values]),
    ],
    check: |audit| recommended::findings(audit, "missing-json-index", Reason::Json),
};

const DOCS: &str = "\
**What it finds.** A GIN index for `@>`, `?`, `?|`, `?&`, `@@` and `@?` on jsonb, and for `@>`, `<@` and `&&` on arrays.

**Why it matters.** No b-tree serves these: every document is read and unpacked.

**How it decides.** As `missing-index`. `@>`, `@@` and `@?` on jsonb get `jsonb_path_ops`, which is smaller; `?` and its kin need the default class. Conditions on one key of a \
document (`data ->> 'kind' = 'x'`) get an expression index instead (`missing-expression-index`).

**When it is wrong.** On write-heavy tables: one row makes many entries (`write_cost` in the evidence). `'x' = ANY (tags)` cannot use it until it is written `tags @> ARRAY['x']`.

**References.** PostgreSQL documentation, chapters 8.14.4 (jsonb indexing) and 70 (GIN).";

const EXAMPLES: &[Example] = &[
    Example {
        title: "documents that contain something",
        ddl: "CREATE TABLE events (id bigint PRIMARY KEY, data jsonb NOT NULL);
              INSERT INTO events SELECT n, jsonb_build_object('order', n % 20000, 'x', repeat('x', 80)) FROM generate_series(1, 80000) n;
              VACUUM ANALYZE events;",
        log: "-- calls: 20000, mean_time_ms: 25\nSELECT id FROM events WHERE data @> '{\"order\": 4711}';\n",
        expect: Expect::Finding("events"),
    },
    Example {
        title: "rows with a tag",
        ddl: "CREATE TABLE posts (id bigint PRIMARY KEY, tags text[] NOT NULL, body text NOT NULL);
              INSERT INTO posts SELECT n, ARRAY['t' || n % 4000, 'u' || n % 3000], repeat('x', 80) FROM generate_series(1, 80000) n;
              VACUUM ANALYZE posts;",
        log: "-- calls: 20000, mean_time_ms: 25\nSELECT id FROM posts WHERE tags @> ARRAY['t77'];\n",
        expect: Expect::Finding("posts"),
    },
    Example {
        title: "the index exists",
        ddl: "CREATE TABLE posts (id bigint PRIMARY KEY, tags text[] NOT NULL, body text NOT NULL);
              INSERT INTO posts SELECT n, ARRAY['t' || n % 4000, 'u' || n % 3000], repeat('x', 80) FROM generate_series(1, 80000) n;
              CREATE INDEX ON posts USING gin (tags);
              VACUUM ANALYZE posts;",
        log: "-- calls: 20000, mean_time_ms: 0.2\nSELECT id FROM posts WHERE tags @> ARRAY['t77'];\n",
        expect: Expect::Silence,
    },
];
