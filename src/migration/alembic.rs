//! Alembic: a revision a step behind the present head, in an autocommit block.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step, StepKind,
    Subfolders,
    code::Calls,
    host::Host,
    model, name,
    name::MAX_NAME_BYTES,
    project::{file_name, folder_of, joined, resolved, setting},
    script::{self, Op},
};
use crate::catalog::{Build, Direction, IndexDef, IndexKey, KeyTarget};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "alembic",
    summary: "Alembic (SQLAlchemy)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

const CALLS: Calls = Calls {
    host: Host::Python,
    step: "    ",
    run: ("run(", ")"),
    if_row: ("if has_row(", "):"),
    end: "",
    nothing: "pass",
};

/// SQLAlchemy takes `:name` for a parameter; `alembic upgrade --sql` has no database to ask.
const PRELUDE: &str = r#"

def statement(sql):
    return sa.text(sql.replace(":", "\\:"))


def run(sql):
    op.execute(statement(sql))


def has_row(sql):
    if op.get_context().as_sql:
        return False
    return op.get_bind().execute(statement(sql)).first() is not None


"#;

const NOTE: &str = "Alembic: an autocommit block commits what the run has done so far; set transaction_per_migration=True in env.py's context.configure()";

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    config(view).map(Marker::certain)
}

fn config<'v>(view: &'v ProjectView<'_>) -> Option<&'v str> {
    view.find(&["alembic.ini"])
        .or_else(|| {
            view.find_where(|path| {
                file_name(path) == "pyproject.toml"
                    && view
                        .text(path)
                        .is_some_and(|text| text.contains("[tool.alembic]"))
            })
        })
        .or_else(|| {
            view.find_where(|path| {
                file_name(path) == "env.py"
                    && view
                        .text(path)
                        .is_some_and(|text| text.contains("from alembic import"))
            })
        })
}

fn folder(view: &ProjectView<'_>) -> String {
    let Some(config) = config(view) else {
        return "alembic/versions".to_owned();
    };
    let base = folder_of(config);
    let text = match file_name(config) {
        "env.py" => String::new(),
        _ => view.text(config).unwrap_or_default(),
    };
    let here = |value: &str| {
        let value = value.replace("%(here)s/", "").replace("{here}/", "");
        resolved(base, value.trim())
    };
    if let Some(versions) = setting(&text, "version_locations") {
        let first = versions.split([' ', ',', ';']).next().unwrap_or_default();
        if let Some(folder) = here(first).filter(|folder| !folder.is_empty()) {
            return folder;
        }
    }
    // beside env.py, as Flask-Migrate has it, without a setting
    let scripts = setting(&text, "script_location").and_then(here);
    joined(scripts.as_deref().unwrap_or(base), "versions")
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut head = head(request.existing)?;
    for step in request.fresh(&mut rendered) {
        let revision = revision(step, head.as_deref());
        let path = FRAMEWORK.path(step, &format!("{revision}_{}.py", step.slug));
        let content = content(step, &revision, head.as_deref());
        rendered.files.push(MigrationFile::new(path, content));
        if !matches!(step.kind, StepKind::Drop(_)) {
            head = Some(revision);
        }
        rendered.notes.extend(model_line(step));
    }
    if !rendered.files.is_empty() {
        rendered.notes.push(NOTE.to_owned());
    }
    Ok(rendered)
}

/// Twelve hexadecimal digits, as Alembic makes them, but the same in every run on the same project.
fn revision(step: &Step, head: Option<&str>) -> String {
    let seed = format!("{} {}", step.slug, head.unwrap_or_default());
    let (high, low) = (name::hash(&seed), name::hash(&format!("{seed}.")));
    format!("{high:08x}{:04x}", low & 0xffff)
}

/// The one revision that no other builds on.
fn head(existing: &ProjectView<'_>) -> Result<Option<String>, RenderError> {
    let files = existing
        .paths()
        .filter(|path| path.ends_with(".py") && !path.starts_with(super::DROPS));
    let texts: Vec<String> = files.filter_map(|path| existing.text(path)).collect();
    let mut heads: Vec<String> = texts
        .iter()
        .flat_map(|text| assigned(text, "revision"))
        .collect();
    let below: Vec<String> = texts
        .iter()
        .flat_map(|text| assigned(text, "down_revision"))
        .collect();
    heads.retain(|revision| !below.contains(revision));
    heads.sort();
    match heads.as_slice() {
        [] => Ok(None),
        [head] => Ok(Some(head.clone())),
        several => Err(RenderError {
            message: format!("the project has several heads: {}", several.join(", ")),
            hint: "join them first: alembic merge heads".to_owned(),
        }),
    }
}

/// The strings assigned to a variable at the left margin, with or without a type: one, or a tuple of them.
fn assigned(text: &str, variable: &str) -> Vec<String> {
    let mut lines = text.lines();
    let Some(line) = lines.find(|line| {
        line.strip_prefix(variable)
            .is_some_and(|rest| rest.trim_start().starts_with(['=', ':']))
    }) else {
        return Vec::new();
    };
    let mut value = line
        .split_once('=')
        .map_or("", |(_, value)| value)
        .to_owned();
    while value.matches('(').count() > value.matches(')').count() {
        match lines.next() {
            Some(line) => value.push_str(line),
            None => break,
        }
    }
    let value = value.split('#').next().unwrap_or_default();
    let quoted = value.split(['"', '\'']).skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

fn content(step: &Step, revision: &str, head: Option<&str>) -> String {
    let mut extra = vec!["run: alembic upgrade head"];
    if matches!(step.kind, StepKind::Drop(_)) {
        extra.push("when it moves to the other revisions: set down_revision to the head of that day (alembic heads)");
    }
    let head = head.map_or_else(|| "None".to_owned(), |head| Host::Python.quoted(head));
    let own = Own::of(step);
    let body = |ops: &[Op]| body(ops, own.as_ref());
    format!(
        "{}\nimport sqlalchemy as sa\nfrom alembic import op\n\nrevision = {}\ndown_revision = {head}\nbranch_labels = None\ndepends_on = None\n\
         {PRELUDE}def upgrade() -> None:\n{}\n\ndef downgrade() -> None:\n{}",
        CALLS.header(step, &extra),
        Host::Python.quoted(revision),
        body(&script::up(step)),
        body(&script::down(step)),
    )
}

fn body(ops: &[Op], own: Option<&Own>) -> String {
    if !script::does_something(ops) {
        return CALLS.body(ops, 1);
    }
    let words = |sql: &str| own?.words(sql);
    format!(
        "    with op.get_context().autocommit_block():\n{}",
        CALLS.body_with(ops, 2, words)
    )
}

/// Alembic's own words for an index that they say exactly.
struct Own {
    create_sql: String,
    create: String,
    drop_sql: String,
    drop: String,
}

impl Own {
    fn of(step: &Step) -> Option<Self> {
        let StepKind::Create(change) = &step.kind else {
            return None;
        };
        let def = &change.def;
        let columns = model::plain_columns(def)?;
        if !model::is_plain_btree(def) || script::is_partitioned(change) {
            return None;
        }
        let columns: Vec<String> = columns
            .iter()
            .map(|column| Host::Python.quoted(column))
            .collect();
        let (name, table) = (
            Host::Python.quoted(&def.name),
            Host::Python.quoted(&def.table.name),
        );
        let schema = match def.table.schema.as_str() {
            "public" => String::new(),
            schema => format!("    schema={},\n", Host::Python.quoted(schema)),
        };
        let unique = if def.unique { "True" } else { "False" };
        Some(Self {
            create_sql: def.create_sql(Build::Concurrently),
            create: format!(
                "op.create_index(\n    {name},\n    {table},\n    [{}],\n{schema}    unique={unique},\n    if_not_exists=True,\n    postgresql_concurrently=True,\n)",
                columns.join(", ")
            ),
            drop_sql: script::Target::of(def).drop_sql(),
            drop: format!(
                "op.drop_index(\n    {name},\n    table_name={table},\n{schema}    if_exists=True,\n    postgresql_concurrently=True,\n)"
            ),
        })
    }

    fn words(&self, sql: &str) -> Option<String> {
        if sql == self.create_sql {
            Some(self.create.clone())
        } else {
            (sql == self.drop_sql).then(|| self.drop.clone())
        }
    }
}

/// What the model must say, or the next autogenerate drops the index.
fn model_line(step: &Step) -> Option<String> {
    let StepKind::Create(change) = &step.kind else {
        return None;
    };
    let def = &change.def;
    let mut arguments = vec![Host::Python.quoted(&def.name)];
    arguments.extend(def.keys.iter().map(key));
    if def.unique {
        arguments.push("unique=True".to_owned());
    }
    arguments.extend(options(def));
    Some(format!(
        "add to the model of {} (__table_args__, after Table(…) or the class), or the next autogenerate drops the index: Index({})",
        def.table,
        arguments.join(", ")
    ))
}

fn options(def: &IndexDef) -> Vec<String> {
    let mut options = Vec::new();
    if !model::is_btree(def) {
        options.push(format!(
            "postgresql_using={}",
            Host::Python.quoted(&def.method)
        ));
    }
    if !def.include.is_empty() {
        let columns: Vec<String> = def
            .include
            .iter()
            .map(|column| Host::Python.quoted(column))
            .collect();
        options.push(format!("postgresql_include=[{}]", columns.join(", ")));
    }
    if let Some(predicate) = &def.predicate {
        options.push(format!("postgresql_where={}", text(predicate)));
    }
    let classes: Vec<String> = def
        .keys
        .iter()
        .filter(|key| !needs_text(key))
        .filter_map(|key| {
            let class = Host::Python.quoted(key.opclass.as_deref()?);
            Some(format!(
                "{}: {class}",
                Host::Python.quoted(key.column_name()?)
            ))
        })
        .collect();
    if !classes.is_empty() {
        options.push(format!("postgresql_ops={{{}}}", classes.join(", ")));
    }
    options
}

/// More than a column and its operator class.
fn needs_text(key: &IndexKey) -> bool {
    let plain = IndexKey {
        opclass: None,
        ..key.clone()
    };
    !model::is_plain(&plain) || key.direction == Direction::Desc
}

fn key(key: &IndexKey) -> String {
    match &key.target {
        KeyTarget::Column(name) if !needs_text(key) => Host::Python.quoted(name),
        _ => text(&key.to_sql()),
    }
}

fn text(sql: &str) -> String {
    format!(
        "text({})",
        Host::Python
            .quoted(&sql.replace(':', "\\:"))
            .replace("\\\\:\\\\:", "::")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_read_in_every_form() {
        let text = "down_revision: Union[str, Sequence[str], None] = (\n    'a',\n    \"b\",\n)\nrevision: str = 'c'  # x 'y'\n";
        assert_eq!(assigned(text, "revision"), ["c"]);
        assert_eq!(assigned(text, "down_revision"), ["a", "b"]);
        assert_eq!(
            assigned("down_revision = None\n", "down_revision"),
            Vec::<String>::new()
        );
    }
}
