//! Fills a [`Catalog`]: a handful of queries, each for all relations at once, stitched together by oid.

mod array;
mod columns;
mod foreign_keys;
mod indexes;
mod relations;
mod server;
mod statistics;

use hashbrown::HashMap;

use super::{
    audited::Audited,
    error::{DbError, DbErrorKind},
};
use crate::catalog::{Catalog, Relation, RelationName};

/// Relations read at most. Beyond this a catalog is a data set of its own; the largest are read, and the rest is counted as unread.
const MAX_RELATIONS: i64 = 50_000;

/// Rows of the largest answers (columns, their statistics, indexes) read at most.
const MAX_ROWS: i64 = 500_000;

impl Audited {
    /// Reads everything about the database that advice and rules rest on.
    ///
    /// # Errors
    /// When the server stops answering. What the role may not see is no error: it stands in [`Catalog::unread`].
    pub async fn catalog(&self) -> Result<Catalog, DbError> {
        let (server, read) = tokio::try_join!(server::read(self), relations::read(self))?;
        let mut catalog = Catalog {
            server,
            relations: read.relations,
            unread: read.unread,
        };
        let mut by_oid = Places::of(&catalog.relations);
        let (columns, indexes, foreign_keys) = tokio::try_join!(
            columns::read(self),
            indexes::read(self, &mut catalog.unread),
            foreign_keys::read(self),
        )?;
        // columns come in attnum order, indexes and keys by name
        for (oid, column) in columns {
            if let Some(relation) = by_oid.get(&mut catalog.relations, oid) {
                relation.columns.push(column);
            }
        }
        for (oid, mut index) in indexes {
            if let Some(relation) = by_oid.get(&mut catalog.relations, oid) {
                index.def.table = relation.name.clone();
                relation.usage.n_index_scans += index.usage.n_scans;
                relation.indexes.push(index);
            }
        }
        for (oid, key) in foreign_keys {
            if let Some(relation) = by_oid.get(&mut catalog.relations, oid) {
                relation.foreign_keys.push(key);
            }
        }
        statistics::add(self, &mut catalog).await?;
        Ok(catalog)
    }
}

/// Where each relation stands, by oid.
#[derive(Debug)]
struct Places(HashMap<u32, usize>);

impl Places {
    fn of(relations: &[Relation]) -> Self {
        Self(
            relations
                .iter()
                .enumerate()
                .map(|(at, r)| (r.oid, at))
                .collect(),
        )
    }

    fn get<'a>(&mut self, relations: &'a mut [Relation], oid: u32) -> Option<&'a mut Relation> {
        self.0.get(&oid).and_then(|at| relations.get_mut(*at))
    }
}

/// The first row's only purpose is to exist.
fn missing(what: &str) -> DbError {
    DbError::new(
        DbErrorKind::Query,
        format!("{what}: the server answered with no row"),
    )
}

/// Names that come as schema and name.
fn name(schema: String, name: String) -> RelationName {
    RelationName { schema, name }
}

/// Takes off one pair of parentheses that encloses the whole expression, as `pg_get_expr` puts them.
fn without_outer_parentheses(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) else {
        return text;
    };
    let mut depth = 0_u32;
    let mut quote = None;
    for c in inner.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return text,
            (None, ')') => depth -= 1,
            _ => {}
        }
    }
    inner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_enclosing_parentheses_go() {
        let check =
            |text: &str, expected: &str| assert_eq!(without_outer_parentheses(text), expected);
        check("(a IS NULL)", "a IS NULL");
        check("(a = 1) AND (b = 2)", "(a = 1) AND (b = 2)");
        check("(a = ')')", "a = ')'");
        check("(\"(\" = 1)", "\"(\" = 1");
        check("lower(x)", "lower(x)");
        check("", "");
    }
}
