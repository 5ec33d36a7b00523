//! Common combinations of values and functional dependencies without the privilege to read them: the planner knows them, so that EXPLAIN tells
//! how many rows it expects of each combination of common values. Nothing is executed.

use std::time::Instant;

use super::{Audited, DbError, Guarded, PROBE_BUDGET, gap, probed_distinct::Object};
use crate::{
    catalog::{
        RelationName,
        planner::{
            ColumnStatistics, Combination, CommonCombinations, Dependency, ExtendedStatistics, Gap,
            SlotKind, StatisticsColumn, StatisticsTarget,
        },
    },
    sql::{quote_identifier, quote_literal},
};

/// Combinations in one statement, an EXPLAIN of a UNION ALL.
const BATCH: usize = 150;
/// Combinations of one object that are asked for at each step; those that do not occur are not gone on with.
const MAX_PER_STEP: usize = 900;
/// Common values of a column that are asked for.
const MAX_VALUES: usize = 60;
/// Columns of one object.
const MAX_COLUMNS: usize = 8;
/// Rows that an estimate of no row at all is rounded to stay below of.
const SOME: f64 = 1.5;
/// Rows below which an estimate's rounding hides what it says.
const CLEAR: f64 = 20.0;

/// A common value of a column, or NULL, and its share of the rows.
#[derive(Debug, Clone, PartialEq)]
struct Value {
    text: Option<String>,
    share: f64,
}

/// A column's common values.
#[derive(Debug, Clone)]
struct Column {
    name: String,
    type_name: String,
    values: Vec<Value>,
}

/// Fills in what the planner says of each object's combinations.
pub(super) async fn read(
    audited: &Audited,
    objects: &[Object],
    statistics: &[ColumnStatistics],
    found: &mut [ExtendedStatistics],
    gaps: &mut Vec<Gap>,
) -> Result<(), DbError> {
    let started = Instant::now();
    let mut n_missed = 0;
    let mut guarded = super::probed_distinct::begin(audited).await?;
    for known in found {
        let object = objects.iter().find(|object| object.name == known.name);
        let Some(object) = object.filter(|object| object.has_combinations()) else {
            continue;
        };
        let columns = columns(object, statistics);
        let (Some(columns), true) = (columns, started.elapsed() < PROBE_BUDGET) else {
            n_missed += 1;
            continue;
        };
        match probe(&guarded, object, &columns, started).await {
            Ok(None) => n_missed += 1,
            Ok(Some(items)) if object.kinds.contains('m') => {
                known.combinations = Some(CommonCombinations {
                    types: columns.into_iter().map(|column| column.type_name).collect(),
                    items,
                });
            }
            Ok(Some(items)) => known.dependencies = dependencies(&columns, &items),
            Err(_) => {
                n_missed += 1;
                drop(guarded);
                guarded = super::probed_distinct::begin(audited).await?;
            }
        }
    }
    guarded.end().await?;
    if n_missed > 0 {
        gaps.push(gap("common combinations of values", n_missed, COST));
    }
    Ok(())
}

const COST: &str =
    "could not be worked out from EXPLAIN: conditions on correlated columns are estimated too few";

/// Columns in the order of the object's, with their common values. `None` where one has none that the role may see.
fn columns(object: &Object, statistics: &[ColumnStatistics]) -> Option<Vec<Column>> {
    if !(2..=MAX_COLUMNS).contains(&object.columns.len()) {
        return None;
    }
    let column = |name: &String| {
        let row = &statistics
            .iter()
            .find(|known| {
                known.relation == object.table
                    && !known.inherited
                    && matches!(&known.target, StatisticsTarget::Column(column) if column == name)
            })?
            .row;
        let slot = row.slot(SlotKind::MostCommonValues)?;
        let (values, shares) = (slot.values.as_ref()?, slot.numbers.as_ref()?);
        let mut found: Vec<Value> = values
            .elements
            .iter()
            .zip(shares)
            .map(|(text, share)| Value {
                text: text.clone(),
                share: f64::from(*share),
            })
            .collect();
        if row.null_frac > 0.0 {
            found.push(Value {
                text: None,
                share: f64::from(row.null_frac),
            });
        }
        found.sort_by(|a, b| b.share.total_cmp(&a.share));
        found.truncate(MAX_VALUES);
        Some(Column {
            name: name.clone(),
            type_name: values.type_name.clone(),
            values: found,
        })
    };
    object.columns.iter().map(column).collect()
}

/// Places of values, one for each column so far, and the rows expected of them.
type Chosen = (Vec<usize>, f64);

/// Goes on column by column with the combinations that occur. `None` where none is known in the end, or time is up.
async fn probe(
    guarded: &Guarded,
    object: &Object,
    columns: &[Column],
    started: Instant,
) -> Result<Option<Vec<Combination>>, DbError> {
    let all = estimates(guarded, object, columns, &[Vec::new()]).await?;
    let all = all.first().copied().unwrap_or(1.0).max(1.0);
    let mut found: Vec<Chosen> = vec![(Vec::new(), all)];
    for at in 0..columns.len() {
        found.retain(|(_, rows)| *rows > SOME);
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        found.truncate(MAX_PER_STEP);
        let n_values = (MAX_PER_STEP / found.len().max(1)).max(1);
        let places: Vec<Vec<usize>> = found
            .iter()
            .flat_map(|(chosen, _)| {
                let values = 0..columns[at].values.len().min(n_values);
                values.map(move |value| [&chosen[..], &[value]].concat())
            })
            .collect();
        if at == 0 {
            // of one value the statistics tell
            found = places.into_iter().map(|chosen| (chosen, all)).collect();
            continue;
        }
        let mut rows = Vec::with_capacity(places.len());
        for batch in places.chunks(BATCH) {
            if started.elapsed() > PROBE_BUDGET {
                return Ok(None);
            }
            rows.extend(estimates(guarded, object, columns, batch).await?);
        }
        found = places.into_iter().zip(rows).collect();
    }
    let items = found.into_iter().map(|(chosen, rows)| {
        let values = || {
            columns
                .iter()
                .zip(&chosen)
                .map(|(column, at)| &column.values[*at])
        };
        Combination {
            values: values().map(|value| value.text.clone()).collect(),
            // an estimate of one row may be of none
            frequency: if rows < SOME {
                0.0
            } else {
                (rows / all).min(1.0)
            },
            base_frequency: values().map(|value| value.share).product::<f64>().min(1.0),
        }
    });
    // of what is rare anyway, that it does not occur says nothing
    let items: Vec<Combination> = items
        .filter(|item| item.frequency > 0.0 || item.base_frequency * all > SOME)
        .collect();
    Ok(Some(items).filter(|items| !items.is_empty()))
}

/// Rows that the planner expects of each combination, given by the places of its values.
async fn estimates(
    guarded: &Guarded,
    object: &Object,
    columns: &[Column],
    places: &[Vec<usize>],
) -> Result<Vec<f64>, DbError> {
    let what = "probing common combinations";
    let sql = statement(&object.table, columns, places);
    let answer = guarded.query(what, &sql, &[]).await?;
    answer
        .first()
        .and_then(|row| row.try_get::<_, serde_json::Value>(0).ok())
        .and_then(|plan| {
            let branches = plan[0]["Plan"]["Plans"].as_array()?;
            let rows = branches.iter().map(|branch| branch["Plan Rows"].as_f64());
            rows.collect::<Option<Vec<f64>>>()
        })
        .filter(|rows| rows.len() == places.len() + 1)
        .map(|rows| rows[..places.len()].to_vec())
        .ok_or_else(|| super::unexpected(what))
}

/// Each combination; and a last branch, so that one alone is a UNION ALL too.
fn statement(table: &RelationName, columns: &[Column], places: &[Vec<usize>]) -> String {
    let from = format!("SELECT 1 FROM ONLY {}", table.to_sql());
    let branches = places.iter().map(|chosen| {
        let conditions = columns.iter().zip(chosen).map(|(column, at)| {
            let name = quote_identifier(&column.name);
            match &column.values[*at].text {
                Some(text) => format!("{name} = {}", quote_literal(text)),
                None => format!("{name} IS NULL"),
            }
        });
        let conditions: Vec<String> = conditions.collect();
        match conditions.as_slice() {
            [] => from.clone(),
            conditions => format!("{from} WHERE {}", conditions.join(" AND ")),
        }
    });
    let all: Vec<String> = branches.chain([from.clone()]).collect();
    format!(
        "EXPLAIN /* pgassay */ (FORMAT JSON) {}",
        all.join(" UNION ALL ")
    )
}

/// How far one of two columns decides the other: what the planner added to the product of their shares (`dependencies_clauselist_selectivity`).
fn dependencies(columns: &[Column], items: &[Combination]) -> Vec<Dependency> {
    let [a, b] = columns else {
        return Vec::new();
    };
    let share = |column: &Column, text: &Option<String>| {
        let known = column.values.iter().find(|value| value.text == *text);
        known.map_or(0.0, |value| value.share)
    };
    let least = items
        .iter()
        .map(|item| item.frequency)
        .filter(|frequency| *frequency > 0.0)
        .fold(1.0, f64::min);
    let mut degrees: Vec<f64> = items
        .iter()
        .filter(|item| item.frequency >= CLEAR * least || item.frequency > 0.001)
        .filter_map(|item| {
            let lower = share(a, &item.values[0]).min(share(b, &item.values[1]));
            let room = lower - item.base_frequency;
            (room > 0.0 && item.values.iter().all(Option::is_some))
                .then(|| ((item.frequency - item.base_frequency) / room).clamp(0.0, 1.0))
        })
        .collect();
    degrees.sort_by(f64::total_cmp);
    let Some(degree) = degrees.get(degrees.len() / 2).copied() else {
        return Vec::new();
    };
    let name = |column: &Column| StatisticsColumn::Column(column.name.clone());
    [(a, b), (b, a)]
        .into_iter()
        .map(|(from, to)| Dependency {
            columns: vec![name(from), name(to)],
            degree,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, shares: &[f64]) -> Column {
        Column {
            name: name.into(),
            type_name: "text".into(),
            values: shares
                .iter()
                .enumerate()
                .map(|(at, share)| Value {
                    text: Some(format!("v'{at}")),
                    share: *share,
                })
                .collect(),
        }
    }

    #[test]
    fn every_combination_is_one_branch() {
        let columns = [column("a", &[0.5, 0.1]), column("B", &[0.2, 0.1, 0.1])];
        let places = [vec![], vec![0, 1], vec![1, 2]];
        let sql = statement(&RelationName::new("public", "t"), &columns, &places);
        assert_eq!(sql.matches("UNION ALL").count(), 3);
        assert!(sql.contains("WHERE a = 'v''1' AND \"B\" = 'v''2'"), "{sql}");
    }

    #[test]
    fn a_dependency_is_what_the_planner_added() {
        let columns = [column("a", &[0.4, 0.2]), column("b", &[0.5, 0.1])];
        let items: Vec<Combination> = [[0, 0], [0, 1], [1, 0], [1, 1]]
            .iter()
            .map(|chosen| {
                let [x, y] = [&columns[0].values[chosen[0]], &columns[1].values[chosen[1]]];
                let product = x.share * y.share;
                Combination {
                    values: vec![x.text.clone(), y.text.clone()],
                    frequency: 0.75 * x.share.min(y.share) + 0.25 * product,
                    base_frequency: product,
                }
            })
            .collect();
        let found = dependencies(&columns, &items);
        assert_eq!(found.len(), 2);
        assert!((found[0].degree - 0.75).abs() < 1e-9);
    }
}
