//! Shapes of statements as real clients write them.

use proptest::prelude::*;

use super::*;

/// One line per scan, for comparison with what a reader would say.
fn describe(text: &str) -> String {
    describe_shape(&parse(text).unwrap())
}

fn describe_shape(shape: &QueryShape) -> String {
    let lines: Vec<String> = shape
        .scans
        .iter()
        .map(|scan| describe_scan(scan, shape))
        .collect();
    lines.join("\n")
}

fn describe_scan(scan: &Scan, shape: &QueryShape) -> String {
    let mut line = scan.relation.name.clone();
    for p in &scan.predicates {
        line += &format!(
            " [{} {} {}]",
            p.target,
            p.operator,
            operand(&p.operand, shape)
        );
    }
    for branches in &scan.any_of {
        line += &format!(" [any of {}]", branches.len());
    }
    for other in &scan.other_conditions {
        line += &format!(" <{other}>");
    }
    if !scan.sort.is_empty() {
        let keys: Vec<String> = scan
            .sort
            .iter()
            .map(|k| format!("{}{}", k.target, if k.descending { " desc" } else { "" }))
            .collect();
        line += &format!(" sort({})", keys.join(", "));
    }
    for (word, targets) in [("group", &scan.group), ("distinct on", &scan.distinct_on)] {
        if !targets.is_empty() {
            let keys: Vec<String> = targets.iter().map(ToString::to_string).collect();
            line += &format!(" {word}({})", keys.join(", "));
        }
    }
    if !scan.min_max.is_empty() {
        line += &format!(" min_max({})", scan.min_max.join(", "));
    }
    match scan.limit {
        Some(LimitClause::Rows(n)) => line += &format!(" limit {n}"),
        Some(LimitClause::Unknown) => line += " limit ?",
        None => {}
    }
    if scan.nullable {
        line += " nullable";
    }
    line
}

fn operand(operand: &Operand, shape: &QueryShape) -> String {
    match operand {
        Operand::Parameter(n) => format!("${n}"),
        Operand::Literal(text) => text.clone(),
        Operand::List(n) => format!("list({n})"),
        Operand::Column(c) => format!(
            "{}.{}",
            shape.scans[c.scan as usize].relation.name, c.column
        ),
        Operand::Expression(text) => format!("({text})"),
        Operand::None => "-".to_owned(),
    }
}

fn check(text: &str, expect: &str) {
    assert_eq!(describe(text), expect, "{text}");
}

fn check_known(text: &str, expect: &str) {
    let columns_of = |relation: &RelationRef| {
        let columns: &[&str] = match relation.name.as_str() {
            "orders" => &["id", "customer_id", "status", "total", "created_at"],
            "customers" => &["id", "email", "country"],
            "items" => &["id", "order_id", "sku"],
            _ => return None,
        };
        Some(columns.iter().map(|&c| c.to_owned()).collect())
    };
    let shape = parse_with(text, &columns_of).unwrap();
    assert!(!shape.has_unresolved, "{text}");
    assert_eq!(describe_shape(&shape), expect, "{text}");
}

#[test]
fn django() {
    check(
        r#"SELECT "authors"."id", "authors"."name" FROM "authors" WHERE "authors"."id" = 29 LIMIT 21"#,
        "authors [id = 29] limit 21",
    );
    check(
        r#"SELECT COUNT(*) AS "__count" FROM "jobs" INNER JOIN "companies" ON ("jobs"."company_id" = "companies"."id") WHERE ("jobs"."is_active" AND "companies"."country" = 'DE' AND NOT ("jobs"."kind" = 'x'))"#,
        "jobs [company_id = companies.id] [is_active IS true] <NOT (kind = 'x')>\ncompanies [id = jobs.company_id] [country = 'DE']",
    );
    check(
        r#"SELECT (1) AS "a" FROM "users" WHERE UPPER("users"."email"::text) LIKE UPPER('a%') LIMIT 1"#,
        "users [upper(email::TEXT) ~~ (UPPER('a%'))] limit 1",
    );
}

#[test]
fn sqlalchemy() {
    check(
        "SELECT tags.id AS tags_id FROM tags, book_tags \n\tWHERE $1::INTEGER = book_tags.book_id AND tags.id = book_tags.tag_id",
        "tags [id = book_tags.tag_id]\nbook_tags [book_id = $1] [tag_id = tags.id]",
    );
    check(
        "SELECT anon_1.posts_id, comments_1.id FROM (SELECT posts.id AS posts_id, posts.created AS posts_created FROM posts WHERE posts.author_id = $1 LIMIT 10) AS anon_1 LEFT OUTER JOIN comments AS comments_1 ON anon_1.posts_id = comments_1.post_id ORDER BY anon_1.posts_created",
        "posts [author_id = $1] limit 10\ncomments [post_id = (anon_1.posts_id)] nullable",
    );
}

#[test]
fn active_record() {
    check(
        r#"SELECT 1 AS one FROM "authors" WHERE "authors"."email" = $1 AND "authors"."id" != $2 LIMIT $3"#,
        "authors [email = $1] [id <> $2] limit ?",
    );
    check(
        r#"SELECT "orders".* FROM "orders" WHERE "orders"."deleted_at" IS NULL AND "orders"."created_at" BETWEEN $1 AND $2 ORDER BY "orders"."created_at" DESC, "orders"."id" DESC LIMIT $3 OFFSET $4"#,
        "orders [deleted_at IS NULL -] [created_at BETWEEN ($1 AND $2)] sort(created_at desc, id desc) limit ?",
    );
    check(
        r#"DELETE FROM "sessions" WHERE "sessions"."id" IN (SELECT "sessions"."id" FROM "sessions" WHERE "sessions"."expires_at" < $1 LIMIT 100)"#,
        "sessions [id = (subquery)]\nsessions [expires_at < $1] limit 100",
    );
}

#[test]
fn prisma_typeorm_sequelize_hibernate() {
    check(
        r#"SELECT "public"."authors"."id" FROM "public"."authors" WHERE ("public"."authors"."id" = $1 AND 1=1) ORDER BY "public"."authors"."id" ASC LIMIT $2 OFFSET $3"#,
        "authors [id = $1] sort(id) limit ?",
    );
    check(
        r#"UPDATE "public"."orders" SET "status" = $1 WHERE ("public"."orders"."id" = $2 AND 1=1) RETURNING "public"."orders"."id""#,
        "orders [id = $2]",
    );
    check(
        r#"SELECT 1 AS "row_exists" FROM (SELECT 1 AS dummy_column) "dummy_table" WHERE EXISTS (SELECT 1 FROM "orders" "Order" WHERE (("Order"."customer_id" = $1))) LIMIT 1"#,
        "orders [customer_id = $1]",
    );
    check(
        r#"SELECT "Tag"."id" FROM "tags" AS "Tag" INNER JOIN "book_tags" AS "BookTag" ON "Tag"."id" = "BookTag"."tag_id" AND "BookTag"."book_id" = 1;"#,
        "tags [id = book_tags.tag_id]\nbook_tags [tag_id = tags.id] [book_id = 1]",
    );
    check(
        "select author0_.id as id1_0_, author0_.name as name1_0_ from authors author0_ left outer join books b on author0_.id=b.author_id where author0_.country=$1 and b.id is null",
        "authors [country = $1]\nbooks [author_id = authors.id] <id IS NULL> nullable",
    );
}

#[test]
fn unqualified_columns_need_one_relation_or_a_catalog() {
    check("SELECT * FROM t WHERE a = 1", "t [a = 1]");
    let shape =
        parse("SELECT status FROM orders o JOIN customers c ON customer_id = c.id").unwrap();
    assert!(shape.has_unresolved);
    check_known(
        "SELECT status, count(*) FROM orders JOIN customers c ON customer_id = c.id WHERE email = $1 AND total > 5 GROUP BY status",
        "orders [customer_id = customers.id] [total > 5] group(status)\ncustomers [id = orders.customer_id] [email = $1]",
    );
    check_known(
        "SELECT * FROM customers c WHERE EXISTS (SELECT 1 FROM orders WHERE customer_id = c.id AND country = 'DE')",
        "customers\norders [customer_id = customers.id]",
    );
}

#[test]
fn conditions_reach_the_relation_behind_a_subquery_or_cte() {
    check(
        "SELECT * FROM (SELECT * FROM orders WHERE status = 'open') s WHERE s.customer_id = $1 ORDER BY s.created_at DESC LIMIT 5",
        "orders [status = 'open'] [customer_id = $1] sort(created_at desc)",
    );
    check(
        "WITH recent AS (SELECT id, customer_id AS who FROM orders WHERE created_at > now() - interval '1 day') SELECT * FROM recent r JOIN customers c ON c.id = r.who",
        "orders [created_at > (now() - INTERVAL '1 day')] [customer_id = customers.id]\ncustomers [id = orders.customer_id]",
    );
    check(
        "SELECT * FROM (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) g WHERE g.customer_id = 3",
        "orders group(customer_id)",
    );
    check(
        "WITH RECURSIVE tree AS (SELECT id FROM nodes WHERE id = $1 UNION ALL SELECT n.id FROM nodes n JOIN tree t ON n.parent_id = t.id) SELECT * FROM tree",
        "nodes [id = $1]\nnodes [parent_id = (t.id)]",
    );
}

#[test]
fn subqueries_join() {
    check(
        "SELECT * FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE country = $1)",
        "orders [customer_id = customers.id]\ncustomers [country = $1] [id = orders.customer_id]",
    );
    check(
        "SELECT c.id, (SELECT max(o.created_at) FROM orders o WHERE o.customer_id = c.id) FROM customers c",
        "customers\norders [customer_id = customers.id] min_max(created_at)",
    );
}

#[test]
fn operators_by_kind() {
    check(
        "SELECT 1 FROM t WHERE tags @> ARRAY['a'] AND data ? 'k' AND v @@ to_tsquery('x')",
        "t [tags @> list(1)] [data ? 'k'] [v @@ (to_tsquery('x'))]",
    );
    check(
        "SELECT 1 FROM t WHERE id = ANY($1) AND 5 < n AND (a, b) > ($2, $3)",
        "t [id = list(0)] [n > 5] [a > $2] [b > $3]",
    );
    check(
        "SELECT 1 FROM t WHERE lower(t.email) = lower($1) AND (t.data ->> 'kind') = 'x'",
        "t [lower(email) = (lower($1))] [data ->> 'kind' = 'x']",
    );
    check(
        "SELECT 1 FROM t WHERE name ILIKE '%x%' AND NOT active AND other IS TRUE",
        "t [name ~~* '%x%'] [active IS false] [other IS true]",
    );
    check(
        "SELECT 1 FROM t WHERE (a = 1 OR a = 2 OR a IN (3, 4)) AND (b = 1 OR c = 2)",
        "t [a = list(4)] [any of 2]",
    );
    check(
        "SELECT 1 FROM t WHERE a = b AND $1 = ANY(tags)",
        "t [tags = ANY $1] <a = b>",
    );
    check(
        "SELECT 1 FROM t WHERE d = date '2024-01-01' AND n = -5",
        "t [d = DATE '2024-01-01'] [n = -5]",
    );
}

#[test]
fn joins_of_every_kind() {
    check(
        "SELECT * FROM a RIGHT JOIN b ON a.x = b.x AND a.k = 1",
        "a [x = b.x] [k = 1] nullable\nb",
    );
    check(
        "SELECT * FROM a FULL JOIN b ON a.x = b.x",
        "a nullable\nb nullable",
    );
    check(
        "SELECT * FROM a JOIN b USING (x)",
        "a [x = b.x]\nb [x = a.x]",
    );
    check(
        "SELECT * FROM a, LATERAL (SELECT * FROM b WHERE b.a_id = a.id ORDER BY b.t DESC LIMIT 3) l",
        "a\nb [a_id = a.id] sort(t desc) limit 3",
    );
    check(
        "SELECT * FROM a CROSS JOIN LATERAL jsonb_array_elements(a.items) AS e(v) WHERE a.id = 1",
        "a [id = 1]",
    );
}

#[test]
fn grouping_distinct_order_by_position_and_alias() {
    check(
        "SELECT status AS s, count(*) FROM t GROUP BY 1 ORDER BY s",
        "t sort(status) group(status)",
    );
    check(
        "SELECT DISTINCT ON (t.a) t.* FROM t ORDER BY t.a, t.b DESC",
        "t sort(a, b desc) distinct on(a)",
    );
    check("SELECT DISTINCT a, b FROM t", "t group(a, b)");
    check("SELECT min(a), max(b) FROM t", "t min_max(a, b)");
    check(
        "SELECT * FROM a JOIN b ON a.id = b.id ORDER BY a.x, b.y LIMIT 1",
        "a [id = b.id] limit 1\nb [id = a.id] limit 1",
    );
    check(
        "SELECT * FROM t ORDER BY x FETCH FIRST 3 ROWS ONLY",
        "t sort(x) limit 3",
    );
}

#[test]
fn writes() {
    let insert = parse("INSERT INTO t (a, b) VALUES (1, 2), (3, 4) ON CONFLICT (lower(a)) WHERE b > 0 DO UPDATE SET b = EXCLUDED.b").unwrap();
    assert_eq!(insert.n_value_tuples, 2);
    assert_eq!(insert.written_columns, ["a", "b", "b"]);
    assert_eq!(insert.scans[0].role, ScanRole::InsertInto);
    let select = parse("INSERT INTO t (a) SELECT x FROM s WHERE y = 1").unwrap();
    assert_eq!(select.n_value_tuples, 0);
    assert_eq!(select.scans[1].predicates.len(), 1);
    check(
        "UPDATE t SET a = s.a FROM s WHERE s.id = t.s_id AND t.k = 3",
        "t [s_id = s.id] [k = 3]\ns [id = t.s_id]",
    );
    check(
        "DELETE FROM t USING s WHERE s.id = t.s_id",
        "t [s_id = s.id]\ns [id = t.s_id]",
    );
    check(
        "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
        "t [id = s.id]\ns [id = t.id]",
    );
    check(
        "WITH moved AS (DELETE FROM q WHERE id = $1 RETURNING *) INSERT INTO log SELECT * FROM moved",
        "q [id = $1]\nlog",
    );
    assert_eq!(
        parse("WITH x AS (SELECT 1) UPDATE t SET a = 1")
            .unwrap()
            .kind,
        StatementKind::Update
    );
}

#[test]
fn statement_facts() {
    let queue = parse("SELECT id FROM jobs WHERE status = $1 ORDER BY id LIMIT $12 FOR NO KEY UPDATE OF jobs SKIP LOCKED").unwrap();
    assert!(queue.locks_rows && queue.skips_locked);
    assert_eq!(queue.n_parameters, 12);
    assert!(
        parse("SELECT count(*) FROM t WHERE a = 1")
            .unwrap()
            .is_count
    );
    assert!(
        !parse("SELECT a, count(*) FROM t GROUP BY a")
            .unwrap()
            .is_count
    );
    for exists in [
        "SELECT 1 AS one FROM t WHERE a = $1 LIMIT $2",
        "SELECT $1 AS one FROM t LIMIT $2",
        "SELECT EXISTS(SELECT 1 FROM t)",
        "SELECT 1 AS row_exists FROM (SELECT 1 AS d) x WHERE EXISTS (SELECT 1 FROM t)",
    ] {
        assert!(parse(exists).unwrap().is_exists, "{exists}");
    }
    assert!(!parse("SELECT a FROM t LIMIT 1").unwrap().is_exists);
    let calls = parse("SELECT Lower(x), my.fn(y), count(*) FILTER (WHERE z OPERATOR(my.+) 1 > 2), q::MyType FROM generate_series(1, 2) g, t").unwrap();
    assert_eq!(
        calls.functions,
        ["count", "generate_series", "lower", "my.fn"]
    );
    assert!(calls.operators.contains(&"my.+".to_owned()));
    assert_eq!(calls.cast_types, ["mytype"]);
    assert_eq!(
        parse("CREATE INDEX ON t (a)").unwrap().kind,
        StatementKind::Utility
    );
    assert_eq!(
        parse("DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT a FROM t WHERE b = 1")
            .unwrap()
            .scans
            .len(),
        1
    );
}

#[test]
fn what_pg_stat_statements_prints() {
    check(
        "SELECT * FROM t WHERE a IN ($1 /*, ... */) AND b > now() - interval $2 AND c = date $3",
        "t [a = list(1)] [b > (now() - $2)] [c = $3]",
    );
    check(
        "SELECT * FROM t WHERE a IS NOT $1 LIMIT $2",
        "t [a IS NOT NULL -] limit ?",
    );
    check(
        "SELECT $1 FROM ONLY t x WHERE x.a = $2 FOR KEY SHARE OF x",
        "t [a = $2]",
    );
}

#[test]
fn columns_read() {
    let shape = parse("SELECT t.a, lower(t.b) FROM t WHERE t.c = 1 ORDER BY t.d").unwrap();
    assert_eq!(shape.scans[0].columns, ["a", "b", "c", "d"]);
    assert!(parse("SELECT t.* FROM t").unwrap().scans[0].all_columns);
    let row = parse_with("SELECT row_to_json(t) FROM t", &|_| {
        Some(vec!["a".to_owned()])
    })
    .unwrap();
    assert!(row.scans[0].all_columns);
}

#[test]
fn refusals() {
    assert_eq!(parse("SELECT 1; SELECT 2"), Err(ShapeError::Several));
    assert_eq!(parse(" ;; -- nothing\n"), Err(ShapeError::Empty));
    assert_eq!(
        parse("SELECT * FROM t WHERE a = 'cut"),
        Err(ShapeError::Truncated)
    );
    assert_eq!(
        parse("SELECT * FROM t WHERE a ="),
        Err(ShapeError::Truncated)
    );
    assert!(matches!(
        parse("SELECT FROM WHERE )"),
        Err(ShapeError::Unparsable(_))
    ));
    assert!(parse(";SELECT 1;").is_ok());
}

/// Inputs that overflow a naive parser, printer or destructor: bounded ones pass, unbounded ones are refused.
#[test]
fn no_text_overflows_the_stack() {
    let chain =
        |n: usize, by: &str| format!("SELECT 1 FROM t WHERE a{}", format!("{by}a").repeat(n));
    for by in [
        " OR ",
        " AND ",
        " + ",
        "::int + ",
        " || ",
        " -> ",
        " COLLATE \"C\" || ",
    ] {
        assert!(
            !matches!(parse(&chain(400, by)), Err(ShapeError::TooLarge)),
            "{by}"
        );
        let _ = parse(&chain(990, by));
        let _ = parse(&chain(1_990, by));
        assert_eq!(parse(&chain(50_000, by)), Err(ShapeError::TooLarge), "{by}");
    }
    assert!(
        parse(&format!(
            "SELECT 1 FROM t WHERE {}1{}",
            "(".repeat(60),
            ")".repeat(60)
        ))
        .is_ok()
    );
    for open in [
        "(",
        "NOT ",
        "- ",
        "[",
        "CASE WHEN ",
        "INTERVAL ",
        "SELECT (",
        "ARRAY[",
        "f(",
    ] {
        let _ = parse(&format!("SELECT {}", open.repeat(1_900)));
        assert!(
            parse(&format!("SELECT {}", open.repeat(100_000))).is_err(),
            "{open}"
        );
    }
    let _ = parse(&format!("SELECT 1 {}", "UNION SELECT 1 ".repeat(900)));
    let _ = parse(&format!("SELECT a{} FROM t", "::int".repeat(1_900)));
    let list = vec!["$1"; 5_000].join(", ");
    check(
        &format!("SELECT 1 FROM t WHERE a IN ({list})"),
        "t [a = list(5000)]",
    );
    let rows = vec!["(1, 'a'::text, now() - interval '1 day')"; 3_000].join(", ");
    assert_eq!(
        parse(&format!("INSERT INTO t VALUES {rows}"))
            .unwrap()
            .n_value_tuples,
        3_000
    );
}

proptest! {
    #[test]
    fn any_text_has_a_shape_or_a_reason(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_words_have_a_shape_or_a_reason(words in proptest::collection::vec(proptest::sample::select(vec![
        "SELECT", "FROM", "t", "WHERE", "a", "=", "$1", "(", ")", ",", "JOIN", "ON", "AND", "OR", "NOT", "IN", "'x'", "ORDER BY", "LIMIT", "1",
        "WITH", "AS", "UPDATE", "SET", "INSERT INTO", "VALUES", "DELETE FROM", ".", "*", "EXISTS", "IS", "NULL", "BETWEEN", "ANY", "::", "CASE", "END", "UNION", "FOR", "OF",
        "INTERVAL", "DECLARE", "CURSOR", "ON CONFLICT", "DO", "LATERAL", "ARRAY", "[", "]",
    ]), 0..40)) {
        let _ = parse(&words.join(" "));
    }
}
