//! A plan as a list of nodes, each with its share of the whole.

use crate::plan::{Actual, Plan, PlanNode};

/// A node on the way, parents before children.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) node: &'a PlanNode,
    pub(super) parent: Option<usize>,
    /// Share of the whole plan's time that it takes by itself, 0 to 1; of its cost where nothing was timed.
    pub(super) own: f64,
    /// The same with all below it.
    pub(super) with_children: f64,
    /// Processes that run it side by side.
    pub(super) n_processes: f64,
    /// What is above may stop it before it has given all of its rows.
    pub(super) may_be_cut_short: bool,
}

#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) steps: Vec<Step<'a>>,
    /// Shares are of measured time, not of planner cost.
    pub(super) is_timed: bool,
    /// Time of the topmost node, ms.
    pub(super) total_ms: f64,
}

impl<'a> Walk<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        let total_ms = time(&plan.root, 1.0);
        let is_timed = total_ms.is_some_and(|ms| ms > 0.0);
        let mut walk = Self {
            steps: Vec::new(),
            is_timed,
            // triggers and sending rows are outside of the topmost node
            total_ms: total_ms
                .unwrap_or_default()
                .max(plan.execution_ms.unwrap_or_default()),
        };
        let whole = if is_timed {
            walk.total_ms
        } else {
            plan.root.total_cost.0.max(f64::MIN_POSITIVE)
        };
        walk.enter(&plan.root, None, 1.0, false, whole);
        walk
    }

    fn enter(
        &mut self,
        node: &'a PlanNode,
        parent: Option<usize>,
        n_processes: f64,
        may_be_cut_short: bool,
        whole: f64,
    ) {
        let at = self.steps.len();
        let below = match node.node_type.as_str() {
            "Gather" | "Gather Merge" => node.n_workers_launched.unwrap_or_default() as f64 + 1.0,
            _ => n_processes,
        };
        let of = |node: &PlanNode, n_processes: f64| {
            if self.is_timed {
                time(node, n_processes).unwrap_or_default()
            } else {
                node.total_cost.0
            }
        };
        let mine = of(node, n_processes);
        let theirs: f64 = node.children.iter().map(|child| of(child, below)).sum();
        self.steps.push(Step {
            node,
            parent,
            own: ((mine - theirs) / whole).clamp(0.0, 1.0),
            with_children: (mine / whole).clamp(0.0, 1.0),
            n_processes,
            may_be_cut_short,
        });
        for (n, child) in node.children.iter().enumerate() {
            let cut = cuts(node, n, child) || may_be_cut_short && !takes_all(node);
            self.enter(child, Some(at), below, cut, whole);
        }
    }

    pub(super) fn actual(&self, at: usize) -> Option<&'a Actual> {
        self.steps[at]
            .node
            .actual
            .as_ref()
            .filter(|actual| actual.n_loops > 0.0)
    }

    /// Nodes above, the nearest first.
    pub(super) fn above(&self, at: usize) -> impl Iterator<Item = &Step<'a>> {
        std::iter::successors(self.steps[at].parent, |&at| self.steps[at].parent)
            .map(|at| &self.steps[at])
    }

    /// Children of a node by their places.
    pub(super) fn children(&self, at: usize) -> impl Iterator<Item = usize> {
        let below = self.steps.iter().enumerate().skip(at + 1);
        below
            .filter(move |(_, step)| step.parent == Some(at))
            .map(|(child, _)| child)
    }
}

/// Wall-clock time of all loops, ms. Below a Gather each process counts its own loops, which run side by side.
fn time(node: &PlanNode, n_processes: f64) -> Option<f64> {
    let actual = node.actual.as_ref()?;
    let parallel = actual.n_loops.min(n_processes).max(1.0);
    Some(actual.total_ms? * actual.n_loops / parallel)
}

/// Does `node` stop reading its `n`-th child before that is at its end?
fn cuts(node: &PlanNode, n: usize, child: &PlanNode) -> bool {
    let join = node.join_type.as_deref().unwrap_or_default();
    let is_existence = child.parent_relationship.as_deref() == Some("SubPlan");
    match node.node_type.as_str() {
        "Limit" | "Merge Join" => true,
        "Nested Loop" => n == 1 && (join.contains("Semi") || join.contains("Anti")),
        _ => is_existence,
    }
}

/// Does `node` read all of its input before it gives a row?
fn takes_all(node: &PlanNode) -> bool {
    match node.node_type.as_str() {
        "Sort" | "Hash" | "Bitmap Heap Scan" => true,
        "Aggregate" => node.strategy.as_deref() != Some("Sorted"),
        _ => false,
    }
}

/// A node in words: `Index Scan using jobs_pkey on jobs j`.
pub(super) fn label(node: &PlanNode) -> String {
    let mut label = node.node_type.clone();
    if let Some(join) = node.join_type.as_deref().filter(|join| *join != "Inner") {
        label = match label.strip_suffix(" Join") {
            Some(kind) => format!("{kind} {join} Join"),
            None => format!("{label} {join} Join"),
        };
    }
    if let Some(index) = &node.index {
        label.push_str(&format!(" using {index}"));
    }
    if let Some(relation) = &node.relation {
        label.push_str(&format!(" on {relation}"));
        if let Some(alias) = node.alias.as_ref().filter(|alias| *alias != relation) {
            label.push_str(&format!(" {alias}"));
        }
    }
    label
}

/// The relation that a node reads, or the only one that is read below it.
pub(super) fn only_relation(node: &PlanNode) -> Option<String> {
    if node.relation.is_some() {
        return node.relation.clone();
    }
    let mut found: Option<&String> = None;
    let mut below: Vec<&PlanNode> = node.children.iter().collect();
    while let Some(node) = below.pop() {
        match (found, &node.relation) {
            (Some(one), Some(other)) if one != other => return None,
            (None, Some(one)) => found = Some(one),
            _ => {}
        }
        below.extend(&node.children);
    }
    found.cloned()
}
