//! `unindexed-foreign-key`: rows of the referenced table are deleted, and each deletion reads the whole referencing table.

use super::{
    Audit, Example, Expect, Need, Rule,
    recommended::{HEAVY_SHARE, SLOW_MS, source_of},
    stored_index,
};
use crate::{
    advise::{btree_bytes, unused_name},
    catalog::{Build, Catalog, ForeignKey, IndexDef, IndexKey, Relation, RelationKind},
    finding::{
        Confidence, Evidence, Finding, Impact, ImpactSource, IndexChange, IndexEvidence, QueryCost,
        Remedy, RemedyKind, Severity, Subject, figures,
    },
    sql::{StatementKind, shape::ScanRole},
    workload::{Loads, Query},
};

pub(super) static RULE: Rule = Rule {
    id: "unindexed-foreign-key",
    summary: "deleting or re-keying referenced rows reads the whole referencing table",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::Catalog],
    check,
};

/// Rows of the referencing table below which a full read per deletion is nothing.
const MIN_ROWS: f64 = 1_000.0;

/// Pages (1 MiB) below which it is nothing either.
const MIN_PAGES: u64 = 128;

const DOCS: &str = "\
**What it finds.** A foreign key without an index on its referencing columns, where rows of the referenced table are deleted or change their key.

**Why it matters.** Postgres checks every deletion of a referenced row by looking for rows that refer to it: without an index it reads the whole referencing table, for each \
deleted row, holding a lock. The statement's plan doesn't show it (only EXPLAIN ANALYZE's trigger time does).

**How it decides.** The referencing table has 1,000 rows and 1 MiB or more; no valid index begins with the key's columns in any order, and no recommended one does; \
and there is evidence that it matters: statements that delete from the referenced table or set its key, or rows counted as deleted by pg_stat_user_tables. Keys of tables that \
are never deleted from are left alone: most are, and an index would only cost. It is a warning where those statements take 100 ms on average or 1 % of the time, else info.

**When it is wrong.** When the rows counted were deleted by a clean-up that will not run again.

**References.** PostgreSQL documentation, 5.4.5 (foreign keys): \"it is often a good idea to index the referencing columns too\".";

const EXAMPLES: &[Example] = &[
    Example {
        title: "parents are deleted",
        ddl: "CREATE TABLE parents (id bigint PRIMARY KEY);
              INSERT INTO parents SELECT n FROM generate_series(1, 5000) n;
              CREATE TABLE children (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents ON DELETE CASCADE, body text);
              INSERT INTO children SELECT n, n % 5000 + 1, repeat('x', 60) FROM generate_series(1, 40000) n;
              VACUUM ANALYZE parents, children;",
        log: "-- calls: 400, mean_time_ms: 9\nDELETE FROM parents WHERE id = 5;\n",
        expect: Expect::Finding("children"),
    },
    Example {
        title: "parents are never deleted",
        ddl: "CREATE TABLE parents (id bigint PRIMARY KEY);
              INSERT INTO parents SELECT n FROM generate_series(1, 5000) n;
              CREATE TABLE children (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents, body text);
              INSERT INTO children SELECT n, n % 5000 + 1, repeat('x', 60) FROM generate_series(1, 40000) n;
              VACUUM ANALYZE parents, children;",
        log: "-- calls: 400, mean_time_ms: 0.1\nSELECT body FROM children WHERE id = 5;\n",
        expect: Expect::Silence,
    },
    Example {
        title: "a composite index begins with the key",
        ddl: "CREATE TABLE parents (id bigint PRIMARY KEY);
              INSERT INTO parents SELECT n FROM generate_series(1, 5000) n;
              CREATE TABLE children (id bigint PRIMARY KEY, parent_id bigint REFERENCES parents, at date, body text);
              INSERT INTO children SELECT n, n % 5000 + 1, now(), repeat('x', 60) FROM generate_series(1, 40000) n;
              CREATE INDEX children_parent_at ON children (parent_id, at);
              VACUUM ANALYZE parents, children;",
        log: "-- calls: 400, mean_time_ms: 9\nDELETE FROM parents WHERE id = 5;\n",
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let Some(catalog) = &audit.snapshot.catalog else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for relation in stored_index::indexed_relations(audit) {
        let is_large = relation.n_rows.unwrap_or(0.0) >= MIN_ROWS && relation.n_pages >= MIN_PAGES;
        for key in relation.foreign_keys.iter().filter(|_| is_large) {
            let is_covered = has_index(relation, key)
                || audit
                    .advice
                    .covering(&relation.name, &key.columns)
                    .is_some();
            let evidence = RemovedParents::of(audit, catalog, key);
            if !is_covered && evidence.is_there() {
                findings.push(finding(audit, catalog, relation, key, &evidence));
            }
        }
    }
    findings.sort_by_key(Finding::id);
    findings.dedup_by_key(|finding| finding.id());
    findings
}

/// A valid b-tree over all rows (or over those with a key) whose first columns are the key's, in any order.
fn has_index(relation: &Relation, key: &ForeignKey) -> bool {
    let n = key.columns.len();
    relation.indexes.iter().any(|index| {
        let keys = index.def.key_columns();
        let rows = index.def.predicate.as_deref().is_none_or(|p| {
            p.to_lowercase().ends_with("is not null)") || p.to_lowercase().ends_with("is not null")
        });
        index.valid
            && matches!(index.def.method.as_str(), "btree" | "hash")
            && index.def.keys.len() >= n
            && rows
            && keys.len() >= n
            && key
                .columns
                .iter()
                .all(|column| keys[..n].contains(&column.as_str()))
    })
}

/// Signs that referenced rows go away.
struct RemovedParents<'a> {
    statements: Vec<&'a Query>,
    n_deleted: u64,
}

impl<'a> RemovedParents<'a> {
    fn of(audit: &Audit<'a>, catalog: &Catalog, key: &ForeignKey) -> Self {
        let statements = audit
            .snapshot
            .workload
            .queries
            .iter()
            .filter(|query| removes(catalog, query, key))
            .collect();
        Self {
            statements,
            n_deleted: catalog
                .relation(&key.references)
                .map_or(0, |parent| parent.usage.n_deletes),
        }
    }

    fn is_there(&self) -> bool {
        !self.statements.is_empty() || self.n_deleted > 0
    }
}

/// Deletes from the referenced table, or sets a referenced column.
fn removes(catalog: &Catalog, query: &Query, key: &ForeignKey) -> bool {
    let Some(shape) = query.shape.as_deref() else {
        return false;
    };
    let is_removal = match shape.kind {
        StatementKind::Delete => true,
        StatementKind::Update => shape
            .written_columns
            .iter()
            .any(|column| key.referenced_columns.contains(column)),
        _ => false,
    };
    is_removal
        && shape.scans.iter().any(|scan| {
            scan.role == ScanRole::Target
                && catalog
                    .resolve(scan.relation.schema.as_deref(), &scan.relation.name)
                    .is_some_and(|target| target.name == key.references)
        })
}

fn finding(
    audit: &Audit<'_>,
    catalog: &Catalog,
    relation: &Relation,
    key: &ForeignKey,
    removed: &RemovedParents<'_>,
) -> Finding {
    let loads = Loads::of(&audit.snapshot.workload);
    let share: f64 = removed
        .statements
        .iter()
        .map(|query| loads.share(query))
        .sum();
    let is_slow = removed
        .statements
        .iter()
        .any(|query| query.mean_ms() >= SLOW_MS);
    let columns = key.columns.join(", ");
    let why = match removed.statements.len() {
        0 => format!(
            "{} deleted there",
            figures::counted(removed.n_deleted, "row")
        ),
        n => format!(
            "{n} {} rows there",
            if n == 1 {
                "statement removes"
            } else {
                "statements remove"
            }
        ),
    };
    let first = removed.statements.first();
    Finding {
        rule: RULE.id,
        severity: if is_slow || share >= HEAVY_SHARE {
            Severity::Warning
        } else {
            Severity::Info
        },
        confidence: if removed.statements.is_empty() {
            Confidence::Medium
        } else {
            Confidence::High
        },
        subject: Subject {
            relation: Some(relation.name.clone()),
            columns: key.columns.clone(),
            ..Subject::default()
        },
        message: format!(
            "{} ({columns}) refers to {} without an index: each row removed there reads all of {}; {why}",
            relation.name, key.references, relation.name
        ),
        impact: Impact {
            n_calls: removed.statements.iter().map(|query| query.n_calls()).sum(),
            total_time_ms: removed
                .statements
                .iter()
                .map(|query| query.total_ms())
                .sum(),
            source: first.map_or(ImpactSource::Catalog, |query| source_of(query)),
            window_s: first.map_or(catalog.server.stats_window.seconds(), |query| {
                Loads::window_s(&audit.snapshot.workload, query)
            }),
            ..Impact::default()
        },
        evidence: Evidence::Index(evidence(relation, key, removed)),
        locations: Vec::new(),
        remedy: remedy(catalog, relation, key),
    }
}

fn evidence(relation: &Relation, key: &ForeignKey, removed: &RemovedParents<'_>) -> IndexEvidence {
    let mut facts = serde_json::Map::new();
    facts.insert("constraint".to_owned(), key.name.clone().into());
    facts.insert("references".to_owned(), key.references.to_string().into());
    facts.insert(
        "n_referenced_rows_deleted".to_owned(),
        removed.n_deleted.into(),
    );
    let queries = removed.statements.iter().map(|query| QueryCost {
        fingerprint: query.fingerprint,
        query: query.text.clone(),
        n_calls: query.n_calls(),
        mean_ms: (query.total_ms() > 0.0).then(|| query.mean_ms()),
        ..QueryCost::default()
    });
    IndexEvidence {
        queries: queries.collect(),
        size_bytes: btree_bytes(relation, &index_of(relation, key), 1.0),
        facts,
        ..IndexEvidence::default()
    }
}

fn index_of(relation: &Relation, key: &ForeignKey) -> IndexDef {
    IndexDef {
        table: relation.name.clone(),
        method: "btree".to_owned(),
        keys: key.columns.iter().map(IndexKey::column).collect(),
        ..IndexDef::default()
    }
}

fn remedy(catalog: &Catalog, relation: &Relation, key: &ForeignKey) -> Remedy {
    let mut def = index_of(relation, key);
    def.name = unused_name(catalog, &def);
    let is_partitioned = relation.kind == RelationKind::PartitionedTable;
    let build = if is_partitioned {
        Build::Plain
    } else {
        Build::Concurrently
    };
    let mut change = IndexChange::create(def.clone());
    change
        .partition_leaves
        .clone_from(&relation.partition_leaves);
    change.size_bytes = Some(btree_bytes(relation, &def, 1.0));
    Remedy {
        kind: RemedyKind::CreateIndex,
        sql: Some(format!("{};", def.create_sql(build))),
        hint: String::new(),
        changes: vec![change],
        ..Remedy::default()
    }
}
