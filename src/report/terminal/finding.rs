//! One finding for a person: the claim, what it costs, its proof, what to do.

use super::{
    super::{
        escape::{terminal_line, terminal_lines},
        words,
    },
    layout::{Page, Painted},
};
use crate::finding::{
    Evidence, Finding, IndexEvidence, Location, NPlusOneEvidence, Severity, TimelineEntry, figures,
};

/// Queries of an index finding that are shown; the JSON report has all.
const MAX_QUERIES: usize = 3;

/// Lines of one statement's text.
const MAX_QUERY_LINES: usize = 3;

/// Width of the labels in front of evidence.
const LABEL: usize = 13;

/// `standing` is how the finding stands against the baseline.
pub(super) fn section(number: usize, finding: &Finding, standing: Option<&str>, page: &mut Page) {
    claim(number, finding, standing, page);
    page.paragraph("   ", &terminal_line(&finding.message));
    if let Some(impact) = words::impact(finding) {
        labelled("impact", &impact, page);
    }
    match &finding.evidence {
        Evidence::NPlusOne(evidence) => n_plus_one(evidence, finding, page),
        Evidence::Index(evidence) => index(evidence, words::others(finding), page),
        Evidence::Facts(facts) => map(facts, page),
        Evidence::None => {}
    }
    if let Some(query) = finding
        .subject
        .query
        .as_ref()
        .filter(|_| !words::shows_query(finding))
    {
        statement("query", query, page);
    }
    for places in finding.locations.chunk_by(|a, b| a.kind == b.kind) {
        self::places(places, page);
    }
    remedy(finding, page);
}

/// The first of several places of one kind.
fn places(places: &[Location], page: &mut Page) {
    let Some(first) = places.first() else { return };
    let more = match places.len() - 1 {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let text = format!("{}:{}{more}", terminal_line(&first.file), first.line);
    labelled(words::place(first.kind), &text, page);
}

/// The first line: number, severity, rule, subject.
fn claim(number: usize, finding: &Finding, standing: Option<&str>, page: &mut Page) {
    let paint = page.paint;
    let start = Painted::default()
        .with(&format!("{number:>2} "), str::to_owned)
        .with(&finding.severity.to_string(), |text| {
            match finding.severity {
                Severity::Error => paint.red(text),
                Severity::Warning => paint.yellow(text),
                Severity::Info => paint.blue(text),
            }
        })
        .with("  ", str::to_owned)
        .with(finding.rule, |text| paint.bold(text))
        .with(" ", str::to_owned);
    let subject = terminal_line(&words::subject(finding));
    let standing = standing.map_or_else(String::new, |text| format!(", {}", terminal_line(text)));
    page.start(
        &start,
        &format!("{subject}  ({} confidence{standing})", finding.confidence),
    );
}

fn labelled(label: &str, text: &str, page: &mut Page) {
    page.paragraph(&format!("   {label:<LABEL$} "), text);
}

fn statement(label: &str, text: &str, page: &mut Page) {
    page.excerpt(
        &format!("   {label:<LABEL$} "),
        &terminal_line(text),
        MAX_QUERY_LINES,
    );
}

fn n_plus_one(evidence: &NPlusOneEvidence, finding: &Finding, page: &mut Page) {
    labelled("seen", &words::repeats(evidence), page);
    for (name, value) in &evidence.tags {
        labelled(&terminal_line(name), &terminal_line(value), page);
    }
    if let Some(application) = evidence.applications.first() {
        labelled("application", &terminal_line(application), page);
    }
    if let Some(parent) = &evidence.parent {
        statement("after", &parent.query, page);
    }
    if let Some(query) = &finding.subject.query {
        statement("repeats", query, page);
    }
    timeline(&evidence.timeline, page);
    for (label, text) in words::proof(evidence) {
        labelled(label, &terminal_line(&text), page);
    }
}

fn timeline(entries: &[TimelineEntry], page: &mut Page) {
    if entries.is_empty() {
        return;
    }
    labelled("one burst", "offset · duration · statement", page);
    let mut told_ms = None;
    for entry in entries {
        let duration = entry
            .duration_ms
            .map(figures::milliseconds)
            .unwrap_or_default();
        // what is left out has no offset of its own
        let offset = if told_ms.replace(entry.at_ms) == Some(entry.at_ms) && duration.is_empty() {
            String::new()
        } else {
            format!("+{}", figures::milliseconds(entry.at_ms))
        };
        let label = format!("   {offset:>LABEL$} {duration:>9}  ");
        page.excerpt(&label, &terminal_line(&entry.text), 1);
    }
}

fn index(evidence: &IndexEvidence, others: &str, page: &mut Page) {
    for query in evidence.queries.iter().take(MAX_QUERIES) {
        let mean = query
            .mean_ms
            .map(|ms| format!(", mean {}", figures::milliseconds(ms)));
        labelled(
            "serves",
            &format!(
                "{}{}",
                figures::counted(query.n_calls, "call"),
                mean.unwrap_or_default()
            ),
            page,
        );
        statement("", &query.query, page);
        labelled("", &terminal_line(&words::cost(query)), page);
    }
    if evidence.queries.len() > MAX_QUERIES {
        let more = figures::counted(
            (evidence.queries.len() - MAX_QUERIES) as u64,
            "more statement",
        );
        labelled("", &more, page);
    }
    let mut price = Vec::new();
    if evidence.size_bytes > 0 {
        price.push(format!("{} on disk", figures::bytes(evidence.size_bytes)));
    }
    if evidence.write_cost > 0.0 {
        price.push(format!(
            "{} planner units for writes in the window",
            figures::number(evidence.write_cost)
        ));
    }
    if !price.is_empty() {
        labelled("price", &price.join(" · "), page);
    }
    if !evidence.replaces.is_empty() {
        labelled(others, &terminal_line(&evidence.replaces.join(", ")), page);
    }
    map(&evidence.facts, page);
}

fn map(facts: &serde_json::Map<String, serde_json::Value>, page: &mut Page) {
    for (name, value) in facts {
        let mut label = terminal_line(&words::name(name));
        for line in words::value_lines(value) {
            page.excerpt(
                &format!("   {label:<LABEL$} "),
                &terminal_line(&line),
                MAX_QUERY_LINES,
            );
            label.clear();
        }
    }
}

fn remedy(finding: &Finding, page: &mut Page) {
    let remedy = &finding.remedy;
    if !remedy.hint.is_empty() {
        labelled("do", &terminal_line(&remedy.hint), page);
    }
    if remedy.withheld {
        labelled("", words::WITHHELD, page);
    } else if let Some(sql) = &remedy.sql {
        for line in terminal_lines(sql) {
            let line = page.paint.green(&line);
            page.line(&format!("   {:LABEL$} {line}", ""));
        }
        if let Evidence::NPlusOne(evidence) = &finding.evidence
            && let Some(parameters) = words::parameters(&evidence.parameters)
        {
            labelled("with", &terminal_line(&parameters), page);
        }
    }
}
