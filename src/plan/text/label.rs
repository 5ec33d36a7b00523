//! The line of a node: what it is, what it reads, its estimates, and what came of them.

use super::{Actual, Cost, PlanNode, property::number_after};

/// Words before a node's type that say how it is run, not what it is.
const MANNERS: [&str; 5] = ["Parallel ", "Async ", "Partial ", "Finalize ", "Simple "];

/// Reads a node's line. Without an arrow there must be figures, or every property would be a node.
pub(super) fn node(text: &str, has_arrow: bool) -> Option<PlanNode> {
    let figures = ["  (cost=", "  (actual ", "  (never executed)"]
        .iter()
        .filter_map(|start| text.find(start))
        .min();
    let (label, figures) = match figures {
        Some(at) => text.split_at(at),
        None if has_arrow => (text, ""),
        None => return None,
    };
    let mut node = labelled(label.trim());
    if let Some((startup, total)) = range_after(figures, "(cost=") {
        node.startup_cost = Cost(startup);
        node.total_cost = Cost(total);
    }
    let estimated = figures.split("(actual").next().unwrap_or_default();
    node.plan_rows = number_after(estimated, "rows=").unwrap_or_default();
    node.plan_width = number_after(estimated, "width=").unwrap_or_default() as u32;
    node.actual = actual(figures);
    Some(node)
}

fn actual(figures: &str) -> Option<Actual> {
    if figures.contains("(never executed)") {
        return Some(Actual::default());
    }
    let (_, figures) = figures.split_once("(actual")?;
    Some(Actual {
        rows: number_after(figures, "rows=")?,
        n_loops: number_after(figures, "loops=")?,
        total_ms: range_after(figures, "time=").map(|(_, total)| total),
        ..Actual::default()
    })
}

/// `key` with two numbers behind it and two dots between them.
fn range_after(text: &str, key: &str) -> Option<(f64, f64)> {
    let (_, rest) = text.split_once(key)?;
    let end = rest.find([' ', ')']).unwrap_or(rest.len());
    let (low, high) = rest[..end].split_once("..")?;
    Some((low.parse().ok()?, high.parse().ok()?))
}

/// `InitPlan 1 (returns $0)`, `SubPlan 2`, `CTE recent`: what the node below is to its parent.
pub(super) fn heading(text: &str) -> Option<String> {
    let is_heading = ["InitPlan ", "SubPlan ", "CTE "]
        .iter()
        .any(|start| text.starts_with(start));
    let name = text.split(" (returns").next().unwrap_or(text);
    (is_heading && !text.contains(": ")).then(|| name.to_owned())
}

fn labelled(mut label: &str) -> PlanNode {
    while let Some(rest) = MANNERS.iter().find_map(|word| label.strip_prefix(word)) {
        label = rest;
    }
    let mut node = PlanNode::default();
    let (kind, target) = match split_outside_quotes(label, " on ") {
        Some((kind, target)) => (kind, Some(target)),
        None => (label, None),
    };
    let kind = match split_outside_quotes(kind, " using ") {
        Some((kind, index)) => {
            node.index = Some(unquoted(index));
            kind
        }
        None => kind,
    };
    let kind = kind.strip_suffix(" Backward").unwrap_or(kind);
    (node.node_type, node.join_type, node.strategy) = kind_of(kind);
    let Some(target) = target else {
        return node;
    };
    if node.node_type == "Bitmap Index Scan" {
        node.index = Some(unquoted(target));
        return node;
    }
    let (name, alias) = match split_outside_quotes(target, " ") {
        Some((name, alias)) => (name, Some(alias)),
        None => (target, None),
    };
    let (schema, name) = match split_outside_quotes(name, ".") {
        Some((schema, name)) => (Some(unquoted(schema)), unquoted(name)),
        None => (None, unquoted(name)),
    };
    node.alias = Some(alias.map_or_else(|| name.clone(), unquoted));
    // these read something that is no relation
    let is_relation = !matches!(
        node.node_type.as_str(),
        "CTE Scan"
            | "Subquery Scan"
            | "Function Scan"
            | "Table Function Scan"
            | "Values Scan"
            | "WorkTable Scan"
            | "Named Tuplestore Scan"
    );
    if is_relation {
        node.schema = schema;
        node.relation = Some(name);
    }
    node
}

/// Node type, join type and strategy, as the JSON form has them apart.
fn kind_of(kind: &str) -> (String, Option<String>, Option<String>) {
    let strategy = match kind {
        "HashAggregate" => Some("Hashed"),
        "GroupAggregate" => Some("Sorted"),
        "MixedAggregate" => Some("Mixed"),
        "Aggregate" => Some("Plain"),
        _ => None,
    };
    if let Some(strategy) = strategy {
        return ("Aggregate".to_owned(), None, Some(strategy.to_owned()));
    }
    for (start, name) in [
        ("Nested Loop", "Nested Loop"),
        ("Hash", "Hash Join"),
        ("Merge", "Merge Join"),
    ] {
        let Some(rest) = kind.strip_prefix(start) else {
            continue;
        };
        if rest.is_empty() && start == "Nested Loop" || rest == " Join" {
            return (name.to_owned(), Some("Inner".to_owned()), None);
        }
        if let Some(join) = rest.strip_prefix(' ').and_then(|r| r.strip_suffix(" Join")) {
            return (name.to_owned(), Some(join.to_owned()), None);
        }
    }
    (kind.to_owned(), None, None)
}

/// Splits at the first `separator` that stands in no quoted name.
fn split_outside_quotes<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let mut is_quoted = false;
    for (at, c) in text.char_indices() {
        if c == '"' {
            is_quoted = !is_quoted;
        }
        if !is_quoted && text[at..].starts_with(separator) {
            return Some((&text[..at], &text[at + separator.len()..]));
        }
    }
    None
}

/// A name as EXPLAIN writes it, without its quotes.
#[must_use]
pub fn unquoted(name: &str) -> String {
    let inner = name.strip_prefix('"').and_then(|n| n.strip_suffix('"'));
    inner.map_or_else(|| name.to_owned(), |inner| inner.replace("\"\"", "\""))
}
