//! Existing indexes as findings: what the rules about indexes to drop share.

use super::{
    Audit,
    recommended::{HEAVY_SHARE, keys_in_words},
};
use crate::{
    catalog::{Index, Relation, RelationKind},
    finding::{
        Confidence, Evidence, Finding, Impact, ImpactSource, IndexChange, IndexEvidence, Remedy,
        RemedyKind, Severity, Subject,
    },
    sql::{
        StatementKind,
        shape::{QueryShape, ScanRole},
    },
    workload::Loads,
};

/// Tables, partitioned tables and materialised views of the user's own, with their indexes that are whole.
pub(super) fn indexed_relations<'a>(audit: &Audit<'a>) -> impl Iterator<Item = &'a Relation> {
    let relations = audit
        .snapshot
        .catalog
        .as_ref()
        .map(|catalog| catalog.relations.as_slice());
    relations.unwrap_or_default().iter().filter(|relation| {
        !relation.of_extension
            && matches!(
                relation.kind,
                RelationKind::Table
                    | RelationKind::PartitionedTable
                    | RelationKind::MaterializedView
            )
    })
}

/// `schema.name` of an index.
pub(super) fn full_name(index: &Index) -> String {
    format!("{}.{}", index.def.table.schema, index.def.name)
}

/// The index that makes `index` superfluous, and whether it is the same thing under another name. Both are valid, `index` carries no
/// constraint; of two equal ones the one that is used more stays, then the one with the lesser name.
pub(super) fn superseded_by<'r>(
    relation: &'r Relation,
    index: &Index,
) -> Option<(&'r Index, Supersedes)> {
    if !index.valid || index.is_load_bearing() {
        return None;
    }
    let others = || {
        relation
            .indexes
            .iter()
            .filter(|other| other.valid && other.def.name != index.def.name)
    };
    let twin = others().find(|other| {
        let stays = other.is_load_bearing()
            || (other.usage.n_scans, std::cmp::Reverse(&other.def.name))
                > (index.usage.n_scans, std::cmp::Reverse(&index.def.name));
        stays && other.def.covers(&index.def) && index.def.covers(&other.def)
    });
    let wider =
        || others().find(|other| other.def.covers(&index.def) && !index.def.covers(&other.def));
    twin.map(|other| (other, Supersedes::Duplicate))
        .or_else(|| wider().map(|other| (other, Supersedes::Prefix)))
}

/// Why an index is superfluous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supersedes {
    /// The other index is the same.
    Duplicate,
    /// The other index begins with its keys.
    Prefix,
}

/// What a rule says about an index.
pub(super) struct Claim<'a> {
    pub(super) rule: &'static str,
    pub(super) relation: &'a Relation,
    pub(super) index: &'a Index,
    pub(super) severity: Severity,
    pub(super) confidence: Confidence,
    pub(super) message: String,
    pub(super) hint: String,
    /// Names of the indexes that stay in its place.
    pub(super) instead: Vec<String>,
    pub(super) facts: Vec<(&'static str, serde_json::Value)>,
    /// Is there proof enough to drop it?
    pub(super) drops: Drops,
}

/// Whether a finding carries the drop, or only the news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drops {
    /// With a migration.
    Yes,
    /// Not enough evidence: no migration.
    NotYet,
}

impl Claim<'_> {
    pub(super) fn finding(self, audit: &Audit<'_>) -> Finding {
        let index = self.index;
        let window = audit
            .snapshot
            .catalog
            .as_ref()
            .map_or(0.0, |catalog| catalog.server.stats_window.seconds());
        let mut facts = serde_json::Map::new();
        facts.insert("n_scans".to_owned(), index.usage.n_scans.into());
        facts.extend(
            self.facts
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        Finding {
            rule: self.rule,
            severity: self.severity,
            confidence: self.confidence,
            subject: Subject {
                relation: Some(self.relation.name.clone()),
                columns: keys_in_words(&index.def),
                index: Some(full_name(index)),
                ..Subject::default()
            },
            message: self.message,
            impact: Impact {
                source: ImpactSource::Catalog,
                window_s: window,
                ..Impact::default()
            },
            evidence: Evidence::Index(IndexEvidence {
                size_bytes: index.size_bytes,
                replaces: self.instead,
                facts,
                ..IndexEvidence::default()
            }),
            locations: Vec::new(),
            remedy: drop_remedy(self.relation, index, self.hint, self.drops),
        }
    }
}

fn drop_remedy(relation: &Relation, index: &Index, hint: String, drops: Drops) -> Remedy {
    if drops == Drops::NotYet {
        return Remedy {
            kind: RemedyKind::Other,
            hint,
            ..Remedy::default()
        };
    }
    let is_partitioned = relation.kind == RelationKind::PartitionedTable;
    let how = if is_partitioned { "" } else { "CONCURRENTLY " };
    let mut change = IndexChange::drop(index.def.clone(), index.full_definition.clone());
    change
        .partition_leaves
        .clone_from(&relation.partition_leaves);
    change.size_bytes = Some(index.size_bytes);
    Remedy {
        kind: RemedyKind::DropIndex,
        sql: Some(format!(
            "DROP INDEX {how}{};",
            index.def.qualified_name_sql()
        )),
        hint,
        changes: vec![change],
        ..Remedy::default()
    }
}

/// A warning where statements that write the table take 1 % of the database's time or more, as each of them pays for the index; else info.
pub(super) fn severity_by_writes(audit: &Audit<'_>, relation: &Relation) -> Severity {
    let workload = &audit.snapshot.workload;
    let loads = Loads::of(workload);
    let share: f64 = workload
        .queries
        .iter()
        .filter(|query| {
            query
                .shape
                .as_deref()
                .is_some_and(|shape| writes_entries(audit, shape, relation))
        })
        .map(|query| loads.share(query))
        .sum();
    if share >= HEAVY_SHARE {
        Severity::Warning
    } else {
        Severity::Info
    }
}

fn writes_entries(audit: &Audit<'_>, shape: &QueryShape, relation: &Relation) -> bool {
    let writes = matches!(
        shape.kind,
        StatementKind::Insert | StatementKind::Update | StatementKind::Merge
    );
    let Some(catalog) = &audit.snapshot.catalog else {
        return false;
    };
    writes
        && shape.scans.iter().any(|scan| {
            scan.role != ScanRole::Read
                && catalog
                    .resolve(scan.relation.schema.as_deref(), &scan.relation.name)
                    .is_some_and(|written| written.name == relation.name)
        })
}
