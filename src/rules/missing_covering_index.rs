//! `missing-covering-index`: an index that holds all that a statement reads.

use super::{Example, Expect, Need, Rule, recommended};
use crate::{advise::Reason, finding::Severity};

pub(super) static RULE: Rule = Rule {
    id: "missing-covering-index",
    summary: "statements read many rows of which an index with INCLUDE could hold all they need",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[
        Need::Catalog,
        Need::Statements,
        Need::HelpedBy(&[Need::Prices, Need::ColumnStatistics, Need::Values]),
    ],
    check: |audit| recommended::findings(audit, "missing-covering-index", Reason::Covering),
};

const DOCS: &str = "\
**What it finds.** An index with INCLUDE columns that answers statements from the index alone.

**Why it matters.** A statement that finds hundreds of rows through an index fetches hundreds of pages of the table. With the few columns that it reads carried in the \
index, it reads a handful of index pages.

**How it decides.** As `missing-index`, with the columns that a statement reads besides the keys: at most 6, together at most 64 bytes on average, none of them set by an \
UPDATE of the workload, on a table of whose pages 80 % are all-visible, for at least 100 rows found. At least half of the saving must be owed to the INCLUDE columns, else the plain index is proposed; where the plain one exists, nothing is.

**When it is wrong.** When the table is written so often that VACUUM does not keep its pages all-visible; when the SELECT list is about to grow.

**References.** PostgreSQL documentation, chapter 11.9 (index-only scans and covering indexes).";

const EXAMPLES: &[Example] = &[
    Example {
        title: "sums over one customer's many orders",
        ddl: "CREATE TABLE sales (id bigint PRIMARY KEY, customer_id integer NOT NULL, amount integer NOT NULL, note text NOT NULL);
              INSERT INTO sales SELECT n, n * 7919 % 20, n % 500, repeat('x', 200) FROM generate_series(1, 100000) n;
              CHECKPOINT;
              VACUUM ANALYZE sales;",
        log: "-- calls: 20000, mean_time_ms: 15\nSELECT sum(amount) FROM sales WHERE customer_id = 7;\n",
        expect: Expect::Finding("sales"),
    },
    Example {
        title: "an index finds the same rows already, its keys in another order",
        ddl: "CREATE TABLE sales (id bigint PRIMARY KEY, region integer NOT NULL, customer_id integer NOT NULL, amount integer NOT NULL, note text NOT NULL);
              INSERT INTO sales SELECT n, n % 2, n * 7919 % 20, n % 500, repeat('x', 200) FROM generate_series(1, 100000) n;
              CREATE INDEX ON sales (region, customer_id);
              CHECKPOINT;
              VACUUM ANALYZE sales;",
        log: "-- calls: 20000, mean_time_ms: 15\nSELECT sum(amount) FROM sales WHERE customer_id = 7 AND region = 1;\n",
        expect: Expect::Silence,
    },
    Example {
        title: "all columns are read",
        ddl: "CREATE TABLE sales (id bigint PRIMARY KEY, customer_id integer NOT NULL, amount integer NOT NULL, note text NOT NULL);
              INSERT INTO sales SELECT n, n * 7919 % 1000, n % 500, repeat('x', 200) FROM generate_series(1, 100000) n;
              CHECKPOINT;
              VACUUM ANALYZE sales;",
        log: "-- calls: 20000, mean_time_ms: 15\nSELECT * FROM sales WHERE customer_id = 42;\n",
        expect: Expect::Silence,
    },
];
