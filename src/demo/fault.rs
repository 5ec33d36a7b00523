//! What a finding must say to be the one that a seeded fault calls for.

use super::Calls;
use crate::finding::Finding;

/// Something wrong with a reference workload, and the finding that it must produce.
#[derive(Debug)]
pub struct Fault {
    /// The rule that must report it.
    pub rule: &'static str,
    /// The table, without schema; for a loop the one that is read or written again and again.
    pub relation: &'static str,
    /// Columns that the finding must name first, in any order; for a loop the repeated key.
    pub columns: &'static [&'static str],
    /// The existing index, without schema, that it is about.
    pub index: Option<&'static str>,
    /// What is wrong, in a few words.
    pub what: &'static str,
    /// For a loop: calls of it, so that it can be measured against the batch of its finding.
    pub calls: Option<Calls>,
}

impl Fault {
    /// Rows that are read one by one.
    pub(super) const fn loop_over(
        relation: &'static str,
        columns: &'static [&'static str],
        what: &'static str,
    ) -> Self {
        Self::index("n-plus-one", relation, columns, what)
    }

    /// An index that lacks.
    pub(super) const fn index(
        rule: &'static str,
        relation: &'static str,
        columns: &'static [&'static str],
        what: &'static str,
    ) -> Self {
        Self {
            rule,
            relation,
            columns,
            index: None,
            what,
            calls: None,
        }
    }

    /// An index that should go.
    pub(super) const fn existing(
        rule: &'static str,
        relation: &'static str,
        index: &'static str,
        what: &'static str,
    ) -> Self {
        Self {
            index: Some(index),
            ..Self::index(rule, relation, &[], what)
        }
    }

    /// Is that the finding?
    #[must_use]
    pub fn is_reported_by(&self, finding: &Finding) -> bool {
        let subject = &finding.subject;
        let relation = subject.relation.as_ref().map(|name| name.name.as_str());
        let index = subject
            .index
            .as_deref()
            .map(|index| index.rsplit('.').next().unwrap_or(index));
        let named_first = &subject.columns[..self.columns.len().min(subject.columns.len())];
        finding.rule == self.rule
            && relation == Some(self.relation)
            && self.columns.len() == named_first.len()
            && self
                .columns
                .iter()
                .all(|column| named_first.iter().any(|named| named == column))
            && (self.index.is_none() || index == self.index)
    }
}

/// The finding that a fault calls for.
#[must_use]
pub fn matching<'a>(fault: &Fault, findings: &'a [Finding]) -> Option<&'a Finding> {
    findings
        .iter()
        .find(|finding| fault.is_reported_by(finding))
}

/// A statement that no finding may be about.
#[derive(Debug)]
pub struct Healthy {
    /// As the application sends it.
    pub sql: &'static str,
    /// Why it is healthy.
    pub why: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::RelationName,
        finding::{Confidence, Evidence, Impact, Remedy, Severity, Subject},
    };

    fn finding(rule: &'static str, columns: &[&str], index: Option<&str>) -> Finding {
        Finding {
            rule,
            severity: Severity::Warning,
            confidence: Confidence::High,
            subject: Subject {
                relation: Some(RelationName::new("public", "jobs")),
                columns: columns.iter().map(|&column| column.to_owned()).collect(),
                index: index.map(str::to_owned),
                ..Subject::default()
            },
            message: String::new(),
            impact: Impact::default(),
            evidence: Evidence::None,
            locations: Vec::new(),
            remedy: Remedy::default(),
        }
    }

    #[test]
    fn leading_columns_count_in_any_order() {
        let fault = Fault::index("missing-index", "jobs", &["a", "b"], "");
        let reported =
            |columns: &[&str]| fault.is_reported_by(&finding("missing-index", columns, None));
        assert!(reported(&["a", "b"]) && reported(&["b", "a", "c"]));
        assert!(!reported(&["a"]) && !reported(&["a", "c", "b"]));
        assert!(!fault.is_reported_by(&finding("missing-partial-index", &["a", "b"], None)));
    }

    #[test]
    fn an_index_is_known_by_its_name() {
        let fault = Fault::existing("unused-index", "jobs", "jobs_title_idx", "");
        let reported = |index| fault.is_reported_by(&finding("unused-index", &["title"], index));
        assert!(reported(Some("public.jobs_title_idx")) && reported(Some("jobs_title_idx")));
        assert!(!reported(Some("public.other_idx")) && !reported(None));
    }
}
