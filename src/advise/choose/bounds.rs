//! What no choice may break: an index that others stand in for must leave one of them, and no statement may become much dearer.
//!
//! Both become prices so high that the search, which knows nothing but prices, never pays them; what it leaves is mended once more.

use super::{CostTable, Limits, TableQuery};

/// How many times everything together a breach costs.
const BREACH: f64 = 10.0;

impl CostTable {
    /// Indexes that are there already, sorted.
    #[must_use]
    pub fn existing(&self) -> Vec<usize> {
        (0..self.indexes.len())
            .filter(|&at| self.indexes[at].exists)
            .collect()
    }

    /// Puts back existing indexes without which `chosen` (sorted) breaks a bound. With all of them back, none is broken.
    pub fn mend(&self, limits: &Limits, chosen: &mut Vec<usize>) {
        let existing = self.existing();
        let breaches = |guard: &&Vec<usize>| !guard.iter().any(|at| chosen.contains(at));
        let mut back: Vec<usize> = self
            .guards
            .iter()
            .filter(breaches)
            .flatten()
            .copied()
            .filter(|at| self.indexes[*at].exists)
            .collect();
        for query in &self.queries {
            let most = query.most(&existing, limits);
            if most.is_some_and(|most| query.cost(chosen) > most) {
                back.extend(query.needed(&existing));
            }
        }
        chosen.extend(back);
        chosen.sort_unstable();
        chosen.dedup();
    }
}

impl TableQuery {
    /// Most that it may cost, if there is a bound.
    fn most(&self, existing: &[usize], limits: &Limits) -> Option<f64> {
        let share = limits.max_regression?;
        Some(self.cost(existing) * (1.0 + share))
    }

    /// The existing indexes that its cost with all of them rests on.
    fn needed(&self, existing: &[usize]) -> Vec<usize> {
        let allowed = |set: &[usize]| set.iter().all(|at| existing.contains(at));
        let cheapest = self.options.iter().filter(|(set, _)| allowed(set));
        cheapest
            .min_by(|(a_set, a), (b_set, b)| a.total_cmp(b).then_with(|| a_set.cmp(b_set)))
            .map(|(set, _)| set.clone())
            .unwrap_or_default()
    }
}

/// The table with every breach priced: one more statement for each bound, which costs nothing while it holds.
pub(super) fn bounded(table: &CostTable, limits: &Limits) -> CostTable {
    let existing = table.existing();
    if existing.is_empty() {
        return table.clone();
    }
    let all: f64 = table.queries.iter().map(|q| q.weight * q.base).sum();
    let breach = BREACH * (1.0 + all);
    let bounds = table.queries.iter().filter_map(|query| {
        let most = query.most(&existing, limits)?;
        let within = query.options.iter().filter(|(_, cost)| *cost <= most);
        (query.base > most).then(|| held(breach, within.map(|(set, _)| set.clone())))
    });
    let guards = table.guards.iter().map(|guard| {
        let singles = guard.iter().map(|&at| vec![at]);
        held(breach, singles)
    });
    CostTable {
        queries: table
            .queries
            .iter()
            .cloned()
            .chain(bounds)
            .chain(guards)
            .collect(),
        indexes: table.indexes.clone(),
        guards: Vec::new(),
    }
}

/// A statement that costs a breach unless one of these sets is there.
fn held(breach: f64, by: impl Iterator<Item = Vec<usize>>) -> TableQuery {
    TableQuery {
        weight: 1.0,
        base: breach,
        options: by.map(|set| (set, 0.0)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::choose::{TableIndex, choose};

    fn index(exists: bool, size_bytes: u64, write_cost: f64) -> TableIndex {
        TableIndex {
            size_bytes,
            rank_bytes: size_bytes,
            write_cost,
            exists,
            ..TableIndex::default()
        }
    }

    fn query(weight: f64, base: f64, options: &[(&[usize], f64)]) -> TableQuery {
        TableQuery {
            weight,
            base,
            options: options
                .iter()
                .map(|(set, cost)| (set.to_vec(), *cost))
                .collect(),
        }
    }

    fn limits() -> Limits {
        Limits {
            min_gain: 5.0,
            max_regression: Some(0.1),
            ..Limits::default()
        }
    }

    /// 0 exists, (a); 1 is new, (a, b), and does what 0 does nearly as well.
    fn narrow_and_wide(wide_for_narrow: f64) -> CostTable {
        CostTable {
            queries: vec![
                query(1.0, 1_000.0, &[(&[0], 10.0), (&[1], wide_for_narrow)]),
                query(1.0, 1_000.0, &[(&[0], 200.0), (&[1], 20.0)]),
            ],
            indexes: vec![index(true, 50, 30.0), index(false, 80, 40.0)],
            guards: vec![vec![0, 1]],
        }
    }

    #[test]
    fn a_wider_index_takes_the_place_of_one_that_exists() {
        assert_eq!(choose(&narrow_and_wide(10.5), &limits()), [1]);
    }

    #[test]
    fn a_drop_that_makes_one_statement_dearer_by_more_than_a_tenth_is_not_chosen() {
        // 30 of upkeep would be saved for 2 more units in one statement: worth it by the sum, and not allowed
        assert_eq!(choose(&narrow_and_wide(12.0), &limits()), [0, 1]);
        let unbounded = Limits {
            max_regression: None,
            ..limits()
        };
        assert_eq!(choose(&narrow_and_wide(12.0), &unbounded), [1]);
    }

    #[test]
    fn the_bound_holds_for_statements_of_no_weight() {
        let mut table = narrow_and_wide(12.0);
        table.queries[0].weight = 0.0;
        assert_eq!(choose(&table, &limits()), [0, 1]);
    }

    #[test]
    fn what_nothing_uses_goes_and_what_a_guard_holds_stays() {
        let mut table = CostTable {
            queries: vec![query(1.0, 100.0, &[(&[1], 10.0)])],
            indexes: vec![index(true, 9, 0.0), index(true, 9, 1.0)],
            guards: Vec::new(),
        };
        assert_eq!(choose(&table, &limits()), [1]);
        table.guards = vec![vec![0]];
        assert_eq!(choose(&table, &limits()), [0, 1]);
    }

    #[test]
    fn what_exists_takes_no_budget_and_a_drop_makes_room_on_its_table() {
        let mut table = narrow_and_wide(10.5);
        let small = Limits {
            budget_bytes: Some(10),
            ..limits()
        };
        assert_eq!(choose(&table, &small), [0]);
        let one = Limits {
            room: vec![1],
            ..limits()
        };
        assert_eq!(choose(&table, &one), [1]);
        // nothing else does what 0 does: it is kept, and there is no room beside it
        table.queries[0].options.pop();
        table.guards = vec![vec![0]];
        assert_eq!(choose(&table, &one), [0]);
    }

    #[test]
    fn no_choice_on_random_tables_breaks_the_bound() {
        for seed in 1..=6 {
            let mut random = crate::advise::choose::search::Random::new(seed);
            let indexes: Vec<TableIndex> = (0..10)
                .map(|at| index(at < 4, 1 + random.below(50) as u64, random.below(40) as f64))
                .collect();
            let queries = (0..8)
                .map(|_| {
                    let options = (0..6).map(|_| {
                        let mut set: Vec<usize> =
                            (0..=random.below(2)).map(|_| random.below(10)).collect();
                        set.sort_unstable();
                        set.dedup();
                        (set, 1.0 + random.below(100) as f64)
                    });
                    TableQuery {
                        weight: 1.0,
                        base: 100.0,
                        options: options.collect(),
                    }
                })
                .collect();
            let table = CostTable {
                queries,
                indexes,
                guards: vec![vec![0, 5], vec![1, 6]],
            };
            let limits = Limits {
                indifference: 0.02,
                ..limits()
            };
            let chosen = choose(&table, &limits);
            let existing = table.existing();
            for query in &table.queries {
                assert!(query.cost(&chosen) <= query.cost(&existing) * 1.1 + 1e-9);
            }
            for guard in &table.guards {
                assert!(guard.iter().any(|at| chosen.contains(at)));
            }
        }
    }
}
