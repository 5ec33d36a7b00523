//! `dead-rows`: tables of which most is rows that nobody can see any more, because VACUUM did not come or could not take them.

use super::{
    Audit, Example, Expect, Need, Rule,
    table_use::{MIN_PAGES, TableClaim, TableUse, is_kept},
};
use crate::{
    catalog::{Catalog, IdleBackend, Relation},
    finding::{Confidence, Finding, Remedy, RemedyKind, Severity, figures},
};

pub(super) static RULE: Rule = Rule {
    id: "dead-rows",
    summary: "most of a table is dead rows that VACUUM has not removed: every scan reads them",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::Catalog, Need::HelpedBy(&[Need::Statements])],
    check,
};

/// Dead rows below which scans hardly feel them.
const MIN_DEAD_ROWS: u64 = 10_000;

/// Dead rows for each live one. Autovacuum comes at a fifth (`autovacuum_vacuum_scale_factor`): at one for one it is off, behind or held back.
const MIN_DEAD_PER_LIVE: f64 = 1.0;

/// Age of an open transaction, microseconds, from which it may be what holds VACUUM back.
const OLD_US: i64 = 60_000_000;

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let Some(catalog) = &audit.snapshot.catalog else {
        return Vec::new();
    };
    let table_use = TableUse::of(catalog, &audit.snapshot.workload);
    let relations = catalog.relations.iter();
    relations
        .filter(|relation| is_mostly_dead(relation))
        .map(|relation| finding(catalog, relation, table_use.severity(&relation.name)))
        .collect()
}

fn is_mostly_dead(relation: &Relation) -> bool {
    let usage = &relation.usage;
    is_kept(relation)
        && relation.n_pages >= MIN_PAGES
        && usage.n_dead_rows >= MIN_DEAD_ROWS
        && usage.n_dead_rows as f64 >= usage.n_live_rows as f64 * MIN_DEAD_PER_LIVE
}

fn finding(catalog: &Catalog, relation: &Relation, severity: Severity) -> Finding {
    let usage = &relation.usage;
    let claim = TableClaim {
        rule: &RULE,
        relation,
        severity,
        confidence: Confidence::Medium,
        message: format!(
            "{} has {} beside {} live ones: scans read them all, and an index is no remedy",
            relation.name,
            figures::counted(usage.n_dead_rows, "dead row"),
            figures::count(usage.n_live_rows)
        ),
        counters: vec![
            ("n_dead_rows", usage.n_dead_rows),
            ("n_live_rows", usage.n_live_rows),
            ("n_pages", relation.n_pages),
        ],
        remedy: Remedy {
            kind: RemedyKind::Other,
            sql: Some(format!("VACUUM (ANALYZE) {};", relation.name.to_sql())),
            hint: cause(catalog),
            ..Remedy::default()
        },
    };
    claim.finding()
}

/// What most likely keeps VACUUM from them.
fn cause(catalog: &Catalog) -> String {
    let oldest = oldest_transaction(catalog);
    let is_off = catalog.server.setting("autovacuum") == Some("off");
    match oldest {
        Some(backend) => {
            let who = if backend.application.is_empty() {
                &backend.user
            } else {
                &backend.application
            };
            format!(
                "a transaction of {who} has stood open for {} at least: end it first, VACUUM keeps what it may still see",
                figures::milliseconds(backend.idle_us as f64 / 1e3)
            )
        }
        None if is_off => "autovacuum is off: VACUUM frees the space for new rows, and autovacuum = on keeps it so".to_owned(),
        None => "where VACUUM (VERBOSE) says that they can't be removed yet, something holds the horizon back: the oldest backend_xmin of pg_stat_activity, xmin of pg_replication_slots, pg_prepared_xacts, \
             or a standby with hot_standby_feedback; else autovacuum is too slow for the table (autovacuum_vacuum_scale_factor, autovacuum_vacuum_cost_limit)"
            .to_owned(),
    }
}

fn oldest_transaction(catalog: &Catalog) -> Option<&IdleBackend> {
    let connections = catalog.connections.as_deref()?;
    let open = connections.idle.iter();
    open.filter(|backend| backend.in_transaction && backend.idle_us >= OLD_US)
        .max_by_key(|backend| backend.idle_us)
}

const DOCS: &str = "\
**What it finds.** Tables of 1 MiB or more with 10,000 dead rows and more, and no fewer dead rows than live ones.

**Why it matters.** UPDATE and DELETE leave the old row in its place until VACUUM has removed it. Until then every sequential scan reads it, index entries lead to it, and the table grows. Statements \
that took a millisecond take ten, with the same plan: no index helps.

**How it decides.** `n_dead_tup` and `n_live_tup` of pg_stat_all_tables. It is a warning where statements that read or write the table take 1 % of the database's time or 100 ms on average, else info. The hint names a transaction that stands idle for a minute and more, or autovacuum that is off, where that is seen.

**When it is wrong.** The counters are estimates and begin anew after a crash. A table in which everything is updated once a night is half dead until autovacuum comes.

**References.** PostgreSQL documentation, 25.1.2 (recovering disk space), 28.2 (`pg_stat_all_tables`).";

const EXAMPLES: &[Example] = &[
    Example {
        title: "updated over and over, autovacuum off",
        ddl: "CREATE TABLE carts (id bigint PRIMARY KEY, total integer NOT NULL, note text) WITH (autovacuum_enabled = off);
              INSERT INTO carts SELECT n, 0, repeat('n', 60) FROM generate_series(1, 12000) n;
              UPDATE carts SET total = total + 1;
              UPDATE carts SET total = total + 1;
              SELECT pg_sleep(1.2);",
        log: "-- calls: 100, mean_time_ms: 5\nSELECT sum(total) FROM carts;\n",
        expect: Expect::Finding("carts"),
    },
    Example {
        title: "a third updated",
        ddl: "CREATE TABLE carts (id bigint PRIMARY KEY, total integer NOT NULL, note text) WITH (autovacuum_enabled = off);
              INSERT INTO carts SELECT n, 0, repeat('n', 60) FROM generate_series(1, 36000) n;
              UPDATE carts SET total = total + 1 WHERE id % 3 = 0;
              SELECT pg_sleep(1.2);",
        log: "-- calls: 100, mean_time_ms: 5\nSELECT sum(total) FROM carts;\n",
        expect: Expect::Silence,
    },
];
