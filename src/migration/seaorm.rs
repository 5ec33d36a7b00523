//! SeaORM: a module a step, and its two lines in lib.rs. From 2.0 on a migration can stand outside the transaction; before, all of a run is one.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step, StepKind,
    Subfolders,
    code::Calls,
    guarded,
    host::Host,
    name::MAX_NAME_BYTES,
    project::{folder_of, joined, setting},
    script,
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "seaorm",
    summary: "SeaORM (Rust)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

const CALLS: Calls = Calls {
    host: Host::Rust,
    step: "    ",
    run: ("db.execute_unprepared(", ").await?;"),
    if_row: (
        "if db.query_one_raw(Statement::from_string(DbBackend::Postgres, ",
        ")).await?.is_some() {",
    ),
    end: "}",
    nothing: "",
};

const LIST: &str = "lib.rs";

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    view.cargo_dependency("sea-orm-migration")
        .map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    let base = view.cargo_dependency("sea-orm-migration").map(folder_of);
    joined(base.unwrap_or("migration"), "src")
}

/// 1.x knows no way out of its transaction.
fn has_switch(project: &ProjectView<'_>) -> bool {
    let version = project
        .cargo_dependency("sea-orm-migration")
        .and_then(|manifest| {
            let text = project.text(manifest)?;
            let section = text.split_once("sea-orm-migration")?.1.to_owned();
            let inline = setting(&format!("v{}", section.lines().next()?), "v").map(str::to_owned);
            let version = inline.filter(|value| value.starts_with(|c: char| c.is_ascii_digit()));
            version.or_else(|| super::project::quoted_after(&section, "version").map(str::to_owned))
        });
    version.is_none_or(|version| {
        let number = version.trim_start_matches(|c: char| !c.is_ascii_digit());
        !number.starts_with("0.") && !number.starts_with("1.") && number != "1"
    })
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let dated: Vec<String> = request
        .existing
        .top()
        .into_iter()
        .filter_map(|name| {
            let digits: String = name
                .strip_prefix('m')?
                .chars()
                .take(15)
                .filter(|c| *c != '_')
                .collect();
            (digits.len() == 14 && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
        })
        .collect();
    let dated: Vec<&str> = dated.iter().map(String::as_str).collect();
    let mut versions = Versions::after(&dated, Style::Stamp, request.start);
    let has_switch = has_switch(request.project);
    let mut modules = Vec::new();
    for step in request.fresh(&mut rendered) {
        let stamp = versions.next();
        let (day, time) = stamp.split_at(stamp.len().min(8));
        let module = format!("m{day}_{time}_{}", step.slug);
        let path = FRAMEWORK.path(step, &format!("{module}.rs"));
        let content = if has_switch {
            outside(step)
        } else {
            inside(step, &module)
        };
        rendered.files.push(MigrationFile::new(path, content));
        if !has_switch {
            rendered.files.extend(guarded::by_hand(step, &module));
        }
        if !matches!(step.kind, StepKind::Drop(_)) {
            modules.push(module);
        }
    }
    if !modules.is_empty() {
        list(request, &modules, &mut rendered);
    }
    if !rendered.files.is_empty() && !has_switch {
        rendered.notes.push("SeaORM before 2.0 runs all migrations in one transaction, where CONCURRENTLY cannot run: on a large table run by_hand/*.psql with psql -f first".to_owned());
    }
    Ok(rendered)
}

const START: &str = "use sea_orm_migration::prelude::*;\n";

/// From 2.0 on.
fn outside(step: &Step) -> String {
    let imports = "use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement};\n";
    let switch = "    fn use_transaction(&self) -> Option<bool> {\n        Some(false)\n    }\n\n";
    let body = |ops: &[script::Op]| {
        format!(
            "        let db = manager.get_connection();\n{}        Ok(())\n",
            CALLS.body(ops, 2)
        )
    };
    let header = CALLS.header(step, &["run: sea-orm-cli migrate up (SeaORM 2.0 or later)"]);
    module(
        &header,
        imports,
        switch,
        &body(&script::up(step)),
        &body(&script::down(step)),
    )
}

/// Before 2.0.
fn inside(step: &Step, module_name: &str) -> String {
    let remarks = guarded::remarks(step, module_name);
    let remarks: Vec<&str> = remarks.iter().map(String::as_str).collect();
    let header = CALLS.header(step, &remarks);
    let body = |sql: &str| {
        let call = Host::Rust.call(
            "        ",
            "manager.get_connection().execute_unprepared(",
            sql.trim_end(),
            ").await?;",
        );
        format!("{call}        Ok(())\n")
    };
    let down = guarded::down(step);
    module(
        &header,
        "use sea_orm_migration::sea_orm::ConnectionTrait;\n",
        "",
        &body(&guarded::up(step, module_name)),
        &body(&down),
    )
}

fn module(header: &str, imports: &str, switch: &str, up: &str, down: &str) -> String {
    format!(
        "{header}\n{START}{imports}\n#[derive(DeriveMigrationName)]\npub struct Migration;\n\n#[async_trait::async_trait]\nimpl MigrationTrait for Migration {{\n\
         {switch}    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {{\n{up}    }}\n\n    \
         async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {{\n{down}    }}\n}}\n"
    )
}

/// Declares the modules in lib.rs and lists them in `Migrator::migrations`.
fn list(request: &Request<'_>, modules: &[String], rendered: &mut Rendered) {
    let amended = request
        .existing
        .text(LIST)
        .and_then(|old| Some((listed(&old, modules)?, old)));
    match amended {
        Some((content, old)) => rendered.files.push(MigrationFile {
            path: LIST.to_owned(),
            content,
            replaces: Some(old),
        }),
        None => rendered.notes.extend(modules.iter().map(|module| {
            format!("add to {LIST}: mod {module}; and, in Migrator::migrations: Box::new({module}::Migration)")
        })),
    }
}

fn listed(old: &str, modules: &[String]) -> Option<String> {
    let function = old.find("fn migrations")?;
    let open = function + old[function..].find("vec![")? + "vec![".len();
    let close = open + old[open..].find(']')?;
    let items = old[open..close].trim_end();
    let comma = if items.is_empty() || items.ends_with(',') {
        ""
    } else {
        ","
    };
    let added: Vec<String> = modules
        .iter()
        .map(|module| format!("            Box::new({module}::Migration),\n"))
        .collect();
    let added = added.concat();
    let declared: Vec<String> = modules
        .iter()
        .map(|module| format!("mod {module};\n"))
        .collect();
    let declared = declared.concat();
    let head = &old[..open];
    let at = declaration_place(head)?;
    Some(format!(
        "{}{declared}{}{items}{comma}\n{added}        {}",
        &head[..at],
        &head[at..],
        &old[close..]
    ))
}

/// Behind the last `mod m…;`, else behind the first `use` line.
fn declaration_place(text: &str) -> Option<usize> {
    let mut place = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        let is_module = line
            .trim_start()
            .trim_start_matches("pub ")
            .starts_with("mod m");
        let is_use = line.starts_with("pub use ") || line.starts_with("use ");
        if is_module || (is_use && place.is_none()) {
            place = Some(at);
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_listed() {
        let old = "pub use sea_orm_migration::prelude::*;\n\nmod m1_a;\n\npub struct Migrator;\n\nimpl MigratorTrait for Migrator {\n    fn migrations() -> Vec<Box<dyn MigrationTrait>> {\n        vec![Box::new(m1_a::Migration)]\n    }\n}\n";
        let new = listed(old, &["m2_b".to_owned()]).unwrap();
        assert!(new.contains("mod m1_a;\nmod m2_b;\n"), "{new}");
        assert!(
            new.contains(
                "vec![Box::new(m1_a::Migration),\n            Box::new(m2_b::Migration),\n        ]"
            ),
            "{new}"
        );
    }

    #[test]
    fn only_two_has_the_switch() {
        let of = |manifest: &'static str| {
            let read = move |_: &str| Some(manifest.to_owned());
            has_switch(&ProjectView::new(vec!["Cargo.toml".into()], Box::new(read)))
        };
        assert!(!of("[dependencies]\nsea-orm-migration = \"1.1.0\"\n"));
        assert!(!of(
            "[dependencies.sea-orm-migration]\nversion = \"0.12\"\n"
        ));
        assert!(of(
            "[dependencies]\nsea-orm-migration = { version = \"2.0.0-rc.38\" }\n"
        ));
    }
}
