//! Takes values out of a snapshot before it is written, and says what is left.
//!
//! Values stand in five places: statistics of columns, statistics of combinations, ends of indexes, literals of the schema's SQL, and the
//! workload. `none` touches nothing; `all` leaves no value of any column; `default` leaves what plans need most and people care least about.

mod columns;
mod sql_text;
mod statement;

use std::collections::{BTreeMap, BTreeSet};

use self::{
    columns::{Columns, Fate, Kept, enum_names, is_sensitive},
    sql_text::{Literals, rounded},
    statement::Statements,
};
use super::{
    Redaction, Snapshot, StatementLiterals,
    literal::Known,
    stand_in::{Form, StandIns},
};
use crate::{
    catalog::{
        Catalog, ColumnStats, KeyTarget, RelationName,
        planner::{
            ColumnStatistics, Endpoint, ExtendedStatistics, PlannerState, SchemaObjects, SlotKind,
            SlotValues, StatisticRow, StatisticsTarget, TypeShape,
        },
    },
    sql::{Lexer, StatementKind, TokenKind},
    workload::Workload,
};

/// Distinct values up to which a text column is a category.
const MAX_CATEGORIES: f32 = 100.0;
/// Bytes of the longest word of a category.
const MAX_WORD_BYTES: usize = 30;

/// Kinds of slots whose values are parts of values: elements, and lengths of ranges.
const PARTS: [i16; 2] = [4, 6];

/// Redacts, and fills in [`super::CaptureFacts::holds`].
pub fn redact(snapshot: &mut Snapshot, how: Redaction) {
    let mut holds = Holds::default();
    if how != Redaction::None {
        let mut redactor = Redactor::of(snapshot, how);
        let real = (snapshot.planner.iter())
            .flat_map(|planner| planner.column_statistics.clone())
            .collect::<Vec<_>>();
        if let Some(planner) = &mut snapshot.planner {
            redactor.planner(planner, &mut holds);
        }
        if let Some(catalog) = &mut snapshot.catalog {
            redactor.catalog(catalog);
        }
        redactor.statements(snapshot, &real, &mut holds);
        without_literals(&mut snapshot.workload);
        holds.n_replaced = redactor.literals.n_replaced;
    }
    let words = holds.words(how);
    if let Some(capture) = &mut snapshot.capture {
        capture.redaction = how;
        capture.holds = words;
    }
}

/// What was kept, counted.
#[derive(Debug, Default)]
struct Holds {
    kept: BTreeMap<Fate, BTreeSet<String>>,
    n_ends: usize,
    n_replaced: usize,
    /// Columns of stand-ins.
    n_faked: usize,
    /// Constants of statements of which the class is kept.
    n_classed: usize,
}

impl Holds {
    fn words(&self, how: Redaction) -> Vec<String> {
        match how {
            Redaction::None => vec![
                "real values of columns, as the planner's statistics keep them: most common values, histogram bounds, ends of indexes".to_owned(),
                "texts of statements as pg_stat_statements has them, and the schema's SQL with its literals".to_owned(),
            ],
            Redaction::All => vec![
                "no value of any column; frequencies, numbers of distinct values and correlations alone".to_owned(),
                "names of tables, columns, indexes, types and roles, labels of enums, times and numbers in the schema's SQL".to_owned(),
                format!("{} literals of the schema's SQL were replaced", self.n_replaced),
            ],
            Redaction::Default => self.words_of_default(),
        }
    }

    fn words_of_default(&self) -> Vec<String> {
        let mut words: Vec<String> = self
            .kept
            .iter()
            .filter(|(fate, _)| **fate != Fate::Drop)
            .map(|(fate, columns)| {
                let named: Vec<&str> = columns.iter().take(MAX_NAMED).map(String::as_str).collect();
                let more = if columns.len() > MAX_NAMED {
                    ", …"
                } else {
                    ""
                };
                format!(
                    "{} ({}: {}{more})",
                    name_of(*fate),
                    in_columns(columns.len()),
                    named.join(", ")
                )
            })
            .collect();
        words.push(format!(
            "smallest and largest values of {} of them",
            in_columns(self.n_ends)
        ));
        words
            .push("names of tables, columns, indexes, types and roles; labels of enums".to_owned());
        let dropped = self.kept.get(&Fate::Drop).map_or(0, BTreeSet::len);
        words.push(format!(
            "no value of {dropped} others; {} literals of the schema's SQL were replaced",
            self.n_replaced
        ));
        if self.n_faked > 0 {
            words.push(format!(
                "stand-ins for the texts of {}: how often each common value occurs, and which are equal; neither their order nor their lengths",
                in_columns(self.n_faked)
            ));
        }
        words.push(match self.n_classed {
            0 => "statements without literals, but for keys, codes, small numbers, times and the words above".to_owned(),
            n => format!(
                "statements whose literals are $n, but for keys, codes, small numbers, times and the words above; of {n} the class: which of the common values it is, \
                 or none of them, or what share of the values lies below it or begins so"
            ),
        });
        words
    }
}

fn in_columns(n: usize) -> String {
    if n == 1 {
        "1 column".to_owned()
    } else {
        format!("{n} columns")
    }
}

/// Columns that are named as examples.
const MAX_NAMED: usize = 4;

fn name_of(fate: Fate) -> &'static str {
    match fate {
        Fate::Keep(Kept::Times) => "dates and times",
        Fate::Keep(Kept::Keys) => "integers that are keys",
        Fate::Keep(Kept::Codes) => "integers of few distinct values",
        Fate::Keep(Kept::Labels) => "labels of enums",
        Fate::Keep(Kept::Booleans) => "booleans",
        Fate::Round => "numbers, rounded to two digits",
        Fate::Words => "words that the schema's own SQL names",
        Fate::Drop => "nothing",
    }
}

struct Redactor {
    how: Redaction,
    columns: Columns,
    /// Definitions of indexes.
    expressions: BTreeMap<RelationName, String>,
    /// Definitions of statistics objects.
    combined: BTreeMap<RelationName, String>,
    fates: BTreeMap<(RelationName, String), Fate>,
    literals: Literals,
    stand_ins: StandIns,
}

impl Redactor {
    fn of(snapshot: &Snapshot, how: Redaction) -> Self {
        let objects = snapshot.planner.as_ref().map(|planner| &planner.objects);
        let enums = enum_names(
            objects
                .iter()
                .flat_map(|objects| &objects.types)
                .map(|def| (&def.name, &def.shape)),
        );
        let expressions = objects
            .iter()
            .flat_map(|objects| &objects.indexes)
            .filter_map(|index| Some((index.name.clone(), index.definition.clone()?)));
        let combined = objects
            .iter()
            .flat_map(|objects| &objects.statistics)
            .map(|statistics| (statistics.name.clone(), statistics.definition.clone()));
        Self {
            how,
            columns: Columns::of(snapshot.catalog.as_ref(), enums.clone()),
            expressions: expressions.collect(),
            combined: combined.collect(),
            fates: BTreeMap::new(),
            stand_ins: StandIns::default(),
            literals: Literals {
                kept: snapshot.planner.as_ref().map(words).unwrap_or_default(),
                labels: objects
                    .iter()
                    .flat_map(|objects| &objects.types)
                    .filter_map(|def| match &def.shape {
                        TypeShape::Enum(labels) => Some(labels),
                        _ => None,
                    })
                    .flatten()
                    .cloned()
                    .collect(),
                enums,
                strict: how == Redaction::All,
                ..Literals::default()
            },
        }
    }

    fn planner(&mut self, planner: &mut PlannerState, holds: &mut Holds) {
        for statistics in &mut planner.column_statistics {
            self.column(statistics, holds);
        }
        self.literals.stand_ins.clone_from(self.stand_ins.known());
        for statistics in &mut planner.extended_statistics {
            self.extended(statistics);
        }
        planner.endpoints.retain_mut(|end| self.end(end));
        holds.n_ends = planner.endpoints.len();
        self.objects(&mut planner.objects);
    }

    fn fate(&self, statistics: &ColumnStatistics, values: &SlotValues) -> Fate {
        if self.how == Redaction::All {
            return Fate::Drop;
        }
        let n_distinct = statistics.row.n_distinct;
        let (type_name, elements) = (values.type_name.as_str(), values.elements.as_slice());
        match &statistics.target {
            StatisticsTarget::Column(column) => self.columns.fate(
                &statistics.relation,
                column,
                type_name,
                n_distinct,
                elements,
            ),
            StatisticsTarget::Key(_) => {
                let sql = self
                    .expressions
                    .get(&statistics.relation)
                    .map_or("", String::as_str);
                self.columns
                    .fate_of_expression(sql, type_name, n_distinct, elements)
            }
        }
    }

    fn column(&mut self, statistics: &mut ColumnStatistics, holds: &mut Holds) {
        // one fate for all values: a code among the most common ones is none when the histogram has long numbers
        let fates: Vec<Fate> = (statistics.row.slots.iter())
            .filter(|slot| !PARTS.contains(&slot.kind))
            .filter_map(|slot| slot.values.as_ref())
            .map(|values| self.fate(statistics, values))
            .collect();
        let elements = (statistics.row.slot(SlotKind::MostCommonElements))
            .and_then(|slot| slot.values.as_ref())
            .map(|values| self.fate_of_elements(statistics, values));
        let Some(fate) = fates.into_iter().max().or(elements) else {
            return;
        };
        let is_left = self.stand_in(statistics, fate).unwrap_or_else(|| {
            self.row(&mut statistics.row, fate, elements.unwrap_or(Fate::Drop));
            (statistics.row.slots.iter()).any(|slot| slot.values.is_some())
        });
        if let StatisticsTarget::Column(column) = &statistics.target {
            holds.n_faked += usize::from(statistics.row.is_faked);
            let held = if is_left { fate } else { Fate::Drop };
            let name = format!("{}.{column}", statistics.relation);
            holds.kept.entry(held).or_default().insert(name);
            let key = (statistics.relation.clone(), column.clone());
            let known = self.fates.entry(key).or_insert(fate);
            *known = fate.max(*known);
        }
    }

    /// Stand-ins in place of a column's texts; and whether words of them stay. `None` where it has none.
    fn stand_in(&mut self, statistics: &mut ColumnStatistics, fate: Fate) -> Option<bool> {
        let is_default = self.how == Redaction::Default;
        let is_column = matches!(statistics.target, StatisticsTarget::Column(_));
        let goes = matches!(fate, Fate::Words | Fate::Drop);
        let row = &mut statistics.row;
        let mut values = row.slots.iter().filter_map(|slot| slot.values.as_ref());
        let form = Form::of(&values.next()?.type_name, row.width)
            .filter(|_| is_default && is_column && goes)?;
        let common = row.slot(SlotKind::MostCommonValues);
        let common = common.and_then(|slot| slot.values.as_ref());
        let kept = &self.literals.kept;
        let stays = |text: &str| fate == Fate::Words && kept.contains(text);
        let is_left = (common
            .iter()
            .flat_map(|values| values.elements.iter().flatten()))
        .any(|text| stays(text));
        self.stand_ins.replace(row, form, &stays).then_some(is_left)
    }

    /// Statements: those of the workload, and those of which the file holds the server's plan.
    fn statements(&self, snapshot: &mut Snapshot, real: &[ColumnStatistics], holds: &mut Holds) {
        let planner = snapshot.planner.as_ref();
        let known = Known::of(real);
        let fate = |statistics: &ColumnStatistics| match &statistics.target {
            StatisticsTarget::Column(column) => {
                let key = (statistics.relation.clone(), column.clone());
                self.fates.get(&key).copied()
            }
            StatisticsTarget::Key(_) => None,
        };
        let statements = Statements {
            known: &known,
            is_c: planner.is_some_and(|planner| planner.locale.is_c()),
            fate: &fate,
            literals: &self.literals,
        };
        let is_default = self.how == Redaction::Default;
        for query in &mut snapshot.workload.queries {
            let is_read = query.shape.is_some() && query.kind != StatementKind::Utility;
            let found = (is_default && is_read)
                .then(|| statements.redacted(&query.sample))
                .flatten();
            let Some((sql, literals)) = found else {
                query.sample.clone_from(&query.text);
                continue;
            };
            query.sample = sql;
            holds.n_classed += literals.len();
            if !literals.is_empty() {
                snapshot.literals.push(StatementLiterals {
                    fingerprint: query.fingerprint,
                    literals,
                });
            }
        }
        for sample in &mut snapshot.samples {
            let found = is_default
                .then(|| statements.redacted(&sample.sql))
                .flatten();
            (sample.sql, sample.literals) =
                found.unwrap_or_else(|| (self.bare(&sample.sql), Vec::new()));
        }
    }

    /// A statement without any literal but those that the schema's SQL could have too.
    fn bare(&self, sql: &str) -> String {
        self.literals.clone().clean(sql)
    }

    /// Elements of arrays: integers that look like codes, and labels.
    fn fate_of_elements(&self, statistics: &ColumnStatistics, values: &SlotValues) -> Fate {
        let is_open = match &statistics.target {
            StatisticsTarget::Column(column) => !is_sensitive(column),
            StatisticsTarget::Key(_) => false,
        };
        if is_open && self.how == Redaction::Default {
            (self.columns).fate_of_elements(&values.type_name, &values.elements)
        } else {
            Fate::Drop
        }
    }

    fn row(&self, row: &mut StatisticRow, fate: Fate, elements: Fate) {
        row.slots.retain_mut(|slot| {
            let Some(values) = &mut slot.values else {
                return true;
            };
            let fate = match fate {
                _ if slot.kind == SlotKind::MostCommonElements.number() => elements,
                Fate::Keep(kept) => Fate::Keep(kept),
                _ if slot.kind == SlotKind::RangeLength.number() => Fate::Drop,
                other => other,
            };
            match fate {
                Fate::Keep(_) => true,
                Fate::Drop => false,
                Fate::Round => round(values, slot.numbers.as_mut(), slot.kind),
                Fate::Words => {
                    slot.kind == SlotKind::MostCommonValues.number()
                        && self.only_words(values, slot.numbers.as_mut())
                }
            }
        });
    }

    fn only_words(&self, values: &mut SlotValues, numbers: Option<&mut Vec<f32>>) -> bool {
        let stays = |value: &Option<String>| {
            value
                .as_ref()
                .is_some_and(|text| self.literals.kept.contains(text))
        };
        retain(values, numbers, stays);
        !values.elements.is_empty()
    }

    fn end(&self, end: &mut Endpoint) -> bool {
        let values = [Some(end.min.clone()), Some(end.max.clone())];
        let fate = match self.how {
            Redaction::All => Fate::Drop,
            // of numbers that are kept for being few no ends are needed
            _ => self
                .columns
                .fate(&end.table, &end.column, &end.type_name, -1.0, &values),
        };
        match fate {
            Fate::Keep(_) => true,
            Fate::Round => match (rounded(&end.min), rounded(&end.max)) {
                (Some(min), Some(max)) => {
                    (end.min, end.max) = (min, max);
                    true
                }
                _ => false,
            },
            Fate::Words | Fate::Drop => false,
        }
    }

    /// Combinations stay where every column of them is one whose values stay.
    fn extended(&self, statistics: &mut ExtendedStatistics) {
        for row in &mut statistics.expressions {
            self.row(row, Fate::Drop, Fate::Drop);
        }
        let columns = self
            .combined
            .get(&statistics.name)
            .and_then(|sql| columns_of(sql));
        let keeps = |column: &String| {
            let key = (statistics.table.clone(), column.clone());
            matches!(self.fates.get(&key), Some(Fate::Keep(_)))
        };
        if !columns.is_some_and(|columns| columns.iter().all(keeps)) {
            (statistics.most_common, statistics.combinations) = (None, None);
        }
    }

    fn objects(&mut self, objects: &mut SchemaObjects) {
        each_sql(objects, &mut |part, sql| {
            *sql = match part {
                Part::Bound => self.literals.clean_bound(sql),
                Part::Sql => self.literals.clean(sql),
            };
        });
    }

    fn catalog(&mut self, catalog: &mut Catalog) {
        for relation in &mut catalog.relations {
            for column in &mut relation.columns {
                let Some(stats) = &mut column.stats else {
                    continue;
                };
                let key = (relation.name.clone(), column.name.clone());
                self.column_stats(stats, self.fates.get(&key).copied().unwrap_or(Fate::Drop));
            }
            for index in &mut relation.indexes {
                index.full_definition = self.literals.clean(&index.full_definition);
                if let Some(predicate) = &mut index.def.predicate {
                    *predicate = self.literals.clean(predicate);
                }
                for key in &mut index.def.keys {
                    if let KeyTarget::Expression(sql) = &mut key.target {
                        *sql = self.literals.clean(sql);
                    }
                }
            }
        }
    }

    fn column_stats(&self, stats: &mut ColumnStats, fate: Fate) {
        match fate {
            Fate::Keep(_) => {}
            Fate::Words => {
                stats
                    .most_common
                    .retain(|(text, _)| self.literals.kept.contains(text));
                stats.histogram.clear();
            }
            Fate::Round | Fate::Drop => {
                stats.most_common.clear();
                stats.histogram.clear();
            }
        }
    }
}

/// What else the workload holds of values.
fn without_literals(workload: &mut Workload) {
    for query in &mut workload.queries {
        if let Some(log) = &mut query.log {
            log.samples.clear();
            for placeholder in &mut log.placeholders {
                placeholder.constant = None;
            }
        }
    }
    for skipped in &mut workload.skipped {
        skipped.example.clear();
    }
}

/// Texts of categories that the schema's SQL names: words of letters that are common in a text column of few values.
fn words(planner: &PlannerState) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let mut objects = planner.objects.clone();
    each_sql(&mut objects, &mut |_, sql| {
        let tokens = Lexer::new(sql.as_bytes()).filter(|token| token.kind == TokenKind::String);
        named.extend(tokens.map(|token| sql[token.start..token.end].trim_matches('\'').to_owned()));
    });
    let common = (planner.column_statistics.iter())
        .filter(|statistics| {
            statistics.row.n_distinct > 0.0 && statistics.row.n_distinct <= MAX_CATEGORIES
        })
        .filter(|statistics| match &statistics.target {
            StatisticsTarget::Column(column) => !is_sensitive(column),
            StatisticsTarget::Key(_) => false,
        })
        .filter_map(|statistics| {
            statistics
                .row
                .slot(SlotKind::MostCommonValues)?
                .values
                .as_ref()
        })
        .flat_map(|values| values.elements.iter().flatten());
    common
        .filter(|text| is_word(text) && named.contains(*text))
        .cloned()
        .collect()
}

/// Letters, with `_`, `-` and spaces between.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_WORD_BYTES
        && text
            .chars()
            .all(|c| c.is_alphabetic() || matches!(c, '_' | '-' | ' '))
}

/// Plain columns of a statistics object; `None` where it has expressions.
fn columns_of(definition: &str) -> Option<Vec<String>> {
    let tokens: Vec<_> = Lexer::new(definition.as_bytes()).collect();
    let text = |at: usize| &definition[tokens[at].start..tokens[at].end];
    let from = (0..tokens.len()).rev().find(|at| text(*at) == "FROM")?;
    let on = (0..from).rev().find(|at| text(*at) == "ON")?;
    let mut columns = Vec::new();
    for token in &tokens[on + 1..from] {
        let text = &definition[token.start..token.end];
        match token.kind {
            TokenKind::Word => columns.push(text.to_owned()),
            TokenKind::QuotedIdentifier => {
                columns.push(text.trim_matches('"').replace("\"\"", "\""));
            }
            TokenKind::Comma => {}
            _ => return None,
        }
    }
    Some(columns)
}

/// Keeps the values for which `stays` says so, with their frequencies.
fn retain(
    values: &mut SlotValues,
    numbers: Option<&mut Vec<f32>>,
    mut stays: impl FnMut(&Option<String>) -> bool,
) {
    let keep: Vec<bool> = values.elements.iter().map(&mut stays).collect();
    let mut kept = keep.iter();
    values
        .elements
        .retain(|_| kept.next().copied().unwrap_or(false));
    if let Some(numbers) = numbers {
        let mut kept = keep.iter();
        numbers.retain(|_| kept.next().copied().unwrap_or(true));
    }
}

/// Rounds numbers. Most common values that become equal are moved apart by the least step, so that as many stay with all their frequencies:
/// what is left for the other values is reckoned from these. Bounds of a histogram may be equal.
fn round(values: &mut SlotValues, numbers: Option<&mut Vec<f32>>, kind: i16) -> bool {
    let is_common = kind == SlotKind::MostCommonValues.number();
    if !is_common && kind != SlotKind::Histogram.number() {
        return false;
    }
    let limit = limit_of(&values.type_name);
    let mut seen = BTreeSet::new();
    for element in &mut values.elements {
        let Some(short) = element.as_deref().and_then(rounded) else {
            *element = None;
            continue;
        };
        let text = element.as_deref().unwrap_or_default();
        *element = if is_common {
            free_near(&short, decimals(text), limit, &mut seen)
        } else {
            within(&short, limit)
        };
    }
    retain(values, numbers.filter(|_| is_common), Option::is_some);
    values.elements.len() > 1 || is_common && !values.elements.is_empty()
}

/// The first number from `short` on, towards zero, that is not taken.
fn free_near(
    short: &str,
    n_decimals: usize,
    limit: f64,
    taken: &mut BTreeSet<String>,
) -> Option<String> {
    let short = within(short, limit)?;
    if taken.insert(short.clone()) {
        return Some(short);
    }
    let value: f64 = short.parse().ok()?;
    let step = 10_f64.powi(-i32::try_from(n_decimals).ok()?);
    let step = if value > 0.0 { -step } else { step };
    (1..=MAX_STEPS)
        .map(|n| format!("{:.n_decimals$}", value + step * f64::from(n)))
        .find(|text| taken.insert(text.clone()))
}

/// Most common values that may round to the same: no column has more (`MAX_STATISTICS_TARGET`).
const MAX_STEPS: u32 = 10_000;

fn decimals(text: &str) -> usize {
    text.split_once('.').map_or(0, |(_, digits)| {
        digits.bytes().take_while(u8::is_ascii_digit).count()
    })
}

/// Largest value of a type; rounding must not leave it.
fn limit_of(type_name: &str) -> f64 {
    match type_name {
        "smallint" => f64::from(i16::MAX),
        "integer" => f64::from(i32::MAX),
        "bigint" => 9.2e18,
        _ => f64::MAX,
    }
}

/// A number that rounding took beyond its type's limit becomes the limit's own two digits, rounded down.
fn within(short: &str, limit: f64) -> Option<String> {
    let value: f64 = short.parse().ok()?;
    if value.abs() <= limit {
        return Some(short.to_owned());
    }
    let unit = 10_f64.powi(limit.log10().floor() as i32 - 1);
    Some(format!(
        "{:.0}",
        (limit / unit).floor() * unit * value.signum()
    ))
}

/// Where a piece of SQL stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A partition's bound.
    Bound,
    /// Anything else.
    Sql,
}

/// Every piece of SQL among the objects.
pub(super) fn each_sql(objects: &mut SchemaObjects, visit: &mut dyn FnMut(Part, &mut String)) {
    for (part, sql) in pieces(objects) {
        visit(part, sql);
    }
}

fn pieces(objects: &mut SchemaObjects) -> Vec<(Part, &mut String)> {
    let mut sql: Vec<&mut String> = Vec::new();
    let mut bounds: Vec<&mut String> = Vec::new();
    for def in &mut objects.types {
        if let TypeShape::Domain { checks, .. } = &mut def.shape {
            sql.extend(checks);
        }
    }
    for def in &mut objects.functions {
        sql.push(&mut def.arguments);
        sql.extend(&mut def.body);
    }
    for def in &mut objects.aggregates {
        sql.extend(def.options.iter_mut().map(|(_, value)| value));
    }
    for table in &mut objects.tables {
        sql.extend((table.columns.iter_mut()).filter_map(|column| column.expression.as_mut()));
        sql.extend(&mut table.partition_key);
        bounds.extend(table.partition_of.iter_mut().map(|(_, bound)| bound));
    }
    sql.extend(objects.views.iter_mut().map(|view| &mut view.definition));
    sql.extend((objects.constraints.iter_mut()).map(|constraint| &mut constraint.definition));
    sql.extend((objects.indexes.iter_mut()).filter_map(|index| index.definition.as_mut()));
    sql.extend((objects.statistics.iter_mut()).map(|statistics| &mut statistics.definition));
    for policy in &mut objects.policies {
        sql.extend(policy.using.iter_mut().chain(&mut policy.check));
    }
    let bounds = bounds.into_iter().map(|sql| (Part::Bound, sql));
    sql.into_iter()
        .map(|sql| (Part::Sql, sql))
        .chain(bounds)
        .collect()
}
