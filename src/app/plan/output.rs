//! Plans for people.

use serde_json::Value;

use super::{Answer, problems};
use crate::{finding::figures::bytes, report::escape};

/// Cost ratio below which a changed cost is not worth a line of its own, as the planner itself calls paths equal within 1 % (`STD_FUZZ_FACTOR`).
const SAME_COST: f64 = 1.01;

/// Parts of a node that say which rows it takes.
const CONDITIONS: [&str; 6] = [
    "Index Cond",
    "Recheck Cond",
    "Filter",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
];

pub(super) fn terminal(answer: &Answer) -> String {
    let mut text = String::new();
    if let Some(preview) = &answer.preview {
        text.push_str(&preview.words());
        text.push('\n');
    }
    let labels = answer.preview.as_ref().map_or_else(
        || ["before".to_owned(), "after".to_owned()],
        |preview| [preview.captured, preview.planned_by].map(|major| format!("in {major}")),
    );
    for index in &answer.added {
        let height = match index.height {
            0 => String::new(),
            n => format!(", {} levels", n + 1),
        };
        text.push_str(&format!(
            "{} on {}: about {}{height}\n",
            plain(&index.name),
            plain(&index.table.to_string()),
            bytes(index.n_bytes)
        ));
    }
    if !answer.added.is_empty() {
        text.push('\n');
    }
    let (mut n_changed, mut n_compared) = (0, 0);
    for plan in &answer.plans {
        if let Some(sql) = plan["sql"].as_str() {
            text.push_str(&format!("{}\n", plain(sql)));
        }
        if let Some(error) = plan.get("error") {
            text.push_str(&format!(
                "  {}\n\n",
                plain(error.as_str().unwrap_or_default())
            ));
            continue;
        }
        let root = &plan["explain"][0]["Plan"];
        let compared = plan
            .get("before")
            .map(|before| change(&before[0]["Plan"], root, &labels));
        let mut is_worth_showing = true;
        if let Some((is_changed, words)) = compared {
            n_compared += 1;
            n_changed += usize::from(is_changed);
            is_worth_showing = is_changed;
            text.push_str(&format!("  {words}\n"));
            let old = &plan["before"][0]["Plan"];
            if is_changed && old.is_object() {
                text.push_str(&format!("  {}:\n", labels[0]));
                node(old, 2, &mut text);
                text.push_str(&format!("  {}:\n", labels[1]));
                node(root, 2, &mut text);
                is_worth_showing = false;
            }
        }
        // whoever has the plan in a file has its tree
        let is_from_file = plan.get("where_it_goes").is_some();
        if is_worth_showing && !is_from_file {
            node(root, 1, &mut text);
        }
        text.push_str(&problems::terminal(plan));
        text.push('\n');
    }
    if n_compared > 0 {
        text.push_str(&format!("{n_changed} of {n_compared} plans change\n"));
    }
    text
}

/// Does the plan change, and in words.
fn change(before: &Value, after: &Value, labels: &[String; 2]) -> (bool, String) {
    let (Some(old), Some(new)) = (before["Total Cost"].as_f64(), after["Total Cost"].as_f64())
    else {
        return (true, format!("could not be planned {}", labels[0]));
    };
    let is_changed = shape(before) != shape(after);
    let what = if is_changed {
        "plan changes"
    } else {
        "same plan"
    };
    let (low, high) = (old.min(new).max(0.01), old.max(new).max(0.01));
    let words = if high / low < SAME_COST {
        format!("{what}, cost {new:.2}")
    } else {
        let direction = if new < old { "less" } else { "more" };
        format!(
            "{what}, cost {old:.2} {}, {new:.2} {}: {:.1} times {direction}",
            labels[0],
            labels[1],
            high / low
        )
    };
    (is_changed, words)
}

/// Node types, relations and indexes, in order.
fn shape(plan: &Value) -> Vec<[&str; 4]> {
    let mut nodes = vec![
        ["Node Type", "Relation Name", "Index Name", "Join Type"]
            .map(|key| plan[key].as_str().unwrap_or_default()),
    ];
    for child in plan["Plans"].as_array().into_iter().flatten() {
        nodes.extend(shape(child));
    }
    nodes
}

fn node(plan: &Value, depth: usize, text: &mut String) {
    let word = |key: &str| plan.get(key).and_then(Value::as_str).map(plain);
    let mut line = word("Node Type").unwrap_or_else(|| "?".to_owned());
    if let Some(index) = word("Index Name") {
        line.push_str(&format!(" using {index}"));
    }
    if let Some(relation) = word("Relation Name") {
        line.push_str(&format!(" on {relation}"));
    }
    let number = |key: &str| plan.get(key).and_then(Value::as_f64).unwrap_or_default();
    let indent = "  ".repeat(depth);
    text.push_str(&format!(
        "{indent}{line}  (cost={:.2}..{:.2} rows={} width={})\n",
        number("Startup Cost"),
        number("Total Cost"),
        number("Plan Rows"),
        number("Plan Width")
    ));
    for key in CONDITIONS {
        if let Some(condition) = word(key) {
            text.push_str(&format!("{indent}  {key}: {condition}\n"));
        }
    }
    for child in plan
        .get("Plans")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        node(child, depth + 1, text);
    }
}

/// Names and conditions are text of the captured database.
pub(super) fn plain(text: &str) -> String {
    escape::terminal_line(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_in_words() {
        let scan = json!({ "Node Type": "Seq Scan", "Relation Name": "t", "Total Cost": 1000.0 });
        let labels = ["before", "after"].map(str::to_owned);
        let change = |before: &Value, after: &Value| change(before, after, &labels);
        let index = json!({ "Node Type": "Index Scan", "Relation Name": "t", "Index Name": "i", "Total Cost": 10.0 });
        assert_eq!(
            change(&scan, &index),
            (
                true,
                "plan changes, cost 1000.00 before, 10.00 after: 100.0 times less".to_owned()
            )
        );
        assert_eq!(
            change(&scan, &scan),
            (false, "same plan, cost 1000.00".to_owned())
        );
        assert!(change(&Value::Null, &scan).0);
    }
}
