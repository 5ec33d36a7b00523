//! The N+1 rules on real logs of real clients (`fixtures/n-plus-one/`): every planted loop is found, everything else is left alone.

use std::{collections::BTreeMap, fs, path::PathBuf};

use pgassay::{
    advise::Advice,
    finding::{Confidence, Evidence, Finding, Severity},
    rules::{Audit, RULES, Settings},
    snapshot::Snapshot,
};
use serde::Deserialize;

use crate::support::logs;

/// A loop that a log holds.
#[derive(Debug, Deserialize)]
struct Planted {
    rule: String,
    relation: String,
    columns: Vec<String>,
    kind: String,
    n: u64,
}

impl Planted {
    /// Is that finding about it? The number of repeats may be off by a tenth.
    fn is(&self, finding: &Finding) -> bool {
        let Evidence::NPlusOne(evidence) = &finding.evidence else {
            return false;
        };
        self.is_about(finding) && evidence.n_repeats.abs_diff(self.n) * 10 <= self.n
    }

    /// The same, whatever the number.
    fn is_about(&self, finding: &Finding) -> bool {
        let Evidence::NPlusOne(evidence) = &finding.evidence else {
            return false;
        };
        let subject = &finding.subject;
        self.rule == finding.rule
            && subject
                .relation
                .as_ref()
                .is_some_and(|r| r.name == self.relation)
            && subject.columns == self.columns
            && evidence.statement_kind == self.kind
    }
}

/// What came of one log.
#[derive(Debug, Default)]
struct Score {
    found: u64,
    missed: Vec<String>,
    wrong: Vec<String>,
    /// Findings of high confidence, and those of them that are right.
    high: (u64, u64),
    /// The same of medium confidence.
    medium: (u64, u64),
    /// The same of low confidence, which count for nothing else.
    low: (u64, u64),
}

impl Score {
    fn add(&mut self, other: &Self) {
        self.found += other.found;
        self.missed.extend(other.missed.iter().cloned());
        self.wrong.extend(other.wrong.iter().cloned());
        for (mine, theirs) in [
            (&mut self.high, other.high),
            (&mut self.medium, other.medium),
            (&mut self.low, other.low),
        ] {
            *mine = (mine.0 + theirs.0, mine.1 + theirs.1);
        }
    }

    fn of_confidence(&mut self, confidence: Confidence) -> &mut (u64, u64) {
        match confidence {
            Confidence::High => &mut self.high,
            Confidence::Medium => &mut self.medium,
            Confidence::Low => &mut self.low,
        }
    }
}

fn corpus(part: &str) -> BTreeMap<String, Vec<Planted>> {
    let truth = folder(part).join("truth.json");
    serde_json::from_str(&fs::read_to_string(truth).unwrap()).unwrap()
}

fn folder(part: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/n-plus-one")
        .join(part)
}

/// The findings of both rules.
fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let (advice, settings) = (Advice::default(), Settings::default());
    let audit = Audit {
        snapshot,
        advice: &advice,
        settings: &settings,
    };
    RULES
        .iter()
        .filter(|rule| rule.id.starts_with("n-plus-one"))
        .flat_map(|rule| (rule.check)(&audit))
        .collect()
}

/// Is it above info, and of medium or high confidence?
fn counts(finding: &Finding) -> bool {
    finding.severity > Severity::Info && finding.confidence >= Confidence::Medium
}

fn score(part: &str, log: &str, planted: &[Planted]) -> Score {
    let snapshot = logs::snapshot(&folder(part).join(log));
    let mut left: Vec<&Planted> = planted.iter().collect();
    let mut score = Score::default();
    for finding in findings(&snapshot) {
        let hit = left.iter().position(|planted| planted.is(&finding));
        let calibrated = score.of_confidence(finding.confidence);
        calibrated.0 += 1;
        calibrated.1 += u64::from(hit.is_some());
        if !counts(&finding) {
            continue;
        }
        match hit {
            Some(at) => {
                left.remove(at);
                score.found += 1;
            }
            None => score.wrong.push(format!("{log}: {}", finding.message)),
        }
    }
    score.missed = left
        .iter()
        .map(|planted| format!("{log}: {planted:?}"))
        .collect();
    score
}

#[test]
fn every_planted_loop_is_found_and_nothing_else() {
    let (mut wrong, mut missed) = (Vec::new(), Vec::new());
    for (log, planted) in corpus("tuning") {
        let score = score("tuning", &log, &planted);
        wrong.extend(score.wrong);
        missed.extend(score.missed);
    }
    assert!(
        wrong.is_empty() && missed.is_empty(),
        "wrong {wrong:#?}\nmissed {missed:#?}"
    );
}

/// On logs drawn by chance some loops cannot be told from requests (no driver, no transaction, an uneven wire); of those looked at, few.
#[test]
fn logs_drawn_by_chance_are_judged_as_well_as_they_were() {
    let mut sum = Score::default();
    for (log, planted) in corpus("wild/tuning") {
        let one = score("wild/tuning", &log, &planted);
        sum.add(&one);
    }
    let (missed, wrong) = (sum.missed.len() as u64, sum.wrong.len() as u64);
    assert!(
        wrong * 99 <= sum.found && missed * 49 <= sum.found && sum.high.0 == sum.high.1,
        "{} found, {} of {} high right, wrong {:#?}, missed {:#?}",
        sum.found,
        sum.high.1,
        sum.high.0,
        sum.wrong,
        sum.missed
    );
}

/// Applications of a few workers, by drivers of six languages: nearly all loops are found, and nothing healthy is accused.
#[test]
fn requests_of_many_drivers_are_told_from_loops() {
    let mut sum = Score::default();
    for (log, planted) in corpus("requests/tuning") {
        sum.add(&score("requests/tuning", &log, &planted));
    }
    let (missed, wrong) = (sum.missed.len() as u64, sum.wrong.len() as u64);
    assert!(
        wrong <= 1 && missed * 30 <= sum.found && sum.high.0 == sum.high.1,
        "{} found, {} of {} high right, wrong {:#?}, missed {:#?}",
        sum.found,
        sum.high.1,
        sum.high.0,
        sum.wrong,
        sum.missed
    );
}

/// Where many requests share few connections, loops are missed; statements that no loop sends must be left alone nevertheless.
#[test]
fn busy_pools_are_not_accused() {
    let mut sum = Score::default();
    let mut accused = Vec::new();
    for (log, planted) in corpus("busy/tuning") {
        let snapshot = logs::snapshot(&folder("busy/tuning").join(&log));
        for finding in findings(&snapshot).iter().filter(|finding| counts(finding)) {
            if !planted.iter().any(|planted| planted.is_about(finding)) {
                accused.push(format!("{log}: {}", finding.message));
            }
        }
        sum.add(&score("busy/tuning", &log, &planted));
    }
    let wrong = sum.wrong.len();
    assert!(
        accused.len() <= 2 && wrong <= 2 && sum.found >= 13 && sum.high.0 - sum.high.1 <= 1,
        "{} found, {} of {} high right, accused {accused:#?}, wrong {:#?}, missed {:#?}",
        sum.found,
        sum.high.1,
        sum.high.0,
        sum.wrong,
        sum.missed
    );
}

/// Below medium confidence the report says why, and what would decide.
#[test]
fn a_guess_on_a_busy_pool_says_why() {
    let mut guesses = 0;
    for log in corpus("busy/tuning").keys() {
        let snapshot = logs::snapshot(&folder("busy/tuning").join(log));
        for finding in findings(&snapshot) {
            if finding.confidence == Confidence::Low {
                guesses += 1;
                assert_eq!(
                    finding.severity,
                    Severity::Info,
                    "{log}: {}",
                    finding.message
                );
                assert!(
                    finding.message.contains("traceparent"),
                    "{log}: {}",
                    finding.message
                );
            }
        }
    }
    assert!(guesses > 0);
}

/// Prints precision and recall per client and per scenario of all parts of the corpus: `cargo test --test it n_plus_one::scores -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table for benches/README.md; what must hold is asserted by its neighbours"]
fn scores() {
    for part in [
        "tuning",
        "held-out",
        "wild/tuning",
        "wild/second",
        "wild/held-out",
        "requests/tuning",
        "requests/held-out",
        "busy/tuning",
        "busy/held-out",
    ] {
        let mut clients: BTreeMap<String, Score> = BTreeMap::new();
        for (log, planted) in corpus(part) {
            let one = score(part, &log, &planted);
            let (client, scenario) = log.split_once('/').unwrap();
            let scenario = scenario.split(['-', '.']).next().unwrap();
            let sums = [
                client.to_owned(),
                format!("{scenario} (scenario)"),
                format!("~ {part}, all"),
            ];
            for sum in sums {
                clients.entry(sum).or_default().add(&one);
            }
        }
        eprintln!(
            "| {part} | found | missed | wrong | precision | recall | right of high | of medium | of low |\n|---|---|---|---|---|---|---|---|---|"
        );
        for (client, score) in &clients {
            let (missed, wrong) = (score.missed.len() as u64, score.wrong.len() as u64);
            let share = |n: u64, of: u64| if of == 0 { 1.0 } else { n as f64 / of as f64 };
            eprintln!(
                "| {client} | {} | {missed} | {wrong} | {:.3} | {:.3} | {} of {} | {} of {} | {} of {} |",
                score.found,
                share(score.found, score.found + wrong),
                share(score.found, score.found + missed),
                score.high.1,
                score.high.0,
                score.medium.1,
                score.medium.0,
                score.low.1,
                score.low.0,
            );
        }
        for (client, score) in clients
            .iter()
            .filter(|(client, _)| !client.starts_with('~') && !client.ends_with(')'))
        {
            for line in score.wrong.iter().chain(&score.missed) {
                eprintln!("{client}: {line}");
            }
        }
    }
}
