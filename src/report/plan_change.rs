//! How the planner's choice for one statement changed between two captures.

use serde::Serialize;

use super::escape;
use crate::finding::figures;

/// A plan of the same shape counts as changed when its cost changed by more than this factor: growing tables and fresh statistics move costs
/// all the time.
const COST_FACTOR: f64 = 2.0;

/// A plan as a snapshot keeps it.
#[derive(Debug, Clone, Default)]
pub struct SampledPlan {
    /// `node type|relation|index` of each node, parents first.
    pub shape: Vec<String>,
    /// Planner units.
    pub total_cost: f64,
}

/// One statement that is planned otherwise than before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanChange {
    /// The statement, with `$n` where there were parameters.
    pub query: String,
    /// How its tables were read.
    pub before: String,
    /// How they are read now.
    pub after: String,
    /// Planner units, then.
    pub cost_before: f64,
    /// Planner units, now.
    pub cost_after: f64,
}

impl PlanChange {
    /// The change, when there is one: another shape, or a cost that differs by more than twice.
    #[must_use]
    pub fn between(query: &str, before: &SampledPlan, after: &SampledPlan) -> Option<Self> {
        let ratio = after.total_cost / before.total_cost.max(f64::MIN_POSITIVE);
        let is_moved = !(1.0 / COST_FACTOR..=COST_FACTOR).contains(&ratio);
        (before.shape != after.shape || is_moved).then(|| Self {
            query: query.to_owned(),
            before: reads(&before.shape),
            after: reads(&after.shape),
            cost_before: before.total_cost,
            cost_after: after.total_cost,
        })
    }

    /// Does it cost more than twice as much?
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.cost_after > self.cost_before * COST_FACTOR
    }

    /// Two lines for people.
    pub(super) fn text(&self) -> String {
        let name = match self.cost_after / self.cost_before.max(f64::MIN_POSITIVE) {
            ratio if ratio > COST_FACTOR => "plan worse",
            ratio if ratio < 1.0 / COST_FACTOR => "plan better",
            _ => "plan other",
        };
        let how = if self.before == self.after {
            self.after.clone()
        } else {
            format!("{} → {}", self.before, self.after)
        };
        format!(
            "{name:<11} {}\n          {}; planner cost {} → {}\n",
            escape::terminal_line(&self.query),
            escape::terminal_line(&how),
            figures::number(self.cost_before),
            figures::number(self.cost_after)
        )
    }
}

/// The nodes that read something: `Index Scan on orders by orders_pkey, Seq Scan on customers`. A plan that reads nothing is told by its root.
fn reads(shape: &[String]) -> String {
    let node = |node: &String| -> Option<String> {
        let mut parts = node.splitn(3, '|');
        let (kind, relation, index) = (parts.next()?, parts.next()?, parts.next()?);
        match (relation, index) {
            ("", "") => None,
            ("", index) => Some(format!("{kind} on {index}")),
            (relation, "") => Some(format!("{kind} on {relation}")),
            (relation, index) => Some(format!("{kind} on {relation} by {index}")),
        }
    };
    let reads: Vec<String> = shape.iter().filter_map(node).collect();
    if reads.is_empty() {
        let root = shape.first().and_then(|root| root.split('|').next());
        return root.unwrap_or_default().to_owned();
    }
    reads.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(shape: &[&str], total_cost: f64) -> SampledPlan {
        SampledPlan {
            shape: shape.iter().map(|&node| node.to_owned()).collect(),
            total_cost,
        }
    }

    #[test]
    fn an_index_that_is_gone_shows_as_a_scan() {
        let before = plan(&["Index Scan|orders|orders_customer_idx"], 8.3);
        let after = plan(&["Gather||", "Seq Scan|orders|"], 1_200.0);
        let change = PlanChange::between("SELECT 1", &before, &after).unwrap();
        assert!(change.is_worse());
        assert_eq!(change.before, "Index Scan on orders by orders_customer_idx");
        assert_eq!(change.after, "Seq Scan on orders");
        assert_eq!(PlanChange::between("SELECT 1", &before, &before), None);
        let grown = plan(&["Index Scan|orders|orders_customer_idx"], 12.0);
        assert_eq!(PlanChange::between("SELECT 1", &before, &grown), None);
    }
}
