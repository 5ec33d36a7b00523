//! `--verify-on`: the proposed indexes, really built on a copy that the user names, and the workload's reads, really run there before and after.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Context, Error, ErrorKind, audit::Conclusion, connect};
use crate::{
    advise,
    catalog::{Catalog, IndexDef, RelationName},
    cli::SecretUrl,
    db::{
        Audited, AuditedOptions, BuiltIndex, CopyError, DatabaseCopy, DbError, LivePlanner,
        Measured,
    },
    finding::{ChangeAction, Evidence, Finding, figures},
    sql::{Fingerprint, StatementKind},
    workload::Query,
};

/// Statements that are run at most, heaviest first.
const MAX_STATEMENTS: usize = 200;

/// Time after which no more statements are taken up.
const MAX_TIME: Duration = Duration::from_secs(5 * 60);

/// Slower than this with the indexes than without counts as slower: what Azure's autonomous tuning allows. Below a tenth of a millisecond, noise is larger.
const MAX_SLOWDOWN: f64 = 1.1;
const MIN_SLOWER_MS: f64 = 0.1;

/// Builds, runs, and tells; what could not be run is counted. The audit's findings stand either way.
///
/// # Errors
/// When the copy is refused or cannot be reached.
pub(super) async fn verify_on(
    conclusion: &mut Conclusion,
    audited: Option<&Audited>,
    url: &SecretUrl,
    context: &Context,
) -> Result<(), Error> {
    let spinner = context.spinner("building the proposed indexes on the copy");
    let info = connect::named(url, context)?;
    let Some(catalog) = &conclusion.snapshot.catalog else {
        return Ok(());
    };
    let identity = match audited {
        Some(server) => Some(server.server_identity().await?),
        None => None,
    };
    let path = &catalog.server.search_path;
    let mut copy = DatabaseCopy::open(&info, identity.as_ref(), path)
        .await
        .map_err(refused)?;
    // opened after the copy was found to be nobody's: sessions of ours are no others'
    let reader = Audited::connect(&info, AuditedOptions::default()).await?;
    let planner = LivePlanner::new(reader.clone(), &reader.catalog().await?);
    let defs = proposed(&conclusion.report.findings);
    let mut trial = Trial::default();
    spinner.say("running statements without the proposed indexes");
    let started = Instant::now();
    for query in concerned(&conclusion.snapshot.workload.queries, catalog, &defs) {
        if started.elapsed() > MAX_TIME {
            trial.leave("time was up");
            continue;
        }
        trial.before(query, catalog, &planner, &copy).await;
    }
    for (id, def) in &defs {
        spinner.say(&format!("building an index on {}", def.table));
        match copy.build(def).await {
            Ok(built) => trial.built.push((id.clone(), built)),
            Err(error) => trial.failed.push(format!("{}: {error}", def.name)),
        }
    }
    spinner.say("running statements with the proposed indexes");
    trial.after(&copy).await;
    copy.finish().await.ok();
    trial.tell(conclusion);
    Ok(())
}

fn refused(error: CopyError) -> Error {
    match error {
        CopyError::Refused(why) => Error::new(
            ErrorKind::Connection,
            format!("--verify-on: this database is not used: {why}"),
        )
        .hint("name a copy that nobody uses: a restored backup, or a clone"),
        CopyError::Db(error) => DbError::into(error),
    }
}

/// Each index to create, with the finding that proposes it.
fn proposed(findings: &[Finding]) -> Vec<(String, IndexDef)> {
    let mut seen = BTreeSet::new();
    let changes = findings.iter().flat_map(|finding| {
        let id = finding.id();
        let creates = finding.remedy.changes.iter();
        creates
            .filter(|change| change.action == ChangeAction::Create)
            .map(move |change| (id.clone(), change.def.clone()))
    });
    changes
        .filter(|(_, def)| seen.insert(def.clone()))
        .collect()
}

/// Statements that read a table which gets an index, heaviest first.
fn concerned<'q>(
    queries: &'q [Query],
    catalog: &Catalog,
    defs: &[(String, IndexDef)],
) -> Vec<&'q Query> {
    let tables: BTreeSet<&RelationName> = defs.iter().map(|(_, def)| &def.table).collect();
    let reads = |query: &&Query| {
        let scans = query.shape.iter().flat_map(|shape| &shape.scans);
        let mut names = scans.filter_map(|scan| {
            let name = &scan.relation;
            catalog.resolve(name.schema.as_deref(), &name.name)
        });
        query.kind == StatementKind::Select && names.any(|relation| tables.contains(&relation.name))
    };
    let mut found: Vec<&Query> = queries.iter().filter(reads).collect();
    found.sort_by(|a, b| {
        let heavier = b.total_ms().total_cmp(&a.total_ms());
        heavier.then(a.fingerprint.cmp(&b.fingerprint))
    });
    found.truncate(MAX_STATEMENTS);
    found
}

/// One statement, run without and with.
struct Tried {
    fingerprint: Fingerprint,
    sql: String,
    n_calls: u64,
    before: Measured,
    after: Option<Measured>,
}

impl Tried {
    fn is_slower(&self) -> bool {
        self.after.is_some_and(|after| {
            let least = self.before.median_ms * MAX_SLOWDOWN;
            after.median_ms > least && after.median_ms - self.before.median_ms > MIN_SLOWER_MS
        })
    }

    fn to_json(&self, predicted: Option<f64>) -> Value {
        let after = self.after.unwrap_or(self.before);
        json!({
            "fingerprint": self.fingerprint,
            "before_ms": self.before.median_ms,
            "after_ms": after.median_ms,
            "blocks_before": self.before.n_blocks,
            "blocks_after": after.n_blocks,
            "predicted_ms": predicted.map(|ratio| self.before.median_ms * ratio),
            "timed_out": self.before.timed_out || after.timed_out,
        })
    }
}

/// Everything that was tried.
#[derive(Default)]
struct Trial {
    tried: Vec<Tried>,
    built: Vec<(String, BuiltIndex)>,
    failed: Vec<String>,
    left: BTreeMap<String, u64>,
}

impl Trial {
    fn leave(&mut self, reason: &str) {
        *self.left.entry(reason.to_owned()).or_default() += 1;
    }

    async fn before(
        &mut self,
        query: &Query,
        catalog: &Catalog,
        planner: &LivePlanner,
        copy: &DatabaseCopy,
    ) {
        let Some(sql) = advise::sample_text(catalog, query) else {
            return self.leave("it can't be read");
        };
        if let Err(error) = planner.runnable(&sql).await {
            return self.leave(&error.to_string());
        }
        match copy.measure(&sql).await {
            Ok(before) => self.tried.push(Tried {
                fingerprint: query.fingerprint,
                sql,
                n_calls: query.n_calls(),
                before,
                after: None,
            }),
            Err(error) => self.leave(&error.to_string()),
        }
    }

    async fn after(&mut self, copy: &DatabaseCopy) {
        for tried in &mut self.tried {
            tried.after = copy.measure(&tried.sql).await.ok();
        }
    }

    /// Puts what was measured beside what was predicted.
    fn tell(&self, conclusion: &mut Conclusion) {
        let predicted = predictions(&conclusion.report.findings);
        for finding in &mut conclusion.report.findings {
            let id = finding.id();
            let built = self.built.iter().find(|(of, _)| *of == id);
            let Evidence::Index(evidence) = &mut finding.evidence else {
                continue;
            };
            let served: Vec<Value> = self
                .tried
                .iter()
                .filter(|tried| {
                    let mut queries = evidence.queries.iter();
                    queries.any(|query| query.fingerprint == tried.fingerprint)
                })
                .map(|tried| tried.to_json(predicted.get(&tried.fingerprint).copied()))
                .collect();
            if let Some((_, built)) = built {
                let bytes = Value::from(built.size_bytes);
                evidence.facts.insert("built_bytes".to_owned(), bytes);
            }
            if !served.is_empty() {
                evidence
                    .facts
                    .insert("measured".to_owned(), Value::Array(served));
            }
        }
        let notes = self.notes(&predicted, &conclusion.report.findings);
        conclusion.report.notes.extend(notes);
    }

    fn notes(&self, predicted: &BTreeMap<Fingerprint, f64>, findings: &[Finding]) -> Vec<String> {
        let bytes: u64 = self.built.iter().map(|(_, built)| built.size_bytes).sum();
        let took: Duration = self.built.iter().map(|(_, built)| built.took).sum();
        let estimated: u64 = findings
            .iter()
            .filter(|finding| self.built.iter().any(|(id, _)| *id == finding.id()))
            .filter_map(|finding| match &finding.evidence {
                Evidence::Index(evidence) => Some(evidence.size_bytes),
                _ => None,
            })
            .sum();
        let mut notes = vec![format!(
            "--verify-on: {} of {} proposed indexes built in {} and rolled back, {} (predicted {})",
            self.built.len(),
            self.built.len() + self.failed.len(),
            figures::seconds(took.as_secs_f64()),
            figures::bytes(bytes),
            figures::bytes(estimated),
        )];
        let mut time = [0.0; 3];
        for tried in &self.tried {
            let (weight, before) = (tried.n_calls as f64, tried.before.median_ms);
            let ratio = predicted.get(&tried.fingerprint).copied().unwrap_or(1.0);
            let after = tried.after.unwrap_or(tried.before).median_ms;
            for (sum, ms) in time.iter_mut().zip([before, before * ratio, after]) {
                *sum += weight * ms;
            }
        }
        if time[0] > 0.0 {
            notes.push(format!(
                "--verify-on: {} run without and with them: predicted {:.0} % less time, measured {:.0} %",
                figures::counted(self.tried.len() as u64, "statement"),
                100.0 * (1.0 - time[1] / time[0]),
                100.0 * (1.0 - time[2] / time[0]),
            ));
        }
        for slower in self.tried.iter().filter(|tried| tried.is_slower()) {
            let after = slower.after.unwrap_or(slower.before).median_ms;
            notes.push(format!(
                "--verify-on: {} is slower with them: {} before, {} after",
                slower.fingerprint,
                figures::milliseconds(slower.before.median_ms),
                figures::milliseconds(after),
            ));
        }
        if self.built.iter().any(|(_, built)| built.must_wait) {
            let why = "the planner leaves an index out while rows updated a moment ago may still be seen: run it again in a minute";
            notes.push(format!("--verify-on: {why}"));
        }
        let failed = self.failed.iter();
        notes.extend(failed.map(|text| format!("--verify-on: not built: {text}")));
        notes.extend(self.left.iter().map(|(reason, n)| {
            let statements = figures::counted(*n, "statement");
            format!("--verify-on: {statements} not run: {reason}")
        }));
        notes
    }
}

/// Share of its time that each statement is predicted to take with all indexes.
fn predictions(findings: &[Finding]) -> BTreeMap<Fingerprint, f64> {
    let mut found: BTreeMap<Fingerprint, f64> = BTreeMap::new();
    for finding in findings {
        let Evidence::Index(evidence) = &finding.evidence else {
            continue;
        };
        for query in evidence
            .queries
            .iter()
            .filter(|query| query.cost_before > 0.0)
        {
            let ratio = query.cost_after / query.cost_before;
            let known = found.entry(query.fingerprint).or_insert(ratio);
            *known = known.min(ratio);
        }
    }
    found
}
