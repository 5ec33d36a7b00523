//! Makes an index in the twin as if it had been built on production: CREATE INDEX on a table that looks empty meanwhile, then size and height.

use std::collections::BTreeSet;

use super::{Twin, TwinError, facts, inject::reason, what_if::set_valid};
use crate::{
    advise::{WhatIfError, extension_of},
    catalog::{Build, IndexDef, RelationName, planner::BLOCK_BYTES},
    db::OwnedSession,
    sql::{Lexer, TokenKind, quote_identifier},
};

/// An index that we made; on a partitioned table with one on each partition.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) indexes: Vec<MadeIndex>,
    pub(super) n_bytes: u64,
    height: u32,
}

impl Made {
    #[cfg(test)]
    pub(super) fn new(indexes: Vec<MadeIndex>) -> Self {
        Self {
            indexes,
            n_bytes: 0,
            height: 0,
        }
    }

    fn oids(&self) -> Vec<u32> {
        self.indexes.iter().map(|index| index.oid).collect()
    }
}

/// One relation of it.
#[derive(Debug, Clone)]
pub(super) struct MadeIndex {
    pub(super) oid: u32,
    pub(super) name: String,
}

/// An index that was added by its DDL, as production would have it.
#[derive(Debug, Clone)]
pub struct AddedIndex {
    /// Its name.
    pub name: String,
    /// Its table.
    pub table: RelationName,
    /// `pg_get_indexdef`
    pub definition: String,
    /// Estimated size, partitions included.
    pub n_bytes: u64,
    /// Levels above the leaves of a b-tree (of the highest one, with partitions).
    pub height: u32,
}

impl Twin {
    /// Adds an index for good by its CREATE INDEX statement; unqualified names are looked up in `search_path`, empty: the database's own.
    ///
    /// # Errors
    /// When it is no such statement, or the server refuses it.
    pub async fn add_index(
        &self,
        ddl: &str,
        search_path: &[String],
    ) -> Result<AddedIndex, WhatIfError> {
        let _one_at_a_time = self.active.lock().await;
        let parsed = Ddl::parse(ddl)
            .ok_or_else(|| WhatIfError::Refused("not one CREATE INDEX statement".to_owned()))?;
        let superuser = self.superuser_session().await?;
        let fresh = self.connect_planner().await.map_err(unsupported)?;
        let session = fresh
            .session()
            .await
            .map_err(|e| WhatIfError::Lost(e.to_string()))?;
        if !search_path.is_empty() {
            let names: Vec<String> = search_path.iter().map(|n| quote_identifier(n)).collect();
            let sql = format!("SET search_path = {}", names.join(", "));
            session.execute_typed(&sql, &[]).await.map_err(refused)?;
        }
        if let Some(extension) = parsed.extension {
            provide(&superuser, extension).await?;
        }
        let find = "SELECT n.nspname::text, c.relname::text, c.oid, ARRAY(SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid = c.oid) \
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::text::pg_catalog.regclass";
        let found = session
            .query_one(find, &[&parsed.table])
            .await
            .map_err(refused)?;
        let table = RelationName::new(found.get::<_, String>(0), found.get::<_, String>(1));
        let (table_oid, known): (u32, Vec<u32>) = (found.get(2), found.get(3));
        let heaps = self.heaps(&superuser, &table).await?;
        self.create_unseen(&superuser, &session, &heaps, &parsed.sql)
            .await?;
        let new = "SELECT c.relname::text, pg_get_indexdef(c.oid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1 AND i.indexrelid <> ALL ($2)";
        let new = superuser
            .query_opt(new, &[&table_oid, &known])
            .await
            .map_err(refused)?
            .ok_or_else(|| WhatIfError::Unsupported("it exists already".to_owned()))?;
        let (name, definition): (String, String) = (new.get(0), new.get(1));
        let made = self.finish(&superuser, &table, &name).await?;
        set_valid(&superuser, &made.oids(), true).await?;
        Ok(AddedIndex {
            name,
            table,
            definition,
            n_bytes: made.n_bytes,
            height: made.height,
        })
    }

    /// Makes an index for the evaluations; it stays switched off.
    pub(super) async fn make(
        &self,
        superuser: &OwnedSession,
        def: &IndexDef,
        name: &str,
    ) -> Result<Made, WhatIfError> {
        let heaps = self.heaps(superuser, &def.table).await?;
        let mut named = def.clone();
        name.clone_into(&mut named.name);
        if let Some(extension) = extension_of(&named) {
            provide(superuser, extension).await?;
        }
        let fresh = self.connect_planner().await.map_err(unsupported)?;
        let session = fresh
            .session()
            .await
            .map_err(|e| WhatIfError::Lost(e.to_string()))?;
        session
            .execute_typed("SET search_path = pg_catalog", &[])
            .await
            .map_err(refused)?;
        self.create_unseen(superuser, &session, &heaps, &named.create_sql(Build::Plain))
            .await?;
        self.finish(superuser, &def.table, name).await
    }

    async fn heaps(
        &self,
        superuser: &OwnedSession,
        table: &RelationName,
    ) -> Result<Vec<facts::Heap>, WhatIfError> {
        let heaps = facts::heaps(superuser, table).await.map_err(unsupported)?;
        if heaps.is_empty() {
            return Err(WhatIfError::Unsupported(format!(
                "{table} has no pages to index"
            )));
        }
        Ok(heaps)
    }

    /// Switches off what has just been created, so that no plan of ours sees it before it has its size, and gives it that.
    async fn finish(
        &self,
        superuser: &OwnedSession,
        table: &RelationName,
        name: &str,
    ) -> Result<Made, WhatIfError> {
        let indexes = facts::tree(superuser, &table.schema, name)
            .await
            .map_err(unsupported)?;
        let oids: Vec<u32> = indexes.iter().map(|index| index.oid).collect();
        set_valid(superuser, &oids, false).await?;
        let (mut n_blocks, mut height) = (0, 0);
        for index in &indexes {
            let size = self
                .give_size(superuser, index.oid)
                .await
                .map_err(unsupported)?;
            n_blocks += size.n_blocks;
            height = height.max(size.height);
        }
        Ok(Made {
            indexes,
            n_bytes: n_blocks * BLOCK_BYTES,
            height,
        })
    }

    /// Runs CREATE INDEX while the tables look empty. `session` must be new: one that has seen the tables would know that they go on in later segments.
    async fn create_unseen(
        &self,
        superuser: &OwnedSession,
        session: &OwnedSession,
        heaps: &[facts::Heap],
        sql: &str,
    ) -> Result<(), WhatIfError> {
        let mut sizes = Vec::new();
        let mut result = Ok(());
        for heap in heaps {
            let emptied = self.data.n_blocks_of_first(&heap.path).and_then(|n| {
                self.data.set_first_segment(&heap.path, 0)?;
                Ok(n)
            });
            match emptied {
                Ok(n) => sizes.push((heap, n)),
                Err(error) => result = Err(WhatIfError::Unsupported(error.to_string())),
            }
        }
        if result.is_ok() {
            let created = session.execute_typed(sql, &[]).await;
            result = created.map(|_| ()).map_err(refused);
        }
        for (heap, n) in sizes {
            self.data
                .set_first_segment(&heap.path, n)
                .map_err(|error| WhatIfError::Lost(error.to_string()))?;
        }
        // CREATE INDEX counted the rows that it saw
        let states: Vec<_> = self
            .state
            .physical
            .iter()
            .filter(|state| heaps.iter().any(|heap| heap.name == state.name))
            .cloned()
            .collect();
        super::inject::counts(superuser, &states, self.major())
            .await
            .map_err(unsupported)?;
        result
    }
}

/// Creates the extensions that some of these indexes need.
pub(super) async fn provide_for(
    twin: &Twin,
    defs: &BTreeSet<&IndexDef>,
) -> Result<(), WhatIfError> {
    let extensions: BTreeSet<&str> = defs.iter().filter_map(|def| extension_of(def)).collect();
    if extensions.is_empty() {
        return Ok(());
    }
    let superuser = twin.superuser_session().await?;
    for extension in extensions {
        provide(&superuser, extension).await?;
    }
    Ok(())
}

async fn provide(superuser: &OwnedSession, extension: &str) -> Result<(), WhatIfError> {
    let sql = format!("CREATE EXTENSION IF NOT EXISTS {extension} SCHEMA public");
    superuser.batch_execute(&sql).await.map_err(refused)
}

#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn refused(error: crate::db::OwnError) -> WhatIfError {
    if error.is_closed() {
        WhatIfError::Lost(error.to_string())
    } else {
        WhatIfError::Unsupported(reason(&error))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn unsupported(error: TwinError) -> WhatIfError {
    WhatIfError::Unsupported(error.to_string())
}

/// What must be known of a CREATE INDEX statement before it runs.
#[derive(Debug, PartialEq, Eq)]
struct Ddl {
    /// Without CONCURRENTLY: nobody else is here, and partitioned tables refuse it.
    sql: String,
    /// The table as it stands there.
    table: String,
    /// An extension that its operator classes are of.
    extension: Option<&'static str>,
}

impl Ddl {
    fn parse(text: &str) -> Option<Self> {
        let tokens: Vec<_> = Lexer::new(text.as_bytes()).collect();
        let is = |at: usize, word: &str| {
            tokens.get(at).is_some_and(|token| {
                token.kind == TokenKind::Word
                    && text[token.start..token.end].eq_ignore_ascii_case(word)
            })
        };
        let mut at = 1 + usize::from(is(1, "unique"));
        if !is(0, "create") || !is(at, "index") {
            return None;
        }
        at += 1;
        let concurrently = is(at, "concurrently").then(|| tokens[at]);
        while !is(at, "on") {
            tokens.get(at)?;
            at += 1;
        }
        at += 1 + usize::from(is(at + 1, "only"));
        let first = tokens.get(at)?.start;
        let mut end = at;
        while tokens
            .get(end)
            .is_some_and(|token| token.kind != TokenKind::Open)
            && !is(end, "using")
        {
            end += 1;
        }
        tokens.get(end)?;
        let last = tokens
            .iter()
            .rposition(|t| t.kind != TokenKind::Semicolon)?;
        if tokens[..last]
            .iter()
            .any(|t| t.kind == TokenKind::Semicolon)
            || end == at
        {
            return None;
        }
        let trigrams = tokens.iter().any(|token| {
            token.kind == TokenKind::Word
                && text[token.start..token.end]
                    .to_ascii_lowercase()
                    .ends_with("_trgm_ops")
        });
        let mut sql = text[..tokens[last].end].to_owned();
        if let Some(word) = concurrently {
            sql.replace_range(word.start..word.end, "");
        }
        Some(Self {
            sql,
            table: text[first..tokens[end - 1].end].to_owned(),
            extension: trigrams.then_some("pg_trgm"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_an_index_is_found() {
        for (text, table) in [
            ("CREATE INDEX ON orders (a)", "orders"),
            (
                "create unique index concurrently if not exists \"on\" on only shop.\"Or(ders\" using btree (a);",
                "shop.\"Or(ders\"",
            ),
        ] {
            let ddl = Ddl::parse(text).unwrap();
            assert_eq!(ddl.table, table);
            assert!(!ddl.sql.contains("concurrently") && !ddl.sql.contains(';'));
        }
        let trigrams = Ddl::parse("CREATE INDEX ON t USING gin (a gin_trgm_ops)").unwrap();
        assert_eq!(trigrams.extension, Some("pg_trgm"));
        for text in [
            "SELECT 1",
            "CREATE INDEX",
            "CREATE INDEX a ON t",
            "CREATE INDEX ON t (a); DROP TABLE t",
            "CREATE TABLE on (a int)",
            "",
        ] {
            assert_eq!(Ddl::parse(text), None, "{text}");
        }
    }
}
