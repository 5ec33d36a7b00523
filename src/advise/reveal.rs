//! `data ->> $1 = $2` as `pg_stat_statements` shows it: which key of the document it asks for, where the column's statistics leave one possible.
//!
//! The histogram of a jsonb column holds whole documents. Of the keys in them, one is possible whose values are as rare as the rows that a call
//! returns say; where more than one is, nothing is guessed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    catalog::{Catalog, Relation},
    sql::{
        self, quote_literal,
        shape::{Comparison, Operand, Predicate, QueryShape, Target},
    },
    workload::Query,
};

/// Documents needed to say anything about how often values of a key repeat.
const MIN_DOCUMENTS: usize = 20;

/// Factor by which the rows of a call may differ from what a key's values would give.
const TOLERANCE: f64 = 4.0;

/// Depth of paths that are looked at.
const MAX_DEPTH: usize = 3;

/// Most paths that are told apart; a document with more is a map, and its keys are data.
const MAX_PATHS: usize = 200;

/// A statement's text with the key put in, and how it is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Revealed {
    pub(super) text: String,
    pub(super) because: String,
}

/// The statement with its keys, where no log shows them and the statistics leave one possible for each.
pub(super) fn revealed(catalog: &Catalog, query: &Query, shape: &QueryShape) -> Option<Revealed> {
    if query.log.is_some() || shape.is_count || shape.limit.is_some() || shape.scans.len() != 1 {
        return None;
    }
    let rows = query.rows_per_call()?;
    let scan = &shape.scans[0];
    let relation = catalog.resolve(scan.relation.schema.as_deref(), &scan.relation.name)?;
    let mut values = BTreeMap::new();
    let mut keys = Vec::new();
    for asked in scan
        .predicates
        .iter()
        .filter_map(|p| Asked::of(relation, p))
    {
        let key = asked.only_possible(relation, rows)?;
        values.insert(asked.parameter, quote_literal(&key));
        keys.push(key);
    }
    (!keys.is_empty()).then(|| Revealed {
        text: sql::plannable(&query.sample, &values, None),
        because: format!(
            "the key {} reached the view as a parameter: it is the only one in the column's statistics whose values are as rare as the rows that a call \
             returns; a log with the statement's literals decides (log_min_duration_statement)",
            keys.join(", ")
        ),
    })
}

/// `column ->> $n = …` or `column #>> $n = …`
struct Asked<'s> {
    column: &'s str,
    parameter: u16,
    is_path: bool,
}

impl<'s> Asked<'s> {
    fn of(relation: &Relation, predicate: &'s Predicate) -> Option<Self> {
        let Target::Expression(text) = &predicate.target else {
            return None;
        };
        let is_compared = matches!(
            predicate.operand,
            Operand::Parameter(_) | Operand::Literal(_)
        );
        if predicate.comparison != Comparison::Equal || !is_compared {
            return None;
        }
        let text = text.trim().trim_start_matches('(').trim_end_matches(')');
        let (left, right, is_path) = match (text.split_once(" ->> "), text.split_once(" #>> ")) {
            (Some((left, right)), None) => (left, right, false),
            (None, Some((left, right))) => (left, right, true),
            _ => return None,
        };
        let column = left.trim().trim_matches('"');
        let column = column.rsplit('.').next().unwrap_or(column);
        let is_document = relation
            .column(column)
            .is_some_and(|column| column.type_name == "jsonb");
        Some(Self {
            column,
            parameter: right.trim().strip_prefix('$')?.parse().ok()?,
            is_path,
        })
        .filter(|_| is_document)
    }

    /// The one key whose values would give about so many rows.
    fn only_possible(&self, relation: &Relation, rows: f64) -> Option<String> {
        let stats = relation.column(self.column)?.stats.as_ref()?;
        let common = stats.most_common.iter().map(|(value, _)| value);
        let documents: Vec<Value> = stats
            .histogram
            .iter()
            .chain(common)
            .filter_map(|text| serde_json::from_str(text).ok())
            .collect();
        if documents.len() < MIN_DOCUMENTS {
            return None;
        }
        let mut paths: BTreeMap<Vec<&str>, Vec<String>> = BTreeMap::new();
        for document in &documents {
            collect(document, &mut Vec::new(), &mut paths);
        }
        if paths.len() > MAX_PATHS {
            return None;
        }
        let n_rows = relation.n_rows.unwrap_or(0.0);
        let mut possible = paths.into_iter().filter(|(path, values)| {
            let is_form = if self.is_path {
                path.len() > 1
            } else {
                path.len() == 1
            };
            let is_plain = path.iter().all(|word| {
                !word.is_empty()
                    && word
                        .chars()
                        .all(|c| c.is_alphanumeric() || c == '_' || c == '-')
            });
            is_form && is_plain && gives(values, documents.len(), n_rows, rows)
        });
        let (path, _) = possible.next()?;
        if possible.next().is_some() {
            return None;
        }
        Some(if self.is_path {
            format!("{{{}}}", path.join(","))
        } else {
            path[0].to_owned()
        })
    }
}

/// Paths to plain values, with the values.
fn collect<'d>(
    value: &'d Value,
    path: &mut Vec<&'d str>,
    paths: &mut BTreeMap<Vec<&'d str>, Vec<String>>,
) {
    match value {
        Value::Object(fields) if path.len() < MAX_DEPTH => {
            for (name, value) in fields {
                path.push(name);
                collect(value, path, paths);
                path.pop();
            }
        }
        Value::String(text) => paths.entry(path.clone()).or_default().push(text.clone()),
        Value::Number(_) | Value::Bool(_) => {
            paths
                .entry(path.clone())
                .or_default()
                .push(value.to_string());
        }
        Value::Null | Value::Array(_) | Value::Object(_) => {}
    }
}

/// Would looking for one of these values return about `rows`? Of values that never repeat, the sample only says at most how many rows share one.
fn gives(values: &[String], n_documents: usize, n_rows: f64, rows: f64) -> bool {
    let distinct: BTreeSet<&String> = values.iter().collect();
    let present = values.len() as f64 / n_documents as f64;
    let of_one = n_rows * present / distinct.len().max(1) as f64;
    let repeats = distinct.len() * 10 <= values.len() * 9;
    let at_most = rows <= of_one * TOLERANCE;
    let is_common = values.len() * 2 >= n_documents;
    is_common && at_most && (!repeats || rows * TOLERANCE >= of_one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{Column, ColumnStats, RelationName},
        sql::shape,
        workload::{PgssEntry, PgssStats, Workload},
    };

    fn catalog(second: &str) -> Catalog {
        let histogram = (0..40).map(|n| {
            format!(
                r#"{{"po": "P{n}", "source": "{}", {second}"addr": {{"zip": "{n:05}", "land": "DE"}}}}"#,
                n % 3
            )
            .replace('#', &n.to_string())
        });
        Catalog {
            server: crate::catalog::ServerFacts {
                search_path: vec!["public".into()],
                ..Default::default()
            },
            relations: vec![Relation {
                name: RelationName::new("public", "t"),
                n_rows: Some(100_000.0),
                columns: vec![Column {
                    name: "meta".into(),
                    type_name: "jsonb".into(),
                    stats: Some(ColumnStats {
                        histogram: histogram.collect(),
                        ..ColumnStats::default()
                    }),
                    ..Column::default()
                }],
                ..Relation::default()
            }],
            ..Catalog::default()
        }
    }

    fn of(catalog: &Catalog, text: &str, rows: u64) -> Option<String> {
        let mut workload = Workload::default();
        let entry = PgssEntry {
            text: text.to_owned(),
            stats: PgssStats {
                n_calls: 10,
                n_rows: rows * 10,
                total_ms: 10.0,
                ..PgssStats::default()
            },
            ..PgssEntry::default()
        };
        workload.add_pg_stat_statements(vec![entry], crate::workload::InputFacts::default());
        let query = &workload.queries[0];
        let shape = shape::parse(&query.sample).unwrap();
        revealed(catalog, query, &shape).map(|revealed| revealed.text)
    }

    #[test]
    fn the_one_key_whose_values_are_as_rare_as_the_rows() {
        let catalog = catalog("");
        let text = of(&catalog, "SELECT id FROM t WHERE meta ->> $1 = $2", 2).unwrap();
        assert!(text.contains("meta ->> 'po'"), "{text}");
        let text = of(&catalog, "SELECT id FROM t WHERE meta ->> $1 = $2", 33_000).unwrap();
        assert!(text.contains("meta ->> 'source'"), "{text}");
        let text = of(&catalog, "SELECT id FROM t WHERE meta #>> $1 = $2", 1).unwrap();
        assert!(text.contains("meta #>> '{addr,zip}'"), "{text}");
    }

    #[test]
    fn two_possible_keys_or_unknown_rows_reveal_nothing() {
        let two = catalog(r#""serial": "S#", "#);
        assert_eq!(of(&two, "SELECT id FROM t WHERE meta ->> $1 = $2", 2), None);
        let one = catalog("");
        assert_eq!(
            of(&one, "SELECT count(*) FROM t WHERE meta ->> $1 = $2", 1),
            None
        );
        assert_eq!(
            of(&one, "SELECT id FROM t WHERE other ->> $1 = $2", 1),
            None
        );
    }
}
