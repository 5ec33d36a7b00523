//! Statements of the workload: constants that may stay, and classes of the others.

use super::{
    columns::{Fate, Kept},
    sql_text::{Literals, is_field, is_function_word, is_time_or_number, rounded},
};
use crate::{
    catalog::planner::{ColumnStatistics, SlotKind, StatisticRow, StatisticsTarget},
    snapshot::{
        literal::{ClassedLiteral, Known, LiteralClass},
        stand_in::Form,
    },
    sql::{Constant, How, Lexer, Token, TokenKind},
};

/// Digits of a number that stays where it is compared with no column: LIMIT, positions, small factors.
const MAX_DIGITS: usize = 5;
/// Characters of a pattern that are told.
const MAX_PATTERN_CHARS: usize = 40;

/// What is known when statements are redacted.
pub(super) struct Statements<'a> {
    /// Real statistics.
    pub(super) known: &'a Known<'a>,
    /// Does the database compare bytes?
    pub(super) is_c: bool,
    /// What became of a column's values.
    pub(super) fate: &'a dyn Fn(&ColumnStatistics) -> Option<Fate>,
    /// Words and labels that stay.
    pub(super) literals: &'a Literals,
}

impl Statements<'_> {
    /// The statement with its classed constants as `$n`, without comments. `None` where it has more constants than are looked at.
    pub(super) fn redacted(&self, sql: &str) -> Option<(String, Vec<ClassedLiteral>)> {
        let constants = self.known.constants(sql)?;
        let tokens: Vec<Token> = Lexer::new(sql.as_bytes()).collect();
        let mut next = 1 + tokens
            .iter()
            .filter_map(|t| parameter(sql, t))
            .max()
            .unwrap_or(0);
        let mut constants = constants.iter().peekable();
        let (mut out, mut classed, mut end) = (String::with_capacity(sql.len()), Vec::new(), 0);
        for (at, token) in tokens.iter().enumerate() {
            out.push_str(gap(sql.get(end..token.start).unwrap_or_default()));
            end = token.end;
            let text = sql.get(token.start..token.end).unwrap_or_default();
            let found = constants.next_if(|(constant, _)| constant.end == token.end);
            let Some((constant, statistics)) = found else {
                out.push_str(text);
                continue;
            };
            let before = at.checked_sub(1).map(|at| &tokens[at]);
            let before = before.and_then(|token| sql.get(token.start..token.end));
            match self.decide(sql, constant, *statistics, (before, text)) {
                Decision::Stays => out.push_str(text),
                Decision::Becomes(text) => out.push_str(&text),
                Decision::Goes(class) => {
                    if let (Some(class), Some(statistics)) = (class, statistics)
                        && let StatisticsTarget::Column(column) = &statistics.target
                    {
                        classed.push(ClassedLiteral {
                            n: next,
                            relation: statistics.relation.clone(),
                            column: column.clone(),
                            type_name: type_of(&statistics.row).unwrap_or_default().to_owned(),
                            class,
                        });
                    }
                    out.push_str(&format!("${next}"));
                    next = next.checked_add(1)?;
                }
            }
        }
        Some((out, classed))
    }

    fn decide(
        &self,
        sql: &str,
        constant: &Constant,
        statistics: Option<&ColumnStatistics>,
        (before, text): (Option<&str>, &str),
    ) -> Decision {
        let column = statistics.and_then(|statistics| Some((statistics, (self.fate)(statistics)?)));
        let Some((statistics, fate)) = column else {
            let stays = if constant.is_string {
                is_field(before, text)
                    || is_function_word(text)
                    || constant.compared.is_none() && is_time(before, text)
            } else {
                text.len() <= MAX_DIGITS
            };
            return if stays {
                Decision::Stays
            } else {
                Decision::Goes(None)
            };
        };
        let value = constant.plain(sql);
        let value = value.as_deref().or((!constant.is_string).then_some(text));
        let (Some(value), Some((_, how))) = (value, &constant.compared) else {
            return Decision::Goes(None);
        };
        let stays = match fate {
            Fate::Keep(Kept::Labels) => self.literals.labels.contains(value),
            Fate::Keep(Kept::Booleans) => BOOLEANS.contains(&value.to_lowercase().as_str()),
            Fate::Keep(_) => value.parse::<f64>().is_ok() || is_time_or_number(value),
            Fate::Words => *how == How::Equal && self.literals.kept.contains(value),
            Fate::Round | Fate::Drop => false,
        };
        match fate {
            _ if stays => Decision::Stays,
            Fate::Keep(_) => Decision::Goes(None),
            Fate::Round => match (rank(&statistics.row, value), rounded(value)) {
                (Some(rank), _) if *how == How::Equal => {
                    Decision::Goes(Some(LiteralClass::Common(rank)))
                }
                (_, Some(short)) => Decision::Becomes(if constant.is_string {
                    format!("'{short}'")
                } else {
                    short
                }),
                _ => Decision::Goes(None),
            },
            Fate::Words | Fate::Drop => Decision::Goes(self.class(&statistics.row, *how, value)),
        }
    }

    /// The class of a constant that is compared with a column of stand-ins.
    fn class(&self, row: &StatisticRow, how: How, value: &str) -> Option<LiteralClass> {
        Form::of(type_of(row)?, row.width)?;
        let has_wildcard = value.contains(['%', '_']);
        match how {
            How::Like if has_wildcard => {
                let (beginning, _) = value.split_at(value.find(['%', '_'])?);
                Some(if beginning.is_empty() {
                    LiteralClass::Pattern(pattern(value))
                } else {
                    let share = share(row, &|text| text.starts_with(beginning));
                    LiteralClass::Beginning(thousandths(share).max(1))
                })
            }
            How::ILike => Some(LiteralClass::Pattern(pattern(value))),
            How::Equal | How::Like => {
                Some(rank(row, value).map_or(LiteralClass::Rare, LiteralClass::Common))
            }
            How::Below | How::Above => {
                let key = self.key(value);
                let share = share(row, &|text| self.key(text) < key);
                Some(LiteralClass::Below(thousandths(share)))
            }
        }
    }

    /// What sorts about as the database's collation does: bytes, or letters and digits in small letters first.
    fn key(&self, text: &str) -> (String, String) {
        if self.is_c {
            return (text.to_owned(), String::new());
        }
        let letters = text.chars().filter(|c| c.is_alphanumeric());
        (
            letters.flat_map(char::to_lowercase).collect(),
            text.to_owned(),
        )
    }
}

/// What becomes of a constant.
enum Decision {
    Stays,
    Becomes(String),
    Goes(Option<LiteralClass>),
}

const BOOLEANS: &[&str] = &[
    "t", "f", "true", "false", "yes", "no", "on", "off", "1", "0",
];

/// White space stays as it is; of comments nothing does.
fn gap(between: &str) -> &str {
    if between.trim().is_empty() {
        between
    } else {
        "\n"
    }
}

fn parameter(sql: &str, token: &Token) -> Option<u16> {
    let text = sql.get(token.start..token.end)?;
    let is_parameter = token.kind == TokenKind::Parameter;
    is_parameter.then(|| text.trim_start_matches('$').parse().ok())?
}

/// A time or an interval, with its type before it or not.
fn is_time(before: Option<&str>, text: &str) -> bool {
    let inner = text.trim_matches('\'');
    let is_interval = before.is_some_and(|word| word.eq_ignore_ascii_case("interval"));
    let has_units = inner.split(' ').all(|word| {
        word.parse::<f64>().is_ok()
            || UNITS.contains(&word.trim_end_matches('s').to_ascii_lowercase().as_str())
            || is_time_or_number(word)
    });
    !inner.is_empty() && (is_interval && has_units || is_time_or_number(inner))
}

const UNITS: &[&str] = &[
    "microsecond",
    "millisecond",
    "second",
    "sec",
    "minute",
    "min",
    "hour",
    "day",
    "week",
    "mon",
    "month",
    "year",
];

/// Share of the values that pass, as the planner reckons it: common ones by their frequency, the others by bounds of the histogram.
fn share(row: &StatisticRow, passes: &dyn Fn(&str) -> bool) -> f64 {
    let all = f64::from(1.0 - row.null_frac).max(1e-9);
    let common = row.slot(SlotKind::MostCommonValues);
    let texts = elements(row, SlotKind::MostCommonValues);
    let numbers = common
        .and_then(|slot| slot.numbers.as_deref())
        .unwrap_or_default();
    let listed: f64 = numbers.iter().copied().map(f64::from).sum();
    let passing = texts.iter().zip(numbers).filter(|(text, _)| passes(text));
    let of_common: f64 = passing.map(|(_, frequency)| f64::from(*frequency)).sum();
    let bounds = elements(row, SlotKind::Histogram);
    let n_passing = bounds.iter().filter(|text| passes(text)).count();
    let of_bounds = n_passing as f64 / bounds.len().max(1) as f64;
    (of_common + (all - listed).max(0.0) * of_bounds) / all
}

fn rank(row: &StatisticRow, value: &str) -> Option<u32> {
    let is_it = |text: &&str| {
        *text == value
            || value
                .parse::<f64>()
                .is_ok_and(|n| text.parse::<f64>() == Ok(n))
    };
    let texts = elements(row, SlotKind::MostCommonValues);
    let at = texts.iter().position(|text| is_it(&text.trim_end()))?;
    u32::try_from(at).ok()
}

fn elements(row: &StatisticRow, kind: SlotKind) -> Vec<&str> {
    let values = row.slot(kind).and_then(|slot| slot.values.as_ref());
    let elements = values.iter().flat_map(|values| &values.elements);
    elements.filter_map(Option::as_deref).collect()
}

fn type_of(row: &StatisticRow) -> Option<&str> {
    let values = row.slots.iter().find_map(|slot| slot.values.as_ref());
    values.map(|values| values.type_name.as_str())
}

fn thousandths(share: f64) -> u16 {
    (share.clamp(0.0, 1.0) * 1e3).round() as u16
}

fn pattern(value: &str) -> String {
    let chars = value.chars().take(MAX_PATTERN_CHARS);
    chars
        .map(|c| if matches!(c, '%' | '_') { c } else { 'x' })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{catalog::RelationName, snapshot::stand_in::tests::row};

    fn statistics() -> Vec<ColumnStatistics> {
        let of = |column: &str, row: StatisticRow| ColumnStatistics {
            relation: RelationName::new("public", "t"),
            target: StatisticsTarget::Column(column.into()),
            inherited: false,
            row,
        };
        vec![
            of(
                "name",
                row(
                    "text",
                    &[("Ada", 0.3), ("Bob", 0.1)],
                    &["Carl", "Dora", "Eve", "Fred"],
                ),
            ),
            of("kind", row("text", &[("paid", 0.9)], &[])),
            of("price", row("numeric", &[("19.99", 0.3)], &["1", "2"])),
            of("id", row("bigint", &[], &["1", "2"])),
            of("data", row("jsonb", &[], &[])),
        ]
    }

    fn redacted(sql: &str) -> (String, Vec<LiteralClass>) {
        let statistics = statistics();
        let known = Known::of(&statistics);
        let literals = Literals {
            kept: BTreeSet::from(["paid".to_owned()]),
            ..Literals::default()
        };
        let fate = |statistics: &ColumnStatistics| {
            let StatisticsTarget::Column(column) = &statistics.target else {
                return None;
            };
            Some(match column.as_str() {
                "price" => Fate::Round,
                "id" => Fate::Keep(Kept::Keys),
                "data" => Fate::Drop,
                _ => Fate::Words,
            })
        };
        let statements = Statements {
            known: &known,
            is_c: true,
            fate: &fate,
            literals: &literals,
        };
        let (sql, classed) = statements.redacted(sql).unwrap();
        (
            sql,
            classed.into_iter().map(|literal| literal.class).collect(),
        )
    }

    #[test]
    fn what_may_not_stay_becomes_a_parameter_with_its_class() {
        use LiteralClass::{Beginning, Below, Common, Pattern, Rare};
        for (sql, expected, classes) in [
            (
                "SELECT 1 FROM t WHERE id = 123456789012 AND kind = 'paid' LIMIT 10",
                "SELECT 1 FROM t WHERE id = 123456789012 AND kind = 'paid' LIMIT 10",
                vec![],
            ),
            (
                "SELECT * FROM t WHERE name IN ('Bob', 'Zoe') AND id = $3",
                "SELECT * FROM t WHERE name IN ($4, $5) AND id = $3",
                vec![Common(1), Rare],
            ),
            (
                "SELECT * FROM t WHERE name >= 'Dora' AND kind = 'secret'",
                "SELECT * FROM t WHERE name >= $1 AND kind = $2",
                vec![Below(550), Rare],
            ),
            (
                "SELECT * FROM t WHERE name LIKE 'Ad%' OR name LIKE '%v_' OR name ILIKE 'a%'",
                "SELECT * FROM t WHERE name LIKE $1 OR name LIKE $2 OR name ILIKE $3",
                vec![Beginning(300), Pattern("%x_".into()), Pattern("x%".into())],
            ),
            (
                "SELECT * FROM t WHERE price = 19.99 OR price > 1234.5",
                "SELECT * FROM t WHERE price = $1 OR price > 1200",
                vec![Common(0)],
            ),
            (
                "SELECT * FROM t WHERE data @> '{\"a\": \"secret\"}' -- secret",
                "SELECT * FROM t WHERE data @> $1",
                vec![],
            ),
            (
                "SELECT * FROM t WHERE id > 5 /* secret */ AND now() - interval '2 days' > '2026-01-01' AND data ->> 'key' = 'secret'",
                "SELECT * FROM t WHERE id > 5\nAND now() - interval '2 days' > '2026-01-01' AND data ->> 'key' = $1",
                vec![],
            ),
            (
                "SELECT 4111111111111111, 'secret', E'secret', interval 'secret'",
                "SELECT $1, $2, $3, interval $4",
                vec![],
            ),
            (
                "SELECT * FROM t WHERE lower(name) = 'secret' AND other = 'secret' AND other = 123456",
                "SELECT * FROM t WHERE lower(name) = $1 AND other = $2 AND other = $3",
                vec![],
            ),
        ] {
            assert_eq!(redacted(sql), (expected.to_owned(), classes), "{sql}");
        }
    }
}
