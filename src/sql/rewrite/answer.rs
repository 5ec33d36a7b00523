//! How a batch's rows divide into what the single calls would have answered, and whether both are the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A row's values as text; `None` is NULL.
pub type Cells = Vec<Option<String>>;

/// Where a key stands in a batch's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyAt {
    /// Added in front, at this position.
    Front(usize),
    /// Added behind, at this position counted from the end.
    Back(usize),
    /// The output of that name, which the single statement has too.
    Named(String),
}

/// How a batch answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The rows of all keys.
    Rows {
        /// Where each key stands, in the order of the keys.
        keys: Vec<KeyAt>,
    },
    /// One row a key; a key that has none would have got this row.
    Aggregate {
        /// See `Rows`.
        keys: Vec<KeyAt>,
        /// What a single call answers where there is nothing to count.
        absent: Cells,
    },
    /// The keys for which there is something.
    Exists,
    /// What was written.
    #[default]
    Written,
}

/// Where both differ.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Difference {
    /// In words, without values.
    pub what: String,
}

impl Answer {
    /// Divides a batch's rows by key, keys that the batch added taken out. `None` when a key is not where it should be.
    #[must_use]
    pub fn divide(&self, names: &[String], rows: &[Cells]) -> Option<BTreeMap<Cells, Vec<Cells>>> {
        let keys = match self {
            Self::Rows { keys } | Self::Aggregate { keys, .. } => keys.clone(),
            Self::Exists => (0..names.len()).map(KeyAt::Front).collect(),
            Self::Written => return None,
        };
        let width = names.len();
        let mut places = Vec::new();
        for key in &keys {
            places.push(match key {
                KeyAt::Front(at) => *at,
                KeyAt::Back(at) => width.checked_sub(at + 1)?,
                KeyAt::Named(name) => names.iter().position(|column| column == name)?,
            });
        }
        let added: Vec<usize> = keys
            .iter()
            .zip(&places)
            .filter(|(key, _)| !matches!(key, KeyAt::Named(_)))
            .map(|(_, at)| *at)
            .collect();
        let mut divided: BTreeMap<Cells, Vec<Cells>> = BTreeMap::new();
        for row in rows {
            let key = places
                .iter()
                .map(|&at| row.get(at).cloned())
                .collect::<Option<Cells>>()?;
            let rest = row.iter().enumerate().filter(|(at, _)| !added.contains(at));
            divided
                .entry(key)
                .or_default()
                .push(rest.map(|(_, cell)| cell.clone()).collect());
        }
        Some(divided)
    }

    /// Compares a batch with the single calls of these keys, which are all different. Order counts only within a key, and is left to the caller.
    ///
    /// # Errors
    /// Says where they differ.
    pub fn compare(
        &self,
        singles: &[(Cells, Vec<Cells>)],
        names: &[String],
        rows: &[Cells],
    ) -> Result<(), Difference> {
        let differ = |what: &str| {
            Err(Difference {
                what: what.to_owned(),
            })
        };
        let divided = match rows {
            [] => Some(BTreeMap::new()),
            rows => self.divide(names, rows),
        };
        let Some(mut divided) = divided else {
            return differ("the batch's rows hold no key");
        };
        for (key, expected) in singles {
            let found = divided.remove(key).unwrap_or_default();
            let same = match self {
                Self::Exists => found.is_empty() == says_no(expected),
                Self::Aggregate { absent, .. } if found.is_empty() => {
                    matches!(expected.as_slice(), [row] if is_absent(row, absent))
                }
                _ => sorted(found) == sorted(expected.clone()),
            };
            if !same {
                return differ("the rows of a key differ");
            }
        }
        if divided.is_empty() {
            Ok(())
        } else {
            differ("the batch has rows of keys that were not asked for")
        }
    }
}

/// Zeros and NULLs as they should be; a zero may also be written as the bytes that the server sends for it.
fn is_absent(row: &Cells, absent: &Cells) -> bool {
    row.len() == absent.len()
        && row
            .iter()
            .zip(absent)
            .all(|(cell, absent)| match (cell, absent) {
                (Some(cell), Some(_)) => cell.bytes().all(|digit| digit == b'0'),
                (None, None) => true,
                _ => false,
            })
}

/// No row, or one that says false.
fn says_no(rows: &[Cells]) -> bool {
    match rows {
        [] => true,
        [row] => {
            row.as_slice() == [Some("f".to_owned())] || row.as_slice() == [Some("00".to_owned())]
        }
        _ => false,
    }
}

fn sorted(mut rows: Vec<Cells>) -> Vec<Cells> {
    rows.sort();
    rows
}
