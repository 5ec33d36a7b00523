//! Fills a [`Catalog`]: a handful of queries, each for all relations at once, stitched together by oid.

mod array;
mod columns;
mod connections;
mod extended_statistics;
mod foreign_keys;
mod indexes;
mod opclasses;
mod relations;
mod server;
mod statistics;

use hashbrown::HashMap;

use super::{
    audited::Audited,
    error::{DbError, DbErrorKind},
};
use crate::catalog::{Catalog, RelationName, Setting};

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
        // the futures of so many queries are large; whoever awaits this shall not carry them on the stack
        Box::pin(self.read_catalog()).await
    }

    /// Settings alone: what is worth knowing before a log is read.
    ///
    /// # Errors
    /// When the server stops answering.
    pub async fn settings(&self) -> Result<Vec<Setting>, DbError> {
        server::settings(self).await
    }

    async fn read_catalog(&self) -> Result<Catalog, DbError> {
        let (server, read) = tokio::try_join!(server::read(self), relations::read(self))?;
        let mut catalog = Catalog {
            server,
            relations: read.relations,
            unread: read.unread,
            connections: None,
        };
        match connections::read(self).await {
            Ok(connections) => catalog.connections = Some(Box::new(connections)),
            Err(error) => catalog.unread.push(format!("who is connected: {error}")),
        }
        let at: HashMap<u32, usize> = catalog
            .relations
            .iter()
            .enumerate()
            .map(|(at, relation)| (relation.oid, at))
            .collect();
        let (attributes, foreign_keys, extended) = tokio::try_join!(
            columns::read(self),
            foreign_keys::read(self),
            extended_statistics::read(self)
        )?;
        let Catalog {
            relations, unread, ..
        } = &mut catalog;
        indexes::add(self, relations, &at, &attributes, unread).await?;
        // columns come in attnum order, keys by name
        for attribute in attributes {
            if let Some(at) = at.get(&attribute.relation) {
                relations[*at].columns.push(attribute.column);
            }
        }
        for (oid, key) in foreign_keys {
            if let Some(at) = at.get(&oid) {
                relations[*at].foreign_keys.push(key);
            }
        }
        for (oid, columns) in extended {
            if let Some(at) = at.get(&oid) {
                relations[*at].extended_statistics.push(columns);
            }
        }
        statistics::add(self, &mut catalog).await?;
        Ok(catalog)
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
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return text,
            (None, ')') => depth -= 1,
            (Some(_) | None, _) => {}
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
