//! TypeORM: a class a step. Its switch against the transaction works only with `--transaction each` or `none`, and not for reverting.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step, StepKind,
    Subfolders,
    code::Calls,
    host::{self, Host},
    javascript::{self, Script},
    name::MAX_NAME_BYTES,
    project::{file_name, folder_of, joined, quoted_after, resolved},
    script,
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "typeorm",
    summary: "TypeORM (TypeScript or JavaScript)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Read,
    detect,
    folder,
    render,
};

const CALLS: Calls = Calls {
    host: Host::Script,
    step: "  ",
    run: ("await queryRunner.query(", ");"),
    if_row: ("if ((await queryRunner.query(", ")).length > 0) {"),
    end: "}",
    nothing: "",
};

const RUN: &str = "run: typeorm migration:run --transaction each; go back: typeorm migration:revert --transaction none";

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    let manifest = view.npm_dependency("typeorm")?;
    match data_source(view) {
        Some(config) => Some(Marker::certain(config)),
        None => Some(Marker::likely(manifest)),
    }
}

fn data_source<'v>(view: &'v ProjectView<'_>) -> Option<&'v str> {
    let named = ["data-source", "ormconfig", "datasource", "dataSource"];
    named
        .iter()
        .find_map(|base| javascript::config(view, base))
        .or_else(|| {
            view.find_where(|path| {
                let name = file_name(path).to_ascii_lowercase();
                (name.contains("data-source") || name.contains("datasource"))
                    && (name.ends_with(".ts") || name.ends_with(".js"))
            })
        })
}

/// Where migrations are; else where the data source says, if that is source code.
fn folder(view: &ProjectView<'_>) -> String {
    let is_migration = |name: &str| {
        let digits = super::version::leading_digits(name);
        digits.len() == 13
            && name[13..].starts_with('-')
            && (name.ends_with(".ts") || name.ends_with(".js"))
    };
    if let Some(folder) = view.folder_with(is_migration) {
        return folder;
    }
    let configured = data_source(view).and_then(|config| {
        let text = view.text(config)?;
        let glob = quoted_after(&text, "migrations")?;
        let folder = folder_of(glob.split_once('*').map_or(glob, |(before, _)| before));
        let built = folder
            .split('/')
            .any(|part| matches!(part, "dist" | "build" | "lib"));
        // TypeORM takes paths from where it is started: the folder of package.json
        let base = view.npm_dependency("typeorm").map_or("", folder_of);
        resolved(base, folder).filter(|folder| !built && !folder.is_empty())
    });
    configured.unwrap_or_else(|| {
        let base = view.npm_dependency("typeorm").map_or("", folder_of);
        joined(base, "src/migrations")
    })
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut versions = Versions::behind(request.existing, "", Style::Millis, request.start);
    let script = Script::of(request, data_source(request.project), ".ts");
    for step in request.fresh(&mut rendered) {
        let version = versions.next();
        let class = format!("{}{version}", host::camel(&step.slug));
        let name = format!("{version}-{}{}", host::camel(&step.slug), script.extension);
        let content = content(step, script, &class);
        rendered
            .files
            .push(MigrationFile::new(FRAMEWORK.path(step, &name), content));
        rendered.notes.extend(model_line(step));
    }
    if !rendered.files.is_empty() {
        rendered.notes.push(RUN.to_owned());
    }
    Ok(rendered)
}

/// What the entity must say, or the next `migration:generate` drops the index. `synchronize: false` is for what its decorator cannot say.
fn model_line(step: &Step) -> Option<String> {
    let StepKind::Create(change) = &step.kind else {
        return None;
    };
    let def = &change.def;
    let name = Host::Script.quoted(&def.name);
    let simple = super::model::plain_columns(def)?;
    let line = if super::model::is_plain_btree(def) {
        let columns: Vec<String> = simple
            .iter()
            .map(|column| Host::Script.quoted(column))
            .collect();
        let unique = if def.unique { ", { unique: true }" } else { "" };
        format!("@Index({name}, [{}]{unique})", columns.join(", "))
    } else {
        format!("@Index({name}, {{ synchronize: false }})")
    };
    Some(format!(
        "add to the entity of {} (columns as its property names), or the next migration:generate drops the index: {line}",
        def.table
    ))
}

fn content(step: &Step, script: Script, class: &str) -> String {
    let mut text = CALLS.header(step, &[RUN]);
    let (start, transaction, parameter, returns) = if script.is_typed {
        (
            format!(
                "import {{ MigrationInterface, QueryRunner }} from \"typeorm\";\n\nexport class {class} implements MigrationInterface {{"
            ),
            "transaction = false as const;",
            ": QueryRunner",
            ": Promise<void>",
        )
    } else if script.modules == javascript::Modules::Es {
        (
            format!("export class {class} {{"),
            "transaction = false;",
            "",
            "",
        )
    } else {
        (
            format!("module.exports = class {class} {{"),
            "transaction = false;",
            "",
            "",
        )
    };
    text.push_str(&format!(
        "\n{start}\n  name = \"{class}\";\n  {transaction}\n"
    ));
    for (name, ops) in [("up", script::up(step)), ("down", script::down(step))] {
        text.push_str(&format!(
            "\n  async {name}(queryRunner{parameter}){returns} {{\n"
        ));
        text.push_str(&CALLS.body(&ops, 2));
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}
