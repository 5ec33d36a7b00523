//! What the fixes did, as text: every number measured on the same requests before and after.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::stage::{Act, Applied, Rewritten};
use crate::{
    demo::{self, Effect, Figures},
    finding::{ChangeAction, Finding},
    report::escape,
};

/// Statements shown for one finding: the heaviest.
const MAX_STATEMENTS: usize = 2;

/// Characters of a statement that are shown.
const MAX_QUERY: usize = 100;

/// Everything measured.
pub(super) struct Measured<'a> {
    pub(super) before: &'a Act,
    pub(super) after: &'a Act,
    pub(super) applied: &'a [Applied],
    pub(super) rewrites: &'a [Rewritten],
}

impl Measured<'_> {
    /// As text, ending in a newline.
    pub(super) fn render(&self) -> String {
        let mut text = String::from("What the fixes did, measured\n\n");
        self.migrations(&mut text);
        self.drives(&mut text);
        for finding in &self.before.conclusion.report.findings {
            match self.rewritten(finding) {
                Some(rewritten) => looped(finding, rewritten, &mut text),
                None if is_drop(finding) => {}
                None => self.served(finding, &mut text),
            }
        }
        self.drops(&mut text);
        self.left(&mut text);
        text
    }

    fn migrations(&self, text: &mut String) {
        let total: Duration = self.applied.iter().map(|applied| applied.took).sum();
        let _ = writeln!(
            text,
            "applied {} migrations in {}:",
            self.applied.len(),
            seconds(total)
        );
        for applied in self.applied {
            let _ = writeln!(text, "  {} ({})", applied.file, seconds(applied.took));
        }
        text.push('\n');
    }

    fn drives(&self, text: &mut String) {
        let (before, after) = (&self.before.driven, &self.after.driven);
        let _ = writeln!(
            text,
            "the same {} requests: {} before, {} after (4 clients, with pauses); database time {} before, {} after",
            before.n_requests,
            seconds(before.wall),
            seconds(after.wall),
            seconds(database_time(self.before)),
            seconds(database_time(self.after)),
        );
        if before.cut_short || after.cut_short {
            text.push_str("a drive was cut short by its time limit: calls differ\n");
        }
        text.push('\n');
    }

    fn rewritten(&self, finding: &Finding) -> Option<&Rewritten> {
        let id = finding.id();
        self.rewrites
            .iter()
            .find(|rewritten| rewritten.finding == id)
    }

    fn effects(&self, finding: &Finding) -> Vec<Effect> {
        let before = &self.before.conclusion.snapshot.workload;
        let after = &self.after.conclusion.snapshot.workload;
        demo::effects(finding, before, after)
    }

    /// The statements that a new index serves.
    fn served(&self, finding: &Finding, text: &mut String) {
        let effects = self.effects(finding);
        if finding.remedy.changes.is_empty() || effects.is_empty() {
            return;
        }
        let _ = writeln!(text, "{}", title(finding));
        for effect in effects.iter().take(MAX_STATEMENTS) {
            let faster = ratio(effect.before.mean_ms, effect.after.mean_ms);
            statement(effect, &faster, text);
        }
        if effects.len() > MAX_STATEMENTS {
            let n = effects.len() - MAX_STATEMENTS;
            let _ = writeln!(text, "  … and {n} more");
        }
        text.push('\n');
    }

    /// Dropped indexes, table by table, and what writing to the table takes without them. What one index less saves drowns in the noise of
    /// times, so no ratio is given; blocks do not lie.
    fn drops(&self, text: &mut String) {
        let mut tables: BTreeMap<String, Vec<&Finding>> = BTreeMap::new();
        let findings = &self.before.conclusion.report.findings;
        for finding in findings.iter().filter(|finding| is_drop(finding)) {
            let table = finding.subject.relation.as_ref().map(ToString::to_string);
            tables
                .entry(table.unwrap_or_default())
                .or_default()
                .push(finding);
        }
        for findings in tables.values() {
            for finding in findings {
                let _ = writeln!(text, "{}", title(finding));
            }
            for effect in self.effects(findings[0]).iter().take(MAX_STATEMENTS) {
                statement(effect, "", text);
            }
            text.push('\n');
        }
    }

    /// What the second audit still finds.
    fn left(&self, text: &mut String) {
        let (before, after) = (
            &self.before.conclusion.report,
            &self.after.conclusion.report,
        );
        let left: Vec<&Finding> = before
            .findings
            .iter()
            .filter(|finding| {
                after
                    .findings
                    .iter()
                    .any(|other| other.id() == finding.id())
            })
            .collect();
        let gone = before.findings.len() - left.len();
        let _ = writeln!(
            text,
            "audited again: {gone} of {} findings are gone",
            before.findings.len()
        );
        for finding in left {
            let whose = if finding.remedy.changes.is_empty() {
                "for the application to change"
            } else {
                "still there"
            };
            let _ = writeln!(text, "  {}: {whose}", title(finding));
        }
        let new = after.findings.iter().filter(|finding| {
            before
                .findings
                .iter()
                .all(|other| other.id() != finding.id())
        });
        for finding in new {
            let _ = writeln!(text, "  new: {}", title(finding));
        }
    }
}

/// Does it only take indexes away?
fn is_drop(finding: &Finding) -> bool {
    let changes = &finding.remedy.changes;
    !changes.is_empty()
        && changes
            .iter()
            .all(|change| change.action == ChangeAction::Drop)
}

/// `missing-index · public.jobs (country, employment_type)`
fn title(finding: &Finding) -> String {
    let subject = &finding.subject;
    let relation = subject
        .relation
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut title = format!("{} · {relation}", finding.rule);
    if let Some(index) = &subject.index {
        let _ = write!(title, " · {index}");
    } else if !subject.columns.is_empty() {
        let _ = write!(title, " ({})", subject.columns.join(", "));
    }
    let freed: u64 = finding
        .remedy
        .changes
        .iter()
        .filter(|change| change.action == ChangeAction::Drop)
        .filter_map(|change| change.size_bytes)
        .sum();
    if freed > 0 {
        let _ = write!(title, " · frees {:.1} MB", freed as f64 / 1024.0 / 1024.0);
    }
    escape::terminal_line(&title)
}

fn looped(finding: &Finding, rewritten: &Rewritten, text: &mut String) {
    let _ = writeln!(text, "{}", title(finding));
    let effect = &rewritten.effect;
    let same = if effect.equal {
        "same rows"
    } else {
        "DIFFERENT ROWS"
    };
    let ratio = ratio(effect.looped.as_secs_f64(), effect.batched.as_secs_f64());
    let _ = writeln!(text, "  {}", rewritten.fault.what);
    let _ = writeln!(text, "  {:22} {:>11} {:>11}", "", "round trips", "total");
    let _ = writeln!(
        text,
        "  {:22} {:>11} {:>11}",
        "loop",
        effect.n_keys,
        milliseconds(effect.looped)
    );
    let _ = writeln!(
        text,
        "  {:22} {:>11} {:>11}   {ratio}, {same}",
        "one statement",
        1,
        milliseconds(effect.batched)
    );
    text.push('\n');
}

fn statement(effect: &Effect, remark: &str, text: &mut String) {
    let query: String = effect.query.chars().take(MAX_QUERY).collect();
    let cut = if query.len() < effect.query.len() {
        "…"
    } else {
        ""
    };
    let _ = writeln!(text, "  {}{cut}", escape::terminal_line(&query));
    let _ = writeln!(
        text,
        "  {:8} {:>8} {:>11} {:>11} {:>12}",
        "", "calls", "mean", "p95", "blocks/call"
    );
    let _ = writeln!(text, "{}", row("before", &effect.before));
    let after = row("after", &effect.after);
    let _ = writeln!(text, "{}", format!("{after}   {remark}").trim_end());
}

fn row(name: &str, figures: &Figures) -> String {
    let time = |ms: f64| format!("{ms:.3} ms");
    let p95 = figures.p95_ms.map_or_else(|| "–".to_owned(), time);
    let blocks = figures
        .blocks
        .map_or_else(|| "–".to_owned(), |blocks| format!("{blocks:.1}"));
    let mean = time(figures.mean_ms);
    format!(
        "  {name:8} {:>8} {mean:>11} {p95:>11} {blocks:>12}",
        figures.n_calls
    )
}

/// How many times less.
fn ratio(before: f64, after: f64) -> String {
    if before <= 0.0 || after <= 0.0 {
        return String::new();
    }
    let (ratio, word) = if before >= after {
        (before / after, "faster")
    } else {
        (after / before, "slower")
    };
    format!("{ratio:.1}× {word}")
}

fn database_time(act: &Act) -> Duration {
    Duration::from_secs_f64((act.conclusion.snapshot.workload.total_time_ms() / 1e3).max(0.0))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
