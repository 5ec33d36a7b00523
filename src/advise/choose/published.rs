//! Reads published cost tables: the data files of CoPhy's model (Dash, Polyzotis, Ailamaki 2011) as index-selection studies publish them.
//!
//! ```text
//! set QUERIES := 1 2;
//! param size := 1 4096 # ['t_a']
//! ;
//! set indexes_per_combination[1]:= 1;
//! param costs :=
//! 1 0 100.0     # statement, combination, cost; combination 0 is "no index"
//! 1 1 10.0
//! ;
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::{CostTable, TableIndex, TableQuery};

/// A published table: the prices, and its own numbers for the indexes.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedTable {
    /// The prices; statements weigh one each unless the file gives frequencies.
    pub table: CostTable,
    /// The file's number of each index, by position in `table.indexes`.
    pub ids: Vec<u64>,
}

/// Why a table cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A number is missing or is none.
    #[error("{0:?} is no number, in {1:?}")]
    NoNumber(String, String),
    /// A list ends in the middle of an entry.
    #[error("incomplete entry at the end of {0:?}")]
    Incomplete(String),
    /// A cost names a combination that is not defined.
    #[error("combination {0} has costs but no indexes")]
    UnknownCombination(u64),
    /// A combination names an index that has no size.
    #[error("index {0} is in a combination but has no size")]
    UnknownIndex(u64),
    /// Costs are what it is about.
    #[error("no costs in it")]
    NoCosts,
}

#[derive(Debug, Default)]
struct Parts {
    queries: Option<BTreeSet<u64>>,
    sizes: BTreeMap<u64, u64>,
    frequencies: BTreeMap<u64, f64>,
    combinations: BTreeMap<u64, Vec<u64>>,
    costs: BTreeMap<u64, Vec<(u64, f64)>>,
}

impl PublishedTable {
    /// Reads a data file.
    ///
    /// # Errors
    /// See [`TableError`].
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let uncommented: String = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default())
            .fold(String::with_capacity(text.len()), |all, line| {
                all + line + "\n"
            });
        let mut parts = Parts::default();
        for statement in uncommented.split(';') {
            if let Some((head, body)) = statement.split_once(":=") {
                parts.read(head.trim(), body)?;
            }
        }
        parts.table()
    }
}

impl Parts {
    fn read(&mut self, head: &str, body: &str) -> Result<(), TableError> {
        let words: Vec<&str> = head.split_whitespace().collect();
        let number = |word: &str| -> Result<f64, TableError> {
            let bad = || TableError::NoNumber(word.chars().take(40).collect(), head.to_owned());
            let value = word.parse::<f64>().map_err(|_| bad())?;
            if value.is_finite() {
                Ok(value)
            } else {
                Err(bad())
            }
        };
        let numbers = || body.split_whitespace().map(number);
        let rows = |width: usize| -> Result<Vec<Vec<f64>>, TableError> {
            let all = numbers().collect::<Result<Vec<f64>, _>>()?;
            if all.len() % width != 0 {
                return Err(TableError::Incomplete(head.to_owned()));
            }
            Ok(all.chunks(width).map(<[f64]>::to_vec).collect())
        };
        match words.as_slice() {
            ["set", "QUERIES"] => {
                let ids = numbers().collect::<Result<Vec<f64>, _>>()?;
                self.queries = Some(ids.into_iter().map(|id| id as u64).collect());
            }
            ["set", name] if name.starts_with("indexes_per_combination[") => {
                let id = name["indexes_per_combination[".len()..].trim_end_matches(']');
                let ids = numbers().collect::<Result<Vec<f64>, _>>()?;
                let ids = ids.into_iter().map(|id| id as u64).collect();
                self.combinations.insert(number(id)? as u64, ids);
            }
            ["param", "size"] => {
                self.sizes = rows(2)?
                    .iter()
                    .map(|row| (row[0] as u64, row[1].max(0.0) as u64))
                    .collect();
            }
            ["param", "costs"] => {
                for row in rows(3)? {
                    let of_query = self.costs.entry(row[0] as u64).or_default();
                    of_query.push((row[1] as u64, row[2]));
                }
            }
            ["param", name] if name.contains("frequenc") || name.contains("weight") => {
                self.frequencies = rows(2)?.iter().map(|row| (row[0] as u64, row[1])).collect();
            }
            _ => {}
        }
        Ok(())
    }

    fn table(mut self) -> Result<PublishedTable, TableError> {
        if self.costs.is_empty() {
            return Err(TableError::NoCosts);
        }
        let ids: Vec<u64> = self.sizes.keys().copied().collect();
        let indexes = self
            .sizes
            .values()
            .map(|&size_bytes| TableIndex {
                size_bytes,
                rank_bytes: size_bytes,
                ..TableIndex::default()
            })
            .collect();
        let named = self.queries.take();
        let wanted = named.unwrap_or_else(|| self.costs.keys().copied().collect());
        let queries = wanted
            .iter()
            .filter_map(|id| Some((id, self.costs.get(id)?)))
            .map(|(id, costs)| self.query(*id, costs, &ids))
            .collect::<Result<Vec<TableQuery>, _>>()?;
        Ok(PublishedTable {
            table: CostTable {
                queries,
                indexes,
                guards: Vec::new(),
            },
            ids,
        })
    }

    fn query(&self, id: u64, costs: &[(u64, f64)], ids: &[u64]) -> Result<TableQuery, TableError> {
        let without = costs
            .iter()
            .filter(|(at, _)| *at == 0)
            .map(|(_, cost)| *cost);
        let dearest = || costs.iter().map(|(_, cost)| *cost).fold(0.0, f64::max);
        let base = without.reduce(f64::min).unwrap_or_else(dearest);
        let mut best: BTreeMap<Vec<usize>, f64> = BTreeMap::new();
        for (combination, cost) in costs.iter().filter(|(at, _)| *at != 0) {
            let of_combination = self
                .combinations
                .get(combination)
                .ok_or(TableError::UnknownCombination(*combination))?;
            let mut set = of_combination
                .iter()
                .map(|index| {
                    ids.binary_search(index)
                        .map_err(|_| TableError::UnknownIndex(*index))
                })
                .collect::<Result<Vec<usize>, _>>()?;
            set.sort_unstable();
            set.dedup();
            let known = best.entry(set).or_insert(*cost);
            *known = known.min(*cost);
        }
        Ok(TableQuery {
            weight: self.frequencies.get(&id).copied().unwrap_or(1.0).max(0.0),
            base: best
                .get(&Vec::new())
                .copied()
                .map_or(base, |free| free.min(base)),
            options: best
                .into_iter()
                .filter(|(set, _)| !set.is_empty())
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# what-if time: 1.5\nset QUERIES := 1 3;\nparam NUMBER_OF_INDEXES := 2;\n\nparam size :=\n7 100 # ['t_a']\n9 50 # ['t_b; x']\n;\n\
                         set indexes_per_combination[0]:= ;\nset indexes_per_combination[1]:= 9 7;\nset indexes_per_combination[2]:= 9;\n\
                         param costs :=\n1 0 100\n1 1 10.5\n1 2 99\n2 0 7\n3 0 5\n;\n";

    #[test]
    fn statements_indexes_and_combinations_are_read() {
        let read = PublishedTable::parse(TABLE).unwrap();
        assert_eq!(read.ids, [7, 9]);
        assert_eq!(read.table.queries.len(), 2);
        let first = &read.table.queries[0];
        assert_eq!(first.options, [(vec![0, 1], 10.5), (vec![1], 99.0)]);
        assert!((read.table.total(&[0, 1]) - 15.5).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_table_says_why() {
        let fails =
            |from: &str, to: &str| PublishedTable::parse(&TABLE.replace(from, to)).unwrap_err();
        assert_eq!(PublishedTable::parse("hello"), Err(TableError::NoCosts));
        assert_eq!(
            fails("1 1 10.5", "1 4 10.5"),
            TableError::UnknownCombination(4)
        );
        assert_eq!(fails(":= 9 7", ":= 9 8"), TableError::UnknownIndex(8));
        assert!(matches!(fails("10.5", "1O.5"), TableError::NoNumber(..)));
        assert!(matches!(fails("3 0 5", "3 0"), TableError::Incomplete(_)));
    }
}
