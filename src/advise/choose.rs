//! The best set of indexes from a table of prices. Pure: tested on published cost tables, used on our own.

use serde::{Deserialize, Serialize};

/// Prices of a workload: what each statement costs with which indexes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CostTable {
    /// Statements.
    pub queries: Vec<TableQuery>,
    /// Indexes; options name them by position.
    pub indexes: Vec<TableIndex>,
}

/// One statement of a cost table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableQuery {
    /// What one unit of its cost weighs.
    pub weight: f64,
    /// Cost without any of the indexes.
    pub base: f64,
    /// Index sets (sorted positions) with the cost that the statement has when they exist. Any superset costs at most as much.
    pub options: Vec<(Vec<usize>, f64)>,
}

/// One index of a cost table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct TableIndex {
    /// Size in bytes; what a budget counts, and what decides between equal gains.
    pub size_bytes: u64,
    /// Price of maintaining it, in weighted cost.
    pub write_cost: f64,
}

/// Bounds of a choice.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Most bytes that the chosen indexes may take together.
    pub budget_bytes: Option<u64>,
    /// Least net gain, in weighted cost, for which an index is added.
    pub min_gain: f64,
    /// Gains that differ by less than this share are equal, and the smaller index wins: the planner's costs are no more exact.
    pub indifference: f64,
}

/// Gains closer than this share of the total are a tie: the planner's costs have no more digits.
const TIE: f64 = 1e-6;

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

    /// Size of `chosen` together, bytes.
    #[must_use]
    pub fn size_bytes(&self, chosen: &[usize]) -> u64 {
        chosen.iter().map(|&at| self.indexes[at].size_bytes).sum()
    }

    /// Every set that an option names, each once, sorted: the moves of the search.
    fn moves(&self) -> Vec<Vec<usize>> {
        let mut moves: Vec<Vec<usize>> = self
            .queries
            .iter()
            .flat_map(|query| query.options.iter())
            .map(|(set, _)| set.clone())
            .collect();
        moves.sort();
        moves.dedup();
        moves
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

/// The chosen positions, sorted: greedy by net gain over single indexes and the pairs that options name, then everything that turned
/// out useless is dropped again. Deterministic: ties go to fewer bytes, then to the earlier position.
#[must_use]
pub fn choose(table: &CostTable, limits: &Limits) -> Vec<usize> {
    let moves = table.moves();
    let mut chosen = Vec::new();
    while let Some(next) = best_move(table, limits, &moves, &chosen) {
        chosen = next;
    }
    drop_useless(table, limits, &mut chosen);
    chosen
}

/// The set after the best affordable move, if any gains enough.
fn best_move(
    table: &CostTable,
    limits: &Limits,
    moves: &[Vec<usize>],
    chosen: &[usize],
) -> Option<Vec<usize>> {
    let now = table.total(chosen);
    let tie = now.abs() * TIE;
    let mut best: Option<(f64, u64, Vec<usize>)> = None;
    for set in moves {
        let with = union(chosen, set);
        let n_new = with.len() - chosen.len();
        let size = table.size_bytes(&with);
        if n_new == 0 || limits.budget_bytes.is_some_and(|budget| size > budget) {
            continue;
        }
        let gain = now - table.total(&with);
        if gain <= limits.min_gain.max(tie) * n_new as f64 {
            continue;
        }
        let is_better = match &best {
            None => true,
            Some((known, known_size, _)) => {
                let slack = tie + known.abs() * limits.indifference;
                gain > known + slack || (gain > known - slack && size < *known_size)
            }
        };
        if is_better {
            best = Some((gain, size, with));
        }
    }
    best.map(|(.., set)| set)
}

/// Drops, last chosen last, what no longer pays for itself.
fn drop_useless(table: &CostTable, limits: &Limits, chosen: &mut Vec<usize>) {
    for at in chosen.clone() {
        let without: Vec<usize> = chosen
            .iter()
            .copied()
            .filter(|&other| other != at)
            .collect();
        let loss = table.total(&without) - table.total(chosen);
        if loss <= limits.min_gain.max(table.total(chosen).abs() * TIE) {
            *chosen = without;
        }
    }
}

fn union(chosen: &[usize], more: &[usize]) -> Vec<usize> {
    let mut all = [chosen, more].concat();
    all.sort_unstable();
    all.dedup();
    all
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
                    write_cost: 3.0
                };
                5
            ],
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
    fn what_gains_too_little_is_left() {
        let limits = Limits {
            min_gain: 95.0,
            ..Limits::default()
        };
        assert_eq!(choose(&table(), &limits), [2]);
        assert!(choose(&CostTable::default(), &Limits::default()).is_empty());
    }
}
