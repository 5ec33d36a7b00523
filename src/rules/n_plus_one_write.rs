//! The rule `n-plus-one-write`: rows written one statement at a time.

use super::{
    Audit, Example, Expect, Rule,
    loops::{self, Loops},
};
use crate::finding::{Finding, Severity};

pub(super) static RULE: Rule = Rule {
    id: "n-plus-one-write",
    summary: "rows inserted, updated or deleted one statement at a time",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    inputs: loops::inputs,
    check,
};

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    loops::find(audit, Loops::Writes)
        .iter()
        .map(|found| loops::finding(RULE.id, audit, found))
        .collect()
}

const DOCS: &str = "";
const EXAMPLES: &[Example] = &[];
