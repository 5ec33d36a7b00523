//! GitHub workflow commands: findings as annotations on the lines of a pull request, and one line that sums up.

use super::{Output, View, escape, words};
use crate::finding::{Finding, Location, LocationKind, Report, Severity, figures};

pub(super) static OUTPUT: Output = Output {
    name: "github",
    summary: "GitHub workflow commands: annotations in a pull request",
    extension: "txt",
    render,
};

/// Annotations of each level that GitHub keeps of one step (actions/toolkit#734); the rest is told in one line.
const MAX_PER_LEVEL: usize = 10;

fn render(report: &Report, _view: &View) -> String {
    let mut text = String::new();
    let mut hidden = 0;
    for severity in [Severity::Error, Severity::Warning, Severity::Info] {
        let of_level = report.findings.iter().filter(|f| f.severity == severity);
        for (at, finding) in of_level.enumerate() {
            if at < MAX_PER_LEVEL {
                text.push_str(&command(finding, severity));
            } else {
                hidden += 1;
            }
        }
    }
    text.push_str(&escape::terminal_line(&format!(
        "pgassay: {}",
        words::verdict(report)
    )));
    if hidden > 0 {
        let hidden = figures::counted(hidden, "finding");
        text.push_str(&format!(
            "; {hidden} beyond the 10 annotations a level that GitHub shows"
        ));
    }
    text.push('\n');
    text
}

fn command(finding: &Finding, severity: Severity) -> String {
    let level = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let title = format!("pgassay {}: {}", finding.rule, words::subject(finding));
    let mut message = finding.message.clone();
    for part in words::remedy(finding) {
        message.push('\n');
        message.push_str(&part);
    }
    format!(
        "::{level} title={}{}::{}\n",
        escape::workflow_property(&title),
        place(finding),
        escape::workflow_data(&message)
    )
}

/// `,file=…,line=…` of the first place in the code.
fn place(finding: &Finding) -> String {
    let in_code = |location: &&Location| location.kind != LocationKind::Log;
    match finding.locations.iter().find(in_code) {
        None => String::new(),
        Some(location) => format!(
            ",file={},line={}",
            escape::workflow_property(location.file.trim_start_matches("./")),
            location.line.max(1)
        ),
    }
}
