//! `duplicate-index`: two indexes that are the same thing.

use super::{
    Audit, Example, Expect, Need, Rule,
    stored_index::{self, Claim, Drops},
};
use crate::{
    catalog::Supersedes,
    finding::{Confidence, Finding, Severity, figures},
};

pub(super) static RULE: Rule = Rule {
    id: "duplicate-index",
    summary: "an index equals another one under a different name",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::Catalog],
    check,
};

const DOCS: &str = "\
**What it finds.** Two valid indexes of one table with the same method, keys (operator classes, collations and order included), INCLUDE columns and predicate. \
A plain index beside a unique one on the same keys counts; two opposite sort orders of all keys count, as a b-tree is read either way.

**Why it matters.** Every INSERT, and every UPDATE that is not HOT, writes both; both take cache, disk and vacuum time.

**How it decides.** Predicates and expressions are compared in a canonical spelling. The index that carries a constraint stays, else the one used more, else the first by name. \
It is a warning where writes to the table take 1 % of the database's time or more, else info.

**When it is wrong.** A replica may use the other name in hints or monitoring; nothing else depends on it.

**References.** PostgreSQL documentation, chapter 11.";

const EXAMPLES: &[Example] = &[
    Example {
        title: "the same index twice",
        ddl: "CREATE TABLE t (id bigint PRIMARY KEY, a integer, b integer);
              CREATE INDEX t_a_b ON t (a, b);
              CREATE INDEX t_a_b_again ON t USING btree (a ASC, b);
              INSERT INTO t SELECT n, n, n FROM generate_series(1, 2000) n; ANALYZE t;",
        log: "-- calls: 1\nSELECT b FROM t WHERE a = 1;\n",
        expect: Expect::Finding("t"),
    },
    Example {
        title: "a plain index beside the primary key",
        ddl: "CREATE TABLE t (id bigint PRIMARY KEY, a integer);
              CREATE INDEX t_id ON t (id);
              INSERT INTO t SELECT n, n FROM generate_series(1, 2000) n; ANALYZE t;",
        log: "-- calls: 1\nSELECT a FROM t WHERE id = 1;\n",
        expect: Expect::Finding("t"),
    },
    Example {
        title: "different predicates, orders and uniqueness",
        ddl: "CREATE TABLE t (id bigint PRIMARY KEY, a integer, b integer);
              CREATE INDEX t_a ON t (a) WHERE b IS NULL;
              CREATE INDEX t_a_too ON t (a) WHERE b = 1;
              CREATE INDEX t_mixed ON t (a, b DESC);
              CREATE UNIQUE INDEX t_unique ON t (b, a, id);
              INSERT INTO t SELECT n, n, n FROM generate_series(1, 2000) n; ANALYZE t;",
        log: "-- calls: 1\nSELECT b FROM t WHERE a = 1;\n",
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for relation in stored_index::indexed_relations(audit) {
        for index in &relation.indexes {
            let Some((other, Supersedes::Duplicate)) = relation.superseded_by(index) else {
                continue;
            };
            let claim = Claim {
                rule: RULE.id,
                relation,
                index,
                severity: stored_index::severity_by_writes(audit, relation),
                confidence: Confidence::High,
                message: format!(
                    "index {} ({}) of {} is the same as {}",
                    index.def.name,
                    figures::bytes(index.size_bytes),
                    relation.name,
                    other.def.name
                ),
                hint: format!(
                    "{} answers every query that {} does; remove the declaration from the model as well",
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
