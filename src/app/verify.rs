//! `--verify`: the reads that loop and their batches, executed on sampled keys of a database that the user names for it, and compared.

use std::collections::BTreeMap;

use super::{Context, audit::Conclusion};
use crate::{
    catalog::Catalog,
    db::{Audited, LivePlanner, Trial, TrialResult},
    finding::{Evidence, Finding, NPlusOneEvidence, Report, Verified},
    snapshot::Snapshot,
    sql::quote_identifier,
    workload::{Query, is_key},
};

/// Verifies the loops of an audit on a database; whatever can't be is told in notes.
pub(super) async fn verify(conclusion: &mut Conclusion, on: Option<Audited>, context: &Context) {
    let catalog = match &on {
        Some(server) => server.catalog().await.ok(),
        None => None,
    };
    let (Some(server), Some(catalog)) = (on, catalog) else {
        let note = "--verify: nothing was executed: no database was given for it";
        conclusion.report.notes.push(note.to_owned());
        return;
    };
    let _spinner = context.spinner("running loops against batches");
    let planner = LivePlanner::new(server, &catalog);
    each(
        &mut conclusion.report,
        &conclusion.snapshot,
        &catalog,
        &planner,
    )
    .await;
}

/// Verifies every loop of a report that can be; the rest is told in a note.
async fn each(report: &mut Report, snapshot: &Snapshot, catalog: &Catalog, planner: &LivePlanner) {
    let mut left: BTreeMap<String, u64> = BTreeMap::new();
    for finding in &mut report.findings {
        let child = finding
            .subject
            .fingerprint
            .and_then(|child| snapshot.workload.query(child));
        let (Evidence::NPlusOne(_), Some(child)) = (&finding.evidence, child) else {
            continue;
        };
        let result = match trial(finding, child, catalog) {
            Ok(trial) => Box::pin(planner.verify(&trial))
                .await
                .map_err(|error| error.to_string()),
            Err(reason) => Err(reason.to_owned()),
        };
        match (result, &mut finding.evidence) {
            (Ok(Some(result)), Evidence::NPlusOne(evidence)) => {
                if let Some(difference) = &result.difference {
                    evidence.no_batch = Some(format!("executed on sampled keys, {difference}"));
                    finding.remedy.sql = None;
                }
                evidence.verified = Some(verified(&result));
            }
            (Ok(None), _) => {
                *left
                    .entry("fewer than two keys to try".to_owned())
                    .or_default() += 1;
            }
            (Err(reason), _) => *left.entry(reason).or_default() += 1,
            (Ok(_), _) => {}
        }
    }
    let loops = |n: u64| {
        if n == 1 {
            "1 loop".to_owned()
        } else {
            format!("{n} loops")
        }
    };
    report.notes.extend(
        left.into_iter()
            .map(|(reason, n)| format!("--verify: {} not executed: {reason}", loops(n))),
    );
}

fn verified(result: &TrialResult) -> Verified {
    Verified {
        n_keys: result.n_keys as u64,
        same_rows: result.difference.is_none(),
        singles_ms: result.singles.as_secs_f64() * 1e3,
        batch_ms: result.batch.as_secs_f64() * 1e3,
    }
}

/// What to execute for a finding.
fn trial(finding: &Finding, child: &Query, catalog: &Catalog) -> Result<Trial, &'static str> {
    let Evidence::NPlusOne(evidence) = &finding.evidence else {
        return Err("no loop");
    };
    let batch_sql = finding.remedy.sql.clone().ok_or("it has no batch")?;
    if !matches!(
        evidence.statement_kind.as_str(),
        "select" | "count" | "exists"
    ) {
        return Err("it writes");
    }
    let (relation, keys) =
        keys(evidence, child, catalog).ok_or("its keys are not plain columns of one table")?;
    let facts = child
        .log
        .as_ref()
        .map(|log| log.placeholders.as_slice())
        .unwrap_or_default();
    let constants = |skip: &dyn Fn(u16) -> bool| -> BTreeMap<u16, String> {
        let numbered = (1_u16..).zip(facts).filter(|(n, _)| !skip(*n));
        numbered
            .filter_map(|(n, fact)| Some((n, fact.constant.clone()?)))
            .collect()
    };
    let is_key = |n: u16| keys.iter().any(|(key, _)| *key == n);
    let single = constants(&is_key);
    let parameters = (1_u16..)
        .zip(&evidence.parameters)
        .filter(|(_, parameter)| !parameter.is_array);
    let batch = parameters
        .filter_map(|(n, parameter)| Some((n, single.get(&parameter.placeholder)?.clone())))
        .collect();
    Ok(Trial {
        single,
        single_sql: child.text.clone(),
        batch,
        batch_sql,
        keys,
        relation,
        answer: evidence.answer.clone(),
    })
}

/// The relation that has all keys, and each array's placeholder and column, quoted.
fn keys(
    evidence: &NPlusOneEvidence,
    child: &Query,
    catalog: &Catalog,
) -> Option<(String, Vec<(u16, String)>)> {
    let shape = child.shape.as_deref()?;
    let arrays: Vec<_> = evidence
        .parameters
        .iter()
        .filter(|parameter| parameter.is_array)
        .collect();
    let holds = |placeholder: u16, scan: &crate::sql::shape::Scan| {
        scan.predicates
            .iter()
            .any(|p| is_key(p) == Some(placeholder))
    };
    let first = arrays.first()?;
    let scan = shape
        .scans
        .iter()
        .find(|scan| holds(first.placeholder, scan))?;
    let relation = catalog.resolve(scan.relation.schema.as_deref(), &scan.relation.name)?;
    let keys = arrays.iter().map(|parameter| {
        relation.column(&parameter.name)?;
        holds(parameter.placeholder, scan)
            .then(|| (parameter.placeholder, quote_identifier(&parameter.name)))
    });
    let name = &relation.name;
    Some((
        format!(
            "{}.{}",
            quote_identifier(&name.schema),
            quote_identifier(&name.name)
        ),
        keys.collect::<Option<_>>()?,
    ))
}
