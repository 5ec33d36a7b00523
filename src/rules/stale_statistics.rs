//! `stale-statistics`: tables whose statistics no longer describe them, or that have none.

use super::{
    Audit, Example, Expect, Need, Rule,
    table_use::{MIN_PAGES, TableClaim, TableUse, is_kept},
};
use crate::{
    catalog::Relation,
    finding::{Confidence, Finding, Remedy, RemedyKind, Severity, figures},
};

pub(super) static RULE: Rule = Rule {
    id: "stale-statistics",
    summary: "a table has changed so much since its last ANALYZE that plans and advice rest on guesses",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::Catalog, Need::HelpedBy(&[Need::Statements])],
    check,
};

/// Share of the rows that must have changed. Autovacuum analyses at a tenth (`autovacuum_analyze_scale_factor`): at half, it is off or
/// behind.
const MIN_CHANGED_SHARE: f64 = 0.5;

/// Rows changed below which it does not matter: plans of small tables are cheap whatever is known.
const MIN_CHANGED_ROWS: u64 = 10_000;

/// Bytes that a row takes besides its columns: tuple header and line pointer (PostgreSQL documentation, 73.6).
const ROW_BYTES: f64 = 28.0;

/// The rows counted must fit into the table, by this factor: widths are averages of a sample.
const ROOM_FACTOR: f64 = 1.2;

const DOCS: &str = "\
**What it finds.** Tables of which at least half the rows, and 10,000, changed since the last ANALYZE; and tables of 1 MiB or more that were never analysed at all.

**Why it matters.** The planner takes row counts and value frequencies from the statistics. With old ones it takes a new state, a new tenant or today's rows for next to nothing and joins them row by row. \
Advice about indexes rests on the same figures: findings about such a table say so. ANALYZE first, then look again.

**How it decides.** `n_mod_since_analyze` of pg_stat_all_tables against the live rows; `reltuples` of -1 (never analysed). It is a warning where statements that read or write the table take 1 % of the \
database's time or 100 ms on average, else info. Where one session loaded and analysed within a second, its rows are counted as changed since: changes count only as far as updates, deletes and rows beyond those that ANALYZE found bear them out, and nothing is said where the table is too small for the rows counted.

**When it is wrong.** Counters arrive up to a second late: rows updated just before an ANALYZE may be counted as changed after it. A VACUUM without ANALYZE counts the rows anew, and inserts before it are then not seen as changes. After a crash the counters begin anew, and the table looks fresher than it is. A table whose rows are all rewritten without changing what the columns look like has statistics \
that still fit.

**References.** PostgreSQL documentation, 25.1.3 (updating planner statistics), 14.2 (statistics used by the planner).";

const EXAMPLES: &[Example] = &[
    Example {
        title: "loaded and never analysed",
        ddl: "CREATE TABLE readings (id bigint PRIMARY KEY, value integer NOT NULL) WITH (autovacuum_enabled = off);
              INSERT INTO readings SELECT n, n % 100 FROM generate_series(1, 40000) n;",
        log: "-- calls: 100, mean_time_ms: 15\nSELECT id FROM readings WHERE value = 7;\n",
        expect: Expect::Finding("readings"),
    },
    Example {
        title: "grown tenfold since",
        ddl: "CREATE TABLE readings (id bigint PRIMARY KEY, value integer NOT NULL) WITH (autovacuum_enabled = off);
              INSERT INTO readings SELECT n, n % 100 FROM generate_series(1, 4000) n;
              ANALYZE readings;
              INSERT INTO readings SELECT n, n % 100 FROM generate_series(4001, 40000) n;
              SELECT pg_sleep(1.2);",
        log: "-- calls: 100, mean_time_ms: 15\nSELECT id FROM readings WHERE value = 7;\n",
        expect: Expect::Finding("readings"),
    },
    Example {
        title: "analysed after loading, and a few rows more",
        ddl: "CREATE TABLE readings (id bigint PRIMARY KEY, value integer NOT NULL) WITH (autovacuum_enabled = off);
              INSERT INTO readings SELECT n, n % 100 FROM generate_series(1, 40000) n;
              SELECT pg_sleep(1.2);
              ANALYZE readings;
              INSERT INTO readings SELECT n, n % 100 FROM generate_series(40001, 51000) n;
              SELECT pg_sleep(1.2);",
        log: "-- calls: 100, mean_time_ms: 15\nSELECT id FROM readings WHERE value = 7;\n",
        expect: Expect::Silence,
    },
];

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let Some(catalog) = &audit.snapshot.catalog else {
        return Vec::new();
    };
    let table_use = TableUse::of(catalog, &audit.snapshot.workload);
    let relations = catalog.relations.iter();
    relations
        .filter_map(|relation| {
            let staleness = Staleness::of(relation)?;
            let severity = table_use.severity(&relation.name);
            Some(finding(relation, &staleness, severity))
        })
        .collect()
}

/// Why a table's statistics don't describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Staleness {
    /// No ANALYZE has ever looked at it.
    NeverAnalysed,
    /// So many rows changed since.
    Changed(u64),
}

impl Staleness {
    /// `None` where the statistics are as fresh as autovacuum keeps them, or where it does not matter.
    pub(super) fn of(relation: &Relation) -> Option<Self> {
        if !is_kept(relation) {
            return None;
        }
        if relation.n_rows.is_none() && relation.n_pages >= MIN_PAGES {
            return Some(Self::NeverAnalysed);
        }
        let n_changed = explained(relation);
        let n_live = relation.usage.n_live_rows.max(1) as f64;
        let is_changed = n_changed >= MIN_CHANGED_ROWS
            && n_changed as f64 >= n_live * MIN_CHANGED_SHARE
            && has_room(relation);
        is_changed.then_some(Self::Changed(n_changed))
    }
}

/// Rows changed since the last ANALYZE, as far as the other counters bear it out: inserts make the table grow beyond what ANALYZE found. A session that
/// loads and analyses within a second has its inserts counted as changes after the ANALYZE that saw them.
fn explained(relation: &Relation) -> u64 {
    let usage = &relation.usage;
    let found = relation.n_rows.unwrap_or(0.0).max(0.0) as u64;
    let grown = usage.n_live_rows.saturating_sub(found);
    let others = usage.n_updates.saturating_add(usage.n_deletes);
    usage
        .n_modified_since_analyze
        .min(others.saturating_add(grown))
}

/// Can the table hold as many rows as are counted? A session reports the rows that it loaded up to a second late, and PostgreSQL then adds them to
/// those that its ANALYZE has found meanwhile: they count twice, and as changed since.
fn has_room(relation: &Relation) -> bool {
    let stats = relation.columns.iter().filter_map(|c| c.stats.as_ref());
    let widths: f64 = stats
        .map(|stats| f64::from(stats.avg_width) * (1.0 - stats.null_frac))
        .sum();
    let needed = relation.usage.n_live_rows as f64 * (ROW_BYTES + widths);
    needed <= relation.size_bytes as f64 * ROOM_FACTOR
}

fn finding(relation: &Relation, staleness: &Staleness, severity: Severity) -> Finding {
    let what = match staleness {
        Staleness::NeverAnalysed => "was never analysed".to_owned(),
        Staleness::Changed(n) => format!(
            "has {}, and {} since its last ANALYZE",
            figures::counted(relation.usage.n_live_rows, "row"),
            figures::counted(*n, "change")
        ),
    };
    let claim = TableClaim {
        rule: &RULE,
        relation,
        severity,
        confidence: Confidence::High,
        message: format!("{} {what}: plans and index advice rest on guesses", relation.name),
        counters: vec![
            ("n_changed_since_analyze", relation.usage.n_modified_since_analyze),
            ("n_live_rows", relation.usage.n_live_rows),
        ],
        remedy: Remedy {
            kind: RemedyKind::Analyze,
            sql: Some(format!("ANALYZE {};", relation.name.to_sql())),
            hint: "and look why autovacuum did not come: autovacuum, autovacuum_analyze_scale_factor, the table's own settings, long transactions".to_owned(),
            ..Remedy::default()
        },
    };
    claim.finding()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Column, ColumnStats, RelationKind, TableUsage};

    #[test]
    fn changes_that_no_counter_bears_out_came_before_the_analyze() {
        let mut relation = doubled(40_000 * 36);
        relation.usage.n_live_rows = 40_000;
        relation.usage.n_inserts = 40_000;
        assert_eq!(
            Staleness::of(&relation),
            None,
            "as many rows as ANALYZE found"
        );
        relation.usage.n_updates = 30_000;
        assert_eq!(Staleness::of(&relation), Some(Staleness::Changed(30_000)));
    }

    /// 40,000 rows of 8 bytes and a header were found by ANALYZE, and as many are counted as changed since.
    fn doubled(size_bytes: u64) -> Relation {
        Relation {
            kind: RelationKind::Table,
            n_rows: Some(40_000.0),
            size_bytes,
            n_pages: size_bytes / 8192,
            columns: vec![Column {
                stats: Some(ColumnStats {
                    avg_width: 8,
                    ..ColumnStats::default()
                }),
                ..Column::default()
            }],
            usage: TableUsage {
                n_live_rows: 80_000,
                n_modified_since_analyze: 40_000,
                ..TableUsage::default()
            },
            ..Relation::default()
        }
    }

    #[test]
    fn rows_that_the_table_has_no_room_for_were_counted_twice() {
        assert_eq!(Staleness::of(&doubled(40_000 * 36)), None);
        assert_eq!(
            Staleness::of(&doubled(80_000 * 36)),
            Some(Staleness::Changed(40_000))
        );
    }
}
