//! The rule `n-plus-one-suspect`: what only counters show, where no log gives the order of statements.

use super::{
    Audit, Example, Expect, Need, Rule,
    loops::{self, Told},
};
use crate::{
    finding::{Confidence, Finding, Severity},
    sql::StatementKind,
    workload::{InputKind, Link, Query, is_own_key, keyed_scan},
};

pub(super) static RULE: Rule = Rule {
    id: "n-plus-one-suspect",
    summary: "counters look as if a list query's rows were walked through one by one",
    severity: Severity::Info,
    docs: DOCS,
    examples: EXAMPLES,
    needs: &[Need::Statements],
    check,
};

/// Calls of a look-up below which nothing is said.
const MIN_CALLS: u64 = 100;
/// Calls of the look-up for each call of the list query.
const MIN_RATIO: f64 = 5.0;
/// Calls of the look-up for each row of the list query: an identity map asks for fewer than there are rows.
const ROWS_RATIO: std::ops::RangeInclusive<f64> = 0.2..=1.2;
/// Rows that a look-up by a relation's own key gives at most, on average.
const MAX_OWN_ROWS: f64 = 1.05;
/// Rows that a look-up by a foreign key gives at most, on average: beyond, it is a report.
const MAX_CHILD_ROWS: f64 = 200.0;

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    let workload = &audit.snapshot.workload;
    if workload.input(InputKind::Log).is_some() {
        // the order of statements is known: `n-plus-one` judges
        return Vec::new();
    }
    // asked once for each statement: for each pair, 20,000 statements take minutes
    let parents: Vec<&Query> = workload.queries.iter().filter(|q| lists(q)).collect();
    workload
        .queries
        .iter()
        .filter(|child| child.n_calls() >= MIN_CALLS && is_look_up(child))
        .filter_map(|child| {
            let (parent, ratio) = parents
                .iter()
                .copied()
                .filter(|parent| parent.fingerprint != child.fingerprint)
                .filter_map(|parent| Some((parent, drives(audit, parent, child)?)))
                .min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.fingerprint.cmp(&b.0.fingerprint)))?;
            let (relation, columns) = loops::subject_of(audit, child);
            let name = relation.as_ref().map_or_else(|| "a relation".to_owned(), ToString::to_string);
            Some(
                Told {
                    query: Some(child),
                    relation,
                    columns,
                    confidence: Confidence::Low,
                    message: format!(
                        "{name} is read by key {ratio:.0} times for each run of a linked list query: counters alone cannot tell a loop from many requests",
                    ),
                    hint: "log the statements for a few minutes (pgassay doctor shows how) and run pgassay check on the log: n-plus-one then decides from their order".to_owned(),
                    n_calls: child.n_calls(),
                    total_us: (child.total_ms() * 1e3) as u64,
                    saved_trips: 0,
                    origin: None,
                    facts: vec![
                        ("n_calls", child.n_calls().into()),
                        ("parent_query", parent.text.clone().into()),
                        ("parent_fingerprint", parent.fingerprint.to_string().into()),
                        ("parent_calls", parent.n_calls().into()),
                        ("parent_rows", parent.pgss.as_ref().map(|pgss| pgss.n_rows).into()),
                        ("calls_per_parent_call", ratio.into()),
                    ],
                }
                .finding(&RULE, audit),
            )
        })
        .collect()
}

/// A SELECT by one key that gives few rows.
fn is_look_up(query: &Query) -> bool {
    let Some(shape) = query.shape.as_deref() else {
        return false;
    };
    let Some(scan) = keyed_scan(shape) else {
        return false;
    };
    let own = scan
        .predicates
        .iter()
        .any(|predicate| match &predicate.target {
            crate::sql::shape::Target::Column(column) => is_own_key(column, &scan.relation.name),
            crate::sql::shape::Target::Expression(_) => false,
        });
    let most = if own { MAX_OWN_ROWS } else { MAX_CHILD_ROWS };
    query.kind == StatementKind::Select
        && !shape.locks_rows
        && query.rows_per_call().is_none_or(|rows| rows <= most)
}

/// A SELECT that gives several rows.
fn lists(query: &Query) -> bool {
    let keyed = query
        .shape
        .as_deref()
        .is_none_or(|shape| keyed_scan(shape).is_some());
    query.kind == StatementKind::Select
        && query.n_calls() > 0
        && query.rows_per_call().map_or(!keyed, |rows| rows >= 2.0)
}

/// Calls of the child for each of the parent, when foreign key or names link them and the rows agree.
fn drives(audit: &Audit<'_>, parent: &Query, child: &Query) -> Option<f64> {
    let ratio = child.n_calls() as f64 / parent.n_calls() as f64;
    let rows = parent.pgss.as_ref().map(|pgss| pgss.n_rows as f64);
    let agree =
        rows.is_none_or(|rows| ROWS_RATIO.contains(&(child.n_calls() as f64 / rows.max(1.0))));
    (ratio >= MIN_RATIO
        && agree
        && loops::link(audit, Some(parent.fingerprint), child) == Link::ForeignKey)
        .then_some(ratio)
}

const DOCS: &str = "\
What it finds: look-ups by key that run several times for each run of a list query whose rows could give their keys, as far as counters (pg_stat_statements) show.

## Why it matters

It may be an N+1. It may as well be an application that looks one row up per request: counters have no order and no sessions, so this is a reason to take a log, never a verdict.

## How it decides

Without a query log only. The look-up runs 100 times or more, by one key, and gives few rows; a list query is linked with it by foreign key (catalog) or by names; the look-up runs at least \
five times for each run of the list; and, where rows are known, 0.2 to 1.2 times for each row that the list gave. Calls alone never count: the most called look-up of a healthy \
application is one per request.

## When it is wrong

- Often: two unrelated counters may agree. It is info with low confidence, and fails no check.
- Totals since the last reset mix releases; the difference of two snapshots (`pgassay capture --for 10m`) is better.

## References

- PostgreSQL documentation, F.30 pg_stat_statements
";

const EXAMPLES: &[Example] = &[
    Example {
        title: "twenty look-ups for each list",
        ddl: "",
        log: "-- calls: 50\nSELECT id, title, author_id FROM books ORDER BY id LIMIT 20;\n-- calls: 1000\nSELECT name FROM authors WHERE id = 3;\n",
        expect: Expect::Finding("authors"),
    },
    Example {
        title: "many look-ups, and nothing that is linked with them",
        ddl: "",
        log: "-- calls: 50\nSELECT id, title FROM books ORDER BY id LIMIT 20;\n-- calls: 100000\nSELECT name FROM customers WHERE id = 3;\n",
        expect: Expect::Silence,
    },
    Example {
        title: "about one look-up for each list",
        ddl: "",
        log: "-- calls: 900\nSELECT id, title, author_id FROM books ORDER BY id LIMIT 20;\n-- calls: 1000\nSELECT name FROM authors WHERE id = 3;\n",
        expect: Expect::Silence,
    },
];
