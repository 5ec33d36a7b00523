//! SARIF 2.1.0, as GitHub code scanning takes it: every result has a physical location, a stable fingerprint and a rule with help.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Output, View, escape, words};
use crate::finding::{Confidence, Finding, Location, LocationKind, Report, RuleOutcome, Severity};

pub(super) static OUTPUT: Output = Output {
    name: "sarif",
    summary: "SARIF 2.1.0 for GitHub code scanning and other viewers",
    extension: "sarif",
    render,
};

/// Results of one run that GitHub takes; more than that and the upload is refused
/// (GitHub's documentation, "SARIF support for code scanning", limits).
const MAX_RESULTS: usize = 25_000;

fn render(report: &Report, _view: &View) -> String {
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run(report)],
    });
    let text = serde_json::to_string_pretty(&document)
        .expect("keys are strings, and serde_json writes non-finite numbers as null");
    escape::json_text(&text) + "\n"
}

fn run(report: &Report) -> Value {
    let rules: Vec<&RuleOutcome> = report.rules.iter().collect();
    let results: Vec<Value> = report
        .findings
        .iter()
        .take(MAX_RESULTS)
        .map(|finding| result(finding, &rules, report))
        .collect();
    json!({
        "tool": { "driver": {
            "name": "pgassay",
            "version": env!("CARGO_PKG_VERSION"),
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": rules.iter().map(|rule| self::rule(rule)).collect::<Vec<_>>(),
        } },
        "columnKind": "unicodeCodePoints",
        "results": results,
    })
}

fn rule(outcome: &RuleOutcome) -> Value {
    let meta = &outcome.meta;
    json!({
        "id": meta.id,
        "name": pascal_case(meta.id),
        "shortDescription": { "text": meta.summary },
        "fullDescription": { "text": meta.summary },
        "help": { "text": meta.docs, "markdown": meta.docs },
        "defaultConfiguration": { "level": level(meta.severity) },
        "properties": { "tags": ["performance", "postgresql"], "problem.severity": problem(meta.severity) },
    })
}

/// `n-plus-one` → `NPlusOne`: SARIF asks for names in this form.
fn pascal_case(id: &str) -> String {
    id.split('-')
        .flat_map(|part| {
            let mut chars = part.chars();
            let first = chars.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(chars)
        })
        .collect()
}

fn result(finding: &Finding, rules: &[&RuleOutcome], report: &Report) -> Value {
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.severity),
        "message": { "text": message(finding) },
        "locations": locations(finding, &report.anchor),
        "partialFingerprints": { "pgassayFinding/v1": finding.id() },
        "properties": { "precision": precision(finding.confidence), "savedShare": finding.impact.saved_share },
    });
    if let Some(index) = rules.iter().position(|rule| rule.meta.id == finding.rule) {
        result["ruleIndex"] = index.into();
    }
    if let Some(standing) = &report.standing {
        result["baselineState"] = if standing.known.contains(&finding.id()) {
            "unchanged"
        } else if standing.worse.contains_key(&finding.id()) {
            "updated"
        } else {
            "new"
        }
        .into();
    }
    result
}

/// What, where, and what to do; one text, since viewers show nothing else in their lists.
fn message(finding: &Finding) -> String {
    let mut text = format!("{}: {}", words::subject(finding), finding.message);
    for part in words::remedy(finding) {
        text.push('\n');
        text.push_str(&part);
    }
    text
}

/// Places in the code, else the anchor: a result without a physical location makes GitHub refuse the whole file
/// (github/codeql-action#1738). Lines of logs are no places of the repository.
fn locations(finding: &Finding, anchor: &Location) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let code = finding
        .locations
        .iter()
        .filter(|location| location.kind != LocationKind::Log);
    let mut places: Vec<&Location> = code
        .filter(|location| seen.insert((location.file.as_str(), location.line)))
        .collect();
    if places.is_empty() {
        places.push(anchor);
    }
    let mut logical = None;
    if let Some(relation) = &finding.subject.relation {
        logical = Some(json!([{ "fullyQualifiedName": relation.to_string(), "kind": "table" }]));
    }
    places
        .into_iter()
        .map(|place| {
            let mut location = json!({ "physicalLocation": {
                "artifactLocation": { "uri": uri(&place.file) },
                "region": { "startLine": place.line.max(1) },
            } });
            if let Some(logical) = &logical {
                location["logicalLocations"] = logical.clone();
            }
            location
        })
        .collect()
}

/// A path as a relative URI reference: separators stay, everything else that has a meaning in a URI is escaped.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.trim_start_matches("./").bytes() {
        match byte {
            b'\\' => uri.push('/'),
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn problem(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "recommendation",
    }
}

fn precision(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::High => "very-high",
        Confidence::Medium => "high",
        Confidence::Low => "low",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_relative_references() {
        assert_eq!(uri("./app/models/a b.rb"), "app/models/a%20b.rb");
        assert_eq!(uri("app\\x#1?.py"), "app/x%231%3F.py");
        assert_eq!(pascal_case("n-plus-one"), "NPlusOne");
    }
}
