//! Snapshots that mean harm, or say what cannot be: nothing of them gets out of the throwaway server, and what is impossible is refused.

use std::process::Command;

use crate::{
    support,
    twin::{capture, planned},
};

#[tokio::test]
async fn a_hostile_snapshot_reaches_nothing() {
    let database = support::database("hostile").await;
    database
        .run("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t SELECT i, 'x' || i FROM generate_series(1, 1000) i; ANALYZE")
        .await;
    let (folder, path, _) = capture(&database.url, "none");
    let mut snapshot = pgassay::snapshot::read(&std::fs::read(&path).unwrap()[..]).unwrap();
    let marks = tempfile::tempdir().unwrap();
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(marks.path(), open_to_all).unwrap();
    let mark = |name: &str| marks.path().join(name).display().to_string();
    let planner = snapshot.planner.as_mut().unwrap();
    attack(planner, &mark);
    let hostile = folder.path().join("hostile.pgassay");
    let mut bytes = Vec::new();
    pgassay::snapshot::write(&snapshot, &mut bytes).unwrap();
    std::fs::write(&hostile, bytes).unwrap();
    let queries = "SELECT * FROM public.evil_table_0;\nSELECT * FROM public.evil_parent_2 WHERE a = 'x';\nSELECT * FROM t WHERE a = public.evil('x');\nSELECT * FROM t WHERE public.evil(a) = 'x';\nSELECT public.evil_stable(id::text) FROM t WHERE a > public.evil_stable('x');\nSELECT rolsuper FROM pg_roles WHERE rolname = current_user;\n\
        SELECT public.evil_sum(a) FROM t;\nSELECT * FROM t WHERE a OPERATOR(public.<~~>) 'x';\nSELECT t::text FROM t;\nSELECT public.evil_c('x'), public.evil_internal('x'), public.evil_perl('x');\n";
    let plans = planned(hostile.to_str().unwrap(), queries);
    assert_eq!(plans.len(), 10);
    // indexes that are asked for run their expressions on a sample
    for ddl in [
        "CREATE INDEX ON public.t (public.evil(a))",
        "CREATE INDEX ON public.t USING gin ((ARRAY[public.evil(a)]))",
        "CREATE INDEX ON public.t (id) WHERE public.evil(a) = 'x'",
        "CREATE INDEX ON public.t (a) WHERE public.evil(a) = 'x'",
    ] {
        let asked = Command::new(env!("CARGO_BIN_EXE_pgassay"))
            .args([
                "plan",
                "SELECT 1",
                "--snapshot",
                hostile.to_str().unwrap(),
                "--index",
                ddl,
            ])
            .output()
            .unwrap();
        assert!(
            asked
                .status
                .code()
                .is_some_and(|code| code == 0 || code == 2)
        );
    }
    let made: Vec<_> = std::fs::read_dir(marks.path()).unwrap().collect();
    assert!(made.is_empty(), "{made:?}");
}

/// Puts code into every place of a snapshot that holds SQL.
fn attack(planner: &mut pgassay::catalog::planner::PlannerState, mark: &dyn Fn(&str) -> String) {
    use pgassay::catalog::{
        RelationName,
        planner::{ConstraintDef, ConstraintKind, ExtensionDef, FunctionDef, IndexObject, ViewDef},
    };
    let t = RelationName::new("public", "t");
    let copy = |name: &str| format!("COPY (SELECT 1) TO PROGRAM 'touch {}'", mark(name));
    let body = |name: &str| {
        format!(
            "BEGIN BEGIN {}; EXCEPTION WHEN OTHERS THEN NULL; END; BEGIN COPY (SELECT 1) TO '{}'; EXCEPTION WHEN OTHERS THEN NULL; END; \
             BEGIN PERFORM lo_export(lo_from_bytea(0, 'x'), '{}'); EXCEPTION WHEN OTHERS THEN NULL; END; RETURN a; END",
            copy(name),
            mark(&format!("{name}_file")),
            mark(&format!("{name}_object"))
        )
    };
    for (name, volatility) in [("evil", "i"), ("evil_stable", "s")] {
        planner.objects.functions.push(FunctionDef {
            name: RelationName::new("public", name),
            arguments: "a text".into(),
            result: "text".into(),
            language: "plpgsql".into(),
            volatility: volatility.into(),
            parallel: "s".into(),
            body: Some(body(name)),
            ..FunctionDef::default()
        });
    }
    let untrusted = FunctionDef {
        name: RelationName::new("public", "untrusted"),
        result: "text".into(),
        language: "plpython3u".into(),
        body: Some("import os".into()),
        ..FunctionDef::default()
    };
    planner.objects.functions.push(untrusted);
    for (n, sql) in [
        copy("index"),
        "CREATE INDEX evil_index ON public.t (public.evil(a))".to_owned(),
        "ALTER SYSTEM SET archive_command = 'touch /nowhere'".to_owned(),
        "ALTER ROLE CURRENT_USER SUPERUSER".to_owned(),
        "CREATE EXTENSION dblink".to_owned(),
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION public.evil_stable()"
            .to_owned(),
        "LOAD '/tmp/evil.so'".to_owned(),
        format!("DO $$ BEGIN {}; END $$", copy("block")),
        format!("SELECT 1; {}", copy("second")),
    ]
    .into_iter()
    .enumerate()
    {
        planner.objects.indexes.push(IndexObject {
            name: RelationName::new("public", format!("evil_{n}")),
            table: t.clone(),
            definition: Some(sql),
            valid: true,
            ..IndexObject::default()
        });
    }
    planner.objects.constraints.push(ConstraintDef {
        table: t.clone(),
        name: "evil".into(),
        kind: ConstraintKind::Check,
        definition: "CHECK (public.evil('x') = a)".into(),
    });
    planner.objects.views.push(ViewDef {
        name: RelationName::new("public", "evil_view"),
        definition: "SELECT public.evil('x') AS a".into(),
        columns: vec![("a".into(), "text".into())],
        ..ViewDef::default()
    });
    planner.objects.extensions.push(ExtensionDef {
        name: "file_fdw".into(),
        schema: "public".into(),
        version: "1".into(),
    });
    planner.role = "postgres".into();
    attack_tables(planner, &copy);
    attack_objects(planner, &copy, mark);
}

/// The same in aggregates, operators, casts, operator classes, text search objects, and languages that reach the machine.
fn attack_objects(
    planner: &mut pgassay::catalog::planner::PlannerState,
    copy: &dyn Fn(&str) -> String,
    mark: &dyn Fn(&str) -> String,
) {
    use pgassay::catalog::{
        RelationName,
        planner::{
            AggregateDef, CastDef, OperatorDef, SearchConfigurationDef, SearchDictionaryDef,
        },
    };
    let named = |name: &str| RelationName::new("public", name);
    let options = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let pair = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        pairs.iter().map(pair).collect()
    };
    let second = copy("object");
    planner.objects.aggregates.push(AggregateDef {
        name: named("evil_sum"),
        arguments: "text".into(),
        options: options(&[
            ("SFUNC", "public.evil_pair"),
            ("STYPE", "text"),
            ("INITCOND", "'x'"),
        ]),
        ..AggregateDef::default()
    });
    planner.objects.aggregates.push(AggregateDef {
        name: named("evil_sum_2"),
        arguments: format!("text) (SFUNC = textcat, STYPE = text); {second}; --"),
        ..AggregateDef::default()
    });
    for (name, option) in [
        ("<~~>", "PROCEDURE".to_owned()),
        ("<~!>", format!("PROCEDURE = texteq); {second}; --")),
        (
            &format!("+ (PROCEDURE = texteq); {second}; --")[..],
            "PROCEDURE".to_owned(),
        ),
    ] {
        planner.objects.operators.push(OperatorDef {
            name: named(name),
            options: vec![
                (option, "public.evil_equal".to_owned()),
                ("LEFTARG".to_owned(), "text".to_owned()),
                ("RIGHTARG".to_owned(), "text".to_owned()),
                ("RESTRICT".to_owned(), "public.evil_estimator".to_owned()),
            ],
            ..OperatorDef::default()
        });
    }
    for (target, function) in [
        ("text", "public.evil_cast(public.t)".to_owned()),
        ("text", format!("public.evil_cast(public.t); {second}; --")),
        (
            &format!("text) WITH INOUT; {second}; --")[..],
            "x".to_owned(),
        ),
    ] {
        planner.objects.casts.push(CastDef {
            source: "public.t".into(),
            target: target.into(),
            function: Some(function),
            context: "i".into(),
        });
    }
    planner
        .objects
        .search_dictionaries
        .push(SearchDictionaryDef {
            name: named("evil_words"),
            template: format!("simple); {second}; --"),
            options: Some(format!("stopwords = '../../../../{}'", mark("words"))),
        });
    planner
        .objects
        .search_configurations
        .push(SearchConfigurationDef {
            name: named("evil_search"),
            parser: format!("\"default\"); {second}; --"),
            mappings: vec![("word".into(), vec![format!("simple; {second}; --")])],
        });
    attack_code(planner, copy);
}

/// Functions for the above, code in languages that reach the machine, and definitions that no index has.
fn attack_code(
    planner: &mut pgassay::catalog::planner::PlannerState,
    copy: &dyn Fn(&str) -> String,
) {
    use pgassay::catalog::{
        RelationName,
        planner::{FunctionDef, IndexObject},
    };
    let named = |name: &str| RelationName::new("public", name);
    let body = format!(
        "BEGIN BEGIN {}; EXCEPTION WHEN OTHERS THEN NULL; END; RETURN NULL; END",
        copy("function")
    );
    for (name, arguments, result) in [
        ("evil_pair", "a text, b text", "text"),
        ("evil_equal", "a text, b text", "boolean"),
        ("evil_cast", "a public.t", "text"),
        ("evil_trigger", "", "event_trigger"),
    ] {
        planner.objects.functions.push(FunctionDef {
            name: named(name),
            arguments: arguments.into(),
            result: result.into(),
            language: "plpgsql".into(),
            volatility: "i".into(),
            body: Some(body.clone()),
            ..FunctionDef::default()
        });
    }
    // code that runs as the server itself, if anybody let it in
    for (name, language, body) in [
        ("evil_c", "c", "/tmp/evil.so', 'evil"),
        ("evil_internal", "internal", "lo_export"),
        ("evil_perl", "plperlu", "system('true')"),
        ("evil_estimator", "internal", "eqsel"),
    ] {
        planner.objects.functions.push(FunctionDef {
            name: named(name),
            arguments: "a text".into(),
            result: "text".into(),
            language: language.into(),
            volatility: "i".into(),
            body: Some(body.into()),
            ..FunctionDef::default()
        });
    }
    for (n, sql) in [
        "CREATE OPERATOR CLASS public.evil_ops DEFAULT FOR TYPE text USING btree AS OPERATOR 3 public.<~~>, FUNCTION 1 bttextcmp(text, text)",
        "CREATE OPERATOR FAMILY public.evil_family USING btree",
        "CREATE LANGUAGE plperlu",
        "CREATE SERVER s FOREIGN DATA WRAPPER file_fdw",
        "CREATE TABLESPACE evil LOCATION '/tmp'",
        "CREATE SUBSCRIPTION s CONNECTION 'host=/tmp' PUBLICATION p",
        "SET SESSION AUTHORIZATION postgres",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT lo_import('/etc/passwd')",
        "VACUUM",
    ]
    .into_iter()
    .enumerate()
    {
        planner.objects.indexes.push(IndexObject {
            name: named(&format!("evil_object_{n}")),
            table: named("t"),
            definition: Some(sql.to_owned()),
            valid: true,
            ..IndexObject::default()
        });
    }
}

/// What is put into a snapshot that no database could hold.
type Lie<'a> = &'a dyn Fn(&mut pgassay::catalog::planner::PlannerState);

/// A snapshot that lies about sizes, names or numbers is refused as a whole, with the reason.
#[tokio::test]
async fn an_impossible_snapshot_is_refused_with_the_reason() {
    use pgassay::catalog::{
        RelationName,
        planner::{Combination, CommonCombinations},
    };
    let database = support::database("impossible").await;
    database
        .run("CREATE TABLE t (id int PRIMARY KEY, a text); CREATE STATISTICS s (mcv) ON id, a FROM t; INSERT INTO t SELECT i, 'x' || i % 7 FROM generate_series(1, 1000) i; ANALYZE")
        .await;
    let (folder, path, _) = capture(&database.url, "none");
    let bytes = std::fs::read(&path).unwrap();
    let lies: [(&str, &str, Lie<'_>); 6] = [
        ("blocks", "sizes of public.t", &|state| {
            state
                .physical
                .iter_mut()
                .for_each(|p| p.n_blocks = u64::MAX);
        }),
        ("petabytes", "more than 64 TiB", &|state| {
            state.physical.iter_mut().for_each(|p| p.n_blocks = 1 << 30);
            let first = state.physical[0].clone();
            state.physical.resize(10, first);
        }),
        ("rows", "sizes of public.t", &|state| {
            state.physical.iter_mut().for_each(|p| p.reltuples = -5.0);
        }),
        ("path", "system's schema", &|state| {
            state.objects.tables[0].name = RelationName::new("pg_catalog", "../../etc/passwd");
        }),
        ("name", "a name of", &|state| {
            state.objects.tables[0].name.name = "x".repeat(5000);
        }),
        ("combinations", "extended statistics public.s", &|state| {
            state.extended_statistics[0].combinations = Some(CommonCombinations {
                types: vec!["integer".into(), "text".into()],
                items: vec![Combination {
                    values: vec![None, None],
                    frequency: 7.0,
                    base_frequency: 0.1,
                }],
            });
        }),
    ];
    for (name, reason, lie) in lies {
        let mut snapshot = pgassay::snapshot::read(&bytes[..]).unwrap();
        lie(snapshot.planner.as_mut().unwrap());
        let mut written = Vec::new();
        pgassay::snapshot::write(&snapshot, &mut written).unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, written).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_pgassay"))
            .args(["plan", "SELECT 1", "--snapshot", path.to_str().unwrap()])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(reason), "{name}: {said}");
    }
    // a changed byte anywhere is found, whatever it says
    for at in [40, bytes.len() / 2, bytes.len() - 3] {
        let mut tampered = bytes.clone();
        tampered[at] ^= 0x10;
        let error = pgassay::snapshot::read(&tampered[..]).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
}

/// The same in columns, domains, policies, bounds, statistics and definitions of every other kind.
fn attack_tables(
    planner: &mut pgassay::catalog::planner::PlannerState,
    copy: &dyn Fn(&str) -> String,
) {
    use pgassay::catalog::{
        RelationName,
        planner::{ColumnDef, PolicyDef, TableDef, TableKind, TypeDef, TypeShape},
    };
    let named = |name: &str| RelationName::new("public", name);
    let column = |type_name: &str, expression: &str, generated: &str| ColumnDef {
        name: "a".into(),
        type_name: type_name.into(),
        generated: generated.into(),
        expression: Some(expression.into()),
        ..ColumnDef::default()
    };
    let evil = "public.evil('x')";
    for (at, column) in [
        column("text", evil, ""),
        column("text", evil, "s"),
        column("evil_domain", "'x'::evil_domain", ""),
        column(&format!("text); {}; --", copy("type")), "1", ""),
        column("text", &format!("1); {}; --", copy("default")), ""),
    ]
    .into_iter()
    .enumerate()
    {
        planner.objects.tables.push(TableDef {
            name: named(&format!("evil_table_{at}")),
            columns: vec![column],
            row_security: true,
            ..TableDef::default()
        });
    }
    planner.objects.tables.push(TableDef {
        name: named("evil_parent"),
        kind: TableKind::Partitioned,
        columns: vec![column("text", "'x'", "")],
        partition_key: Some(format!("LIST ({evil})")),
        ..TableDef::default()
    });
    planner.objects.tables.push(TableDef {
        name: named("evil_parent_2"),
        kind: TableKind::Partitioned,
        columns: vec![column("text", "'x'", "")],
        partition_key: Some("LIST (a)".into()),
        ..TableDef::default()
    });
    planner.objects.tables.push(TableDef {
        name: named("evil_part"),
        partition_of: Some((named("evil_parent_2"), format!("FOR VALUES IN ({evil})"))),
        columns: vec![column("text", "'x'", "")],
        ..TableDef::default()
    });
    planner.objects.types.push(TypeDef {
        name: named("evil_domain"),
        shape: TypeShape::Domain {
            base: "text".into(),
            not_null: false,
            collation: None,
            checks: vec![
                format!("CHECK (VALUE = {evil})"),
                format!("CHECK (true); {}", copy("check")),
            ],
        },
    });
    for (at, using) in [
        evil.to_owned() + " = a",
        format!("true); {}; --", copy("policy")),
    ]
    .into_iter()
    .enumerate()
    {
        planner.objects.policies.push(PolicyDef {
            table: named("t"),
            name: format!("evil_{at}"),
            permissive: true,
            command: "*".into(),
            using: Some(using),
            check: None,
        });
    }
    attack_values(planner, copy);
}

/// The same in what the superuser writes into catalogs.
fn attack_values(
    planner: &mut pgassay::catalog::planner::PlannerState,
    copy: &dyn Fn(&str) -> String,
) {
    use pgassay::catalog::{
        RelationName,
        planner::{CollationDef, Endpoint, SlotValues, StatisticsDef},
    };
    let named = |name: &str| RelationName::new("public", name);
    planner.objects.statistics.push(StatisticsDef {
        name: named("evil_statistics"),
        definition: format!(
            "CREATE STATISTICS public.evil_statistics ON (public.evil(a)), id FROM public.t; {}",
            copy("statistics")
        ),
    });
    // made by the superuser, because the system's schema is the machine's
    planner.objects.collations.push(CollationDef {
        name: RelationName::new("pg_catalog", "evil"),
        locale: format!("C'); {}; --", copy("collation")),
        ..CollationDef::default()
    });
    for row in &mut planner.column_statistics {
        for slot in &mut row.row.slots {
            slot.operator =
                Some("public.evil(text,text)'; COPY (SELECT 1) TO PROGRAM 'true".into());
            slot.values = Some(SlotValues {
                type_name: "evil_domain".into(),
                elements: vec![Some("x".into()), Some(format!("'; {}", copy("value")))],
            });
        }
    }
    planner.endpoints.push(Endpoint {
        table: named("t"),
        column: "a".into(),
        type_name: "text); --".into(),
        min: "'; --".into(),
        max: copy("end"),
    });
    planner
        .settings
        .push(pgassay::catalog::planner::PlannerSetting {
            name: "search_path".into(),
            value: format!("public; {}", copy("setting")),
        });
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_the_reason() {
    let database = support::database("damaged").await;
    database.run("CREATE TABLE t (id int)").await;
    let (folder, path, _) = capture(&database.url, "default");
    let bytes = std::fs::read(&path).unwrap();
    let mut newer = bytes.clone();
    newer[16] = 99;
    for (name, bytes, reason) in [
        ("cut", &bytes[..bytes.len() / 2], "cut short"),
        ("newer", &newer[..], "newer than this pgassay knows"),
        (
            "other",
            &b"SELECT 1; -- no snapshot at all"[..],
            "not a pgassay snapshot",
        ),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_pgassay"))
            .args(["plan", "SELECT 1", "--snapshot", path.to_str().unwrap()])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(reason), "{said}");
    }
}
