//! Values of the workload in proposed indexes: a status is schema and may be printed, a customer's name may not.

use super::Audit;
use crate::{
    catalog::{IndexDef, KeyTarget, Relation},
    finding::{ChangeAction, Finding, IndexChange},
    sql::{Lexer, Token, TokenKind},
};

/// Operators behind which a literal is a path into a document or one of its keys: schema, not data.
const PATH_OPERATORS: [&[u8]; 7] = [b"->", b"->>", b"#>", b"#>>", b"?", b"?|", b"?&"];

/// Marks a finding's remedy as withheld when a proposed index holds a value that is no plain category, unless the user wants to see values.
/// Indexes that exist are schema as a whole.
pub(super) fn withhold(finding: &mut Finding, audit: &Audit<'_>) {
    if audit.settings.show_literals {
        return;
    }
    let holds_value = |change: &IndexChange| {
        let relation = audit
            .snapshot
            .catalog
            .as_ref()
            .and_then(|catalog| catalog.relation(&change.def.table));
        change.action == ChangeAction::Create
            && texts(&change.def).any(|sql| holds_value(sql, relation))
    };
    if finding.remedy.changes.iter().any(holds_value) {
        finding.remedy.withheld = true;
    }
}

fn texts(def: &IndexDef) -> impl Iterator<Item = &str> {
    let expressions = def.keys.iter().filter_map(|key| match &key.target {
        KeyTarget::Expression(text) => Some(text.as_str()),
        KeyTarget::Column(_) => None,
    });
    expressions.chain(def.predicate.as_deref())
}

/// Does a literal that something is compared with stand beside a column that is no category?
fn holds_value(sql: &str, relation: Option<&Relation>) -> bool {
    let bytes = sql.as_bytes();
    let mut column_is_category = false;
    let mut compares = false;
    for Token { kind, start, end } in Lexer::new(bytes) {
        let text = &bytes[start..end];
        match kind {
            TokenKind::Operator => compares = !PATH_OPERATORS.contains(&text),
            TokenKind::String | TokenKind::Number if compares && !column_is_category => {
                return true;
            }
            TokenKind::Word | TokenKind::QuotedIdentifier => match word(text, relation) {
                Word::Column { is_category } => {
                    (column_is_category, compares) = (is_category, false);
                }
                Word::Comparison => compares = true,
                Word::Other => {}
            },
            _ => {}
        }
    }
    false
}

enum Word {
    Column { is_category: bool },
    Comparison,
    Other,
}

fn word(text: &[u8], relation: Option<&Relation>) -> Word {
    let text = String::from_utf8_lossy(text);
    let name = text.trim_matches('"').replace("\"\"", "\"");
    if let Some(column) = relation.and_then(|relation| relation.column(&name)) {
        return Word::Column {
            is_category: column.is_category(),
        };
    }
    match text.to_ascii_lowercase().as_str() {
        "in" | "any" | "all" | "like" | "ilike" | "similar" | "between" => Word::Comparison,
        _ => Word::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Column, ColumnStats};

    fn jobs() -> Relation {
        let column = |name: &str, n_distinct| Column {
            name: name.into(),
            stats: Some(ColumnStats {
                n_distinct,
                ..ColumnStats::default()
            }),
            ..Column::default()
        };
        Relation {
            columns: vec![
                column("status", 5.0),
                column("owner", -0.4),
                column("data", -1.0),
            ],
            ..Relation::default()
        }
    }

    #[test]
    fn categories_and_schema_are_no_values() {
        for sql in [
            "status = 'open'",
            "deleted_at IS NULL",
            "(status)::text = ANY (ARRAY['open'::text, 'new'::text])",
            "(data ->> 'kind')",
            "to_tsvector('english', owner)",
            "substr(owner, 1, 3)",
            "owner IS NOT NULL AND status = 'open'",
        ] {
            assert!(!holds_value(sql, Some(&jobs())), "{sql}");
        }
    }

    #[test]
    fn other_literals_are_values() {
        for sql in [
            "owner = 'alice'",
            "owner = E'a\\'lice'",
            "owner IN ('alice')",
            "status = 'open' AND owner = 'alice'",
            "(data ->> 'name') = 'alice'",
            "owner = 42",
        ] {
            assert!(holds_value(sql, Some(&jobs())), "{sql}");
        }
        assert!(
            holds_value("status = 'open'", None),
            "an unknown relation has no categories"
        );
    }
}
