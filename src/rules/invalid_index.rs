//! `invalid-index`: an index that failed to build, costs writes and answers nothing.

use super::{Audit, Example, Expect, Need, Rule, recommended::keys_in_words, stored_index};
use crate::{
    catalog::{Build, Index, Relation, RelationKind},
    finding::{
        Confidence, Evidence, Finding, Impact, ImpactSource, IndexChange, IndexEvidence, Remedy,
        RemedyKind, Severity, Subject,
    },
};

pub(super) static RULE: Rule = Rule {
    id: "invalid-index",
    summary: "an index build failed and left an index that no query can use",
    severity: Severity::Error,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::Catalog],
    check,
};

const DOCS: &str = "\
**What it finds.** Indexes with `indisvalid = false` that no running build accounts for.

**Why it matters.** A failed or cancelled CREATE INDEX CONCURRENTLY leaves one: the planner never uses it, writes may still pay for it (`indisready`), and a migration run \
again with IF NOT EXISTS takes it for done.

**How it decides.** By `pg_index`, less what `pg_stat_progress_create_index` shows as being built. Where a valid equal index exists the left-over is to be \
dropped, else it is to be built anew. A partitioned table's index is invalid until every partition has its part attached: then the partitions are the remedy.

**When it is wrong.** A build that was started between reading both views.

**References.** PostgreSQL documentation, CREATE INDEX, \"Building Indexes Concurrently\".";

const EXAMPLES: &[Example] = &[
    Example {
        title: "a unique build that met duplicates",
        ddl: "CREATE TABLE t (id bigint PRIMARY KEY, email text);
              INSERT INTO t SELECT n, 'same' FROM generate_series(1, 2000) n; ANALYZE t;
              CREATE INDEX t_email ON t (email);
              UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_email'::regclass;",
        log: "-- calls: 1\nSELECT id FROM t WHERE email = 'x';\n",
        expect: Expect::Finding("t"),
    },
    Example {
        title: "all indexes are whole",
        ddl: "CREATE TABLE t (id bigint PRIMARY KEY, email text);
              INSERT INTO t SELECT n, 'm' || n FROM generate_series(1, 2000) n;
              CREATE INDEX t_email ON t (email); ANALYZE t;",
        log: "-- calls: 1\nSELECT id FROM t WHERE email = 'x';\n",
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for relation in stored_index::indexed_relations(audit) {
        for index in relation
            .indexes
            .iter()
            .filter(|index| !index.valid && !index.building)
        {
            findings.push(finding(relation, index));
        }
    }
    findings
}

fn finding(relation: &Relation, index: &Index) -> Finding {
    let writes = if index.ready {
        "; writes still maintain it"
    } else {
        ""
    };
    Finding {
        rule: RULE.id,
        severity: Severity::Error,
        confidence: Confidence::High,
        subject: Subject {
            relation: Some(relation.name.clone()),
            columns: keys_in_words(&index.def),
            index: Some(index.full_name()),
            ..Subject::default()
        },
        message: format!(
            "index {} of {} is invalid: no query can use it{writes}",
            index.def.name, relation.name
        ),
        impact: Impact {
            source: ImpactSource::Catalog,
            ..Impact::default()
        },
        evidence: Evidence::Index(IndexEvidence {
            size_bytes: index.size_bytes,
            ..IndexEvidence::default()
        }),
        locations: Vec::new(),
        remedy: remedy(relation, index),
    }
}

fn remedy(relation: &Relation, index: &Index) -> Remedy {
    if relation.kind == RelationKind::PartitionedTable {
        return Remedy {
            kind: RemedyKind::Other,
            hint: "create the index on every partition that lacks it, then ALTER INDEX … ATTACH PARTITION; the parent turns valid by itself".to_owned(),
            ..Remedy::default()
        };
    }
    let name = index.def.qualified_name_sql();
    let has_twin = relation
        .indexes
        .iter()
        .any(|other| other.valid && other.def.covers(&index.def));
    if has_twin {
        return Remedy {
            kind: RemedyKind::DropIndex,
            sql: Some(format!("DROP INDEX CONCURRENTLY {name};")),
            hint: "a valid index with the same keys exists: this one is a left-over".to_owned(),
            changes: vec![IndexChange::drop(
                index.def.clone(),
                index.full_definition.clone(),
            )],
            ..Remedy::default()
        };
    }
    let unique = if index.def.unique {
        "; look for duplicate values first: they make a unique build fail again"
    } else {
        ""
    };
    Remedy {
        kind: RemedyKind::CreateIndex,
        sql: Some(format!(
            "DROP INDEX CONCURRENTLY {name};\n{};",
            index.def.create_sql(Build::Concurrently)
        )),
        hint: format!("drop what is left and build it again{unique}"),
        changes: vec![IndexChange::create(index.def.clone())],
        ..Remedy::default()
    }
}
