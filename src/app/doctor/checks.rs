//! What the server itself has or lacks: query statistics, privileges, timing, windows, pricing.

use super::{Diagnosis, Patient, service::Effect};
use crate::{
    catalog::{Relation, RelationKind},
    db::StatementsError,
};

/// Days of usage counters before an index may be called unused; the default of `--min-window`.
const USAGE_WINDOW_DAYS: f64 = 30.0;

/// A table below this has no time to save, analysed or not.
const LARGE_BYTES: u64 = 10 << 20;

/// Tables named in one diagnosis; the rest is counted.
const MAX_NAMED: usize = 5;

/// Categories of settings that change plans start so.
const PLANNER_SETTINGS: &[&str] = &[
    "enable_",
    "cpu_",
    "parallel_",
    "jit",
    "geqo",
    "random_page_cost",
    "seq_page_cost",
    "effective_",
    "work_mem",
    "plan_cache_mode",
    "from_collapse_limit",
    "join_collapse_limit",
    "constraint_exclusion",
    "cursor_tuple_fraction",
];

const NO_STATEMENTS: &str = "without a query log, no statement can be judged: only rules about stored indexes and foreign keys run";

pub(super) fn statements(patient: Patient<'_>) -> Vec<Diagnosis> {
    let facts = match patient.statements {
        Ok(facts) => facts,
        Err(StatementsError::Absent(_)) => return vec![absent(patient)],
        Err(StatementsError::NotPreloaded(_)) => {
            let found = "pg_stat_statements is installed, but its library is not loaded";
            return vec![
                Diagnosis::lacking(found, NO_STATEMENTS).change(preload(patient), PRELOAD_COST),
            ];
        }
        Err(StatementsError::Db(error)) => {
            let diagnosis = Diagnosis::lacking(error.to_string(), NO_STATEMENTS);
            return vec![
                diagnosis
                    .fix("GRANT pg_monitor TO the role; see the role script below")
                    .undo("REVOKE pg_monitor FROM the role")
                    .cost("none: the role sees statistics and settings, no data"),
            ];
        }
    };
    let pgss = facts.pgss.clone().unwrap_or_default();
    let mut found = vec![Diagnosis::fine(format!(
        "pg_stat_statements {} holds {} statements of this database",
        pgss.version, pgss.n_entries
    ))];
    if pgss.n_hidden > 0 {
        let hidden = format!(
            "{} statements of other roles are hidden ({} calls)",
            pgss.n_hidden, pgss.n_hidden_calls
        );
        let diagnosis = Diagnosis::lacking(
            hidden,
            "their time is counted, and nothing can be said about them",
        );
        found.push(
            diagnosis
                .fix("GRANT pg_read_all_stats TO the role; see the role script below")
                .undo("REVOKE pg_read_all_stats FROM the role")
                .cost("none: the role sees other roles' statements"),
        );
    }
    if let Some(n) = pgss.n_evicted.filter(|n| *n > 0) {
        let limit = patient
            .catalog
            .server
            .setting("pg_stat_statements.max")
            .unwrap_or("5000");
        let evicted = format!(
            "pg_stat_statements has thrown out rare statements {n} times (pg_stat_statements.max is {limit})"
        );
        let change = patient.service.set(
            "pg_stat_statements.max",
            "10000",
            patient.was_set("pg_stat_statements.max"),
            Effect::Restart,
        );
        found.push(
            Diagnosis::lacking(
                evicted,
                "totals are a lower bound, and statements with many variants may be missing",
            )
            .change(
                change,
                "some kilobytes of shared memory per thousand entries, and a restart",
            ),
        );
    }
    found
}

const PRELOAD_COST: &str = "a restart; then a hash lookup per statement, and shared memory for pg_stat_statements.max entries";

fn absent(patient: Patient<'_>) -> Diagnosis {
    let found = format!(
        "pg_stat_statements is not installed in database \"{}\"",
        patient.catalog.server.database
    );
    let diagnosis = Diagnosis::lacking(found, NO_STATEMENTS);
    let preloaded = patient.catalog.server.setting("shared_preload_libraries");
    let is_loaded = preloaded.is_some_and(|list| list.contains("pg_stat_statements"));
    let diagnosis = if is_loaded {
        diagnosis.cost("none: its library is loaded, and counts already")
    } else {
        diagnosis.change(preload(patient), PRELOAD_COST)
    };
    diagnosis
        .fix("CREATE EXTENSION pg_stat_statements;")
        .undo("DROP EXTENSION pg_stat_statements;")
}

fn preload(patient: Patient<'_>) -> super::service::Change {
    let now = patient
        .catalog
        .server
        .setting("shared_preload_libraries")
        .unwrap_or_default();
    let list = match now {
        "" => "pg_stat_statements".to_owned(),
        others => format!("{others},pg_stat_statements"),
    };
    patient.service.set(
        "shared_preload_libraries",
        &list,
        patient.was_set("shared_preload_libraries"),
        Effect::Restart,
    )
}

pub(super) fn privileges(patient: Patient<'_>) -> Vec<Diagnosis> {
    let server = &patient.catalog.server;
    let mut found = Vec::new();
    if server.is_superuser {
        found.push(Diagnosis::note(
            "connected as a superuser",
            "pgassay needs far less: the role script below makes one that can read statistics and nothing else",
        ));
    } else if server.can_read_all_stats {
        found.push(Diagnosis::fine("the role may read all statistics"));
    } else {
        let means = "statements and usage of other roles, standbys and some settings stay hidden";
        found.push(
            Diagnosis::lacking("the role is no member of pg_monitor", means)
                .fix("GRANT pg_monitor TO the role; see the role script below")
                .undo("REVOKE pg_monitor FROM the role")
                .cost("none: the role sees statistics and settings, no data"),
        );
    }
    let unread = patient
        .catalog
        .unread
        .iter()
        .filter(|unread| unread.contains("privilege") || unread.contains("row security"));
    found.extend(unread.map(|unread| {
        Diagnosis::lacking(
            unread.clone(),
            "selectivity and partial indexes can't be judged on these",
        )
        .fix("GRANT SELECT on them, or pg_read_all_data (14 and newer); see the role script below")
        .undo("REVOKE it")
        .cost("the role can read those tables' rows, though pgassay never does")
    }));
    found
}

/// First version with `compute_query_id`.
const COMPUTES_QUERY_ID: u32 = 140_000;

pub(super) fn query_ids(patient: Patient<'_>) -> Vec<Diagnosis> {
    let server = &patient.catalog.server;
    if server.version_num < COMPUTES_QUERY_ID || server.setting("compute_query_id") != Some("off") {
        return Vec::new();
    }
    let change = patient
        .service
        .set("compute_query_id", "auto", Some("off"), Effect::Reload);
    vec![
        Diagnosis::lacking(
            "compute_query_id is off",
            "pg_stat_statements counts nothing, and log lines have no query id",
        )
        .change(
            change,
            "a walk over each statement's parse tree, some microseconds",
        ),
    ]
}

pub(super) fn io_timing(patient: Patient<'_>) -> Vec<Diagnosis> {
    if patient.catalog.server.setting("track_io_timing") == Some("on") {
        return vec![Diagnosis::fine("track_io_timing is on")];
    }
    let change = patient
        .service
        .set("track_io_timing", "on", None, Effect::Reload);
    vec![
        Diagnosis::lacking("track_io_timing is off", "a statement's time can't be told apart into reading and computing")
            .change(change, "two clock readings per block read; pg_test_timing shows whether the clock is slow on that machine"),
    ]
}

pub(super) fn usage_window(patient: Patient<'_>) -> Vec<Diagnosis> {
    let server = &patient.catalog.server;
    if server.setting("track_counts") == Some("off") {
        let change = patient
            .service
            .set("track_counts", "on", Some("off"), Effect::Reload);
        return vec![
            Diagnosis::lacking(
                "track_counts is off",
                "nothing counts whether an index is used, and autovacuum does not run",
            )
            .change(change, "none to speak of: it is on by default"),
        ];
    }
    let days = server.stats_window.days();
    if server.stats_window.since_us.is_none() || days >= USAGE_WINDOW_DAYS {
        return vec![Diagnosis::fine(format!(
            "usage counters have been counting for {}",
            in_days(days)
        ))];
    }
    vec![Diagnosis::note(
        format!("usage counters have been counting for {}", in_days(days)),
        "no index is called unused before 30 days (--min-window): a monthly report may need it",
    )]
}

fn in_days(days: f64) -> String {
    match days.floor() as u64 {
        1 => "1 day".to_owned(),
        n => format!("{n} days"),
    }
}

pub(super) fn standbys(patient: Patient<'_>) -> Vec<Diagnosis> {
    let server = &patient.catalog.server;
    if server.is_standby {
        return vec![Diagnosis::note(
            "this server is a standby",
            "its counters are its own: an index that it never uses may serve the primary",
        )];
    }
    match server.standbys.len() {
        0 => Vec::new(),
        n => vec![Diagnosis::note(
            format!("{n} standbys are connected"),
            "an index that is unused here may serve queries there: look at each before dropping one",
        )],
    }
}

pub(super) fn column_statistics(patient: Patient<'_>) -> Vec<Diagnosis> {
    let never: Vec<&Relation> = patient
        .catalog
        .relations
        .iter()
        .filter(|r| is_never_analysed(r))
        .collect();
    if never.is_empty() {
        return Vec::new();
    }
    let names: Vec<String> = never
        .iter()
        .take(MAX_NAMED)
        .map(|r| r.name.to_sql())
        .collect();
    let more = match never.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let found = format!("never analysed: {}{more}", names.join(", "));
    let mut diagnosis = Diagnosis::lacking(found, "the planner guesses, and so would every price")
        .cost("reads some 30,000 rows of each table")
        .undo("statistics need no undoing");
    for name in names {
        diagnosis = diagnosis.fix(format!("ANALYZE {name};"));
    }
    vec![diagnosis]
}

fn is_never_analysed(relation: &Relation) -> bool {
    let has_rows = matches!(
        relation.kind,
        RelationKind::Table | RelationKind::MaterializedView
    );
    has_rows && relation.size_bytes >= LARGE_BYTES && relation.n_rows.is_none()
}

pub(super) fn pricing(patient: Patient<'_>) -> Vec<Diagnosis> {
    let server = &patient.catalog.server;
    if let Some(hypopg) = server.extension("hypopg") {
        return vec![Diagnosis::fine(format!(
            "HypoPG {} prices indexes that do not exist",
            hypopg.version
        ))];
    }
    if server
        .available_extensions
        .iter()
        .any(|name| name == "hypopg")
    {
        return vec![
            Diagnosis::lacking("HypoPG is available and not installed", "candidate indexes can't be priced on this server")
                .fix("CREATE EXTENSION hypopg;")
                .undo("DROP EXTENSION hypopg;")
                .cost("none until it is asked; hypothetical indexes are seen by pgassay's own session only"),
        ];
    }
    vec![Diagnosis::note(
        "HypoPG is not available on this server",
        "candidate indexes are not priced here; pgassay capture freezes what a local server needs to price them",
    )]
}

pub(super) fn role_settings(patient: Patient<'_>) -> Vec<Diagnosis> {
    let is_planner = |name: &str| {
        PLANNER_SETTINGS
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    let odd: Vec<String> = patient
        .catalog
        .server
        .settings
        .iter()
        .filter(|s| matches!(s.source.as_str(), "user" | "database user") && is_planner(&s.name))
        .map(|s| format!("{} = {}", s.name, s.value))
        .collect();
    if odd.is_empty() {
        return Vec::new();
    }
    vec![Diagnosis::note(
        format!("settings of this role change plans: {}", odd.join(", ")),
        "the application's role may plan otherwise; ALTER ROLE … RESET them for the role that audits",
    )]
}

pub(super) fn pooler(patient: Patient<'_>) -> Vec<Diagnosis> {
    if !patient.catalog.server.pooled {
        return Vec::new();
    }
    vec![Diagnosis::note(
        "a pooler stands in between",
        "pgassay leaves nothing behind on its connections; in the log, sessions are the pooler's, and N+1 patterns of different clients may mix",
    )]
}
