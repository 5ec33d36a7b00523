//! `EXPLAIN (FORMAT XML)` as the JSON that the same plan would be: its tags are JSON's keys with hyphens for what no tag may hold.

use serde_json::{Map, Value};

use super::parse::{PlanError, scalar};

/// Elements whose children are a list, not properties. Lists of plain values have `Item` children instead.
const LISTS: [&str; 4] = ["Plans", "Workers", "Triggers", "Group-Sets"];

/// Reads the element that holds the plan: `Query` of EXPLAIN, `explain` of `auto_explain`.
pub(super) fn value(text: &str, max_depth: usize) -> Result<Value, PlanError> {
    let mut reader = Reader {
        rest: text,
        max_depth,
    };
    let mut document = reader.content("", 0)?;
    for wrapper in ["explain", "Query"] {
        if let Some(inside) = document.get_mut(wrapper) {
            document = inside.take();
        }
    }
    Ok(document)
}

struct Reader<'a> {
    rest: &'a str,
    max_depth: usize,
}

impl<'a> Reader<'a> {
    /// What stands between an element's tags; its end tag is taken too. A text that breaks off ends all elements.
    fn content(&mut self, name: &str, depth: usize) -> Result<Value, PlanError> {
        if depth > self.max_depth {
            return Err(PlanError::TooDeep);
        }
        let mut text = "";
        let mut children: Vec<(&str, Value)> = Vec::new();
        while let Some((before, tag)) = self.tag() {
            if children.is_empty() {
                text = before;
            }
            if tag.starts_with('/') {
                break;
            }
            if tag.starts_with(['?', '!']) {
                continue;
            }
            let child = tag.split_ascii_whitespace().next().unwrap_or_default();
            let content = match child.strip_suffix('/').or_else(|| tag.strip_suffix('/')) {
                Some(_) => Value::Null,
                None => self.content(child, depth + 1)?,
            };
            children.push((child.trim_end_matches('/'), content));
        }
        Ok(match children.as_slice() {
            [] if LISTS.contains(&name) => Value::Array(Vec::new()),
            [] => plain(text),
            [("Item", _), ..] => list(children),
            _ if LISTS.contains(&name) => list(children),
            _ => {
                let properties = children.into_iter().map(|(tag, value)| (key(tag), value));
                Value::Object(properties.collect::<Map<_, _>>())
            }
        })
    }

    /// The next tag without its brackets, and the text ahead of it.
    fn tag(&mut self) -> Option<(&'a str, &'a str)> {
        let start = self.rest.find('<')?;
        let end = start + self.rest[start..].find('>')?;
        let found = (&self.rest[..start], &self.rest[start + 1..end]);
        self.rest = &self.rest[end + 1..];
        Some(found)
    }
}

fn list(children: Vec<(&str, Value)>) -> Value {
    Value::Array(children.into_iter().map(|(_, value)| value).collect())
}

/// JSON's key of a tag: `Node Type` of `Node-Type`, `I/O Read Time` of `I-O-Read-Time`.
fn key(tag: &str) -> String {
    let words = tag.replace('-', " ");
    if let Some(rest) = words.strip_prefix("I O ") {
        return format!("I/O {rest}");
    }
    words.replace(" I O ", " I/O ")
}

/// A value: a number, a truth value or a text.
fn plain(text: &str) -> Value {
    match scalar(text.trim()) {
        Value::String(_) => Value::String(unescaped(text)),
        value => value,
    }
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let entity = rest.find(';').map(|end| &rest[1..end]);
        let read = match entity {
            Some("lt") => Some('<'),
            Some("gt") => Some('>'),
            Some("amp") => Some('&'),
            Some("quot") => Some('"'),
            Some("apos") => Some('\''),
            Some(number) => character(number),
            None => None,
        };
        if let (Some(char), Some(entity)) = (read, entity) {
            out.push(char);
            rest = &rest[entity.len() + 2..];
        } else {
            out.push('&');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// The character of `#x0d` or `#13`.
fn character(entity: &str) -> Option<char> {
    let number = entity.strip_prefix('#')?;
    let code = match number.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    char::from_u32(code.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_keys_and_items_are_lists() {
        let text = "<explain xmlns=\"x\">\n <Query>\n  <Plan>\n   <Node-Type>Sort</Node-Type>\n   <I-O-Read-Time>0.5</I-O-Read-Time>\n   \
            <Sort-Key>\n    <Item>a &lt; b</Item>\n   </Sort-Key>\n   <Plans>\n    <Plan>\n     <Alias>1</Alias>\n     <Parallel-Aware>false</Parallel-Aware>\n    </Plan>\n   \
            </Plans>\n  </Plan>\n  <Triggers>\n  </Triggers>\n </Query>\n</explain>";
        let expected = serde_json::json!({
            "Plan": {
                "Node Type": "Sort", "I/O Read Time": 0.5, "Sort Key": ["a < b"],
                "Plans": [{ "Alias": 1, "Parallel Aware": false }]
            },
            "Triggers": []
        });
        assert_eq!(value(text, 10).unwrap(), expected);
    }

    #[test]
    fn what_breaks_off_or_is_odd_does_no_harm() {
        for text in [
            "",
            "<",
            "<a",
            "<a>",
            "<a><b/>",
            "</a></b>",
            "&#x110000;&;&",
            "<a>&#x41;&lt",
        ] {
            value(text, 10).unwrap();
        }
        assert!(matches!(
            value(&"<a>".repeat(100), 10),
            Err(PlanError::TooDeep)
        ));
    }
}
