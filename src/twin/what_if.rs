//! What-if with real, empty indexes: made once, given the size and height that they would have, switched on for one evaluation at a time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Twin, create::Made, explain};
use crate::{
    advise::{PlannedQuery, WhatIf, WhatIfError},
    catalog::IndexDef,
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
    /// Settings of each evaluation.
    settings: Vec<(String, String)>,
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
            plans.push(self.plan_one(query, &names, &active.settings).await);
        }
        plans
    }

    fn size_bytes(&self, def: &IndexDef) -> Option<u64> {
        self.sizes.lock().ok()?.get(&anonymous(def)).copied()
    }
}

impl Twin {
    /// EXPLAIN (FORMAT JSON, VERBOSE) of one statement as the server gives it, without the indexes of those names (`schema.name`).
    ///
    /// # Errors
    /// See [`WhatIfError`].
    pub async fn explain(
        &self,
        query: &PlannedQuery,
        hide: &[String],
    ) -> Result<Value, WhatIfError> {
        let mut active = self.active.lock().await;
        self.switch(&mut active, &[], hide).await?;
        let session = self.planner_session().await?;
        explain::explain(&session, query, &active.settings).await
    }

    /// Plans with these settings from now on, as far as a role without rights may set them.
    pub async fn set(&self, settings: &[(String, String)]) {
        self.active.lock().await.settings = settings.to_vec();
    }

    /// `schema.name` of production's indexes of that name, which may hold the schema.
    #[must_use]
    pub fn indexes_named(&self, name: &str) -> Vec<String> {
        let indexes = self.state.objects.indexes.iter().map(|index| &index.name);
        let constraints = self.state.objects.constraints.iter();
        let owned = constraints.map(|constraint| (&constraint.table.schema, &constraint.name));
        indexes
            .map(|name| (&name.schema, &name.name))
            .chain(owned)
            .filter(|(schema, index)| *index == name || format!("{schema}.{index}") == name)
            .map(|(schema, index)| format!("{schema}.{index}"))
            .collect()
    }

    async fn plan_one(
        &self,
        query: &PlannedQuery,
        names: &BTreeMap<String, String>,
        settings: &[(String, String)],
    ) -> Result<Plan, WhatIfError> {
        let session = self.planner_session().await?;
        let value = explain::explain(&session, query, settings).await?;
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
            self.existing(&superuser, hide).await?
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

    /// OIDs of production's valid indexes by `schema.name`, with those attached to them.
    async fn existing(
        &self,
        superuser: &OwnedSession,
        names: &[String],
    ) -> Result<BTreeSet<u32>, WhatIfError> {
        let invalid: Vec<String> = self
            .state
            .objects
            .indexes
            .iter()
            .filter(|index| !index.valid)
            .map(|index| format!("{}.{}", index.name.schema, index.name.name))
            .collect();
        let sql = "WITH RECURSIVE tree(oid) AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
              WHERE c.relkind IN ('i', 'I') AND n.nspname || '.' || c.relname = ANY ($1::text[]) \
            UNION ALL SELECT h.inhrelid FROM pg_inherits h JOIN tree ON tree.oid = h.inhparent) \
            SELECT tree.oid FROM tree JOIN pg_class c ON c.oid = tree.oid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname || '.' || c.relname <> ALL ($2::text[])";
        let rows = superuser
            .query(sql, &[&names, &invalid])
            .await
            .map_err(|e| explain::failure(&e))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
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

/// The definition without its name: what makes two indexes the same.
fn anonymous(def: &IndexDef) -> IndexDef {
    IndexDef {
        name: String::new(),
        ..def.clone()
    }
}

pub(super) async fn set_valid(
    superuser: &OwnedSession,
    oids: &[u32],
    valid: bool,
) -> Result<(), WhatIfError> {
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
