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
    /// `JIT.Timing.Total`, ms.
    pub jit_ms: Option<f64>,
    /// Triggers that fired, with ANALYZE.
    pub triggers: Vec<TriggerTime>,
}

/// What a trigger cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TriggerTime {
    /// `Constraint Name` of a foreign key's trigger, else `Trigger Name`.
    pub name: String,
    /// It checks or carries out a foreign key.
    pub of_constraint: bool,
    /// `Relation` that it hangs on.
    pub relation: Option<String>,
    /// `Time`, ms.
    pub ms: f64,
    /// `Calls`
    pub n_calls: f64,
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
    /// What happened, with ANALYZE.
    pub actual: Option<Actual>,
    /// `Filter`
    pub filter: Option<String>,
    /// `Index Cond`
    pub index_cond: Option<String>,
    /// `Join Filter`
    pub join_filter: Option<String>,
    /// `Join Filter`, `Hash Cond`, `Merge Cond` or `Recheck Cond`, as far as present.
    pub conditions: Vec<String>,
    /// `Sort Key`
    pub sort_keys: Vec<String>,
    /// `Join Type`
    pub join_type: Option<String>,
    /// `Strategy` of an aggregate: `Plain`, `Sorted`, `Hashed`, `Mixed`.
    pub strategy: Option<String>,
    /// `Parent Relationship`: `Outer`, `Inner`, `SubPlan`, `InitPlan`, …
    pub parent_relationship: Option<String>,
    /// `Subplan Name`: `SubPlan 1`, `CTE recent`, …
    pub subplan_name: Option<String>,
    /// `Subplans Removed`: partitions left out at the start of execution.
    pub n_subplans_removed: u64,
    /// `Workers Planned`
    pub n_workers_planned: Option<u64>,
    /// `Workers Launched`, with ANALYZE.
    pub n_workers_launched: Option<u64>,
    /// Children in order.
    pub children: Vec<PlanNode>,
}

/// What a node did when it ran. Counts and times of rows are means per loop, as EXPLAIN prints them; blocks and spills are of all loops.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Actual {
    /// `Actual Rows`
    pub rows: f64,
    /// `Actual Total Time`, ms; `None` with TIMING OFF.
    pub total_ms: Option<f64>,
    /// `Actual Loops`; 0 where the node never ran.
    pub n_loops: f64,
    /// `Rows Removed by Filter`
    pub removed_by_filter: f64,
    /// `Rows Removed by Join Filter`
    pub removed_by_join_filter: f64,
    /// `Rows Removed by Index Recheck`
    pub removed_by_recheck: f64,
    /// `Heap Fetches` of an index-only scan.
    pub heap_fetches: f64,
    /// `Exact Heap Blocks` of a bitmap scan.
    pub exact_heap_blocks: f64,
    /// `Lossy Heap Blocks` of a bitmap scan.
    pub lossy_heap_blocks: f64,
    /// `Sort Space Used` where its type is `Disk`, kB: of the parallel process that used most.
    pub sort_disk_kb: Option<f64>,
    /// `Hash Batches`, or the batches of a hashed aggregate.
    pub n_batches: f64,
    /// `Original Hash Batches`
    pub n_original_batches: f64,
    /// `Disk Usage` of a hashed aggregate, kB.
    pub disk_kb: f64,
    /// `Temp Written Blocks`, children included.
    pub temp_written_blocks: f64,
    /// `Shared Hit Blocks`, children included.
    pub shared_hit_blocks: f64,
    /// `Shared Read Blocks`, children included.
    pub shared_read_blocks: f64,
    /// `I/O Read Time` or `Shared I/O Read Time`, ms, children included.
    pub read_ms: Option<f64>,
}

impl Actual {
    /// Rows given in all loops.
    #[must_use]
    pub fn all_rows(&self) -> f64 {
        self.rows * self.n_loops
    }
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

    /// Does a LIMIT end a scan in an index's order that filters? Its cost assumes the rows that pass to be spread evenly over that order.
    #[must_use]
    pub fn hopes_for_early_rows(&self) -> bool {
        self.nodes()
            .filter(|node| node.node_type == "Limit")
            .any(|limit| limit.children.iter().any(PlanNode::filters_in_order))
    }

    /// Does any node use an index of that name?
    #[must_use]
    pub fn uses_index(&self, name: &str) -> bool {
        self.nodes().any(|node| node.index.as_deref() == Some(name))
    }
}

impl PlanNode {
    /// Are its rows those of an index scan in order, as far as they pass a filter, with nothing between that reads all of them first?
    fn filters_in_order(&self) -> bool {
        match self.node_type.as_str() {
            "Index Scan" | "Index Only Scan" => self.filter.is_some(),
            "Nested Loop" => self.children.first().is_some_and(Self::filters_in_order),
            "Append" | "Merge Append" | "Gather Merge" | "Incremental Sort" | "LockRows"
            | "Result" | "Subquery Scan" | "Unique" => {
                self.children.iter().any(Self::filters_in_order)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(node_type: &str, filter: Option<&str>, children: Vec<PlanNode>) -> PlanNode {
        PlanNode {
            node_type: node_type.to_owned(),
            filter: filter.map(str::to_owned),
            children,
            ..PlanNode::default()
        }
    }

    fn hopes(root: PlanNode) -> bool {
        let plan = Plan {
            root,
            ..Plan::default()
        };
        plan.hopes_for_early_rows()
    }

    #[test]
    fn a_limit_over_a_filtering_index_scan_hopes() {
        let scan = || node("Index Scan", Some("(account_id = 7)"), Vec::new());
        let exact = || node("Index Scan", None, Vec::new());
        assert!(hopes(node("Limit", None, vec![scan()])));
        assert!(!hopes(node("Limit", None, vec![exact()])));
        assert!(!hopes(scan()));
        let joined = node("Nested Loop", None, vec![scan(), exact()]);
        assert!(hopes(node("Limit", None, vec![joined])));
        // the inner side is read for each row of the outer one, and a sort reads everything before the first row
        let joined = node("Nested Loop", None, vec![exact(), scan()]);
        assert!(!hopes(node("Limit", None, vec![joined])));
        let sorted = node("Sort", None, vec![scan()]);
        assert!(!hopes(node("Limit", None, vec![sorted])));
    }
}
