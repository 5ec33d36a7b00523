//! Existing indexes as findings: what the rules about indexes to drop share.

use super::{
    Audit,
    recommended::{HEAVY_SHARE, keys_in_words},
};
use crate::{
    advise::PricedDrop,
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

/// What the workload costs without an index, where it was priced.
pub(super) fn priced_drop<'a>(audit: &Audit<'a>, index: &Index) -> Option<&'a PricedDrop> {
    let name = index.full_name();
    audit.advice.drops.iter().find(|drop| drop.index == name)
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
    pub(super) fn finding(mut self, audit: &Audit<'_>) -> Finding {
        if let Some(priced) = priced_drop(audit, self.index) {
            self.heed(audit, priced);
        }
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
                index: Some(index.full_name()),
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

impl Claim<'_> {
    /// Takes in what the workload costs without it; where a statement suffers, it stays.
    fn heed(&mut self, audit: &Audit<'_>, priced: &PricedDrop) {
        self.facts
            .push(("n_statements_priced", priced.n_statements.into()));
        if let Some((_, ratio)) = priced.worst {
            let rounded = (ratio * 1_000.0).round() / 1_000.0;
            self.facts.push(("worst_cost_ratio", rounded.into()));
        }
        if priced.is_dropped {
            return;
        }
        let statement = priced.worst.as_ref().and_then(|(fingerprint, ratio)| {
            let query = audit.snapshot.workload.query(*fingerprint)?;
            (*ratio > 1.0).then(|| format!("{ratio:.1} times as much without it: {}", query.text))
        });
        self.message.push_str(match statement {
            Some(_) => ", but a statement would cost more without it: it stays",
            None => ", but not enough speaks for dropping it: it stays",
        });
        self.hint = statement.map_or_else(String::new, |text| format!("a statement costs {text}"));
        (self.severity, self.confidence) = (Severity::Info, Confidence::Low);
        self.drops = Drops::NotYet;
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
