//! What makes a plan slow, for people.

use serde::Deserialize;
use serde_json::Value;

use super::output::plain;
use crate::{finding::figures, rules::review::NodeShare};

/// Nodes named where the time goes.
const MAX_NODES: usize = 5;

/// Problems told; the JSON form has all.
const MAX_PROBLEMS: usize = 7;

/// The part of the answer about one plan that stands below its tree.
pub(super) fn terminal(plan: &Value) -> String {
    let mut text = String::new();
    let was_run = was_run(plan);
    let of_what = if was_run { "time" } else { "cost" };
    if let Some(ms) = plan["execution_ms"].as_f64() {
        let planning = plan["planning_ms"].as_f64().unwrap_or_default();
        text.push_str(&format!(
            "  ran {}, planned {}\n",
            figures::milliseconds(ms),
            figures::milliseconds(planning)
        ));
    }
    if let Ok(nodes) = Vec::<NodeShare>::deserialize(&plan["where_it_goes"]) {
        text.push_str(&format!("  where the {of_what} goes\n"));
        for node in nodes.iter().take(MAX_NODES) {
            text.push_str(&format!("    {}\n", plain(&node.in_words())));
        }
    }
    let problems = plan["problems"].as_array();
    let problems = problems.map(Vec::as_slice).unwrap_or_default();
    if problems.is_empty() {
        let nothing = match (was_run, plan.get("where_it_goes").is_some()) {
            (true, _) => "  no problem found that takes 5 % of the time\n",
            (false, true) => {
                "  no problem found in the estimates; EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) tells what really happens\n"
            }
            (false, false) => "",
        };
        text.push_str(nothing);
        return text;
    }
    for (n, problem) in problems.iter().take(MAX_PROBLEMS).enumerate() {
        let word = |key: &str| plain(problem[key].as_str().unwrap_or_default());
        let share = figures::share(problem["share"].as_f64().unwrap_or_default());
        text.push_str(&format!(
            "  {}. {}, {share} of the {of_what}: {}\n     {}\n",
            n + 1,
            word("node"),
            word("message"),
            word("hint"),
        ));
    }
    if problems.len() > MAX_PROBLEMS {
        text.push_str(&format!(
            "  and {} more (--format json)\n",
            problems.len() - MAX_PROBLEMS
        ));
    }
    text
}

fn was_run(plan: &Value) -> bool {
    let nodes = plan["where_it_goes"].as_array();
    let is_measured = nodes.is_some_and(|nodes| nodes.iter().any(|node| node["rows"].is_number()));
    let explained = &plan["explain"];
    let root = explained.get(0).unwrap_or(explained);
    is_measured || root["Plan"]["Actual Loops"].is_number()
}
