//! What makes a plan slow, for people.

use serde_json::Value;

use super::output::plain;
use crate::finding::figures;

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
    if let Some(nodes) = plan["where_it_goes"].as_array() {
        text.push_str(&format!("  where the {of_what} goes\n"));
        for node in nodes.iter().take(MAX_NODES) {
            text.push_str(&format!("    {}\n", node_line(node)));
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

/// `74.0 %  Seq Scan on jobs: 100 rows expected, 120 came`
fn node_line(node: &Value) -> String {
    let number = |key: &str| node[key].as_f64();
    let mut line = format!(
        "{:>7}  {}: {} rows expected",
        figures::share(number("share").unwrap_or_default()),
        plain(node["node"].as_str().unwrap_or_default()),
        whole(number("rows_expected").unwrap_or_default())
    );
    if let Some(rows) = number("rows") {
        line.push_str(&format!(", {} came", whole(rows)));
    }
    if let Some(n_loops) = number("n_loops").filter(|n| *n > 1.0) {
        line.push_str(&format!(", {} times", whole(n_loops)));
    }
    line
}

fn whole(rows: f64) -> String {
    figures::count(rows.max(0.0).round() as u64)
}
