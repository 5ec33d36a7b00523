//! `pgassay plan`: the plans of statements, from a twin or from the server itself.

use std::{fs::File, io::Read, path::Path};

use serde_json::{Value, json};

use super::{
    Context, Error, ErrorKind, Outcome, connect, path_text, self_check, snapshot as file, twin,
};
use crate::{
    advise::{PlannedQuery, WhatIfError},
    cli::{PlanArgs, PlanFormat},
    db::LivePlanner,
    sql::{Lexer, TokenKind},
};

/// Largest file of statements, bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Runs the command.
///
/// # Errors
/// When there is nothing to plan with, or nothing to plan.
pub(super) async fn run(args: &PlanArgs, context: &Context) -> Result<Outcome, Error> {
    let statements = statements(args)?;
    let plans = match &args.snapshot {
        Some(path) => of_snapshot(args, path, statements, context).await?,
        None => of_server(args, statements, context).await?,
    };
    match args.format {
        PlanFormat::Json => {
            let document = json!({ "plans": plans });
            let mut text = serde_json::to_vec(&document).unwrap_or_default();
            text.push(b'\n');
            context.print(&text)?;
        }
        PlanFormat::Terminal => context.print(terminal(&plans).as_bytes())?,
    }
    Ok(Outcome::Clean)
}

/// Plans of the server itself, as far as the guard lets statements through.
async fn of_server(
    args: &PlanArgs,
    statements: Vec<String>,
    context: &Context,
) -> Result<Vec<Value>, Error> {
    let audited = connect::connect(&args.server, connect::Naming::Always, context)
        .await?
        .ok_or_else(|| {
            Error::new(ErrorKind::Usage, "no planner to ask")
                .hint("name a snapshot or a server: --snapshot FILE, --database-url URL")
        })?;
    let catalog = audited.catalog().await?;
    let live = LivePlanner::new(audited, &catalog);
    let mut plans = Vec::with_capacity(statements.len());
    for sql in statements {
        let query = PlannedQuery {
            sql,
            search_path: args.search_path.clone(),
        };
        let answer = live.explain_json(&query).await;
        let plan = answer.map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap_or_default());
        plans.push(one(&query.sql, plan)?);
    }
    Ok(plans)
}

async fn of_snapshot(
    args: &PlanArgs,
    path: &Path,
    statements: Vec<String>,
    context: &Context,
) -> Result<Vec<Value>, Error> {
    let snapshot = file::open(path)?;
    let planner = snapshot.planner.ok_or_else(|| {
        Error::new(
            ErrorKind::Input,
            format!("snapshot \"{}\" holds no planner state", path_text(path)),
        )
    })?;
    let source = twin::Source {
        pg_bin: args.pg_bin.as_deref(),
        fetch: args.fetch_server,
        as_major: args.as_major,
    };
    let twin = twin::build(planner, source, context).await?;
    if twin.is_same_major()
        && let Some(checked) = self_check::check(&twin, &snapshot.samples).await
    {
        context.remark(&checked.words());
    }
    for remark in twin::remarks(&twin) {
        context.remark(&remark);
    }
    let mut plans = Vec::with_capacity(statements.len());
    for sql in statements {
        let query = PlannedQuery {
            sql,
            search_path: args.search_path.clone(),
        };
        let plan = twin.explain(&query).await;
        plans.push(one(&query.sql, plan)?);
    }
    Ok(plans)
}

/// A statement's entry in the answer. Only a lost planner ends the run.
fn one(sql: &str, plan: Result<Value, WhatIfError>) -> Result<Value, Error> {
    match plan {
        Ok(plan) => Ok(json!({ "sql": sql, "explain": plan, "problems": [] })),
        Err(WhatIfError::Lost(why)) => {
            Err(Error::new(ErrorKind::Server, "the planner is gone").because(why))
        }
        Err(error) => Ok(json!({ "sql": sql, "error": error.to_string() })),
    }
}

fn statements(args: &PlanArgs) -> Result<Vec<String>, Error> {
    let text = match (&args.query, &args.file) {
        (Some(query), _) => return Ok(vec![query.clone()]),
        (None, Some(path)) => {
            let mut text = String::new();
            let read = if path.as_os_str() == "-" {
                std::io::stdin()
                    .take(MAX_FILE_BYTES)
                    .read_to_string(&mut text)
            } else {
                File::open(path)
                    .and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text))
            };
            read.map_err(|error| {
                Error::new(
                    ErrorKind::Input,
                    format!("cannot read \"{}\"", path_text(path)),
                )
                .because(error)
            })?;
            text
        }
        (None, None) => return Err(Error::new(ErrorKind::Usage, "no statement to plan")),
    };
    Ok(split(&text))
}

/// Statements of a file, at semicolons outside of strings, parentheses notwithstanding.
fn split(text: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut first = None;
    let mut end = 0;
    for token in Lexer::new(text.as_bytes()) {
        if token.kind == TokenKind::Semicolon {
            if let Some(start) = first.take() {
                statements.push(text[start..end].to_owned());
            }
            continue;
        }
        first.get_or_insert(token.start);
        end = token.end;
    }
    if let Some(start) = first {
        statements.push(text[start..end].to_owned());
    }
    statements
}

fn terminal(plans: &[Value]) -> String {
    let mut text = String::new();
    for plan in plans {
        text.push_str(&format!("{}\n", plan["sql"].as_str().unwrap_or_default()));
        match plan.get("error") {
            Some(error) => text.push_str(&format!("  {}\n", error.as_str().unwrap_or_default())),
            None => node(&plan["explain"][0]["Plan"], 1, &mut text),
        }
        text.push('\n');
    }
    text
}

fn node(plan: &Value, depth: usize, text: &mut String) {
    let word = |key: &str| plan.get(key).and_then(Value::as_str);
    let mut line = word("Node Type").unwrap_or("?").to_owned();
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
    for key in [
        "Index Cond",
        "Recheck Cond",
        "Filter",
        "Hash Cond",
        "Merge Cond",
        "Join Filter",
    ] {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_split_at_semicolons_outside_of_strings() {
        assert_eq!(
            split("-- calls: 3\nSELECT ';' ; ;\nSELECT $$a;b$$ -- x;y\n"),
            ["SELECT ';'", "SELECT $$a;b$$"]
        );
    }
}
