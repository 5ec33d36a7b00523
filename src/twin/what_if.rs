//! What-if with real, empty indexes: made once, given the size and height that they would have, switched on for one evaluation at a time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Twin, create::Made, explain, schema::NOT_AVAILABLE};
use crate::{
    advise::{PlannedQuery, Question, WhatIf, WhatIfError},
    catalog::{IndexDef, RelationName},
    db::OwnedSession,
    plan::{Plan, PlanNode, WhatIfKind},
    sql::quote_identifier,
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
        // asked for by one alone: in the order that the caller has
        let ranks: Vec<usize> = (0..add.len()).collect();
        let question = Question { queries, add, hide };
        self.answer(question, &ranks).await
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
        self.switch(&mut active, &[], &[], hide).await?;
        self.explained(query, &active.settings).await
    }

    /// Where columns have stand-ins in place of their values, a constant that is compared with one is a stand-in while it is planned.
    async fn explained(
        &self,
        query: &PlannedQuery,
        settings: &[(String, String)],
    ) -> Result<Value, WhatIfError> {
        let session = self.planner_session().await?;
        if let Some(unknowns) = &self.unknowns {
            let (sql, replaced) = unknowns.put_in(&query.sql, &self.state);
            let changed = PlannedQuery {
                sql,
                ..query.clone()
            };
            if !replaced.is_empty()
                && let Ok(mut plan) = explain::explain(&session, &changed, settings).await
            {
                write_back(&mut plan, &replaced);
                return Ok(plan);
            }
        }
        let plan = explain::explain(&session, query, settings).await;
        plan.map_err(|error| self.explained_by_extensions(error))
    }

    /// An operator, function or type that is not there may be one of an extension that this machine has not.
    fn explained_by_extensions(&self, error: WhatIfError) -> WhatIfError {
        let missing: Vec<&str> = (self.skipped().iter())
            .filter_map(|skipped| {
                skipped
                    .strip_suffix(NOT_AVAILABLE)?
                    .strip_prefix("extension ")
            })
            .collect();
        match error {
            WhatIfError::Server(why)
                if !missing.is_empty()
                    && ["does not exist", "is not unique"]
                        .iter()
                        .any(|end| why.contains(end)) =>
            {
                let names = missing.join(", ");
                WhatIfError::Server(format!(
                    "{why} (extensions that are not installed here: {names})"
                ))
            }
            error => error,
        }
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

    /// Plans one question's statements. `ranks` says in which order the indexes of `add` have to have been created.
    pub(super) async fn answer(
        &self,
        question: Question<'_>,
        ranks: &[usize],
    ) -> Vec<Result<Plan, WhatIfError>> {
        let mut active = self.active.lock().await;
        let names = match self
            .switch(&mut active, question.add, ranks, question.hide)
            .await
        {
            Ok(names) => names,
            Err(error) => return vec![Err(error); question.queries.len()],
        };
        let mut plans = Vec::with_capacity(question.queries.len());
        for query in question.queries {
            plans.push(self.plan_one(query, &names, &active.settings).await);
        }
        plans
    }

    /// What-if indexes that exist, without their names.
    pub(super) async fn made(&self) -> BTreeSet<IndexDef> {
        self.active.lock().await.made.keys().cloned().collect()
    }

    async fn plan_one(
        &self,
        query: &PlannedQuery,
        names: &BTreeMap<String, String>,
        settings: &[(String, String)],
    ) -> Result<Plan, WhatIfError> {
        let value = self.explained(query, settings).await?;
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
        ranks: &[usize],
        hide: &[String],
    ) -> Result<BTreeMap<String, String>, WhatIfError> {
        let superuser = self.superuser_session().await?;
        if active.made.len() + add.len() > MAX_MADE {
            let all = active.made.keys().cloned().collect();
            drop_made(active, &superuser, all).await?;
        }
        let mut ranked: Vec<(usize, IndexDef)> = ranks
            .iter()
            .copied()
            .zip(add.iter().map(anonymous))
            .collect();
        ranked.sort();
        let wanted: Vec<IndexDef> = ranked.into_iter().map(|(_, def)| def).collect();
        let late = out_of_order(&wanted, &active.made);
        drop_made(active, &superuser, late).await?;
        for def in wanted {
            if active.made.contains_key(&def) {
                continue;
            }
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

async fn drop_made(
    active: &mut Active,
    superuser: &OwnedSession,
    defs: Vec<IndexDef>,
) -> Result<(), WhatIfError> {
    for def in defs {
        let Some(first) = active.made.get(&def).and_then(|made| made.indexes.first()) else {
            continue;
        };
        let name = format!(
            "{}.{}",
            quote_identifier(&def.table.schema),
            quote_identifier(&first.name)
        );
        superuser
            .batch_execute(&format!("DROP INDEX {name}"))
            .await
            .map_err(|e| explain::failure(&e))?;
        for index in active.made.remove(&def).into_iter().flat_map(|m| m.indexes) {
            active.shown.remove(&index.oid);
        }
    }
    Ok(())
}

/// Of `wanted`, in the order in which they have to have been created: those that exist and were created after one that should come later on
/// the same table, or that still has to be made. They have to be made anew.
fn out_of_order(wanted: &[IndexDef], made: &BTreeMap<IndexDef, Made>) -> Vec<IndexDef> {
    let mut last: BTreeMap<&RelationName, u32> = BTreeMap::new();
    let mut late = Vec::new();
    for def in wanted {
        let oid = made
            .get(def)
            .and_then(|made| made.indexes.first())
            .map(|index| index.oid);
        let last = last.entry(&def.table).or_default();
        match oid {
            Some(oid) if oid > *last => *last = oid,
            Some(_) => {
                late.push(def.clone());
                *last = u32::MAX;
            }
            None => *last = u32::MAX,
        }
    }
    late
}

/// The definition without its name: what makes two indexes the same.
pub(super) fn anonymous(def: &IndexDef) -> IndexDef {
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

/// Writes the second of each pair in place of the first, in every text of a plan.
fn write_back(plan: &mut Value, replaced: &[(String, String)]) {
    match plan {
        Value::String(text) => {
            for (new, old) in replaced
                .iter()
                .filter(|(new, _)| text.contains(new))
                .collect::<Vec<_>>()
            {
                *text = text.replace(new, old);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| write_back(item, replaced)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| write_back(field, replaced)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::create::MadeIndex;

    fn index(table: &str, method: &str) -> IndexDef {
        IndexDef {
            table: RelationName::new("public", table),
            method: method.to_owned(),
            ..IndexDef::default()
        }
    }

    #[test]
    fn indexes_created_in_another_order_are_made_anew() {
        let [a, b, c, other] = ["a", "b", "c", "d"].map(|method| index("t", method));
        let elsewhere = index("u", "a");
        let made = |oids: &[(&IndexDef, u32)]| -> BTreeMap<IndexDef, Made> {
            let of = |oid: u32| {
                Made::new(vec![MadeIndex {
                    oid,
                    name: String::new(),
                }])
            };
            oids.iter()
                .map(|(def, oid)| ((*def).clone(), of(*oid)))
                .collect()
        };
        let all = [a.clone(), b.clone(), c.clone(), elsewhere.clone()];
        let check = |oids: &[(&IndexDef, u32)]| out_of_order(&all, &made(oids));
        assert_eq!(check(&[]), []);
        assert_eq!(check(&[(&a, 1), (&b, 2), (&elsewhere, 3), (&c, 4)]), []);
        assert_eq!(
            check(&[(&a, 1), (&b, 5), (&c, 4), (&other, 2)]),
            std::slice::from_ref(&c)
        );
        assert_eq!(
            check(&[(&b, 2), (&c, 3), (&elsewhere, 1)]),
            [b.clone(), c.clone()]
        );
        assert_eq!(check(&[(&a, 9), (&b, 2), (&c, 3)]), [b, c]);
    }
}
