//! What the rules about whole tables share: which tables they look at, how much of the workload each is in, and so how loud a finding is.

use std::collections::BTreeMap;

use super::{
    Rule,
    clients::facts,
    recommended::{HEAVY_SHARE, SLOW_MS},
};
use crate::{
    catalog::{Catalog, Persistence, Relation, RelationKind, RelationName},
    finding::{Confidence, Finding, Impact, ImpactSource, Remedy, Severity, Subject},
    workload::{Loads, Workload},
};

/// Pages (1 MiB) below which a table is read in a moment, whatever is wrong with it.
pub(super) const MIN_PAGES: u64 = 128;

/// A table that somebody's application keeps: not a temporary one, nor an extension's own.
pub(super) fn is_kept(relation: &Relation) -> bool {
    matches!(
        relation.kind,
        RelationKind::Table | RelationKind::MaterializedView
    ) && relation.persistence != Persistence::Temporary
        && !relation.of_extension
}

/// What statements over a table weigh.
#[derive(Debug, Default)]
struct Use {
    /// Their share of the database's time, 0–1.
    share: f64,
    /// The slowest one's mean.
    mean_ms: f64,
}

/// By table, what the statements that read or write it weigh.
#[derive(Debug)]
pub(super) struct TableUse(BTreeMap<RelationName, Use>);

impl TableUse {
    pub(super) fn of(catalog: &Catalog, workload: &Workload) -> Self {
        let loads = Loads::of(workload);
        let mut found: BTreeMap<RelationName, Use> = BTreeMap::new();
        for query in &workload.queries {
            let Some(shape) = &query.shape else { continue };
            let mut names: Vec<&RelationName> = shape
                .scans
                .iter()
                .filter_map(|scan| {
                    catalog.resolve(scan.relation.schema.as_deref(), &scan.relation.name)
                })
                .map(|relation| &relation.name)
                .collect();
            names.sort();
            names.dedup();
            for name in names {
                let one = found.entry(name.clone()).or_default();
                one.share += loads.share(query);
                one.mean_ms = one.mean_ms.max(query.mean_ms());
            }
        }
        Self(found)
    }

    /// A warning where statements over the table take 1 % of the time or 100 ms on average: what goes wrong in a table that nobody waits for
    /// is only worth knowing.
    pub(super) fn severity(&self, table: &RelationName) -> Severity {
        match self.0.get(table) {
            Some(one) if one.share >= HEAVY_SHARE || one.mean_ms >= SLOW_MS => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

/// A claim about a table, from the catalog's counters.
pub(super) struct TableClaim<'a> {
    pub(super) rule: &'static Rule,
    pub(super) relation: &'a Relation,
    pub(super) severity: Severity,
    pub(super) confidence: Confidence,
    pub(super) message: String,
    pub(super) counters: Vec<(&'static str, u64)>,
    pub(super) remedy: Remedy,
}

impl TableClaim<'_> {
    pub(super) fn finding(self) -> Finding {
        let counters = self.counters.into_iter();
        Finding {
            rule: self.rule.id,
            severity: self.severity,
            confidence: self.confidence,
            subject: Subject {
                relation: Some(self.relation.name.clone()),
                ..Subject::default()
            },
            message: self.message,
            impact: Impact {
                source: ImpactSource::Catalog,
                ..Impact::default()
            },
            evidence: facts(counters.map(|(name, n)| (name, n.into())).collect()),
            locations: Vec::new(),
            remedy: self.remedy,
        }
    }
}
