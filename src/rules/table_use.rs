//! What the rules about whole tables share: how much of the workload each table is in, and so how loud a finding about it is.

use std::collections::BTreeMap;

use super::recommended::{HEAVY_SHARE, SLOW_MS};
use crate::{
    catalog::{Catalog, RelationName},
    finding::Severity,
    workload::{Loads, Workload},
};

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
