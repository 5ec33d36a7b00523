//! `pgassay plan`: the plans of statements, from a twin, from the server itself or from a file, and what makes them slow.

mod output;
mod problems;

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};

use super::{
    Context, Error, ErrorKind, Outcome, connect, path_text, self_check, snapshot as file, text,
    twin,
};
use crate::{
    advise::{PlannedQuery, WhatIfError},
    catalog::planner::PlannerState,
    cli::{PlanArgs, PlanFormat},
    db::LivePlanner,
    plan::{self, Plan},
    rules::review,
    sql::{Lexer, TokenKind, plannable},
    twin::{AddedIndex, Twin},
    workload::{Query, Workload},
};

/// Largest file of statements, bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Runs the command.
///
/// # Errors
/// When there is nothing to plan with, or nothing to plan.
pub(super) async fn run(args: &PlanArgs, context: &Context) -> Result<Outcome, Error> {
    let answer = match (plan_file(args)?, &args.snapshot) {
        (Some(text), _) => Answer {
            plans: vec![of_file(args, &text)?],
            ..Answer::default()
        },
        (None, Some(path)) => of_snapshot(args, path, context).await?,
        (None, None) => Answer {
            plans: of_server(args, statements(args)?, context).await?,
            ..Answer::default()
        },
    };
    match args.format {
        PlanFormat::Json => {
            let mut text = serde_json::to_vec(&answer.document()).unwrap_or_default();
            text.push(b'\n');
            context.print(&text)?;
        }
        PlanFormat::Terminal => context.print(output::terminal(&answer).as_bytes())?,
    }
    Ok(Outcome::Clean)
}

/// Plans, and what was asked for beside them.
#[derive(Debug, Default)]
struct Answer {
    /// One entry a statement: `sql`, and `explain` or `error`; with something to compare, `before` too.
    plans: Vec<Value>,
    added: Vec<AddedIndex>,
    /// By whose planner the plans are, where that is another version than the captured one.
    preview: Option<Preview>,
}

/// Plans of a version that was not captured.
#[derive(Debug)]
struct Preview {
    captured: u16,
    planned_by: u16,
}

impl Preview {
    fn of(captured: u16, twin: &Twin) -> Option<Self> {
        (!twin.is_same_major()).then(|| Self {
            captured,
            planned_by: twin.major(),
        })
    }

    fn words(&self) -> String {
        format!(
            "preview: what PostgreSQL {} was seen with, planned by PostgreSQL {}\n",
            self.captured, self.planned_by
        )
    }
}

impl Answer {
    fn document(&self) -> Value {
        let mut document = json!({ "plans": self.plans });
        if let Some(preview) = &self.preview {
            document["preview"] =
                json!({ "captured": preview.captured, "planned_by": preview.planned_by });
        }
        if !self.added.is_empty() {
            let indexes = self.added.iter().map(|index| {
                json!({ "name": index.name, "table": index.table.to_string(), "definition": index.definition, "size_bytes": index.n_bytes, "height": index.height })
            });
            document["indexes"] = indexes.collect();
        }
        document
    }
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

async fn of_snapshot(args: &PlanArgs, path: &Path, context: &Context) -> Result<Answer, Error> {
    let asked = asked(args)?;
    let snapshot = file::open(path)?;
    let statements = match asked {
        Some(statements) => statements,
        None => captured(&snapshot.workload)?,
    };
    let planner = snapshot.planner.ok_or_else(|| {
        Error::new(
            ErrorKind::Input,
            format!("snapshot \"{}\" holds no planner state", path_text(path)),
        )
    })?;
    let queries: Vec<PlannedQuery> = statements
        .into_iter()
        .map(|sql| PlannedQuery {
            sql,
            search_path: args.search_path.clone(),
        })
        .collect();
    let source = twin::Source {
        pg_bin: args.pg_bin.as_deref(),
        fetch: args.fetch_server,
        as_major: args.as_major,
        n_twins: None,
    };
    source.check(&planner)?;
    let mut before = None;
    if args.as_major.is_some() {
        before = of_own_major(&planner, source, &queries, context).await?;
    }
    let captured_major = u16::try_from(planner.version_num / 10_000).unwrap_or(0);
    let twin = twin::build(planner, source, context).await?;
    if twin.is_same_major()
        && let Some(checked) = self_check::check(&twin, &snapshot.samples).await
    {
        context.remark(&checked.words());
    }
    for remark in twin::remarks(&twin) {
        context.remark(&remark);
    }
    let changes = !(args.index.is_empty() && args.without_index.is_empty() && args.set.is_empty());
    if changes && before.is_none() {
        before = Some(plan_all(&twin, &queries, &[]).await?);
    }
    let mut answer = Answer {
        preview: Preview::of(captured_major, &twin),
        ..Answer::default()
    };
    for ddl in &args.index {
        answer.added.push(add_index(&twin, ddl, args).await?);
    }
    twin.set(&args.set).await;
    let hide = hidden(&twin, args)?;
    answer.plans = plan_all(&twin, &queries, &hide).await?;
    for (plan, before) in answer.plans.iter_mut().zip(before.into_iter().flatten()) {
        plan["before"] = before.get("explain").cloned().unwrap_or_default();
    }
    Ok(answer)
}

/// What a preview is compared with: plans by the version that was captured, where there are binaries of it.
async fn of_own_major(
    planner: &PlannerState,
    source: twin::Source<'_>,
    queries: &[PlannedQuery],
    context: &Context,
) -> Result<Option<Vec<Value>>, Error> {
    let major = u16::try_from(planner.version_num / 10_000).unwrap_or(0);
    let own = twin::Source {
        as_major: Some(major),
        ..source
    };
    if own.exact(major, context).is_err() {
        context.remark(&format!("no server binaries of PostgreSQL {major}: nothing to compare the preview with (--pg-bin DIR, --fetch-server)"));
        return Ok(None);
    }
    let twin = twin::build(planner.clone(), own, context).await?;
    plan_all(&twin, queries, &[]).await.map(Some)
}

async fn plan_all(
    twin: &Twin,
    queries: &[PlannedQuery],
    hide: &[String],
) -> Result<Vec<Value>, Error> {
    let mut plans = Vec::with_capacity(queries.len());
    for query in queries {
        plans.push(one(&query.sql, twin.explain(query, hide).await)?);
    }
    Ok(plans)
}

async fn add_index(twin: &Twin, ddl: &str, args: &PlanArgs) -> Result<AddedIndex, Error> {
    let added = twin.add_index(ddl, &args.search_path).await;
    added.map_err(|error| {
        Error::new(ErrorKind::Usage, format!("cannot add index \"{ddl}\"")).because(error)
    })
}

/// `schema.name` of every index to leave out; a name without a schema stands for all of that name.
fn hidden(twin: &Twin, args: &PlanArgs) -> Result<Vec<String>, Error> {
    let mut hidden = Vec::new();
    for name in &args.without_index {
        let found = twin.indexes_named(name);
        if found.is_empty() {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("no index \"{name}\" in the snapshot"),
            ));
        }
        hidden.extend(found);
    }
    Ok(hidden)
}

/// A statement's entry in the answer. Only a lost planner ends the run.
fn one(sql: &str, plan: Result<Value, WhatIfError>) -> Result<Value, Error> {
    match plan {
        Ok(plan) => {
            let problems =
                Plan::from_value(&plan).map_or_else(|_| Vec::new(), |plan| review::review(&plan));
            Ok(json!({ "sql": sql, "explain": plan, "problems": problems }))
        }
        Err(WhatIfError::Lost(why)) => {
            Err(Error::new(ErrorKind::Server, "the planner is gone").because(why))
        }
        Err(error) => Ok(json!({ "sql": sql, "error": error.to_string() })),
    }
}

/// The text of the file of a plan, where the argument names one: `-`, or a file that is there. Everything else is a statement.
fn plan_file(args: &PlanArgs) -> Result<Option<String>, Error> {
    let Some(name) = &args.query else {
        return Ok(None);
    };
    let path = Path::new(name);
    let is_file = name == "-" || (!name.contains('\n') && path.is_file());
    let looks_like_one = [".json", ".xml", ".yaml", ".yml", ".txt", ".plan"]
        .iter()
        .any(|ending| name.to_ascii_lowercase().ends_with(ending));
    if !is_file && looks_like_one && !name.trim().contains(char::is_whitespace) {
        return Err(Error::new(
            ErrorKind::Input,
            format!("no file \"{}\"", path_text(path)),
        ));
    }
    is_file
        .then(|| text::read(path, MAX_FILE_BYTES))
        .transpose()
}

/// A plan that somebody kept.
fn of_file(args: &PlanArgs, text: &str) -> Result<Value, Error> {
    let name = args.query.as_deref().unwrap_or_default();
    let plan = Plan::from_text(text).map_err(|error| {
        Error::new(ErrorKind::Input, format!("\"{}\" holds no plan", path_text(Path::new(name))))
            .because(error)
            .hint("a plan is what EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) or plain EXPLAIN prints; statements go into --file FILE.sql")
    })?;
    let explain = plan::document(text).ok().flatten().unwrap_or_default();
    let sql = explain
        .get("Query Text")
        .or_else(|| explain.get(0)?.get("Query Text"))
        .cloned()
        .unwrap_or_default();
    Ok(json!({
        "sql": sql,
        "explain": explain,
        "problems": review::review(&plan),
        "where_it_goes": review::where_it_goes(&plan),
        "planning_ms": plan.planning_ms,
        "execution_ms": plan.execution_ms,
    }))
}

fn statements(args: &PlanArgs) -> Result<Vec<String>, Error> {
    asked(args)?.ok_or_else(|| Error::new(ErrorKind::Usage, "no statement to plan"))
}

/// The statements of the command line.
fn asked(args: &PlanArgs) -> Result<Option<Vec<String>>, Error> {
    match (&args.query, &args.file) {
        (Some(query), _) => Ok(Some(vec![query.clone()])),
        (None, Some(path)) => text::read(path, MAX_FILE_BYTES).map(|text| Some(split(&text))),
        (None, None) => Ok(None),
    }
}

/// Statements of a snapshot that are planned where none is named: those that take most of the time.
const MAX_CAPTURED: usize = 500;

/// The statements that were captured, those that take most of the time first.
fn captured(workload: &Workload) -> Result<Vec<String>, Error> {
    let mut queries: Vec<&Query> = workload
        .queries
        .iter()
        .filter(|query| query.shape.is_some() && has_a_plan(&query.sample))
        .collect();
    queries.sort_by(|a, b| b.total_ms().total_cmp(&a.total_ms()));
    if queries.is_empty() {
        return Err(Error::new(
            ErrorKind::Usage,
            "no statement to plan: the snapshot holds none",
        )
        .hint("name one, or --file FILE.sql"));
    }
    let texts = queries.into_iter().take(MAX_CAPTURED);
    Ok(texts
        .map(|query| plannable(&query.sample, &BTreeMap::new(), None))
        .collect())
}

/// Does the planner plan statements that begin so? COPY, VACUUM and the like are not asked about.
fn has_a_plan(sql: &str) -> bool {
    let first = Lexer::new(sql.as_bytes()).find(|token| token.kind != TokenKind::Open);
    first.is_some_and(|token| {
        [
            "select", "with", "insert", "update", "delete", "merge", "values", "table",
        ]
        .contains(&sql[token.start..token.end].to_ascii_lowercase().as_str())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_plan_is_not_asked_about() {
        for (sql, has) in [
            ("SELECT 1", true),
            ("/* x */ (select 1) union select 2", true),
            ("With a AS (SELECT 1) TABLE a", true),
            ("copy t from stdin", false),
            ("vacuum t", false),
            ("", false),
        ] {
            assert_eq!(has_a_plan(sql), has, "{sql}");
        }
    }

    #[test]
    fn a_file_is_split_at_semicolons_outside_of_strings() {
        assert_eq!(
            split("-- calls: 3\nSELECT ';' ; ;\nSELECT $$a;b$$ -- x;y\n"),
            ["SELECT ';'", "SELECT $$a;b$$"]
        );
    }
}
