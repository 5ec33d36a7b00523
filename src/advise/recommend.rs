//! From prices to recommendations: the cost table, the choice, the proof that each chosen index is used, and why other statements got none.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Advice, Options, PricedQuery, Recommendation, WhatIf, WhyNot,
    bind::BoundQuery,
    choose::{self, CostTable, Limits, TableIndex, TableQuery},
    name::Names,
    price::{MAX_ALIVE, Priced, Pricer},
    propose::Proposal,
    size,
    write_cost::Written,
};
use crate::{
    catalog::{Build, Catalog, Relation},
    plan::{Plan, WhatIfKind},
};

/// A partial index is preferred to a full one of equal gain only when it is smaller by this factor: it serves fewer queries, and stops
/// serving when one of them changes.
const PARTIAL_SIZE_FACTOR: u64 = 4;

/// Relative difference of gains that counts as none.
const INDIFFERENCE: f64 = 0.02;

/// Share of all time that an index must save beside the others to stay, unless it saves one statement enough: two indexes with the same first
/// column where one would nearly do are what people take offence at.
const MIN_MARGINAL_SHARE: f64 = 0.02;

/// Statements priced in one go.
const WAVE: usize = 40;

/// A candidate this much smaller than one that a plan used may do as well.
const RIVAL_SIZE: f64 = 0.6;

/// Rounds of dropping what the verified plans don't use; each round only makes the set smaller.
const MAX_ROUNDS: usize = 4;

/// The chosen proposals with the statements that each serves, proven.
pub(super) type Verified = BTreeMap<usize, Vec<Served>>;

/// One statement's gain from one chosen index.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) query: usize,
    pub(super) cost_before: f64,
    pub(super) cost_after: f64,
    pub(super) saved_fraction: f64,
    pub(super) share: f64,
    pub(super) plan_before: String,
    pub(super) plan_after: String,
}

/// Prices the proposals, chooses among them, and proves the choice.
pub(super) async fn priced<W: WhatIf + Sync>(
    catalog: &Catalog,
    pricer: &mut Pricer<'_, W>,
    queries: &[BoundQuery<'_>],
    proposals: &[Proposal],
    written: &Written,
    options: &Options,
) -> Verified {
    let sizes = table_indexes(catalog, proposals, written);
    price_all(pricer, queries.len(), &sizes).await;
    let shares = shares(pricer, queries);
    let table = cost_table(pricer, &shares, sizes, queries.len());
    let limits = Limits {
        min_gain: options.min_saved_share,
        indifference: INDIFFERENCE,
        ..Limits::default()
    };
    let mut chosen = choose::choose(&table, &limits);
    drop_marginal(&table, options, &mut chosen);
    for _ in 0..MAX_ROUNDS {
        let verified = verify(pricer, queries, &chosen, &shares).await;
        let kept: Vec<usize> = chosen
            .iter()
            .copied()
            .filter(|at| {
                verified.get(at).is_some_and(|served| {
                    is_worth_it(served, table.indexes[*at].write_cost, options)
                })
            })
            .collect();
        if kept == chosen {
            return verified;
        }
        chosen = kept;
    }
    BTreeMap::new()
}

/// Drops indexes that save little which the others don't, least first.
fn drop_marginal(table: &CostTable, options: &Options, chosen: &mut Vec<usize>) {
    loop {
        let weakest = chosen
            .iter()
            .map(|&at| (margin(table, chosen, at), at))
            .filter(|((share, gain), _)| {
                *share < MIN_MARGINAL_SHARE && *gain < options.min_query_gain
            })
            .min_by(|((a, _), at_a), ((b, _), at_b)| a.total_cmp(b).then(at_a.cmp(at_b)));
        let Some((_, weakest)) = weakest else {
            return;
        };
        chosen.retain(|&at| at != weakest);
    }
}

/// What `at` saves beside the other chosen ones: weighted over the workload, and of one statement's cost at most.
fn margin(table: &CostTable, chosen: &[usize], at: usize) -> (f64, f64) {
    let without: Vec<usize> = chosen
        .iter()
        .copied()
        .filter(|&other| other != at)
        .collect();
    let savings = table
        .queries
        .iter()
        .filter(|query| query.base > 0.0)
        .map(|query| {
            let saved = query.cost(&without) - query.cost(chosen);
            (query.weight * saved, saved / query.base)
        });
    savings.fold((0.0, 0.0), |(share, gain), (s, g)| {
        (share + s, f64::max(gain, g))
    })
}

/// Enough for one statement, and enough for the workload.
fn is_worth_it(served: &[Served], write_cost: f64, options: &Options) -> bool {
    let saved: f64 = served.iter().map(|s| s.share * s.saved_fraction).sum();
    saved - write_cost >= options.min_saved_share
        && served
            .iter()
            .any(|s| s.saved_fraction >= options.min_query_gain)
}

/// Asks in waves, the heaviest statements first, so that a budget that runs out has been spent where it matters. A wave asks for: each
/// statement as it is; each table's candidates together, a handful at a time; each candidate that was used, and each much smaller rival
/// of one, by itself; and for statements over several tables all that were used together.
async fn price_all<W: WhatIf + Sync>(
    pricer: &mut Pricer<'_, W>,
    n_queries: usize,
    sizes: &[TableIndex],
) {
    let mut used = BTreeSet::new();
    for start in (0..n_queries).step_by(WAVE) {
        let wave: Vec<usize> = (start..n_queries.min(start + WAVE))
            .filter(|query| pricer.applies.iter().any(|applies| applies.contains(query)))
            .collect();
        pricer.price_bases(&wave).await;
        for set in pricer.candidate_sets(&wave) {
            let asked = with_base(pricer, &set, &wave);
            pricer.price(&asked, &set).await;
            let winners = used_by(pricer, &asked, &set);
            used.extend(rivals(pricer, &asked, &set, &winners, sizes));
            used.extend(winners);
        }
        let so_far: Vec<usize> = (0..n_queries.min(start + WAVE)).collect();
        for &at in &used {
            let asked = with_base(pricer, &[at], &so_far);
            pricer.price(&asked, &[at]).await;
        }
        for &query in &wave {
            let set = best_for(pricer, query, &used);
            if set.len() > 1 && pricer.base(query).is_some() {
                pricer.price(&[query], &set).await;
            }
        }
    }
}

/// Candidates that a winner may have hidden: for the same statement, on the same table, and much smaller.
fn rivals<W: WhatIf + Sync>(
    pricer: &Pricer<'_, W>,
    queries: &[usize],
    set: &[usize],
    winners: &[usize],
    sizes: &[TableIndex],
) -> Vec<usize> {
    let mut rivals = Vec::new();
    for &at in set {
        let is_rival = winners.iter().any(|&winner| {
            let both = |query: &&usize| {
                pricer.applies[at].contains(query) && pricer.applies[winner].contains(query)
            };
            sizes[at].size_bytes as f64 <= RIVAL_SIZE * sizes[winner].size_bytes as f64
                && queries.iter().any(|query| both(&query))
        });
        if is_rival && !winners.contains(&at) {
            rivals.push(at);
        }
    }
    rivals
}

/// Statements that some of `set` applies to and that cost enough to bother.
fn with_base<W: WhatIf + Sync>(
    pricer: &Pricer<'_, W>,
    set: &[usize],
    among: &[usize],
) -> Vec<usize> {
    let applies = |query: &usize| set.iter().any(|&at| pricer.applies[at].contains(query));
    among
        .iter()
        .copied()
        .filter(|query| applies(query) && pricer.base(*query).is_some())
        .collect()
}

fn used_by<W: WhatIf + Sync>(
    pricer: &Pricer<'_, W>,
    queries: &[usize],
    set: &[usize],
) -> Vec<usize> {
    queries
        .iter()
        .filter_map(|&query| {
            let with = pricer.known(query, set)?;
            (with.cost < pricer.base(query)?.cost).then(|| with.used.clone())
        })
        .flatten()
        .collect()
}

/// The used candidates that apply to a statement, those that help it most alone first, as many as may be alive.
fn best_for<W: WhatIf + Sync>(
    pricer: &Pricer<'_, W>,
    query: usize,
    used: &BTreeSet<usize>,
) -> Vec<usize> {
    let mut applying: Vec<usize> = used
        .iter()
        .copied()
        .filter(|&at| pricer.applies[at].contains(&query))
        .collect();
    let cost = |at: usize| {
        pricer
            .known(query, &[at])
            .map_or(f64::INFINITY, |priced| priced.cost)
    };
    applying.sort_by(|&a, &b| cost(a).total_cmp(&cost(b)).then(a.cmp(&b)));
    applying.truncate(MAX_ALIVE);
    applying.sort_unstable();
    applying
}

/// Each statement's share of the time; of calls times planner cost where no times are known.
fn shares<W: WhatIf + Sync>(pricer: &Pricer<'_, W>, queries: &[BoundQuery<'_>]) -> Vec<f64> {
    if queries.iter().any(|query| query.query.total_ms() > 0.0) {
        return queries.iter().map(|query| query.share).collect();
    }
    let costs: Vec<f64> = queries
        .iter()
        .enumerate()
        .map(|(at, query)| {
            let cost = pricer.known(at, &[]).map_or(0.0, |base| base.cost);
            query.query.n_calls() as f64 * cost
        })
        .collect();
    let total: f64 = costs.iter().sum();
    costs
        .into_iter()
        .map(|cost| if total > 0.0 { cost / total } else { 0.0 })
        .collect()
}

fn cost_table<W: WhatIf + Sync>(
    pricer: &Pricer<'_, W>,
    shares: &[f64],
    mut indexes: Vec<TableIndex>,
    n_queries: usize,
) -> CostTable {
    let queries = (0..n_queries)
        .map(|at| match pricer.base(at) {
            Some(base) => TableQuery {
                weight: shares[at] / base.cost,
                base: base.cost,
                options: pricer.options(at, base.cost),
            },
            None => TableQuery::default(),
        })
        .collect();
    let unit = share_per_cost(pricer, shares);
    for index in &mut indexes {
        index.write_cost *= unit;
    }
    CostTable { queries, indexes }
}

/// Sizes and upkeep of the proposals, upkeep in planner units.
fn table_indexes(catalog: &Catalog, proposals: &[Proposal], written: &Written) -> Vec<TableIndex> {
    proposals
        .iter()
        .map(|proposal| {
            let def = &proposal.candidate.def;
            let factor = if def.predicate.is_some() {
                PARTIAL_SIZE_FACTOR
            } else {
                1
            };
            let facts = |relation: &Relation| TableIndex {
                size_bytes: size::btree_bytes(relation, def, proposal.selectivity) * factor,
                write_cost: written.cost(relation, def, proposal.selectivity),
                table: 0,
            };
            catalog.relation(&def.table).map(facts).unwrap_or_default()
        })
        .collect()
}

/// What one planner unit weighs in shares of the workload's time: calibrates upkeep against gains.
fn share_per_cost<W: WhatIf + Sync>(pricer: &Pricer<'_, W>, shares: &[f64]) -> f64 {
    let mut units = 0.0;
    let mut time = 0.0;
    for (at, share) in shares.iter().enumerate() {
        if let Some(base) = pricer.known(at, &[]) {
            units += base.cost * pricer.n_calls_of(at);
            time += share;
        }
    }
    if units > 0.0 { time / units } else { 0.0 }
}

/// Prices every statement with all chosen indexes that apply to it, and says what each index does for whom.
async fn verify<W: WhatIf + Sync>(
    pricer: &mut Pricer<'_, W>,
    queries: &[BoundQuery<'_>],
    chosen: &[usize],
    shares: &[f64],
) -> Verified {
    let all: BTreeSet<usize> = chosen.iter().copied().collect();
    let mut by_set: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for query in 0..queries.len() {
        if pricer.base(query).is_some() {
            let set = best_for(pricer, query, &all);
            if !set.is_empty() {
                by_set.entry(set).or_default().push(query);
            }
        }
    }
    let mut verified = Verified::new();
    for (set, asked) in &by_set {
        pricer.price(asked, set).await;
        for &query in asked {
            for (at, served) in served(pricer, query, set, shares[query]) {
                verified.entry(at).or_default().push(served);
            }
        }
    }
    verified
}

/// What each used index of `set` saves one statement: the whole saving, shared out by what each saves alone.
fn served<W: WhatIf + Sync>(
    pricer: &Pricer<'_, W>,
    query: usize,
    set: &[usize],
    share: f64,
) -> Vec<(usize, Served)> {
    let (Some(base), Some(with)) = (pricer.base(query), pricer.best_within(query, set)) else {
        return Vec::new();
    };
    let saved = 1.0 - with.cost / base.cost;
    if saved <= 0.0 {
        return Vec::new();
    }
    let alone = |at: usize| {
        pricer
            .known(query, &[at])
            .map_or(0.0, |one| (base.cost - one.cost).max(0.0))
    };
    let total: f64 = with.used.iter().map(|&at| alone(at)).sum();
    let part = |at: usize| match total {
        total if total > 0.0 => alone(at) / total,
        _ => 1.0 / with.used.len() as f64,
    };
    let table = |at: usize| pricer.table_name(at);
    with.used
        .iter()
        .map(|&at| {
            let served = Served {
                query,
                cost_before: base.cost,
                cost_after: with.cost,
                saved_fraction: saved * part(at),
                share,
                plan_before: plan_line(base, &table(at)),
                plan_after: plan_line(with, &table(at)),
            };
            (at, served)
        })
        .collect()
}

/// The dearest access to a table in a plan, in one line.
fn plan_line(priced: &Priced, table: &str) -> String {
    let plan: &Plan = &priced.plan;
    let access = plan
        .nodes()
        .filter(|node| node.relation.as_deref() == Some(table))
        .max_by(|a, b| a.total_cost.0.total_cmp(&b.total_cost.0));
    match access {
        Some(node) => format!("{} on {table}", node.node_type),
        None => plan.root.node_type.clone(),
    }
}

/// Recommendations under their final names, most time saved first.
pub(super) fn recommendations(
    catalog: &Catalog,
    queries: &[BoundQuery<'_>],
    proposals: &[Proposal],
    written: &Written,
    verified: Verified,
    kind: WhatIfKind,
) -> Vec<Recommendation> {
    let mut names = Names::new(catalog);
    let mut ranked: Vec<(f64, Recommendation)> = verified
        .into_iter()
        .filter_map(|(at, served)| {
            let proposal = &proposals[at];
            let relation = catalog.relation(&proposal.candidate.def.table)?;
            let saved = served.iter().map(|s| s.share * s.saved_fraction).sum();
            let mut def = proposal.candidate.def.clone();
            def.name = names.take(&def);
            Some((
                saved,
                Recommendation {
                    size_bytes: size::btree_bytes(relation, &def, proposal.selectivity),
                    write_cost: written.cost(relation, &def, proposal.selectivity),
                    replaces: replaced(relation, &def),
                    reason: proposal.candidate.reason,
                    queries: priced_queries(queries, served),
                    extension: proposal.candidate.extension.clone(),
                    condition: proposal.condition.clone(),
                    priced: kind != WhatIfKind::None,
                    def,
                },
            ))
        })
        .collect();
    ranked.sort_by(|(saved_a, a), (saved_b, b)| {
        saved_b.total_cmp(saved_a).then_with(|| a.def.cmp(&b.def))
    });
    ranked
        .into_iter()
        .map(|(_, recommendation)| recommendation)
        .collect()
}

fn priced_queries(queries: &[BoundQuery<'_>], mut served: Vec<Served>) -> Vec<PricedQuery> {
    served.sort_by(|a, b| {
        let saved = |s: &Served| s.share * s.saved_fraction;
        saved(b).total_cmp(&saved(a)).then(a.query.cmp(&b.query))
    });
    served
        .into_iter()
        .map(|s| PricedQuery {
            fingerprint: queries[s.query].query.fingerprint,
            cost_before: s.cost_before,
            cost_after: s.cost_after,
            uses_index: true,
            plan_before: s.plan_before,
            plan_after: s.plan_after,
            saved_fraction: s.saved_fraction,
        })
        .collect()
}

/// Existing indexes that the new one makes redundant; those that carry constraints stay.
fn replaced(relation: &Relation, def: &crate::catalog::IndexDef) -> Vec<String> {
    relation
        .indexes
        .iter()
        .filter(|index| !index.is_load_bearing() && def.covers(&index.def))
        .map(|index| format!("{}.{}", index.def.table.schema, index.def.name))
        .collect()
}

/// For slow statements that no recommendation serves: what was tried and how far it got.
pub(super) fn why_not<W: WhatIf + Sync>(
    queries: &[BoundQuery<'_>],
    proposals: &[Proposal],
    pricer: &Pricer<'_, W>,
    verified: &Verified,
    options: &Options,
) -> Vec<WhyNot> {
    let served: BTreeSet<usize> = verified.values().flatten().map(|s| s.query).collect();
    (0..queries.len())
        .filter(|at| !served.contains(at))
        .map(|at| {
            let tried: Vec<usize> = (0..proposals.len())
                .filter(|&p| pricer.applies[p].contains(&at))
                .collect();
            let best_ratio = pricer.best_ratio(at);
            WhyNot {
                fingerprint: queries[at].query.fingerprint,
                tried: tried
                    .iter()
                    .map(|&p| proposals[p].candidate.def.create_sql(Build::Plain))
                    .collect(),
                best_ratio,
                reason: reason_why_not(
                    tried.is_empty(),
                    pricer.known(at, &[]),
                    best_ratio,
                    options,
                ),
            }
        })
        .collect()
}

fn reason_why_not(
    none_tried: bool,
    base: Option<&Priced>,
    best_ratio: Option<f64>,
    options: &Options,
) -> String {
    match (none_tried, base, best_ratio) {
        (true, ..) => "no condition, join or order that a new b-tree could serve".to_owned(),
        (_, None, _) => "could not be planned".to_owned(),
        (_, Some(_), None) => "cheap as it is, or not priced".to_owned(),
        (.., Some(ratio)) if ratio > 1.0 - options.min_query_gain => {
            format!("the best candidate leaves {:.0} % of the cost", ratio * 100.0)
        }
        _ => "the time saved is too small a share of the workload, or the index costs more to maintain".to_owned(),
    }
}

impl Advice {
    /// The recommendation that covers these columns as a prefix, if any.
    #[must_use]
    pub fn covering(
        &self,
        relation: &crate::catalog::RelationName,
        columns: &[String],
    ) -> Option<&Recommendation> {
        self.recommendations.iter().find(|recommendation| {
            let keys = recommendation.def.key_columns();
            recommendation.def.table == *relation
                && recommendation.def.predicate.is_none()
                && keys.len() >= columns.len()
                && columns
                    .iter()
                    .all(|column| keys[..columns.len()].contains(&column.as_str()))
        })
    }
}
