//! Loops and their batches: what `sql::rewrite` makes of a looped statement with all that workload and catalog know, and what both cost.

use std::collections::BTreeMap;

use super::{PlannedQuery, PricedRewrite, WhatIf, WhatIfError};
use crate::{
    catalog::{Catalog, Relation},
    plan::Plan,
    sql::{
        self, Fingerprint, Normaliser, OperandKind, QueryShape, StatementKind, quote_literal,
        rewrite::{self, Batch, LiteralKind, Looped, Operand, Refusal, Schema},
        shape::{Operand as Compared, RelationRef},
    },
    workload::{BurstClass, LogStats, Query, Repetition, Workload, is_key, parameters},
};

/// Loops that are priced, most repeats first: two EXPLAINs each, a few milliseconds in all.
const MAX_PRICED: usize = 20;
/// Repeats of the longest burst before a repetition is worth pricing; as the rules' own limit.
const MIN_REPEATS: u64 = 5;
/// Elements that Postgres assumes of an array it does not know (`estimate_array_length` in `selfuncs.c`).
const ASSUMED_KEYS: usize = 10;
/// The bit set of varying placeholders has no place of their own for placeholders from here on.
const MAX_BITS: u16 = 63;

/// What a loop's bursts say about its keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keys {
    /// Placeholders (0-based) that varied within a burst, as a bit set; 0 when unknown.
    pub varying: u64,
    /// Some key came twice in one burst.
    pub repeat: bool,
}

impl Keys {
    /// Of these classes of bursts.
    pub fn of<'a>(classes: impl IntoIterator<Item = &'a BurstClass>) -> Self {
        classes
            .into_iter()
            .fold(Self::default(), |keys, class| Self {
                varying: keys.varying | class.varying,
                repeat: keys.repeat || class.n_distinct < class.n_repeats,
            })
    }
}

/// The one statement for all keys of a looped query.
///
/// # Errors
/// When none is sure to mean the same.
pub fn batch(catalog: Option<&Catalog>, query: &Query, keys: Keys) -> Result<Batch, Refusal> {
    let operands = operands(query, keys.varying);
    let looped = Looped {
        text: &query.text,
        operands: &operands,
        keys_repeat: keys.repeat,
    };
    rewrite::batch(&looped, &Known(catalog))
}

/// What was seen at each placeholder of the normalised text.
fn operands(query: &Query, varying: u64) -> Vec<Operand> {
    let log = query.log.as_ref();
    let facts = log
        .map(|log| log.placeholders.as_slice())
        .unwrap_or_default();
    let literals = Literals::of(query);
    let n = facts.len().max(literals.0.len());
    let role = Role::of(query);
    (0..n)
        .map(|at| {
            let fact = facts.get(at);
            let number = u16::try_from(at + 1).unwrap_or(u16::MAX);
            let bit = varying & (1 << number.saturating_sub(1).min(MAX_BITS)) != 0;
            let changes = fact.is_some_and(|fact| fact.constant.is_none() && fact.n_distinct > 1);
            let is_literal = fact.is_some_and(|fact| fact.n_literal > 0 && fact.n_parameter == 0);
            Operand {
                varies: role.varies(number, bit, varying == 0, changes),
                constant: fact.and_then(|fact| fact.constant.clone()),
                literal: if is_literal {
                    literals.kind(at)
                } else {
                    LiteralKind::Unknown
                },
                guess: literals.guess(at, log),
            }
        })
        .collect()
}

/// Which placeholders of a statement can change from call to call.
enum Role {
    /// Those that are compared for equality.
    Read(Vec<u16>),
    /// Those, and whatever is written.
    Update { keys: Vec<u16>, compared: Vec<u16> },
    /// All.
    Insert,
}

impl Role {
    fn of(query: &Query) -> Self {
        let empty = QueryShape::default();
        let shape = query.shape.as_deref().unwrap_or(&empty);
        let predicates = || shape.scans.iter().flat_map(|scan| &scan.predicates);
        let keys = predicates().filter_map(is_key).collect();
        match query.kind {
            StatementKind::Insert => Self::Insert,
            StatementKind::Update => Self::Update {
                keys,
                compared: predicates()
                    .filter_map(|predicate| match predicate.operand {
                        Compared::Parameter(n) => Some(n),
                        _ => None,
                    })
                    .collect(),
            },
            _ => Self::Read(keys),
        }
    }

    fn varies(&self, n: u16, bit: bool, unknown: bool, changes: bool) -> bool {
        match self {
            Self::Read(keys) => bit || unknown && keys.contains(&n),
            Self::Insert => bit || unknown && changes,
            Self::Update { keys, compared } => {
                let is_key = bit || unknown && keys.contains(&n);
                is_key || !compared.contains(&n) && changes
            }
        }
    }
}

/// The values of one real execution, by placeholder.
struct Literals(Vec<(OperandKind, String)>);

impl Literals {
    fn of(query: &Query) -> Self {
        let mut normaliser = Normaliser::default();
        let text = query.sample.as_bytes();
        if normaliser.run(text) != query.fingerprint {
            return Self(Vec::new());
        }
        let spans = normaliser.operands().iter().map(|span| {
            let raw = text
                .get(span.start as usize..span.end as usize)
                .unwrap_or_default();
            (span.kind, String::from_utf8_lossy(raw).into_owned())
        });
        Self(spans.collect())
    }

    fn kind(&self, at: usize) -> LiteralKind {
        match self.0.get(at) {
            Some((OperandKind::Number, text))
                if text
                    .trim_start_matches(['-', '+'])
                    .bytes()
                    .all(|b| b.is_ascii_digit()) =>
            {
                LiteralKind::Integer
            }
            Some((OperandKind::Number, _)) => LiteralKind::Decimal,
            _ => LiteralKind::Unknown,
        }
    }

    /// A type that the value looks like.
    fn guess(&self, at: usize, log: Option<&LogStats>) -> Option<&'static str> {
        let (kind, text) = self.0.get(at)?;
        match kind {
            OperandKind::Number => Some(looks_like(text)),
            OperandKind::String => Some(looks_like(unquoted(text))),
            OperandKind::Boolean => Some("boolean"),
            OperandKind::Parameter(n) => {
                let samples = log.map(|log| log.samples.as_slice()).unwrap_or_default();
                let values = samples
                    .iter()
                    .flat_map(|sample| parameters(sample.parameters.as_bytes()));
                let mut of_this = values.filter(|(number, value)| number == n && *value != b"NULL");
                let (_, value) = of_this.next()?;
                Some(looks_like(unquoted(std::str::from_utf8(value).ok()?)))
            }
            OperandKind::Null | OperandKind::Secret => None,
        }
    }
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''))
        .unwrap_or(text)
}

/// The narrowest common type that a value could be of.
fn looks_like(value: &str) -> &'static str {
    let bytes = value.as_bytes();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.trim_start_matches(['-', '+']);
    let is_uuid = bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    let is_date = bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    // longer digits don't fit a bigint: a number of an account, a phone
    if digits(number) && number.len() <= 18 {
        "bigint"
    } else if number
        .split_once('.')
        .is_some_and(|(whole, part)| digits(whole) && digits(part))
    {
        "numeric"
    } else if is_uuid {
        "uuid"
    } else if is_date && bytes.len() == 10 {
        "date"
    } else if is_date && matches!(bytes[10], b' ' | b'T') {
        if value.ends_with('Z') || value[10..].contains(['+', '-']) {
            "timestamp with time zone"
        } else {
            "timestamp without time zone"
        }
    } else if matches!(value, "t" | "f" | "true" | "false") {
        "boolean"
    } else {
        "text"
    }
}

/// A catalog as the rewriter asks it; without one, `id` is taken for the primary key.
struct Known<'a>(Option<&'a Catalog>);

impl Known<'_> {
    fn relation(&self, name: &RelationRef) -> Option<&Relation> {
        self.0?.resolve(name.schema.as_deref(), &name.name)
    }
}

impl Schema for Known<'_> {
    fn column_type(&self, relation: &RelationRef, column: &str) -> Option<String> {
        Some(self.relation(relation)?.column(column)?.type_name.clone())
    }

    fn is_unique(&self, relation: &RelationRef, columns: &[&str]) -> bool {
        let Some(relation) = self.relation(relation) else {
            return rewrite::NoSchema.is_unique(relation, columns);
        };
        relation.indexes.iter().any(|index| {
            let def = &index.def;
            let covered = |key: &crate::catalog::IndexKey| {
                key.column_name()
                    .is_some_and(|name| columns.contains(&name))
            };
            def.unique && index.valid && def.predicate.is_none() && def.keys.iter().all(covered)
        })
    }

    fn columns(&self, relation: &RelationRef) -> Option<Vec<String>> {
        let columns = &self.relation(relation)?.columns;
        Some(columns.iter().map(|column| column.name.clone()).collect())
    }
}

/// Prices the loops of a workload against their batches.
pub(super) async fn price<W: WhatIf>(
    catalog: &Catalog,
    workload: &Workload,
    what_if: &W,
) -> Vec<PricedRewrite> {
    let mut loops: Vec<&Repetition> = workload
        .repetitions
        .iter()
        .filter(|repetition| {
            repetition
                .classes
                .iter()
                .any(|class| class.n_repeats_max >= MIN_REPEATS)
        })
        .collect();
    let n_repeats = |repetition: &Repetition| -> u64 {
        repetition.classes.iter().map(|class| class.n_repeats).sum()
    };
    loops.sort_by_key(|repetition| (std::cmp::Reverse(n_repeats(repetition)), repetition.child));
    let mut priced = Vec::new();
    for repetition in loops.into_iter().take(MAX_PRICED) {
        let Some(query) = workload.query(repetition.child) else {
            continue;
        };
        let Ok(batch) = batch(Some(catalog), query, Keys::of(&repetition.classes)) else {
            continue;
        };
        match price_one(catalog, query, &batch, repetition, what_if).await {
            Ok(rewrite) => priced.push(rewrite),
            Err(WhatIfError::Budget | WhatIfError::Lost(_) | WhatIfError::Unsupported(_)) => break,
            // the finding then shows no cost; the statement itself is counted where indexes are priced
            Err(WhatIfError::Refused(_) | WhatIfError::Server(_)) => {}
        }
    }
    priced
}

async fn price_one<W: WhatIf>(
    catalog: &Catalog,
    query: &Query,
    batch: &Batch,
    repetition: &Repetition,
    what_if: &W,
) -> Result<PricedRewrite, WhatIfError> {
    let ask = |sql: String| PlannedQuery {
        sql,
        search_path: catalog.server.search_path.clone(),
    };
    let n_keys = mean_repeats(repetition);
    let (values, n_keys) = match sampled_keys(catalog, query, batch, n_keys) {
        Some((array, n)) => (BTreeMap::from([(1, array)]), n),
        None => (BTreeMap::new(), ASSUMED_KEYS),
    };
    let single = ask(sql::plannable(&query.text, &BTreeMap::new(), None));
    let batched = ask(sql::plannable(&batch.sql, &values, None));
    let single = what_if.plan(&single, &[], &[]).await?;
    let batched = what_if.plan(&batched, &[], &[]).await?;
    Ok(PricedRewrite {
        fingerprint: query.fingerprint,
        sql: batch.sql.clone(),
        n_keys: n_keys as u64,
        cost_singles: single.root.total_cost.0 * n_keys as f64,
        cost_batch: batched.root.total_cost.0,
        plan_single: in_a_line(&single),
        plan_batch: in_a_line(&batched),
    })
}

/// The dearest access to a table, else the topmost node.
fn in_a_line(plan: &Plan) -> String {
    let scans = plan
        .nodes()
        .filter_map(|node| Some((node, node.relation.as_deref()?)));
    let dearest = scans.max_by(|(a, _), (b, _)| a.total_cost.0.total_cmp(&b.total_cost.0));
    match dearest {
        Some((node, relation)) => format!("{} on {relation}", node.node_type),
        None => plan.root.node_type.clone(),
    }
}

/// Keys of a usual burst.
fn mean_repeats(repetition: &Repetition) -> usize {
    let n_repeats: u64 = repetition.classes.iter().map(|class| class.n_repeats).sum();
    let n_bursts: u64 = repetition.classes.iter().map(|class| class.n_bursts).sum();
    let mean = n_repeats / n_bursts.max(1);
    usize::try_from(mean)
        .unwrap_or(usize::MAX)
        .clamp(2, rewrite::MAX_KEYS)
}

/// An array of real keys from the column's statistics, as SQL, for a batch whose only array is one key. At least two of them, or none.
fn sampled_keys(
    catalog: &Catalog,
    query: &Query,
    batch: &Batch,
    wanted: usize,
) -> Option<(String, usize)> {
    let arrays: Vec<_> = batch
        .parameters
        .iter()
        .filter(|parameter| parameter.is_array)
        .collect();
    let [key] = arrays.as_slice() else {
        return None;
    };
    let shape = query.shape.as_deref()?;
    let stats = shape.scans.iter().find_map(|scan| {
        let name = &scan.relation;
        let relation = catalog.resolve(name.schema.as_deref(), &name.name)?;
        let keyed = scan
            .predicates
            .iter()
            .any(|predicate| is_key(predicate) == Some(key.placeholder));
        relation.column(&key.name).filter(|_| keyed)?.stats.as_ref()
    })?;
    let common = stats.most_common.iter().map(|(value, _)| value);
    let values: Vec<String> = stats
        .histogram
        .iter()
        .chain(common)
        .take(wanted)
        .map(|value| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    let array = quote_literal(&format!("{{{}}}", values.join(",")));
    (values.len() >= 2).then_some((array, values.len()))
}

/// The priced rewrite of a loop, if it was priced as this batch.
#[must_use]
pub fn priced<'a>(
    advice: &'a super::Advice,
    fingerprint: Fingerprint,
    batch: &Batch,
) -> Option<&'a PricedRewrite> {
    let mut of_loop = advice.rewrites.iter();
    of_loop.find(|priced| priced.fingerprint == fingerprint && priced.sql == batch.sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_like_types() {
        for (value, type_name) in [
            ("42", "bigint"),
            ("-42", "bigint"),
            ("49301234567890123456", "text"),
            ("4.20", "numeric"),
            ("6513270e-269e-0d37-f2a7-4de452e6b438", "uuid"),
            ("2024-01-31", "date"),
            ("2024-01-31 10:00:00", "timestamp without time zone"),
            ("2024-01-31 10:00:00+00", "timestamp with time zone"),
            ("t", "boolean"),
            ("4-2", "text"),
            ("", "text"),
            ("äöü", "text"),
        ] {
            assert_eq!(looks_like(value), type_name, "{value}");
        }
    }
}
