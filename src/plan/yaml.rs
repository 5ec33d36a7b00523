//! `EXPLAIN (FORMAT YAML)` as the JSON that the same plan would be. Only what EXPLAIN writes is read: blocks by indentation, texts quoted as JSON's.

use serde_json::{Map, Value};

use super::parse::{PlanError, scalar};

/// Reads the object that holds the plan.
pub(super) fn value(text: &str, max_depth: usize) -> Result<Value, PlanError> {
    let lines: Vec<Line<'_>> = text.lines().filter_map(Line::of).collect();
    let mut reader = Reader {
        lines,
        at: 0,
        max_depth,
    };
    let document = match reader.lines.first() {
        Some(first) => {
            let column = first.column;
            reader.block(column, 0)?
        }
        None => Value::Null,
    };
    Ok(document)
}

/// Whether a text looks like EXPLAIN's YAML: a line that opens the plan, and properties of nodes below it.
pub(super) fn is_likely(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    let opens = |line: &str| matches!(line, "Plan:" | "- Plan:");
    lines.any(opens)
        && lines
            .next()
            .is_some_and(|line| line.starts_with("Node Type: \""))
}

/// A line without its indentation.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    /// Columns of indentation.
    column: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let text = line.trim_start();
        (!text.trim_end().is_empty()).then(|| Self {
            column: line.len() - text.len(),
            text: text.trim_end(),
        })
    }

    fn is_item(self) -> bool {
        self.text.starts_with("- ") || self.text == "-"
    }
}

struct Reader<'a> {
    lines: Vec<Line<'a>>,
    at: usize,
    max_depth: usize,
}

impl<'a> Reader<'a> {
    fn next_in(&self, column: usize) -> Option<Line<'a>> {
        let line = self.lines.get(self.at)?;
        (line.column == column).then_some(*line)
    }

    /// The list or the properties whose lines stand at that column.
    fn block(&mut self, column: usize, depth: usize) -> Result<Value, PlanError> {
        if depth > self.max_depth {
            return Err(PlanError::TooDeep);
        }
        if self.next_in(column).is_some_and(Line::is_item) {
            let mut items = Vec::new();
            while let Some(line) = self.next_in(column).filter(|line| line.is_item()) {
                let text = line.text[1..].trim_start();
                let inner = column + line.text.len() - text.len();
                if property(text).is_some() {
                    // the first property stands behind the hyphen, the others below it
                    self.lines[self.at] = Line {
                        column: inner,
                        text,
                    };
                    items.push(self.block(inner, depth + 1)?);
                } else {
                    self.at += 1;
                    items.push(scalar(text));
                }
            }
            return Ok(Value::Array(items));
        }
        let mut properties = Map::new();
        while let Some(line) = self.next_in(column).filter(|line| !line.is_item()) {
            self.at += 1;
            let Some((key, text)) = property(line.text) else {
                continue;
            };
            let value = match self.lines.get(self.at) {
                Some(next) if text.is_empty() && is_below(*next, column) => {
                    let inner = next.column;
                    self.block(inner, depth + 1)?
                }
                _ if text.is_empty() => Value::Array(Vec::new()),
                _ => scalar(text),
            };
            properties.insert(key.to_owned(), value);
            self.skip_below(column);
        }
        Ok(Value::Object(properties))
    }

    /// Passes over lines that belong to nothing.
    fn skip_below(&mut self, column: usize) {
        while self
            .lines
            .get(self.at)
            .is_some_and(|line| line.column > column)
        {
            self.at += 1;
        }
    }
}

/// Whether a line belongs to the property ahead of it, which stands at `column`.
fn is_below(line: Line<'_>, column: usize) -> bool {
    line.column > column || line.column == column && line.is_item()
}

/// `Node Type: "Sort"`, `Plans:`
fn property(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('"') {
        return None;
    }
    let (key, value) = text.split_once(':')?;
    (value.is_empty() || value.starts_with(' ')).then(|| (key, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_by_indentation() {
        let text = "- Plan: \n    Node Type: \"Sort\"\n    Startup Cost: 0.50\n    Sort Key: \n      - \"a: \\\"b\\\"\"\n    Plans: \n      - Node Type: \"Seq Scan\"\n        \
            Parallel Aware: false\n      - Node Type: \"Hash\"\n  Planning Time: 0.1\n  Triggers: \n";
        let expected = serde_json::json!([{
            "Plan": {
                "Node Type": "Sort", "Startup Cost": 0.5, "Sort Key": ["a: \"b\""],
                "Plans": [{ "Node Type": "Seq Scan", "Parallel Aware": false }, { "Node Type": "Hash" }]
            },
            "Planning Time": 0.1,
            "Triggers": []
        }]);
        assert!(is_likely(text));
        assert_eq!(value(text, 10).unwrap(), expected);
        assert!(!is_likely(
            "Query Text: select 'x\nPlan:\n'\nSeq Scan on t  (cost=0.00..1.00 rows=1 width=4)"
        ));
    }

    #[test]
    fn what_is_odd_does_no_harm() {
        for text in [
            "",
            "-",
            "- ",
            "- - - a: b",
            "a:\n      b: c\n   d: e\n",
            "a: \"\nb:",
            "x\ny",
            ":",
        ] {
            value(text, 10).unwrap();
        }
        let lines: Vec<String> = (0..100).map(|n| format!("{}a:", " ".repeat(n))).collect();
        let deep = lines.join("\n");
        assert!(matches!(value(&deep, 10), Err(PlanError::TooDeep)));
    }
}
