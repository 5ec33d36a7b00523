//! GitLab's code quality report: one entry a finding, with a fingerprint that outlives numbers and lines.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Output, View, escape, words};
use crate::finding::{Finding, Location, LocationKind, Report, Severity};

pub(super) static OUTPUT: Output = Output {
    name: "gitlab",
    summary: "GitLab code quality report",
    extension: "json",
    render,
};

fn render(report: &Report, _view: &View) -> String {
    let mut taken = BTreeSet::new();
    let entries: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| entry(finding, &report.anchor, &mut taken))
        .collect();
    let text = serde_json::to_string_pretty(&entries).expect("all keys are strings");
    escape::json_text(&text) + "\n"
}

/// GitLab shows no `check_name`, so the description starts with the rule; entries of one fingerprint collapse into one, so each has its own.
fn entry(finding: &Finding, anchor: &Location, taken: &mut BTreeSet<String>) -> Value {
    let in_code = |location: &&Location| location.kind != LocationKind::Log;
    let place = finding.locations.iter().find(in_code).unwrap_or(anchor);
    let mut fingerprint = finding.id();
    while !taken.insert(fingerprint.clone()) {
        fingerprint.push('+');
    }
    let description = format!(
        "{}: {}: {}",
        finding.rule,
        words::subject(finding),
        finding.message
    );
    json!({
        "description": description,
        "check_name": finding.rule,
        "fingerprint": fingerprint,
        "severity": match finding.severity {
            Severity::Error => "critical",
            Severity::Warning => "major",
            Severity::Info => "info",
        },
        "location": {
            "path": place.file.trim_start_matches("./"),
            "lines": { "begin": place.line.max(1) },
        },
    })
}
