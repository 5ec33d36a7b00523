//! Sequelize: a program a step; its runner opens no transaction. One connection for all of it, as timeouts belong to connections.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step,
    Subfolders,
    code::Calls,
    host::Host,
    javascript::{Modules, Script},
    name::MAX_NAME_BYTES,
    project::{file_name, folder_of, joined, resolved},
    script::{self, Op},
    version::Versions,
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "sequelize",
    summary: "Sequelize (sequelize-cli)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

const CALLS: Calls = Calls {
    host: Host::Script,
    step: "  ",
    run: ("await client.query(", ");"),
    if_row: ("if ((await client.query(", ")).rows.length > 0) {"),
    end: "}",
    nothing: "",
};

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    view.find(&[".sequelizerc"])
        .or_else(|| view.npm_dependency("sequelize-cli"))
        .map(Marker::certain)
        .or_else(|| view.npm_dependency("sequelize").map(Marker::likely))
}

fn folder(view: &ProjectView<'_>) -> String {
    let config = view.find(&[".sequelizerc"]);
    let named = config.and_then(|config| {
        let text = view.text(config)?;
        let value = text.split_once("migrations-path")?.1;
        let value = value
            .split_once(['\n', ')'])
            .map_or(value, |(value, _)| value);
        resolved(folder_of(config), &path_of_literals(value)?)
    });
    named.unwrap_or_else(|| {
        let base = config
            .or_else(|| view.npm_dependency("sequelize-cli"))
            .map_or("", folder_of);
        joined(base, "migrations")
    })
}

/// `path.resolve(__dirname, 'db', 'migrations')` → `db/migrations`.
fn path_of_literals(code: &str) -> Option<String> {
    let code = code.trim_start_matches(['\'', '"', ':', ' ']);
    let literals: Vec<&str> = code.split(['\'', '"', '`']).skip(1).step_by(2).collect();
    match literals.as_slice() {
        [] => Some(code.trim_matches([' ', ',', '\'', '"']).to_owned())
            .filter(|plain| !plain.is_empty()),
        literals => Some(literals.join("/")),
    }
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut versions = Versions::stamps(request.existing, request.start);
    let rc = request
        .project
        .find_where(|path| file_name(path) == "package.json");
    let script = Script::of(request, rc.map(|_| "x.js"), ".js");
    for step in request.fresh(&mut rendered) {
        let name = format!(
            "{}-{}{}",
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
    let mut text = CALLS.header(step, &["run: npx sequelize-cli db:migrate"]);
    text.push_str(match (script.modules, script.is_typed) {
        (Modules::CommonJs, _) => "\n\"use strict\";\n\nmodule.exports = {\n",
        (Modules::Es, false) => "\nexport default {\n",
        (Modules::Es, true) => {
            "\nimport type { QueryInterface } from \"sequelize\";\n\nexport default {\n"
        }
    });
    let typed = if script.is_typed {
        ": QueryInterface"
    } else {
        ""
    };
    for (name, ops) in [("up", script::up(step)), ("down", script::down(step))] {
        text.push_str(&format!("  async {name}(queryInterface{typed}) {{\n"));
        text.push_str(&body(&ops, script.is_typed));
        text.push_str("  },\n");
    }
    text.push_str("};\n");
    text
}

fn body(ops: &[Op], is_typed: bool) -> String {
    if !script::does_something(ops) {
        return CALLS.body(ops, 2);
    }
    let cast = if is_typed { " as any" } else { "" };
    format!(
        "    const {{ connectionManager }} = queryInterface.sequelize{cast};\n    \
         const client = await connectionManager.getConnection({{ type: \"write\" }});\n    try {{\n{}    }} finally {{\n      \
         await connectionManager.releaseConnection(client);\n    }}\n",
        CALLS.body(ops, 3)
    )
}
