//! The rule `budget-exceeded`: a request, test or job that executed more than `[budgets]` in `pgassay.toml` allows.

use super::{
    Audit, Example, Expect, Need, Rule,
    loops::{self, Told},
};
use crate::{
    finding::{Confidence, Finding, Severity, glob},
    workload::{Peak, Unit, WindowBound, Workload},
};

pub(super) static RULE: Rule = Rule {
    id: "budget-exceeded",
    summary: "a request, test or job executed more statements than its budget allows",
    severity: Severity::Error,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[
        Need::EachExecution,
        Need::HelpedBy(&[Need::Sessions, Need::Times]),
    ],
    check,
};

/// Kinds of units over a budget that a finding names besides the worst.
const MAX_NAMED: usize = 5;

/// What one unit of work (request, test, job) may execute: one entry of `[budgets]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    /// Which units: held against each of a unit's tags as `key=value`, and against `application=NAME`; `*` stands for any characters, and
    /// alone for every unit.
    pub pattern: String,
    /// Statements in one unit.
    pub max_queries: Option<u64>,
    /// Executions of one statement in one unit.
    pub max_repeats: Option<u64>,
}

/// What is limited.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Queries(u64),
    Repeats(u64),
}

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let budgets = audit.settings.budgets.iter();
    budgets
        .flat_map(|budget| {
            let queries = budget.max_queries.map(Limit::Queries);
            let repeats = budget.max_repeats.map(Limit::Repeats);
            let limits = queries.into_iter().chain(repeats);
            limits.filter_map(|limit| exceeded(budget, limit, audit))
        })
        .collect()
}

/// The finding about one limit of a budget, when some unit is beyond it.
fn exceeded(budget: &Budget, limit: Limit, audit: &Audit<'_>) -> Option<Finding> {
    let workload = &audit.snapshot.workload;
    let mut over: Vec<&Unit> = workload
        .pace
        .units
        .iter()
        .filter(|unit| limit.peak(unit).n > limit.most() && budget.is_of(unit))
        .collect();
    // stable: among equals the first in the log
    over.sort_by_key(|unit| std::cmp::Reverse(limit.peak(unit).n));
    let worst = *over.first()?;
    let peak = limit.peak(worst);
    let query = workload.query(peak.repeated);
    let (relation, columns) = match (limit, query) {
        (Limit::Repeats(_), Some(query)) => loops::subject_of(audit, query),
        _ => (None, Vec::new()),
    };
    let others: Vec<String> = over[1..]
        .iter()
        .take(MAX_NAMED)
        .map(|unit| format!("{} ({})", name(unit), limit.peak(unit).n))
        .collect();
    let key = limit.key();
    let told = Told {
        query: query.filter(|_| matches!(limit, Limit::Repeats(_))),
        relation,
        columns,
        confidence: match worst.bound {
            WindowBound::Tag | WindowBound::Transaction => Confidence::High,
            WindowBound::Idle | WindowBound::Parallel => Confidence::Medium,
        },
        message: limit.message(worst, &budget.pattern, over.len() - 1),
        hint: format!(
            "execute less in it (the findings on its statements say how), or raise {key} of {:?} in pgassay.toml and say why there",
            budget.pattern
        ),
        n_calls: peak.n,
        total_us: 0,
        saved_trips: 0,
        origin: Some(peak.origin),
        facts: vec![
            (
                "budget",
                format!("{:?} = {{ {key} = {} }}", budget.pattern, limit.most()).into(),
            ),
            ("unit", name(worst).into()),
            ("bounded_by", bound(worst.bound).into()),
            ("also_over", others.into()),
            ("session", peak.session.clone().into()),
            ("timeline", timeline(peak, workload).into()),
        ]
        .into_iter()
        .filter(|(_, value): &(_, serde_json::Value)| {
            value.as_array().is_none_or(|all| !all.is_empty())
        })
        .collect(),
    };
    let mut finding = told.finding(&RULE, audit);
    finding.subject.budget = Some(format!("{} {key}", budget.pattern));
    Some(finding)
}

impl Budget {
    /// A unit that nothing but idle time bounds may hold several requests: only a pattern of its tags or its application speaks of it.
    fn is_of(&self, unit: &Unit) -> bool {
        if self.pattern == "*" {
            return unit.bound != WindowBound::Idle || !unit.tags.is_empty();
        }
        let mut tags = unit.tags.iter();
        tags.any(|tag| glob(&self.pattern, tag))
            || glob(&self.pattern, &format!("application={}", unit.application))
    }
}

impl Limit {
    fn most(self) -> u64 {
        match self {
            Self::Queries(most) | Self::Repeats(most) => most,
        }
    }

    fn peak(self, unit: &Unit) -> &Peak {
        match self {
            Self::Queries(_) => &unit.longest,
            Self::Repeats(_) => &unit.most_repeats,
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Queries(_) => "max-queries",
            Self::Repeats(_) => "max-repeats",
        }
    }

    fn message(self, unit: &Unit, pattern: &str, n_others: usize) -> String {
        let (n, name) = (self.peak(unit).n, name(unit));
        let more = match n_others {
            0 => String::new(),
            1 => "; so did one other kind of unit".to_owned(),
            others => format!("; so did {others} other kinds of units"),
        };
        match self {
            Self::Queries(most) => format!(
                "{name} executed {n} statements in one unit of work, the budget of {pattern:?} is {most}{more}"
            ),
            Self::Repeats(most) => format!(
                "{name} executed one statement {n} times in one unit of work, the budget of {pattern:?} is {most}{more}"
            ),
        }
    }
}

/// Its tags; without any, its application.
fn name(unit: &Unit) -> String {
    match (unit.tags.is_empty(), unit.application.is_empty()) {
        (false, _) => unit.tags.join(" "),
        (true, false) => format!("application={}", unit.application),
        (true, true) => "an application without a name".to_owned(),
    }
}

fn bound(bound: WindowBound) -> &'static str {
    match bound {
        WindowBound::Tag => "its request id",
        WindowBound::Transaction => "its transaction",
        WindowBound::Idle => "idle time before and after",
        WindowBound::Parallel => "idle time of all its sessions",
    }
}

/// `12 × select …`, a line each run of one statement.
fn timeline(peak: &Peak, workload: &Workload) -> Vec<String> {
    let text = |print| workload.query(print).map_or("…", |query| &query.text);
    let shown = peak.timeline.iter();
    let mut lines: Vec<String> = shown
        .clone()
        .map(|(print, n)| format!("{n} × {}", text(*print)))
        .collect();
    let n_shown: u64 = shown.map(|(_, n)| n).sum();
    if n_shown < peak.n && peak.timeline.len() > 1 {
        lines.push("…".to_owned());
    }
    lines
}

const DOCS: &str = "\
What it finds: units of work (a request, a test, a job) that executed more statements, or one statement more often, than `[budgets]` in `pgassay.toml` allows them. Without budgets it is silent.

## Why it matters

A loop over rows grows with the data, one harmless release at a time. A budget turns the number of statements that a page may take into a check that fails the day it is exceeded, \
with the worst request's statements in order, whether or not the excess looks like a loop.

## How it decides

```toml
[budgets]
\"route=/books*\" = { max-queries = 20, max-repeats = 3 }
\"application=worker\" = { max-queries = 200 }
```

A pattern is held against every tag of a unit (`key=value`, from a comment in the statement as sqlcommenter, Marginalia and Django write it) and against `application=NAME`; `*` stands for any \
characters. Units are bounded by a request id in the tags, else by a transaction, else by tags that change and by idle time. `\"*\"` means every unit that a tag or a transaction bounds: \
what idle time alone bounds may be several requests. BEGIN, COMMIT, SET and the like do not count. Each limit of each pattern gives at most one finding: the worst unit, with the others over it named.

## When it is wrong

- Several requests without tags on one connection, close together, look like one unit: tag the statements, or limit transactions.
- Over 8,192 kinds of units, later ones are not counted; the report says how many.

## References

- sqlcommenter, the specification of tags in statements' comments
";

const EXAMPLES: &[Example] = &[
    Example {
        title: "five statements where the example's budget allows four",
        ddl: "",
        log: "2026-11-22 20:00:00.100 UTC [4711] LOG:  duration: 0.431 ms  statement: SELECT id FROM authors LIMIT 9 /*route='/budget'*/\n\
2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.431 ms  statement: SELECT name FROM shops WHERE id = 7 /*route='/budget'*/\n\
2026-11-22 20:00:00.104 UTC [4711] LOG:  duration: 0.431 ms  statement: SELECT name FROM users WHERE id = 9 /*route='/budget'*/\n\
2026-11-22 20:00:00.106 UTC [4711] LOG:  duration: 0.431 ms  statement: SELECT title FROM books WHERE id = 8 /*route='/budget'*/\n\
2026-11-22 20:00:00.108 UTC [4711] LOG:  duration: 0.431 ms  statement: SELECT count(*) FROM orders /*route='/budget'*/\n\
",
        expect: Expect::Fires,
    },
    Example {
        title: "four statements, and others of another route",
        ddl: "",
        log: "2026-11-22 20:00:00.100 UTC [4711] LOG:  duration: 0.431 ms  statement: SELECT id FROM authors LIMIT 9 /*route='/budget'*/\n\
2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.431 ms  statement: SELECT name FROM shops WHERE id = 7 /*route='/budget'*/\n\
2026-11-22 20:00:00.104 UTC [4711] LOG:  duration: 0.431 ms  statement: SELECT name FROM users WHERE id = 9 /*route='/budget'*/\n\
2026-11-22 20:00:00.106 UTC [4711] LOG:  duration: 0.431 ms  statement: SELECT title FROM books WHERE id = 8 /*route='/budget'*/\n\
2026-11-22 20:00:00.108 UTC [4711] LOG:  duration: 0.431 ms  statement: SELECT count(*) FROM orders /*route='/orders'*/\n\
",
        expect: Expect::Silence,
    },
];
