//! The baseline: findings that were there before and are known. Only new or worse ones fail a check, and one that is gone has to leave
//! the file, so that it can only shrink.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Evidence, Finding, Report, RuleStatus, Severity};

/// Raised when the file's meaning changes.
const SCHEMA_VERSION: u32 = 1;

/// A known loop is worse when its longest burst is more than so many times the recorded one. Page sizes and data vary from run to run;
/// our own choice: a doubled loop is a change that its author should see.
const WORSE_FACTOR: u64 = 2;

/// Known findings by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    schema_version: u32,
    /// By finding id.
    findings: BTreeMap<String, KnownFinding>,
}

/// What is recorded of a known finding: nothing that changes from run to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFinding {
    /// Rule id.
    pub rule: String,
    /// What it is about, for the reader of the file.
    pub subject: String,
    /// Severity when it was recorded.
    pub severity: Severity,
    /// Longest burst when it was recorded; loops only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_repeats_max: Option<u64>,
}

/// Why a file is no baseline.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// It is no JSON of this form.
    #[error("not a baseline of pgassay: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It was written by another version of pgassay.
    #[error("the baseline has schema version {0}, this pgassay reads version {SCHEMA_VERSION}")]
    Version(u64),
}

/// A report's findings against a baseline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Ids of findings that are in the baseline and no worse than there.
    pub known: BTreeSet<String>,
    /// Ids of findings that are in the baseline and have become worse, with how.
    pub worse: BTreeMap<String, String>,
    /// In the baseline, and not found though their rule could judge: to be taken out of it.
    pub fixed: Vec<(String, KnownFinding)>,
}

impl Standing {
    /// Findings that are neither known nor worse.
    #[must_use]
    pub fn n_new(&self, findings: &[Finding]) -> usize {
        findings.len() - self.known.len() - self.worse.len()
    }
}

impl Baseline {
    /// All findings of a report.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Self {
        let known = findings
            .iter()
            .map(|finding| (finding.id(), KnownFinding::of(finding)));
        Self {
            schema_version: SCHEMA_VERSION,
            findings: known.collect(),
        }
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// When it is none, or of another version.
    pub fn parse(content: &[u8]) -> Result<Self, BaselineError> {
        let document: serde_json::Value = serde_json::from_slice(content)?;
        let version = document["schema_version"].as_u64();
        match version.filter(|&version| version != u64::from(SCHEMA_VERSION)) {
            Some(other) => Err(BaselineError::Version(other)),
            None => Ok(serde_json::from_value(document)?),
        }
    }

    /// The file's content: sorted, one key a line, so that it merges well.
    #[must_use]
    pub fn content(&self) -> String {
        serde_json::to_string_pretty(self).expect("all keys are strings") + "\n"
    }

    /// Findings in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.findings.len()
    }

    /// No finding in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// How a report stands against it. What a rule could not judge is not called fixed.
    #[must_use]
    pub fn standing(&self, report: &Report) -> Standing {
        let mut standing = Standing::default();
        let mut found = BTreeSet::new();
        for finding in &report.findings {
            let id = finding.id();
            if let Some(known) = self.findings.get(&id) {
                match known.worsened(finding) {
                    None => drop(standing.known.insert(id.clone())),
                    Some(how) => drop(standing.worse.insert(id.clone(), how)),
                }
            }
            found.insert(id);
        }
        let judged = |rule: &str| {
            let outcome = report.rules.iter().find(|outcome| outcome.meta.id == rule);
            outcome.is_some_and(|outcome| outcome.status != RuleStatus::LackedInput)
        };
        let gone = self
            .findings
            .iter()
            .filter(|(id, known)| !found.contains(*id) && judged(&known.rule));
        standing.fixed = gone
            .map(|(id, known)| (id.clone(), known.clone()))
            .collect();
        standing
    }
}

impl KnownFinding {
    fn of(finding: &Finding) -> Self {
        Self {
            rule: finding.rule.to_owned(),
            subject: finding.subject.in_words(),
            severity: finding.severity,
            n_repeats_max: n_repeats_max(finding),
        }
    }

    fn worsened(&self, now: &Finding) -> Option<String> {
        if now.severity > self.severity {
            return Some(format!("{} became {}", self.severity, now.severity));
        }
        let (before, now) = (self.n_repeats_max?, n_repeats_max(now)?);
        (now > before.saturating_mul(WORSE_FACTOR))
            .then(|| format!("longest burst {before} became {now}"))
    }
}

fn n_repeats_max(finding: &Finding) -> Option<u64> {
    match &finding.evidence {
        Evidence::NPlusOne(evidence) => Some(evidence.n_repeats_max),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    fn finding(relation: &str, severity: Severity, n_repeats_max: u64) -> Finding {
        Finding {
            rule: "n-plus-one",
            severity,
            confidence: Confidence::High,
            subject: Subject {
                relation: Some(crate::catalog::RelationName::new("public", relation)),
                ..Subject::default()
            },
            message: String::new(),
            impact: Impact::default(),
            evidence: Evidence::NPlusOne(Box::new(NPlusOneEvidence {
                n_repeats_max,
                ..NPlusOneEvidence::default()
            })),
            locations: Vec::new(),
            remedy: Remedy::default(),
        }
    }

    fn report(status: RuleStatus, findings: Vec<Finding>) -> Report {
        let meta = RuleMeta {
            id: "n-plus-one",
            summary: "",
            severity: Severity::Warning,
            docs: "",
        };
        Report {
            rules: vec![RuleOutcome {
                meta,
                status,
                lacked: Vec::new(),
            }],
            findings,
            ..Report::default()
        }
    }

    #[test]
    fn new_known_worse_and_fixed_are_told_apart() {
        let before = [
            finding("same", Severity::Warning, 10),
            finding("longer", Severity::Warning, 10),
            finding("graver", Severity::Info, 10),
            finding("gone", Severity::Warning, 10),
        ];
        let baseline = Baseline::parse(Baseline::of(&before).content().as_bytes()).unwrap();
        let now = report(
            RuleStatus::Ran,
            vec![
                finding("same", Severity::Warning, 20),
                finding("longer", Severity::Warning, 21),
                finding("graver", Severity::Warning, 1),
                finding("new", Severity::Warning, 5),
            ],
        );
        let standing = baseline.standing(&now);
        assert_eq!(standing.known, BTreeSet::from([now.findings[0].id()]));
        assert_eq!(
            standing.worse[&now.findings[1].id()],
            "longest burst 10 became 21"
        );
        assert_eq!(standing.worse[&now.findings[2].id()], "info became warning");
        assert_eq!(standing.n_new(&now.findings), 1);
        let fixed: Vec<&str> = standing
            .fixed
            .iter()
            .map(|(_, f)| f.subject.as_str())
            .collect();
        assert_eq!(fixed, ["public.gone"]);
    }

    #[test]
    fn what_could_not_be_judged_is_not_fixed() {
        let baseline = Baseline::of(&[finding("gone", Severity::Warning, 10)]);
        let blind = report(RuleStatus::LackedInput, Vec::new());
        assert_eq!(baseline.standing(&blind), Standing::default());
    }

    #[test]
    fn other_files_are_refused_with_the_reason() {
        for (content, message) in [
            (
                "{\"schema_version\": 9}",
                "the baseline has schema version 9, this pgassay reads version 1",
            ),
            ("[]", "not a baseline of pgassay: "),
            (
                "{\"schema_version\": 1, \"findings\": {}, \"x\": 1}",
                "not a baseline of pgassay: unknown field `x`",
            ),
            ("", "not a baseline of pgassay: EOF"),
        ] {
            let error = Baseline::parse(content.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
