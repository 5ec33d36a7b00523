//! Values for parameters that no log shows: `pg_stat_statements` alone has none, and a generic plan takes a third of all rows for
//! `created_at > $1`. Taken from the column's statistics and from how many rows a call returns.

use std::collections::{BTreeMap, BTreeSet};

use super::{bind::BoundScan, selectivity};
use crate::{
    catalog::{Column, ColumnStats, Relation},
    sql::{
        quote_literal,
        shape::{Comparison, Operand, Predicate, QueryShape, Target},
    },
    workload::Query,
};

/// Share of rows that a range is taken to keep where the rows returned do not tell (aggregates, LIMIT): what a report on recent days asks for.
const ASSUMED_RANGE: f64 = 0.05;

/// The same where nothing but the range narrows the table: an index on its column alone is worth its upkeep only if it pays for as many rows as
/// the planner itself takes for a range that it doesn't know (`DEFAULT_INEQ_SEL`, PostgreSQL's `selfuncs.h`).
const ASSUMED_LONE_RANGE: f64 = 1.0 / 3.0;

/// Fewest and most values that `= ANY ($n)` is taken to hold.
const ARRAY_LENGTH: (f64, f64) = (1.0, 100.0);

/// Characters of a pattern made up from a value.
const PATTERN_CHARS: usize = 5;

/// Values of one column tried in turn, and columns tried.
const MAX_VALUES: usize = 6;
const MAX_COLUMNS: usize = 2;

/// How a pattern that no log shows is taken to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// With text: `LIKE 'abc%'`.
    Prefix,
    /// With anything: `LIKE '%abc%'`.
    Infix,
}

/// Values for the parameters of a statement whose own are unknown; what is left out is planned as `$n`.
pub(super) fn guessed(
    scans: &[BoundScan<'_>],
    shape: &QueryShape,
    query: &Query,
    kind: Pattern,
) -> BTreeMap<u16, String> {
    let mut values = BTreeMap::new();
    for bound in scans {
        let relation = bound.relation;
        let range = range_share(bound, shape, query);
        for predicate in &bound.scan.predicates {
            let Target::Column(name) = &predicate.target else {
                continue;
            };
            let Some((column, stats)) = relation
                .column(name)
                .and_then(|column| Some((column, column.stats.as_ref()?)))
            else {
                continue;
            };
            match (&predicate.operand, predicate.comparison) {
                (Operand::Parameter(n), Comparison::Greater | Comparison::RowGreater) => {
                    insert(&mut values, *n, quantile(stats, 1.0 - range));
                }
                // `at >= $1 AND at < $2` is one range, like BETWEEN: the newest rows, up to the last
                (Operand::Parameter(n), Comparison::Less | Comparison::RowLess)
                    if has_lower_bound(bound, name) =>
                {
                    insert(&mut values, *n, quantile(stats, 1.0));
                }
                (Operand::Parameter(n), Comparison::Less | Comparison::RowLess) => {
                    insert(&mut values, *n, quantile(stats, range));
                }
                (Operand::Expression(text), Comparison::Between) => {
                    if let Some((low, high)) = bounds(text) {
                        insert(&mut values, low, quantile(stats, 1.0 - range));
                        insert(&mut values, high, quantile(stats, 1.0));
                    }
                }
                (Operand::Parameter(n), Comparison::Like | Comparison::ILike) => {
                    let rows = query.rows_per_call();
                    let found = rows.map(|rows| rows / relation.n_rows.unwrap_or(0.0).max(1.0));
                    insert(&mut values, *n, pattern(stats, kind, found));
                }
                _ => {
                    if let Some(n) = array_parameter(predicate) {
                        insert(&mut values, n, array(relation, column, stats, query));
                    }
                }
            }
        }
    }
    values
}

/// Is the column also compared with a parameter from below?
fn has_lower_bound(bound: &BoundScan<'_>, column: &str) -> bool {
    bound.scan.predicates.iter().any(|predicate| {
        matches!(&predicate.target, Target::Column(name) if name == column)
            && matches!(predicate.operand, Operand::Parameter(_))
            && matches!(
                predicate.comparison,
                Comparison::Greater | Comparison::RowGreater
            )
    })
}

fn insert(values: &mut BTreeMap<u16, String>, number: u16, value: Option<String>) {
    if let Some(value) = value {
        values.entry(number).or_insert(value);
    }
}

/// Share of the rows, among those that equality keeps, that a range keeps: as many as a call returns.
fn range_share(bound: &BoundScan<'_>, shape: &QueryShape, query: &Query) -> f64 {
    let returns_them = !shape.is_count
        && !shape.is_exists
        && shape.limit.is_none()
        && bound.scan.group.is_empty()
        && bound.scan.min_max.is_empty()
        && shape.scans.len() == 1
        && !shape
            .functions
            .iter()
            .any(|f| matches!(f.as_str(), "sum" | "avg" | "min" | "max" | "count"));
    let n_rows = bound.relation.n_rows.unwrap_or(0.0);
    let kept: f64 = bound
        .scan
        .predicates
        .iter()
        .filter(|p| {
            matches!(
                p.comparison,
                Comparison::Equal | Comparison::In | Comparison::IsNull | Comparison::IsBool
            )
        })
        // what another relation's rows give narrows a look-up, and not what a scan of the range reads
        .filter(|p| !matches!(p.operand, Operand::Column(_)))
        .map(|p| selectivity::of_predicate(bound.relation, p, None))
        .product();
    match query.rows_per_call().filter(|_| returns_them) {
        Some(rows) => (rows.max(1.0) / (n_rows * kept).max(1.0)).clamp(0.0, 1.0),
        None if kept > ASSUMED_RANGE => ASSUMED_LONE_RANGE,
        None => ASSUMED_RANGE,
    }
}

/// The value below which a share of the rows lies.
fn quantile(stats: &ColumnStats, share: f64) -> Option<String> {
    let last = stats.histogram.len().checked_sub(1)?;
    let at = (share * last as f64).round().clamp(0.0, last as f64) as usize;
    stats.histogram.get(at).map(|value| quote_literal(value))
}

/// `$1 AND $2`
fn bounds(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once(" AND ")?;
    let number = |text: &str| text.trim().strip_prefix('$')?.parse().ok();
    Some((number(low)?, number(high)?))
}

/// A part of a real value: from its start, or from its middle. Where a call returns fewer rows than one of the statistics' values stands for, a part
/// that none of them holds, as the planner would take one that does for that many rows. `found` is the share of rows that a call returns.
fn pattern(stats: &ColumnStats, kind: Pattern, found: Option<f64>) -> Option<String> {
    let values = stats.histogram.iter();
    let all: Vec<&String> = values
        .chain(stats.most_common.iter().map(|(value, _)| value))
        .collect();
    let value = all.get(all.len() / 2)?;
    let chars: Vec<char> = value.chars().filter(|c| *c != '%' && *c != '_').collect();
    let (start, open) = match kind {
        Pattern::Prefix => (0, ""),
        Pattern::Infix => (chars.len() / 3, "%"),
    };
    let mut part: String = chars.iter().skip(start).take(PATTERN_CHARS).collect();
    if part.chars().count() < 3 {
        return None;
    }
    let of_one_value = 0.5 / stats.histogram.len().max(1) as f64;
    if found.is_some_and(|share| share < of_one_value) {
        part = unheld(&part, &all).unwrap_or(part);
    }
    Some(quote_literal(&format!("{open}{part}%")))
}

/// The part with another last character, so that none of the values holds it.
fn unheld(part: &str, values: &[&String]) -> Option<String> {
    let mut stem = part.to_owned();
    stem.pop();
    let is_letter = |c: &char| *c != '%' && *c != '_' && *c != '\\';
    let seen: BTreeSet<char> = values.iter().flat_map(|value| value.chars()).collect();
    seen.into_iter().filter(is_letter).find_map(|last| {
        let other = format!("{stem}{last}");
        let is_held = values.iter().any(|value| value.contains(&other));
        (!is_held).then_some(other)
    })
}

/// `column = ANY ($n)`
fn array_parameter(predicate: &Predicate) -> Option<u16> {
    match (predicate.comparison, &predicate.operand) {
        (Comparison::In, Operand::Parameter(n)) => Some(*n),
        _ => None,
    }
}

/// As many values as rows come back, where each finds one; else a few.
fn array(
    relation: &Relation,
    column: &Column,
    stats: &ColumnStats,
    query: &Query,
) -> Option<String> {
    let n_rows = relation.n_rows.unwrap_or(0.0);
    let per_value = n_rows / stats.distinct_values(n_rows).unwrap_or(n_rows).max(1.0);
    let n = query.rows_per_call().unwrap_or(1.0) / per_value.max(1.0);
    let n = n.ceil().clamp(ARRAY_LENGTH.0, ARRAY_LENGTH.1) as usize;
    let all: Vec<&String> = stats
        .histogram
        .iter()
        .chain(stats.most_common.iter().map(|(value, _)| value))
        .filter(|value| {
            value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.:+ ".contains(c))
        })
        .collect();
    if all.is_empty() || column.type_category == 'A' {
        return None;
    }
    let step = (all.len() / n).max(1);
    let values: Vec<String> = all
        .iter()
        .step_by(step)
        .take(n)
        .map(|value| format!("\"{value}\""))
        .collect();
    Some(quote_literal(&format!("{{{}}}", values.join(","))))
}

/// Sets of values under which a statement may really run, for when the planner's cost of the average one contradicts its measured time:
/// what came as a literal, such as a queue's state, `pg_stat_statements` shows as `$n`.
pub(super) fn alternatives(
    scans: &[BoundScan<'_>],
    guessed: &BTreeMap<u16, String>,
) -> Vec<BTreeMap<u16, String>> {
    let mut found = Vec::new();
    let mut n_columns = 0;
    for bound in scans {
        for predicate in &bound.scan.predicates {
            let (Comparison::Equal, Operand::Parameter(n), Target::Column(name)) =
                (predicate.comparison, &predicate.operand, &predicate.target)
            else {
                continue;
            };
            let stats = bound
                .relation
                .column(name)
                .and_then(|column| column.stats.as_ref());
            let Some(stats) = stats.filter(|stats| !stats.most_common.is_empty()) else {
                continue;
            };
            n_columns += 1;
            if n_columns > MAX_COLUMNS {
                return found;
            }
            // rare ones first: they are what a fast statement asks for
            let values = stats.most_common.iter().rev().take(MAX_VALUES);
            found.extend(values.map(|(value, _)| {
                let mut values = guessed.clone();
                values.insert(*n, quote_literal(value));
                values
            }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        advise::{Options, bind},
        catalog::{Catalog, RelationName, ServerFacts},
        workload::{InputFacts, PgssEntry, PgssStats, Workload},
    };

    fn column(name: &str, n_distinct: f64) -> Column {
        Column {
            name: name.into(),
            type_name: "integer".into(),
            type_category: 'N',
            stats: Some(ColumnStats {
                n_distinct,
                histogram: (0..=100).map(|n| n.to_string()).collect(),
                ..ColumnStats::default()
            }),
            ..Column::default()
        }
    }

    fn names() -> Column {
        Column {
            name: "name".into(),
            type_name: "text".into(),
            type_category: 'S',
            stats: Some(ColumnStats {
                n_distinct: -1.0,
                histogram: ["Abelard", "Morgenstern", "Zimmermann"]
                    .map(str::to_owned)
                    .to_vec(),
                ..ColumnStats::default()
            }),
            ..Column::default()
        }
    }

    /// What a statement over `big (at, owner, name)` is planned with, when nothing but its text and its rows are known; and with patterns that begin
    /// with text.
    fn both_planned(text: &str) -> (String, Option<String>) {
        let catalog = Catalog {
            server: ServerFacts {
                search_path: vec!["public".into()],
                ..ServerFacts::default()
            },
            relations: vec![Relation {
                name: RelationName::new("public", "big"),
                n_rows: Some(1_000_000.0),
                n_pages: 10_000,
                columns: vec![column("at", -1.0), column("owner", 50_000.0), names()],
                ..Relation::default()
            }],
            ..Catalog::default()
        };
        let entry = PgssEntry {
            text: text.to_owned(),
            stats: PgssStats {
                n_calls: 10,
                n_rows: 10,
                total_ms: 1000.0,
                ..PgssStats::default()
            },
            ..PgssEntry::default()
        };
        let mut workload = Workload::default();
        workload.add_pg_stat_statements(vec![entry], InputFacts::default());
        let bound = bind::bind(&catalog, &workload, &Options::default());
        let query = &bound.queries[0];
        let with_prefix = query.with_prefix.as_ref();
        (
            query.planned.sql.clone(),
            with_prefix.map(|one| one.sql.clone()),
        )
    }

    fn planned(text: &str) -> String {
        both_planned(text).0
    }

    #[test]
    fn an_unknown_pattern_may_begin_with_text_or_with_anything() {
        let text = "SELECT owner FROM big WHERE name LIKE $1 ORDER BY name LIMIT $2";
        // one row of a million: none of the values in the statistics has the pattern
        let (infix, prefix) = both_planned(text);
        assert!(infix.contains("LIKE '%gensA%'"), "{infix}");
        assert!(prefix.unwrap().contains("LIKE 'MorgA%'"));
        let known = both_planned("SELECT owner FROM big WHERE name LIKE 'Morg%' AND owner = $1");
        assert_eq!(known.1, None);
    }

    #[test]
    fn a_lone_range_of_unknown_width_is_taken_for_a_third() {
        let lone = planned("SELECT count(*) FROM big WHERE at > $1");
        assert!(lone.contains("> '67'"), "{lone}");
        let beside = planned("SELECT count(*) FROM big WHERE owner = $1 AND at > $2");
        assert!(beside.contains("> '95'"), "{beside}");
        let joined =
            planned("SELECT count(*) FROM big a JOIN big b ON a.owner = b.owner WHERE b.at > $1");
        assert!(joined.contains("> '67'"), "{joined}");
    }

    /// Ten rows of a million: two bounds make one range at the end, not two that exclude each other.
    #[test]
    fn two_bounds_are_one_range() {
        let range = planned("SELECT owner FROM big WHERE at >= $1 AND at < $2");
        assert!(range.contains(">= '100'"), "{range}");
        assert!(range.contains("< '100'"), "{range}");
        let wide = planned("SELECT count(*) FROM big WHERE at >= $1 AND at < $2");
        assert!(wide.contains(">= '67'"), "{wide}");
        assert!(wide.contains("< '100'"), "{wide}");
    }
}
