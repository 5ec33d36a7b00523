//! Two reports side by side: what is new, gone, worse and better.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{PlanChange, escape, json::ReportedFinding};
use crate::finding::{Severity, figures};

/// A finding that both reports have is worse or better when its longest burst, or its database time a day, changed by more than this factor.
/// Less is what two runs of the same tests differ by.
const CHANGE_FACTOR: f64 = 2.0;

/// What changed between two reports. Findings are told apart by their ids.
#[derive(Debug, Default, Serialize)]
pub struct Difference {
    /// Only in the later report.
    pub new: Vec<Changed>,
    /// In both, and worse in the later.
    pub worse: Vec<Changed>,
    /// In both, and better in the later.
    pub better: Vec<Changed>,
    /// Only in the earlier report.
    pub gone: Vec<Changed>,
    /// In both, about the same.
    pub n_unchanged: usize,
    /// Statements that are planned otherwise; only two snapshots tell that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<PlanChange>,
}

/// One finding that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Its id.
    pub id: String,
    /// Its rule.
    pub rule: String,
    /// Its severity; of one that is gone, as it was.
    pub severity: Severity,
    /// What it is about.
    pub subject: String,
    /// How it changed, or what it says.
    pub how: String,
}

impl Difference {
    /// Compares two reports.
    #[must_use]
    pub fn between(before: &[ReportedFinding], after: &[ReportedFinding]) -> Self {
        let mut old: BTreeMap<&str, &ReportedFinding> = before
            .iter()
            .map(|finding| (finding.id.as_str(), finding))
            .collect();
        let mut difference = Self::default();
        for now in after {
            let Some(then) = old.remove(now.id.as_str()) else {
                difference.new.push(Changed::of(now, now.message.clone()));
                continue;
            };
            match change(then, now) {
                Some((Direction::Worse, how)) => difference.worse.push(Changed::of(now, how)),
                Some((Direction::Better, how)) => difference.better.push(Changed::of(now, how)),
                None => difference.n_unchanged += 1,
            }
        }
        let gone = before
            .iter()
            .filter(|then| old.contains_key(then.id.as_str()));
        difference.gone = gone
            .map(|then| Changed::of(then, then.message.clone()))
            .collect();
        difference
    }

    /// The gravest severity of what is new or worse. A plan that got worse is as grave as a finding that costs real time.
    #[must_use]
    pub fn max_severity(&self) -> Option<Severity> {
        let added = self.new.iter().chain(&self.worse);
        let plans = self.plans.iter().filter(|plan| plan.is_worse());
        added
            .map(|changed| changed.severity)
            .chain(plans.map(|_| Severity::Warning))
            .max()
    }

    /// For people. Ends in a newline.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, changes) in [
            ("new", &self.new),
            ("worse", &self.worse),
            ("better", &self.better),
            ("gone", &self.gone),
        ] {
            for changed in changes {
                text.push_str(&escape::terminal_line(&format!(
                    "{name:<7} {:<8} {}  {}",
                    changed.severity.to_string(),
                    changed.rule,
                    changed.subject
                )));
                text.push_str(&format!(
                    "\n          {}\n",
                    escape::terminal_line(&changed.how)
                ));
            }
        }
        text.extend(self.plans.iter().map(PlanChange::text));
        text.push_str(&format!(
            "{} new, {} worse, {} better, {} gone, {} unchanged\n",
            self.new.len(),
            self.worse.len(),
            self.better.len(),
            self.gone.len(),
            self.n_unchanged
        ));
        text
    }

    /// For programs. Ends in a newline.
    #[must_use]
    pub fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("all keys are strings");
        escape::json_text(&text) + "\n"
    }
}

impl Changed {
    fn of(finding: &ReportedFinding, how: String) -> Self {
        Self {
            id: finding.id.clone(),
            rule: finding.rule.clone(),
            severity: finding.severity,
            subject: finding.subject.clone(),
            how,
        }
    }
}

enum Direction {
    Worse,
    Better,
}

/// How a finding changed: first by its severity, then by its longest burst, then by its time.
fn change(then: &ReportedFinding, now: &ReportedFinding) -> Option<(Direction, String)> {
    if then.severity != now.severity {
        let direction = if now.severity > then.severity {
            Direction::Worse
        } else {
            Direction::Better
        };
        return Some((
            direction,
            format!("{} became {}", then.severity, now.severity),
        ));
    }
    if let (Some(before), Some(after)) = (then.n_repeats_max, now.n_repeats_max) {
        let direction = direction(before as f64, after as f64)?;
        return Some((direction, format!("longest burst {before} became {after}")));
    }
    let direction = direction(then.ms_per_day, now.ms_per_day)?;
    let how = format!(
        "{} a day became {}",
        figures::roughly_milliseconds(then.ms_per_day),
        figures::roughly_milliseconds(now.ms_per_day)
    );
    Some((direction, how))
}

fn direction(before: f64, after: f64) -> Option<Direction> {
    if before <= 0.0 || after <= 0.0 {
        return None;
    }
    if after > before * CHANGE_FACTOR {
        Some(Direction::Worse)
    } else if before > after * CHANGE_FACTOR {
        Some(Direction::Better)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::RemedyKind;

    fn finding(
        id: &str,
        severity: Severity,
        n_repeats_max: Option<u64>,
        ms: f64,
    ) -> ReportedFinding {
        ReportedFinding {
            id: id.into(),
            rule: "n-plus-one".into(),
            severity,
            subject: id.into(),
            message: format!("about {id}"),
            ms_per_day: ms,
            n_repeats_max,
            withheld: false,
            kind: RemedyKind::Rewrite,
            sql: None,
            changes: Vec::new(),
            others: Vec::new(),
        }
    }

    #[test]
    fn findings_are_followed_by_their_ids() {
        let before = [
            finding("same", Severity::Warning, Some(10), 1.0),
            finding("longer", Severity::Warning, Some(10), 1.0),
            finding("cheaper", Severity::Warning, None, 1000.0),
            finding("graver", Severity::Info, None, 1.0),
            finding("gone", Severity::Error, None, 1.0),
        ];
        let after = [
            finding("same", Severity::Warning, Some(20), 9.0),
            finding("longer", Severity::Warning, Some(21), 1.0),
            finding("cheaper", Severity::Warning, None, 499.0),
            finding("graver", Severity::Warning, None, 0.1),
            finding("new", Severity::Info, None, 0.0),
        ];
        let difference = Difference::between(&before, &after);
        let ids = |changes: &[Changed]| -> Vec<String> {
            changes.iter().map(|changed| changed.id.clone()).collect()
        };
        assert_eq!(ids(&difference.new), ["new"]);
        assert_eq!(ids(&difference.worse), ["longer", "graver"]);
        assert_eq!(ids(&difference.better), ["cheaper"]);
        assert_eq!(ids(&difference.gone), ["gone"]);
        assert_eq!(difference.n_unchanged, 1);
        assert_eq!(difference.max_severity(), Some(Severity::Warning));
        assert!(difference.text().contains("longest burst 10 became 21"));
        assert!(
            difference
                .text()
                .ends_with("1 new, 2 worse, 1 better, 1 gone, 1 unchanged\n")
        );
    }
}
