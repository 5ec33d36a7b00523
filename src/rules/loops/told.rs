//! A finding of the rules beside the loops: how units of work spend their time.

use super::subject;
use crate::{
    catalog::RelationName,
    finding::{
        Confidence, Evidence, Finding, Impact, ImpactBasis, ImpactSource, Location, Remedy,
        RemedyKind, Subject,
    },
    rules::{Audit, ROUND_TRIP_MS, Rule},
    workload::{InputFacts, InputKind, Query},
};

/// What such a rule has to tell.
pub(in crate::rules) struct Told<'a> {
    /// The statement that it is about.
    pub(in crate::rules) query: Option<&'a Query>,
    /// Its relation.
    pub(in crate::rules) relation: Option<RelationName>,
    /// Its key.
    pub(in crate::rules) columns: Vec<String>,
    /// How sure.
    pub(in crate::rules) confidence: Confidence,
    /// One sentence.
    pub(in crate::rules) message: String,
    /// What to do.
    pub(in crate::rules) hint: String,
    /// Executions concerned.
    pub(in crate::rules) n_calls: u64,
    /// Their time in the database, microseconds.
    pub(in crate::rules) total_us: u64,
    /// Round trips that could be spared.
    pub(in crate::rules) saved_trips: u64,
    /// File and line of the first.
    pub(in crate::rules) origin: Option<(u32, u64)>,
    /// The evidence.
    pub(in crate::rules) facts: Vec<(&'static str, serde_json::Value)>,
}

impl Told<'_> {
    /// The finding.
    pub(in crate::rules) fn finding(self, rule: &Rule, audit: &Audit<'_>) -> Finding {
        let workload = &audit.snapshot.workload;
        let location = self.origin.and_then(|(file, line)| {
            let input = workload.inputs.get(file as usize)?;
            Some(Location {
                file: input.name.clone(),
                line,
                ..Location::default()
            })
        });
        let log = workload.input(InputKind::Log);
        Finding {
            rule: rule.id,
            severity: rule.severity,
            confidence: self.confidence,
            message: self.message,
            impact: Impact {
                n_calls: self.n_calls,
                total_time_ms: self.total_us as f64 / 1e3,
                saved_interval_ms: None,
                saved_time_ms: self.saved_trips as f64
                    * audit.settings.round_trip_ms.unwrap_or(ROUND_TRIP_MS),
                saved_share: 0.0,
                basis: ImpactBasis::None,
                source: match log {
                    Some(_) => ImpactSource::Log,
                    None => ImpactSource::PgStatStatements,
                },
                window_s: log.map_or(0.0, InputFacts::window_s),
            },
            evidence: Evidence::Facts(
                self.facts
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
            ),
            locations: location.into_iter().collect(),
            remedy: Remedy {
                kind: RemedyKind::Other,
                hint: self.hint,
                ..Remedy::default()
            },
            subject: Subject {
                relation: self.relation,
                columns: self.columns,
                index: None,
                fingerprint: self.query.map(|query| query.fingerprint),
                query: self.query.map(|query| query.text.clone()),
                budget: None,
            },
        }
    }
}

/// The relation and the key that a statement is about.
pub(in crate::rules) fn subject_of(
    audit: &Audit<'_>,
    query: &Query,
) -> (Option<RelationName>, Vec<String>) {
    let key = query
        .shape
        .as_deref()
        .map(|shape| subject::child(shape, u64::MAX))
        .unwrap_or_default();
    let relation = key
        .relation
        .map(|relation| subject::full_name(audit, relation));
    (relation, key.columns)
}
