//! Constants of statements whose values may not stay: what is kept of one is how selective it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Snapshot, stand_in::Chooser};
use crate::{
    catalog::{
        RelationName,
        planner::{ColumnStatistics, PlannerState, StatisticsTarget},
    },
    sql::{
        ComparedColumn, Constant, Fingerprint, How, constants, plannable, quote_identifier,
        quote_literal,
        shape::{self, RelationRef},
    },
};

/// Constants of one statement that are looked at; a longer list is a load of data.
pub(super) const MAX_CONSTANTS: usize = 1_000;
/// Share that an inequality is taken to keep where nothing is known (`DEFAULT_INEQ_SEL`, `selfuncs.h`).
const UNKNOWN_RANGE: f64 = 1.0 / 3.0;
/// The same of two of them (`DEFAULT_RANGE_INEQ_SEL`).
const UNKNOWN_BETWEEN: f64 = 0.005;
/// The same of a pattern (`DEFAULT_MATCH_SEL`).
const UNKNOWN_PATTERN: f64 = 0.005;

/// How selective a constant is, by its column's statistics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiteralClass {
    /// The most common value of that rank, counted from 0.
    Common(u32),
    /// None of the common values.
    Rare,
    /// So many thousandths of the values lie below.
    Below(u16),
    /// A pattern with a beginning that so many thousandths of the values have.
    Beginning(u16),
    /// A pattern: its wildcards, and an `x` for every other character.
    Pattern(String),
}

/// A constant that became `$n`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassedLiteral {
    /// Number of the parameter.
    pub n: u16,
    /// Table of the column that it is compared with.
    pub relation: RelationName,
    /// That column.
    pub column: String,
    /// Type of the column, as SQL.
    pub type_name: String,
    /// What is kept of it.
    pub class: LiteralClass,
}

/// The constants of a statement of the workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementLiterals {
    /// The statement.
    pub fingerprint: Fingerprint,
    /// Its constants, by number.
    pub literals: Vec<ClassedLiteral>,
}

/// Statistics of columns, found by how a statement names them.
#[derive(Debug)]
pub(super) struct Known<'a>(BTreeMap<&'a str, Vec<&'a ColumnStatistics>>);

impl<'a> Known<'a> {
    /// Of a table with partitions or children, the statistics of all of them together.
    pub(super) fn of(statistics: &'a [ColumnStatistics]) -> Self {
        let mut known: BTreeMap<&str, Vec<&ColumnStatistics>> = BTreeMap::new();
        for statistics in statistics {
            let StatisticsTarget::Column(column) = &statistics.target else {
                continue;
            };
            let of_name = known.entry(column).or_default();
            match of_name
                .iter_mut()
                .find(|other| other.relation == statistics.relation)
            {
                Some(other) if statistics.inherited => *other = statistics,
                Some(_) => {}
                None => of_name.push(statistics),
            }
        }
        Self(known)
    }

    /// The column's statistics, if there is but one that the name can mean.
    fn find(
        &self,
        scans: &[(String, RelationRef)],
        column: &ComparedColumn,
    ) -> Option<&'a ColumnStatistics> {
        let all = self.0.get(column.name.as_str())?;
        let is_read = |relation: &RelationName| {
            scans.iter().any(|(alias, read)| {
                column
                    .qualifier
                    .as_ref()
                    .is_none_or(|qualifier| qualifier == alias)
                    && read.name == relation.name
                    && read
                        .schema
                        .as_ref()
                        .is_none_or(|schema| *schema == relation.schema)
            })
        };
        let read: Vec<_> = all
            .iter()
            .filter(|statistics| is_read(&statistics.relation))
            .collect();
        match (read.as_slice(), all.as_slice()) {
            ([one], _) => Some(**one),
            // through a view or a subquery
            ([], [one]) => Some(*one),
            _ => None,
        }
    }

    /// The constants of a statement, with the statistics of the columns that they are compared with. `None` where it has too many.
    pub(super) fn constants(
        &self,
        sql: &str,
    ) -> Option<Vec<(Constant, Option<&'a ColumnStatistics>)>> {
        let found = constants(sql);
        if found.len() > MAX_CONSTANTS {
            return None;
        }
        let shape = shape::parse(sql).ok();
        let scans: Vec<(String, RelationRef)> = shape
            .iter()
            .flat_map(|shape| &shape.scans)
            .map(|scan| (scan.alias.clone(), scan.relation.clone()))
            .collect();
        let with = found.into_iter().map(|constant| {
            let compared = constant.compared.as_ref();
            let statistics = compared.and_then(|(column, _)| self.find(&scans, column));
            (constant, statistics)
        });
        Some(with.collect())
    }
}

/// Puts values of the same classes into the statements of a snapshot, so that they are planned with the selectivities that they had.
pub fn put_back(snapshot: &mut Snapshot) {
    let Some(planner) = &snapshot.planner else {
        return;
    };
    for statement in &snapshot.literals {
        let queries = &mut snapshot.workload.queries;
        if let Ok(at) = queries.binary_search_by_key(&statement.fingerprint, |q| q.fingerprint) {
            let values = values(&statement.literals, planner);
            queries[at].sample = plannable(&queries[at].sample, &values, None);
        }
    }
    for sample in &mut snapshot.samples {
        if !sample.literals.is_empty() {
            sample.sql = plannable(&sample.sql, &values(&sample.literals, planner), None);
        }
    }
}

fn values(literals: &[ClassedLiteral], planner: &PlannerState) -> BTreeMap<u16, String> {
    let known = Known::of(&planner.column_statistics);
    let mut choosers: BTreeMap<(&RelationName, &str), Chooser<'_>> = BTreeMap::new();
    let value = |literal: &ClassedLiteral| {
        let (name, of_name) = known.0.get_key_value(literal.column.as_str())?;
        let statistics = of_name.iter().find(|s| s.relation == literal.relation)?;
        let key = (&statistics.relation, *name);
        let chooser = choosers
            .entry(key)
            .or_insert_with(|| Chooser::of(&statistics.row));
        let value = match &literal.class {
            LiteralClass::Common(rank) => chooser.common(*rank as usize),
            LiteralClass::Rare => chooser.rare(),
            LiteralClass::Below(share) => chooser.place(f64::from(*share) / 1e3),
            LiteralClass::Beginning(share) => {
                let beginning = chooser.beginning(f64::from(*share) / 1e3)?;
                Some(format!("{beginning}%"))
            }
            LiteralClass::Pattern(pattern) => Some(pattern.clone()),
        };
        Some((literal.n, quote_literal(&value?)))
    };
    literals.iter().filter_map(value).collect()
}

/// What a twin puts into statements whose constants it is given with their real values, but of whose columns it has stand-ins alone: values of
/// average selectivity, which is what the planner takes where it knows nothing.
#[derive(Debug, Default)]
pub struct Unknowns {
    /// Strings that the schema's own SQL names: conditions of indexes and checks are proved with them.
    named: BTreeSet<String>,
    /// Expressions of partition keys: which partition a constant is of, only itself can tell.
    keys: Vec<(RelationName, String)>,
    rows: BTreeMap<RelationName, f64>,
}

impl Unknowns {
    /// `None` where no column has stand-ins.
    #[must_use]
    pub fn of(planner: &PlannerState) -> Option<Self> {
        let mut statistics = planner.column_statistics.iter();
        statistics
            .any(|statistics| statistics.row.is_faked)
            .then(|| {
                let mut objects = planner.objects.clone();
                let mut named = BTreeSet::new();
                super::redact::each_sql(&mut objects, &mut |_, sql| {
                    named.extend(
                        constants(sql)
                            .iter()
                            .filter_map(|constant| constant.plain(sql)),
                    );
                });
                let physical = planner.physical.iter();
                let tables = planner.objects.tables.iter();
                Self {
                    named,
                    keys: tables
                        .filter_map(|table| {
                            Some((table.name.clone(), table.partition_key.clone()?))
                        })
                        .collect(),
                    rows: physical
                        .map(|state| (state.name.clone(), state.reltuples))
                        .collect(),
                }
            })
    }

    fn is_key(&self, statistics: &ColumnStatistics) -> bool {
        let StatisticsTarget::Column(column) = &statistics.target else {
            return false;
        };
        let name = quote_identifier(column);
        (self.keys.iter()).any(|(table, key)| *table == statistics.relation && key.contains(&name))
    }

    /// The statement to plan, and what to write in its plan in place of what was put in.
    #[must_use]
    pub fn put_in(&self, sql: &str, planner: &PlannerState) -> (String, Vec<(String, String)>) {
        let is_read = |constant: &Constant| constant.is_string && constant.compared.is_some();
        if !constants(sql).iter().any(is_read) {
            return (sql.to_owned(), Vec::new());
        }
        let known = Known::of(&planner.column_statistics);
        let mut choosers: BTreeMap<(&RelationName, &str), Chooser<'_>> = BTreeMap::new();
        let (mut out, mut copied, mut replaced) = (String::new(), 0, Vec::new());
        let found = known.constants(sql).unwrap_or_default();
        for (constant, statistics) in &found {
            let Some(statistics) = (*statistics).filter(|s| s.row.is_faked && !self.is_key(s))
            else {
                continue;
            };
            let StatisticsTarget::Column(column) = &statistics.target else {
                continue;
            };
            let chooser = (choosers.entry((&statistics.relation, column.as_str())))
                .or_insert_with(|| Chooser::of(&statistics.row));
            let Some(value) = constant
                .plain(sql)
                .filter(|value| !chooser.knows(value) && !self.named.contains(value))
            else {
                continue;
            };
            let rows = self.rows.get(&statistics.relation).copied().unwrap_or(0.0);
            let ends = found.iter().filter(|(other, with)| {
                let how = other.compared.as_ref().map(|(_, how)| *how);
                with.is_some_and(|with| std::ptr::eq(with, statistics))
                    && matches!(how, Some(How::Below | How::Above))
            });
            let range = if ends.count() > 1 {
                Range::Between
            } else {
                Range::Open
            };
            let Some(new) = unknown(chooser, constant, &value, (rows, range)) else {
                continue;
            };
            out.push_str(sql.get(copied..constant.start).unwrap_or_default());
            out.push_str(&quote_literal(&new));
            copied = constant.end;
            replaced.push((quote_literal(&new), quote_literal(&value)));
        }
        out.push_str(sql.get(copied..).unwrap_or_default());
        (out, replaced)
    }
}

/// Is a column compared with one end of a range, or with both?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    Open,
    Between,
}

fn unknown(
    chooser: &mut Chooser<'_>,
    constant: &Constant,
    value: &str,
    (rows, range): (f64, Range),
) -> Option<String> {
    let (_, how) = constant.compared.as_ref()?;
    match (how, range) {
        (How::Below, Range::Between) => return chooser.place(0.5 + UNKNOWN_BETWEEN / 2.0),
        (How::Above, Range::Between) => return chooser.place(0.5 - UNKNOWN_BETWEEN / 2.0),
        _ => {}
    }
    match how {
        How::Equal => chooser.average(rows),
        How::Below => chooser.place(UNKNOWN_RANGE),
        How::Above => chooser.place(1.0 - UNKNOWN_RANGE),
        How::Like => {
            let (beginning, _) = value.split_at(value.find(['%', '_'])?);
            let new = chooser.beginning(UNKNOWN_PATTERN)?;
            (!beginning.is_empty()).then(|| format!("{new}%"))
        }
        How::ILike => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::planner::StatisticRow,
        snapshot::{
            SamplePlan,
            stand_in::{Form, StandIns, tests::row},
        },
    };

    fn planner() -> PlannerState {
        let mut faked = row("text", &[("ada", 0.3), ("paid", 0.1)], &["a", "z"]);
        assert!(StandIns::default().replace(&mut faked, Form::Text(8), &|text| text == "paid"));
        let of = |table: &str, column: &str, row: StatisticRow| ColumnStatistics {
            relation: RelationName::new("shop", table),
            target: StatisticsTarget::Column(column.into()),
            inherited: false,
            row,
        };
        PlannerState {
            column_statistics: vec![
                of("t", "name", faked.clone()),
                of("t", "kind", faked.clone()),
                of("u", "kind", faked),
            ],
            ..PlannerState::default()
        }
    }

    #[test]
    fn a_column_is_found_by_its_name_if_only_one_is_meant() {
        let planner = planner();
        let known = Known::of(&planner.column_statistics);
        for (sql, table) in [
            ("SELECT 1 FROM t WHERE name = 'x'", Some("t")),
            ("SELECT 1 FROM a_view WHERE name = 'x'", Some("t")),
            (
                "SELECT 1 FROM shop.u JOIN t ON true WHERE u.kind = 'x'",
                Some("u"),
            ),
            ("SELECT 1 FROM t a, u b WHERE b.kind = 'x'", Some("u")),
            ("SELECT 1 FROM t a, u b WHERE kind = 'x'", None),
            ("SELECT 1 FROM a_view WHERE kind = 'x'", None),
            ("SELECT 1 FROM t WHERE other = 'x'", None),
        ] {
            let constants = known.constants(sql).unwrap();
            let found = constants
                .last()
                .unwrap()
                .1
                .map(|s| s.relation.name.as_str());
            assert_eq!(found, table, "{sql}");
        }
    }

    #[test]
    fn classes_become_values_of_the_redacted_statistics() {
        let planner = planner();
        let literal = |n: u16, class: LiteralClass| ClassedLiteral {
            n,
            relation: RelationName::new("shop", "t"),
            column: "name".into(),
            type_name: "text".into(),
            class,
        };
        let mut snapshot = Snapshot {
            planner: Some(planner),
            samples: vec![SamplePlan {
                sql: "SELECT $1 FROM t WHERE name = $2 OR name IN ($3, $4) OR name LIKE $5".into(),
                literals: vec![
                    literal(2, LiteralClass::Common(1)),
                    literal(3, LiteralClass::Rare),
                    literal(4, LiteralClass::Common(99)),
                    literal(5, LiteralClass::Pattern("%xx%".into())),
                ],
                ..SamplePlan::default()
            }],
            ..Snapshot::default()
        };
        put_back(&mut snapshot);
        assert_eq!(
            snapshot.samples[0].sql,
            "SELECT $1 FROM t WHERE name = 'paid' OR name IN ('~1', $2) OR name LIKE '%xx%'"
        );
    }

    #[test]
    fn unknown_constants_are_of_average_selectivity_and_known_ones_stay() {
        let planner = planner();
        let unknowns = Unknowns::of(&planner).unwrap();
        let sql = "SELECT 'x' FROM t WHERE name = 'new' AND kind = 'paid' AND name LIKE 'ab%' AND name ILIKE 'ab%'";
        let (changed, back) = unknowns.put_in(sql, &planner);
        assert!(
            changed.starts_with(
                "SELECT 'x' FROM t WHERE name = '~1' AND kind = 'paid' AND name LIKE 'x"
            ),
            "{changed}"
        );
        assert!(changed.ends_with("%' AND name ILIKE 'ab%'"), "{changed}");
        assert_eq!(back[0], ("'~1'".to_owned(), "'new'".to_owned()));
        let (again, back) = unknowns.put_in(&changed, &planner);
        assert!(
            again.contains("name = '~1'") && !back.iter().any(|(new, _)| new == "'~2'"),
            "{again}"
        );
        assert!(Unknowns::of(&PlannerState::default()).is_none());
    }
}
