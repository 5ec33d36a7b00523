//! A minimal project of each framework, as its own documentation starts one, and how its tool goes up and down.

use std::os::unix::fs::symlink;

use super::{Lab, install};

/// A framework's tool.
pub(crate) struct Tool {
    pub(crate) framework: &'static str,
    pub(crate) install: fn(),
    /// Writes the project.
    pub(crate) project: fn(&Lab),
    /// Shell command.
    pub(crate) up: &'static str,
    /// Reverts all.
    pub(crate) down: fn(&Lab),
    /// Moves drops to where they run.
    pub(crate) take_up_drops: fn(&Lab),
    /// What the tool itself wants after a failure.
    pub(crate) mend: fn(&Lab),
    /// Its builds wait for old transactions, and can be cancelled meanwhile.
    pub(crate) builds_concurrently: bool,
    /// It has to be told to mend an index that a build left.
    pub(crate) sends_files_whole: bool,
}

const TOOL: Tool = Tool {
    framework: "sql",
    install: || {},
    project: |_| {},
    up: "for f in $(ls migrations/*.up.sql 2>/dev/null); do psql -X -q -v ON_ERROR_STOP=1 -f $f || exit 1; done",
    down: |lab| {
        lab.run("for f in $(ls -r migrations/*.down.sql); do psql -X -q -v ON_ERROR_STOP=1 -f $f || exit 1; done");
    },
    take_up_drops: |lab| lab.take_up_drops("migrations"),
    mend: |_| {},
    builds_concurrently: true,
    sends_files_whole: false,
};

pub(crate) fn sql() -> Tool {
    TOOL
}

fn with_node_modules(lab: &Lab) {
    symlink(
        install::folder().join("node/node_modules"),
        lab.path("node_modules"),
    )
    .unwrap();
}

fn package(lab: &Lab, dependencies: &str) {
    with_node_modules(lab);
    lab.write(
        "package.json",
        &format!("{{\"private\": true, \"dependencies\": {{ {dependencies} }} }}\n"),
    );
}

pub(crate) fn django() -> Tool {
    Tool {
        framework: "django",
        install: install::python,
        project: |lab| {
            lab.write(
                "manage.py",
                "import os, sys\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site_settings')\nfrom django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n",
            );
            lab.write(
                "site_settings.py",
                "import os\nSECRET_KEY = 'x'\nINSTALLED_APPS = ['shop', 'log']\nDEFAULT_AUTO_FIELD = 'django.db.models.AutoField'\nDATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', \
                 'NAME': os.environ['PGDATABASE'], 'USER': os.environ['PGUSER'], 'HOST': '127.0.0.1', 'PORT': os.environ['PGPORT']}}\n",
            );
            lab.write("shop/__init__.py", "");
            lab.write("log/__init__.py", "");
            lab.write(
                "shop/models.py",
                "from django.db import models\n\n\nclass Customer(models.Model):\n    pass\n\n\nclass Order(models.Model):\n    customer = models.ForeignKey(Customer, models.CASCADE, null=True, db_index=False)\n    \
                 name = models.TextField(null=True)\n    status = models.TextField(null=True)\n    tags = models.JSONField(null=True)\n\n    class Meta:\n        db_table = \"orders\"\n",
            );
            lab.write(
                "log/models.py",
                "from django.db import models\n\n\nclass Event(models.Model):\n    user_id = models.IntegerField()\n\n    class Meta:\n        db_table = \"events\"\n        managed = False\n",
            );
            lab.run("python manage.py makemigrations shop log && python manage.py migrate --fake");
        },
        up: "python manage.py migrate",
        down: |lab| {
            lab.run("python manage.py migrate shop 0001 && python manage.py migrate log 0001");
        },
        take_up_drops: |lab| lab.take_up_drops("shop/migrations"),
        ..TOOL
    }
}

pub(crate) fn alembic() -> Tool {
    Tool {
        framework: "alembic",
        install: install::python,
        project: |lab| {
            lab.run("alembic init db >/dev/null");
            lab.run(
                "sed -i 's#^target_metadata = None#import os, models\\ntarget_metadata = models.Base.metadata\\nconfig.set_main_option(\"sqlalchemy.url\", os.environ[\"DATABASE_URL\"].replace(\"postgres://\", \"postgresql://\"))#' db/env.py && \
                 sed -i 's#target_metadata=target_metadata#target_metadata=target_metadata, include_object=models.only_orders#' db/env.py && \
                 sed -i 's#^prepend_sys_path.*#prepend_sys_path = .#' alembic.ini",
            );
            lab.write("models.py", MODELS);
        },
        up: "alembic upgrade head",
        down: |lab| {
            lab.run("alembic downgrade base");
        },
        take_up_drops: |lab| lab.take_up_drops("db/versions"),
        ..TOOL
    }
}

pub(crate) const MODELS: &str = "from sqlalchemy import Column, Index, Integer, JSON, Text, text\nfrom sqlalchemy.orm import declarative_base\nfrom sqlalchemy.dialects.postgresql import JSONB\n\nBase = declarative_base()\n\n\ndef only_orders(thing, name, kind, reflected, compare_to):\n    return kind != \"table\" or name == \"orders\"\n\n\n\
class Order(Base):\n    __tablename__ = \"orders\"\n    id = Column(Integer, primary_key=True)\n    customer_id = Column(Integer)\n    name = Column(Text)\n    status = Column(Text)\n    tags = Column(JSONB)\n\
\x20   __table_args__ = (\n        Index(\"orders_kept_idx\", \"name\"),\n        # more\n    )\n";

pub(crate) fn rails() -> Tool {
    Tool {
        framework: "rails",
        install: || {
            install::debian(
                "Active Record",
                "ruby -ractive_record -rpg -e 1",
                "ruby-activerecord ruby-pg",
            );
        },
        project: |lab| {
            lab.write("Gemfile", "gem \"rails\"\n");
            lab.write("config/application.rb", "module Shop\nend\n");
            lab.write(
                "migrate.rb",
                "require \"active_record\"\nrequire \"pg\"\nActiveRecord::Base.establish_connection(adapter: \"postgresql\", host: \"127.0.0.1\", port: ENV[\"PGPORT\"], \
                 username: ENV[\"PGUSER\"], database: ENV[\"PGDATABASE\"])\ncontext = ActiveRecord::MigrationContext.new(\"db/migrate\", ActiveRecord::SchemaMigration)\n\
                 context.migrate(ARGV[0] == \"down\" ? 0 : nil)\n",
            );
        },
        up: "ruby migrate.rb",
        down: |lab| {
            lab.run("ruby migrate.rb down");
        },
        take_up_drops: |lab| lab.take_up_drops("db/migrate"),
        ..TOOL
    }
}

pub(crate) fn knex() -> Tool {
    Tool {
        framework: "knex",
        install: install::node,
        project: |lab| {
            package(lab, "\"knex\": \"3\"");
            lab.write("knexfile.js", "module.exports = { client: 'pg', connection: process.env.DATABASE_URL, migrations: { directory: './db/changes' } };\n");
        },
        up: "knex migrate:latest",
        down: |lab| {
            lab.run("knex migrate:rollback --all");
        },
        take_up_drops: |lab| lab.take_up_drops("db/changes"),
        ..TOOL
    }
}

pub(crate) fn sequelize() -> Tool {
    Tool {
        framework: "sequelize",
        install: install::node,
        project: |lab| {
            package(lab, "\"sequelize\": \"6\", \"sequelize-cli\": \"6\"");
            lab.write(
                ".sequelizerc",
                "const path = require('path');\nmodule.exports = { config: path.resolve('config.js'), 'migrations-path': path.resolve('db', 'migrations') };\n",
            );
            lab.write("config.js", "module.exports = { development: { use_env_variable: 'DATABASE_URL', dialect: 'postgres', logging: false } };\n");
        },
        up: "sequelize-cli db:migrate",
        down: |lab| {
            lab.run("sequelize-cli db:migrate:undo:all");
        },
        take_up_drops: |lab| lab.take_up_drops("db/migrations"),
        ..TOOL
    }
}

pub(crate) fn typeorm() -> Tool {
    Tool {
        framework: "typeorm",
        install: install::node,
        project: |lab| {
            package(lab, "\"typeorm\": \"1\"");
            lab.write("tsconfig.json", "{ \"compilerOptions\": { \"module\": \"commonjs\", \"target\": \"es2022\", \"esModuleInterop\": true } }\n");
            lab.write(
                "src/data-source.ts",
                "import { DataSource } from \"typeorm\";\nexport default new DataSource({ type: \"postgres\", url: process.env.DATABASE_URL, entities: [], migrations: [\"src/changes/**/*.ts\"] });\n",
            );
        },
        up: "typeorm-ts-node-commonjs migration:run -d src/data-source.ts --transaction each",
        down: |lab| {
            lab.run(
                "for f in $(ls src/changes/*.ts); do typeorm-ts-node-commonjs migration:revert -d src/data-source.ts --transaction none || exit 1; done",
            );
        },
        take_up_drops: |lab| lab.take_up_drops("src/changes"),
        ..TOOL
    }
}

pub(crate) fn kysely() -> Tool {
    Tool {
        framework: "kysely",
        install: install::node,
        project: |lab| {
            package(lab, "\"kysely\": \"0\", \"kysely-ctl\": \"0\"");
            lab.write(
                "kysely.config.ts",
                "import { PostgresDialect } from \"kysely\";\nimport { defineConfig } from \"kysely-ctl\";\nimport pg from \"pg\";\n\
                 export default defineConfig({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: process.env.DATABASE_URL }) }), migrations: { migrationFolder: \"migrations\" } });\n",
            );
        },
        up: "kysely migrate:latest --no-transaction",
        down: |lab| {
            lab.run("kysely migrate:rollback --all --no-transaction");
        },
        ..TOOL
    }
}

pub(crate) fn node_pg_migrate() -> Tool {
    Tool {
        framework: "node-pg-migrate",
        install: install::node,
        project: |lab| package(lab, "\"node-pg-migrate\": \"9\""),
        up: "node-pg-migrate up",
        down: |lab| {
            lab.run("node-pg-migrate down $(ls migrations/*.js | wc -l)");
        },
        ..TOOL
    }
}

pub(crate) fn drizzle() -> Tool {
    Tool {
        framework: "drizzle",
        install: install::node,
        project: |lab| {
            package(lab, "\"drizzle-kit\": \"0\", \"drizzle-orm\": \"0\"");
            lab.write(
                "drizzle.config.ts",
                "import { defineConfig } from \"drizzle-kit\";\nexport default defineConfig({ dialect: \"postgresql\", schema: \"./schema.ts\", out: \"./drizzle\", dbCredentials: { url: process.env.DATABASE_URL! } });\n",
            );
            lab.write(
                "schema.ts",
                "import { integer, pgTable, text } from \"drizzle-orm/pg-core\";\nexport const orders = pgTable(\"orders\", { id: integer(\"id\").primaryKey(), customerId: integer(\"customer_id\"), name: text(\"name\") });\n",
            );
            lab.run("drizzle-kit generate --custom --name start && test -f drizzle/0000_start.sql");
        },
        up: "drizzle-kit migrate",
        // no way back of its own: the scripts, and its record
        down: |lab| {
            lab.run("for f in $(ls -r drizzle/undo/*.psql); do psql -X -q -v ON_ERROR_STOP=1 -f $f || exit 1; done; psql -q -c 'DELETE FROM drizzle.__drizzle_migrations WHERE id > 1'");
        },
        take_up_drops: |lab| {
            lab.run(
                "for f in drizzle/drops/*.sql; do n=$(basename $f .sql); n=${n#*_}; drizzle-kit generate --custom --name $n >/dev/null; cat $f > $(ls drizzle/*_$n.sql); rm $f; done; mv drizzle/drops/undo/*.psql drizzle/undo/",
            );
        },
        ..TOOL
    }
}

pub(crate) fn dbmate() -> Tool {
    Tool {
        framework: "dbmate",
        install: install::node,
        project: |lab| {
            with_node_modules(lab);
            lab.write(
                "db/migrations/20200101000000_start.sql",
                "-- migrate:up\nSELECT 1;\n\n-- migrate:down\nSELECT 1;\n",
            );
        },
        up: "dbmate --no-dump-schema up",
        down: |lab| {
            lab.run("for f in $(ls db/migrations/*.sql | tail -n +2); do dbmate --no-dump-schema rollback || exit 1; done");
        },
        take_up_drops: |lab| lab.take_up_drops("db/migrations"),
        sends_files_whole: true,
        ..TOOL
    }
}

pub(crate) fn sqlx() -> Tool {
    Tool {
        framework: "sqlx",
        install: || {
            install::cargo(
                "sqlx",
                &[
                    "sqlx-cli@0.9.0",
                    "--no-default-features",
                    "--features",
                    "postgres,rustls",
                ],
            );
        },
        project: |lab| {
            lab.write(
                "Cargo.toml",
                "[package]\nname = \"x\"\n\n[dependencies]\nsqlx = { version = \"0.9\" }\n",
            );
        },
        up: "sqlx migrate run",
        down: |lab| {
            lab.run("sqlx migrate revert --target-version 0");
        },
        sends_files_whole: true,
        ..TOOL
    }
}

pub(crate) fn diesel() -> Tool {
    Tool {
        framework: "diesel",
        install: || {
            install::cargo(
                "diesel",
                &[
                    "diesel_cli@2.3.14",
                    "--no-default-features",
                    "--features",
                    "postgres",
                ],
            );
        },
        project: |lab| {
            lab.write(
                "diesel.toml",
                "[migrations_directory]\ndir = \"migrations\"\n",
            );
            lab.run("mkdir migrations");
        },
        up: "diesel migration run",
        down: |lab| {
            lab.run("diesel migration revert --all");
        },
        take_up_drops: |lab| {
            lab.run("mv migrations/.drops/* migrations/ && rmdir migrations/.drops");
        },
        sends_files_whole: true,
        ..TOOL
    }
}

pub(crate) fn refinery() -> Tool {
    Tool {
        framework: "refinery",
        install: || {
            install::cargo(
                "refinery",
                &[
                    "refinery_cli@0.10.0",
                    "--no-default-features",
                    "--features",
                    "postgresql",
                ],
            );
        },
        project: |lab| {
            lab.write(
                "Cargo.toml",
                "[package]\nname = \"x\"\n\n[dependencies]\nrefinery = \"0.10\"\n",
            );
            lab.write("migrations/V1__start.sql", "SELECT 1;\n");
        },
        up: "refinery migrate -e DATABASE_URL -p migrations",
        down: |lab| {
            lab.run("for f in $(ls migrations/undo/*.psql | sort -rV); do psql -X -q -v ON_ERROR_STOP=1 -f $f || exit 1; done; psql -q -c 'DELETE FROM refinery_schema_history WHERE version > 1'");
        },
        builds_concurrently: false,
        ..TOOL
    }
}

pub(crate) fn sqitch() -> Tool {
    Tool {
        framework: "sqitch",
        install: || {
            install::debian(
                "sqitch",
                "sqitch --version && perl -MDBD::Pg -e 1",
                "sqitch libdbd-pg-perl",
            );
        },
        project: |lab| {
            lab.run("sqitch init shop --engine pg >/dev/null && sqitch config user.name x && sqitch config user.email x@example.com");
            lab.run("sqitch target add lab db:pg://$PGUSER@127.0.0.1:$PGPORT/$PGDATABASE >/dev/null && sqitch engine add pg lab >/dev/null");
        },
        up: "if sqitch status | grep -q 'Nothing to deploy'; then true; else sqitch deploy --verify; fi",
        down: |lab| {
            lab.run("sqitch revert -y");
        },
        take_up_drops: |lab| {
            lab.take_up_drops(".");
            lab.run("sqitch add drop_orders_old_idx -n drop >/dev/null");
        },
        ..TOOL
    }
}

pub(crate) fn sql_migrate() -> Tool {
    Tool {
        framework: "sql-migrate",
        install: || install::debian("sql-migrate", "which sql-migrate", "sql-migrate"),
        project: |lab| {
            lab.write("dbconfig.yml", "development:\n  dialect: postgres\n  datasource: ${DATABASE_URL}\n  dir: db/changes\n");
            lab.run("mkdir -p db/changes");
        },
        up: "sql-migrate up",
        down: |lab| {
            lab.run("sql-migrate down -limit=0");
        },
        take_up_drops: |lab| lab.take_up_drops("db/changes"),
        ..TOOL
    }
}
