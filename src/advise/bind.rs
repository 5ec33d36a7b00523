//! The workload seen through the catalog: each statement's scans with their relation, and which values are constant in practice.

use std::collections::BTreeMap;

use super::{
    Options, PlannedQuery, reveal,
    samples::{self, Pattern},
    selectivity,
};
use crate::{
    catalog::{Catalog, Column, Persistence, Relation, RelationKind},
    sql::{
        self, Fingerprint, QueryShape, StatementKind, canonical,
        canonical::Conjunct,
        quote_identifier, quote_literal,
        shape::{self, Comparison, Operand, Predicate, RelationRef, Scan, ScanRole, Target},
    },
    workload::{Loads, PlaceholderFacts, Query, Workload, parameters},
};

/// Rows below which no index is proposed: the whole table is a few pages, and plans flip with every ANALYZE.
const MIN_ROWS: f64 = 1_000.0;

/// Pages below which no index is proposed (1 MiB): read in sequence from cache in less than a millisecond.
const MIN_PAGES: u64 = 128;

/// Samples of this length may have been cut (the fold keeps 4 KiB).
const MAX_WHOLE_BYTES: usize = 4_096;

/// Calls from which a value that never changed counts as constant.
const MIN_CONSTANT_CALLS: u64 = 5;

/// A value may stand in a predicate when it is rarer than the column's average value by this factor: a queue's `pending`, not one country of
/// fifty that happens to be asked for. Values of even shares are better served by a key column.
const MIN_RARITY: f64 = 2.0;

/// Share of NULLs from which an index leaves them out.
const MIN_NULL_FRAC: f64 = 0.5;

/// A statement with the relations that it reads.
#[derive(Debug)]
pub(super) struct BoundQuery<'a> {
    pub(super) query: &'a Query,
    /// Share of all time seen, 0–1; of calls where no times are known.
    pub(super) share: f64,
    /// The text to plan, real values put in where they are known.
    pub(super) planned: PlannedQuery,
    /// The same under other values, for when the planned one contradicts the measured time; none where a log shows the values.
    pub(super) alternatives: Vec<PlannedQuery>,
    /// The same with patterns that begin with text, where none is known and those planned begin with anything.
    pub(super) with_prefix: Option<PlannedQuery>,
    /// The text as it is, for when the values don't fit.
    pub(super) as_written: PlannedQuery,
    /// Time that a call waited for locks, as far as the log tells, ms.
    pub(super) lock_wait_ms: f64,
    /// The planned values are those of a real execution.
    pub(super) is_real: bool,
    pub(super) scans: Vec<BoundScan<'a>>,
    /// A part of the text was inferred (`reveal.rs`): how, in words.
    pub(super) inferred: Option<String>,
    /// Reads a view: what it really scans, its plan tells (`views.rs`).
    pub(super) reads_views: bool,
}

/// One scan of a base relation that could use an index.
#[derive(Debug)]
pub(super) struct BoundScan<'a> {
    pub(super) relation: &'a Relation,
    pub(super) scan: Scan,
    /// Conditions whose value is the same in every execution.
    pub(super) constants: Vec<ConstantCondition>,
    /// All of `constants` as canonical conditions, for proving partial indexes.
    pub(super) conjuncts: Vec<Conjunct>,
    /// A pattern of the statement is not known.
    pub(super) has_unknown_pattern: bool,
}

/// A condition that holds with the same value in every execution seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConstantCondition {
    pub(super) column: String,
    /// As it would stand in an index's WHERE.
    pub(super) sql: String,
    /// Share of rows that pass.
    pub(super) selectivity: f64,
    /// The value reached the server as a parameter.
    pub(super) as_parameter: bool,
    /// The column has one value under it, so that it needs no place in the key. Not so for IS NOT NULL.
    pub(super) fixes_column: bool,
}

/// What was bound, and what was left out.
#[derive(Debug, Default)]
pub(super) struct Bound<'a> {
    pub(super) queries: Vec<BoundQuery<'a>>,
    /// Reason → count and first example.
    pub(super) skipped: BTreeMap<String, (u64, Fingerprint)>,
}

/// Binds the statements worth advice, heaviest first.
pub(super) fn bind<'a>(
    catalog: &'a Catalog,
    workload: &'a Workload,
    options: &Options,
) -> Bound<'a> {
    let columns_of = |relation: &RelationRef| {
        let relation = catalog.resolve(relation.schema.as_deref(), &relation.name)?;
        Some(relation.columns.iter().map(|c| c.name.clone()).collect())
    };
    let shares = Shares::of(workload);
    let mut heaviest: Vec<(&Query, f64)> = workload
        .queries
        .iter()
        .filter(|query| {
            query.kind != StatementKind::Utility && query.n_calls() >= options.min_calls
        })
        .map(|query| (query, shares.share(query)))
        .filter(|(query, share)| {
            *share >= options.min_query_share || query.mean_ms() >= options.slow_ms
        })
        .collect();
    heaviest.sort_by(|(a, share_a), (b, share_b)| {
        share_b
            .total_cmp(share_a)
            .then(a.fingerprint.cmp(&b.fingerprint))
    });
    let mut bound = Bound::default();
    for (query, share) in heaviest.into_iter().take(options.max_queries) {
        match shape::parse_with(&query.sample, &columns_of) {
            Ok(shape) => {
                let normalised = shape::parse_with(&query.text, &columns_of).ok();
                let revealed = reveal::revealed(catalog, query, &shape);
                let again = revealed
                    .as_ref()
                    .and_then(|revealed| shape::parse_with(&revealed.text, &columns_of).ok());
                let text = revealed
                    .as_ref()
                    .filter(|_| again.is_some())
                    .map_or(query.sample.as_str(), |revealed| revealed.text.as_str());
                let shape = again.as_ref().unwrap_or(&shape);
                let found = bind_query(catalog, query, text, share, shape, normalised.as_ref());
                bound.queries.extend(found.map(|bound| BoundQuery {
                    lock_wait_ms: lock_wait_ms(workload, query),
                    inferred: revealed.map(|revealed| revealed.because),
                    ..bound
                }));
            }
            Err(error) => {
                let entry = bound.skipped.entry(error.to_string());
                entry.or_insert((0, query.fingerprint)).0 += 1;
            }
        }
    }
    bound
}

/// What a call waited for locks on average. Waits that the log does not show are not known.
fn lock_wait_ms(workload: &Workload, query: &Query) -> f64 {
    let waits = &workload.activity.incidents.lock_waits;
    let n_calls = query.log.as_ref().map_or(0, |log| log.n_calls);
    match waits.get(&query.fingerprint) {
        Some(waited) if n_calls > 0 => waited.total as f64 / 1e3 / n_calls as f64,
        _ => 0.0,
    }
}

/// A statement as it can be run: with the values of a real execution where a log has them, else with values made up from statistics.
pub(super) fn sample_text(catalog: &Catalog, query: &Query) -> Option<String> {
    let shape = shape::parse(&query.sample).ok()?;
    let bound = bind_query(catalog, query, &query.sample, 0.0, &shape, None)?;
    Some(bound.planned.sql)
}

/// Shares of time, or of calls when the inputs tell no times.
struct Shares {
    loads: Loads,
    n_calls: Option<u64>,
}

impl Shares {
    fn of(workload: &Workload) -> Self {
        let has_times = workload.total_time_ms() > 0.0;
        let n_calls = || {
            workload
                .queries
                .iter()
                .map(Query::n_calls)
                .sum::<u64>()
                .max(1)
        };
        Self {
            loads: Loads::of(workload),
            n_calls: (!has_times).then(n_calls),
        }
    }

    fn share(&self, query: &Query) -> f64 {
        match self.n_calls {
            Some(n_calls) => query.n_calls() as f64 / n_calls as f64,
            None => self.loads.share(query),
        }
    }
}

fn bind_query<'a>(
    catalog: &'a Catalog,
    query: &'a Query,
    text: &str,
    share: f64,
    with_literals: &QueryShape,
    normalised: Option<&QueryShape>,
) -> Option<BoundQuery<'a>> {
    let mut scans: Vec<BoundScan<'a>> = with_literals
        .scans
        .iter()
        .enumerate()
        .filter(|(_, scan)| scan.role != ScanRole::InsertInto)
        .filter_map(|(at, scan)| {
            let name = &scan.relation;
            let relation = catalog.resolve(name.schema.as_deref(), &name.name)?;
            is_worth_an_index(catalog, relation).then(|| {
                let twin = normalised.and_then(|shape| shape.scans.get(at));
                bind_scan(relation, scan, twin, query)
            })
        })
        .collect();
    let reads_views = with_literals.scans.iter().any(|scan| {
        let name = &scan.relation;
        let relation = catalog.resolve(name.schema.as_deref(), &name.name);
        relation.is_some_and(|relation| relation.kind == RelationKind::View)
    });
    if scans.is_empty() && !reads_views {
        return None;
    }
    let texts = texts(query, text, with_literals, &scans);
    for scan in &mut scans {
        scan.has_unknown_pattern = texts.with_prefix.is_some();
    }
    Some(BoundQuery {
        query,
        share,
        planned: planned(catalog, texts.planned),
        alternatives: texts
            .alternatives
            .into_iter()
            .map(|text| planned(catalog, text))
            .collect(),
        with_prefix: texts.with_prefix.map(|text| planned(catalog, text)),
        as_written: planned(
            catalog,
            sql::plannable(&query.sample, &BTreeMap::new(), None),
        ),
        lock_wait_ms: 0.0,
        inferred: None,
        is_real: texts.is_real,
        scans,
        reads_views,
    })
}

fn planned(catalog: &Catalog, sql: String) -> PlannedQuery {
    PlannedQuery {
        sql,
        search_path: catalog.server.search_path.clone(),
    }
}

/// Texts of one statement to plan.
struct Texts {
    planned: String,
    alternatives: Vec<String>,
    with_prefix: Option<String>,
    is_real: bool,
}

/// The statement with the values of a real execution where a log has them; else with values made up from statistics, and with as many rows
/// in LIMIT as a call returns, since a generic plan takes LIMIT $n for a tenth of all rows.
fn texts(query: &Query, text: &str, shape: &QueryShape, scans: &[BoundScan<'_>]) -> Texts {
    let samples = query
        .log
        .as_ref()
        .map(|log| log.samples.as_slice())
        .unwrap_or_default();
    let whole = samples.iter().find(|sample| {
        let fits = sample.text.len() < MAX_WHOLE_BYTES && sample.parameters.len() < MAX_WHOLE_BYTES;
        fits && !sample.parameters.is_empty()
    });
    if let Some(sample) = whole {
        let values: BTreeMap<u16, String> = parameters(sample.parameters.as_bytes())
            .map(|(number, value)| (number, String::from_utf8_lossy(value).into_owned()))
            .collect();
        return Texts {
            planned: sql::plannable(&sample.text, &values, None),
            alternatives: Vec::new(),
            with_prefix: None,
            is_real: true,
        };
    }
    let rows = query
        .rows_per_call()
        .map(|rows| rows.ceil().max(1.0) as u64);
    let values = samples::guessed(scans, shape, query, Pattern::Infix);
    let with_prefix = samples::guessed(scans, shape, query, Pattern::Prefix);
    let text = |values: &BTreeMap<u16, String>| sql::plannable(text, values, rows);
    Texts {
        planned: text(&values),
        alternatives: samples::alternatives(scans, &values)
            .iter()
            .map(text)
            .collect(),
        with_prefix: (with_prefix != values).then(|| text(&with_prefix)),
        is_real: shape.n_parameters == 0,
    }
}

/// Tables and materialised views of some size that are the user's own. A partitioned table's rows are in its leaves.
pub(super) fn is_worth_an_index(catalog: &Catalog, relation: &Relation) -> bool {
    let is_kind = matches!(
        relation.kind,
        RelationKind::Table | RelationKind::PartitionedTable | RelationKind::MaterializedView
    );
    let (n_rows, n_pages) = extent(catalog, relation);
    is_kind
        && relation.persistence != Persistence::Temporary
        && !relation.of_extension
        && n_rows >= MIN_ROWS
        && n_pages >= MIN_PAGES
}

/// Rows and pages, a partitioned table's summed over its leaves.
fn extent(catalog: &Catalog, relation: &Relation) -> (f64, u64) {
    let leaves = relation
        .partition_leaves
        .iter()
        .filter_map(|name| catalog.relation(name));
    leaves.fold(
        (relation.n_rows.unwrap_or(0.0), relation.n_pages),
        |(rows, pages), leaf| (rows + leaf.n_rows.unwrap_or(0.0), pages + leaf.n_pages),
    )
}

pub(super) fn bind_scan<'a>(
    relation: &'a Relation,
    scan: &Scan,
    normalised: Option<&Scan>,
    query: &Query,
) -> BoundScan<'a> {
    let facts = query
        .log
        .as_ref()
        .map(|log| log.placeholders.as_slice())
        .unwrap_or_default();
    let mut constants: Vec<ConstantCondition> = scan
        .predicates
        .iter()
        .enumerate()
        .filter_map(|(at, predicate)| {
            let twin = normalised
                .and_then(|scan| scan.predicates.get(at))
                .filter(|twin| twin.target == predicate.target);
            let seen = twin.and_then(|twin| facts_of(twin, facts));
            constant_condition(relation, predicate, seen, query)
        })
        .collect();
    constants.extend(not_null(relation, scan, &constants));
    let conjuncts = constants
        .iter()
        .flat_map(|condition| canonical::conjuncts(&condition.sql))
        .collect();
    BoundScan {
        relation,
        scan: scan.clone(),
        constants,
        conjuncts,
        has_unknown_pattern: false,
    }
}

/// Columns that are mostly NULL and compared with something: no NULL passes, so an index need not hold them.
fn not_null(
    relation: &Relation,
    scan: &Scan,
    constants: &[ConstantCondition],
) -> Vec<ConstantCondition> {
    let is_strict = |comparison: Comparison| {
        !matches!(
            comparison,
            Comparison::IsNull | Comparison::IsNotNull | Comparison::NotEqual | Comparison::Other
        )
    };
    let mut found: Vec<ConstantCondition> = Vec::new();
    for predicate in scan.predicates.iter().filter(|p| is_strict(p.comparison)) {
        let Target::Column(name) = &predicate.target else {
            continue;
        };
        let stats = relation
            .column(name)
            .and_then(|column| column.stats.as_ref());
        let null_frac = stats.map_or(0.0, |stats| stats.null_frac);
        let is_known = constants
            .iter()
            .chain(&found)
            .any(|known| known.column == *name);
        if null_frac >= MIN_NULL_FRAC && !is_known {
            found.push(ConstantCondition {
                column: name.clone(),
                sql: format!("{} IS NOT NULL", quote_identifier(name)),
                selectivity: 1.0 - null_frac,
                as_parameter: false,
                fixes_column: false,
            });
        }
    }
    found
}

/// What was seen at the placeholder that a normalised predicate compares with.
fn facts_of<'f>(
    predicate: &Predicate,
    facts: &'f [PlaceholderFacts],
) -> Option<&'f PlaceholderFacts> {
    match predicate.operand {
        Operand::Parameter(n) => facts.get(usize::from(n).checked_sub(1)?),
        _ => None,
    }
}

/// The condition as an index's WHERE could have it, if its value is fixed and a category.
fn constant_condition(
    relation: &Relation,
    predicate: &Predicate,
    seen: Option<&PlaceholderFacts>,
    query: &Query,
) -> Option<ConstantCondition> {
    let Target::Column(name) = &predicate.target else {
        return None;
    };
    let column = relation.column(name)?;
    let quoted = quote_identifier(name);
    let (sql, value, as_parameter) = match (predicate.comparison, &predicate.operand) {
        (Comparison::IsNull, _) => (format!("{quoted} IS NULL"), None, false),
        (Comparison::IsNotNull, _) => (format!("{quoted} IS NOT NULL"), None, false),
        (Comparison::IsBool, Operand::Literal(value)) => {
            (equality(column, value)?, Some(value.clone()), false)
        }
        (Comparison::Equal, Operand::Literal(_) | Operand::Parameter(_)) => {
            let seen = seen.filter(|_| query.n_calls() >= MIN_CONSTANT_CALLS)?;
            let value = seen.constant.clone()?;
            if !is_rare(relation, column, &value) {
                return None;
            }
            (equality(column, &value)?, Some(value), seen.n_parameter > 0)
        }
        _ => return None,
    };
    Some(ConstantCondition {
        column: name.clone(),
        sql,
        selectivity: selectivity::of_predicate(relation, predicate, value.as_deref()),
        as_parameter,
        fixes_column: predicate.comparison != Comparison::IsNotNull,
    })
}

/// Booleans are made for predicates; other values must be rare.
pub(super) fn is_rare(relation: &Relation, column: &Column, value: &str) -> bool {
    let n_rows = relation.n_rows.unwrap_or(0.0);
    let of_value = selectivity::equal(column, n_rows, Some(value));
    let average = selectivity::equal(column, n_rows, None);
    column.type_name == "boolean" || of_value * MIN_RARITY <= average
}

/// `column = value` with the value spelled anew from what it means, so that nothing of the log's spelling gets into a migration.
pub(super) fn equality(column: &Column, value: &str) -> Option<String> {
    let name = quote_identifier(&column.name);
    let plain = selectivity::plain_value(value);
    if column.type_name == "boolean" {
        return match plain.as_str() {
            "t" | "true" | "1" => Some(name),
            "f" | "false" | "0" => Some(format!("NOT {name}")),
            _ => None,
        };
    }
    if !column.is_category() {
        return None;
    }
    let literal = match column.type_category {
        'N' => plain.parse::<f64>().ok().map(|_| plain)?,
        'S' | 'E' => quote_literal(&plain),
        _ => return None,
    };
    Some(format!("{name} = {literal}"))
}
