//! Rails: a class a step, outside the DDL transaction; `add_index` where it says the index exactly, else SQL.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step, StepKind,
    Subfolders,
    code::Calls,
    host::Host,
    model,
    name::MAX_NAME_BYTES,
    project::{folder_of, joined},
    script::{self, Op},
    version::{Style, Versions},
};
use crate::catalog::{Build, IndexDef};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "rails",
    summary: "Ruby on Rails (Active Record)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Read,
    detect,
    folder,
    render,
};

/// `connection.execute`, not `execute`: strong_migrations refuses the latter.
const CALLS: Calls = Calls {
    host: Host::Ruby,
    step: "  ",
    run: ("connection.execute(", ")"),
    if_row: ("if connection.select_value(", ")"),
    end: "end",
    nothing: "",
};

/// `add_index` knows `if_not_exists` from here on.
const OWN_WORDS_SINCE: (u32, u32) = (6, 1);

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    let application = view.find(&["application.rb"]);
    let application = application.filter(|path| folder_of(path).ends_with("config"));
    let gemfile = || {
        let gemfile = view.find(&["Gemfile"])?;
        let text = view.text(gemfile)?;
        (text.contains("activerecord") || text.contains("rails")).then_some(gemfile)
    };
    application.or_else(gemfile).map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    let application = view
        .find(&["application.rb"])
        .and_then(|path| folder_of(path).strip_suffix("config"))
        .map(|base| base.trim_end_matches('/').to_owned());
    let base = application
        .or_else(|| Some(folder_of(view.find(&["Gemfile"])?).to_owned()))
        .unwrap_or_default();
    joined(&base, "db/migrate")
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut versions = Versions::behind(request.existing, "", Style::Stamp, request.start);
    let version = version(request);
    let acronyms = acronyms(request.project);
    for step in request.fresh(&mut rendered) {
        let slug = if step.slug.starts_with(|c: char| c.is_ascii_alphabetic()) {
            step.slug.clone()
        } else {
            format!("index_{}", step.slug)
        };
        let path = FRAMEWORK.path(step, &format!("{}_{slug}.rb", versions.next()));
        let content = content(step, &camelized(&slug, &acronyms), version);
        rendered.files.push(MigrationFile::new(path, content));
    }
    Ok(rendered)
}

/// The Rails that the newest migration was made for, or that is installed.
fn version(request: &Request<'_>) -> Option<(u32, u32)> {
    let of_migration = |name: &str| {
        let text = request.existing.text(name)?;
        number(text.split_once("ActiveRecord::Migration[")?.1)
    };
    let newest = request
        .existing
        .top()
        .into_iter()
        .rev()
        .filter(|name| name.ends_with(".rb"))
        .find_map(of_migration);
    newest.or_else(|| {
        let lock = request.project.find(&["Gemfile.lock"])?;
        let text = request.project.text(lock)?;
        number(text.split_once("activerecord (")?.1)
    })
}

/// `7.1.3` → (7, 1)
fn number(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Words that the project writes in capitals: class names must follow.
fn acronyms(view: &ProjectView<'_>) -> Vec<String> {
    let text = view
        .find(&["inflections.rb"])
        .and_then(|path| view.text(path))
        .unwrap_or_default();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    lines
        .filter_map(|line| {
            line.split_once("acronym")?
                .1
                .split(['"', '\''])
                .nth(1)
                .map(str::to_owned)
        })
        .collect()
}

/// As Rails' `camelize` does it.
fn camelized(slug: &str, acronyms: &[String]) -> String {
    let word = |word: &str| {
        let acronym = acronyms
            .iter()
            .find(|acronym| acronym.eq_ignore_ascii_case(word));
        acronym.cloned().unwrap_or_else(|| {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_ascii_uppercase() + rest
        })
    };
    slug.split('_').map(word).collect()
}

fn content(step: &Step, class: &str, version: Option<(u32, u32)>) -> String {
    let compatible = version.map_or_else(
        || "ActiveRecord::Migration.current_version".to_owned(),
        |(major, minor)| format!("{major}.{minor}"),
    );
    let own = Own::of(step).filter(|_| version.is_none_or(|version| version >= OWN_WORDS_SINCE));
    let words = |sql: &str| own.as_ref()?.words(sql);
    let body = |ops: &[Op]| CALLS.body_with(ops, 2, words);
    format!(
        "# frozen_string_literal: true\n\n{}class {class} < ActiveRecord::Migration[{compatible}]\n  disable_ddl_transaction!\n\n  def up\n{}  end\n\n  def down\n{}  end\nend\n",
        CALLS.header(step, &["run: bin/rails db:migrate"]),
        body(&script::up(step)),
        body(&script::down(step)),
    )
}

/// Active Record's own words for an index that they say exactly.
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
        if !model::is_plain_btree(def) || script::is_partitioned(change) || has_dot(def) {
            return None;
        }
        let columns = model::plain_columns(def)?;
        let columns: Vec<String> = columns
            .iter()
            .map(|column| Host::Ruby.quoted(column))
            .collect();
        let columns = match columns.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let table = match def.table.schema.as_str() {
            "public" => Host::Ruby.quoted(&def.table.name),
            schema => Host::Ruby.quoted(&format!("{schema}.{}", def.table.name)),
        };
        let name = Host::Ruby.quoted(&def.name);
        let unique = if def.unique { "unique: true, " } else { "" };
        Some(Self {
            create_sql: def.create_sql(Build::Concurrently),
            create: format!(
                "add_index {table}, {columns}, name: {name}, {unique}algorithm: :concurrently, if_not_exists: true"
            ),
            drop_sql: script::Target::of(def).drop_sql(),
            drop: format!(
                "remove_index {table}, name: {name}, algorithm: :concurrently, if_exists: true"
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

/// Active Record takes what stands before a dot for a schema, splits at blanks and quotes, and takes keys that are no plain words for expressions.
fn has_dot(def: &IndexDef) -> bool {
    let is_word = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let columns = def.keys.iter().filter_map(|key| key.column_name());
    let names = [def.name.as_str(), &def.table.name, &def.table.schema];
    !names.into_iter().chain(columns).all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_named_as_rails_expects() {
        assert_eq!(
            camelized("orders_api_key_idx", &["API".into()]),
            "OrdersAPIKeyIdx"
        );
        assert_eq!(camelized("a__b_0c", &[]), "AB0c");
    }
}
