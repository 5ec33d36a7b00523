//! Hostile names and predicates in migrations that are programs: what the real language reads back is the statement, to the byte. Detection of projects, and the
//! files of every framework as they are.

use std::{
    fs,
    process::{Command, Stdio},
};

use pgassay::{
    catalog::{Build, IndexDef, IndexKey, RelationName},
    finding::IndexChange,
    migration::{
        Change, Drops, FRAMEWORKS, Framework, MigrationFile, Planned, ProjectView, Proposal,
        Request, Start, plan,
    },
    sql::quote_literal,
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

use crate::support;

/// Definitions per language.
const N_HOSTILE: usize = 60;

/// Every character that means something to one of the languages, and some that mean nothing.
const NASTY: &str = "[a-z\"'`\\\\#{}$@%:;?*/<>!=()\\[\\]&|~^,.\\-+ \n\t\u{1}\u{7f}\u{e9}\u{2028}\u{202e}\u{1f600}]{1,12}";

fn hostile_defs() -> Vec<IndexDef> {
    let mut runner = TestRunner::deterministic();
    let mut text = || NASTY.new_tree(&mut runner).unwrap().current();
    let mut seen = std::collections::BTreeSet::new();
    (0..N_HOSTILE)
        .map(|n| {
            let mut name = text();
            if !seen.insert(name.clone()) {
                name.push_str(&n.to_string());
            }
            IndexDef {
                table: RelationName::new(text(), text()),
                name,
                method: "btree".into(),
                keys: vec![IndexKey::column(text())],
                predicate: Some(format!("(note <> {}::text)", quote_literal(&text()))),
                ..IndexDef::default()
            }
        })
        .collect()
}

fn planned(changes: Vec<IndexChange>, why: &str) -> Planned {
    let proposal = |change| Proposal {
        change: Change::Index(Box::new(change), Vec::new()),
        finding: "missing-index-0123456789abcdef".into(),
        why: why.into(),
    };
    let planned = plan(
        changes.into_iter().map(proposal).collect(),
        Drops::Include,
        63,
    );
    assert!(planned.refused.is_empty(), "{:?}", planned.refused);
    planned
}

fn render(
    framework: &str,
    planned: &Planned,
    project: &ProjectView<'_>,
    existing: &ProjectView<'_>,
) -> Vec<MigrationFile> {
    let request = Request {
        steps: &planned.steps,
        project,
        existing,
        folder: "shop/migrations",
        start: Start {
            time: jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0),
            is_given: true,
        },
    };
    (Framework::of_name(framework).unwrap().render)(&request)
        .unwrap()
        .files
}

/// Each file is run by the language with a stand-in for the framework, which prints each statement as a line of hexadecimal digits.
fn check(framework: &str, program: &str, package: &str, stand_in: &str) {
    let has = || {
        let version = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        version.is_ok_and(|status| status.success())
    };
    if support::needs(program, has, package).is_none() {
        return;
    }
    let defs = hostile_defs();
    let why =
        "evil: */ ?> #{1} ${2} `3` %> ]]> '''\"\"\"\n\u{2028}coding: latin-1\n=begin\n__END__";
    let planned = planned(defs.iter().cloned().map(IndexChange::create).collect(), why);
    assert_eq!(planned.steps.len(), defs.len());
    let empty = ProjectView::empty();
    let existing = match framework {
        "rails" => ProjectView::new(
            vec!["1_a.rb".into()],
            Box::new(|_| Some("ActiveRecord::Migration[7.1]".into())),
        ),
        _ => ProjectView::empty(),
    };
    let files = render(framework, &planned, &empty, &existing);
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = Vec::new();
    for file in files.iter().filter(|file| file.replaces.is_none()) {
        let path = folder.path().join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &file.content).unwrap();
        arguments.push(path);
    }
    let script = folder.path().join("stand_in");
    fs::write(&script, stand_in).unwrap();
    let output = Command::new(program)
        .arg(&script)
        .args(&arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let read: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(from_hex)
        .collect();
    for def in &defs {
        let sql = def.create_sql(Build::Concurrently);
        assert!(
            read.contains(&sql),
            "{framework} read something else than {sql:?}"
        );
    }
}

fn from_hex(line: &str) -> String {
    let byte = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
    String::from_utf8((0..line.len()).step_by(2).map(byte).collect()).unwrap()
}

const PYTHON: &str = r#"
import contextlib, runpy, sys, types
def show(sql): print(sql.encode().hex())
class Cursor:
    def execute(self, sql): show(sql)
    def fetchone(self): return None
    def __enter__(self): return self
    def __exit__(self, *_): pass
class Connection:
    def cursor(self): return Cursor()
class Editor:
    connection = Connection()
class Op:
    as_sql = False
    def get_context(self): return self
    def autocommit_block(self): return contextlib.nullcontext()
    def get_bind(self): return self
    def execute(self, sql): show(sql.replace("\\:", ":")); return self
    def first(self): return None
def module(name, **members):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(members)
migrations = types.SimpleNamespace(Migration=object, RunPython=lambda *_: None)
module("django"); module("django.db", migrations=migrations, models=None)
module("sqlalchemy", text=lambda sql: sql); module("alembic", op=Op())
for path in sys.argv[1:]:
    names = runpy.run_path(path)
    if "forwards" in names: names["forwards"](None, Editor())
    else: names["upgrade"]()
"#;

const NODE: &str = r#"
const show = (sql) => console.log(Buffer.from(sql).toString("hex"));
const client = { query: async (sql) => { show(sql); return { rows: [] }; } };
const knex = { client: { acquireConnection: async () => client, releaseConnection: async () => {} } };
(async () => { for (const path of process.argv.slice(2)) await require(path).up(knex); })();
"#;

const RUBY: &str = r#"
module ActiveRecord
  class Migration
    def self.[](_) = self
    def self.disable_ddl_transaction! = nil
    def connection = self
    def execute(sql) = puts(sql.unpack1("H*"))
    def select_value(_) = nil
  end
end
ARGV.each do |path|
  known = ObjectSpace.each_object(ActiveRecord::Migration.singleton_class).to_a
  load path
  (ObjectSpace.each_object(ActiveRecord::Migration.singleton_class).to_a - known).each { |migration| migration.new.up }
end
"#;

#[test]
fn python_reads_django_back() {
    check("django", "python3", "python3", PYTHON);
}

#[test]
fn python_reads_alembic_back() {
    check("alembic", "python3", "python3", PYTHON);
}

#[test]
fn node_reads_knex_back() {
    check("knex", "node", "nodejs", NODE);
}

#[test]
fn ruby_reads_rails_back() {
    check("rails", "ruby", "ruby", RUBY);
}

/// Every framework's files for an index that needs an extension, and for a drop: as each documents them.
#[test]
fn the_files_of_every_framework() {
    let mut trigram = IndexKey::column("name");
    trigram.opclass = Some("gin_trgm_ops".into());
    let mut create = IndexChange::create(IndexDef {
        table: RelationName::new("public", "orders"),
        name: "orders_name_idx".into(),
        method: "gin".into(),
        keys: vec![trigram],
        ..IndexDef::default()
    });
    create.extension = Some("pg_trgm".into());
    create.size_bytes = Some(123_456_789);
    let old = IndexDef {
        table: RelationName::new("public", "orders"),
        name: "orders_old_idx".into(),
        method: "btree".into(),
        keys: vec![IndexKey::column("name")],
        ..IndexDef::default()
    };
    let drop = IndexChange::drop(
        old,
        "CREATE INDEX orders_old_idx ON public.orders USING btree (name)".into(),
    );
    let planned = planned(vec![create, drop], "it is slow");
    for framework in FRAMEWORKS {
        let plan = |path: &str| {
            (path == "sqitch.plan").then(|| "%syntax-version=1.0.0\n%project=shop\n\n".to_owned())
        };
        let existing = match framework.name {
            "sqitch" => ProjectView::new(vec!["sqitch.plan".into()], Box::new(plan)),
            _ => ProjectView::empty(),
        };
        let files = render(framework.name, &planned, &ProjectView::empty(), &existing);
        let text: Vec<String> = files
            .iter()
            .map(|file| format!("==> {} <==\n{}", file.path, file.content))
            .collect();
        insta::assert_snapshot!(format!("files_{}", framework.name), text.join("\n"));
    }
}

/// Files of a project with their text.
type Files = &'static [(&'static str, &'static str)];

fn view(files: Files) -> ProjectView<'static> {
    let read = |path: &str| {
        let file = files.iter().find(|(known, _)| *known == path)?;
        Some(file.1.to_owned())
    };
    let paths = files.iter().map(|(path, _)| (*path).to_owned()).collect();
    ProjectView::new(paths, Box::new(read))
}

/// What a project is taken for with certainty, and where its migrations go.
#[test]
fn projects_are_known_by_their_files() {
    let cases: &[(Files, &str, &str)] = &[
        (
            &[
                ("manage.py", "from django.core.management import x"),
                ("shop/migrations/0001_initial.py", ""),
            ],
            "django",
            "",
        ),
        (
            &[("alembic.ini", "[alembic]\nscript_location = %(here)s/db\n")],
            "alembic",
            "db/versions",
        ),
        (
            &[
                ("api/migrations/alembic.ini", ""),
                ("api/migrations/env.py", "from alembic import context"),
            ],
            "alembic",
            "api/migrations/versions",
        ),
        (
            &[(
                "pyproject.toml",
                "[tool.alembic]\nscript_location = \"%(here)s/alembic\"\n",
            )],
            "alembic",
            "alembic/versions",
        ),
        (
            &[("config/application.rb", ""), ("Gemfile", "gem 'rails'")],
            "rails",
            "db/migrate",
        ),
        (
            &[(
                "knexfile.js",
                "module.exports = { migrations: { directory: './db/m' } }",
            )],
            "knex",
            "db/m",
        ),
        (
            &[("server/knexfile.ts", "export default {}")],
            "knex",
            "server/migrations",
        ),
        (
            &[(
                ".sequelizerc",
                "module.exports = { 'migrations-path': path.resolve('src', 'db', 'migrations') }",
            )],
            "sequelize",
            "src/db/migrations",
        ),
        (
            &[(
                "package.json",
                "{\"devDependencies\": {\"sequelize-cli\": \"6\"}}",
            )],
            "sequelize",
            "migrations",
        ),
        (
            &[
                ("package.json", "{\"dependencies\": {\"typeorm\": \"1\"}}"),
                ("src/data-source.ts", "migrations: ['src/migration/*.ts']"),
            ],
            "typeorm",
            "src/migration",
        ),
        (
            &[
                ("package.json", "{\"dependencies\": {\"typeorm\": \"1\"}}"),
                ("src/data-source.ts", "migrations: ['dist/m/*.js']"),
                ("src/m/1700000000000-A.ts", ""),
            ],
            "typeorm",
            "src/m",
        ),
        (
            &[("drizzle.config.ts", "export default { out: './db/out' }")],
            "drizzle",
            "db/out",
        ),
        (
            &[("kysely.config.ts", "migrations: { migrationFolder: 'db' }")],
            "kysely",
            "db",
        ),
        (
            &[(
                "package.json",
                "{\"dependencies\": {\"node-pg-migrate\": \"9\"}, \"scripts\": {\"m\": \"node-pg-migrate -m db/m\"}}",
            )],
            "node-pg-migrate",
            "db/m",
        ),
        (
            &[("db/migrations/1_a.sql", "-- migrate:up\n")],
            "dbmate",
            "db/migrations",
        ),
        (
            &[
                ("Cargo.toml", "[dependencies]\nsqlx = \"0.8\"\n"),
                ("migrations/1_a.sql", ""),
            ],
            "sqlx",
            "migrations",
        ),
        (
            &[
                ("diesel.toml", "[migrations_directory]\ndir = \"db\"\n"),
                ("Cargo.toml", "[dependencies]\ndiesel = \"2\"\n"),
            ],
            "diesel",
            "db",
        ),
        (
            &[
                (
                    "Cargo.toml",
                    "[dependencies]\nrefinery = { version = \"0.8\" }\n",
                ),
                ("src/sql/V1__a.sql", ""),
            ],
            "refinery",
            "src/sql",
        ),
        (
            &[
                (
                    "migration/Cargo.toml",
                    "[dependencies.sea-orm-migration]\nversion = \"1\"\n",
                ),
                ("Cargo.toml", "[dependencies]\nsea-orm = \"1\"\n"),
            ],
            "seaorm",
            "migration/src",
        ),
        (
            &[("sqitch.conf", "[core]\n\tengine = pg\n\ttop_dir = db\n")],
            "sqitch",
            "db",
        ),
        (
            &[("prisma/schema.prisma", "")],
            "prisma",
            "prisma/migrations",
        ),
        (
            &[
                ("pom.xml", "<artifactId>flyway-core</artifactId>"),
                ("src/main/resources/application.yml", ""),
            ],
            "flyway",
            "src/main/resources/db/migration",
        ),
        (
            &[("flyway.toml", "locations = [\"filesystem:migrations\"]\n")],
            "flyway",
            "migrations",
        ),
        (
            &[(
                "src/main/resources/db/changelog/db.changelog-master.yaml",
                "databaseChangeLog:\n",
            )],
            "liquibase",
            "src/main/resources/db/changelog",
        ),
        (&[("sql/00001_a.sql", "-- +goose Up\n")], "goose", "sql"),
        (
            &[
                ("go.mod", "require github.com/golang-migrate/migrate/v4 v4"),
                ("db/000001_a.up.sql", ""),
            ],
            "golang-migrate",
            "db",
        ),
        (
            &[(
                "atlas.hcl",
                "env \"x\" {\n  migration {\n    dir = \"file://db/m\"\n  }\n}\n",
            )],
            "atlas",
            "db/m",
        ),
        (
            &[("dbconfig.yml", "development:\n  dir: sql/m\n")],
            "sql-migrate",
            "sql/m",
        ),
        (
            &[("mix.exs", "{:ecto_sql, \"~> 3\"}")],
            "ecto",
            "priv/repo/migrations",
        ),
        (&[("artisan", "")], "laravel", "database/migrations"),
    ];
    for (files, name, folder) in cases {
        let view = view(files);
        let certain: Vec<&str> = FRAMEWORKS
            .iter()
            .filter(|framework| (framework.detect)(&view).is_some_and(|marker| marker.is_certain))
            .map(|framework| framework.name)
            .collect();
        assert_eq!(certain, [*name], "{files:?}");
        assert_eq!(
            (Framework::of_name(name).unwrap().folder)(&view),
            *folder,
            "{files:?}"
        );
    }
    let tried: std::collections::BTreeSet<&str> = cases.iter().map(|case| case.1).collect();
    let missing = FRAMEWORKS
        .iter()
        .map(|framework| framework.name)
        .filter(|name| *name != "sql" && !tried.contains(name));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
}

/// Names and links that go on where the project's own migrations end.
#[test]
fn new_files_follow_those_that_are_there() {
    let def = IndexDef {
        table: RelationName::new("public", "shop_order"),
        name: "shop_order_customer_idx".into(),
        method: "btree".into(),
        keys: vec![IndexKey::column("customer_id")],
        ..IndexDef::default()
    };
    let planned = planned(vec![IndexChange::create(def)], "it is slow");
    let cases: &[(&str, Files, &str, &str)] = &[
        (
            "django",
            &[
                ("0001_initial.py", ""),
                ("0009_x.py", "dependencies = [('shop', '0001_initial')]"),
            ],
            "0010_shop_order_customer_idx.py",
            "(\"shop\", \"0009_x\")",
        ),
        (
            "alembic",
            &[
                ("a1_x.py", "revision = 'a1'\ndown_revision = None\n"),
                (
                    "b2_y.py",
                    "revision: str = 'b2'\ndown_revision: str = 'a1'\n",
                ),
            ],
            "_shop_order_customer_idx.py",
            "down_revision = \"b2\"",
        ),
        (
            "rails",
            &[(
                "20270101000000_x.rb",
                "class X < ActiveRecord::Migration[7.0]",
            )],
            "20270101000000_x.rb",
            "ActiveRecord::Migration[7.0]",
        ),
        (
            "golang-migrate",
            &[("000041_x.up.sql", ""), ("000041_x.down.sql", "")],
            "000042_clear_left_overs",
            "",
        ),
        (
            "refinery",
            &[("V1__a.sql", ""), ("V12__b.sql", "")],
            "V13__shop_order_customer_idx.sql",
            "",
        ),
        (
            "flyway",
            &[("V7__b.sql", "")],
            "V8__shop_order_customer_idx.sql",
            "CREATE INDEX CONCURRENTLY",
        ),
        (
            "goose",
            &[("00003_b.sql", "")],
            "00004_shop_order_customer_idx.sql",
            "-- +goose NO TRANSACTION",
        ),
        (
            "drizzle",
            &[
                ("0004_x.sql", ""),
                (
                    "meta/_journal.json",
                    "{\"version\":\"7\",\"dialect\":\"postgresql\",\"entries\":[{\"idx\":4,\"version\":\"7\",\"when\":1900000000000,\"tag\":\"0004_x\",\"breakpoints\":true}]}",
                ),
            ],
            "0005_shop_order_customer_idx.sql",
            "COMMIT;",
        ),
        (
            "laravel",
            &[("2025_01_01_000000_x.php", "")],
            "2026_01_01_000000_shop_order_customer_idx.php",
            "$withinTransaction = false",
        ),
        (
            "sqlx",
            &[("1_a.sql", "")],
            "3_shop_order_customer_idx.sql",
            "-- no-transaction\n",
        ),
    ];
    for (framework, files, name, content) in cases {
        let existing = view(files);
        let rendered = render(framework, &planned, &ProjectView::empty(), &existing);
        let holds =
            |file: &MigrationFile| file.path.contains(name) && file.content.contains(content);
        if *framework == "rails" {
            assert!(rendered[0].content.contains(content));
            continue;
        }
        assert!(rendered.iter().any(holds), "{framework}: {rendered:#?}");
    }
}
