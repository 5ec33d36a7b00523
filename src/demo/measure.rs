//! What the fixes did: the same statements in the workload before and after.

use crate::{
    finding::{ChangeAction, Evidence, Finding},
    workload::{Query, Workload},
};

/// A statement's numbers in one drive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Executions.
    pub n_calls: u64,
    /// Mean time, ms.
    pub mean_ms: f64,
    /// 95th percentile, ms, where a log told.
    pub p95_ms: Option<f64>,
    /// Shared blocks touched per call, where `pg_stat_statements` told.
    pub blocks: Option<f64>,
}

impl Figures {
    fn of(query: &Query) -> Self {
        let blocks = query
            .pgss
            .as_ref()
            .filter(|pgss| pgss.n_calls > 0)
            .map(|pgss| {
                (pgss.shared_blks_hit + pgss.shared_blks_read) as f64 / pgss.n_calls as f64
            });
        Self {
            n_calls: query.n_calls(),
            mean_ms: query.mean_ms(),
            p95_ms: query.log.as_ref().map(|log| log.p95_us as f64 / 1e3),
            blocks,
        }
    }
}

/// One statement that a finding is about, before and after.
#[derive(Debug, Clone)]
pub struct Effect {
    /// Normalised text.
    pub query: String,
    /// Before the fix.
    pub before: Figures,
    /// After it.
    pub after: Figures,
}

/// The statements that a finding about an index is about, heaviest first, where both drives ran them: those that a new index serves, those
/// that write to the table of one that goes.
#[must_use]
pub fn effects(finding: &Finding, before: &Workload, after: &Workload) -> Vec<Effect> {
    let mut effects: Vec<Effect> = before
        .queries
        .iter()
        .filter(|query| concerns(finding, query))
        .filter_map(|old| {
            let new = after.query(old.fingerprint)?;
            Some(Effect {
                query: old.text.clone(),
                before: Figures::of(old),
                after: Figures::of(new),
            })
        })
        .collect();
    let total = |effect: &Effect| effect.before.mean_ms * effect.before.n_calls as f64;
    effects.sort_by(|a, b| total(b).total_cmp(&total(a)));
    effects
}

fn concerns(finding: &Finding, query: &Query) -> bool {
    let served = match &finding.evidence {
        Evidence::Index(evidence) => evidence
            .queries
            .iter()
            .any(|served| served.fingerprint == query.fingerprint),
        _ => false,
    };
    served || finding.subject.fingerprint == Some(query.fingerprint) || maintains(finding, query)
}

/// Does the statement write to the table whose index the finding wants to drop?
fn maintains(finding: &Finding, query: &Query) -> bool {
    let drops = finding
        .remedy
        .changes
        .iter()
        .any(|change| change.action == ChangeAction::Drop);
    let Some(table) = finding.subject.relation.as_ref().filter(|_| drops) else {
        return false;
    };
    let mut words = query
        .text
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
    let verb = words.next().unwrap_or_default().to_ascii_lowercase();
    let target = match verb.as_str() {
        "insert" | "delete" => words.nth(1),
        "update" => words.next(),
        _ => None,
    };
    target.is_some_and(|target| target == table.name || target == table.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{IndexDef, RelationName},
        finding::{
            Confidence, Impact, IndexChange, IndexEvidence, QueryCost, Remedy, Severity, Subject,
        },
        workload::{LogStats, PgssStats},
    };

    /// A query whose fingerprint is the length of its text.
    fn query(n: u64, text: &str, mean_ms: f64) -> Query {
        let fingerprint = serde_json::Value::String(format!("{:016x}", text.len()));
        Query {
            fingerprint: serde_json::from_value(fingerprint).unwrap(),
            text: text.to_owned(),
            log: Some(LogStats {
                p95_us: 7_000,
                ..LogStats::default()
            }),
            pgss: Some(PgssStats {
                n_calls: n,
                total_ms: mean_ms * n as f64,
                shared_blks_hit: 3 * n,
                shared_blks_read: n,
                ..PgssStats::default()
            }),
            ..Query::default()
        }
    }

    fn workload(queries: &[(u64, &str, f64)]) -> Workload {
        let mut queries: Vec<Query> = queries
            .iter()
            .map(|(n, text, mean)| query(*n, text, *mean))
            .collect();
        queries.sort_by_key(|query| query.fingerprint);
        Workload {
            queries,
            ..Workload::default()
        }
    }

    fn finding(evidence: Evidence, change: Option<IndexChange>) -> Finding {
        Finding {
            rule: "any",
            severity: Severity::Warning,
            confidence: Confidence::High,
            subject: Subject {
                relation: Some(RelationName::new("public", "jobs")),
                ..Subject::default()
            },
            message: String::new(),
            impact: Impact::default(),
            evidence,
            locations: Vec::new(),
            remedy: Remedy {
                changes: change.into_iter().collect(),
                ..Remedy::default()
            },
        }
    }

    #[test]
    fn statements_that_an_index_serves_are_compared() {
        let (lookup, other) = (
            "SELECT * FROM jobs WHERE a = 1",
            "SELECT * FROM jobs WHERE bb = 1",
        );
        let before = workload(&[(10, lookup, 20.0), (10, other, 30.0)]);
        let after = workload(&[(10, lookup, 0.5), (10, other, 30.0)]);
        let served = QueryCost {
            fingerprint: before.queries[0].fingerprint,
            ..QueryCost::default()
        };
        let evidence = Evidence::Index(IndexEvidence {
            queries: vec![served],
            ..IndexEvidence::default()
        });
        let effects = effects(&finding(evidence, None), &before, &after);
        let [effect] = &effects[..] else {
            panic!("{effects:?}")
        };
        let figures = Figures {
            n_calls: 10,
            mean_ms: 20.0,
            p95_ms: Some(7.0),
            blocks: Some(4.0),
        };
        assert_eq!(effect.before, figures);
        assert_eq!(
            effect.after,
            Figures {
                mean_ms: 0.5,
                ..figures
            }
        );
    }

    #[test]
    fn a_drop_is_measured_by_what_writes_to_its_table() {
        let texts = [
            "INSERT INTO jobs (a) VALUES (1)",
            "UPDATE public.jobs SET a = 1",
            "INSERT INTO jobs_archive (a) VALUES (1)",
            "SELECT a FROM jobs",
        ];
        let both = workload(&texts.map(|text| (1, text, 1.0)));
        let drop = IndexChange::drop(IndexDef::default(), String::new());
        let effects = effects(&finding(Evidence::None, Some(drop)), &both, &both);
        let mut found: Vec<&str> = effects.iter().map(|effect| &effect.query[..11]).collect();
        found.sort_unstable();
        assert_eq!(found, ["INSERT INTO", "UPDATE publ"]);
    }
}
