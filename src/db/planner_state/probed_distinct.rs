//! Numbers of distinct combinations without the privilege to read extended statistics: the planner groups by them, so that EXPLAIN tells them.
//! Nothing is executed.

use std::time::Instant;

use serde::Deserialize;

use super::{Audited, DbError, Guarded, PROBE_BUDGET, USER_SCHEMA, gap, rows};
use crate::{
    catalog::{
        RelationName,
        planner::{DistinctGroup, ExtendedStatistics, Gap, StatisticRow, StatisticsColumn},
    },
    sql::quote_identifier,
};

/// Columns and expressions of one object (`STATS_MAX_DIMENSIONS`).
const MAX_ITEMS: usize = 8;

#[derive(Debug, Deserialize)]
pub(super) struct Object {
    pub(super) name: RelationName,
    pub(super) table: RelationName,
    partitioned: bool,
    /// `stxkind`
    pub(super) kinds: String,
    pub(super) columns: Vec<String>,
    pub(super) expressions: Vec<String>,
}

impl Object {
    /// Does the planner know combinations or dependencies of its columns, where a plain scan shows them?
    pub(super) fn has_combinations(&self) -> bool {
        !self.partitioned && self.expressions.is_empty() && self.kinds.contains(['m', 'f'])
    }

    fn items(&self) -> Vec<(StatisticsColumn, String)> {
        let columns = self.columns.iter().map(|name| {
            (
                StatisticsColumn::Column(name.clone()),
                quote_identifier(name),
            )
        });
        let expressions = (1..)
            .zip(&self.expressions)
            .map(|(at, sql)| (StatisticsColumn::Expression(at), format!("({sql})")));
        columns.chain(expressions).take(MAX_ITEMS).collect()
    }
}

/// Extended statistics objects.
pub(super) async fn objects(audited: &Audited) -> Result<Vec<Object>, DbError> {
    let guarded = super::begin(audited).await?;
    let sql = listing(audited.version_num());
    let objects = rows(&guarded, "listing statistics", &sql, &[]).await?;
    guarded.end().await?;
    Ok(objects)
}

/// What a role without rights can learn: numbers of distinct values of combinations and expressions.
pub(super) async fn read(
    audited: &Audited,
    objects: &[Object],
    gaps: &mut Vec<Gap>,
) -> Result<Vec<ExtendedStatistics>, DbError> {
    let mut guarded = begin(audited).await?;
    let started = Instant::now();
    let (mut found, mut n_missed) = (Vec::new(), 0);
    let n = objects.len();
    for object in objects {
        if started.elapsed() > PROBE_BUDGET {
            n_missed += 1;
            continue;
        }
        if let Ok(statistics) = probe(&guarded, object).await {
            found.push(statistics);
        } else {
            n_missed += 1;
            drop(guarded);
            guarded = begin(audited).await?;
        }
    }
    guarded.end().await?;
    if n > 0 {
        gaps.push(gap("extended statistics", n, COST));
    }
    if n_missed > 0 {
        let cost = "not learnt: groups of correlated columns are estimated too many";
        gaps.push(gap("numbers of distinct combinations", n_missed, cost));
    }
    Ok(found)
}

const COST: &str = "only a superuser or the tables' owner can read them: numbers of distinct values, dependencies and common combinations of plain columns \
    were worked out from EXPLAIN; rarer combinations are missing";

pub(super) async fn begin(audited: &Audited) -> Result<Guarded, DbError> {
    let guarded = super::begin(audited).await?;
    guarded
        .try_batch(
            1,
            "SET /* pgassay */ LOCAL max_parallel_workers_per_gather = 0",
        )
        .await
        .map_err(|failure| failure.into_error("setting planner switches"))?;
    Ok(guarded)
}

fn listing(version: u32) -> String {
    let expressions = if version >= 140_000 {
        "coalesce(to_json(pg_get_statisticsobjdef_expressions(s.oid)), '[]')"
    } else {
        "'[]'::json"
    };
    format!(
        "SELECT json_build_object('name', json_build_object('schema', n.nspname, 'name', s.stxname), 'table', json_build_object('schema', tn.nspname, 'name', t.relname), \
           'partitioned', t.relkind = 'p', 'kinds', array_to_string(s.stxkind, ''), 'expressions', {expressions}, \
           'columns', (SELECT coalesce(json_agg(a.attname ORDER BY a.attnum), '[]') FROM pg_attribute a WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys) AND a.attnum > 0))::text \
         FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace JOIN pg_class t ON t.oid = s.stxrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace \
         WHERE {USER_SCHEMA} ORDER BY s.oid"
    )
}

async fn probe(guarded: &Guarded, object: &Object) -> Result<ExtendedStatistics, DbError> {
    let items = object.items();
    let mut statistics = ExtendedStatistics {
        name: object.name.clone(),
        table: object.table.clone(),
        inherited: object.partitioned,
        ..ExtendedStatistics::default()
    };
    if object.kinds.contains('d') {
        for chosen in combinations(items.len()) {
            let sql: Vec<&str> = chosen.iter().map(|at| items[*at].1.as_str()).collect();
            statistics.n_distinct.push(DistinctGroup {
                columns: chosen.iter().map(|at| items[*at].0.clone()).collect(),
                n_distinct: groups(guarded, object, &sql.join(", ")).await?,
            });
        }
    }
    if object.kinds.contains('e') {
        for (_, sql) in items.iter().skip(object.columns.len()) {
            let n = groups(guarded, object, sql).await?;
            statistics.expressions.push(StatisticRow {
                n_distinct: n as f32,
                ..StatisticRow::default()
            });
        }
    }
    Ok(statistics)
}

/// All choices of at least two of `n`, as Postgres keeps them.
fn combinations(n: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..1_usize << n.min(MAX_ITEMS))
        .map(move |mask| (0..n).filter(|at| mask & (1 << at) != 0).collect())
        .filter(|chosen: &Vec<usize>| chosen.len() > 1)
}

async fn groups(guarded: &Guarded, object: &Object, keys: &str) -> Result<f64, DbError> {
    let only = if object.partitioned { "" } else { "ONLY " };
    let sql = format!(
        "EXPLAIN /* pgassay */ (FORMAT JSON) SELECT 1 FROM {only}{} GROUP BY {keys}",
        object.table.to_sql()
    );
    let what = "probing numbers of distinct values";
    let answer = guarded.query(what, &sql, &[]).await?;
    answer
        .first()
        .and_then(|row| row.try_get::<_, serde_json::Value>(0).ok())
        .and_then(|plan| plan[0]["Plan"]["Plan Rows"].as_f64())
        .ok_or_else(|| super::unexpected(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_combinations_of_two_and_more() {
        let found: Vec<Vec<usize>> = combinations(3).collect();
        assert_eq!(found, [vec![0, 1], vec![0, 2], vec![1, 2], vec![0, 1, 2]]);
        assert_eq!(combinations(1).count(), 0);
    }
}
