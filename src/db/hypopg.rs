//! HypoPG: indexes that only the planner sees.
//!
//! They live in the session, not in the transaction: a ROLLBACK keeps them, and behind a pooler they would reach the application. So they
//! are made and removed within one transaction, and the connection is closed when their removal was not confirmed.

use tokio_postgres::types::Type;

use super::{
    explain::{Asked, explain, failed},
    guard::Guarded,
};
use crate::{
    advise::WhatIfError,
    catalog::{Build, ExtensionInfo, IndexDef},
    plan::{Plan, PlanNode},
    sql::quote_identifier,
};

/// Hypothetical indexes alive at once: planning slows down with each (0.35 ms with one, 11.7 ms with 350 on a single table).
const MAX_INDEXES: usize = 10;

/// Access methods of HypoPG (its changelog, up to 1.4.3): GIN, GiST and SP-GiST are not there.
const METHODS: &[&str] = &["", "btree", "brin", "bloom", "hash"];

/// First version with hash indexes and, on standbys, without real oids (1.2).
const OLDEST: (u32, u32) = (1, 3);

/// First version that can hide existing indexes.
const HIDES_FROM: (u32, u32) = (1, 4);

/// HypoPG as it is installed in this database.
#[derive(Debug)]
pub(super) struct Hypopg {
    /// Quoted.
    schema: String,
    version: (u32, u32),
}

impl Hypopg {
    pub(super) fn new(extension: &ExtensionInfo) -> Self {
        let mut numbers = extension.version.split('.').map(|n| n.parse().unwrap_or(0));
        Self {
            schema: quote_identifier(&extension.schema),
            version: (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)),
        }
    }

    /// Can this be asked at all?
    pub(super) fn check(&self, add: &[IndexDef], hide: &[String]) -> Result<(), WhatIfError> {
        let unsupported = |why: String| Err(WhatIfError::Unsupported(why));
        if add.len() > MAX_INDEXES {
            return unsupported(format!(
                "more than {MAX_INDEXES} hypothetical indexes at once"
            ));
        }
        if !hide.is_empty() && self.version < HIDES_FROM {
            return unsupported("hiding an index needs HypoPG 1.4".to_owned());
        }
        if self.version < OLDEST {
            return unsupported("HypoPG is older than 1.3".to_owned());
        }
        // a crash on INCLUDE was reported (HypoPG issue 114), and a crashed backend takes the whole server down with it
        if add.iter().any(|def| !def.include.is_empty()) {
            return unsupported("INCLUDE columns are not tried with HypoPG".to_owned());
        }
        match add
            .iter()
            .find(|def| !METHODS.contains(&def.method.as_str()))
        {
            Some(def) => unsupported(format!("HypoPG has no {} indexes", def.method)),
            None => Ok(()),
        }
    }

    /// Plans with these indexes in place, and leaves nothing behind.
    pub(super) async fn plan(
        &self,
        guarded: Guarded,
        sql: &str,
        add: &[IndexDef],
        hide: &[String],
    ) -> Result<Plan, WhatIfError> {
        let made = self.make(&guarded, add, hide).await;
        let (asked, names) = match made {
            Ok(names) => (Ok(explain(&guarded, sql).await), names),
            Err(error) => (Err(error), Vec::new()),
        };
        let deallocate = asked.as_ref().map_or("", Asked::removal);
        let removal = format!("{deallocate}SELECT /* pgassay */ {}; ", self.reset());
        // not confirmed: the connection is closed, and the hypothetical indexes with it
        guarded.end_planning(&removal).await.ok();
        let mut plan = asked?.result?.plan()?;
        rename(&mut plan.root, &names, add);
        Ok(plan)
    }

    fn reset(&self) -> String {
        let schema = &self.schema;
        if self.version >= HIDES_FROM {
            format!("{schema}.hypopg_unhide_all_indexes(), {schema}.hypopg_reset()")
        } else {
            format!("{schema}.hypopg_reset()")
        }
    }

    /// Creates `add`, hides `hide`, and returns the names that HypoPG gave to `add`.
    async fn make(
        &self,
        guarded: &Guarded,
        add: &[IndexDef],
        hide: &[String],
    ) -> Result<Vec<String>, WhatIfError> {
        let names = if add.is_empty() {
            Vec::new()
        } else {
            self.create(guarded, add).await?
        };
        for name in hide {
            self.hide(guarded, name).await?;
        }
        Ok(names)
    }

    async fn create(
        &self,
        guarded: &Guarded,
        add: &[IndexDef],
    ) -> Result<Vec<String>, WhatIfError> {
        let sql = format!(
            "SELECT /* pgassay */ h.indexname::pg_catalog.text FROM pg_catalog.unnest($1) WITH ORDINALITY AS u(sql, at), \
             LATERAL {}.hypopg_create_index(u.sql) AS h ORDER BY u.at",
            self.schema
        );
        let creates: Vec<String> = add
            .iter()
            .map(|def| {
                let unnamed = IndexDef {
                    name: String::new(),
                    ..def.clone()
                };
                unnamed.create_sql(Build::Plain)
            })
            .collect();
        let rows = guarded
            .try_query(&sql, &[(&creates, Type::TEXT_ARRAY)])
            .await
            .map_err(|failure| match failed(failure) {
                WhatIfError::Server(why) => WhatIfError::Unsupported(format!("HypoPG: {why}")),
                other => other,
            })?;
        let names: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
        if names.len() == add.len() {
            Ok(names)
        } else {
            // it leaves out with a warning what it does not know
            Err(WhatIfError::Unsupported("HypoPG made no index".to_owned()))
        }
    }

    async fn hide(&self, guarded: &Guarded, name: &str) -> Result<(), WhatIfError> {
        let sql = format!(
            "SELECT /* pgassay */ {}.hypopg_hide_index(pg_catalog.to_regclass($1)::pg_catalog.oid)",
            self.schema
        );
        let quoted = quoted_name(name);
        guarded
            .try_query(&sql, &[(&quoted, Type::TEXT)])
            .await
            .map_err(failed)?;
        Ok(())
    }
}

/// `schema.name` unquoted, as `hide` gives it → as SQL. A dot within a name is beyond what that form can say.
pub(super) fn quoted_name(name: &str) -> String {
    match name.split_once('.') {
        Some((schema, name)) => format!("{}.{}", quote_identifier(schema), quote_identifier(name)),
        None => quote_identifier(name),
    }
}

/// In the plan, gives the back end's indexes the names that they were asked under.
pub(super) fn rename(node: &mut PlanNode, names: &[String], add: &[IndexDef]) {
    // plans nest at most as deep as `Plan::from_json` lets pass
    if let Some(index) = &mut node.index
        && let Some(at) = names.iter().position(|name| name == index)
    {
        index.clone_from(&add[at].name);
    }
    for child in &mut node.children {
        rename(child, names, add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hypopg(version: &str) -> Hypopg {
        Hypopg::new(&ExtensionInfo {
            name: "hypopg".into(),
            version: version.into(),
            schema: "Ext".into(),
        })
    }

    fn index(method: &str) -> IndexDef {
        IndexDef {
            method: method.into(),
            ..IndexDef::default()
        }
    }

    #[test]
    fn knows_what_each_version_can() {
        let check = |version: &str, method: &str, hide: &[String]| {
            hypopg(version).check(&[index(method)], hide).is_ok()
        };
        assert!(check("1.3.1", "btree", &[]));
        assert!(!check("1.3.1", "gin", &[]));
        assert!(check("1.3.1", "hash", &[]));
        assert!(!check("1.2.0", "btree", &[]));
        assert!(!check("1.3.1", "btree", &["public.x".into()]));
        assert!(check("1.4.0", "btree", &["public.x".into()]));
        assert!(hypopg("1.4").check(&vec![index("btree"); 11], &[]).is_err());
    }

    #[test]
    fn hypothetical_names_become_ours() {
        let mut root = PlanNode {
            index: Some("<1>btree_t_a".into()),
            children: vec![PlanNode {
                index: Some("t_pkey".into()),
                ..PlanNode::default()
            }],
            ..PlanNode::default()
        };
        let ours = IndexDef {
            name: "t_a_idx".into(),
            ..IndexDef::default()
        };
        rename(&mut root, &["<1>btree_t_a".into()], &[ours]);
        assert_eq!(root.index.as_deref(), Some("t_a_idx"));
        assert_eq!(root.children[0].index.as_deref(), Some("t_pkey"));
    }
}
