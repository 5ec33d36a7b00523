//! The best set of indexes from a table of prices. Pure: tested on published cost tables, used on our own.
//!
//! Lazy greedy under several exponents of size finds good sets; a local search with a fixed amount of work mends them (`search.rs`). Where no
//! budget binds, what is left is a set in which no index can be dropped, added or exchanged for a better total.

mod bounds;
mod published;
mod search;
mod state;

use serde::{Deserialize, Serialize};

pub use published::{PublishedTable, TableError};
use state::State;

/// Prices of a workload: what each statement costs with which indexes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CostTable {
    /// Statements.
    pub queries: Vec<TableQuery>,
    /// Indexes; options name them by position.
    pub indexes: Vec<TableIndex>,
    /// Sets of which one index at least is always there: an existing index that only goes when another takes its place.
    #[serde(default)]
    pub guards: Vec<Vec<usize>>,
}

/// One statement of a cost table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableQuery {
    /// What one unit of its cost weighs.
    pub weight: f64,
    /// Cost without any of the indexes, those that exist included.
    pub base: f64,
    /// Index sets (sorted positions) with the cost that the statement has when they exist. Any superset costs at most as much.
    pub options: Vec<(Vec<usize>, f64)>,
}

/// One index of a cost table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct TableIndex {
    /// Size in bytes; what a budget counts.
    pub size_bytes: u64,
    /// What decides between equal gains: the size, or more for indexes that are to be avoided.
    pub rank_bytes: u64,
    /// Price of maintaining it, in weighted cost.
    pub write_cost: f64,
    /// The table that it is on, for [`Limits::room`].
    pub table: usize,
    /// The same index without its INCLUDE columns, which is preferred unless this one saves much more.
    pub plain: Option<usize>,
    /// It is there already: it takes no room of the budget, no gain is asked of it, and leaving it out is a drop.
    #[serde(default)]
    pub exists: bool,
}

/// Bounds of a choice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Most bytes that the chosen indexes may take together.
    pub budget_bytes: Option<u64>,
    /// Least net gain, in weighted cost, for which an index is added.
    pub min_gain: f64,
    /// Gains that differ by less than this share are equal, and the smaller index wins: the planner's costs are no more exact.
    pub indifference: f64,
    /// Most indexes that may be chosen on each table; tables beyond the list are unbounded.
    pub room: Vec<usize>,
    /// Share by which a statement may cost more than with what exists, whatever the rest gains. No set is chosen that breaks it.
    pub max_regression: Option<f64>,
}

/// Totals closer than this share are a tie: the planner's costs have no more digits.
const TIE: f64 = 1e-9;

/// Share of its gain that an index must owe to its INCLUDE columns: they make every entry wider, and stop serving when a statement reads one
/// column more.
const MIN_COVERING_SHARE: f64 = 0.5;

/// No statement of weight may cost this many times as much for the sake of a smaller index, however little that is of what it cost without any:
/// an index that gives the rows in the order asked for and one that leaves a sort both save nearly all of a sequential scan, and an expert takes
/// the first. Below what an audit asks of an index that refines one that exists, so that none is asked for once the choice is built.
const MAX_SLOWDOWN: f64 = 2.5;

/// Share of what is left of all time that may be lost for the sake of a smaller index; as above, less than what an audit asks of a refinement.
const MAX_SHRINK_LOSS: f64 = 0.04;

/// The least that counts as left, of what there was.
const MIN_LEFT: f64 = 0.1;

/// Share of what two indexes gain together that may be lost for having one instead, and how much slower a statement may become by it:
/// an index-only scan over entries half as wide again costs half as much again, and is still a small part of what it replaces.
const MAX_MERGED_LOSS: f64 = 0.05;
const MAX_MERGED_SLOWDOWN: f64 = 2.0;

/// Most rounds of exchanging indexes for smaller ones.
const MAX_SHRINKS: usize = 64;

impl CostTable {
    /// Weighted cost of the workload with `chosen` (sorted positions), maintenance included.
    #[must_use]
    pub fn total(&self, chosen: &[usize]) -> f64 {
        let queries: f64 = self
            .queries
            .iter()
            .map(|query| query.weight * query.cost(chosen))
            .sum();
        let writes: f64 = chosen.iter().map(|&at| self.indexes[at].write_cost).sum();
        queries + writes
    }

    /// Size of what is new among `chosen`, bytes.
    #[must_use]
    pub fn size_bytes(&self, chosen: &[usize]) -> u64 {
        chosen
            .iter()
            .filter(|&&at| !self.indexes[at].exists)
            .map(|&at| self.indexes[at].size_bytes)
            .fold(0, u64::saturating_add)
    }
}

impl TableQuery {
    /// Cost with `chosen` (sorted positions): the cheapest option that they allow.
    #[must_use]
    pub fn cost(&self, chosen: &[usize]) -> f64 {
        self.options
            .iter()
            .filter(|(set, _)| set.iter().all(|at| chosen.binary_search(at).is_ok()))
            .map(|(_, cost)| *cost)
            .fold(self.base, f64::min)
    }
}

/// The chosen positions, sorted. Deterministic: the search does a fixed amount of work, and ties go to fewer bytes, then to earlier positions.
#[must_use]
pub fn choose(table: &CostTable, limits: &Limits) -> Vec<usize> {
    let bounded = &bounds::bounded(table, limits);
    let mut state = State::new(bounded, limits);
    let mut chosen = search::run(&mut state, &table.existing());
    if limits.indifference > 0.0 {
        shrink(bounded, limits, &mut chosen);
        consolidate(bounded, limits, &mut chosen);
        drop_superseded(bounded, &mut chosen);
    }
    table.mend(limits, &mut chosen);
    chosen
}

/// Leaves out existing indexes that the exchanges made superfluous: one may have been kept beside an index too wide to stand in for it, and its
/// narrower form can. `table` has the bounds as prices.
fn drop_superseded(table: &CostTable, chosen: &mut Vec<usize>) {
    for at in table.existing() {
        let without: Vec<usize> = chosen.iter().copied().filter(|&one| one != at).collect();
        if without.len() < chosen.len() && table.total(&without) < table.total(chosen) {
            *chosen = without;
        }
    }
}

/// Exchanges two chosen indexes of a table for one that is smaller than both together and nearly does as well.
fn consolidate(table: &CostTable, limits: &Limits, chosen: &mut Vec<usize>) {
    while let Some(fewer) = one_for_two(table, limits, chosen) {
        *chosen = fewer;
    }
}

fn one_for_two(table: &CostTable, limits: &Limits, chosen: &[usize]) -> Option<Vec<usize>> {
    let now = table.total(chosen);
    let mut best: Option<(f64, Vec<usize>)> = None;
    for (n, &first) in chosen.iter().enumerate() {
        let on = table.indexes[first].table;
        let is_new = |at: usize| !table.indexes[at].exists;
        let seconds = chosen[n + 1..].iter().copied().filter(|&at| is_new(at));
        for second in seconds.filter(|&at| table.indexes[at].table == on && is_new(first)) {
            let is_out = |at: usize| at == first || at == second;
            let rest: Vec<usize> = chosen.iter().copied().filter(|&at| !is_out(at)).collect();
            let gain = (table.total(&rest) - now).max(0.0);
            let bytes = table.size_bytes(&[first, second]);
            let fits = |&other: &usize| {
                table.indexes[other].table == on
                    && is_new(other)
                    && table.indexes[other].size_bytes < bytes
                    && !chosen.contains(&other)
            };
            for other in (0..table.indexes.len()).filter(fits) {
                let mut with = rest.clone();
                with.push(other);
                with.sort_unstable();
                let loss = table.total(&with) - now - limits.min_gain;
                let slows = |query: &TableQuery| {
                    query.cost(&with) > query.cost(chosen) * MAX_MERGED_SLOWDOWN
                };
                let is_near = loss <= gain * MAX_MERGED_LOSS;
                let is_best = best.as_ref().is_none_or(|(known, _)| loss < *known);
                if is_near && is_best && !table.queries.iter().any(slows) {
                    best = Some((loss, with));
                }
            }
        }
    }
    best.map(|(_, with)| with)
}

/// Exchanges chosen indexes for smaller ones that nearly do as well.
fn shrink(table: &CostTable, limits: &Limits, chosen: &mut Vec<usize>) {
    for _ in 0..MAX_SHRINKS {
        let Some(smaller) = chosen
            .clone()
            .into_iter()
            .filter(|&at| !table.indexes[at].exists)
            .find_map(|at| smaller_instead(table, limits, chosen, at))
        else {
            return;
        };
        *chosen = smaller;
    }
}

/// The set with `at` exchanged for the smallest index that costs the workload next to nothing.
fn smaller_instead(
    table: &CostTable,
    limits: &Limits,
    chosen: &[usize],
    at: usize,
) -> Option<Vec<usize>> {
    let rest: Vec<usize> = chosen.iter().copied().filter(|&o| o != at).collect();
    let now = table.total(chosen);
    let gain = (table.total(&rest) - now).max(0.0);
    let left = now.max(table.total(&table.existing()) * MIN_LEFT);
    let of_at = table.indexes[at];
    let slack_for = |other: usize| {
        if of_at.plain == Some(other) {
            gain * MIN_COVERING_SHARE.max(limits.indifference)
        } else {
            (gain * limits.indifference).min(left * MAX_SHRINK_LOSS)
        }
    };
    let mut smaller: Vec<usize> = (0..table.indexes.len())
        .filter(|&other| table.indexes[other].table == of_at.table)
        .filter(|&other| table.indexes[other].rank_bytes < of_at.rank_bytes)
        .filter(|other| !chosen.contains(other) && !table.indexes[*other].exists)
        .collect();
    smaller.sort_by_key(|&other| (table.indexes[other].rank_bytes, other));
    smaller.into_iter().find_map(|other| {
        let mut with = rest.clone();
        with.push(other);
        with.sort_unstable();
        let fits = limits
            .budget_bytes
            .is_none_or(|budget| table.size_bytes(&with) <= budget);
        let slows = |query: &TableQuery| {
            let (before, after) = (query.cost(chosen), query.cost(&with));
            after > before * MAX_SLOWDOWN && query.weight * (after - before) >= limits.min_gain
        };
        let is_plain = of_at.plain == Some(other);
        let near = table.total(&with) <= now + slack_for(other);
        (fits && near && (is_plain || !table.queries.iter().any(slows))).then_some(with)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> CostTable {
        let query = |options: &[(&[usize], f64)]| TableQuery {
            weight: 1.0,
            base: 100.0,
            options: options
                .iter()
                .map(|(set, cost)| (set.to_vec(), *cost))
                .collect(),
        };
        CostTable {
            queries: vec![
                query(&[(&[0], 10.0), (&[2], 12.0)]),
                query(&[(&[1], 10.0), (&[2], 12.0)]),
                query(&[(&[3, 4], 5.0)]),
            ],
            indexes: vec![
                TableIndex {
                    size_bytes: 10,
                    rank_bytes: 10,
                    write_cost: 5.0,
                    table: 0,
                    plain: None,
                    exists: false,
                };
                5
            ],
            guards: Vec::new(),
        }
    }

    #[test]
    fn shared_indexes_and_pairs_are_found() {
        assert_eq!(choose(&table(), &Limits::default()), [2, 3, 4]);
        let small = Limits {
            budget_bytes: Some(10),
            ..Limits::default()
        };
        assert_eq!(choose(&table(), &small), [2]);
    }

    #[test]
    fn a_table_with_room_for_one_gets_one() {
        let one = Limits {
            room: vec![1],
            ..Limits::default()
        };
        assert_eq!(choose(&table(), &one), [2]);
        let none = Limits {
            room: vec![0],
            ..Limits::default()
        };
        assert!(choose(&table(), &none).is_empty());
    }

    #[test]
    fn what_gains_too_little_is_left() {
        let limits = Limits {
            min_gain: 95.0,
            ..Limits::default()
        };
        assert_eq!(choose(&table(), &limits), [2]);
        assert!(choose(&CostTable::default(), &Limits::default()).is_empty());
    }

    #[test]
    fn nearly_as_good_and_smaller_wins() {
        let mut table = table();
        table.indexes.push(TableIndex {
            size_bytes: 1,
            rank_bytes: 1,
            write_cost: 5.0,
            table: 0,
            plain: None,
            exists: false,
        });
        table.queries[0].options.push((vec![5], 12.5));
        table.queries[1].options.push((vec![5], 12.5));
        let limits = Limits {
            indifference: 0.02,
            ..Limits::default()
        };
        assert_eq!(choose(&table, &limits), [3, 4, 5]);
    }

    /// 0 exists; 2 is 1 with INCLUDE columns, too wide to stand in for 0, as 1 can.
    #[test]
    fn what_exists_goes_when_the_narrow_form_of_a_covering_index_stands_in() {
        let index = |size_bytes, plain, exists| TableIndex {
            size_bytes,
            rank_bytes: size_bytes,
            write_cost: 1.0,
            plain,
            exists,
            ..TableIndex::default()
        };
        let options: &[(&[usize], f64)] = &[(&[0], 500.0), (&[1], 24.0), (&[2], 2.0)];
        let query = TableQuery {
            weight: 1.0,
            base: 1_000.0,
            options: options.iter().map(|(set, c)| (set.to_vec(), *c)).collect(),
        };
        let table = CostTable {
            queries: vec![query],
            indexes: vec![
                index(10, None, true),
                index(30, None, false),
                index(100, Some(1), false),
            ],
            guards: vec![vec![0, 1]],
        };
        let limits = Limits {
            indifference: 0.02,
            max_regression: Some(0.1),
            ..Limits::default()
        };
        assert_eq!(choose(&table, &limits), [1]);
    }

    #[test]
    fn one_index_takes_the_place_of_two_that_it_nearly_equals() {
        let index = |size_bytes| TableIndex {
            size_bytes,
            rank_bytes: size_bytes,
            ..TableIndex::default()
        };
        let query = |own: usize, merged: f64| TableQuery {
            weight: 1.0,
            base: 100.0,
            options: vec![(vec![own], 4.0), (vec![2], merged)],
        };
        let mut table = CostTable {
            queries: vec![query(0, 6.0), query(1, 6.0)],
            indexes: vec![index(10), index(10), index(14)],
            ..CostTable::default()
        };
        let limits = Limits {
            indifference: 0.02,
            ..Limits::default()
        };
        assert_eq!(choose(&table, &limits), [2]);
        // larger than both together, or half of what they save lost: no
        table.indexes[2] = index(20);
        assert_eq!(choose(&table, &limits), [0, 1]);
        table.indexes[2] = index(14);
        table.queries[0] = query(0, 50.0);
        assert_eq!(choose(&table, &limits), [0, 1]);
    }

    #[test]
    fn smaller_does_not_win_where_a_statement_takes_many_times_as_long() {
        let mut table = table();
        table.queries[0].base = 3_000.0;
        table.queries[0].options = vec![(vec![0], 2.0), (vec![5], 60.0)];
        table.indexes.push(TableIndex {
            size_bytes: 1,
            rank_bytes: 1,
            write_cost: 5.0,
            table: 0,
            plain: None,
            exists: false,
        });
        let limits = Limits {
            indifference: 0.02,
            ..Limits::default()
        };
        assert!(choose(&table, &limits).contains(&0));
    }

    /// Every subset of small tables with singles, pairs and triples: the search finds the best one.
    #[test]
    fn small_tables_are_solved_exactly() {
        for seed in 1..=8_u64 {
            let (table, limits) = random_table(seed, 10, 8);
            let best = (0..1_u32 << 10)
                .map(|bits| (0..10).filter(|at| bits >> at & 1 == 1).collect::<Vec<_>>())
                .filter(|set| Some(table.size_bytes(set)) <= limits.budget_bytes)
                .map(|set| table.total(&set))
                .fold(f64::INFINITY, f64::min);
            let chosen = choose(&table, &limits);
            assert!(Some(table.size_bytes(&chosen)) <= limits.budget_bytes);
            let found = table.total(&chosen);
            assert!(
                found <= best * (1.0 + 1e-9),
                "seed {seed}: {found} > {best}"
            );
        }
    }

    fn random_table(seed: u64, n_indexes: usize, n_queries: usize) -> (CostTable, Limits) {
        let mut random = search::Random::new(seed);
        let indexes: Vec<TableIndex> = (0..n_indexes)
            .map(|_| TableIndex {
                size_bytes: 1 + random.below(100) as u64,
                rank_bytes: 0,
                write_cost: random.below(20) as f64,
                table: 0,
                plain: None,
                exists: false,
            })
            .collect();
        let queries = (0..n_queries)
            .map(|_| {
                let options = (0..8)
                    .map(|_| {
                        let mut set: Vec<usize> = (0..=random.below(3))
                            .map(|_| random.below(n_indexes))
                            .collect();
                        set.sort_unstable();
                        set.dedup();
                        let cost = 200.0 / (set.len() as f64 + random.below(8) as f64);
                        (set, cost)
                    })
                    .collect();
                TableQuery {
                    weight: 1.0,
                    base: 200.0,
                    options,
                }
            })
            .collect();
        let all: u64 = indexes.iter().map(|index| index.size_bytes).sum();
        let limits = Limits {
            budget_bytes: Some(all * (1 + random.below(8) as u64) / 10),
            ..Limits::default()
        };
        let table = CostTable {
            queries,
            indexes,
            guards: Vec::new(),
        };
        (table, limits)
    }
}
