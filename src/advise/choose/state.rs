//! A set of indexes under search, with what each statement costs under it: adding and dropping one index costs as much as there are options
//! that name it.

use std::rc::Rc;

use super::{CostTable, Limits, TIE};

/// Position of an option in [`State::options`].
type At = u32;

/// No option: the statement runs without any of the indexes.
const NONE: At = At::MAX;

#[derive(Debug)]
struct Choice {
    query: usize,
    /// Weighted cost.
    cost: f64,
    set: Box<[usize]>,
}

/// What can be added in one step: the set of an option, or one index.
#[derive(Debug, Clone)]
pub(super) struct Move {
    pub(super) set: Rc<[usize]>,
}

/// The search's state.
#[derive(Debug)]
pub(super) struct State<'t> {
    table: &'t CostTable,
    limits: &'t Limits,
    options: Vec<Choice>,
    /// Options that name an index.
    of_index: Vec<Vec<At>>,
    /// A statement's options, cheapest first.
    of_query: Vec<Vec<At>>,
    pub(super) moves: Vec<Move>,
    /// Moves that name an index.
    pub(super) moves_of: Vec<Vec<usize>>,
    is_chosen: Vec<bool>,
    /// Indexes that an option still lacks.
    lacking: Vec<u32>,
    /// The cheapest allowed option of each statement.
    best: Vec<At>,
    base: Vec<f64>,
    chosen_on: Vec<usize>,
    size_bytes: u64,
    /// Scratch: cost under a move, by statement; reset after use.
    scratch: Vec<f64>,
    /// Options looked at: the measure of work.
    pub(super) work: u64,
}

impl<'t> State<'t> {
    pub(super) fn new(table: &'t CostTable, limits: &'t Limits) -> Self {
        let n = table.indexes.len();
        let mut options = Vec::new();
        for (at, query) in table.queries.iter().enumerate() {
            let usable = |set: &[usize]| !set.is_empty() && set.iter().all(|&index| index < n);
            for (set, cost) in &query.options {
                if *cost < query.base && usable(set) {
                    options.push(Choice {
                        query: at,
                        cost: cost * query.weight,
                        set: set.clone().into_boxed_slice(),
                    });
                }
            }
        }
        let mut of_index = vec![Vec::new(); n];
        let mut of_query = vec![Vec::new(); table.queries.len()];
        for (at, option) in (0..).zip(&options) {
            of_query[option.query].push(at);
            for &index in &option.set {
                of_index[index].push(at);
            }
        }
        for list in &mut of_query {
            list.sort_by(|&a, &b| {
                let cost = |at: At| options[at as usize].cost;
                cost(a).total_cmp(&cost(b)).then(a.cmp(&b))
            });
        }
        let moves = moves(&options);
        let mut moves_of = vec![Vec::new(); n];
        for (at, step) in moves.iter().enumerate() {
            for &index in step.set.iter() {
                moves_of[index].push(at);
            }
        }
        let n_tables = table.indexes.iter().map(|i| i.table + 1).max().unwrap_or(0);
        Self {
            table,
            limits,
            lacking: options.iter().map(|o| o.set.len() as u32).collect(),
            options,
            of_index,
            of_query,
            moves,
            moves_of,
            is_chosen: vec![false; n],
            best: vec![NONE; table.queries.len()],
            base: table.queries.iter().map(|q| q.base * q.weight).collect(),
            chosen_on: vec![0; n_tables],
            size_bytes: 0,
            scratch: vec![f64::NAN; table.queries.len()],
            work: 0,
        }
    }

    pub(super) fn chosen(&self) -> Vec<usize> {
        (0..self.is_chosen.len())
            .filter(|&at| self.is_chosen[at])
            .collect()
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Bytes that it takes of the budget.
    pub(super) fn size_of(&self, index: usize) -> u64 {
        match self.table.indexes[index] {
            of if of.exists => 0,
            of => of.size_bytes,
        }
    }

    /// What each chosen index costs whether used or not: its upkeep, and the gain that is asked of it if it is new.
    fn fixed(&self, index: usize) -> f64 {
        match self.table.indexes[index] {
            of if of.exists => of.write_cost,
            of => of.write_cost + self.limits.min_gain,
        }
    }

    /// What the search makes small: weighted cost, upkeep and the asked gain of each chosen index.
    pub(super) fn objective(&self) -> f64 {
        let queries: f64 = (0..self.best.len()).map(|query| self.cost(query)).sum();
        let fixed: f64 = self.chosen().into_iter().map(|at| self.fixed(at)).sum();
        queries + fixed
    }

    /// Objectives closer than this are equal.
    pub(super) fn tie(&self) -> f64 {
        self.base.iter().sum::<f64>().abs() * TIE
    }

    fn cost(&self, query: usize) -> f64 {
        match self.best[query] {
            NONE => self.base[query],
            at => self.options[at as usize].cost,
        }
    }

    /// Do budget and room allow what is new in `set`?
    pub(super) fn fits(&self, set: &[usize]) -> bool {
        let mut size = self.size_bytes;
        for (at, &index) in set.iter().enumerate() {
            if self.is_chosen[index] {
                continue;
            }
            size = size.saturating_add(self.size_of(index));
            let table = self.table.indexes[index].table;
            let promised = set[..at]
                .iter()
                .filter(|&&other| {
                    !self.is_chosen[other] && self.table.indexes[other].table == table
                })
                .count();
            let room = self.limits.room.get(table).copied().unwrap_or(usize::MAX);
            if self.chosen_on[table] + promised >= room {
                return false;
            }
        }
        self.limits.budget_bytes.is_none_or(|budget| size <= budget)
    }

    /// Bytes that a move would add.
    pub(super) fn added_bytes(&self, set: &[usize]) -> u64 {
        set.iter()
            .filter(|&&index| !self.is_chosen[index])
            .map(|&index| self.size_of(index))
            .fold(0, u64::saturating_add)
    }

    /// What the objective falls by when `set` is added; infinite negative when nothing of it is new.
    pub(super) fn gain(&mut self, set: &[usize]) -> f64 {
        let mut touched: Vec<usize> = Vec::new();
        let mut fixed = 0.0;
        for &index in set {
            if self.is_chosen[index] {
                continue;
            }
            fixed += self.fixed(index);
            self.work += self.of_index[index].len() as u64;
            for &at in &self.of_index[index] {
                let option = &self.options[at as usize];
                let lacking = self.lacking[at as usize] as usize;
                if lacking > set.len() || option.cost >= self.cost(option.query) {
                    continue;
                }
                let given = option
                    .set
                    .iter()
                    .filter(|o| !self.is_chosen[**o] && set.contains(o))
                    .count();
                if given == lacking {
                    let slot = &mut self.scratch[option.query];
                    if slot.is_nan() {
                        touched.push(option.query);
                        *slot = option.cost;
                    } else if option.cost < *slot {
                        *slot = option.cost;
                    }
                }
            }
        }
        let mut gain = -fixed;
        for query in touched {
            gain += self.cost(query) - self.scratch[query];
            self.scratch[query] = f64::NAN;
        }
        gain
    }

    /// What the objective rises by when `index` is dropped.
    pub(super) fn loss(&mut self, index: usize) -> f64 {
        let mut loss = -self.fixed(index);
        let list = std::mem::take(&mut self.of_index[index]);
        self.work += list.len() as u64;
        for &at in &list {
            let query = self.options[at as usize].query;
            if self.best[query] == at {
                loss += self.cost_without(query, index) - self.cost(query);
            }
        }
        self.of_index[index] = list;
        loss
    }

    fn cost_without(&mut self, query: usize, index: usize) -> f64 {
        let mut cost = self.base[query];
        for &at in &self.of_query[query] {
            self.work += 1;
            let option = &self.options[at as usize];
            if self.lacking[at as usize] == 0 && !option.set.contains(&index) {
                cost = option.cost;
                break;
            }
        }
        cost
    }

    pub(super) fn add(&mut self, index: usize) {
        if std::mem::replace(&mut self.is_chosen[index], true) {
            return;
        }
        self.size_bytes = self.size_bytes.saturating_add(self.size_of(index));
        self.chosen_on[self.table.indexes[index].table] += 1;
        self.work += self.of_index[index].len() as u64;
        for &at in &self.of_index[index] {
            let lacking = &mut self.lacking[at as usize];
            *lacking -= 1;
            let option = &self.options[at as usize];
            if *lacking == 0 && option.cost < self.cost(option.query) {
                self.best[option.query] = at;
            }
        }
    }

    pub(super) fn drop_index(&mut self, index: usize) {
        if !std::mem::replace(&mut self.is_chosen[index], false) {
            return;
        }
        self.size_bytes -= self.size_of(index);
        self.chosen_on[self.table.indexes[index].table] -= 1;
        self.work += self.of_index[index].len() as u64;
        let mut to_renew = Vec::new();
        for &at in &self.of_index[index] {
            self.lacking[at as usize] += 1;
            let query = self.options[at as usize].query;
            if self.best[query] == at {
                to_renew.push(query);
            }
        }
        for query in to_renew {
            self.best[query] = self.cheapest_allowed(query);
        }
    }

    fn cheapest_allowed(&mut self, query: usize) -> At {
        let position = self.of_query[query]
            .iter()
            .position(|&at| self.lacking[at as usize] == 0);
        self.work += position.unwrap_or(self.of_query[query].len()) as u64;
        position.map_or(NONE, |position| self.of_query[query][position])
    }

    /// Makes `set` the chosen one.
    pub(super) fn become_set(&mut self, set: &[usize]) {
        for index in self.chosen() {
            if set.binary_search(&index).is_err() {
                self.drop_index(index);
            }
        }
        for &index in set {
            self.add(index);
        }
    }
}

/// Every set that an option names, each once, sorted; and each index alone.
fn moves(options: &[Choice]) -> Vec<Move> {
    let mut sets: Vec<Box<[usize]>> = options.iter().map(|option| option.set.clone()).collect();
    let singles = options
        .iter()
        .flat_map(|option| option.set.iter())
        .map(|&index| vec![index].into_boxed_slice());
    let singles: Vec<_> = singles.collect();
    sets.extend(singles);
    sets.sort();
    sets.dedup();
    sets.into_iter()
        .map(|set| Move { set: set.into() })
        .collect()
}
