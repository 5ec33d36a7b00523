//! The rule `n-plus-one`: one query per row of another query.

use super::{
    Audit, Example, Expect, Rule,
    loops::{self, Loops},
};
use crate::finding::{Finding, Severity};

pub(super) static RULE: Rule = Rule {
    id: "n-plus-one",
    summary: "one query for each row of another query's result",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    inputs: loops::inputs,
    check,
};

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    loops::find(audit, Loops::Reads)
        .iter()
        .map(|found| loops::finding(RULE.id, audit, found))
        .collect()
}

const DOCS: &str = "";
const EXAMPLES: &[Example] = &[];
