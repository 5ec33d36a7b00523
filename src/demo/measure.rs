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
