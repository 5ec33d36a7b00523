//! INCLUDE columns: what a statement reads besides the keys, where it reads many rows and an index-only scan could answer it.

use std::collections::BTreeSet;

use super::{bind::BoundScan, roles::Roles, write_cost::Written};
use crate::catalog::IndexDef;

/// Most columns carried along, and most bytes of them together: beyond, the index is a second table.
const MAX_COLUMNS: usize = 6;
const MAX_BYTES: u32 = 64;

/// Share of pages that must be all-visible: on others an index-only scan looks into the table anyway, until VACUUM has passed.
const MIN_VISIBLE: f64 = 0.8;

/// Rows found per scan below which looking them up costs next to nothing.
const MIN_ROWS_FOUND: f64 = 100.0;

/// Width taken for a column without statistics, bytes.
const UNKNOWN_WIDTH: u32 = 16;

/// What an index must carry for a scan to be answered from it alone.
#[derive(Debug)]
pub(super) struct Covering {
    columns: Vec<(String, u32)>,
}

impl Covering {
    /// `None` where no index could or should cover the scan.
    pub(super) fn of(bound: &BoundScan<'_>, roles: &Roles, written: &Written) -> Option<Self> {
        let (scan, relation) = (&bound.scan, bound.relation);
        let visible = relation.n_all_visible_pages as f64 / relation.n_pages.max(1) as f64;
        if scan.all_columns || scan.columns.is_empty() || visible < MIN_VISIBLE {
            return None;
        }
        let terms = roles.equal.iter().chain(&roles.range);
        let kept: f64 = terms.map(|term| term.selectivity).product();
        if relation.n_rows.unwrap_or(0.0) * kept < MIN_ROWS_FOUND && roles.join.is_empty() {
            return None;
        }
        let columns: Option<Vec<(String, u32)>> = scan
            .columns
            .iter()
            .map(|name| {
                let column = relation.column(name)?;
                let width = column.stats.as_ref().map_or(UNKNOWN_WIDTH, |s| s.avg_width);
                Some((name.clone(), width))
            })
            .collect();
        let columns = columns?;
        let is_updated = |(name, _): &(String, u32)| written.is_set(&relation.name, name);
        (!columns.iter().any(is_updated)).then_some(Self { columns })
    }

    /// The columns that `def` lacks; `None` when it lacks none, or too many. Columns that its predicate fixes are not read.
    pub(super) fn include(&self, def: &IndexDef, fixed: &[String]) -> Option<Vec<String>> {
        let keys: BTreeSet<&str> = def.key_columns().into_iter().collect();
        let lacking: Vec<&(String, u32)> = self
            .columns
            .iter()
            .filter(|(name, _)| !keys.contains(name.as_str()) && !fixed.contains(name))
            .collect();
        let bytes: u32 = lacking.iter().map(|(_, width)| width).sum();
        let fits = !lacking.is_empty() && lacking.len() <= MAX_COLUMNS && bytes <= MAX_BYTES;
        fits.then(|| lacking.into_iter().map(|(name, _)| name.clone()).collect())
    }
}
