//! Kysely: a program a step. Its migrator has no switch a file: all files of a run go without a transaction, or none.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step,
    Subfolders,
    code::Calls,
    host::Host,
    javascript::{self, Modules, Script},
    name::MAX_NAME_BYTES,
    project::{folder_of, joined, quoted_after, resolved},
    script,
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "kysely",
    summary: "Kysely (JavaScript or TypeScript)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

const CALLS: Calls = Calls {
    host: Host::Script,
    step: "  ",
    run: ("await sql.raw(", ").execute(db);"),
    if_row: ("if ((await sql.raw(", ").execute(db)).rows.length > 0) {"),
    end: "}",
    nothing: "",
};

const RUN: &str = "run: kysely migrate:latest --no-transaction, or new Migrator({ disableTransactions: true, … }): Kysely has no switch a file";

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    javascript::config(view, "kysely.config")
        .or_else(|| view.npm_dependency("kysely-ctl"))
        .map(Marker::certain)
        .or_else(|| view.npm_dependency("kysely").map(Marker::likely))
}

fn folder(view: &ProjectView<'_>) -> String {
    let config = javascript::config(view, "kysely.config");
    let named = config.and_then(|config| {
        let text = view.text(config)?;
        resolved(folder_of(config), quoted_after(&text, "migrationFolder")?)
    });
    let base = config
        .or_else(|| view.npm_dependency("kysely"))
        .map_or("", folder_of);
    named.unwrap_or_else(|| {
        let source = joined(base, "src/migrations");
        if view.has_folder(&source) {
            source
        } else {
            joined(base, "migrations")
        }
    })
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    // kysely-ctl writes milliseconds; Kysely itself sorts names as texts
    let mut versions = Versions::behind(request.existing, "", Style::Millis, request.start);
    let script = Script::of(
        request,
        javascript::config(request.project, "kysely.config"),
        ".ts",
    );
    for step in request.fresh(&mut rendered) {
        let name = format!("{}_{}{}", versions.next(), step.slug, script.extension);
        rendered.files.push(MigrationFile::new(
            FRAMEWORK.path(step, &name),
            content(step, script),
        ));
    }
    if !rendered.files.is_empty() {
        rendered.notes.push(RUN.to_owned());
    }
    Ok(rendered)
}

fn content(step: &Step, script: Script) -> String {
    let mut text = CALLS.header(step, &[RUN]);
    text.push_str(match (script.modules, script.is_typed) {
        (_, true) => "\nimport { sql, type Kysely } from \"kysely\";\n",
        (Modules::Es, false) => "\nimport { sql } from \"kysely\";\n",
        (Modules::CommonJs, false) => "\nconst { sql } = require(\"kysely\");\n",
    });
    for (name, ops) in [("up", script::up(step)), ("down", script::down(step))] {
        text.push('\n');
        text.push_str(&script.function(name, "db", ": Kysely<any>"));
        text.push_str(&CALLS.body(&ops, 1));
        text.push_str(script.end());
    }
    text
}
