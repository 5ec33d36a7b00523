//! The report as GitHub-flavoured Markdown, for a pull request or a ticket: short on top, proof folded away.

use super::{
    Output, View,
    escape::{markdown_block, markdown_code, markdown_text},
    words,
};
use crate::finding::{
    Evidence, Finding, IndexEvidence, NPlusOneEvidence, Report, TopQuery, figures,
};

pub(super) static OUTPUT: Output = Output {
    name: "markdown",
    summary: "for a pull request or a ticket: findings on top, proof folded away",
    extension: "md",
    render,
};

/// By this line a script finds the comment of an earlier run, to update it instead of adding another.
const MARKER: &str = "<!-- pgassay-report -->";

/// Characters of a statement in a table's cell; the folded proof has it in full.
const MAX_CELL: usize = 160;

fn render(report: &Report, view: &View) -> String {
    let mut page = format!("{MARKER}\n## pgassay\n\n");
    page.push_str(&format!("{}\n\n", markdown_text(&words::verdict(report))));
    for observation in &report.observations {
        page.push_str(&format!(
            "- {}\n",
            markdown_text(&words::observation(observation))
        ));
    }
    for note in &report.notes {
        page.push_str(&format!("- note: {}\n", markdown_text(note)));
    }
    page.push_str(&top_queries(
        &report.top_queries[..report.top_queries.len().min(view.top)],
    ));
    page.push_str(&findings(report, view));
    page.push_str(&not_judged(report));
    page
}

fn top_queries(queries: &[TopQuery]) -> String {
    if queries.is_empty() {
        return String::new();
    }
    let rows: Vec<String> = queries.iter().map(top_query).collect();
    format!(
        "\n### Where the time goes\n\n| share | calls | mean | p95 | rows/call | hit | statement |\n|---:|---:|---:|---:|---:|---:|---|\n{}",
        rows.concat()
    )
}

fn top_query(query: &TopQuery) -> String {
    let or_dash = |figure: Option<String>| figure.unwrap_or_else(|| "–".to_owned());
    format!(
        "| {} | {} | {} | {} | {} | {} | {} |\n",
        figures::share(query.share),
        words::calls(query),
        figures::milliseconds(query.mean_ms),
        or_dash(query.p95_ms.map(figures::milliseconds)),
        or_dash(query.rows_per_call.map(figures::number)),
        or_dash(query.hit_ratio.map(figures::share)),
        markdown_code(&excerpt(&query.query)),
    )
}

/// The first characters of a statement.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(MAX_CELL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn findings(report: &Report, view: &View) -> String {
    if report.findings.is_empty() {
        return String::new();
    }
    let shown = report.findings.iter().take(view.top);
    let shown: Vec<String> = shown.map(|one| finding(one, report)).collect();
    let rest = match report.findings.len().saturating_sub(view.top) {
        0 => String::new(),
        n => format!(
            "\n{} not shown.\n",
            figures::counted(n as u64, "more finding")
        ),
    };
    format!("\n### Findings\n{}{rest}", shown.concat())
}

fn finding(finding: &Finding, report: &Report) -> String {
    let standing = words::standing(report, finding).map_or_else(String::new, |standing| {
        format!(" ({})", markdown_text(&standing))
    });
    let mut text = format!(
        "\n#### {}{standing}: {} on {}\n\n{}\n",
        finding.severity,
        markdown_code(finding.rule),
        markdown_code(&words::subject(finding)),
        markdown_text(&finding.message),
    );
    if let Some(impact) = words::impact(finding) {
        text.push_str(&format!("\n{}\n", markdown_text(&impact)));
    }
    text.push_str(&remedy(finding));
    text.push_str(&format!(
        "\n<details><summary>Proof (confidence: {})</summary>\n\n{}\n{}\n</details>\n",
        finding.confidence,
        proof(finding),
        markdown_text(&finding.id()),
    ));
    text
}

fn remedy(finding: &Finding) -> String {
    let remedy = &finding.remedy;
    let mut text = String::new();
    if !remedy.hint.is_empty() {
        text.push_str(&format!("\n{}\n", markdown_text(&remedy.hint)));
    }
    match &remedy.sql {
        _ if remedy.withheld => text.push_str(&format!("\n{}\n", words::WITHHELD)),
        Some(sql) => {
            text.push_str(&format!("\n{}", markdown_block("sql", sql)));
            if let Evidence::NPlusOne(evidence) = &finding.evidence
                && let Some(parameters) = words::parameters(&evidence.parameters)
            {
                text.push_str(&format!("\n{}\n", markdown_text(&parameters)));
            }
        }
        None => {}
    }
    text
}

fn proof(finding: &Finding) -> String {
    let mut text = String::new();
    match &finding.evidence {
        Evidence::NPlusOne(evidence) => text.push_str(&n_plus_one(evidence)),
        Evidence::Index(evidence) => text.push_str(&index(evidence, words::others(finding))),
        Evidence::Facts(facts) => text.push_str(&map(facts)),
        Evidence::None => {}
    }
    let own = finding.subject.query.as_ref();
    let repeated = matches!(finding.evidence, Evidence::NPlusOne(_));
    if let Some(query) = own.filter(|_| repeated || !words::shows_query(finding)) {
        text.push_str(&format!("\n{}\n", markdown_block("sql", query)));
    }
    for location in &finding.locations {
        let place = format!("{}:{}", location.file, location.line);
        text.push_str(&format!("- seen in {}\n", markdown_code(&place)));
    }
    text
}

fn n_plus_one(evidence: &NPlusOneEvidence) -> String {
    let mut text = format!("- {}\n", words::repeats(evidence));
    for (name, value) in &evidence.tags {
        text.push_str(&format!(
            "- {}: {}\n",
            markdown_text(name),
            markdown_code(value)
        ));
    }
    if let Some(parent) = &evidence.parent {
        text.push_str(&format!(
            "- after:\n\n{}\nrepeats:\n",
            markdown_block("sql", &parent.query)
        ));
    }
    for (label, proof) in words::proof(evidence) {
        text.push_str(&format!("\n- {label}: {}\n", markdown_text(&proof)));
    }
    text
}

fn index(evidence: &IndexEvidence, others: &str) -> String {
    let mut text = String::new();
    for query in &evidence.queries {
        text.push_str(&format!(
            "- {}, {}: {}\n",
            figures::counted(query.n_calls, "call"),
            markdown_text(&words::cost(query)),
            markdown_code(&query.query)
        ));
    }
    if evidence.size_bytes > 0 {
        text.push_str(&format!(
            "- {} on disk\n",
            figures::bytes(evidence.size_bytes)
        ));
    }
    if !evidence.replaces.is_empty() {
        text.push_str(&format!(
            "- {others} {}\n",
            markdown_code(&evidence.replaces.join(", "))
        ));
    }
    text + &map(&evidence.facts)
}

fn map(facts: &serde_json::Map<String, serde_json::Value>) -> String {
    let lines: Vec<String> = facts
        .iter()
        .map(|(name, value)| {
            let name = markdown_text(&words::name(name));
            match words::value_lines(value).as_slice() {
                [line] => format!("- {name}: {}\n", markdown_code(line)),
                lines => {
                    let items = lines
                        .iter()
                        .map(|line| format!("  - {}\n", markdown_code(line)));
                    format!("- {name}:\n{}", items.collect::<String>())
                }
            }
        })
        .collect();
    lines.concat()
}

fn not_judged(report: &Report) -> String {
    let mut lines = vec![format!("- {}\n", words::left_alone(report))];
    for ignored in &report.ignored {
        let text = markdown_text(&words::ignored(ignored));
        lines.push(format!("- ignored, as asked: {text}\n"));
    }
    for (why, rules) in words::lacking_by_reason(report) {
        let rules: Vec<String> = rules.into_iter().map(markdown_code).collect();
        lines.push(format!("- {}: {}\n", rules.join(", "), markdown_text(&why)));
    }
    for skip in &report.summary.skipped {
        lines.push(format!(
            "- {} × {}\n",
            figures::count(skip.n),
            markdown_text(&skip.reason)
        ));
    }
    format!(
        "\n<details><summary>Left alone, and not judged</summary>\n\n{}\n</details>\n",
        lines.concat()
    )
}
