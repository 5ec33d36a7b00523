//! Knex: a program a step; no transaction around it, and one connection for all of it, as timeouts belong to connections.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step,
    Subfolders,
    code::Calls,
    host::Host,
    javascript::{self, Modules, Script},
    name::MAX_NAME_BYTES,
    project::{folder_of, joined, quoted_after, resolved},
    script::{self, Op},
    version::Versions,
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "knex",
    summary: "Knex (JavaScript or TypeScript)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

/// The client is node-postgres's own: it knows no `?` placeholders, which JSON operators look like.
const CALLS: Calls = Calls {
    host: Host::Script,
    step: "  ",
    run: ("await client.query(", ");"),
    if_row: ("if ((await client.query(", ")).rows.length > 0) {"),
    end: "}",
    nothing: "",
};

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    javascript::config(view, "knexfile").map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    let Some(config) = javascript::config(view, "knexfile") else {
        return "migrations".to_owned();
    };
    let text = view.text(config).unwrap_or_default();
    let migrations = text.find("migrations").map_or("", |at| &text[at..]);
    quoted_after(migrations, "directory")
        .and_then(|named| resolved(folder_of(config), named))
        .unwrap_or_else(|| joined(folder_of(config), "migrations"))
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut versions = Versions::stamps(request.existing, request.start);
    let script = Script::of(
        request,
        javascript::config(request.project, "knexfile"),
        ".js",
    );
    for step in request.fresh(&mut rendered) {
        let name = format!("{}_{}{}", versions.next(), step.slug, script.extension);
        rendered.files.push(MigrationFile::new(
            FRAMEWORK.path(step, &name),
            content(step, script),
        ));
    }
    Ok(rendered)
}

fn content(step: &Step, script: Script) -> String {
    let mut text = CALLS.header(step, &["run: npx knex migrate:up (or migrate:latest)"]);
    text.push('\n');
    if script.is_typed {
        text.push_str("import type { Knex } from \"knex\";\n\n");
    }
    text.push_str(match script.modules {
        Modules::Es => "export const config = { transaction: false };\n",
        Modules::CommonJs => "exports.config = { transaction: false };\n",
    });
    for (name, ops) in [("up", script::up(step)), ("down", script::down(step))] {
        text.push('\n');
        text.push_str(&script.function(name, "knex", ": Knex"));
        text.push_str(&body(&ops));
        text.push_str(script.end());
    }
    text
}

fn body(ops: &[Op]) -> String {
    if !script::does_something(ops) {
        return CALLS.body(ops, 1);
    }
    format!(
        "  const client = await knex.client.acquireConnection();\n  try {{\n{}  }} finally {{\n    await knex.client.releaseConnection(client);\n  }}\n",
        CALLS.body(ops, 2)
    )
}
