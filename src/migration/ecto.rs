//! Ecto: a module a step, outside a transaction and without its lock, which a concurrent build would wait for forever; one connection for all of it.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step,
    Subfolders,
    code::Calls,
    host::{self, Host},
    name::MAX_NAME_BYTES,
    project::folder_of,
    script::{self, Op},
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "ecto",
    summary: "Ecto (Elixir)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Read,
    detect,
    folder,
    render,
};

/// The client gives up after 15 s by itself.
const CALLS: Calls = Calls {
    host: Host::Elixir,
    step: "  ",
    run: ("repo().query!(", ", [], timeout: :infinity)"),
    if_row: (
        "if repo().query!(",
        ", [], timeout: :infinity).num_rows > 0 do",
    ),
    end: "end",
    nothing: ":ok",
};

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    let mix = view.find(&["mix.exs"])?;
    let has_migrations = view
        .paths()
        .any(|path| path.contains("/migrations/") && path.ends_with(".exs"));
    let depends = view
        .text(mix)
        .is_some_and(|text| text.contains(":ecto_sql"));
    (has_migrations || depends).then(|| Marker::certain(mix))
}

fn folder(view: &ProjectView<'_>) -> String {
    view.find_where(|path| {
        folder_of(path).ends_with("/migrations") && path.ends_with(".exs") && path.contains("priv/")
    })
    .map_or_else(
        || "priv/repo/migrations".to_owned(),
        |path| folder_of(path).to_owned(),
    )
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut versions = Versions::behind(request.existing, "", Style::Stamp, request.start);
    let repo = repo(request);
    for step in request.fresh(&mut rendered) {
        let name = format!("{}_{}.exs", versions.next(), step.slug);
        rendered.files.push(MigrationFile::new(
            FRAMEWORK.path(step, &name),
            content(step, &repo),
        ));
    }
    Ok(rendered)
}

/// The repo's module: that of the migrations that are there, else the application's.
fn repo(request: &Request<'_>) -> String {
    let existing = request
        .existing
        .top()
        .into_iter()
        .filter(|name| name.ends_with(".exs"))
        .find_map(|name| {
            let text = request.existing.text(name)?;
            let module = text
                .split_once("defmodule ")?
                .1
                .split_whitespace()
                .next()?
                .to_owned();
            Some(module.split_once(".Migrations.")?.0.to_owned())
        });
    let application = || {
        let mix = request.project.find(&["mix.exs"])?;
        let text = request.project.text(mix)?;
        let module = text
            .split_once("defmodule ")?
            .1
            .split(['.', ' '])
            .next()?
            .to_owned();
        Some(format!("{module}.Repo"))
    };
    let is_module = |name: &String| {
        name.chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_')
    };
    existing
        .or_else(application)
        .filter(is_module)
        .unwrap_or_else(|| "Repo".to_owned())
}

fn content(step: &Step, repo: &str) -> String {
    let mut text = CALLS.header(step, &["run: mix ecto.migrate"]);
    text.push_str(&format!(
        "defmodule {repo}.Migrations.{} do\n  use Ecto.Migration\n\n  @disable_ddl_transaction true\n  @disable_migration_lock true\n",
        host::camel(&step.slug)
    ));
    for (name, ops) in [("up", script::up(step)), ("down", script::down(step))] {
        text.push_str(&format!("\n  def {name} do\n{}  end\n", body(&ops)));
    }
    text.push_str("end\n");
    text
}

fn body(ops: &[Op]) -> String {
    if !script::does_something(ops) {
        return CALLS.body(ops, 2);
    }
    format!(
        "    repo().checkout(\n      fn ->\n{}      end,\n      timeout: :infinity\n    )\n",
        CALLS.body(ops, 4)
    )
}
