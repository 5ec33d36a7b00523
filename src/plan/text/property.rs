//! The lines below a node: conditions, rows thrown away, memory, blocks.

use super::PlanNode;

/// Takes one property into its node; what nobody asks for is passed over.
pub(super) fn read(text: &str, node: &mut PlanNode) {
    let Some((key, value)) = text.split_once(": ") else {
        // "Worker 0:  Sort Method: …": the label ends with two spaces
        return;
    };
    if key.starts_with("Worker ") {
        return worker(value.trim(), node);
    }
    let value = value.trim();
    match key {
        "Filter" => node.filter = Some(value.to_owned()),
        "Index Cond" => node.index_cond = Some(value.to_owned()),
        "Join Filter" => {
            node.join_filter = Some(value.to_owned());
            node.conditions.push(value.to_owned());
        }
        "Hash Cond" | "Merge Cond" | "Recheck Cond" => node.conditions.push(value.to_owned()),
        "Sort Key" => node.sort_keys = listed(value),
        "Workers Planned" => node.n_workers_planned = leading_number(value).map(|n| n as u64),
        "Workers Launched" => node.n_workers_launched = leading_number(value).map(|n| n as u64),
        "Subplans Removed" => {
            node.n_subplans_removed = leading_number(value).unwrap_or_default() as u64;
        }
        _ => happened(key, value, node),
    }
}

/// What ANALYZE tells.
fn happened(key: &str, value: &str, node: &mut PlanNode) {
    let Some(actual) = node.actual.as_mut() else {
        return;
    };
    let number = leading_number(value).unwrap_or_default();
    let of = |key: &str| number_after(value, key).unwrap_or_default();
    match key {
        "Rows Removed by Filter" => actual.removed_by_filter = number,
        "Rows Removed by Join Filter" => actual.removed_by_join_filter = number,
        "Rows Removed by Index Recheck" => actual.removed_by_recheck = number,
        "Heap Fetches" => actual.heap_fetches = number,
        "Heap Blocks" => {
            actual.exact_heap_blocks = of("exact=");
            actual.lossy_heap_blocks = of("lossy=");
        }
        "Sort Method" => actual.sort_disk_kb = number_after(value, "Disk: "),
        "Buckets" => {
            actual.n_batches = of("Batches: ");
            let first = value.split_once("Batches: ").map_or("", |(_, rest)| rest);
            let first = first.split("Memory").next().unwrap_or_default();
            actual.n_original_batches =
                number_after(first, "(originally ").unwrap_or(actual.n_batches);
        }
        "Batches" => {
            actual.n_batches = number;
            actual.disk_kb = of("Disk Usage: ");
        }
        "Buffers" => {
            let part = |name: &str| {
                let parts = value.split(", ");
                parts
                    .map(str::trim)
                    .find(|part| part.starts_with(name))
                    .unwrap_or_default()
                    .to_owned()
            };
            let shared = part("shared");
            actual.shared_hit_blocks = number_after(&shared, "hit=").unwrap_or_default();
            actual.shared_read_blocks = number_after(&shared, "read=").unwrap_or_default();
            actual.temp_written_blocks =
                number_after(&part("temp"), "written=").unwrap_or_default();
        }
        "I/O Timings" => {
            // "read=1.2" before 15, "shared/local read=1.2" and "shared read=1.2" since; temporary files stand behind a comma
            let shared = value.split(", ").find(|part| !part.starts_with("temp"));
            actual.read_ms = shared.and_then(|part| number_after(part, "read="));
        }
        _ => {}
    }
}

/// A parallel worker's own sort.
fn worker(value: &str, node: &mut PlanNode) {
    let disk = value
        .strip_prefix("Sort Method:")
        .and_then(|method| number_after(method, "Disk: "));
    if let (Some(kb), Some(actual)) = (disk, node.actual.as_mut()) {
        let most = actual.sort_disk_kb.get_or_insert(0.0);
        *most = most.max(kb);
    }
}

/// The parts of a list, at commas outside of parentheses and quotes.
fn listed(value: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let (mut depth, mut quote, mut start) = (0_u32, None, 0);
    for (at, c) in value.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(value[start..at].trim().to_owned());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(value[start..].trim().to_owned());
    parts
}

/// The number that `text` begins with.
pub(super) fn leading_number(text: &str) -> Option<f64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

/// The number behind the first `key`.
pub(super) fn number_after(text: &str, key: &str) -> Option<f64> {
    text.split_once(key)
        .and_then(|(_, rest)| leading_number(rest))
}
