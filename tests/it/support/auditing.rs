//! A whole audit in a test: a database, a workload as a log, real prices, all rules.

use pgassay::{
    advise::{self, Advice},
    db::{Audited, AuditedOptions, RealPlanner},
    finding::Report,
    rules::{self, Audit, RULES, Scope, Settings},
    snapshot::Snapshot,
};

use super::Database;

/// What an audit saw and said.
#[derive(Debug)]
pub(crate) struct Run {
    /// All inputs.
    pub(crate) snapshot: Snapshot,
    /// What was worked out.
    pub(crate) advice: Advice,
    /// What the rules said.
    pub(crate) report: Report,
}

/// Settings under which a throwaway database can be judged: its counters are young.
pub(crate) fn young_database() -> Settings {
    Settings {
        min_window_days: 0.0,
        ..Settings::default()
    }
}

/// Audits a database under a workload given as a log or a plain SQL file, with prices from really built indexes.
pub(crate) async fn audit(database: &Database, log: &str, settings: &Settings) -> Run {
    flush_counters(database).await;
    let audited = Audited::connect(&database.conninfo.audited(), AuditedOptions::default())
        .await
        .expect("the database answers");
    let catalog = Box::pin(audited.catalog())
        .await
        .expect("the catalog is readable");
    let workload = super::workload::of_log(log);
    let planner = RealPlanner::new(database.owned.clone());
    let advice = advise::advise(&catalog, &workload, &planner, &advise::Options::default()).await;
    planner.finish().await;
    let snapshot = Snapshot {
        catalog: Some(catalog),
        workload,
        ..Snapshot::default()
    };
    let report = rules::judge(
        &Audit {
            snapshot: &snapshot,
            advice: &advice,
            settings,
        },
        RULES,
        &Scope::default(),
    );
    Run {
        snapshot,
        advice,
        report,
    }
}

/// Counters reach the shared statistics with a delay of up to a second otherwise.
async fn flush_counters(database: &Database) {
    database
        .run(
            "DO $$ BEGIN IF current_setting('server_version_num')::int >= 150000 THEN PERFORM pg_stat_force_next_flush(); END IF; END $$;
             SELECT 1;",
        )
        .await;
}
