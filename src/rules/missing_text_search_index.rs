//! `missing-text-search-index`: an index for patterns, similarity and full text.

use super::{Example, Expect, Need, Rule, recommended};
use crate::{advise::Reason, finding::Severity};

pub(super) static RULE: Rule = Rule {
    id: "missing-text-search-index",
    summary: "statements search in text (LIKE, ILIKE, regular expressions, @@) that no index can serve",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[
        Need::Catalog,
        Need::Statements,
        Need::HelpedBy(&[Need::Prices, Need::ColumnStatistics, Need::Values]),
    ],
    check: |audit| recommended::findings(audit, "missing-text-search-index", Reason::TextSearch),
};

const DOCS: &str = "\
**What it finds.** An index for searches in text: in byte order (`text_pattern_ops`) for `LIKE 'x%'`, of trigrams (`gin_trgm_ops`) for `LIKE '%x%'`, `ILIKE`, `~` and `%`, \
GIN on a `tsvector` or on `to_tsvector('english', …)` for `@@`.

**Why it matters.** An ordinary b-tree serves none of these, unless the collation is C: every row's text is read and compared.

**How it decides.** As `missing-index`, priced with the pattern where it is known. Trigrams need three letters or digits in a row. A pattern that came as `$n` is tried as \
prefix and as infix. `to_tsvector` with one argument depends on a setting and cannot be indexed. Where `pg_trgm` is not installed, the finding says so.

**When it is wrong.** On write-heavy tables: one row makes many GIN entries (`write_cost` in the evidence).

**References.** PostgreSQL documentation, chapters 11.10 (operator classes), 12.9 (text search indexes) and F.35 (pg_trgm).";

const EXAMPLES: &[Example] = &[
    Example {
        title: "names that begin with something",
        ddl: "CREATE TABLE people (id bigint PRIMARY KEY, name text COLLATE \"en-x-icu\" NOT NULL, bio text NOT NULL);
              INSERT INTO people SELECT n, md5(n::text), repeat('x', 80) FROM generate_series(1, 80000) n;
              VACUUM ANALYZE people;",
        log: "-- calls: 20000, mean_time_ms: 15\nSELECT id, bio FROM people WHERE name LIKE 'abcd%';\n",
        expect: Expect::Finding("people"),
    },
    Example {
        title: "full text",
        ddl: "CREATE TABLE articles (id bigint PRIMARY KEY, body text NOT NULL);
              INSERT INTO articles SELECT n, md5(n::text) || ' ' || md5((n + 1)::text) || ' word' || n % 5000 FROM generate_series(1, 40000) n;
              VACUUM ANALYZE articles;",
        log: "-- calls: 2000, mean_time_ms: 300\nSELECT id FROM articles WHERE to_tsvector('english', body) @@ to_tsquery('english', 'word77');\n",
        expect: Expect::Finding("articles"),
    },
    Example {
        title: "nothing to search by",
        ddl: "CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL, bio text NOT NULL);
              INSERT INTO people SELECT n, md5(n::text), repeat('x', 80) FROM generate_series(1, 80000) n;
              VACUUM ANALYZE people;",
        log: "-- calls: 20000, mean_time_ms: 15\nSELECT id, bio FROM people WHERE name LIKE '%a%';\n",
        expect: Expect::Silence,
    },
];
