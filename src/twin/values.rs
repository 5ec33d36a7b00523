//! A column's statistics as classes of values: how many occur how often, and how wide they are in an index.

use std::collections::BTreeMap;

use super::{
    draw::{frequencies, n_distinct, texts},
    estimate::Class,
    key::KeyImage,
};
use crate::catalog::planner::{SlotKind, StatisticRow};

/// Largest text with a header of one byte.
const SHORT: usize = 126;
/// Values of more bytes are compressed in an index (`TOAST_INDEX_TARGET`): how well, only their average width tells.
const COMPRESSED: f64 = 508.0;
/// A share of rows below this is rounding.
const NONE: f64 = 1e-6;

/// Which values an index's condition keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// NULL
    pub(super) null: bool,
    /// Each of the common values.
    pub(super) common: Vec<bool>,
    /// Each bound of the histogram.
    pub(super) bounds: Vec<bool>,
    /// The condition says nothing else.
    pub(super) is_exact: bool,
}

impl Kept {
    /// Every value.
    pub(super) fn all_but_null(row: &StatisticRow) -> Self {
        Self {
            null: false,
            common: vec![true; frequencies(row).len()],
            bounds: Vec::new(),
            is_exact: false,
        }
    }
}

/// Classes of all values, or of those that are kept, whose shares add up to 1; and the share of all rows that have them.
pub(super) fn classes(
    row: &StatisticRow,
    (type_name, length): (&str, i16),
    table_rows: f64,
    kept: Option<&Kept>,
) -> (Vec<Class>, f64) {
    let width = |text: Option<&String>| match length {
        length if length > 0 => f64::from(length),
        _ => text
            .and_then(|text| width(type_name, text))
            .filter(|width| *width <= COMPRESSED)
            .unwrap_or(f64::from(row.width)),
    };
    let frequencies = frequencies(row);
    let common = texts(row, SlotKind::MostCommonValues);
    let keeps = |at: usize| kept.is_none_or(|kept| kept.common.get(at).copied().unwrap_or(true));
    let mut found: BTreeMap<i32, Class> = BTreeMap::new();
    for (at, share) in frequencies.iter().enumerate().filter(|(at, _)| keeps(*at)) {
        // those within a factor of 1.4 together
        let class = found
            .entry((2.0 * share.max(NONE).log2()).floor() as i32)
            .or_insert(Class {
                n: 0.0,
                share: 0.0,
                widths: Vec::new(),
            });
        class.n += 1.0;
        class.share += share;
        class.widths.push(width(common.get(at)));
    }
    let mut classes: Vec<Class> = found.into_values().collect();
    let null_frac = f64::from(row.null_frac);
    let listed: f64 = frequencies.iter().sum();
    let rest = 1.0 - null_frac - listed;
    let n_rest = n_distinct(row, table_rows) - frequencies.len() as f64;
    let kept_rest = kept.map_or(1.0, |kept| share_of(&kept.bounds));
    if rest > NONE && n_rest > 0.5 && kept_rest > 0.0 {
        let bounds = texts(row, SlotKind::Histogram);
        let mut widths: Vec<f64> = bounds.iter().map(|text| width(Some(text))).collect();
        if widths.is_empty() {
            widths.push(width(None));
        }
        classes.push(Class {
            n: (n_rest * kept_rest).max(1.0),
            share: rest * kept_rest,
            widths,
        });
    }
    if null_frac > 0.0 && kept.is_none_or(|kept| kept.null) {
        classes.push(Class::null(null_frac));
    }
    let sum: f64 = classes.iter().map(|class| class.share).sum();
    if sum <= 0.0 {
        let any = Class {
            n: 1.0,
            share: 1.0,
            widths: vec![width(None)],
        };
        return (vec![any], 0.0);
    }
    for class in &mut classes {
        class.share /= sum;
    }
    (classes, sum)
}

fn share_of(bounds: &[bool]) -> f64 {
    if bounds.is_empty() {
        return 1.0;
    }
    bounds.iter().filter(|kept| **kept).count() as f64 / bounds.len() as f64
}

/// Bytes of a value in an index tuple; `None` for types whose texts do not tell.
fn width(type_name: &str, text: &str) -> Option<f64> {
    let varlena = |payload: usize| (payload + if payload <= SHORT { 1 } else { 4 }) as f64;
    Some(match type_name {
        "text" | "character varying" | "character" | "citext" => varlena(text.len()),
        "bytea" => varlena(text.len().saturating_sub(2) / 2),
        "inet" | "cidr" => varlena(if text.contains(':') { 18 } else { 6 }),
        "numeric" => KeyImage::parse("numeric", text)?.bytes.len() as f64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::planner::{Slot, SlotValues};

    /// A text column: NULL in a fifth, "a" in half, the rest of ten values.
    fn row() -> StatisticRow {
        let slot = |kind: SlotKind, numbers: Option<Vec<f32>>, texts: &[&str]| Slot {
            kind: kind.number(),
            numbers,
            values: Some(SlotValues {
                type_name: "text".into(),
                elements: texts.iter().map(|t| Some((*t).to_owned())).collect(),
            }),
            ..Slot::default()
        };
        StatisticRow {
            null_frac: 0.2,
            width: 6,
            n_distinct: 11.0,
            slots: vec![
                slot(SlotKind::MostCommonValues, Some(vec![0.5]), &["a"]),
                slot(SlotKind::Histogram, None, &["bcd", "cdefg", "d", "e"]),
            ],
            is_faked: false,
        }
    }

    #[track_caller]
    fn check(kept: Option<&Kept>, expected: &[(f64, f64, &[f64])]) {
        let (found, _) = classes(&row(), ("text", -1), 1000.0, kept);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (class, (n, share, widths)) in found.iter().zip(expected) {
            assert!((class.n - n).abs() < 1e-6, "{found:?}");
            assert!((class.share - share).abs() < 1e-6, "{found:?}");
            assert_eq!(class.widths, *widths);
        }
    }

    #[test]
    fn values_are_as_frequent_and_wide_as_statistics_say() {
        check(
            None,
            &[
                (1.0, 0.5, &[2.0]),
                (10.0, 0.3, &[4.0, 6.0, 2.0, 2.0]),
                (1.0, 0.2, &[]),
            ],
        );
    }

    #[test]
    fn a_condition_keeps_some() {
        let kept = Kept {
            null: false,
            common: vec![false],
            bounds: vec![true, false, false, true],
            is_exact: true,
        };
        check(Some(&kept), &[(5.0, 1.0, &[4.0, 6.0, 2.0, 2.0])]);
        check(
            Some(&Kept::all_but_null(&row())),
            &[(1.0, 0.625, &[2.0]), (10.0, 0.375, &[4.0, 6.0, 2.0, 2.0])],
        );
    }

    #[test]
    fn widths_are_those_of_index_tuples() {
        for (type_name, text, bytes) in [
            ("text", "", 1.0),
            ("text", "Ä", 3.0),
            ("character varying", &"x".repeat(127), 131.0),
            ("bytea", "\\x0102", 3.0),
            ("inet", "10.0.0.1", 7.0),
            ("inet", "::1/128", 19.0),
        ] {
            assert_eq!(width(type_name, text), Some(bytes), "{type_name} {text}");
        }
        assert_eq!(width("jsonb", "{}"), None);
    }
}
