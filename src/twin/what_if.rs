//! What-if with real, empty indexes: made once, given the size and height that they would have, switched on for one evaluation at a time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Twin, TwinError, explain, facts, inject::reason};
use crate::{
    advise::{PlannedQuery, WhatIf, WhatIfError, extension_of},
    catalog::{Build, IndexDef},
    db::OwnedSession,
    plan::{Plan, PlanNode, WhatIfKind},
};

/// Indexes that exist at once. Each costs every backend a catalog lookup per plan on its table; beyond this, all are dropped and made anew as needed.
const MAX_MADE: usize = 400;

/// State of the twin between evaluations. One evaluation at a time.
#[derive(Debug, Default)]
pub(super) struct Active {
    made: BTreeMap<IndexDef, Made>,
    n_made: u64,
    /// OIDs that are switched on, of those that we made.
    shown: BTreeSet<u32>,
    /// OIDs that are switched off, of production's.
    hidden: BTreeSet<u32>,
}

/// An index that we made; on a partitioned table with one on each partition.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) indexes: Vec<MadeIndex>,
    pub(super) n_bytes: u64,
}

/// One relation of it.
#[derive(Debug, Clone)]
pub(super) struct MadeIndex {
    pub(super) oid: u32,
    pub(super) name: String,
}

impl WhatIf for Twin {
    fn kind(&self) -> WhatIfKind {
        WhatIfKind::Twin
    }

    async fn plan(
        &self,
        query: &PlannedQuery,
        add: &[IndexDef],
        hide: &[String],
    ) -> Result<Plan, WhatIfError> {
        let mut plans = self.plan_all(std::slice::from_ref(query), add, hide).await;
        plans.pop().unwrap_or(Err(WhatIfError::Budget))
    }

    async fn plan_all(
        &self,
        queries: &[PlannedQuery],
        add: &[IndexDef],
        hide: &[String],
    ) -> Vec<Result<Plan, WhatIfError>> {
        let mut active = self.active.lock().await;
        let names = match self.switch(&mut active, add, hide).await {
            Ok(names) => names,
            Err(error) => return queries.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut plans = Vec::with_capacity(queries.len());
        for query in queries {
            plans.push(self.plan_one(query, &names).await);
        }
        plans
    }

    fn size_bytes(&self, def: &IndexDef) -> Option<u64> {
        self.sizes.lock().ok()?.get(&anonymous(def)).copied()
    }
}

impl Twin {
    /// EXPLAIN (FORMAT JSON, VERBOSE) of one statement as things are, as the server gives it.
    ///
    /// # Errors
    /// See [`WhatIfError`].
    pub async fn explain(&self, query: &PlannedQuery) -> Result<Value, WhatIfError> {
        let mut active = self.active.lock().await;
        self.switch(&mut active, &[], &[]).await?;
        let session = self.planner_session().await?;
        explain::explain(&session, &query.sql, &query.search_path).await
    }

    async fn plan_one(
        &self,
        query: &PlannedQuery,
        names: &BTreeMap<String, String>,
    ) -> Result<Plan, WhatIfError> {
        let session = self.planner_session().await?;
        let value = explain::explain(&session, &query.sql, &query.search_path).await?;
        let mut plan =
            Plan::from_value(&value).map_err(|error| WhatIfError::Server(error.to_string()))?;
        rename(&mut plan.root, names);
        Ok(plan)
    }

    /// Makes exactly `add` visible and `hide` invisible. Returns the names to show for those of our indexes.
    async fn switch(
        &self,
        active: &mut Active,
        add: &[IndexDef],
        hide: &[String],
    ) -> Result<BTreeMap<String, String>, WhatIfError> {
        let superuser = self.superuser_session().await?;
        if active.made.len() + add.len() > MAX_MADE {
            self.drop_all(active, &superuser).await?;
        }
        let missing: Vec<IndexDef> = add
            .iter()
            .map(anonymous)
            .filter(|def| !active.made.contains_key(def))
            .collect();
        for def in missing {
            let name = format!("pgassay_what_if_{}", active.n_made);
            active.n_made += 1;
            let made = self.make(&superuser, &def, &name).await?;
            if let Ok(mut sizes) = self.sizes.lock() {
                sizes.insert(def.clone(), made.n_bytes);
            }
            active.made.insert(def, made);
        }
        let mut names = BTreeMap::new();
        let mut shown = BTreeSet::new();
        for def in add {
            for index in active
                .made
                .get(&anonymous(def))
                .iter()
                .flat_map(|made| &made.indexes)
            {
                names.insert(index.name.clone(), def.name.clone());
                shown.insert(index.oid);
            }
        }
        let hidden = if hide.is_empty() {
            BTreeSet::new()
        } else {
            existing(&superuser, hide).await?
        };
        let on: Vec<u32> = shown
            .difference(&active.shown)
            .chain(active.hidden.difference(&hidden))
            .copied()
            .collect();
        let off: Vec<u32> = active
            .shown
            .difference(&shown)
            .chain(hidden.difference(&active.hidden))
            .copied()
            .collect();
        set_valid(&superuser, &on, true).await?;
        set_valid(&superuser, &off, false).await?;
        (active.shown, active.hidden) = (shown, hidden);
        Ok(names)
    }

    /// CREATE INDEX as the role without rights, on a table that looks empty meanwhile; then size and height.
    async fn make(
        &self,
        superuser: &OwnedSession,
        def: &IndexDef,
        name: &str,
    ) -> Result<Made, WhatIfError> {
        let heaps = facts::heaps(superuser, &def.table)
            .await
            .map_err(unsupported)?;
        if heaps.is_empty() {
            return Err(WhatIfError::Unsupported(format!(
                "{} has no pages to index",
                def.table
            )));
        }
        let mut named = def.clone();
        name.clone_into(&mut named.name);
        if let Some(extension) = extension_of(&named) {
            let sql = format!("CREATE EXTENSION IF NOT EXISTS {extension} SCHEMA public");
            superuser
                .batch_execute(&sql)
                .await
                .map_err(|e| WhatIfError::Unsupported(reason(&e)))?;
        }
        let created = self
            .create_unseen(&heaps, &named.create_sql(Build::Plain))
            .await;
        // CREATE INDEX counts the rows that it saw
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
        created?;
        let made = facts::tree(superuser, &def.table.schema, name)
            .await
            .map_err(unsupported)?;
        let oids: Vec<u32> = made.iter().map(|index| index.oid).collect();
        set_valid(superuser, &oids, false).await?;
        let mut n_blocks = 0;
        for index in &made {
            n_blocks += self
                .give_size(superuser, def, index.oid)
                .await
                .map_err(unsupported)?;
        }
        Ok(Made {
            indexes: made,
            n_bytes: n_blocks * crate::catalog::planner::BLOCK_BYTES,
        })
    }

    /// On a connection of its own: one that has seen the tables would know that they go on in later segments.
    async fn create_unseen(&self, heaps: &[facts::Heap], sql: &str) -> Result<(), WhatIfError> {
        let fresh = self.connect_planner().await.map_err(unsupported)?;
        let session = fresh
            .session()
            .await
            .map_err(|e| WhatIfError::Lost(e.to_string()))?;
        let mut sizes = Vec::new();
        let mut result = Ok(());
        for heap in heaps {
            match self.data.n_blocks_of_first(&heap.path).and_then(|n| {
                self.data.set_first_segment(&heap.path, 0)?;
                Ok(n)
            }) {
                Ok(n) => sizes.push((heap, n)),
                Err(error) => result = Err(WhatIfError::Unsupported(error.to_string())),
            }
        }
        if result.is_ok() {
            result = session
                .execute_typed("SET search_path = pg_catalog", &[])
                .await
                .map(|_| ())
                .map_err(|error| WhatIfError::Unsupported(reason(&error)));
        }
        if result.is_ok() {
            result = session
                .execute_typed(sql, &[])
                .await
                .map(|_| ())
                .map_err(|error| WhatIfError::Unsupported(reason(&error)));
        }
        for (heap, n) in sizes {
            self.data
                .set_first_segment(&heap.path, n)
                .map_err(|error| WhatIfError::Lost(error.to_string()))?;
        }
        result
    }

    async fn drop_all(
        &self,
        active: &mut Active,
        superuser: &OwnedSession,
    ) -> Result<(), WhatIfError> {
        let oids: Vec<u32> = active
            .made
            .values()
            .filter_map(|made| made.indexes.first())
            .map(|index| index.oid)
            .collect();
        let sql = "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1)";
        let rows = superuser
            .query(sql, &[&oids])
            .await
            .map_err(|e| explain::failure(&e))?;
        for row in rows {
            let name: String = row.get(0);
            superuser
                .batch_execute(&format!("DROP INDEX {name}"))
                .await
                .map_err(|e| explain::failure(&e))?;
        }
        active.made.clear();
        active.shown.clear();
        Ok(())
    }

    pub(super) async fn planner_session(&self) -> Result<OwnedSession, WhatIfError> {
        self.planner
            .session()
            .await
            .map_err(|e| WhatIfError::Lost(e.to_string()))
    }

    pub(super) async fn superuser_session(&self) -> Result<OwnedSession, WhatIfError> {
        let session = self
            .superuser
            .session()
            .await
            .map_err(|e| WhatIfError::Lost(e.to_string()))?;
        session
            .batch_execute("SET search_path = pg_catalog")
            .await
            .map_err(|e| explain::failure(&e))?;
        Ok(session)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn unsupported(error: TwinError) -> WhatIfError {
    WhatIfError::Unsupported(error.to_string())
}

/// The definition without its name: what makes two indexes the same.
fn anonymous(def: &IndexDef) -> IndexDef {
    IndexDef {
        name: String::new(),
        ..def.clone()
    }
}

/// OIDs of production's indexes by `schema.name`, with those attached to them.
async fn existing(
    superuser: &OwnedSession,
    names: &[String],
) -> Result<BTreeSet<u32>, WhatIfError> {
    let sql = "WITH RECURSIVE tree(oid) AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
          WHERE c.relkind IN ('i', 'I') AND n.nspname || '.' || c.relname = ANY ($1::text[]) \
        UNION ALL SELECT h.inhrelid FROM pg_inherits h JOIN tree ON tree.oid = h.inhparent) \
        SELECT i.indexrelid FROM pg_index i JOIN tree ON tree.oid = i.indexrelid WHERE i.indisvalid OR i.indexrelid IN (SELECT oid FROM tree)";
    let rows = superuser
        .query(sql, &[&names])
        .await
        .map_err(|e| explain::failure(&e))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn set_valid(superuser: &OwnedSession, oids: &[u32], valid: bool) -> Result<(), WhatIfError> {
    if oids.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE pg_index SET indisvalid = $2 WHERE indexrelid = ANY ($1)";
    superuser
        .execute(sql, &[&oids, &valid])
        .await
        .map_err(|e| explain::failure(&e))?;
    Ok(())
}

fn rename(node: &mut PlanNode, names: &BTreeMap<String, String>) {
    if let Some(name) = node.index.as_ref().and_then(|index| names.get(index)) {
        node.index = Some(name.clone());
    }
    for child in &mut node.children {
        rename(child, names);
    }
}
