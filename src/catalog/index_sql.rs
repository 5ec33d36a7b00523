//! `IndexDef` → SQL.

use super::{Direction, IndexDef, IndexKey, KeyTarget, Nulls, RelationName};
use crate::sql::quote_identifier;

/// How an index is to be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// `CREATE INDEX`: in a transaction, blocks writes.
    Plain,
    /// `CREATE INDEX CONCURRENTLY IF NOT EXISTS`: outside a transaction, blocks nothing.
    Concurrently,
}

impl RelationName {
    /// `schema.name`, quoted where needed.
    #[must_use]
    pub fn to_sql(&self) -> String {
        format!(
            "{}.{}",
            quote_identifier(&self.schema),
            quote_identifier(&self.name)
        )
    }
}

impl IndexDef {
    /// The CREATE INDEX statement, without a trailing semicolon. An empty name lets Postgres choose one.
    #[must_use]
    pub fn create_sql(&self, build: Build) -> String {
        let unique = if self.unique { "UNIQUE " } else { "" };
        let how = match build {
            Build::Plain => "",
            Build::Concurrently => "CONCURRENTLY IF NOT EXISTS ",
        };
        let name = match self.name.as_str() {
            "" => String::new(),
            name => format!("{} ", quote_identifier(name)),
        };
        format!(
            "CREATE {unique}INDEX {how}{name}ON {} {}",
            self.table.to_sql(),
            self.body_sql()
        )
    }

    /// What stands behind the table's name: `USING gin (tags)`; b-tree, the default, isn't named.
    #[must_use]
    pub fn body_sql(&self) -> String {
        let method = match self.method.as_str() {
            "" | "btree" => String::new(),
            other => format!("USING {} ", quote_identifier(other)),
        };
        let keys: Vec<String> = self.keys.iter().map(IndexKey::to_sql).collect();
        let mut sql = format!("{method}({})", keys.join(", "));
        if !self.include.is_empty() {
            let columns: Vec<String> = self.include.iter().map(|c| quote_identifier(c)).collect();
            sql.push_str(&format!(" INCLUDE ({})", columns.join(", ")));
        }
        if let Some(predicate) = &self.predicate {
            sql.push_str(&format!(" WHERE {predicate}"));
        }
        sql
    }

    /// `schema.name` of the index, quoted where needed.
    #[must_use]
    pub fn qualified_name_sql(&self) -> String {
        RelationName::new(self.table.schema.clone(), self.name.clone()).to_sql()
    }
}

impl IndexKey {
    /// The key as CREATE INDEX takes it.
    #[must_use]
    pub fn to_sql(&self) -> String {
        let mut sql = match &self.target {
            KeyTarget::Column(name) => quote_identifier(name),
            KeyTarget::Expression(text) => format!("({text})"),
        };
        if let Some(collation) = &self.collation {
            sql.push_str(&format!(" COLLATE {}", quote_identifier(collation)));
        }
        if let Some(opclass) = &self.opclass {
            let parts: Vec<String> = opclass.split('.').map(quote_identifier).collect();
            sql.push_str(&format!(" {}", parts.join(".")));
        }
        match (self.direction, self.nulls) {
            (Direction::Asc, Nulls::Last) => {}
            (Direction::Asc, Nulls::First) => sql.push_str(" NULLS FIRST"),
            (Direction::Desc, Nulls::First) => sql.push_str(" DESC"),
            (Direction::Desc, Nulls::Last) => sql.push_str(" DESC NULLS LAST"),
        }
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_every_part() {
        let mut key = IndexKey::column("Created At");
        key.direction = Direction::Desc;
        key.nulls = Nulls::First;
        let def = IndexDef {
            table: RelationName::new("public", "jobs"),
            name: "jobs_created_idx".into(),
            method: "btree".into(),
            unique: false,
            keys: vec![IndexKey::column("country"), key],
            include: vec!["title".into()],
            predicate: Some("deleted_at IS NULL".into()),
        };
        assert_eq!(
            def.create_sql(Build::Concurrently),
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_created_idx ON public.jobs (country, \"Created At\" DESC) \
             INCLUDE (title) WHERE deleted_at IS NULL"
        );
    }
}
