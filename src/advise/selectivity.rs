//! The share of a relation's rows that a condition keeps, from `pg_stats`: the planner's own rules (`selfuncs.c`), for pruning and for sizes.

use crate::{
    catalog::{Column, Relation},
    sql::shape::{Comparison, Operand, Predicate, Target},
};

/// `DEFAULT_EQ_SEL`
const UNKNOWN_EQUAL: f64 = 0.005;
/// `DEFAULT_INEQ_SEL`
const UNKNOWN_RANGE: f64 = 1.0 / 3.0;
/// `DEFAULT_RANGE_INEQ_SEL`
const UNKNOWN_BETWEEN: f64 = 0.005;
/// `DEFAULT_MATCH_SEL`
const UNKNOWN_MATCH: f64 = 0.005;
/// Elements of an array whose length is not known, as the planner assumes (`scalararraysel`).
const UNKNOWN_ARRAY_LENGTH: f64 = 10.0;

/// Share of rows that pass `predicate`; `constant` is the value that it compares with, as SQL text, where that is known.
pub(super) fn of_predicate(
    relation: &Relation,
    predicate: &Predicate,
    constant: Option<&str>,
) -> f64 {
    let Target::Column(name) = &predicate.target else {
        return UNKNOWN_EQUAL;
    };
    let Some(column) = relation.column(name) else {
        return UNKNOWN_EQUAL;
    };
    let n_rows = relation.n_rows.unwrap_or(0.0);
    match predicate.comparison {
        Comparison::Equal | Comparison::IsBool => equal(column, n_rows, constant),
        Comparison::In => {
            let n = match predicate.operand {
                Operand::List(n) if n > 0 => f64::from(n),
                Operand::Column(_) => 1.0,
                _ => UNKNOWN_ARRAY_LENGTH,
            };
            (n * equal(column, n_rows, None)).min(1.0)
        }
        Comparison::IsNull => column.stats.as_ref().map_or(UNKNOWN_EQUAL, |s| s.null_frac),
        Comparison::IsNotNull => column.stats.as_ref().map_or(1.0, |s| 1.0 - s.null_frac),
        Comparison::NotEqual => 1.0 - equal(column, n_rows, constant),
        Comparison::Less | Comparison::Greater | Comparison::RowGreater | Comparison::RowLess => {
            UNKNOWN_RANGE
        }
        Comparison::Between => UNKNOWN_BETWEEN,
        _ => UNKNOWN_MATCH,
    }
}

/// Share of rows equal to `constant`, or to an average value.
pub(crate) fn equal(column: &Column, n_rows: f64, constant: Option<&str>) -> f64 {
    let Some(stats) = &column.stats else {
        return if column.type_name == "boolean" {
            0.5
        } else {
            UNKNOWN_EQUAL
        };
    };
    let not_null = 1.0 - stats.null_frac;
    let common: f64 = stats.most_common.iter().map(|(_, share)| share).sum();
    let n_distinct = stats.distinct_values(n_rows).unwrap_or(200.0).max(1.0);
    match constant.map(plain_value) {
        Some(value) => {
            let hit = stats
                .most_common
                .iter()
                .find(|(common, _)| *common == value);
            let n_others = (n_distinct - stats.most_common.len() as f64).max(1.0);
            hit.map_or(((not_null - common) / n_others).max(0.0), |(_, share)| {
                *share
            })
        }
        None => not_null / n_distinct,
    }
}

/// A literal's value as `pg_stats` spells it: without quotes and casts, booleans as `t` and `f`.
pub(super) fn plain_value(literal: &str) -> String {
    let text = literal.trim();
    match text {
        "true" | "TRUE" => return "t".to_owned(),
        "false" | "FALSE" => return "f".to_owned(),
        _ => {}
    }
    let Some(rest) = text.strip_prefix('\'') else {
        return text.split("::").next().unwrap_or(text).trim().to_owned();
    };
    let mut value = String::new();
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.peek() == Some(&'\'') => {
                chars.next();
                value.push('\'');
            }
            '\'' => break,
            other => value.push(other),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ColumnStats;

    fn status() -> Column {
        Column {
            name: "status".into(),
            stats: Some(ColumnStats {
                n_distinct: 4.0,
                null_frac: 0.1,
                most_common: vec![("done".into(), 0.8), ("new".into(), 0.05)],
                ..ColumnStats::default()
            }),
            ..Column::default()
        }
    }

    #[test]
    fn common_values_have_their_share_and_others_the_rest() {
        assert!((equal(&status(), 1e6, Some("'done'::text")) - 0.8).abs() < 1e-9);
        assert!((equal(&status(), 1e6, Some("'rare'")) - 0.025).abs() < 1e-9);
        assert!((equal(&status(), 1e6, None) - 0.225).abs() < 1e-9);
    }

    #[test]
    fn literals_lose_their_quotes() {
        assert_eq!(plain_value("'it''s'::text"), "it's");
        assert_eq!(plain_value("42"), "42");
        assert_eq!(plain_value("TRUE"), "t");
    }
}
