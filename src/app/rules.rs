//! `pgassay rules [ID]`: lists the rules, or documents one.

use super::{Context, Error, ErrorKind, Outcome};
use crate::{
    cli::RulesArgs,
    rules::{Example, Expect, RULES, Rule},
};

pub(super) fn run(args: &RulesArgs, context: &Context) -> Result<Outcome, Error> {
    let text = match &args.id {
        None if args.table => table(),
        None => list(),
        Some(id) => document(find(id)?),
    };
    context.print(text.as_bytes())?;
    Ok(Outcome::Clean)
}

fn find(id: &str) -> Result<&'static Rule, Error> {
    RULES
        .iter()
        .find(|rule| rule.id == id)
        .copied()
        .ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("no rule is called {id:?}"))
                .hint("pgassay rules lists them")
        })
}

fn list() -> String {
    let width = RULES.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    let lines = RULES.iter().map(|rule| {
        let severity = rule.severity.to_string();
        format!("{:width$}  {severity:7}  {}\n", rule.id, rule.summary)
    });
    lines.collect::<Vec<_>>().concat()
}

/// The README's table.
#[must_use]
pub(super) fn table() -> String {
    let rows: Vec<String> = RULES
        .iter()
        .map(|rule| format!("| `{}` | {} | {} |\n", rule.id, rule.severity, rule.summary))
        .collect();
    format!(
        "| rule | severity | finds |\n|---|---|---|\n{}",
        rows.concat()
    )
}

fn document(rule: &Rule) -> String {
    let examples: String = rule.examples.iter().map(example).collect();
    format!(
        "# {}\n\n{} (severity: {})\n\n{}\n{examples}",
        rule.id,
        rule.summary,
        rule.severity,
        rule.docs.trim_end(),
    )
}

fn example(example: &Example) -> String {
    let verdict = match example.expect {
        Expect::Finding(relation) => format!("reported, on {relation}"),
        Expect::Fires => "reported".to_owned(),
        Expect::Silence => "silent".to_owned(),
    };
    let ddl = match example.ddl.trim() {
        "" => String::new(),
        ddl => format!("```sql\n{ddl}\n```\n\n"),
    };
    format!(
        "\n## Example: {} ({verdict})\n\n{ddl}```\n{}\n```\n",
        example.title,
        excerpt(example.log.trim_end())
    )
}

/// Lines of an example's log that are printed: the tests run all of it.
const MAX_LOG_LINES: usize = 40;

fn excerpt(log: &str) -> String {
    let n_lines = log.lines().count();
    if n_lines <= MAX_LOG_LINES {
        return log.to_owned();
    }
    let head: Vec<&str> = log.lines().take(MAX_LOG_LINES).collect();
    format!(
        "{}\n… {} more lines",
        head.join("\n"),
        n_lines - MAX_LOG_LINES
    )
}
