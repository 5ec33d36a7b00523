//! Reads what EXPLAIN answers: JSON here; XML and YAML as the JSON that they stand for, text line by line, in files of their own.

use serde_json::Value;

use super::{Actual, Cost, Plan, PlanNode, TriggerTime, text as lines, xml, yaml};

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
    /// Text without a line that names a node and its cost.
    #[error("no line such as \"Seq Scan on t  (cost=0.00..1.00 rows=1 width=4)\"")]
    NoNode,
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

    /// Parses what EXPLAIN wrote in any form: JSON, XML or YAML where the text looks like it, else lines. psql's frame around them may be there.
    ///
    /// # Errors
    /// As [`Self::from_json`]; text without a node's line too.
    pub fn from_text(text: &str) -> Result<Self, PlanError> {
        match document(text)? {
            Some(value) => Self::from_value(&value),
            None => lines::parse(text.trim_start_matches('\u{feff}'), MAX_DEPTH),
        }
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
            jit_ms: object.pointer("/JIT/Timing/Total").and_then(|total| {
                // 17 splits it into parts and keeps the sum beside them
                total.as_f64().or_else(|| number(total, "Total"))
            }),
            triggers: triggers(object),
        })
    }
}

/// EXPLAIN's answer as JSON, from each of its formats but text, also within psql's frame; `None` when it is in none of them.
///
/// # Errors
/// When it is not what it begins like, or nested absurdly deep.
pub fn document(text: &str) -> Result<Option<Value>, PlanError> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with(['[', '{']) {
        return Ok(Some(serde_json::from_str(text.trim())?));
    }
    if let Some(json) = unframed(text, |line| matches!(line, "[" | "{")) {
        return Ok(Some(serde_json::from_str(&json)?));
    }
    if let Some(xml) = unframed(text, |line| line.starts_with("<explain")) {
        return xml::value(&xml, MAX_DEPTH).map(Some);
    }
    let is_yaml =
        |line: &str| matches!(line, "- Plan:" | "Plan:") || line.starts_with("Query Text: \"");
    let yaml = unframed(text, is_yaml).filter(|yaml| yaml::is_likely(yaml));
    // a node and the list that it stands in are two levels
    yaml.map(|yaml| yaml::value(&yaml, 2 * MAX_DEPTH))
        .transpose()
}

/// The lines from the first that `opens` an answer on, out of psql's frame: a title, a rule, `+` where a value goes on, and a count of rows.
fn unframed(text: &str, opens: impl Fn(&str) -> bool) -> Option<String> {
    let first = text
        .lines()
        .position(|line| opens(line.trim_end().trim_end_matches('+').trim()))?;
    let is_title = |line: &str| {
        line.contains("QUERY PLAN")
            || line.trim().is_empty()
            || line.trim_matches(['-', '+', ' ']).is_empty()
    };
    if !text.lines().take(first).all(is_title) {
        return None;
    }
    let body = text.lines().skip(first).map(str::trim_end);
    let kept: Vec<&str> = body
        .take_while(|line| !(line.starts_with('(') && line.ends_with(')')))
        .map(|line| line.strip_suffix('+').unwrap_or(line))
        .collect();
    Some(kept.join("\n"))
}

/// A value of XML or YAML: quoted as JSON has it, a number, a truth value, else a text.
pub(super) fn scalar(text: &str) -> Value {
    let is_json = text.starts_with(['"', '-']) || text.starts_with(|c: char| c.is_ascii_digit());
    let read = match text {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ if is_json => serde_json::from_str(text).ok(),
        _ => None,
    };
    read.unwrap_or_else(|| Value::String(text.to_owned()))
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
        actual: actual(value),
        filter: text(value, "Filter"),
        index_cond: text(value, "Index Cond"),
        join_filter: text(value, "Join Filter"),
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
        join_type: text(value, "Join Type"),
        strategy: text(value, "Strategy"),
        parent_relationship: text(value, "Parent Relationship"),
        subplan_name: text(value, "Subplan Name"),
        n_subplans_removed: number(value, "Subplans Removed").unwrap_or_default() as u64,
        n_workers_planned: number(value, "Workers Planned").map(|n| n as u64),
        n_workers_launched: number(value, "Workers Launched").map(|n| n as u64),
        children: children
            .iter()
            .map(|child| node(child, depth + 1))
            .collect::<Result<_, _>>()?,
    })
}

fn actual(value: &Value) -> Option<Actual> {
    let n_loops = number(value, "Actual Loops")?;
    let of = |key: &str| number(value, key).unwrap_or_default();
    let workers = value.get("Workers").and_then(Value::as_array);
    let processes = std::iter::once(value).chain(workers.into_iter().flatten());
    Some(Actual {
        rows: of("Actual Rows"),
        total_ms: number(value, "Actual Total Time"),
        n_loops,
        removed_by_filter: of("Rows Removed by Filter"),
        removed_by_join_filter: of("Rows Removed by Join Filter"),
        removed_by_recheck: of("Rows Removed by Index Recheck"),
        heap_fetches: of("Heap Fetches"),
        exact_heap_blocks: of("Exact Heap Blocks"),
        lossy_heap_blocks: of("Lossy Heap Blocks"),
        sort_disk_kb: processes.filter_map(sort_disk_kb).reduce(f64::max),
        n_batches: of("Hash Batches").max(of("HashAgg Batches")),
        n_original_batches: of("Original Hash Batches"),
        disk_kb: of("Disk Usage"),
        temp_written_blocks: of("Temp Written Blocks"),
        shared_hit_blocks: of("Shared Hit Blocks"),
        shared_read_blocks: of("Shared Read Blocks"),
        read_ms: number(value, "I/O Read Time").or_else(|| number(value, "Shared I/O Read Time")),
    })
}

/// What one process's sort wrote to disk.
fn sort_disk_kb(process: &Value) -> Option<f64> {
    let is_on_disk = text(process, "Sort Space Type").is_some_and(|kind| kind == "Disk");
    number(process, "Sort Space Used").filter(|_| is_on_disk)
}

fn triggers(value: &Value) -> Vec<TriggerTime> {
    let fired = value.get("Triggers").and_then(Value::as_array);
    fired
        .into_iter()
        .flatten()
        .map(|trigger| {
            let constraint = text(trigger, "Constraint Name");
            TriggerTime {
                of_constraint: constraint.is_some(),
                name: constraint
                    .or_else(|| text(trigger, "Trigger Name"))
                    .unwrap_or_default(),
                relation: text(trigger, "Relation"),
                ms: number(trigger, "Time").unwrap_or_default(),
                n_calls: number(trigger, "Calls").unwrap_or_default(),
            }
        })
        .collect()
}

/// A text; XML does not tell a table named `1` from a number.
fn text(value: &Value, key: &str) -> Option<String> {
    match value.get(key)? {
        Value::String(text) => Some(text.clone()),
        plain @ (Value::Number(_) | Value::Bool(_)) => Some(plain.to_string()),
        _ => None,
    }
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
    fn what_auto_explain_writes_in_each_format() {
        for logged in [
            "\nQuery Text: \"select 'x\\n- Plan:'\"\nPlan: \n  Node Type: \"Seq Scan\"\n  Relation Name: \"1\"\n  Total Cost: 2.50\n  Plans: \n    - Node Type: \"Result\"\nTriggers: \n",
            "\n<explain xmlns=\"http://www.postgresql.org/2009/explain\">\n  <Query-Text>select 1 &lt; 2</Query-Text>\n  <Plan>\n    <Node-Type>Seq Scan</Node-Type>\n    \
             <Relation-Name>1</Relation-Name>\n    <Total-Cost>2.50</Total-Cost>\n    <Plans>\n      <Plan>\n        <Node-Type>Result</Node-Type>\n      </Plan>\n    </Plans>\n  </Plan>\n</explain>",
            "\n{\n  \"Query Text\": \"select 1\",\n  \"Plan\": {\"Node Type\": \"Seq Scan\", \"Relation Name\": \"1\", \"Total Cost\": 2.5, \"Plans\": [{\"Node Type\": \"Result\"}]}\n}",
        ] {
            let plan = Plan::from_text(logged).unwrap();
            let types: Vec<&str> = plan.nodes().map(|n| n.node_type.as_str()).collect();
            assert_eq!(types, ["Seq Scan", "Result"], "{logged}");
            assert_eq!(plan.root.relation.as_deref(), Some("1"));
            assert_eq!(plan.total_cost(), Cost(2.5));
        }
    }

    #[test]
    fn refuses_what_is_no_plan() {
        assert!(matches!(Plan::from_json("[]"), Err(PlanError::NoPlan)));
        assert!(matches!(Plan::from_json("{"), Err(PlanError::Json(_))));
    }
}
