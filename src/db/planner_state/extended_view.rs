//! Extended statistics through the views that show them to the owner of a table: `pg_stats_ext`, `pg_stats_ext_exprs`.
//!
//! They round numbers of distinct combinations to whole ones and degrees of dependencies to six digits; common combinations come as texts.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Audited, DbError, Guarded, USER_SCHEMA, operators::Operators, probed_distinct::Object, rows,
    statistics::ViewRow,
};
use crate::catalog::{
    RelationName,
    planner::{
        Combination, CommonCombinations, Dependency, DistinctGroup, ExtendedStatistics,
        StatisticRow, StatisticsColumn,
    },
};

#[derive(Debug, Deserialize)]
struct Shown {
    name: RelationName,
    table: RelationName,
    inherited: bool,
    n_distinct: Option<BTreeMap<String, f64>>,
    dependencies: Option<BTreeMap<String, f64>>,
    values: Option<Vec<Vec<Option<String>>>>,
    frequencies: Option<Vec<f64>>,
    base_frequencies: Option<Vec<f64>>,
    /// Columns of the table by number.
    names: BTreeMap<i16, String>,
    /// Types of the object's columns, in order.
    types: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Expression {
    object: RelationName,
    sql: String,
    row: ViewRow,
}

/// What the role sees, and the objects of which it sees nothing.
pub(super) async fn read(
    audited: &Audited,
    objects: Vec<Object>,
) -> Result<(Vec<ExtendedStatistics>, Vec<Object>), DbError> {
    if objects.is_empty() {
        return Ok((Vec::new(), objects));
    }
    let reader = super::Reader::begin(audited).await?;
    let version = audited.version_num();
    let what = "reading pg_stats_ext";
    let shown: Vec<Shown> = rows(&reader.guarded, what, &statistics(version), &[]).await?;
    let mut expressions: Vec<Expression> = Vec::new();
    if !shown.is_empty() && version >= 140_000 {
        expressions = rows(
            &reader.guarded,
            "reading pg_stats_ext_exprs",
            &expression_statistics(version),
            &[],
        )
        .await?;
    }
    let mut found = Vec::new();
    if !shown.is_empty() {
        let operators = Operators::read(&reader).await?;
        for shown in shown {
            let object = objects.iter().find(|object| object.name == shown.name);
            let mut statistics = resolve(shown);
            if let Some(object) = object {
                statistics.expressions =
                    of_expressions(&reader.guarded, &operators, object, &mut expressions).await?;
            }
            found.push(statistics);
        }
    }
    reader.guarded.end().await?;
    let hidden = objects
        .into_iter()
        .filter(|object| !found.iter().any(|known| known.name == object.name))
        .collect();
    Ok((found, hidden))
}

fn statistics(version: u32) -> String {
    let inherited = if version >= 150_000 {
        "v.inherited"
    } else {
        "false"
    };
    format!(
        "SELECT json_build_object('name', json_build_object('schema', v.statistics_schemaname, 'name', v.statistics_name), \
           'table', json_build_object('schema', v.schemaname, 'name', v.tablename), 'inherited', {inherited}, \
           'n_distinct', v.n_distinct::text::json, 'dependencies', v.dependencies::text::json, 'values', to_json(v.most_common_vals), \
           'frequencies', v.most_common_freqs, 'base_frequencies', v.most_common_base_freqs, \
           'names', (SELECT json_object_agg(a.attnum, a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), \
           'types', (SELECT coalesce(json_agg(format_type(a.atttypid, NULL) ORDER BY a.attnum), '[]') FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY (v.attnames)))::text \
         FROM pg_stats_ext v JOIN pg_namespace n ON n.nspname = v.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = v.tablename \
         WHERE {USER_SCHEMA} ORDER BY v.statistics_schemaname, v.statistics_name"
    )
}

fn expression_statistics(version: u32) -> String {
    let inherited = if version >= 150_000 {
        "v.inherited"
    } else {
        "false"
    };
    format!(
        "SELECT json_build_object('object', json_build_object('schema', v.statistics_schemaname, 'name', v.statistics_name), 'sql', v.expr, \
           'row', json_build_object('relation', json_build_object('schema', v.schemaname, 'name', v.tablename), 'column', '', 'is_index', false, 'key', 0, 'type_oid', 0, \
             'inherited', {inherited}, 'null_frac', v.null_frac, 'width', v.avg_width, 'n_distinct', v.n_distinct, 'common', v.most_common_vals::text, \
             'common_frequencies', v.most_common_freqs, 'histogram', v.histogram_bounds::text, 'correlation', v.correlation, 'elements', v.most_common_elems::text, \
             'element_frequencies', v.most_common_elem_freqs, 'element_counts', v.elem_count_histogram))::text \
         FROM pg_stats_ext_exprs v JOIN pg_namespace n ON n.nspname = v.schemaname WHERE {USER_SCHEMA} AND v.null_frac IS NOT NULL"
    )
}

fn resolve(shown: Shown) -> ExtendedStatistics {
    let columns = |numbers: &str| {
        numbers
            .split([',', '>'])
            .map(|number| column(number.trim_matches([' ', '=']), &shown.names))
            .collect::<Option<Vec<_>>>()
    };
    let groups = shown.n_distinct.iter().flatten();
    let degrees = shown.dependencies.iter().flatten();
    ExtendedStatistics {
        n_distinct: groups
            .filter_map(|(numbers, n)| {
                Some(DistinctGroup {
                    columns: columns(numbers)?,
                    n_distinct: *n,
                })
            })
            .collect(),
        dependencies: degrees
            .filter_map(|(numbers, degree)| {
                Some(Dependency {
                    columns: columns(numbers)?,
                    degree: *degree,
                })
            })
            .collect(),
        combinations: combinations(&shown),
        name: shown.name,
        table: shown.table,
        inherited: shown.inherited,
        ..ExtendedStatistics::default()
    }
}

/// Of a number as it is printed: of a column, or of an expression below zero.
fn column(number: &str, names: &BTreeMap<i16, String>) -> Option<StatisticsColumn> {
    let number: i16 = number.parse().ok()?;
    if number < 0 {
        return Some(StatisticsColumn::Expression(-number));
    }
    names.get(&number).cloned().map(StatisticsColumn::Column)
}

/// Combinations of plain columns; nothing tells the types of expressions.
fn combinations(shown: &Shown) -> Option<CommonCombinations> {
    let values = shown.values.as_ref()?;
    let frequencies = shown.frequencies.as_ref()?;
    let base_frequencies = shown.base_frequencies.as_ref()?;
    if values.is_empty() || values.iter().any(|value| value.len() != shown.types.len()) {
        return None;
    }
    let items = values.iter().zip(frequencies).zip(base_frequencies);
    Some(CommonCombinations {
        types: shown.types.clone(),
        items: items
            .map(|((values, frequency), base_frequency)| Combination {
                values: values.clone(),
                frequency: *frequency,
                base_frequency: *base_frequency,
            })
            .collect(),
    })
}

/// Statistics of an object's expressions, in its order.
async fn of_expressions(
    guarded: &Guarded,
    operators: &Operators,
    object: &Object,
    known: &mut Vec<Expression>,
) -> Result<Vec<StatisticRow>, DbError> {
    let mut found = Vec::new();
    for sql in &object.expressions {
        let at = known
            .iter()
            .position(|known| known.object == object.name && known.sql == *sql);
        let Some(at) = at else {
            // positions count: without one, none
            return Ok(Vec::new());
        };
        let mut expression = known.swap_remove(at);
        // no row is read, so nothing of the expression runs
        let type_of = format!(
            "SELECT to_json(pg_typeof((SELECT ({sql}) FROM ONLY {} LIMIT 0))::oid::int8)::text",
            object.table.to_sql()
        );
        let types: Vec<u32> =
            rows(guarded, "naming the type of an expression", &type_of, &[]).await?;
        expression
            .row
            .set_type(types.first().copied().unwrap_or(0), operators);
        found.push(expression.row.resolve(operators).row);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_statistics_are_read() {
        let shown: Shown = serde_json::from_value(serde_json::json!({
            "name": {"schema": "s", "name": "st"}, "table": {"schema": "s", "name": "t"}, "inherited": false,
            "n_distinct": {"1, 3": 50, "1, -2": 7}, "dependencies": {"1 => 3": 0.9, "1, 3 => 4": 0.5},
            "values": [["a", null], ["b", "2"]], "frequencies": [0.5, 0.1], "base_frequencies": [0.25, 0.1],
            "names": {"1": "a", "3": "b", "4": "c"}, "types": ["text", "integer"],
        }))
        .unwrap();
        let found = resolve(shown);
        let name = |name: &str| StatisticsColumn::Column(name.into());
        let groups: Vec<_> = found.n_distinct.iter().map(|g| g.columns.clone()).collect();
        assert!(groups.contains(&vec![name("a"), name("b")]));
        assert!(groups.contains(&vec![name("a"), StatisticsColumn::Expression(2)]));
        let degrees: Vec<_> = found
            .dependencies
            .iter()
            .map(|d| d.columns.clone())
            .collect();
        assert!(degrees.contains(&vec![name("a"), name("b"), name("c")]));
        let items = found.combinations.unwrap().items;
        assert_eq!(items[0].values, [Some("a".to_owned()), None]);
    }
}
