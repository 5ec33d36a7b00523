//! Plan nodes: the keys of `EXPLAIN (FORMAT JSON)` that judgements rest on.

use serde::{Deserialize, Serialize};

use super::Cost;

/// One explained statement.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The topmost node.
    pub root: PlanNode,
    /// `Planning Time`, ms, with ANALYZE or SUMMARY.
    pub planning_ms: Option<f64>,
    /// `Execution Time`, ms, with ANALYZE.
    pub execution_ms: Option<f64>,
}

/// One node. Names follow EXPLAIN's keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PlanNode {
    /// `Node Type`, e.g. `Seq Scan`.
    pub node_type: String,
    /// `Schema`, with VERBOSE.
    pub schema: Option<String>,
    /// `Relation Name`
    pub relation: Option<String>,
    /// `Alias`
    pub alias: Option<String>,
    /// `Index Name`
    pub index: Option<String>,
    /// `Startup Cost`
    pub startup_cost: Cost,
    /// `Total Cost`
    pub total_cost: Cost,
    /// `Plan Rows`
    pub plan_rows: f64,
    /// `Plan Width`, bytes
    pub plan_width: u32,
    /// `Actual Rows` per loop, with ANALYZE.
    pub actual_rows: Option<f64>,
    /// `Actual Total Time` per loop, ms, with ANALYZE.
    pub actual_total_ms: Option<f64>,
    /// `Actual Loops`
    pub actual_loops: Option<f64>,
    /// `Filter`
    pub filter: Option<String>,
    /// `Index Cond`
    pub index_cond: Option<String>,
    /// `Join Filter`, `Hash Cond`, `Merge Cond` or `Recheck Cond`, as far as present.
    pub conditions: Vec<String>,
    /// `Sort Key`
    pub sort_keys: Vec<String>,
    /// `Rows Removed by Filter` per loop.
    pub rows_removed_by_filter: Option<f64>,
    /// `Join Type`
    pub join_type: Option<String>,
    /// `Parent Relationship`: `Outer`, `Inner`, `SubPlan`, `InitPlan`, …
    pub parent_relationship: Option<String>,
    /// `Shared Hit Blocks` + `Shared Read Blocks`, with BUFFERS.
    pub shared_blocks: Option<u64>,
    /// Children in order.
    pub children: Vec<PlanNode>,
}

impl Plan {
    /// All nodes, parents before children.
    pub fn nodes(&self) -> impl Iterator<Item = &PlanNode> {
        let mut stack = vec![&self.root];
        std::iter::from_fn(move || {
            let node = stack.pop()?;
            stack.extend(node.children.iter().rev());
            Some(node)
        })
    }

    /// Total cost of the statement.
    #[must_use]
    pub fn total_cost(&self) -> Cost {
        self.root.total_cost
    }

    /// Does any node use an index of that name?
    #[must_use]
    pub fn uses_index(&self, name: &str) -> bool {
        self.nodes().any(|node| node.index.as_deref() == Some(name))
    }
}
