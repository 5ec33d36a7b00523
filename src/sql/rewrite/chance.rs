//! What keeps a statement from being rewritten wherever it stands: locks, writes inside WITH, functions that may be volatile.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, ObjectName, Query, SetExpr, Statement, TableFactor, Visit, Visitor};

use super::Refusal;
use crate::sql::shape::dotted;

/// Functions that are built in and not volatile, or volatile without harm to a row of an INSERT of their own.
/// From `pg_proc` of PostgreSQL 18 (`provolatile <> 'v'`), as far as applications use them.
const HARMLESS: &[&str] = &[
    "abs",
    "age",
    "any_value",
    "array_agg",
    "array_append",
    "array_cat",
    "array_length",
    "array_position",
    "array_remove",
    "array_to_json",
    "array_to_string",
    "avg",
    "bit_and",
    "bit_length",
    "bit_or",
    "bool_and",
    "bool_or",
    "btrim",
    "cardinality",
    "ceil",
    "ceiling",
    "char_length",
    "character_length",
    "chr",
    "coalesce",
    "concat",
    "concat_ws",
    "convert_from",
    "convert_to",
    "count",
    "cume_dist",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_setting",
    "current_time",
    "current_timestamp",
    "current_user",
    "date",
    "date_bin",
    "date_part",
    "date_trunc",
    "decode",
    "dense_rank",
    "div",
    "encode",
    "every",
    "exp",
    "extract",
    "first_value",
    "floor",
    "format",
    "generate_series",
    "generate_subscripts",
    "greatest",
    "initcap",
    "isfinite",
    "json_agg",
    "json_array_elements",
    "json_array_elements_text",
    "json_array_length",
    "json_build_array",
    "json_build_object",
    "json_each",
    "json_each_text",
    "json_extract_path",
    "json_extract_path_text",
    "json_object_agg",
    "json_object_keys",
    "json_strip_nulls",
    "json_typeof",
    "jsonb_agg",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_array_length",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_extract_path",
    "jsonb_extract_path_text",
    "jsonb_object_agg",
    "jsonb_object_keys",
    "jsonb_path_exists",
    "jsonb_path_query",
    "jsonb_pretty",
    "jsonb_set",
    "jsonb_strip_nulls",
    "jsonb_typeof",
    "justify_days",
    "justify_hours",
    "justify_interval",
    "lag",
    "last_value",
    "lead",
    "least",
    "left",
    "length",
    "ln",
    "localtime",
    "localtimestamp",
    "log",
    "lower",
    "lpad",
    "ltrim",
    "make_date",
    "make_interval",
    "make_time",
    "make_timestamp",
    "make_timestamptz",
    "max",
    "md5",
    "min",
    "mod",
    "mode",
    "now",
    "nth_value",
    "ntile",
    "nullif",
    "num_nonnulls",
    "num_nulls",
    "octet_length",
    "overlay",
    "percent_rank",
    "percentile_cont",
    "percentile_disc",
    "phraseto_tsquery",
    "plainto_tsquery",
    "position",
    "pow",
    "power",
    "quote_ident",
    "quote_literal",
    "range_agg",
    "rank",
    "regexp_match",
    "regexp_matches",
    "regexp_replace",
    "regexp_split_to_array",
    "regexp_split_to_table",
    "repeat",
    "replace",
    "reverse",
    "right",
    "round",
    "row",
    "row_number",
    "row_to_json",
    "rpad",
    "rtrim",
    "session_user",
    "sha256",
    "sign",
    "similarity",
    "split_part",
    "sqrt",
    "statement_timestamp",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "string_to_array",
    "strpos",
    "substr",
    "substring",
    "sum",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "transaction_timestamp",
    "translate",
    "trim",
    "trunc",
    "ts_headline",
    "ts_rank",
    "ts_rank_cd",
    "unaccent",
    "unnest",
    "upper",
    "user",
    "var_pop",
    "var_samp",
    "variance",
    "websearch_to_tsquery",
    "width_bucket",
    "word_similarity",
];

/// Volatile functions that give each row of an INSERT a value of its own, in a loop as in one statement.
const FRESH: &[&str] = &[
    "clock_timestamp",
    "gen_random_uuid",
    "nextval",
    "uuid_generate_v4",
    "uuidv4",
    "uuidv7",
];

/// Says no where the statement holds something that a batch would change.
pub(super) fn check(statement: &Statement) -> Result<(), Refusal> {
    let mut check = Check {
        in_insert: matches!(statement, Statement::Insert(_)),
        refusal: None,
    };
    let _ = statement.visit(&mut check);
    check.refusal.map_or(Ok(()), Err)
}

struct Check {
    in_insert: bool,
    refusal: Option<Refusal>,
}

impl Check {
    fn function(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let name = dotted(name);
        let plain = name.strip_prefix("pg_catalog.").unwrap_or(&name);
        let known =
            HARMLESS.binary_search(&plain).is_ok() || self.in_insert && FRESH.contains(&plain);
        if known {
            ControlFlow::Continue(())
        } else {
            self.refuse(Refusal::Function(name.clone()))
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> ControlFlow<()> {
        self.refusal = Some(refusal);
        ControlFlow::Break(())
    }
}

impl Visitor for Check {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if !query.locks.is_empty() {
            return self.refuse(Refusal::Locks);
        }
        let writes = |query: &Query| {
            matches!(
                query.body.as_ref(),
                SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
            )
        };
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        if tables.into_iter().any(|cte| writes(&cte.query)) {
            return self.refuse(Refusal::WritingWith);
        }
        if query.fetch.as_ref().is_some_and(|fetch| fetch.percent) {
            return self.refuse(Refusal::Form("FETCH PERCENT"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => self.function(&function.name),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Function { name, .. }
            | TableFactor::Table {
                name,
                args: Some(_),
                ..
            } => self.function(name),
            TableFactor::Table {
                sample: Some(_), ..
            } => self.refuse(Refusal::Form("TABLESAMPLE")),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        assert!(
            HARMLESS.is_sorted(),
            "{:?}",
            HARMLESS.windows(2).find(|pair| pair[0] > pair[1])
        );
        assert!(FRESH.is_sorted());
    }
}
