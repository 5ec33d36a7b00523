//! Reads the JSON that `EXPLAIN (FORMAT JSON)` answers with.

use serde_json::Value;

use super::{Cost, Plan, PlanNode};

/// Plans nest as deep as queries do; beyond this we refuse rather than risk the stack.
const MAX_DEPTH: usize = 500;

/// Why a text is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not JSON at all.
    #[error("not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON of another shape.
    #[error("no \"Plan\" object in the answer")]
    NoPlan,
    /// Nested deeper than any planner output.
    #[error("plan nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

impl Plan {
    /// Parses EXPLAIN's answer: an array of one object with a `Plan` key, or that object itself.
    ///
    /// # Errors
    /// When the text isn't JSON, holds no plan, or is nested absurdly deep.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        Self::from_value(&serde_json::from_str(text)?)
    }

    /// The same from parsed JSON.
    ///
    /// # Errors
    /// When it holds no plan or is nested absurdly deep.
    pub fn from_value(value: &Value) -> Result<Self, PlanError> {
        let object = match value {
            Value::Array(items) => items.first().ok_or(PlanError::NoPlan)?,
            other => other,
        };
        let root = object.get("Plan").ok_or(PlanError::NoPlan)?;
        Ok(Self {
            root: node(root, 0)?,
            planning_ms: number(object, "Planning Time"),
            execution_ms: number(object, "Execution Time"),
        })
    }
}

fn node(value: &Value, depth: usize) -> Result<PlanNode, PlanError> {
    if depth > MAX_DEPTH {
        return Err(PlanError::TooDeep);
    }
    let children = value
        .get("Plans")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let hit = number(value, "Shared Hit Blocks");
    let read = number(value, "Shared Read Blocks");
    Ok(PlanNode {
        node_type: text(value, "Node Type").unwrap_or_default(),
        schema: text(value, "Schema"),
        relation: text(value, "Relation Name"),
        alias: text(value, "Alias"),
        index: text(value, "Index Name"),
        startup_cost: Cost(number(value, "Startup Cost").unwrap_or_default()),
        total_cost: Cost(number(value, "Total Cost").unwrap_or_default()),
        plan_rows: number(value, "Plan Rows").unwrap_or_default(),
        plan_width: number(value, "Plan Width").unwrap_or_default() as u32,
        actual_rows: number(value, "Actual Rows"),
        actual_total_ms: number(value, "Actual Total Time"),
        actual_loops: number(value, "Actual Loops"),
        filter: text(value, "Filter"),
        index_cond: text(value, "Index Cond"),
        conditions: ["Join Filter", "Hash Cond", "Merge Cond", "Recheck Cond"]
            .iter()
            .filter_map(|key| text(value, key))
            .collect(),
        sort_keys: value
            .get("Sort Key")
            .and_then(Value::as_array)
            .map(|keys| {
                keys.iter()
                    .filter_map(|k| k.as_str().map(str::to_owned))
                    .collect()
            })
            .unwrap_or_default(),
        rows_removed_by_filter: number(value, "Rows Removed by Filter"),
        join_type: text(value, "Join Type"),
        parent_relationship: text(value, "Parent Relationship"),
        shared_blocks: hit.map(|hit| (hit + read.unwrap_or_default()) as u64),
        children: children
            .iter()
            .map(|child| node(child, depth + 1))
            .collect::<Result<_, _>>()?,
    })
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn number(value: &Value, key: &str) -> Option<f64> {
    value.get(key).and_then(Value::as_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nodes_parents_first() {
        let plan = Plan::from_json(
            r#"[{"Plan": {"Node Type": "Limit", "Total Cost": 9.5, "Plans": [
                {"Node Type": "Index Scan", "Index Name": "jobs_pkey", "Relation Name": "jobs"}]}}]"#,
        )
        .unwrap();
        let types: Vec<&str> = plan.nodes().map(|n| n.node_type.as_str()).collect();
        assert_eq!(types, ["Limit", "Index Scan"]);
        assert_eq!(plan.total_cost(), Cost(9.5));
        assert!(plan.uses_index("jobs_pkey"));
        assert!(!plan.uses_index("other"));
    }

    #[test]
    fn refuses_what_is_no_plan() {
        assert!(matches!(Plan::from_json("[]"), Err(PlanError::NoPlan)));
        assert!(matches!(Plan::from_json("{"), Err(PlanError::Json(_))));
    }
}
