//! One plan for each problem, and plans without.

use super::*;

/// What is found in a plan in text form, as `kind @ share: message / hint`.
fn found(text: &str) -> Vec<String> {
    let plan = Plan::from_text(text).unwrap();
    review(&plan)
        .iter()
        .map(|p| {
            format!(
                "{} @ {:.0} %: {} / {}",
                p.kind.id(),
                p.share * 100.0,
                p.message,
                p.hint
            )
        })
        .collect()
}

fn kinds(text: &str) -> Vec<&'static str> {
    let plan = Plan::from_text(text).unwrap();
    review(&plan).iter().map(|p| p.kind.id()).collect()
}

#[test]
fn rows_read_to_be_thrown_away() {
    let scan = "\
Seq Scan on jobs  (cost=0.00..9000.00 rows=100 width=8) (actual time=0.1..80.0 rows=120 loops=1)
  Filter: ((salary > 10) AND (country = 'de'::text))
  Rows Removed by Filter: 199880
Execution Time: 80.100 ms";
    assert_eq!(
        found(scan),
        [
            "rows-removed-by-filter @ 100 %: 199,880 rows read and thrown away for 120 that were wanted / an index on (country, salary)"
        ]
    );
    let healthy = scan.replace("199880", "80");
    assert_eq!(found(&healthy), [""; 0]);
}

#[test]
fn an_index_read_for_its_order() {
    let plan = "\
Limit  (cost=0.42..50.00 rows=10 width=8) (actual time=900.0..901.0 rows=10 loops=1)
  ->  Index Scan using jobs_created_at on jobs  (cost=0.42..5000.00 rows=1000 width=8) (actual time=900.0..900.9 rows=10 loops=1)
        Filter: (company_id = 7)
        Rows Removed by Filter: 190000";
    assert_eq!(kinds(plan), ["wrong-index-for-limit"]);
}

#[test]
fn a_table_read_for_few_rows_in_a_plan_that_was_not_run() {
    let plan = "Seq Scan on jobs  (cost=0.00..9000.00 rows=100 width=8)\n  Filter: (lower(title) = 'x'::text)";
    let found = found(plan);
    assert!(
        found[0].starts_with("selective-seq-scan @ 100 %"),
        "{found:?}"
    );
    assert!(
        found[0].contains("computes something of title"),
        "{found:?}"
    );
    let wide = plan.replace("rows=100", "rows=5000");
    assert_eq!(kinds(&wide), [""; 0]);
}

#[test]
fn what_went_to_disk() {
    let plan = "\
Sort  (cost=9.00..10.00 rows=100000 width=8) (actual time=500.0..600.0 rows=100000 loops=1)
  Sort Key: created_at DESC
  Sort Method: external merge  Disk: 20480kB
  ->  Hash Join  (cost=5.00..8.00 rows=100000 width=8) (actual time=100.0..300.0 rows=100000 loops=1)
        Hash Cond: (a.id = b.a_id)
        ->  Seq Scan on a  (cost=0.00..1.00 rows=100000 width=8) (actual time=0.1..50.0 rows=100000 loops=1)
        ->  Hash  (cost=2.00..2.00 rows=50000 width=8) (actual time=90.0..90.0 rows=50000 loops=1)
              Buckets: 65536  Batches: 8 (originally 1)  Memory Usage: 4096kB
              ->  Seq Scan on b  (cost=0.00..1.00 rows=50000 width=8) (actual time=0.1..40.0 rows=50000 loops=1)";
    let found = found(plan);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("sort-spill @ 50 %: the sort did not fit into work_mem and wrote 20 MB to disk / work_mem of about 60 MB"),
        "{found:?}"
    );
    assert!(found[1].contains("8 batches, planned for 1"), "{found:?}");
}

#[test]
fn an_estimate_is_told_where_it_begins() {
    let plan = "\
Nested Loop  (cost=0.00..100.00 rows=2 width=8) (actual time=0.1..400.0 rows=50000 loops=1)
  ->  Index Scan using jobs_country on jobs  (cost=0.00..10.00 rows=20 width=8) (actual time=0.1..40.0 rows=50000 loops=1)
        Index Cond: ((country = 'de'::text) AND (city = 'Berlin'::text))
  ->  Index Scan using companies_pkey on companies  (cost=0.00..4.00 rows=1 width=8) (actual time=0.006..0.007 rows=1 loops=50000)
        Index Cond: (id = jobs.company_id)";
    let found = found(plan);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with(
            "row-misestimate @ 100 %: 20 rows expected, 50,000 came: 2,500 times as many"
        ),
        "{found:?}"
    );
    assert!(
        found[0].contains("CREATE STATISTICS ON country, city FROM jobs"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("nested-loop-blow-up @ 88 %"),
        "{found:?}"
    );
    // stopped by LIMIT: fewer rows than expected say nothing
    let limited = "\
Limit  (cost=0.00..1.00 rows=10 width=8) (actual time=0.1..4.0 rows=10 loops=1)
  ->  Index Scan using i on t  (cost=0.00..900.00 rows=5000 width=8) (actual time=0.1..4.0 rows=10 loops=1)
        Index Cond: (a = 1)";
    assert_eq!(kinds(limited), [""; 0]);
}

#[test]
fn groups_are_no_join() {
    let plan = "\
Sort  (cost=9.00..10.00 rows=200 width=8) (actual time=500.0..600.0 rows=90000 loops=1)
  Sort Key: (count(*))
  ->  HashAggregate  (cost=5.00..8.00 rows=200 width=8) (actual time=100.0..300.0 rows=90000 loops=1)
        Group Key: city, zip
        ->  Seq Scan on a  (cost=0.00..1.00 rows=100000 width=8) (actual time=0.1..50.0 rows=100000 loops=1)";
    let found = found(plan);
    assert!(
        found[0].contains("450 times as many / the number of groups"),
        "{found:?}"
    );
    let fewer = plan.replace("rows=90000", "rows=2");
    assert_eq!(kinds(&fewer), [""; 0]);
}

#[test]
fn what_runs_again_and_again() {
    let subplan = "\
Seq Scan on authors  (cost=0.00..9.00 rows=1000 width=8) (actual time=0.1..500.0 rows=1000 loops=1)
  SubPlan 1
    ->  Aggregate  (cost=1.00..2.00 rows=1 width=8) (actual time=0.490..0.490 rows=1 loops=1000)
          ->  Seq Scan on books  (cost=0.00..1.00 rows=5 width=8) (actual time=0.1..0.480 rows=5 loops=1000)
                Filter: (author_id = authors.id)
                Rows Removed by Filter: 4995";
    let found = kinds(subplan);
    assert!(
        found.contains(&"subplan-per-row") && found.contains(&"repeated-seq-scan"),
        "{found:?}"
    );
    let estimated = "\
Nested Loop  (cost=0.00..90000.00 rows=1000 width=8)
  Join Filter: (a.x = b.x)
  ->  Seq Scan on a  (cost=0.00..20.00 rows=1000 width=4)
  ->  Seq Scan on b  (cost=0.00..80.00 rows=1000 width=4)";
    assert_eq!(kinds(estimated), ["repeated-seq-scan"]);
    let product = "\
Nested Loop  (cost=0.00..90000.00 rows=1000000 width=8)
  ->  Seq Scan on a  (cost=0.00..20.00 rows=1000 width=4)
  ->  Materialize  (cost=0.00..80.00 rows=1000 width=4)
        ->  Seq Scan on b  (cost=0.00..80.00 rows=1000 width=4)";
    assert_eq!(kinds(product), ["cross-product"]);
}

#[test]
fn the_statement_as_a_whole() {
    let plan = "\
Delete on users  (cost=0.00..8.00 rows=1 width=6) (actual time=1.0..1.0 rows=0 loops=1)
  ->  Index Scan using users_pkey on users  (cost=0.00..8.00 rows=1 width=6) (actual time=0.5..0.5 rows=1 loops=1)
        Index Cond: (id = 7)
Planning Time: 0.2 ms
Trigger for constraint orders_user_id_fkey: time=450.000 calls=1
Execution Time: 452.000 ms";
    let found = found(plan);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with(
            "trigger-time @ 100 %: foreign key orders_user_id_fkey took 450 ms in 1 calls"
        ),
        "{found:?}"
    );
    let planning = "Result  (cost=0.00..0.01 rows=1 width=4) (actual time=0.1..0.1 rows=1 loops=1)\nPlanning Time: 90.0 ms\nExecution Time: 1.0 ms";
    assert_eq!(kinds(planning), ["planning-time"]);
}

#[test]
fn offsets_and_maps() {
    let plan = "\
Limit  (cost=0.42..50.00 rows=10 width=8) (actual time=90.0..91.0 rows=10 loops=1)
  ->  Index Only Scan using jobs_pkey on jobs  (cost=0.42..5000.00 rows=100000 width=8) (actual time=0.1..90.0 rows=100010 loops=1)
        Heap Fetches: 90000";
    let found = kinds(plan);
    assert!(
        found.contains(&"deep-offset") && found.contains(&"heap-fetches"),
        "{found:?}"
    );
}
