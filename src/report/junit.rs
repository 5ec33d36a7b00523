//! JUnit XML: a suite a rule, so that any CI system lists what failed, what passed and what could not be judged.

use super::{Output, View, escape::xml, words};
use crate::finding::{Finding, Report, RuleOutcome, RuleStatus, Severity};

pub(super) static OUTPUT: Output = Output {
    name: "junit",
    summary: "JUnit XML: a suite a rule",
    extension: "xml",
    render,
};

fn render(report: &Report, _view: &View) -> String {
    let suites: Vec<Suite> = report
        .rules
        .iter()
        .map(|rule| Suite::of(rule, report))
        .collect();
    let sum = |count: fn(&Suite) -> usize| suites.iter().map(count).sum::<usize>();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    text.push_str(&format!(
        "<testsuites name=\"pgassay\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\">\n",
        sum(|suite| suite.n_tests),
        sum(|suite| suite.n_failures),
        sum(|suite| suite.n_skipped),
    ));
    for suite in &suites {
        text.push_str(&suite.text());
    }
    text.push_str("</testsuites>\n");
    text
}

/// The cases of one rule.
struct Suite {
    rule: &'static str,
    n_tests: usize,
    n_failures: usize,
    n_skipped: usize,
    cases: String,
}

impl Suite {
    fn of(outcome: &RuleOutcome, report: &Report) -> Self {
        let mut suite = Self {
            rule: outcome.meta.id,
            n_tests: 0,
            n_failures: 0,
            n_skipped: 0,
            cases: String::new(),
        };
        let rule = suite.rule;
        let own = report.findings.iter().filter(|f| f.rule == rule);
        for finding in own {
            suite.finding(finding);
        }
        if outcome.status == RuleStatus::LackedInput {
            suite.skipped(&words::lacking(outcome));
        } else if suite.n_tests == 0 {
            suite.case("no findings", "");
        }
        suite
    }

    fn case(&mut self, name: &str, content: &str) {
        self.n_tests += 1;
        let head = format!(
            "    <testcase classname=\"pgassay.{}\" name=\"{}\"",
            self.rule,
            xml(name)
        );
        self.cases.push_str(&if content.is_empty() {
            format!("{head}/>\n")
        } else {
            format!("{head}>\n{content}    </testcase>\n")
        });
    }

    /// Warnings and errors fail; information passes, and is told.
    fn finding(&mut self, finding: &Finding) {
        let details = details(finding);
        let content = if finding.severity >= Severity::Warning {
            self.n_failures += 1;
            format!(
                "      <failure type=\"{}\" message=\"{}\">{}</failure>\n",
                finding.severity,
                xml(&finding.message),
                xml(&details)
            )
        } else {
            format!("      <system-out>{}</system-out>\n", xml(&details))
        };
        self.case(&words::subject(finding), &content);
    }

    fn skipped(&mut self, why: &str) {
        self.n_skipped += 1;
        let content = format!("      <skipped message=\"{}\"/>\n", xml(why));
        self.case("not judged", &content);
    }

    fn text(&self) -> String {
        format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\">\n{}  </testsuite>\n",
            self.rule, self.n_tests, self.n_failures, self.n_skipped, self.cases
        )
    }
}

/// Everything that a person needs who sees only this case.
fn details(finding: &Finding) -> String {
    let mut lines = vec![finding.message.clone()];
    lines.extend(words::impact(finding));
    lines.extend(finding.subject.query.clone());
    lines.extend(words::remedy(finding));
    let places = finding.locations.iter();
    lines.extend(places.map(|place| format!("{}:{}", place.file, place.line)));
    lines.push(finding.id());
    lines.join("\n")
}
