//! node-pg-migrate: a program a step, whose statements run one by one outside a transaction. Its .sql migrations have no such switch.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step,
    Subfolders,
    code::Calls,
    host::Host,
    javascript::Script,
    name::MAX_NAME_BYTES,
    project::{folder_of, joined, quoted_after, resolved},
    script,
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "node-pg-migrate",
    summary: "node-pg-migrate (JavaScript or TypeScript)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

/// Statements are collected, and run when the function is done; questions are answered at once.
const CALLS: Calls = Calls {
    host: Host::Script,
    step: "  ",
    run: ("pgm.sql(", ");"),
    if_row: ("if ((await pgm.db.select(", ")).length > 0) {"),
    end: "}",
    nothing: "",
};

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    view.npm_dependency("node-pg-migrate").map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    let Some(manifest) = view.npm_dependency("node-pg-migrate") else {
        return "migrations".to_owned();
    };
    let base = folder_of(manifest);
    let configured = [".pgmrc", ".node-pg-migraterc", "config/default.json"]
        .iter()
        .find_map(|name| view.text(&joined(base, name)))
        .and_then(|text| Some(quoted_after(&text, "migrations-dir")?.to_owned()));
    let of_script = || {
        let text = view.text(manifest)?;
        let words: Vec<&str> = text.split([' ', '"', '=', '\'', '\\']).collect();
        let at = words
            .iter()
            .position(|word| matches!(*word, "-m" | "--migrations-dir"))?;
        words.get(at + 1).map(|word| (*word).to_owned())
    };
    configured
        .or_else(of_script)
        .and_then(|named| resolved(base, &named))
        .unwrap_or_else(|| joined(base, "migrations"))
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut versions = Versions::behind(request.existing, "", Style::Millis, request.start);
    let manifest = request.project.npm_dependency("node-pg-migrate");
    let config = manifest.map(|manifest| joined(folder_of(manifest), "x.js"));
    let script = Script::of(request, config.as_deref(), ".js");
    for step in request.fresh(&mut rendered) {
        let name = format!(
            "{}_{}{}",
            versions.next(),
            step.slug.replace('_', "-"),
            script.extension
        );
        rendered.files.push(MigrationFile::new(
            FRAMEWORK.path(step, &name),
            content(step, script),
        ));
    }
    Ok(rendered)
}

fn content(step: &Step, script: Script) -> String {
    let mut text = CALLS.header(step, &["run: npx node-pg-migrate up"]);
    if script.is_typed {
        text.push_str("\nimport type { MigrationBuilder } from \"node-pg-migrate\";\n");
    }
    for (name, ops) in [("up", script::up(step)), ("down", script::down(step))] {
        text.push('\n');
        text.push_str(&script.function(name, "pgm", ": MigrationBuilder"));
        text.push_str("  pgm.noTransaction();\n");
        text.push_str(&CALLS.body(&ops, 1));
        text.push_str(script.end());
    }
    text
}
