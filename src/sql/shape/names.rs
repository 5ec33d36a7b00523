//! Names in a query: folding, and which relation's column a reference means.

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use super::{ColumnRef, RelationRef};

/// A name as Postgres reads it: folded to lower case unless quoted.
pub(in crate::sql) fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

/// All parts of a name, folded and joined with dots.
pub(in crate::sql) fn dotted(name: &ObjectName) -> String {
    parts(name).join(".")
}

/// The last part of a name, folded.
pub(super) fn last(name: &ObjectName) -> String {
    parts(name).pop().unwrap_or_default()
}

/// A relation's name; a database name in front is dropped.
pub(in crate::sql) fn relation(name: &ObjectName) -> RelationRef {
    let mut parts = parts(name);
    let name = parts.pop().unwrap_or_default();
    RelationRef {
        schema: parts.pop(),
        name,
    }
}

fn parts(name: &ObjectName) -> Vec<String> {
    name.0
        .iter()
        .filter_map(|part| match part {
            ObjectNamePart::Identifier(ident) => Some(fold(ident)),
            ObjectNamePart::Function(_) => None,
        })
        .collect()
}

/// The `n` of `$n`; 0 for placeholders without a number.
pub(super) fn parameter_number(placeholder: &str) -> u16 {
    placeholder.trim_start_matches('$').parse().unwrap_or(0)
}

/// What stands in FROM under an alias.
#[derive(Debug)]
pub(super) struct Item {
    /// Alias, or the relation's name.
    pub(super) alias: String,
    /// What it is.
    pub(super) source: Source,
}

/// Where an item's columns come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A base relation: its scan, and its columns where they are known.
    Base {
        /// Position in the shape's scans.
        scan: u32,
        /// Column names, with a catalog at hand.
        columns: Option<Vec<String>>,
    },
    /// A subquery or CTE.
    Derived(Outputs),
    /// A function or VALUES: no column of ours.
    Opaque,
}

/// The output columns of a subquery, traced back to base columns where that is sound.
#[derive(Debug, Clone, Default)]
pub(super) struct Outputs {
    /// Output names with their base column; `None` for computed ones.
    pub(super) columns: Vec<(String, Option<ColumnRef>)>,
    /// Scans that a `*` passes through whole and whose columns are not known.
    pub(super) stars: Vec<u32>,
}

impl Outputs {
    /// The same names with nothing behind them: for subqueries through which no condition can be pushed.
    pub(super) fn opaque(mut self) -> Self {
        for column in &mut self.columns {
            column.1 = None;
        }
        self.stars.clear();
        self
    }

    /// Gives the columns the names of an alias list: `(…) AS t (a, b)`.
    pub(super) fn renamed(mut self, names: &[String]) -> Self {
        for (column, name) in self.columns.iter_mut().zip(names) {
            column.0.clone_from(name);
        }
        self
    }

    fn find(&self, name: &str) -> Lookup {
        if let Some((_, base)) = self.columns.iter().find(|(column, _)| column == name) {
            return base.clone().map_or(Lookup::Computed, Lookup::Base);
        }
        match self.stars.as_slice() {
            [only] => Lookup::Base(ColumnRef {
                scan: *only,
                column: name.to_owned(),
            }),
            [] => Lookup::Missing,
            _ => Lookup::Unsure,
        }
    }
}

/// What a name means within one item.
enum Lookup {
    Base(ColumnRef),
    Computed,
    Missing,
    Unsure,
}

/// Names visible at one level of a query; levels nest.
#[derive(Debug)]
pub(super) struct Env<'p> {
    /// The enclosing level.
    parent: Option<&'p Env<'p>>,
    /// FROM items of this level.
    pub(super) items: Vec<Item>,
    /// CTEs defined at this level.
    pub(super) ctes: Vec<(String, Option<Outputs>)>,
    /// Scope number of this level.
    pub(super) number: u32,
}

/// What a column reference means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resolved {
    /// A base column; `local` when it belongs to the level that asked, not to an enclosing query.
    Column {
        /// Which.
        column: ColumnRef,
        /// Of this level.
        local: bool,
    },
    /// The whole row of a scan.
    Row(u32),
    /// Something that is no base column: a subquery's expression, a function's output.
    Computed,
    /// Could be a column of several scans.
    Unsure,
}

impl<'p> Env<'p> {
    /// A level inside `parent`.
    pub(super) fn child(parent: Option<&'p Env<'p>>, number: u32) -> Self {
        Self {
            parent,
            items: Vec::new(),
            ctes: Vec::new(),
            number,
        }
    }

    /// The CTE of that name, innermost first: `Some(None)` while it refers to itself.
    pub(super) fn cte(&self, name: &str) -> Option<&Option<Outputs>> {
        let here = self.ctes.iter().rev().find(|(cte, _)| cte == name);
        match (here, self.parent) {
            (Some((_, outputs)), _) => Some(outputs),
            (None, Some(parent)) => parent.cte(name),
            (None, None) => None,
        }
    }

    /// Resolves `alias.column`.
    pub(super) fn qualified(&self, alias: &str, column: &str) -> Resolved {
        self.levels()
            .find_map(|(env, local)| {
                let item = env.items.iter().find(|item| item.alias == alias)?;
                Some(item.source.column(column).resolved(local))
            })
            .unwrap_or(Resolved::Computed)
    }

    /// Resolves a bare name: a column, or a whole row by its alias.
    pub(super) fn bare(&self, name: &str) -> Resolved {
        for (env, local) in self.levels() {
            let found: Vec<Lookup> = env
                .items
                .iter()
                .map(|item| item.source.column(name))
                .filter(|lookup| !matches!(lookup, Lookup::Missing))
                .collect();
            let sure = found
                .iter()
                .position(|l| matches!(l, Lookup::Base(_) | Lookup::Computed));
            match (found.len(), sure) {
                (0, _) => {}
                (1, Some(_)) if env.is_certain() || env.items.len() == 1 => {
                    return found
                        .into_iter()
                        .next()
                        .map_or(Resolved::Unsure, |l| l.resolved(local));
                }
                (_, Some(at)) if env.is_certain() => {
                    return found
                        .into_iter()
                        .nth(at)
                        .map_or(Resolved::Unsure, |l| l.resolved(local));
                }
                _ => return self.row(name).unwrap_or(Resolved::Unsure),
            }
        }
        self.row(name).unwrap_or(Resolved::Computed)
    }

    /// The scan that `alias` stands for, when the name is an alias used as a row value.
    fn row(&self, alias: &str) -> Option<Resolved> {
        self.levels().find_map(|(env, _)| {
            env.items.iter().find_map(|item| match item.source {
                Source::Base { scan, .. } if item.alias == alias => Some(Resolved::Row(scan)),
                _ => None,
            })
        })
    }

    /// Are the columns of every item known, so that a name found once is found for sure?
    fn is_certain(&self) -> bool {
        self.items.iter().all(|item| match &item.source {
            Source::Base { columns, .. } => columns.is_some(),
            Source::Derived(outputs) => outputs.stars.is_empty(),
            Source::Opaque => true,
        })
    }

    /// This level (marked `true`) and the enclosing ones.
    fn levels(&self) -> impl Iterator<Item = (&Env<'p>, bool)> {
        let mut next = Some(self);
        std::iter::from_fn(move || {
            let env = next?;
            next = env.parent;
            Some((env, std::ptr::eq(env, self)))
        })
    }
}

impl Source {
    fn column(&self, name: &str) -> Lookup {
        match self {
            Self::Base { scan, columns } => {
                let known = columns
                    .as_ref()
                    .map(|c| c.iter().any(|column| column == name));
                match known {
                    Some(false) => Lookup::Missing,
                    _ => Lookup::Base(ColumnRef {
                        scan: *scan,
                        column: name.to_owned(),
                    }),
                }
            }
            Self::Derived(outputs) => outputs.find(name),
            Self::Opaque => Lookup::Missing,
        }
    }
}

impl Lookup {
    fn resolved(self, local: bool) -> Resolved {
        match self {
            Self::Base(column) => Resolved::Column { column, local },
            Self::Computed | Self::Missing => Resolved::Computed,
            Self::Unsure => Resolved::Unsure,
        }
    }
}
