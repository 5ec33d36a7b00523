//! `redundant-index`: an index whose keys are the first keys of another.

use super::{
    Audit, Example, Expect, Need, Rule,
    stored_index::{self, Claim, Drops},
};
use crate::{
    catalog::Supersedes,
    finding::{Confidence, Finding, Severity, figures},
};

pub(super) static RULE: Rule = Rule {
    id: "redundant-index",
    summary: "an index is the beginning of another one",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::Catalog],
    check,
};

const DOCS: &str = "\
**What it finds.** A valid b-tree `(a)` beside `(a, b)` with the same predicate: whatever the first answers, the second does.

**Why it matters.** As for a duplicate: double work for every write, double space in the cache.

**How it decides.** Keys must be a prefix with the same operator classes, collations and order (or all reversed), INCLUDE columns must be contained, predicates \
equal. Indexes that carry constraints, foreign keys or replica identity stay. Where the wider index is more than 4 times as large the shorter one is left alone. It is a \
warning where writes to the table take 1 % of the database's time or more, else info.

**When it is wrong.** The shorter index is smaller and may be faster for large scans; compare before dropping one that is read constantly.

**References.** PostgreSQL documentation, chapter 11.3.";

const EXAMPLES: &[Example] = &[
    Example {
        title: "a prefix of a wider index",
        ddl: "CREATE TABLE t (id bigint PRIMARY KEY, a integer, b integer);
              CREATE INDEX t_a ON t (a);
              CREATE INDEX t_a_b ON t (a, b);
              INSERT INTO t SELECT n, n, n FROM generate_series(1, 2000) n; ANALYZE t;",
        log: "-- calls: 1\nSELECT b FROM t WHERE a = 1;\n",
        expect: Expect::Finding("t"),
    },
    Example {
        title: "second column, unique prefix, other predicate",
        ddl: "CREATE TABLE t (id bigint PRIMARY KEY, a integer, b integer, c integer);
              CREATE INDEX t_b ON t (b);
              CREATE INDEX t_a_b ON t (a, b);
              CREATE UNIQUE INDEX t_c ON t (c);
              CREATE INDEX t_c_a ON t (c, a);
              CREATE INDEX t_b_partial ON t (b, a) WHERE c > 0;
              INSERT INTO t SELECT n, n, n, n FROM generate_series(1, 2000) n; ANALYZE t;",
        log: "-- calls: 1\nSELECT b FROM t WHERE a = 1;\n",
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for relation in stored_index::indexed_relations(audit) {
        for index in &relation.indexes {
            let Some((other, Supersedes::Prefix)) = relation.superseded_by(index) else {
                continue;
            };
            if other.is_much_larger_than(index) {
                continue;
            }
            let claim = Claim {
                rule: RULE.id,
                relation,
                index,
                severity: stored_index::severity_by_writes(audit, relation),
                confidence: Confidence::Medium,
                message: format!(
                    "index {} ({}) of {} is the beginning of {} ({})",
                    index.def.name,
                    figures::bytes(index.size_bytes),
                    relation.name,
                    other.def.name,
                    figures::bytes(other.size_bytes)
                ),
                hint: format!(
                    "{} answers every query that {} does",
                    other.def.name, index.def.name
                ),
                instead: vec![other.full_name()],
                facts: Vec::new(),
                drops: Drops::Yes,
            };
            findings.push(claim.finding(audit));
        }
    }
    findings
}
